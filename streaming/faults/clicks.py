"""Clicks: something shorter than 2 ms that belongs to nothing before or after it.

Each hop is whitened by linear prediction from the 20 ms that end with it; a click, or a jump in the wave, stands out of
what is left. A drum stands out as well, but it decays, and pulses of a voice or a saw come again: what is left must be
much greater than everything within 25 ms on *both* sides.

::

    residual   ▁▁▁▁▁▁▁█▁▁▁▁▁▁▁   a click       ▁▁▁▁▁▁▁█▆▅▄▃▃▂▂▂   a drum       ▁▁█▁▁▁▁█▁▁▁▁█▁▁   a voice

Source: S. Godsill, P. Rayner, Digital Audio Restoration, 1998, chapter 5.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .detector import Array, Detector, Span
from .hops import Block

_ORDER = 20
_BINS = 10
"""Of a hop: one is 1 ms."""
_SIDE = 25
"""Bins on each side that are looked at …"""
_WITHIN = 2
"""… but for so many next to the click's own."""
_LIMIT = 4.0
"""Times the greatest on either side."""
_SILENT = 1e-3
"""-60 dBFS: a residual under this is not heard."""
_HOPS_AFTER = 3
_LOUD = 1e6


class Clicks(Detector):
    KIND = "click"
    GAP_S = 0.1
    DELAY_S = _HOPS_AFTER / 100

    def open(self) -> None:
        self._starts = np.round(np.linspace(0, self.hop_samples, _BINS + 1)).astype(int)
        self._half = max(1, round(0.0005 * self.rate))

    def clear(self) -> None:
        kept = 2 * _HOPS_AFTER * _BINS
        self._last = np.zeros((self.channels, _ORDER), np.float32)
        self._power = np.zeros((self.channels, _ORDER + 1))
        self._peaks = np.full((self.channels, kept), _LOUD, np.float32)  # nothing at the very start is a click
        self._places = np.zeros((self.channels, kept), np.int64)

    def hear(self, hops: Block) -> list[Span]:
        count = len(hops)
        strengths = np.zeros((self.channels, count * _BINS))
        places = np.zeros((self.channels, count * _BINS), np.int64)
        for channel in range(self.channels):
            left = self._whiten(hops[:, channel], channel)
            strengths[channel], places[channel] = self._stand_out(left, channel)
        which = strengths.argmax(axis=0)
        strength = strengths.max(axis=0)
        first = self._heard - _HOPS_AFTER
        self.paint(first, strength.reshape(count, _BINS).max(axis=1).astype(np.float32))
        spans = []
        for i in np.flatnonzero(strength >= self.threshold):
            at = int(places[which[i], i])
            spans.append(Span(max(0, at - self._half), at + self._half + 1, float(strength[i])))
        return spans

    def finish(self) -> list[Span]:
        return []

    def _whiten(self, hops: Array, channel: int) -> Array:
        """What linear prediction leaves of each hop, ``(T, size)``, without sign."""
        count, size = hops.shape
        run = np.concatenate([self._last[channel], hops.reshape(-1)])
        self._last[channel] = run[-_ORDER:]
        lagged = [run[_ORDER - k : len(run) - k].reshape(count, size) for k in range(_ORDER + 1)]
        powers = np.stack([(hops * late).sum(axis=1, dtype=np.float32) for late in lagged], axis=1).astype(np.float64)
        earlier = np.concatenate([self._power[channel : channel + 1], powers[:-1]])
        self._power[channel] = powers[-1]
        weights = predictors(powers + earlier).astype(np.float32)
        left = hops.copy()
        for k in range(1, _ORDER + 1):
            left += weights[:, k, None] * lagged[k]
        return np.abs(left)

    def _stand_out(self, left: Array, channel: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """For each millisecond, `_HOPS_AFTER` late: how much it stands out, and the sample that does most."""
        count, size = left.shape
        edges = self._starts
        tops = np.stack([left[:, a:b].argmax(axis=1) + a for a, b in pairwise(edges)], axis=1)
        peaks = np.take_along_axis(left, tops, axis=1)
        places = tops + (self._heard + np.arange(count))[:, None] * size
        every = np.concatenate([self._peaks[channel], peaks.reshape(-1)])
        all_places = np.concatenate([self._places[channel], places.reshape(-1)])
        kept = 2 * _HOPS_AFTER * _BINS
        self._peaks[channel], self._places[channel] = every[-kept:], all_places[-kept:]
        middle, total = _HOPS_AFTER * _BINS, count * _BINS
        sides = np.lib.stride_tricks.sliding_window_view(every, _SIDE - _WITHIN).max(axis=1)
        before = sides[middle - _SIDE :][:total]
        after = sides[middle + _WITHIN + 1 :][:total]
        own = every[middle : middle + total].astype(np.float64)
        ratio = own / (np.maximum(before, after) + _SILENT / _LIMIT)
        return ratio / (ratio + _LIMIT), all_places[middle : middle + total]


def predictors(powers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Prediction-error filters ``(T, order + 1)`` from autocorrelations of that shape: Levinson's recursion."""
    count, order = powers.shape[0], powers.shape[1] - 1
    error = powers[:, 0] * 1.0001 + 1e-9
    weights = np.zeros((count, order + 1))
    weights[:, 0] = 1.0
    for k in range(1, order + 1):
        reflected = -(weights[:, :k] * powers[:, k:0:-1]).sum(axis=1) / error
        reflected = np.clip(reflected, -0.999, 0.999)
        weights[:, 1 : k + 1] += reflected[:, None] * weights[:, k - 1 :: -1][:, :k]
        error *= 1 - reflected**2
    return weights
