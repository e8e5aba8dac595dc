"""The scripts' pure parts under real Lua 5.4, against independent ones: OSC, JSON, the timeline, the clock, faders."""

import json
import math
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import tool_is_missing
from hypothesis import given, settings
from hypothesis import strategies as st
from reaper_script import SCRIPTS, lua54

from bridge.osc_packet import read_packet, write_message
from bridge.osc_server import OscServer
from bridge.osc_table import REQUESTS, Argument
from bridge.relay.mailbox import frame, unframe

LIB = SCRIPTS / "lib"
TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=40)


@pytest.fixture(scope="module")
def lua() -> Any:
    runtime = lua54.LuaRuntime(encoding=None, unpack_returned_tuples=True)
    runtime.execute(f'package.path = "{LIB}/?.lua"'.encode())
    return runtime


def module(lua: Any, name: str) -> Any:
    return lua.eval(f'(require "{name}")'.encode())


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("i"), st.integers(-(2**31), 2**31 - 1)),
            st.tuples(st.just("h"), st.integers(-(2**63), 2**63 - 1)),
            st.tuples(st.just("d"), st.floats(allow_nan=False)),
            st.tuples(st.just("f"), st.floats(width=32, allow_nan=False)),
            st.tuples(st.just("s"), TEXT),
            st.tuples(st.just("T"), st.booleans()),
        ),
        max_size=8,
    )
)
def test_osc_is_read_and_written_as_python_osc_does(lua: Any, values: list[tuple[Any, Any]]) -> None:
    tags = "".join(tag for tag, _ in values)
    plain = [value for _, value in values]
    as_bytes = [value.encode() if isinstance(value, str) else value for value in plain]
    osc = module(lua, "osc")
    ours = osc[b"encode"](b"/sidechop/a", tags.encode(), lua.table_from(as_bytes))
    assert read_packet(ours, limit=1 << 16) == [("/sidechop/a", plain)]
    theirs = write_message("/sidechop/a", plain, [Argument(str(i), tag) for i, tag in enumerate(tags)])
    address, back = osc[b"decode"](theirs)
    assert address == b"/sidechop/a"
    assert [back[i + 1] for i in range(len(plain))] == as_bytes


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_what_is_not_osc_is_nothing(lua: Any, data: bytes) -> None:
    for datagram in (data, b"/a\0\0,ihs" + data, b"/a\0\0" + data):
        result = module(lua, "osc")[b"decode"](datagram)
        assert result is None or result[0].startswith(b"/")


JSON = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), TEXT),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_json_comes_back_as_it_was(lua: Any, value: Any) -> None:
    again = lua.eval(b'function(t) local j = require("json"); local v, p = j.decode(t); assert(not p, p); '
                     b"return j.encode(v) end")  # fmt: skip
    back = json.loads(again(json.dumps(value).encode()))
    assert back == value or (value in ([], {}) and not back) or json.dumps(back) == json.dumps(value)


@pytest.mark.parametrize(
    ("name", "plain"),
    [("a/b: c?", "a_b_ c_"), ("end. .", "end"), ("x" + "ü" * 40, "x" + "ü" * 29), ("", ""), ("𝄞" * 16, "𝄞" * 15)],
)
def test_a_plain_name_is_whole_letters(lua: Any, name: str, plain: str) -> None:
    assert module(lua, "folders")[b"plain"](name.encode()).decode() == plain


@pytest.mark.parametrize("text", ["", "{", "[1,]", '{"a" 1}', '"\\x"', "tru", "1 2", '"open', "{1:2}"])
def test_what_is_not_json_says_where(lua: Any, text: str) -> None:
    result = module(lua, "json")[b"decode"](text.encode())
    assert result[0] is None
    assert result[1].startswith(b"json: ")


def test_files_are_framed_alike_on_both_sides(lua: Any) -> None:
    unframed = lua.eval(b"function(d) reaper = {}; return require('post').unframe(d) end")
    packets = [b"", b"/a", bytes(range(200)), b"x" * 70000]
    back = unframed(frame(packets))
    assert [back[i + 1] for i in range(len(packets))] == packets == unframe(frame(packets))
    for cut in range(4 + 4 + 2, 20):  # the first two are whole
        assert len(unframe(frame(packets)[:cut])) == 2 == len(list(unframed(frame(packets)[:cut])))
    assert unframe(struct.pack(">i", -3) + b"abc") == []


