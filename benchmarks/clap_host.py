"""The plugin in a CLAP host of our own (`clap_host.cpp`), built with the headers that DPF brings.

Other hosts here render offline or not at all: this one also plays at the pace of a sound card, in blocks of random
sizes, through several instances, and times the process function by the CPU clock of its thread.
"""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridge.installs.plugin import DPF, build_plugin

SOURCE = Path(__file__).with_suffix(".cpp")
PORTS = 5
"""Stereo outputs: the mix, then four stems."""

Option = str | int | float | Path | Sequence[str]


class Played(NamedTuple):
    """What one run of the host gave: its report, and each instance's outputs ``(5, 2, n)``."""

    report: dict[str, Any]
    outputs: list[NDArray[np.float32]]


def build_host(folder: Path) -> Path:
    """Compile the host into ``folder``. Raises `RequestError` as `build_plugin` does."""
    build_plugin()
    host = folder / "clap_host"
    headers = DPF / "distrho" / "src"
    command = ["g++", "-std=c++17", "-O2", "-isystem", str(headers), str(SOURCE), "-ldl", "-pthread", "-o", str(host)]
    subprocess.run(command, check=True)
    return host


@contextmanager
def playing(
    host: Path, folder: Path, audio: NDArray[np.float32], **options: Option
) -> Iterator["subprocess.Popen[str]"]:
    """The host on ``audio (2, n)``, left to run; `finish` gives what it played. ``options`` as in `clap_host.cpp`.

    One that still runs at the end is killed.
    """
    audio.T.astype("<f4").tofile(folder / "in.f32")
    plugin = build_plugin() / "sidechop.clap"
    words = [str(host), f"plugin={plugin}", f"in={folder / 'in.f32'}", f"out={folder / 'out.f32'}"]
    for key, value in options.items():
        values = [str(value)] if isinstance(value, str | int | float | Path) else value
        words += [f"{key}={each}" for each in values]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        if options.get("ready") and process.stderr:
            process.stderr.readline()
        try:
            yield process
        finally:
            process.kill()


def finish(process: "subprocess.Popen[str]", folder: Path, timeout_s: float = 60.0, ports: int = PORTS) -> Played:
    """Wait for its end. ``ports`` is half of its option ``channels``. Raises `RuntimeError` with its words."""
    out, error = process.communicate(timeout=timeout_s)
    if process.returncode:
        raise RuntimeError(error.strip() or f"the host ended with code {process.returncode}")
    report = json.loads(out)
    names = ["out.f32", *(f"out.f32.{i}" for i in range(1, len(report["latency"])))]
    outputs = [np.fromfile(folder / name, "<f4").reshape(-1, ports, 2).transpose(1, 2, 0) for name in names]
    return Played(report, outputs)


def play(host: Path, folder: Path, audio: NDArray[np.float32], **options: Option) -> Played:
    """`playing` to its end."""
    with playing(host, folder, audio, **options) as process:
        return finish(process, folder)
