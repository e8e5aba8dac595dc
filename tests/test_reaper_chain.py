"""The action that runs items through a chain: what comes out lies where the item did, exactly; one step of undo."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from reaper_api import Api
from reaper_project import Source, Track
from reaper_script import Script, run
from reaper_session import Session, picture, session, write_clip
from test_reaper_stems import CASES, RATE, add, sound
from tiny_models import MASKS, STEMS, tiny_live4

from bridge.config import Audio, Config, Osc
from bridge.daemon import Daemon

CHAIN = "Run selected items through a chain"
GAIN = 10 ** (-6 / 20)
CHAINS = {
    "softer": '[[stage]]\ntype = "Gain"\ngain_db = -6\n',
    "short": '[[stage]]\ntype = "trim"\nend_s = 0.5\nthreshold_db = -144\n',
    "slow": '[[stage]]\ntype = "Reverb"\n' * 40,
    "broken": "x =",
    "sliced": '[[stage]]\ntype = "chop"\noutput = "slices"\nmode = "equal"\ncount = 4\n',
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("media") / "song.wav")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Iterator[Daemon]:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("XDG_DATA_HOME", str(home))
        model = tiny_live4(home / "tiny.onnx")
        parts = f'[[stage]]\ntype = "separate"\nmodel = "{model}"\noutput = "files"\n'
        folder = home / "sidechop" / "chains"
        folder.mkdir(parents=True)
        for name, text in {**CHAINS, "parts": parts}.items():
            (folder / f"{name}.toml").write_text(text)
        source = Audio(file=clip, loop=True, block=1024)
        with Daemon(Config(model=str(model), history_s=0, audio=source, osc=Osc(port=0))) as daemon:
            yield daemon


@pytest.fixture(scope="module")
def reaper(tmp_path_factory: pytest.TempPathFactory, daemon: Daemon) -> Iterator[Session]:
    with session(tmp_path_factory.mktemp("reaper"), daemon.server.address[1]) as opened:
        yield opened


def song(reaper: Session, clip: Path, case: dict[str, Any]) -> tuple[Api, Track]:
    """A project with one item."""
    api = reaper.project()
    track = api.project.add_track("song")
    add(api, clip, case, track)
    api.project.settle()
    return api, track


def left_behind(api: Api) -> list[Path]:
    """What was written for the chain to hear."""
    return list((api.resources / "Data" / "Sidechop" / "rendered").iterdir())


@pytest.mark.parametrize("name", CASES)
def test_what_comes_out_is_a_take_that_lies_where_the_item_does(reaper: Session, clip: Path, name: str) -> None:
    api, track = song(reaper, clip, CASES[name])
    (item,) = track.items
    before, values = picture(api.project.state), dict(item.values)
    wanted = sound(item, item.start, item.end)
    api.answers = ["softer"]
    run(api, CHAIN)
    assert api.messages == []
    assert 40047 in api.actions  # peaks
    assert ([take.name for take in item.takes], item.active) == (["song", "song softer"], 1)
    assert item.values == values
    take = item.takes[1]
    assert Path(take.source.path).parent == api.project_folder / "Sidechop" / "softer"
    assert take.source.length == pytest.approx(item.length, abs=1 / RATE)
    assert (take.values["D_STARTOFFS"], take.values["D_PLAYRATE"]) == (0.0, 1.0)
    assert np.max(np.abs(sound(item, item.start, item.end) - GAIN * wanted)) < 1e-6
    assert np.max(np.abs(wanted)) > 0.01
    assert [step for step, _ in api.project.undo_steps] == ["Sidechop: run items through softer"]
    assert api.project.edits_outside == 0
    api.project.undo()
    assert picture(api.project.state) == before
    assert left_behind(api) == []


def test_a_reversed_item_and_names_that_are_alike(reaper: Session, clip: Path) -> None:
    api = reaper.project()
    source = Source.of_file(clip).section(1.0, 4.0, backwards=True)
    items = [
        api.project.add_item(api.project.add_track("song"), source, 6.0, 4.0, loops=False),
        api.project.add_item(api.project.add_track("song"), clip, 3.0, 2.0),
        api.project.add_item(api.project.add_track("song"), clip, 3.0, 1.0),
    ]
    for item, name in zip(items, ("Söng.wav", "söng/1: *", "Söng.wav"), strict=True):
        item.takes[0].name = name
    api.project.settle()
    api.answers = ["softer"]
    run(api, CHAIN)
    assert api.messages == []
    audio, _ = soundfile.read(clip, dtype="float32", always_2d=True)
    wanted = audio[RATE : 5 * RATE, 0][::-1]
    assert np.max(np.abs(sound(items[0], 6.0, 10.0) - GAIN * wanted)) < 1e-6
    assert [Path(item.takes[1].source.path).name for item in items] == ["Söng.wav", "söng_1_ _.wav", "Söng 2.wav"]
    assert [item.takes[1].source.length for item in items] == [4.0, 2.0, 1.0]
    assert len(api.project.undo_steps) == 1


def test_the_names_are_offered_and_the_last_is_remembered(reaper: Session, clip: Path) -> None:
    """A name that there is none of, or a chain that cannot be read, is told at once and asked for again."""
    api, track = song(reaper, clip, {"position": 1.0, "length": 1.0})
    before = picture(api.project.state)
    api.answers = ["sofert", "broken", "/nowhere/a.toml", "", None]
    run(api, CHAIN)
    names = ["broken", "parts", "short", "sliced", "slow", "softer"]
    assert api.asked[0][1] == f"Chain: {' / '.join(names)},extrawidth=240,separator=\n"
    assert [asked[2] for asked in api.asked] == ["parts", "sofert", "broken", "/nowhere/a.toml", ""]
    assert api.messages[0] == f"no chain is named 'sofert'; there are: {', '.join(names)}"
    assert api.messages[1].startswith("broken: ")
    assert api.messages[2:] == ["/nowhere/a.toml: no such chain; give its whole path", "Type the name of a chain."]
    assert (picture(api.project.state), api.project.undo_steps) == (before, [])
    api.answers = ["softer"]
    run(api, CHAIN)
    api.answers = [None]
    run(api, CHAIN)
    assert api.asked[-1][2] == "softer"
    assert len(track.items[0].takes) == 2


def test_a_chain_by_its_path(reaper: Session, clip: Path, tmp_path: Path) -> None:
    """What is wrong with it is one line, and nothing is left."""
    api, track = song(reaper, clip, {"position": 1.0, "length": 1.0})
    chain = tmp_path / "my chain.toml"
    chain.write_text('[[stage]]\ntype = "Gian"\n')
    api.answers = [str(chain)]
    run(api, CHAIN)
    (message,) = api.messages
    assert "my chain.toml" in message
    assert "\n" not in message
    assert (len(track.items[0].takes), api.project.undo_steps, left_behind(api)) == (1, [], [])
    chain.write_text(CHAINS["softer"])
    api.answers = [str(chain)]
    run(api, CHAIN)
    assert [take.name for take in track.items[0].takes] == ["song", "song my chain"]


def test_a_file_that_fails_is_told_and_the_others_are_laid(reaper: Session, clip: Path, tmp_path: Path) -> None:
    audio, _ = soundfile.read(clip, dtype="float32", always_2d=True)
    audio = audio[: 2 * RATE].copy()
    audio[RATE] = np.nan
    soundfile.write(tmp_path / "bad.wav", audio, RATE, subtype="FLOAT")
    api, track = song(reaper, clip, {"position": 1.0, "length": 2.0})
    bad = api.project.add_item(track, tmp_path / "bad.wav", 4.0, 2.0)
    api.project.settle()
    api.answers = ["softer"]
    run(api, CHAIN)
    (message,) = api.messages
    assert message.startswith("bad: ")
    assert "\n" not in message
    assert [len(item.takes) for item in track.items] == [2, 1]
    assert bad.active == 0
    assert len(api.project.undo_steps) == 1


def test_what_is_shorter_does_not_begin_again(reaper: Session, clip: Path) -> None:
    api, track = song(reaper, clip, {"position": 1.0, "length": 2.0, "loops": True})
    api.answers = ["short"]
    run(api, CHAIN)
    (item,) = track.items
    assert api.messages == []
    assert item.takes[1].source.length < 2.0
    assert (item.length, item.values["B_LOOPSRC"]) == (2.0, 0.0)


def test_several_files_of_an_item_are_tracks_under_it(reaper: Session, clip: Path) -> None:
    api, track = song(reaper, clip, {"position": 10.0, "length": 2.0, "offset": 3.0})
    (item,) = track.items
    wanted = sound(item, 10.0, 12.0)
    api.answers = ["parts"]
    run(api, CHAIN)
    assert api.messages == []
    names, gains = (*STEMS, "other"), (*MASKS, 1 - sum(MASKS))
    tracks = api.project.state.tracks
    assert [t.name for t in tracks] == ["song", *(f"song {name}" for name in names)]
    for stem, gain in zip(tracks[1:], gains, strict=True):
        (part,) = stem.items
        assert (part.start, part.length) == (10.0, 2.0)
        assert np.max(np.abs(sound(part, 10.0, 12.0) - gain * wanted)) < 1e-6
    assert (item.values["B_MUTE"], len(item.takes), len(api.project.undo_steps)) == (1.0, 1, 1)


def test_slices_are_told_of(reaper: Session, clip: Path) -> None:
    api, track = song(reaper, clip, {"position": 0.0, "length": 8.0})
    api.answers = ["sliced"]
    run(api, CHAIN)
    folder = api.project_folder / "Sidechop" / "sliced"
    slices = list(folder.rglob("*.wav"))
    assert len(slices) > 1
    assert api.messages == [f"song: {len(slices)} slices are in {folder}"]
    assert (len(track.items[0].takes), api.project.undo_steps) == (1, [])


def test_it_is_cancelled_by_closing_the_window(reaper: Session, clip: Path) -> None:
    api, _ = song(reaper, write_clip(clip.parent / "long.wav", 120.0), {"position": 0.0, "length": 120.0})
    before = picture(api.project.state)
    api.answers = ["slow"]
    script = Script(api, CHAIN)
    script.wait(lambda: any("Reverb" in text for text in script.drawn))
    script.key = -1
    script.wait(limit_s=5)
    assert (picture(api.project.state), api.project.undo_steps, api.messages) == (before, [], [])
    assert left_behind(api) == []


def test_an_item_that_was_slipped_meanwhile_is_left(reaper: Session, clip: Path) -> None:
    api, track = song(reaper, clip, {"position": 0.0, "length": 2.0})
    api.answers = ["softer"]
    script = Script(api, CHAIN)
    script.wait(lambda: left_behind(api))
    track.items[0].takes[0].values["D_STARTOFFS"] = 1.0
    script.wait()
    assert api.messages == [
        f"song: was changed in the meantime; what came out is in {api.project_folder / 'Sidechop' / 'softer'}"
    ]
    assert (len(track.items[0].takes), api.project.undo_steps) == (1, [])
