"""What chops become: slices of a Simpler, a drum rack, warp markers, or cue points."""

from __future__ import annotations

from typing import Any, Generator, NamedTuple

import Live

from .clip import AudioClip, NoClip
from .cues import place_cues

SLICING = 2
"""`Live.SimplerDevice.PlaybackMode.slicing`"""
MANUAL = 3
"""`Live.Sample.SlicingStyle.manual`"""
TRIES = 50
NEAR_BEATS = 1e-6


class Chop(NamedTuple):
    """``frame`` is of the file; ``name`` for where one can be given."""

    frame: int
    name: str


Placing = Generator[None, None, str]
"""Yields while Live works, and returns what was done, in words."""


def to_slices(song: Any, clip: AudioClip, chops: list[Chop]) -> Placing:
    """A new MIDI track with a Simpler whose slices are the chops."""
    simpler = yield from _sliced(song, clip, chops)
    return f"{len(simpler.sample.slices)} slices in {simpler.name}"


def to_rack(song: Any, clip: AudioClip, chops: list[Chop]) -> Placing:
    """A drum rack with a pad for each chop; Live makes it of a sliced Simpler."""
    simpler = yield from _sliced(song, clip, chops)
    Live.Conversions.sliced_simpler_to_drum_rack(song, simpler)
    yield
    return f"{len(chops)} pads"


def to_warp(song: Any, clip: AudioClip, chops: list[Chop]) -> Placing:
    """A warp marker on each chop, where it sounds already: nothing moves until one is dragged. Raises `NoClip`."""
    live = clip.live
    if not live.warping:
        raise NoClip("switch Warp on in the clip first")
    there = [marker.beat_time for marker in live.warp_markers]
    # All beats before the first marker is set: adding one must not move what the next is computed from.
    wanted = [(chop.frame / clip.rate, clip.time(chop.frame)) for chop in chops]
    new = 0
    for seconds, beats in wanted:
        if not any(abs(beats - other) < NEAR_BEATS for other in there):
            live.add_warp_marker(Live.Clip.WarpMarker(seconds, beats))
            there.append(beats)
            new += 1
    yield
    return f"{new} warp markers"


def to_cues(song: Any, clip: AudioClip, chops: list[Chop]) -> Placing:
    """A cue point wherever in the arrangement a chop is heard."""
    places = [(beats, chop.name) for chop in chops for beats in clip.places(chop.frame, song.tempo)]
    new = yield from place_cues(song, sorted(places))
    return f"{new} cue points"


TARGETS = {"slices": to_slices, "rack": to_rack, "warp": to_warp, "cues": to_cues}


def _sliced(song: Any, clip: AudioClip, chops: list[Chop]) -> Generator[None, None, Any]:
    before = list(song.tracks)
    Live.Conversions.create_midi_track_with_simpler(song, clip.live)
    for _ in range(TRIES):
        simpler = _new_simpler(song, before)
        if simpler is not None and simpler.sample is not None:
            break
        yield
    else:
        raise NoClip("Live made no Simpler of the clip")
    simpler.playback_mode = SLICING
    sample = simpler.sample
    sample.slicing_style = MANUAL
    yield  # slices of the style before are gone a moment later
    sample.clear_slices()
    for chop in chops:
        sample.insert_slice(chop.frame)
    return simpler


def _new_simpler(song: Any, before: list[Any]) -> Any:
    for track in song.tracks:
        if not any(track == known for known in before):
            for device in track.devices:
                if device.class_name == "OriginalSimpler":
                    return device
    return None
