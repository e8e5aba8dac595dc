"""The separation job over OSC, and the actions that lay its stems on tracks or takes: exact sums, routing, undo."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from reaper_api import Api
from reaper_project import Item, Source, Track
from reaper_script import run
from reaper_session import Session, picture, session, write_clip
from tiny_models import MASKS, STEMS, tiny_live4

from bridge.config import Audio, Config, Osc
from bridge.daemon import Daemon
from bridge.osc_client import OscClient
from bridge.osc_packet import write_message
from streaming.errors import RequestError

RATE = 44100
SEPARATE, QUERY = "Separate selected items to tracks", "Query separate"
NAMES = (*STEMS, "other")
GAINS = (*MASKS, 1 - sum(MASKS))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("media") / "song.wav")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_live4(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def daemon(model: Path, clip: Path) -> Iterator[Daemon]:
    source = Audio(file=clip, loop=True, block=1024)
    with Daemon(Config(model=str(model), history_s=0, audio=source, osc=Osc(port=0))) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def reaper(tmp_path_factory: pytest.TempPathFactory, daemon: Daemon) -> Iterator[Session]:
    with session(tmp_path_factory.mktemp("reaper"), daemon.server.address[1]) as opened:
        yield opened


@pytest.fixture
def client(daemon: Daemon) -> Iterator[OscClient]:
    with OscClient(*daemon.server.address, timeout_s=60.0) as client:
        yield client


def ask(client: OscClient, path: Path, start: float, end: float, folder: object, **options: Any) -> tuple[Any, Any]:
    """The reply and the items of a job."""
    items: list[Any] = []
    values = (str(path), start, end, json.dumps(options), str(folder))
    reply = client.request("/sidechop/separate/file", *values, on_item=lambda item: items.append(list(item)))
    return list(reply), items


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.0), (1.0, 3.5), (0.123456, 0.2), (11.0, 0.0)])
def test_a_passage_is_separated_to_the_sample(
    client: OscClient, clip: Path, model: Path, tmp_path: Path, start: float, end: float
) -> None:
    (_, count, rate, first, last), items = ask(client, clip, start, end, tmp_path / "stems", model=str(model))
    audio, _ = soundfile.read(clip, dtype="float32", always_2d=True)
    assert (first, last) == (round(start * RATE), round(end * RATE) or len(audio))
    assert (count, rate, [item[1] for item in items]) == (4, RATE, list(NAMES))
    for (index, name, path, peak), gain in zip(items, GAINS, strict=True):
        stem, _ = soundfile.read(path, dtype="float32", always_2d=True)
        assert (path, index) == (str(tmp_path / "stems" / f"{name}.wav"), NAMES.index(name))
        assert stem.shape == (last - first, 2)
        assert np.max(np.abs(stem - gain * audio[first:last])) < 1e-6
        assert abs(10 ** (peak / 20) - np.max(np.abs(stem))) < 1e-4


def test_some_stems_in_another_format(client: OscClient, clip: Path, model: Path, tmp_path: Path) -> None:
    wish = {"stems": ["other", "drums"], "format": "flac", "model": str(model)}
    _, items = ask(client, clip, 2.0, 3.0, tmp_path / "x", **wish)
    assert [(item[1], soundfile.info(item[2]).format) for item in items] == [("drums", "FLAC"), ("other", "FLAC")]


def test_mistakes_are_one_line_and_leave_nothing(client: OscClient, clip: Path, model: Path, tmp_path: Path) -> None:
    for path, start, end, folder, options, words in (
        (tmp_path / "none.wav", 0.0, 0.0, tmp_path / "a", {}, r"none\.wav: no such file"),
        (clip, 13.0, 0.0, tmp_path / "a", {}, "start at 13 s lies outside"),
        (clip, 3.0, 2.0, tmp_path / "a", {}, "ends at 2 s, before it starts at 3 s"),
        (clip, 0.0, 1.0, "", {}, "folder is empty"),
        (clip, 0.0, 1.0, tmp_path / "a", {"stems": ["piano"]}, "has no stem 'piano'"),
        (clip, 0.0, 1.0, tmp_path / "a", {"model": "chopper"}, "gives no stems"),
        (clip, 0.0, 1.0, tmp_path / "a", {"stem": ["drums"]}, "stem: Extra inputs are not permitted"),
        (clip, 0.0, 1.0, tmp_path / "a", {"format": "mp3"}, "format: "),
        (clip, 0.0, 1.0, clip / "a", {}, "song.wav"),
    ):
        with pytest.raises(RequestError, match=words) as refused:
            ask(client, path, start, end, folder, **{"model": str(model), **options})
        assert "internal" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_cancelled_job_leaves_nothing(client: OscClient, tmp_path: Path, model: Path) -> None:
    long = write_clip(tmp_path / "long.wav", 240.0)
    values = (str(long), 0.0, 0.0, json.dumps({"model": str(model)}), str(tmp_path / "stems"))
    client.send(write_message("/sidechop/separate/file", values, id=1001))
    while (event := client.event(30)) != ("/sidechop/progress", [1001, 0.0, "separating"]):
        assert event is not None
    client.request("/sidechop/cancel", 1001)
    while event := client.event(30):
        if event[0] in ("/sidechop/done", "/sidechop/error"):
            break
    assert event == ("/sidechop/error", [1001, "cancelled"])
    ask(client, long, 0.0, 1.0, tmp_path / "after", model=str(model))  # the worker has tidied up before that
    assert not [path for path in tmp_path.rglob("*") if "stems" in str(path)]


def sound(item: Item, from_s: float, to_s: float) -> np.ndarray:
    """What an item plays between two times, nearest samples, the plain way. ``(frames,)``, left channel."""
    take = item.take
    assert take is not None
    source, start = take.source, 0.0
    length = source.length
    while source.parent:
        start, source = start + source.offset, source.parent
    audio, rate = soundfile.read(source.path, dtype="float32", always_2d=True)
    time_s = from_s + np.arange(round((to_s - from_s) * RATE)) / RATE
    place = take.values["D_STARTOFFS"] + (time_s - item.start) * take.values["D_PLAYRATE"]
    heard = (time_s >= item.start - 1e-9) & (time_s < item.end)
    if item.values["B_LOOPSRC"]:
        place = place % length
    heard &= (place > -1e-9) & (place < length)
    index = np.clip(np.round((start + place) * rate).astype(int), 0, len(audio) - 1)
    return np.where(heard, audio[index, 0], 0.0)


CASES: dict[str, dict[str, Any]] = {
    "plain": {"position": 10.0, "length": 4.0, "offset": 3.0},
    "slower": {"position": 10.0, "length": 4.0, "offset": 3.0, "rate": 0.8},
    "begins late": {"position": 10.0, "length": 4.0, "offset": -1.0},
    "a section": {"position": 10.0, "length": 3.0, "offset": 0.5, "section": (2.0, 5.0)},
    "a loop over its end": {"position": 10.0, "length": 9.0, "offset": 1.0, "section": (2.0, 3.0), "loops": True},
    "within a loop": {"position": 10.0, "length": 1.0, "offset": 7.25, "section": (2.0, 3.0), "loops": True},
}


def add(api: Api, clip: Path, case: dict[str, Any], track: Track) -> Item:
    values = dict(case)
    source = Source.of_file(clip)
    if section := values.pop("section", None):
        source = source.section(*section)
    return api.project.add_item(track, source, **{"loops": False, **values})


@pytest.mark.parametrize("name", CASES)
def test_stems_on_tracks_sound_as_the_item_did(reaper: Session, clip: Path, model: Path, name: str) -> None:
    api = reaper.project(stem_model=str(model))
    track = api.project.add_track("song")
    item = add(api, clip, CASES[name], track)
    item.values |= {"D_VOL": 0.5, "D_FADEINLEN": 0.25}
    api.project.settle()
    before = picture(api.project.state)
    run(api, SEPARATE)
    assert api.messages == []
    assert 40047 in api.actions  # peaks
    wanted = sound(item, item.start, item.end)
    total = np.zeros_like(wanted)
    for stem, gain in zip(api.project.state.tracks[1:], GAINS, strict=True):
        (part,) = stem.items
        heard = sound(part, item.start, item.end)
        assert np.max(np.abs(heard - gain * wanted)) < 1e-6
        assert (part.start, part.length, part.values["D_VOL"]) == (item.start, item.length, 0.5)
        assert (part.values["D_FADEINLEN"], part.values["B_MUTE"]) == (0.25, 0.0)
        total += heard
    assert np.max(np.abs(total - wanted)) < 1e-6
    assert item.values["B_MUTE"] == 1.0
    tracks = api.project.state.tracks
    assert [t.name for t in tracks] == ["song", *(f"song {stem}" for stem in NAMES)]
    assert [t.values["I_FOLDERDEPTH"] for t in tracks] == [1, 0, 0, 0, -1]
    assert len({t.values["I_CUSTOMCOLOR"] for t in tracks[1:]}) == 4
    assert [step for step, _ in api.project.undo_steps] == ["Sidechop: separate selected items"]
    assert api.project.edits_outside == 0
    api.project.undo()
    assert picture(api.project.state) == before


def test_items_of_a_track_share_its_stem_tracks_and_folders_stay_whole(
    reaper: Session, clip: Path, model: Path
) -> None:
    """The song's track is the last of a folder: what closed that folder closes it still."""
    api = reaper.project(stem_model=str(model), stem_names="drums other")
    bus, song, after = (api.project.add_track(name) for name in ("bus", "song", "after"))
    bus.values["I_FOLDERDEPTH"], song.values["I_FOLDERDEPTH"] = 1, -1
    add(api, clip, {"position": 0.0, "length": 1.0}, song)
    add(api, clip, {"position": 2.0, "length": 1.0, "offset": 5.0}, song)
    api.project.settle()
    run(api, SEPARATE)
    assert api.messages == []
    tracks = api.project.state.tracks
    assert [t.name for t in tracks] == ["bus", "song", "song drums", "song other", "after"]
    assert [t.values["I_FOLDERDEPTH"] for t in tracks] == [1, 1, 0, -2, 0]
    assert [[item.start for item in t.items] for t in tracks] == [[], [0.0, 2.0], [0.0, 2.0], [0.0, 2.0], []]
    paths = {item.take.source.path for item in api.project.items if item.take}
    assert len(paths) == 1 + 4  # no stem was written over by another's
    for item in api.project.items:
        item.values["B_UISEL"] = 0.0
    add(api, clip, {"position": 7.0, "length": 1.0}, song)
    api.ext["Sidechop", "stem_names"] = "vocals"
    run(api, SEPARATE)
    assert [t.name for t in tracks] == ["bus", "song", "song vocals", "song drums", "song other", "after"]
    assert sum(t.values["I_FOLDERDEPTH"] for t in tracks) == 0
    assert after.values["I_FOLDERDEPTH"] == 0