VIEWS = [
    {"position": p, "length": n, "offset": o, "rate": r, "source_length": s, "section_start": c, "loops": w}
    for p, n, o, r, s, c, w in [
        (0.0, 4.0, 0.0, 1.0, 4.0, 0.0, False),
        (10.1, 3.0, 0.7, 1.0, 4.0, 0.0, False),
        (10.1, 3.0, 0.7, 0.8, 4.0, 1.25, False),
        (7.3, 9.0, -0.5, 1.5, 4.0, 0.5, False),
        (7.3, 9.0, 0.5, 1.5, 2.0, 0.5, True),
        (7.3, 1.0, 1.75, 1.0, 2.0, 0.0, True),
        (3.0, 0.5, 5.25, 1.0, 2.0, 1.0, True),
        (3.0, 6.0, -1.5, 2.0, 2.0, 1.0, True),
    ]
]  # fmt: skip


def heard(view: dict[str, Any], time_s: float) -> float | None:
    """The place of the file that sounds at a time, computed the plain way; None for none."""
    source = view["offset"] + (time_s - view["position"]) * view["rate"]
    if view["loops"]:
        source %= view["source_length"]
    if not 0 <= source < view["source_length"]:
        return None
    return float(source + view["section_start"])


@pytest.mark.parametrize("view", VIEWS)
def test_a_place_of_the_file_is_found_wherever_it_sounds(lua: Any, view: dict[str, Any]) -> None:
    """All over the item: the place that sounds there leads back to that time, and to no other but repeats."""
    timeline, table = module(lua, "timeline"), lua.table_from({k.encode(): v for k, v in view.items()})
    start, end = view["position"], view["position"] + view["length"]
    passage = timeline[b"passage"](table, start, end)
    for i in range(1, 200):
        time_s = start + i * view["length"] / 200
        place = heard(view, time_s)
        if place is None:
            continue
        assert passage[0] - 1e-9 <= place <= passage[1] + 1e-9
        times = list(timeline[b"times"](table, place, start, end).values())
        assert min(abs(t - time_s) for t in times) < 1e-9
        turn = view["source_length"] / view["rate"]
        assert all(start <= t < end for t in times)
        assert all(abs((t - time_s) / turn - round((t - time_s) / turn)) < 1e-9 for t in times)
        wanted = 1 if not view["loops"] else len([k for k in range(-99, 99) if start <= time_s + k * turn < end])
        assert len(times) == wanted


@pytest.mark.parametrize("view", VIEWS)
def test_spans_cover_what_sounds_of_a_passage_and_nothing_else(lua: Any, view: dict[str, Any]) -> None:
    timeline, table = module(lua, "timeline"), lua.table_from({k.encode(): v for k, v in view.items()})
    start, end = view["position"] + 0.1, view["position"] + view["length"] - 0.15
    first, last = view["section_start"] + 0.4, view["section_start"] + 1.1
    spans = [(s[1], s[2]) for s in timeline[b"spans"](table, first, last, start, end).values()]
    assert spans == sorted(spans)
    for i in range(300):
        time_s = start + (i + 0.5) * (end - start) / 300
        place = heard(view, time_s)
        inside = place is not None and first <= place < last
        near = place is not None and min(abs(place - first), abs(place - last)) < 1e-6
        assert near or inside == any(a <= time_s < b for a, b in spans)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("late", [0.0, 0.3])
def test_a_stem_of_the_passage_sounds_where_its_source_does(lua: Any, view: dict[str, Any], late: float) -> None:
    timeline, table = module(lua, "timeline"), lua.table_from({k.encode(): v for k, v in view.items()})
    start, end = view["position"] + late, view["position"] + view["length"]
    passage = timeline[b"passage"](table, start, end)
    offset = timeline[b"stem_offset"](table, start, passage[0])
    length = passage[1] - passage[0]
    for i in range(100):
        time_s = start + (i + 0.5) * (end - start) / 100
        place = heard(view, time_s)
        in_stem = offset + (time_s - start) * view["rate"]
        if view["loops"] and length == view["source_length"]:
            in_stem %= length
        if place is None:
            assert not 0 <= in_stem < length
        else:
            assert abs(passage[0] + in_stem - place) < 1e-9


