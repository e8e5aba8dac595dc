"""From a curve to the moments that it marks: peak picking for whole curves, and frame by frame.

A moment is a local maximum at or above a threshold, placed between frames by the parabola through its neighbours. Of
several closer than `MERGE_S` the strongest stays: the field counts hits within 30 ms as one (MIREX onset detection).
Frame numbers count from the curve's first frame; both ends of a curve can be moments. NaN counts as 0.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.5
MERGE_S = 0.03
_RELEASE = 0.5
"""Live, the curve must fall to this share of a peak before the next counts: a passage that stays up is one event."""


class Peaks(NamedTuple):
    """Moments in increasing order: frame numbers (between frames, too) and what the curve says there."""

    frames: NDArray[np.float64]
    strengths: NDArray[np.float32]


class LivePeak(NamedTuple):
    """A moment found while the curve is still coming; ``frame`` counts from the last reset."""

    frame: float
    strength: float


def pick_onsets(
    curve: NDArray[np.float32], frame_rate: float, threshold: float = THRESHOLD, merge_s: float = MERGE_S
) -> Peaks:
    """The peaks of a curve ``(T,)``. A flat top is one peak, in its middle."""
    values = np.nan_to_num(np.asarray(curve, np.float32), nan=0.0)
    # equal neighbours are one run, so that a flat top compares as a peak does
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(values)), bool), values[1:] != values[:-1]]))
    tops = values[starts]
    fenced = np.concatenate([[-np.inf], tops, [-np.inf]]).astype(np.float32)
    is_peak = (tops > fenced[:-2]) & (tops > fenced[2:]) & (tops >= threshold)
    ends = np.append(starts[1:], len(values)) - 1
    first, last, strengths = starts[is_peak], ends[is_peak], tops[is_peak]
    inside = (first == last) & (first > 0) & (last < len(values) - 1)
    left, right = values[np.maximum(first - 1, 0)], values[np.minimum(last + 1, len(values) - 1)]
    frames = (first + last) / 2 + np.where(inside, vertex(left, strengths, right), 0.0)
    kept = strongest(frames, strengths, merge_s * frame_rate)
    return Peaks(frames[kept], strengths[kept])


def vertex(left: NDArray[np.float32], top: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Where between -0.5 and 0.5 frames of a maximum the parabola through it and its neighbours has its top."""
    slope = 0.5 * (left.astype(np.float64) - right)
    bend = left.astype(np.float64) - 2 * top + right
    return np.divide(slope, bend, out=np.zeros_like(slope), where=bend < 0)


def strongest(frames: NDArray[np.float64], strengths: NDArray[np.float32], within: float) -> NDArray[np.intp]:
    """Indices that stay when, from the strongest down (the earlier of equals first), each silences all nearer than
    ``within``. ``frames`` increase."""
    near = np.diff(frames) < within
    if not near.any():
        return np.arange(len(frames))
    # only those with a close neighbour need the loop: a few in a hundred in music
    crowded = np.flatnonzero(np.append(near, False) | np.append(False, near))
    times, alive = frames[crowded].tolist(), [True] * len(crowded)
    for i in np.argsort(-strengths[crowded], kind="stable").tolist():
        if not alive[i]:
            continue
        for step in (-1, 1):
            j = i + step
            while 0 <= j < len(times) and abs(times[j] - times[i]) < within:
                alive[j] = False
                j += step
    kept = np.ones(len(frames), bool)
    kept[crowded] = alive
    return np.flatnonzero(kept)


class LivePicker:
    """Picks while the curve comes, a value at a time: constant memory, nothing to look ahead but `delay_frames`.

    What is reported cannot be taken back, so of two peaks within `MERGE_S` the first stays here, not the stronger.
    """

    delay_frames = 1
    """A peak is known when the next frame does not rise any more."""

    def __init__(self, frame_rate: float, threshold: float = THRESHOLD, merge_s: float = MERGE_S) -> None:
        self._threshold, self._merge = threshold, merge_s * frame_rate
        self.reset()

    def reset(self) -> None:
        self._frame = 0
        self._before = self._last = 0.0
        self._armed, self._release = True, 0.0
        self._reported = -np.inf

    def push(self, value: float) -> LivePeak | None:
        """The curve's next frame; the peak that was at the frame before, if one was."""
        before, top = self._before, self._last
        value = value if value == value else 0.0
        peak = None
        if self._armed and before < top >= value and top >= self._threshold:
            frame = self._frame - 1 + 0.5 * (before - value) / (before - 2 * top + value)
            if frame - self._reported >= self._merge:
                peak = LivePeak(frame, top)
                self._armed, self._release, self._reported = False, _RELEASE * top, frame
        self._armed = self._armed or value <= self._release
        self._before, self._last = top, value
        self._frame += 1
        return peak