def test_the_time_selection_cuts_out_its_part(reaper: Session, clip: Path, model: Path) -> None:
    api = reaper.project(stem_model=str(model), stem_names="vocals other")
    track = api.project.add_track("song")
    add(api, clip, {"position": 10.0, "length": 8.0, "offset": 1.0}, track)
    api.project.settle()
    api.time_selection = (12.0, 13.5)
    run(api, SEPARATE)
    assert [(item.start, item.end, item.values["B_MUTE"]) for item in track.items] == [
        (10.0, 12.0, 0), (12.0, 13.5, 1), (13.5, 18.0, 0),
    ]  # fmt: skip
    for stem in api.project.state.tracks[1:]:
        assert [(item.start, item.end) for item in stem.items] == [(12.0, 13.5)]
    assert len(api.project.undo_steps) == 1


def test_to_separate_again_replaces_what_was_there(reaper: Session, clip: Path, model: Path) -> None:
    """Nothing is heard twice, and the user's own item on a stem's track stays."""
    api = reaper.project(stem_model=str(model), stem_names="vocals drums")
    item = add(api, clip, {"position": 1.0, "length": 2.0}, api.project.add_track("song"))
    run(api, SEPARATE)
    vocals, drums = api.project.state.tracks[1:]
    own = api.project.add_item(drums, clip, 20.0, 1.0, selected=False)
    first = [part for track in (vocals, drums) for part in track.items if part is not own]
    api.ext["Sidechop", "stem_names"] = "drums"
    run(api, SEPARATE)
    assert vocals.items == []
    (again,) = (part for part in drums.items if part is not own)
    assert again not in first
    assert own in drums.items
    assert (item.values["B_MUTE"], again.start, again.length) == (1.0, 1.0, 2.0)


