"""Cue points (locators) at beats of the arrangement, a tick or two each.

``Song.set_or_delete_cue`` sets one at the playhead and deletes the one that is there: so where there is one already,
it is not called. A new ``current_song_time`` is in force a moment later, on the audio thread, so it is waited for. On
Live 11 names cannot be written; the cue stays.
"""

from __future__ import annotations

import contextlib
from typing import Any, Generator, Iterable

NEAR_BEATS = 1e-4
TRIES = 20


class CannotPlace(Exception):
    """One line for the user."""


def place_cues(song: Any, cues: Iterable[tuple[float, str]]) -> Generator[None, None, int]:
    """Set these, yielding while Live moves its playhead; returns how many are new.

    Raises:
        CannotPlace: Live plays, or does not set them.
    """
    if song.is_playing:
        raise CannotPlace("stop Live first: a cue point needs its playhead")
    before, new = song.current_song_time, 0
    try:
        for beats, name in cues:
            if beats < 0 or cue_at(song, beats) is not None:
                continue
            song.current_song_time = beats
            for _ in range(TRIES):
                yield
                if song.is_playing:
                    raise CannotPlace("Live was started: the other cue points are left out")
                if abs(song.current_song_time - beats) < NEAR_BEATS:
                    break
            else:
                raise CannotPlace("Live does not move its playhead")
            if cue_at(song, beats) is None:
                song.set_or_delete_cue()
            cue = cue_at(song, beats)
            if cue is None:
                raise CannotPlace(f"Live set no cue point at beat {beats:.3f}")
            new += 1
            with contextlib.suppress(AttributeError, RuntimeError):
                cue.name = name
    finally:
        if not song.is_playing:
            song.current_song_time = before
    return new


def cue_at(song: Any, beats: float) -> Any:
    """The cue point there, or None."""
    for cue in song.cue_points:
        if abs(cue.time - beats) < NEAR_BEATS:
            return cue
    return None
