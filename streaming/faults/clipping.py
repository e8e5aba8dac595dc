"""Clipping: tops cut flat, at whatever level.

A top counts as flat where at least three samples in a row differ by no more than a bit's noise, high in their hop, and
the wave runs into or out of them steeply: a slow wave's round top is as flat, but nothing there is steep. What a
limiter leaves touches full scale and turns; it has no flat tops, or far fewer than clipping makes. One is no fault:
a fault is many within 0.2 s.
"""

import numpy as np
from numpy.typing import NDArray

from .detector import Array, Detector, Span, strength_of
from .hops import HopBlock

_NOISE = 3.5e-5
"""A step of 16 bits, and a little."""
_FLAT = 5e-5
"""Of the hop's peak: as flat as this is flat."""
_HIGH = 0.99
"""Of the hop's peak: only so high is a top, for nothing is higher where all is cut."""
_STEEP = 10.0
"""Times what is flat: the step next to a flat top."""
_SQUARE = 1.5
"""Of the hop's peak: a greater step leads to the top of a square wave, which is no fault."""
_LIMIT = 15.0
"""Flat samples in 0.2 s at 44.1 kHz from where on it is a fault."""
_AROUND_HOPS = 10
_WIDE_HOPS = 50
_WIDE = 0.45
"""Between clipped words all is well, but not as well as elsewhere: the most that a frame gets for what is half a second
away."""


class Clipping(Detector):
    KIND = "clipping"
    GAP_S = 1.0
    DELAY_S = _WIDE_HOPS / 100

    def open(self) -> None:
        self._limit = _LIMIT * self.rate / 44100

    def clear(self) -> None:
        self._last = np.zeros((self.channels, 2), np.float32)
        self._counts = np.zeros(2 * _WIDE_HOPS, np.int64)
        self._edges = np.zeros((2 * _WIDE_HOPS, 2), np.int64)

    def hear(self, hops: HopBlock) -> list[Span]:
        count, _, size = hops.samples.shape
        counts, edges = np.zeros(count, np.int64), np.tile(np.array([size, 0]), (count, 1))
        for channel in range(self.channels):
            run = np.concatenate([self._last[channel], hops.samples[:, channel].reshape(-1)])
            self._last[channel] = run[-2:]
            _count_flat(run, hops.magnitudes[:, channel], counts, edges)
        every = np.concatenate([self._counts, counts])
        every_edges = np.concatenate([self._edges, edges])
        near = strength_of(_sums(every[_WIDE_HOPS - _AROUND_HOPS :], _AROUND_HOPS)[:count], self._limit)
        wide = strength_of(_sums(every, _WIDE_HOPS), self._limit)
        first = self._heard - _WIDE_HOPS
        self.paint(first, np.maximum(near, _WIDE * wide))
        here = slice(_WIDE_HOPS, _WIDE_HOPS + count)
        odd = (near >= self.threshold) & (every[here] > 0)
        spans = [
            Span((first + i) * size + start, (first + i) * size + end, float(near[i]))
            for i, (start, end) in ((int(i), every_edges[here][i].tolist()) for i in np.flatnonzero(odd))
        ]
        self._counts, self._edges = every[count:], every_edges[count:]
        return spans


def _sums(counts: NDArray[np.int64], around: int) -> NDArray[np.float64]:
    """Of each ``2 around + 1`` in a row."""
    sums = np.concatenate([[0], np.cumsum(counts)])
    width = 2 * around + 1
    near: NDArray[np.float64] = (sums[width:] - sums[:-width]).astype(np.float64)
    return near


def _count_flat(run: NDArray[np.float32], sizes: Array, counts: NDArray[np.int64], edges: NDArray[np.int64]) -> None:
    """Add the flat samples of each hop to ``counts``, and widen ``edges`` (first, end). ``run`` is the hops in one
    piece, after the two samples before; ``sizes`` are their magnitudes."""
    size = sizes.shape[1]
    peaks = sizes.max(axis=1)
    flat = np.maximum(_NOISE, _FLAT * peaks)
    least = np.where(peaks > 10 * flat, _HIGH * peaks, np.float32(np.inf))
    high = sizes >= least[:, None]
    pairs = np.flatnonzero(high[:, 1:] & high[:, :-1])  # few, and nothing else is looked at
    rows = pairs // (size - 1)
    at = pairs + rows + 3  # in the run, of the second of the pair: samples at - 2 to at may be one top
    top = (np.abs(run[at] - run[at - 1]) <= flat[rows]) & (np.abs(run[at - 1] - run[at - 2]) <= flat[rows])
    at, rows = at[top], rows[top]
    if not len(at):
        return
    begins = np.diff(at, prepend=0) > 1
    rows, first, last = rows[begins], at[begins], at[np.append(begins[1:], True)]
    starts, ends = first - 3 - rows * size, last - 2 - rows * size
    into = np.abs(run[first - 2] - run[first - 3])
    beyond = np.minimum(last + 1, len(run) - 1)
    out = np.where(ends + 1 < size, np.abs(run[beyond] - run[beyond - 1]), 0)
    steep = np.maximum(into, out)
    some, each = np.unique(rows, return_inverse=True)
    moving = np.abs(np.diff(run[some[:, None] * size + np.arange(1, size + 2)], axis=1))
    # of 8 bits, the step: all that moves is steep
    grain = np.where(moving > flat[some, None], moving, np.inf).min(axis=1)
    good = (steep >= _STEEP * np.maximum(flat[some], grain)[each]) & (steep <= _SQUARE * peaks[rows])
    rows, starts, ends = rows[good], starts[good], ends[good]
    np.add.at(counts, rows, ends - starts + 2)
    np.minimum.at(edges[:, 0], rows, np.maximum(0, starts - 1))
    np.maximum.at(edges[:, 1], rows, ends + 1)