def test_stems_as_takes(reaper: Session, clip: Path, model: Path) -> None:
    api = reaper.project(stem_model=str(model), stem_as="takes")
    item = add(api, clip, {"position": 4.0, "length": 3.0, "offset": 2.5}, api.project.add_track("song"))
    api.project.settle()
    run(api, SEPARATE)
    assert [take.name for take in item.takes] == ["song", *(f"song {name}" for name in NAMES)]
    assert (item.active, item.values["B_MUTE"], len(api.project.state.tracks)) == (0, 0.0, 1)
    wanted = sound(item, 4.0, 7.0)
    for i, gain in enumerate(GAINS, 1):
        item.active = i
        assert np.max(np.abs(sound(item, 4.0, 7.0) - gain * wanted)) < 1e-6


def test_a_reversed_item_is_written_out_and_its_stems_lie_under_it(reaper: Session, clip: Path, model: Path) -> None:
    api = reaper.project(stem_model=str(model), stem_names="vocals")
    source = Source.of_file(clip).section(1.0, 4.0, backwards=True)
    api.project.add_item(api.project.add_track("song"), source, 6.0, 4.0, loops=False)
    run(api, SEPARATE)
    assert api.messages == []
    (stem,) = api.project.state.tracks[1].items
    audio, _ = soundfile.read(clip, dtype="float32", always_2d=True)
    wanted = audio[RATE : 5 * RATE, 0][::-1]
    assert np.max(np.abs(sound(stem, 6.0, 10.0) - MASKS[0] * wanted)) < 1e-6


