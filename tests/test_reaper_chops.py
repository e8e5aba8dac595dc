"""The chop actions in a project, with the real daemon, by files and sockets: exact to the sample, one undo step."""

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from reaper_api import Api
from reaper_project import Item, Source
from reaper_script import Script, run
from reaper_session import Session, picture, records, session, write_clip
from tiny_models import tiny_live4

from bridge.config import Audio, Config, Osc
from bridge.daemon import Daemon
from bridge.osc_client import OscClient

RATE = 44100
SAMPLE_S = 1 / RATE
CHOP, REROLL, LOCK = "Chop selected items", "Re-roll chops", "Lock chop"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("media") / "a clip.wav")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Iterator[Daemon]:
    model = tiny_live4(tmp_path_factory.mktemp("model") / "tiny.onnx")
    source = Audio(file=clip, loop=True, block=1024)
    with Daemon(Config(model=str(model), history_s=0, audio=source, osc=Osc(port=0))) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def reaper(tmp_path_factory: pytest.TempPathFactory, daemon: Daemon) -> Iterator[Session]:
    with session(tmp_path_factory.mktemp("reaper"), daemon.server.address[1]) as opened:
        yield opened


def asked_directly(daemon: Daemon, record: dict[str, Any], clip: Path) -> list[int]:
    """Positions that the daemon gives for the passage and the options of a record, by a client of its own."""
    found: list[int] = []
    with OscClient(*daemon.server.address, timeout_s=30) as client:
        values = (str(clip), record["start_s"], record["end_s"], json.dumps(record["options"]))
        client.request("/sidechop/chop/file", *values, on_item=lambda item: found.append(item[1]))
    return found


def sample_at(item: Item, time_s: float, source_start: float, source_length: float) -> float:
    """The sample of the file that an item plays at a time, computed the plain way."""
    assert item.take is not None
    place = item.take.values["D_STARTOFFS"] + (time_s - item.start) * item.take.values["D_PLAYRATE"]
    if item.values["B_LOOPSRC"]:
        place = place % source_length
        if source_length - place < 1e-7:  # a hair before the end is the beginning
            place -= source_length
    return (source_start + place) * RATE


CASES = {
    "plain": {"position": 0.0, "length": 8.0},
    "moved and trimmed": {"position": 31.2345, "length": 5.0, "offset": 2.001},
    "slower": {"position": 10.0, "length": 6.0, "offset": 1.0, "rate": 0.75},
    "faster, begins late": {"position": 7.7, "length": 5.0, "offset": -0.5, "rate": 1.5},
    "a section": {"position": 3.0, "length": 4.0, "offset": 0.25, "section": (2.5, 5.0), "loops": False},
    "a section in a loop": {"position": 3.0, "length": 9.0, "offset": 1.0, "section": (1.0, 3.5), "loops": True},
    "a loop of the file": {"position": 100.0, "length": 20.0, "offset": 4.0, "loops": True},
    "part of a loop": {"position": 5.0, "length": 4.0, "offset": 13.0, "loops": True},
}


def add(api: Api, clip: Path, case: dict[str, Any], track: Any = None) -> Item:
    values = dict(case)
    source = Source.of_file(clip)
    if section := values.pop("section", None):
        source = source.section(*section)
    values.setdefault("loops", False)
    return api.project.add_item(track or api.project.add_track("break"), source, **values)


@pytest.mark.parametrize(
    ("name", "sockets"), [*((name, False) for name in CASES), ("slower", True), ("a section in a loop", True)]
)
def test_markers_lie_on_the_samples_that_the_daemon_names(
    reaper: Session, daemon: Daemon, clip: Path, name: str, sockets: bool
) -> None:
    """Every marker leads back to a chop's sample without a remainder, and every chop has one wherever it is heard."""
    case = CASES[name]
    api = reaper.project()
    item = add(api, clip, case)
    api.project.settle()
    before = picture(api.project.state)
    run(api, CHOP, sockets=sockets)
    assert api.messages == []
    (record,) = records(api).values()
    wanted = asked_directly(daemon, record, clip)
    assert [chop["position"] for chop in record["chops"]] == wanted
    assert len(wanted) >= 2
    start, length = case.get("section", (0.0, 12.0))
    heard: list[int] = []
    for marker in api.project.state.markers:
        assert item.start <= marker.position < item.end
        exact = sample_at(item, marker.position, start, length)
        assert abs(exact - round(exact)) < 1e-4  # of a sample: what doubles leave after 100 s
        assert round(exact) in wanted
        heard.append(round(exact))
    rate, offset = case.get("rate", 1.0), case.get("offset", 0.0)
    turns = range(-3, 30) if case.get("loops") else range(1)
    expected = [
        n for n in wanted for k in turns
        if item.start - 1e-9 <= item.start + (n / RATE - start + k * length - offset) / rate < item.end
    ]  # fmt: skip
    assert sorted(heard) == sorted(expected)
    assert [step for step, _ in api.project.undo_steps] == ["Sidechop: chop selected items"]
    assert api.project.edits_outside == 0
    api.project.undo()
    assert picture(api.project.state) == before


