"""Band limit: everything above some frequency is gone, as through a telephone, a headset's call mode or a poor codec.

In bands of a third of an octave, half a second is held against the recording's usual spectrum. A duller passage falls
off by and by; a limit leaves what is below as it was and takes all that is above::

    usual   ▇▇▇▆▆▆▅▅▅▄      duller  ▇▇▆▅▅▄▃▂▂▁      limited  ▇▇▇▆▆▁
                                                                  └─ the fall beyond the step less that below it
"""

import numpy as np
from numpy.typing import NDArray

from .detector import strength_of
from .hops import HopBlock
from .steady import Features, Steady
from .usual import UsualRows

_EDGES_HZ = (2000, 2500, 3150, 4000, 5000, 6300, 8000, 10000, 12500, 16000)
_LOW_HZ = (300, 2000)
"""What must be heard for the rest to be missed."""
_USUAL_STEPS = 190
"""30 s: the median of the loud ones is the usual spectrum."""
_ANEW_STEPS = 6
"""It is computed anew once a second."""
_LOUD_DB, _HEARD_DB, _USUAL_DB, _FLOOR = 40.0, -80.0, -95.0, 1e-10
"""Within so much of the loudest; the least that counts as heard, and in a band as usual."""
_LIMIT_DB = 30.0
_EMPTY, _CLEAR_DB, _AGAINST = 10.0, 8.0, 0.3
"""Percentile of hops that is what a limit leaves; how far above it a hop is clear; how much one speaks against it."""
_STEP_BANDS = 2
"""A limit's slope, in bands: those within it count on neither side."""


class BandLimit(Steady):
    KIND = "bandlimit"
    GAP_S = 0.5
    SHORTEST_S = 0.8
    STEP_HOPS = 16
    HALF_HOPS = 24
    OUTSIDE_HOPS = 48
    EDGE_HOPS = 48

    def open(self) -> None:
        super().open()
        spacing = self.rate / self.hop_samples
        last = self.hop_samples // 2
        edges = sorted({min(last, round(hz / spacing)) for hz in _EDGES_HZ})
        self._edges = np.array(edges)
        self._hz = self._edges * spacing
        self._low = slice(*(min(last, max(1, round(hz / spacing))) for hz in _LOW_HZ))

    def clear(self) -> None:
        super().clear()
        self._usual = UsualRows(_USUAL_STEPS, _ANEW_STEPS, _usual_of_loud)
        self._cut = 0
        """The first band beyond the step, of the passage that goes on."""

    def features(self, hops: HopBlock) -> Features:
        """Power a hop, ``(T, 1 + bands)``: of what is below, then of each band."""
        spectra = hops.mono_spectra
        power = spectra.real**2 + spectra.imag**2
        low = power[:, self._low].mean(axis=1, keepdims=True)
        bands = np.add.reduceat(power[:, : self._edges[-1]], self._edges[:-1], axis=1) / np.diff(self._edges)
        return np.concatenate([low, bands], axis=1)

    def weigh(self, windows: Features) -> list[tuple[float, float, int]]:
        """The strength, the one to be shown, and the first band beyond the step."""
        if len(self._edges) < _STEP_BANDS + 3:
            return [(0.0, 0.0, 0)] * len(windows)
        half = max(1, windows.shape[1] // 2)
        parts = [part.mean(axis=1) for part in (windows, windows[:, :half], windows[:, -half:])]
        levels = decibels(np.stack(parts, axis=1))  # (n, parts, 1 + bands)
        usual = np.stack([self._usual.add(whole) for whole in levels[:, 0]])
        falls, cuts = _falls(levels, usual[:, None])
        strengths = strength_of(np.stack([falls[:, 0], falls.max(axis=1)], axis=1), _LIMIT_DB)
        return [(*both, cut) for both, cut in zip(strengths.tolist(), cuts.tolist(), strict=True)]

    def judge(self, weighed: tuple[float, float, int]) -> tuple[float, float]:
        strength, shown, cut = weighed
        if strength >= self.threshold:
            self._cut = cut
        return strength, shown

    def edge_features(self, window: Features) -> Features:
        """Whether a hop lacks what the emptiest lack, ``(hops, 1)``: 1, or if it is clear of them a little below 0."""
        level = decibels(window[:, 1 + self._cut :]).mean(axis=1)
        clear = np.clip((level - np.percentile(level, _EMPTY)) / _CLEAR_DB, 0, 1)
        rows: Features = (1 - (1 + _AGAINST) * clear)[:, None]
        return rows

    def band(self) -> tuple[float, float]:
        return float(self._hz[min(self._cut, len(self._hz) - 1)]), self.rate / 2


def decibels(power: Features) -> Features:
    """Of mean powers, from -100 up."""
    level: Features = 10 * np.log10(power + _FLOOR)
    return level


def _usual_of_loud(levels: Features) -> Features:
    """The median of rows ``(n, 1 + bands)`` whose lowest band is not far under the loudest."""
    usual: Features = np.median(levels[levels[:, 0] >= levels[:, 0].max() - _LOUD_DB], axis=0)
    return usual


def _falls(levels: Features, usual: Features) -> tuple[Features, NDArray[np.int64]]:
    """How much more is missing beyond the likeliest step than below it, ``(n, parts)`` dB; and the band after it, of
    the first part ``(n,)``."""
    missing = usual - levels
    bands = missing[..., 1:]
    there = usual[..., 1:] > _USUAL_DB
    above = np.where(there, bands, np.inf)[..., ::-1]
    beyond = np.minimum.accumulate(above, axis=-1)[..., ::-1]  # the least missing of this band and all above
    below = np.concatenate([bands[..., :1], (bands[..., 1:] + bands[..., :-1]) / 2], axis=-1)
    below = np.maximum(below, missing[..., :1])
    steps = np.where(np.isfinite(beyond[..., _STEP_BANDS:]), beyond[..., _STEP_BANDS:] - below[..., :-_STEP_BANDS], 0.0)
    heard = levels[..., 0] > _HEARD_DB
    found: Features = np.where(heard, np.maximum(steps.max(axis=-1), 0.0), 0.0)
    return found, steps[:, 0].argmax(axis=-1) + _STEP_BANDS
