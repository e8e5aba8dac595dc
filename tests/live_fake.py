"""A Live set to run the Remote Script in: what it touches of Live's object model, with the traps that real Live has.

- A new ``current_song_time`` is in force at the next tick; until then the old one is read, and used.
- ``set_or_delete_cue`` toggles at the playhead. Cues are listed in the order they were made.
- Undo: each change is a step of its own, unless it happens between ``begin_undo_step`` and ``end_undo_step``.
- What does not apply raises `RuntimeError`; integers are wanted where Live wants them.
- Warp markers are seconds and beats, sample times are frames; markers may not cross, and tempo is 5 to 999.

A test holds names and arguments against ``ableton-live-stubs``, the types of the real one.
"""

from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

import soundfile

TICK_S = 0.1


class WarpMarker:
    def __init__(self, sample_time: float, beat_time: float, /) -> None:
        self.sample_time, self.beat_time = float(sample_time), float(beat_time)


class Clip:
    """An audio clip. ``markers`` are (seconds, beats); none means that it is not warped."""

    is_audio_clip = True
    is_midi_clip = False

    def __init__(
        self, song: "Song", path: str, markers: list[tuple[float, float]] | None = None, start_time: float | None = None
    ) -> None:
        info = soundfile.info(path)
        self._song = song
        self.file_path, self.name = path, path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        self.sample_rate, self.sample_length = float(info.samplerate), info.frames
        self.warping = markers is not None
        self._markers = [WarpMarker(*marker) for marker in markers or [(0.0, 0.0)]]
        self.warp_mode = 0
        self.looping = False
        self.is_arrangement_clip = start_time is not None
        self.start_time = start_time or 0.0
        seconds = info.frames / info.samplerate
        end = self.sample_to_beat_time(info.frames) if self.warping else seconds
        self.start_marker = self.loop_start = 0.0
        self.end_marker = self.loop_end = end
        self.length_in_arrangement: float | None = None

    @property
    def length(self) -> float:
        return self.loop_end - self.loop_start if self.looping else self.end_marker - self.start_marker

    @property
    def end_time(self) -> float:
        if self.length_in_arrangement is not None:
            return self.start_time + self.length_in_arrangement
        return self.start_time + self.length * (1.0 if self.warping else self._song.tempo / 60)

    @property
    def warp_markers(self) -> list[WarpMarker]:
        """The last one is Live's own: just after the others, it says how fast the last segment goes."""
        last = self._markers[-1]
        pace = self._song.tempo / 60
        if len(self._markers) > 1:
            before = self._markers[-2]
            pace = (last.beat_time - before.beat_time) / (last.sample_time - before.sample_time)
        return [*self._markers, WarpMarker(last.sample_time + 1 / 32 / pace, last.beat_time + 1 / 32)]

    def remove_warp_marker(self, beat_time: float, /) -> None:
        kept = [marker for marker in self._markers if abs(marker.beat_time - beat_time) > 1e-9]
        if len(kept) == len(self._markers) or not kept:
            raise RuntimeError("this marker cannot be removed")
        old, self._markers = self._markers, kept
        self._song._changed(lambda: setattr(self, "_markers", old))

    def beat_to_sample_time(self, beat_time: float, /) -> float:
        self._need(self.warping)
        return self._map(beat_time, "beat_time", "sample_time") * self.sample_rate

    def sample_to_beat_time(self, sample_time: float, /) -> float:
        self._need(self.warping)
        return self._map(sample_time / self.sample_rate, "sample_time", "beat_time")

    def seconds_to_sample_time(self, seconds: float, /) -> float:
        self._need(not self.warping)
        return seconds * self.sample_rate

    def add_warp_marker(self, warp_marker: WarpMarker, /) -> None:
        new = sorted([*self._markers, warp_marker], key=lambda marker: marker.sample_time)
        if warp_marker.sample_time > self.sample_length / self.sample_rate:
            raise RuntimeError("Warp marker sample time is out of range")
        for before, after in pairwise(new):
            seconds, beats = after.sample_time - before.sample_time, after.beat_time - before.beat_time
            if abs(seconds) < 1e-9 and abs(beats) < 1e-9:
                return
            if seconds <= 0 or not 5 <= beats / seconds * 60 <= 999:
                raise RuntimeError("Segment length out of range")
        old, self._markers = self._markers, new
        self._song._changed(lambda: setattr(self, "_markers", old))

    def _need(self, fits: bool) -> None:
        if not fits:
            raise RuntimeError("not for a clip that is warped, or that is not")

    def _map(self, value: float, source: str, target: str) -> float:
        """Straight between markers; before and after them as in the nearest segment."""
        pairs = [(getattr(marker, source), getattr(marker, target)) for marker in self.warp_markers]
        (x0, y0), (x1, y1) = next((pair for pair in pairwise(pairs) if value < pair[1][0]), (pairs[-2], pairs[-1]))
        return float(y0 + (value - x0) * (y1 - y0) / (x1 - x0))


