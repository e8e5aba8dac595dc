"""Clicks: something shorter than 2 ms that belongs to nothing before or after it.

Each hop is whitened by linear prediction; a click, or a jump in the wave, stands out of what is left. The predictor is
that of the last 30 ms without the pieces that are brighter than most: with a click among them it would not see clicks.
A drum stands out as well, but it decays, and pulses of a voice or a saw come again: what is left must be much greater
than all but the greatest two milliseconds within 40 ms, on *both* sides. Channels are heard together. Clicks come
seldom: of a row of them the first few are told, for what comes on and on is how a piece sounds.

::

    residual   ▁▁▁▁▁▁▁█▁▁▁▁▁▁▁   a click       ▁▁▁▁▁▁▁█▆▅▄▃▃▂▂▂   a drum       ▁▁█▁▁▁▁█▁▁▁▁█▁▁   a voice

Source: S. Godsill, P. Rayner, Digital Audio Restoration, 1998, chapter 5.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..flags import Flag
from .detector import Array, Detector, Span
from .hops import HopBlock

_ORDER = 16
_PIECES = 2
"""Of a hop, from which predictors are made."""
_PAST_HOPS = 2
_FLOOR = 1e-5
"""Of the power, as white noise: what 32 bits can tell."""
_BRIGHT = 4.0
"""Times the median brightness: such a piece is left out."""
_BINS = 10
"""Of a hop: one is 1 ms."""
_SIDE = 40
"""Bins on each side that are looked at …"""
_BUT = 2
"""… of which the greatest do not count: crackle comes in crowds …"""
_WITHIN = 2
"""… but for so many next to the click's own."""
_LIMIT = 15.0
"""Times the greatest on either side."""
_SILENT = 4e-3
"""-48 dBFS: a residual under this is not heard."""
_LOOK_AGAIN = 0.22
"""Strengths from here on are looked at more closely: with one predictor on both sides, from where a click may end …"""
_OVER_S = 0.0012
_CLOSE_S = 0.006
_CLOSE = 1.5
"""… to so far, where so much less contrast is enough."""
_HOPS_AFTER = 5
_LOUD = 1e6
_OFTEN, _OFTEN_S = 5, 30.0
"""More than so many in so long are how a piece sounds: glitches that are meant, a worn string."""


