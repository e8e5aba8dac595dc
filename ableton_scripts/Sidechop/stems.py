"""Stems of the selected clip as new audio clips, each on a new track below it, in time with it.

The daemon writes files that begin at the passage's first frame. Live 12 makes clips of files from a script; on Live 11
the files are there to be dragged in.
"""

from __future__ import annotations

import os
import re
from typing import Any, Generator, NamedTuple

import Live

from .clip import AudioClip

TRIES = 20
NEAR_BEATS = 1e-3


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
    first = clip.time(start)
    pins = [(start / clip.rate, first)]
    pins += [(m.sample_time, m.beat_time) for m in source.warp_markers if m.sample_time * clip.rate > start]
    end = clip.passage()[1]
    pins.append((end / clip.rate, clip.time(end)))
    for seconds, beats in sorted(pins):
        if beats - first >= 0 and not _pinned(made, beats - first):
            try:
                made.add_warp_marker(Live.Clip.WarpMarker(seconds - start / clip.rate, beats - first))
            except RuntimeError:  # Live refuses markers beyond the file's end, and segments that are too short
                continue
    made.start_marker = source.start_marker - first
    if source.looping:
        made.looping = True
        made.loop_end, made.loop_start = source.loop_end - first, source.loop_start - first


def _pinned(made: Any, beats: float) -> bool:
    return any(abs(marker.beat_time - beats) < NEAR_BEATS for marker in made.warp_markers)


def _home(song: Any, clip: AudioClip) -> tuple[Any, int]:
    """The track that holds the clip, and its slot there."""
    for track in song.tracks:
        if any(other == clip.live for other in track.arrangement_clips):
            return track, -1
        for index, slot in enumerate(track.clip_slots):
            if slot.has_clip and slot.clip == clip.live:
                return track, index
    return None, 0
