"""DC: the wave's middle is off zero and stays there.

Means over a quarter of a second, and how much they move about: what swings is a low note or a loose microphone. A fault
is an offset from zero. What a moment is worth as evidence is its offset from the recording's usual one: a synthesiser's
lopsided waves lie off zero from the first bar to the last, and no bar is odder than the others.
"""

from functools import partial

import numpy as np

from .detector import Span
from .hops import HopBlock
from .steady import Features, Steady
from .usual import UsualRows

BAND_HZ = 0.0, 20.0
_SMOOTH_HOPS = 25
_SWING = 2.0
"""Times their deviation: so far do means move without an offset."""
_LIMIT = 0.03
_NOTHING = 3e-4
"""A hundredth of it: most music never leaves zero so far, and nothing more need be asked."""
_USUAL_STEPS = 150
"""30 s: the median of the means is the usual offset."""
_ANEW_STEPS = 5
"""It is computed anew once a second."""
_EDGE_STEPS = 3
_LEAST_STEPS, _UNSTEADY = 4, 0.12
"""An offset that moves, between its edges, by more than that share of itself comes from the waves, not a converter."""


class DcOffset(Steady):
    KIND = "dc"
    GAP_S = 2.0
    SHORTEST_S = 0.5
    STEP_HOPS = 20
    HALF_HOPS = 50
    OUTSIDE_HOPS = 80
    EDGE_HOPS = 45

    def open(self) -> None:
        super().open()
        window = np.hanning(_SMOOTH_HOPS + 2)[1:-1]
        count = 2 * self.HALF_HOPS - _SMOOTH_HOPS + 1
        self._smoothing = np.stack([np.pad(window / window.sum(), (i, count - 1 - i)) for i in range(count)])
        """Takes a whole window to its smoothed one, and a short one by its first rows and columns."""

    def clear(self) -> None:
        super().clear()
        self._usual = UsualRows(_USUAL_STEPS, _ANEW_STEPS, partial(np.median, axis=0))

    def features(self, hops: HopBlock) -> Features:
        means: Features = hops.samples.mean(axis=2, dtype=np.float32).astype(np.float64)
        return means

    def weigh(self, windows: Features) -> list[tuple[float, float]]:
        """How far off zero, and how far off zero or the usual, but for how much that moves about."""
        hops = windows.shape[1]
        if hops < 2 * _SMOOTH_HOPS:
            return [(0.0, 0.0)] * len(windows)
        smooth = self._smoothing[: hops - _SMOOTH_HOPS + 1, :hops] @ windows
        means = _mean_of_parts(smooth)
        usual = np.stack([self._usual.add(whole) for whole in means[:, -1]])[:, None]
        swing = _SWING * np.sqrt(np.maximum(_mean_of_parts(smooth**2) - means**2, 0))
        there, beside = np.abs(means[:, -1]) - swing[:, -1], np.abs(means - usual) - swing
        most = np.maximum(np.abs(smooth), np.abs(smooth - usual)).max(axis=(1, 2))
        whole, shown = (
            np.where(most < _NOTHING, 0.0, np.maximum(off, 0.0)) for off in (there.max(axis=1), beside.max(axis=(1, 2)))
        )
        return list(zip(whole.tolist(), shown.tolist(), strict=True))

    def judge(self, weighed: tuple[float, float]) -> tuple[float, float]:
        there, shown = weighed
        return there / (there + _LIMIT), shown / (shown + _LIMIT)

    def refine(self, span: Span) -> Span:
        """As it is, or without strength where it is how the music's waves lie."""
        last = self._step // self.STEP_HOPS - 1  # of the past
        first = last - len(self._usual.past) + 1
        begun, ended = (at // (self.STEP_HOPS * self.hop_samples) - first for at in (span.start, span.end))
        means = np.array(list(self._usual.past)[max(0, begun + _EDGE_STEPS) : max(0, ended - _EDGE_STEPS)])
        if len(means) >= _LEAST_STEPS:
            channel = int(np.abs(means.mean(axis=0)).argmax())
            if means[:, channel].std() > _UNSTEADY * abs(means[:, channel].mean()):
                return span._replace(strength=0.0)
        return span

    def band(self) -> tuple[float, float]:
        return BAND_HZ


def _mean_of_parts(rows: Features) -> Features:
    """Of the first half of rows ``(n, hops, channels)``, of the rest and of all, ``(n, 3, channels)``."""
    half, count = rows.shape[1] // 2, rows.shape[1]
    first, rest = rows[:, :half].sum(axis=1), rows[:, half:].sum(axis=1)
    means: Features = np.stack([first / half, rest / (count - half), (first + rest) / count], axis=1)
    return means