def test_splits_cut_on_the_sample_and_lose_nothing(reaper: Session, clip: Path) -> None:
    api = reaper.project(chop_as="splits")
    item = add(api, clip, {"position": 20.0, "length": 6.0, "offset": 3.0, "rate": 1.25})
    item.values["D_FADEOUTLEN"] = 0.2
    api.project.settle()
    before = picture(api.project.state)
    run(api, CHOP)
    pieces = api.project.items
    (record,) = records(api).values()
    cuts = [piece.start for piece in pieces[1:]]
    wanted = [c["position"] for c in record["chops"]]
    assert len(pieces) == len(record["pieces"]) >= 4
    for cut in cuts:
        assert min(abs((3.0 + (cut - 20.0) * 1.25) * RATE - n) for n in wanted) < 1e-4
    for left, right in pairwise(pieces):
        assert left.end == right.start
        assert right.take is not None
        assert abs(right.take.values["D_STARTOFFS"] - (3.0 + (right.start - 20.0) * 1.25)) < 1e-12
    assert (pieces[0].start, pieces[-1].end, pieces[-1].values["D_FADEOUTLEN"]) == (20.0, 26.0, 0.2)
    assert api.project.undo() == "Sidechop: chop selected items"
    assert picture(api.project.state) == before


def test_splits_are_rolled_again_and_locked_ones_stay(reaper: Session, clip: Path) -> None:
    api = reaper.project(chop_as="splits", chop_count="5")
    add(api, clip, {"position": 1.0, "length": 10.0})
    api.project.settle()
    run(api, CHOP)
    (first,) = records(api).values()
    locked = first["chops"][2]["position"]
    api.cursor = 1.0 + locked / RATE + 0.01
    run(api, LOCK)
    assert records(api)[first["guid"]]["chops"][2]["locked"]
    green = [item for item in api.project.items if item.values["I_CUSTOMCOLOR"]]
    assert [round((item.start - 1.0) * RATE) for item in green] == [locked]
    for item in api.project.items:
        item.values["B_UISEL"] = float(item is api.project.items[-1])  # one of the pieces will do
    seen = set()
    for _ in range(4):
        run(api, REROLL)
        assert api.messages == []
        (again,) = records(api).values()
        positions = tuple(chop["position"] for chop in again["chops"])
        seen.add(positions)
        assert len(positions) == 5
        assert locked in positions
        pieces = api.project.items
        assert (pieces[0].guid, pieces[0].start, pieces[-1].end) == (first["guid"], 1.0, 11.0)
        assert [round((item.start - 1.0) * RATE) for item in pieces[1:]] == [n for n in positions if n]
    assert len(seen) >= 2
    names = [name for name, _ in api.project.undo_steps]
    assert names == ["Sidechop: chop selected items", "Sidechop: lock chop", *["Sidechop: re-roll chops"] * 4]
    assert api.project.edits_outside == 0
    api.project.items[1].values["D_POSITION"] += 0.1
    before = len(api.project.items)
    run(api, REROLL)
    assert "its pieces were changed since" in api.messages[-1]
    assert len(api.project.items) == before


