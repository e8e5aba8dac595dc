"""The lane's layout as a C++ header: ``python -m streaming.lane_header > plugin/lane_layout.hpp``.

Every numpy dtype of `streaming.lane` becomes a struct with the same offsets, held by ``static_assert``, beside the
constants that both sides must agree on. A test prints the offsets that the compiler sees and compares.
"""

from typing import Any

import numpy as np

from .host import CROSSFADE_SAMPLES, WAIT_LIMIT_S
from .lane import (
    AUDIO_OFFSET,
    CONTROL_OFFSET,
    COUNTERS_DTYPE,
    EVENT_DTYPE,
    EVENTS,
    EVENTS_OFFSET,
    HEADER_DTYPE,
    LAYOUT_VERSION,
    MAGIC,
    NAME_BYTES,
    PAGE,
    PLUGIN_LANE,
    STATISTICS_OFFSET,
    EngineState,
)
from .mixer import CONTROL_DTYPE, OUTPUTS_MAX, RAMP_S
from .queries import LIVE_NAMES, QUERY_DTYPE
from .statistics import STATISTICS_DTYPE
from .windows import DEFAULT

STRUCTS = {
    "Header": HEADER_DTYPE,
    "Counters": COUNTERS_DTYPE,
    "Control": CONTROL_DTYPE,
    "Statistics": STATISTICS_DTYPE,
    "Event": EVENT_DTYPE,
}
_SCALARS = {
    "<u4": "std::uint32_t",
    "<u8": "std::uint64_t",
    "<i8": "std::int64_t",
    "<f4": "float",
    "<f8": "double",
}


def lane_header() -> str:
    """The text of ``plugin/lane_layout.hpp``."""
    constants = {
        "MAGIC": f"std::uint64_t = {MAGIC:#x}",
        "LAYOUT_VERSION": f"std::uint32_t = {LAYOUT_VERSION}",
        "COUNTERS_OFFSET": f"std::size_t = {PAGE}",
        "CONTROL_OFFSET": f"std::size_t = {CONTROL_OFFSET}",
        "STATISTICS_OFFSET": f"std::size_t = {STATISTICS_OFFSET}",
        "EVENTS_OFFSET": f"std::size_t = {EVENTS_OFFSET}",
        "EVENTS": f"std::uint32_t = {EVENTS}",
        "AUDIO_OFFSET": f"std::size_t = {AUDIO_OFFSET}",
        "NAME_BYTES": f"std::size_t = {NAME_BYTES}",
        "OUTPUTS_MAX": f"std::uint32_t = {OUTPUTS_MAX}",
        "QUERY_SLOTS": f"std::size_t = {len(LIVE_NAMES)}",
        "QUERY_BYTES": f"std::size_t = {QUERY_DTYPE.itemsize}",
        "QUERY_STRENGTH_OFFSET": f"std::size_t = {dict(QUERY_DTYPE.fields or {})['strength'][1]}",
        "CROSSFADE_SAMPLES": f"std::uint32_t = {CROSSFADE_SAMPLES}",
        "RAMP_S": f"double = {RAMP_S}",
        "WAIT_LIMIT_S": f"double = {WAIT_LIMIT_S}",
        "HOP_SAMPLES": f"std::uint32_t = {DEFAULT.hop_samples}",
        "WINDOW_LATENCY": f"std::uint32_t = {DEFAULT.latency_samples}",
    }
    lines = [
        "// Printed by `python -m streaming.lane_header` from streaming/lane.py: change that, not this.",
        "#pragma once",
        "",
        "#include <cstddef>",
        "#include <cstdint>",
        "",
        "namespace lane {",
        "",
        *(f"constexpr {kind} {name} = {value};" for name, (kind, value) in _split(constants)),
        f'constexpr char PLUGIN_LANE[] = "{PLUGIN_LANE}";',
        "",
        "enum EngineState : std::uint32_t {",
        *(f"    {state.name} = {state.value}," for state in EngineState),
        "};",
    ]
    for name, dtype in STRUCTS.items():
        lines += ["", *_struct(name, dtype)]
    return "\n".join([*lines, "", "} // namespace lane", ""])


def _split(constants: dict[str, str]) -> list[tuple[str, tuple[str, str]]]:
    return [(name, tuple(text.split(" = ", 1))) for name, text in constants.items()]  # type: ignore[misc]


def _struct(name: str, dtype: np.dtype[Any]) -> list[str]:
    """A struct whose gaps are filled, so that the compiler adds none, and what holds its offsets."""
    assert dtype.fields is not None
    assert dtype.names is not None
    lines, checks, at, gaps = [f"struct {name} {{"], [], 0, 0
    for field in dtype.names:
        kind, offset = dtype.fields[field][:2]
        if offset > at:
            lines.append(f"    unsigned char gap{gaps}[{offset - at}];")
            gaps += 1
        lines.append(f"    {_declared(field, kind)};")
        checks.append(f"static_assert(offsetof({name}, {field}) == {offset});")
        at = offset + kind.itemsize
    if dtype.itemsize > at:
        lines.append(f"    unsigned char gap{gaps}[{dtype.itemsize - at}];")
    return [*lines, "};", *checks, f"static_assert(sizeof({name}) == {dtype.itemsize});"]


def _declared(field: str, kind: np.dtype[Any]) -> str:
    base, shape = (kind.subdtype[0], kind.subdtype[1]) if kind.subdtype else (kind, ())
    if base.kind == "S":
        return f"char {field}[{base.itemsize}]"
    length = f"[{shape[0]}]" if shape else ""
    return f"{_SCALARS[base.str]} {field}{length}"


if __name__ == "__main__":
    print(lane_header(), end="")
