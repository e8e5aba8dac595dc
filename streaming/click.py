"""Beats of pieces that were made to a click: one tempo and one phase from end to end.

A bar pointer may slip: where the backbeat sounds like the beat for a while, it leaves the beat by lengthening a dozen
of them a little, follows the other side, and slips back. No musician plays so, but most recordings of today keep one
tempo to a thousandth, and that can be seen: outside the slips, all beats are equally long. In a piece that somebody
plays freely they are not::

    to a click, with slips     to a click          played
    ────╮    ╭───────╮         ─────────────       ──╮   ╭───╮
        ╰╮╭──╯       ╰─╮╭─                           ╰───╯   ╰──      length of a beat over time

Such a piece is laid on the even grid that explains all of it best.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SPAN_BEATS = 16
"""Lengths are means over so many beats: known to a thousandth."""
SAME, NEAR = 0.003, 0.01
LEAST_STEADY = 0.6
"""This share of a piece must have the same tempo, and nine tenths of all that is near it."""
NEAR_STEADY = 0.9
LEAST_EXPLAINED = 0.4
"""Of what the slipping beats scored, the even ones must keep so much: else the piece jumps where it likes."""
LONGEST_BEATS = 1500
"""More is no song but a set of them."""


def even_length(frames: Floats) -> float | None:
    """The one length of a piece's beats, in frames; None where they have none."""
    if not 2 * SPAN_BEATS <= len(frames) <= LONGEST_BEATS:
        return None
    lengths = (frames[SPAN_BEATS:] - frames[:-SPAN_BEATS]) / SPAN_BEATS
    length = float(np.median(lengths))
    off = np.abs(lengths / length - 1)
    same, near = float(np.mean(off < SAME)), float(np.mean(off < NEAR))
    return float(np.mean(lengths[off < SAME])) if same >= max(LEAST_STEADY, NEAR_STEADY * near) else None


def even_beats(
    gains: NDArray[np.float32], frames: Floats, positions: NDArray[np.int64], metre: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Frames and positions in the bar of evenly spaced beats, where the piece has them; else None.

    Args:
        gains: what a downbeat (0) and another beat (1) score at each frame, ``(2, T)``.
        frames, positions: what the bar pointer found.
    """
    length = even_length(frames)
    if length is None:
        return None
    wide = np.pad(gains, ((0, 0), (1, 1)), constant_values=-np.inf)
    wide = np.maximum(np.maximum(wide[:, :-2], wide[:, 2:]), gains)  # a frame early or late is as good
    last = gains.shape[1] - 1
    at = np.clip(np.rint(frames).astype(np.int64), 0, last)
    slipping = float(np.where(positions == 1, wide[0, at], wide[1, at]).sum())
    number = np.arange(round((frames[-1] - frames[0]) / length) + 1)
    starts = np.arange(frames[0] - length / 2, frames[0] + length / 2)
    best, found = LEAST_EXPLAINED * slipping, None
    # so close that the last beat moves by half a frame
    for tried in length + np.arange(-SAME * length / 4, SAME * length / 4, 0.5 / len(number)):
        times = np.rint(starts[:, None] + number * tried).astype(np.int64)  # (starts, beats)
        down, other = wide[:, np.clip(times, 0, last)]
        for first in range(metre):
            scores = other.sum(axis=1) + (down - other)[:, first::metre].sum(axis=1)
            if scores.max() > best:
                best, found = float(scores.max()), (times[int(scores.argmax())], (number - first) % metre + 1)
    if found is None:
        return None
    times, places = found
    heard = (times >= max(0, frames[0] - length / 4)) & (times <= min(last, frames[-1] + length / 4))
    return times[heard], places[heard]
