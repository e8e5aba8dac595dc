"""Stems of the selected clip as new audio clips, each on a new track below it, in time with it.

The daemon writes files that begin at the passage's first frame. Live 12 makes clips of files from a script; on Live 11
the files are there to be dragged in.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any, Callable, Generator, NamedTuple

import Live

from .clip import AudioClip

TRIES = 20
NEAR_BEATS = 1e-3
NEAR_S = 1e-6


class Stem(NamedTuple):
    name: str
    path: str


def stems_folder(song: Any, clip: AudioClip, setting: str) -> str:
    """Where a clip's stems go: the setting, or beside the Live set, or the home folder where none is saved."""
    root = os.path.expanduser(setting)
    if not root:
        saved = str(getattr(song, "file_path", "") or "")
        root = (
            os.path.join(os.path.dirname(saved), "Samples", "Sidechop") if saved else os.path.expanduser("~/Sidechop")
        )
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", clip.name).strip(" .") or "clip"
    return os.path.join(root, name)


def place_stems(song: Any, clip: AudioClip, stems: list[Stem], start: int) -> Generator[None, None, str]:
    """Make the tracks and clips; ``start`` is the frame at which the stems begin."""
    track, slot = _home(song, clip)
    index = list(song.tracks).index(track) if track is not None else len(song.tracks) - 1
    made = 0
    for stem in stems:
        index += 1
        new = song.create_audio_track(index)
        new.name = f"{clip.name} ({stem.name})"
        made += yield from _clip_on(new, stem, clip, slot, start)
    if made < len(stems):
        folder = os.path.dirname(stems[0].path)
        return f"this Live makes no clips of files: drag them in from {folder}"
    return f"{made} stems"


def _clip_on(track: Any, stem: Stem, clip: AudioClip, slot: int, start: int) -> Generator[None, None, int]:
    home = track if clip.in_arrangement else track.clip_slots[slot]
    create = getattr(home, "create_audio_clip", None)
    if create is None:
        return 0
    at = clip.live.start_time
    made = create(stem.path, at) if clip.in_arrangement else create(stem.path)
    for _ in range(TRIES):
        made = made if made is not None else _found(track, home, at, clip.in_arrangement)
        if made is not None:
            break
        yield
    else:
        return 0
    made.name = stem.name
    _in_time(made, clip, start)
    return 1


def _found(track: Any, home: Any, at: float, in_arrangement: bool) -> Any:
    if not in_arrangement:
        return home.clip if home.has_clip else None
    clips = [clip for clip in track.arrangement_clips if abs(clip.start_time - at) < NEAR_BEATS]
    return clips[0] if clips else None


def _in_time(made: Any, clip: AudioClip, start: int) -> None:
    """As the clip: unwarped, or warped by the same markers, which lie ``start`` frames earlier in the stem's file."""
    source = clip.live
    if made.warping != source.warping:
        made.warping = source.warping
    if not source.warping:
        shift = start / clip.rate
        made.start_marker = max(0.0, source.start_marker - shift)
        if source.looping:
            made.looping = True
            made.loop_end, made.loop_start = source.loop_end - shift, max(0.0, source.loop_start - shift)
        return
    made.warp_mode = source.warp_mode
    first, end = clip.time(start), clip.passage()[1]
    inside = [m for m in source.warp_markers if start < m.sample_time * clip.rate < end]
    pins = [
        (start / clip.rate, first),
        *((m.sample_time, m.beat_time) for m in inside),
        (end / clip.rate, clip.time(end)),
    ]
    _warp(made, [(seconds - start / clip.rate, beats - first) for seconds, beats in pins])
    made.start_marker = source.start_marker - first
    if source.looping:
        made.looping = True
        made.loop_end, made.loop_start = source.loop_end - first, source.loop_start - first


def _warp(made: Any, pins: list[tuple[float, float]]) -> None:
    """These markers instead of those that Live found; seconds and beats.

    One has to be there at any time, and the last that Live lists is its own: what it refuses is tried again once the
    others are in place.
    """
    for again in (False, True):
        for marker in made.warp_markers:
            if not any(_same(marker, pin) for pin in pins):
                _attempt(made.remove_warp_marker, marker.beat_time)
        if not again:
            for pin in pins:
                if not any(_same(marker, pin) for marker in made.warp_markers):
                    _attempt(made.add_warp_marker, Live.Clip.WarpMarker(*pin))


def _same(marker: Any, pin: tuple[float, float]) -> bool:
    return bool(abs(marker.sample_time - pin[0]) < NEAR_S and abs(marker.beat_time - pin[1]) < NEAR_BEATS)


def _attempt(call: Callable[[Any], None], argument: Any) -> None:
    with contextlib.suppress(RuntimeError):
        call(argument)


def _home(song: Any, clip: AudioClip) -> tuple[Any, int]:
    """The track that holds the clip, and its slot there."""
    for track in song.tracks:
        if any(other == clip.live for other in track.arrangement_clips):
            return track, -1
        for index, slot in enumerate(track.clip_slots):
            if slot.has_clip and slot.clip == clip.live:
                return track, index
    return None, 0
