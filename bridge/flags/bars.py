"""Which beat, bar or phrase each step of a passage belongs to, so that the flagger's longer scales hear whole ones.

A scale of so many seconds becomes so many whole bars, or, where a bar is longer, so many beats::

    steps     ││││││││││││││││││││││││││││││
    beats     ┃   ┃   ┃   ┃   ┃   ┃   ┃   ┃
    scale 2   ├ bar 1 ┼ bar 2 ┼ …           whole bars instead of a window round each step

Where no beat was found for long, a stretch is as long as the scale says.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def groups_of(
    positions: Indices, beats: Indices, beat_numbers: Indices, scales: Sequence[int]
) -> list[Indices | None] | None:
    """For each scale the group of every step ``(n,)``, rising from 0; None for a scale that is a step long.

    Args:
        positions: of the steps, evenly apart.
        beats: their positions; fewer than two give None.
        beat_numbers: the place of every beat in its bar, 1 the first.
        scales: in steps.
    """
    if len(beats) < 2 or len(positions) < 2:
        return None
    step = float(positions[1] - positions[0])
    groups: list[Indices | None] = []
    for scale in scales:
        lines = _lines(beats, beat_numbers, scale * step)
        groups.append(None if scale == 1 else _split(np.searchsorted(lines, positions, side="right"), scale))
    return groups


def _lines(beats: Indices, beat_numbers: Indices, samples: float) -> Indices:
    """Where stretches of about ``samples`` begin."""
    firsts = beats[beat_numbers == 1]
    if len(firsts) > 1:
        bar = float(np.median(np.diff(firsts)))
        if samples >= 0.75 * bar:
            bars: Indices = firsts[:: max(1, round(samples / bar))]
            return bars
    beat = float(np.median(np.diff(beats)))
    count = max(1, round(samples / beat))
    phase = int(np.argmax(beat_numbers == 1)) % count
    some: Indices = beats[phase::count]
    return some


def _split(groups: Indices, scale: int) -> Indices:
    """Groups, numbered from 0, of which none holds more than twice ``scale`` steps."""
    firsts = np.flatnonzero(np.diff(groups, prepend=groups[:1] - 1))
    lengths = np.diff(np.append(firsts, len(groups)))
    pieces = np.maximum(1, np.round(lengths / scale).astype(np.int64))
    pieces[lengths <= 2 * scale] = 1
    inside = np.arange(len(groups)) - np.repeat(firsts, lengths)
    before = np.cumsum(pieces) - pieces
    split: Indices = np.repeat(before, lengths) + inside * np.repeat(pieces, lengths) // np.repeat(lengths, lengths)
    return split
