"""The lane's layout as the plugin's compiler sees it, against the one definition in Python."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bridge.installs.plugin import SOURCE
from streaming.lane import AUDIO_OFFSET, CONTROL_OFFSET, EVENTS_OFFSET, LAYOUT_VERSION, MAGIC, STATISTICS_OFFSET
from streaming.lane_header import STRUCTS, lane_header
from tests.conftest import tool_is_missing


def test_the_header_is_printed_from_the_definition() -> None:
    text = (SOURCE / "lane_layout.hpp").read_text()
    assert text == lane_header(), "run: python -m streaming.lane_header > plugin/lane_layout.hpp"


def test_the_compiler_sees_the_same_offsets(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        tool_is_missing("g++ is not installed (apt-get install g++)")
    fields = [(name, field) for name, dtype in STRUCTS.items() for field in dtype.names or ()]
    prints = [f'std::printf("%zu %zu\\n", offsetof({s}, {f}), sizeof({s}::{f}));' for s, f in fields]
    prints += [f'std::printf("%zu 0\\n", sizeof({name}));' for name in STRUCTS]
    program = tmp_path / "offsets.cpp"
    body = "\n".join(prints)
    program.write_text(
        f'#include "lane_layout.hpp"\n#include <cstdio>\nusing namespace lane;\nint main() {{\n{body}\n}}\n'
    )
    subprocess.run(["g++", "-std=c++17", f"-I{SOURCE}", str(program), "-o", str(tmp_path / "offsets")], check=True)
    lines = subprocess.run([tmp_path / "offsets"], check=True, capture_output=True, text=True).stdout.splitlines()
    expected = []
    for name, field in fields:
        kind, offset = (STRUCTS[name].fields or {})[field][:2]
        expected.append(f"{offset} {kind.itemsize}")
    assert lines == [*expected, *(f"{dtype.itemsize} 0" for dtype in STRUCTS.values())]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAGIC", hex(MAGIC)), ("LAYOUT_VERSION", LAYOUT_VERSION), ("CONTROL_OFFSET", CONTROL_OFFSET),
        ("STATISTICS_OFFSET", STATISTICS_OFFSET), ("EVENTS_OFFSET", EVENTS_OFFSET), ("AUDIO_OFFSET", AUDIO_OFFSET),
    ],
)  # fmt: skip
def test_constants_are_the_same(name: str, value: int) -> None:
    assert f" {name} = {value};" in (SOURCE / "lane_layout.hpp").read_text()