@pytest.mark.parametrize("kind", ["markers", "take markers", "regions"])
def test_a_roll_replaces_what_was_drawn_and_keeps_what_was_locked(reaper: Session, clip: Path, kind: str) -> None:
    api = reaper.project(chop_as=kind, chop_count="4")
    item = add(api, clip, {"position": 5.0, "length": 10.0, "offset": 1.0})
    api.project.add_marker(False, 6.0, 0.0, "the user's own", -1, 0)
    api.project.settle()
    run(api, CHOP)
    (first,) = records(api).values()
    places = [chop["position"] / RATE for chop in first["chops"]]

    def drawn() -> list[tuple[float, str]]:
        assert item.take is not None
        if kind == "take markers":
            return [(position, name) for position, name, _ in item.take.markers]
        ours = [m for m in api.project.state.markers if m.name != "the user's own"]
        assert all(m.region == (kind == "regions") for m in ours)
        return [(m.position - 5.0 + 1.0, m.name) for m in ours]

    assert np.allclose([place for place, _ in drawn()], places, atol=1e-9)
    if kind == "regions":
        ends = [m.end - 4.0 for m in api.project.state.markers if m.region]
        assert np.allclose(ends, [min(chop["stop"] / RATE, 11.0) for chop in first["chops"]], atol=1e-9)
    api.cursor = 5.0 - 1.0 + places[1] + 0.001
    run(api, LOCK)
    assert [" locked" in name for _, name in drawn()] == [False, True, False, False]
    for _ in range(3):
        run(api, REROLL)
        assert len(drawn()) == 4
        assert [round(place * RATE) for place, name in drawn() if " locked" in name] == [first["chops"][1]["position"]]
    api.cursor = 5.0 - 1.0 + places[1]
    run(api, LOCK)
    assert not any(" locked" in name for _, name in drawn())
    assert [m.name for m in api.project.state.markers if "own" in m.name] == ["the user's own"]
    assert api.messages == []


def test_another_daemon_is_told_what_was_locked(reaper: Session, clip: Path) -> None:
    """A job's number means nothing to a daemon that was started since; it hears the file again."""
    api = reaper.project(chop_count="5")
    add(api, clip, {"position": 0.0, "length": 10.0})
    run(api, CHOP)
    (record,) = records(api).values()
    locked = record["chops"][3]["position"]
    record["session"] = "of yesterday"
    record["job"] = 1
    record["chops"][3]["locked"] = True
    api.project.state.ext["Sidechop", "chops"] = json.dumps({record["guid"]: record})
    run(api, REROLL)
    (again,) = records(api).values()
    assert api.messages == []
    assert again["session"] != "of yesterday"
    assert {chop["position"] for chop in again["chops"] if chop["locked"]} == {locked}
    assert len(again["chops"]) == 5


@pytest.mark.parametrize("kind", ["markers", "splits"])
def test_a_roll_after_an_undo_that_left_the_memory_as_it_was(reaper: Session, clip: Path, kind: str) -> None:
    """What was drawn is gone, what is remembered is not: the roll draws anew, and nothing twice."""
    api = reaper.project(chop_as=kind, chop_count="4")
    add(api, clip, {"position": 2.0, "length": 8.0})
    api.project.settle()
    run(api, CHOP)
    remembered = dict(api.project.state.ext)
    api.project.undo()
    api.project.state.ext.update(remembered)
    run(api, REROLL)
    assert api.messages == []
    (record,) = records(api).values()
    wanted = [2.0 + chop["position"] / RATE for chop in record["chops"]]
    starts = [m.position for m in api.project.state.markers] or [item.start for item in api.project.items][1:]
    assert np.allclose(starts, wanted[-len(starts) :], atol=1e-9)
    assert len(starts) >= 3


def test_many_items_and_the_time_selection_in_one_step(reaper: Session, clip: Path) -> None:
    api = reaper.project(chop_mode="transient")
    track = api.project.add_track()
    items = [add(api, clip, {"position": 10.0 * i, "length": 3.0, "offset": 0.5 * i}, track) for i in range(3)]
    api.project.settle()
    api.time_selection = (1.5, 12.0)
    run(api, CHOP)
    markers = api.project.state.markers
    assert {m.position < 9 for m in markers} == {True, False}
    assert all(1.5 <= m.position < 12.0 for m in markers)
    assert set(records(api)) == {items[0].guid, items[1].guid}
    assert len(api.project.undo_steps) == 1
    api.project.undo()
    api.time_selection = (200.0, 210.0)  # touches nothing: it does not count
    run(api, CHOP)
    assert len(records(api)) == 3
    api.ext["Sidechop", "time_selection"] = "no"
    api.time_selection = (1.5, 12.0)
    run(api, CHOP)
    assert any(m.position > 20 for m in api.project.state.markers)


def test_of_several_takes_the_active_one_is_chopped(
    reaper: Session, daemon: Daemon, clip: Path, tmp_path: Path
) -> None:
    api = reaper.project(chop_as="take markers")
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(RATE * 12), RATE)
    item = api.project.add_item(api.project.add_track(), silent, 3.0, 6.0, loops=False)
    other = add(api, clip, {"position": 3.0, "length": 6.0, "offset": 1.5, "rate": 1.2})
    item.takes.append(other.takes.pop())
    item.active, other.values["B_UISEL"] = 1, 0.0
    run(api, CHOP)
    assert api.messages == []
    (record,) = records(api).values()
    assert (record["path"], item.takes[0].markers) == (str(clip), [])
    wanted = asked_directly(daemon, record, clip)
    assert [round(position * RATE) for position, _, _ in item.takes[1].markers] == wanted


