"""The fake Live against the types of the real one, and its traps, each by itself."""

import ast
import importlib.metadata
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import live_fake
import numpy as np
import pytest
import soundfile
from live_fake import Clip, Song

CLASSES = {
    "Clip": live_fake.Clip,
    "ClipSlot": live_fake.ClipSlot,
    "Track": live_fake.Track,
    "Sample": live_fake.Sample,
    "SimplerDevice": live_fake.SimplerDevice,
    "Song": live_fake.Song,
}
OURS = {"tick", "undo", "version", "auto_warp", "length_in_arrangement"}
"""What drives the fake, and is not Live's (``undo`` is, too)."""


@pytest.fixture(scope="module")
def stubs() -> dict[str, ast.Module]:
    files = importlib.metadata.files("ableton-live-stubs") or []
    found = {Path(str(file)).stem: Path(str(file.locate())) for file in files if str(file).endswith(".pyi")}
    return {name: ast.parse(path.read_text()) for name, path in found.items()}


@pytest.fixture
def song(tmp_path: Path) -> Song:
    soundfile.write(tmp_path / "a.wav", np.zeros(48000, np.float32), 48000)
    song = Song()
    song.tracks[0].clip_slots[0].clip = Clip(song, str(tmp_path / "a.wav"), [(0.0, 0.0), (0.5, 1.0)])
    return song


def classes_of(stubs: dict[str, ast.Module], name: str) -> Iterator[ast.ClassDef]:
    """A class and those it is derived from."""
    for tree in stubs.values():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                yield node
                for base in node.bases:
                    yield from classes_of(stubs, ast.unparse(base).split(".")[-1])


def members(stubs: dict[str, ast.Module], name: str) -> dict[str, ast.FunctionDef]:
    return {f.name: f for c in classes_of(stubs, name) for f in c.body if isinstance(f, ast.FunctionDef)}


@pytest.mark.parametrize("name", CLASSES)
def test_the_fake_has_nothing_that_live_has_not(stubs: dict[str, ast.Module], song: Song, name: str) -> None:
    real = members(stubs, name)
    assert len(real) > 5
    made: dict[str, Any] = {"Song": song, "Track": song.tracks[0], "ClipSlot": song.tracks[0].clip_slots[0]}
    made["Clip"] = made["ClipSlot"].clip
    made["SimplerDevice"] = live_fake.SimplerDevice(made["Clip"].file_path)
    made["Sample"] = made["SimplerDevice"].sample
    names = {n for n in (*vars(made[name]), *vars(CLASSES[name])) if not n.startswith("_")} - OURS
    assert names <= real.keys(), names - real.keys()
    for method, function in inspect.getmembers(CLASSES[name], inspect.isfunction):
        if not method.startswith("_") and method not in OURS:
            arguments = list(inspect.signature(function).parameters)
            assert arguments == [a.arg for a in (*real[method].args.posonlyargs, *real[method].args.args)]


def test_functions_take_what_lives_take(stubs: dict[str, ast.Module]) -> None:
    for module, function in (
        ("Conversions", live_fake.create_midi_track_with_simpler),
        ("Conversions", live_fake.sliced_simpler_to_drum_rack),
        ("MidiMap", live_fake.forward_midi_note),
        ("MidiMap", live_fake.forward_midi_cc),
    ):
        real = next(f for f in stubs[module].body if isinstance(f, ast.FunctionDef) and f.name == function.__name__)
        assert list(inspect.signature(function).parameters) == [a.arg for a in real.args.posonlyargs]


def test_the_playhead_moves_at_the_next_tick_and_cues_toggle(song: Song) -> None:
    song.current_song_time = 8.0
    assert song.current_song_time == 0.0
    song.set_or_delete_cue()
    song.tick()
    song.set_or_delete_cue()
    assert [cue.time for cue in song.cue_points] == [0.0, 8.0]
    song.set_or_delete_cue()
    assert [cue.time for cue in song.cue_points] == [0.0]
    song.is_playing = True
    song.tick()
    assert song.current_song_time == pytest.approx(8.2)


def test_each_change_is_a_step_of_undo_unless_they_are_one(song: Song) -> None:
    song.create_midi_track(-1)
    song.begin_undo_step()
    song.create_audio_track(0)
    song.set_or_delete_cue()
    song.end_undo_step()
    assert [track.name for track in song.tracks] == ["Audio", "1-Audio", "MIDI"]
    song.undo()
    assert ([track.name for track in song.tracks], song.cue_points) == (["1-Audio", "MIDI"], [])
    song.undo()
    assert len(song.tracks) == 1


def test_warp_markers_may_not_cross_and_the_last_stays(song: Song) -> None:
    clip = song.tracks[0].clip_slots[0].clip
    assert clip is not None
    assert clip.sample_to_beat_time(48000) == pytest.approx(2.0)
    assert clip.beat_to_sample_time(0.5) == pytest.approx(12000)
    with pytest.raises(RuntimeError):
        clip.seconds_to_sample_time(1.0)
    for marker in ((0.6, 0.9), (0.5, 1.1), (2.0, 4.0), (0.5001, 1.5)):
        with pytest.raises(RuntimeError):
            clip.add_warp_marker(live_fake.WarpMarker(*marker))
    clip.add_warp_marker(live_fake.WarpMarker(0.5, 1.0))
    assert len(clip.warp_markers) == 3
    with pytest.raises(RuntimeError):
        clip.remove_warp_marker(clip.warp_markers[-1].beat_time)


def test_a_simpler_takes_slices_by_hand_only(song: Song) -> None:
    clip = song.tracks[0].clip_slots[0].clip
    assert clip is not None
    live_fake.create_midi_track_with_simpler(song, clip)
    assert song.tracks[-1].devices == []
    song.tick()
    simpler = song.tracks[-1].devices[0]
    with pytest.raises(RuntimeError):
        simpler.sample.insert_slice(5)
    with pytest.raises(RuntimeError):
        live_fake.sliced_simpler_to_drum_rack(song, simpler)
    simpler.sample.slicing_style = 3
    with pytest.raises(TypeError):
        simpler.sample.insert_slice(5.0)
    simpler.sample.insert_slice(5)
    assert 5 in simpler.sample.slices