def test_the_clock_takes_the_least_late_message_and_begins_anew_after_a_jump(lua: Any) -> None:
    clock = module(lua, "clock")[b"new"]()
    assert clock[b"time"](clock, 1.0) is None
    for i in range(200):
        session_s = i / 10
        late = 0.001 + (i * 37 % 30) / 1000
        clock[b"note"](clock, 100.0 + session_s + late, session_s)
    assert math.isclose(clock[b"time"](clock, 5.0), 105.001, abs_tol=1e-9)
    for late in (0.9, 0.7):  # not a jump: it did not come in time
        clock[b"note"](clock, 120.0 + late, 20.0)
        assert math.isclose(clock[b"time"](clock, 5.0), 105.001, abs_tol=1e-9)
    clock[b"note"](clock, 40.02, 20.0)
    assert math.isclose(clock[b"time"](clock, 21.0), 41.02, abs_tol=1e-9)
    assert not clock[b"is_sure"](clock)
    for i in range(3):
        clock[b"note"](clock, 80.0 + i / 10, 20.0 + i / 10)
    assert math.isclose(clock[b"time"](clock, 21.0), 81.0, abs_tol=1e-9)


def test_faders_are_where_they_are_hit(lua: Any) -> None:
    faders = module(lua, "faders")
    strips = faders[b"layout"](4, 360, 320)
    for i in range(1, 5):
        for part in (b"fader", b"mute", b"solo"):
            x, y, w, h = (strips[i][part][k] for k in range(1, 5))
            assert faders[b"hit"](strips, x + w / 2, y + h / 2) == (i, part)
        for db in (-59.0, -20.0, 0.0, 12.0):
            rectangle = strips[i][b"fader"]
            assert math.isclose(faders[b"db_at"](rectangle, faders[b"y_of"](rectangle, db)), db, abs_tol=1e-9)
    assert faders[b"hit"](strips, 2, 2) is None
    assert faders[b"db_at"](strips[1][b"fader"], 1000) == -120.0


def test_every_file_is_lua_5_4_and_keeps_its_names_to_itself() -> None:
    """No file writes a global: scripts share one state with what they load."""
    compiler = shutil.which("luac5.4")
    if compiler is None:
        tool_is_missing("luac5.4 (Debian: lua5.4)")
    for path in sorted(SCRIPTS.rglob("*.lua")):
        listing = subprocess.run([compiler, "-l", "-p", str(path)], capture_output=True, text=True, check=True).stdout
        assert not [line for line in listing.splitlines() if "SETTABUP" in line and "_ENV" in line], path.name


def test_a_plain_lua_with_sockets_speaks_to_the_daemons_server(tmp_path: Path) -> None:
    """lua5.4 and lua-socket as they are installed, our codec, and a real OSC server."""
    if shutil.which("lua5.4") is None:
        tool_is_missing("lua5.4")
    script = tmp_path / "ask.lua"
    script.write_text(
        f'package.path = "{LIB}/?.lua;" .. package.path\n'
        'local osc, found, socket = require("osc"), pcall(require, "socket")\n'
        'if not found then print("no socket") os.exit() end\n'
        'local udp = socket.udp()\nudp:setpeername("127.0.0.1", tonumber(arg[1]))\nudp:settimeout(5)\n'
        'udp:send(osc.encode("/sidechop/stem/gain", "isf", {7, "drüms", -6.5}))\n'
        "local address, values = osc.decode(udp:receive())\nprint(address, table.unpack(values))\n"
    )
    calls: list[Any] = []
    own = ("subscribe", "unsubscribe", "authorise", "cancel")
    handlers = {m.address: lambda *values: calls.append(values) or () for m in REQUESTS if m.address[10:] not in own}
    server = OscServer(handlers, "127.0.0.1", 0)
    server.start()
    try:
        command = ["lua5.4", str(script), str(server.address[1])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    finally:
        server.close()
    if done.stdout == "no socket\n":
        tool_is_missing("lua-socket")
    assert (done.stdout.split(), calls) == (["/sidechop/done", "7"], [("drüms", -6.5)])