@pytest.mark.parametrize("why", ["reversed", "stretched", "inside the project"])
def test_what_the_file_does_not_tell_is_written_out_first(reaper: Session, clip: Path, why: str) -> None:
    api = reaper.project(chop_as="take markers")
    source = Source.of_file(clip)
    if why == "reversed":
        source = source.section(1.0, 5.0, backwards=True)
    elif why == "inside the project":
        source = Source("RPP_PROJECT", str(clip), source.length, source.rate, source.channels)
    item = api.project.add_item(api.project.add_track(), source, 50.0, 4.0, offset=0.5, loops=False)
    if why == "stretched":
        assert item.take is not None
        item.take.stretch_markers.append((1.0, 1.0))
    api.project.settle()
    run(api, CHOP)
    assert api.messages == []
    (record,) = records(api).values()
    written, rate = soundfile.read(record["path"])
    audio, _ = soundfile.read(clip)
    part = audio[round(1.5 * RATE) : round(5.5 * RATE)][::-1] if why == "reversed" else audio[RATE // 2 :][: 4 * RATE]
    assert (rate, len(written)) == (RATE, 4 * RATE)
    assert np.max(np.abs(written - part)) < 1e-7
    positions = [chop["position"] for chop in record["chops"]]
    assert np.allclose([(m.position - 50.0) * RATE for m in api.project.state.markers], positions, atol=1e-4)
    assert len(positions) >= 2
    assert len(api.project.undo_steps) == 1


def test_what_cannot_be_chopped_is_said_and_nothing_changes(reaper: Session, clip: Path, tmp_path: Path) -> None:
    api = reaper.project()
    run(api, CHOP)
    assert api.messages == ["Select an item with audio first."]
    run(api, REROLL)
    run(api, LOCK)
    assert "that was chopped by Sidechop first" in api.messages[1]
    assert "Place the edit cursor" in api.messages[2]
    track = api.project.add_track()
    api.project.add_item(track, Source("MIDI"), 0.0, 4.0)
    api.project.add_item(track, Source("WAVE", str(tmp_path / "gone.wav"), 4.0, RATE, 1), 5.0, 4.0)
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(RATE * 2), RATE)
    api.project.add_item(track, silent, 10.0, 2.0)
    empty = api.project.add_item(track, clip, 15.0, 2.0)
    empty.takes.clear()
    api.project.settle()
    before = picture(api.project.state)
    run(api, CHOP)
    for words in ("is MIDI", "its file is missing", "is silent", "without audio"):
        assert words in api.messages[3]
    assert picture(api.project.state) == before
    assert api.project.undo_steps == []
    add(api, clip, {"position": 20.0, "length": 5.0}, track)
    run(api, CHOP)  # the one good one is done
    assert len(api.project.state.markers) >= 2
    assert "is silent" in api.messages[4]


def test_an_item_moved_meanwhile_is_followed_and_one_that_was_cut_is_left(reaper: Session, clip: Path) -> None:
    api = reaper.project()
    moved = add(api, clip, {"position": 0.0, "length": 6.0})
    cut = add(api, clip, {"position": 0.0, "length": 6.0})
    script = Script(api, CHOP)
    moved.values["D_POSITION"] = 40.0
    api.project.split(cut, 3.0)
    script.wait()
    assert "was changed in the meantime" in api.messages[0]
    assert all(40.0 <= m.position < 46.0 for m in api.project.state.markers)
    assert len(api.project.state.markers) >= 2


def test_closing_the_window_cancels(reaper: Session, daemon: Daemon, tmp_path: Path) -> None:
    long = write_clip(tmp_path / "long.wav", 300.0)
    api = reaper.project()
    add(api, long, {"position": 0.0, "length": 300.0})
    script = Script(api, CHOP)
    script.wait(until=lambda: any("listening" in text for text in script.drawn))
    refused = daemon.server.counters()["refused"]
    script.key = -1
    script.wait(limit_s=5)
    for _ in range(300):  # the daemon, too, has ended it, and not because it was done
        if daemon.server.counters()["refused"] > refused:
            break
        time.sleep(0.1)
    assert daemon.server.counters()["refused"] == refused + 1
    assert (api.messages, api.project.state.markers, api.project.undo_steps) == ([], [], [])
    with OscClient(*daemon.server.address, timeout_s=30) as client:  # it works for others at once
        client.request("/sidechop/ping")