def test_words_are_passed_on_and_asked_for(reaper: Session, clip: Path) -> None:
    api = reaper.project()
    add(api, clip, {"position": 0.0, "length": 2.0}, api.project.add_track("song"))
    api.project.settle()
    api.answers = [None, "\n"]
    run(api, QUERY)
    assert api.messages == []
    run(api, QUERY)
    assert "Type what to take" in api.messages[0]
    assert api.project.undo_steps == []


def test_words_reach_the_job(client: OscClient, clip: Path, tmp_path: Path) -> None:
    """Whether a model understands them is the job's to say; it knows them by these names."""
    for options in ({"queries": ["rain"]}, {"not": ["a dog"]}):
        with pytest.raises(RequestError) as refused:
            ask(client, clip, 0.0, 1.0, tmp_path / "a", model="chopper", **options)
        assert "Extra inputs" not in str(refused.value)
    with pytest.raises(RequestError, match="negatives: Extra inputs"):
        ask(client, clip, 0.0, 1.0, tmp_path / "a", negatives=["a dog"])


def test_a_wrong_model_changes_nothing(reaper: Session, clip: Path) -> None:
    api = reaper.project(stem_model="nothing")
    add(api, clip, {"position": 0.0, "length": 2.0}, api.project.add_track("song"))
    api.project.settle()
    before = picture(api.project.state)
    run(api, SEPARATE)
    assert api.messages == ["song: no model is named 'nothing'; `sidechop models list` shows what there is"]
    assert picture(api.project.state) == before
    assert not list(api.project_folder.rglob("*.wav"))