class Clicks(Detector):
    KIND = "click"
    GAP_S = 0.1
    DELAY_S = _HOPS_AFTER / 100

    def open(self) -> None:
        self._starts = np.round(np.linspace(0, self.hop_samples, _BINS + 1)).astype(int)
        self._taper = np.hanning(self.hop_samples // _PIECES + 2)[1:-1].astype(np.float32)
        self._over, self._near = (round(s * self.rate) for s in (_OVER_S, _CLOSE_S))
        self._half = max(1, round(0.0005 * self.rate))

    def clear(self) -> None:
        kept = 2 * _HOPS_AFTER * _BINS
        self._last = np.zeros(_ORDER, np.float32)
        self._powers = np.zeros((_PAST_HOPS * _PIECES, _ORDER + 1), np.float32)
        self._peaks = np.full(kept, _LOUD, np.float32)  # nothing at the very start is a click
        self._places = np.zeros(kept, np.int64)
        self._audio = np.zeros(2 * _HOPS_AFTER * self.hop_samples, np.float32)
        self._weights = np.zeros((2 * _HOPS_AFTER, _ORDER + 1), np.float32)
        self._lately: list[int] = []

    def hear(self, hops: HopBlock) -> list[Span]:
        count = len(hops)
        both = hops.mono
        strengths, places = self._stand_out(self._whiten(both))
        self._audio = np.concatenate([self._audio, both.reshape(-1)])
        for i in np.flatnonzero(strengths >= _LOOK_AGAIN):
            strengths[i] = min(strengths[i], self._closely(int(places[i])))
        self._audio = self._audio[count * self.hop_samples :]
        self._weights = self._weights[count:]
        self.paint(self._heard - _HOPS_AFTER, strengths.reshape(count, _BINS).max(axis=1).astype(np.float32))
        spans = []
        for i in np.flatnonzero(strengths >= self.threshold):
            at = int(places[i])
            spans.append(Span(max(0, at - self._half), at + self._half + 1, float(strengths[i])))
        return spans

    def finish(self) -> list[Span]:
        return []

    def _tell(self) -> list[Flag]:
        flags = super()._tell()
        for flag in flags:
            since = flag.start - _OFTEN_S * self.rate
            self._lately = [*[at for at in self._lately if at > since][-_OFTEN:], flag.start]
        return flags if len(self._lately) <= _OFTEN else []

    def _whiten(self, hops: Array) -> Array:
        """What linear prediction leaves of each hop, ``(T, size)``, without sign."""
        count, size = hops.shape
        run = np.concatenate([self._last, hops.reshape(-1)])
        self._last = run[-_ORDER:]
        lagged = [run[_ORDER - k : len(run) - k].reshape(count, size) for k in range(_ORDER + 1)]
        part = self._taper * hops[:, : _PIECES * len(self._taper)].reshape(count * _PIECES, -1)
        long = part.shape[1]
        pieces = np.stack([np.einsum("ij,ij->i", part[:, k:], part[:, : long - k]) for k in range(_ORDER + 1)], axis=1)
        every = np.concatenate([self._powers, pieces])
        self._powers = every[count * _PIECES :]
        weights = predictors(steady_powers(every)).astype(np.float32)
        self._weights = np.concatenate([self._weights, weights])
        left = hops.copy()
        for k in range(1, _ORDER + 1):
            left += weights[:, k, None] * lagged[k]
        return np.abs(left)

    def _closely(self, place: int) -> float:
        """How strong a click is against the few milliseconds around it, by the one predictor of its hop."""
        size = self.hop_samples
        first = self._heard - 2 * _HOPS_AFTER  # the hop that audio and weights begin with
        weights = self._weights[place // size - first]
        at = place - first * size
        start = at - self._near - _ORDER
        if start < 0:
            return 0.0
        left = np.abs(np.convolve(self._audio[start : at + self._near], weights, "valid"))
        middle = self._near
        own = left[middle - self._half : middle + self._half + 1].max()
        around = max(left[: middle - self._over].max(), left[middle + self._over :].max())
        ratio = _CLOSE * float(own) / (float(around) + _SILENT / _LIMIT)
        return ratio / (ratio + _LIMIT)

    def _stand_out(self, left: Array) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """For each millisecond, `_HOPS_AFTER` late: how much it stands out, and the sample that does most."""
        count, size = left.shape
        edges = self._starts
        tops = np.stack([left[:, a:b].argmax(axis=1) + a for a, b in pairwise(edges)], axis=1)
        peaks = np.take_along_axis(left, tops, axis=1)
        places = tops + (self._heard + np.arange(count))[:, None] * size
        every = np.concatenate([self._peaks, peaks.reshape(-1)])
        all_places = np.concatenate([self._places, places.reshape(-1)])
        kept = 2 * _HOPS_AFTER * _BINS
        self._peaks, self._places = every[-kept:], all_places[-kept:]
        middle, total = _HOPS_AFTER * _BINS, count * _BINS
        sides = np.lib.stride_tricks.sliding_window_view(every, _SIDE - _WITHIN)
        sides = np.partition(sides, -1 - _BUT, axis=1)[:, -1 - _BUT]
        before = sides[middle - _SIDE :][:total]
        after = sides[middle + _WITHIN + 1 :][:total]
        own = every[middle : middle + total].astype(np.float64)
        ratio = own / (np.maximum(before, after) + _SILENT / _LIMIT)
        return ratio / (ratio + _LIMIT), all_places[middle : middle + total]


def steady_powers(pieces: Array) -> NDArray[np.float64]:
    """Autocorrelations ``(T, order + 1)`` of each hop and the two before, without their brightest pieces.

    ``pieces`` are those of single pieces, ``((T + 2) × 2, order + 1)``.
    """
    brightness = np.maximum(6 * pieces[:, 0] - 8 * pieces[:, 1] + 2 * pieces[:, 2], 0)
    width = (_PAST_HOPS + 1) * _PIECES
    windows = np.lib.stride_tricks.sliding_window_view(brightness, width)[::_PIECES]
    usual = windows <= _BRIGHT * np.sort(windows, axis=1)[:, width // 2, None]
    powers = np.lib.stride_tricks.sliding_window_view(pieces, width, axis=0)[::_PIECES]  # (T, order + 1, width)
    steady: NDArray[np.float64] = (powers * usual[:, None]).sum(axis=2, dtype=np.float64)
    return steady


def predictors(powers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Prediction-error filters ``(T, order + 1)`` from autocorrelations of that shape: Levinson's recursion."""
    count, order = powers.shape[0], powers.shape[1] - 1
    error = powers[:, 0] * (1 + _FLOOR) + 1e-9
    weights = np.zeros((count, order + 1))
    weights[:, 0] = 1.0
    for k in range(1, order + 1):
        reflected = -(weights[:, :k] * powers[:, k:0:-1]).sum(axis=1) / error
        reflected = np.clip(reflected, -0.999, 0.999)
        weights[:, 1 : k + 1] += reflected[:, None] * weights[:, k - 1 :: -1][:, :k]
        error *= 1 - reflected**2
    return weights