class ClipSlot:
    def __init__(self, song: "Song", clip: Clip | None = None) -> None:
        self._song = song
        self.clip = clip

    @property
    def has_clip(self) -> bool:
        return self.clip is not None

    def create_audio_clip(self, file_path: str, /) -> Clip:
        if self.clip is not None:
            raise RuntimeError("the slot is not empty")
        self.clip = Clip(self._song, file_path, self._song.auto_warp)
        self._song._changed(lambda: setattr(self, "clip", None))
        return self.clip


class Track:
    def __init__(self, song: "Song", name: str, slots: int = 2) -> None:
        self._song = song
        self.name = name
        self.clip_slots = [ClipSlot(song) for _ in range(slots)]
        self.arrangement_clips: list[Clip] = []
        self.devices: list[Any] = []

    def create_audio_clip(self, file_path: str, position: float, /) -> Clip:
        if not 0 <= position <= 1576800:
            raise RuntimeError("position out of range")
        clip = Clip(self._song, file_path, self._song.auto_warp, position)
        self.arrangement_clips.append(clip)
        self._song._changed(lambda: self.arrangement_clips.remove(clip))
        return clip


class Sample:
    def __init__(self, path: str) -> None:
        info = soundfile.info(path)
        self.file_path, self.length, self.sample_rate = path, info.frames, float(info.samplerate)
        self.slicing_style = 0
        self._slices = [0, info.frames // 3]

    @property
    def slices(self) -> tuple[int, ...]:
        return tuple(sorted(self._slices))

    def clear_slices(self) -> None:
        self._need_manual()
        self._slices = []

    def insert_slice(self, slice_time: int, /) -> None:
        self._need_manual()
        if not isinstance(slice_time, int) or not 0 <= slice_time < self.length:
            raise TypeError(f"no slice can be at {slice_time!r}")
        if slice_time not in self._slices:
            self._slices.append(slice_time)

    def _need_manual(self) -> None:
        if self.slicing_style != 3:
            raise RuntimeError("only in manual slicing")


class SimplerDevice:
    class_name = "OriginalSimpler"

    def __init__(self, path: str) -> None:
        self.name = path.rsplit("/", 1)[-1]
        self.playback_mode = 0
        self.sample = Sample(path)


class RackDevice:
    class_name = "DrumGroupDevice"

    def __init__(self, slices: tuple[int, ...]) -> None:
        self.pads = slices


class CuePoint:
    """On Live 11 the name cannot be written."""

    def __init__(self, song: "Song", time: float) -> None:
        self._song, self.time, self._name = song, time, str(len(song.cue_points) + 1)

    @property
    def name(self) -> str:
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        if self._song.version < 12:
            raise AttributeError("can't set attribute")
        self._name = value


class View:
    detail_clip: Clip | None = None
    highlighted_clip_slot: ClipSlot | None = None


class Song:
    """``tick`` is a tenth of a second of Live. ``version`` is Live's; ``auto_warp`` what it guesses of a new clip."""

    def __init__(self, version: int = 12) -> None:
        self.version = version
        self.auto_warp: list[tuple[float, float]] | None = None
        self.tempo = 120.0
        self.is_playing = False
        self.loop, self.loop_start, self.loop_length = False, 0.0, 16.0
        self.file_path = ""
        self.cue_points: list[CuePoint] = []
        self.tracks: list[Track] = [Track(self, "1-Audio")]
        self.view = View()
        self._time, self._wanted = 0.0, None
        self._steps: list[list[Callable[[], object]]] = []
        self._open: list[Callable[[], object]] | None = None
        self._later: list[Callable[[], None]] = []

    @property
    def current_song_time(self) -> float:
        return self._time

    @current_song_time.setter
    def current_song_time(self, value: float) -> None:
        self._wanted = float(value)

    def set_or_delete_cue(self) -> None:
        there = next((cue for cue in self.cue_points if abs(cue.time - self._time) < 1e-6), None)
        before = list(self.cue_points)
        self.cue_points = [c for c in before if c is not there] if there else [*before, CuePoint(self, self._time)]
        self._changed(lambda: setattr(self, "cue_points", before))

    def create_audio_track(self, index: int | None = None, /) -> Track:
        return self._add_track(Track(self, "Audio"), index)

    def create_midi_track(self, index: int | None = None, /) -> Track:
        return self._add_track(Track(self, "MIDI"), index)

    def begin_undo_step(self) -> None:
        self._open = []

    def end_undo_step(self) -> None:
        if self._open:
            self._steps.append(self._open)
        self._open = None

    def undo(self) -> None:
        for revert in reversed(self._steps.pop()):
            revert()

    def tick(self) -> None:
        if self._wanted is not None:
            self._time, self._wanted = self._wanted, None
        if self.is_playing:
            self._time += TICK_S * self.tempo / 60
        later, self._later = self._later, []
        for work in later:
            work()

    def _changed(self, revert: Callable[[], object]) -> None:
        if self._open is not None:
            self._open.append(revert)
        else:
            self._steps.append([revert])

    def _add_track(self, track: Track, index: int | None) -> Track:
        before = list(self.tracks)
        self.tracks = [*before[: len(before) if index in (None, -1) else index], track]
        self.tracks += before[len(self.tracks) - 1 :]
        self._changed(lambda: setattr(self, "tracks", before))
        return track


def create_midi_track_with_simpler(song: Song, audio_clip: Clip, /) -> None:
    """The track is there at once, its Simpler a tick later."""
    track = song.create_midi_track(-1)
    song._later.append(lambda: track.devices.append(SimplerDevice(audio_clip.file_path)))


def sliced_simpler_to_drum_rack(song: Song, simpler: SimplerDevice, /) -> None:
    if simpler.playback_mode != 2:
        raise RuntimeError("the Simpler is not sliced")
    track = next(track for track in song.tracks if simpler in track.devices)
    track.devices = [RackDevice(simpler.sample.slices)]
    song._changed(lambda: setattr(track, "devices", [simpler]))


FORWARDED: list[tuple[int, int]] = []
"""Status byte and number of what was asked of Live's MIDI."""


def forward_midi_note(
    script_handle: int, midi_map_handle: int, midi_channel: int, note: int, should_consume_event: bool = True, /
) -> bool:
    FORWARDED.append((0x90 + midi_channel, note))
    return True


def forward_midi_cc(
    script_handle: int,
    midi_map_handle: int,
    midi_channel: int,
    controller_number: int,
    should_consume_event: bool = True,
    /,
) -> bool:
    FORWARDED.append((0xB0 + midi_channel, controller_number))
    return True


def modules() -> dict[str, ModuleType]:
    """What ``import Live`` finds."""
    live = ModuleType("Live")
    contents = {
        "Clip": {"Clip": Clip, "WarpMarker": WarpMarker},
        "ClipSlot": {"ClipSlot": ClipSlot},
        "Track": {"Track": Track},
        "Sample": {"Sample": Sample},
        "SimplerDevice": {"SimplerDevice": SimplerDevice},
        "Song": {"Song": Song, "CuePoint": CuePoint},
        "Conversions": {
            "create_midi_track_with_simpler": create_midi_track_with_simpler,
            "sliced_simpler_to_drum_rack": sliced_simpler_to_drum_rack,
        },
        "MidiMap": {"forward_midi_note": forward_midi_note, "forward_midi_cc": forward_midi_cc},
    }
    found = {"Live": live}
    for name, content in contents.items():
        module = ModuleType(f"Live.{name}")
        module.__dict__.update(content)
        setattr(live, name, module)
        found[f"Live.{name}"] = module
    return found
