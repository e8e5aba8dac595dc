"""DC: the wave's middle is off zero and stays there.

Means over a quarter of a second, and how much they move about: what swings is a low note or a loose microphone. A fault
is an offset from zero. What a moment is worth as evidence is its offset from the recording's usual one: a synthesiser's
lopsided waves lie off zero from the first bar to the last, and no bar is odder than the others.
"""

from collections import deque

import numpy as np

from .detector import Span
from .hops import HopBlock
from .steady import Features, Steady

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
        self._smooth = window / window.sum()
        count = 2 * self.HALF_HOPS - len(self._smooth) + 1
        self._smoothing = np.stack([np.pad(self._smooth, (i, count - 1 - i)) for i in range(count)])
        """The same for whole windows, as a product."""

    def clear(self) -> None:
        super().clear()
        self._past: deque[Features] = deque(maxlen=_USUAL_STEPS)
        self._usual: Features = np.zeros(self.channels)

    def features(self, hops: HopBlock) -> Features:
        means: Features = hops.samples.mean(axis=2, dtype=np.float32).astype(np.float64)
        return means

    def judge(self, window: Features) -> tuple[float, float]:
        if len(window) < 2 * _SMOOTH_HOPS:
            return 0.0, 0.0
        if len(window) == self._smoothing.shape[1]:
            smooth = (self._smoothing @ window).T
        else:
            smooth = np.stack([np.convolve(channel, self._smooth, "valid") for channel in window.T])
        count, half = smooth.shape[1], smooth.shape[1] // 2
        means, squares = (
            np.stack([some[:, :half].sum(axis=1), some[:, half:].sum(axis=1)]) for some in (smooth, smooth**2)
        )
        counts = np.array([[half], [count - half], [count]])
        means, squares = (np.concatenate([some, some.sum(axis=0)[None]]) / counts for some in (means, squares))
        self._past.append(means[-1])
        if len(self._past) < _ANEW_STEPS or self._step // self.STEP_HOPS % _ANEW_STEPS == 0:
            self._usual = np.median(self._past, axis=0)
        beside = np.abs(means - self._usual)
        if max(np.abs(smooth).max(), np.abs(smooth - self._usual[:, None]).max()) < _NOTHING:
            return 0.0, 0.0
        swing = _SWING * np.sqrt(np.maximum(squares - means**2, 0))
        there, shown = (
            max(0.0, float((off - swing)[rows].max())) for off, rows in ((np.abs(means), -1), (beside, slice(None)))
        )
        return there / (there + _LIMIT), shown / (shown + _LIMIT)

    def refine(self, span: Span) -> Span:
        """As it is, or without strength where it is how the music's waves lie."""
        last = self._step // self.STEP_HOPS - 1  # of the past
        first = last - len(self._past) + 1
        begun, ended = (at // (self.STEP_HOPS * self.hop_samples) - first for at in (span.start, span.end))
        means = np.array(list(self._past)[max(0, begun + _EDGE_STEPS) : max(0, ended - _EDGE_STEPS)])
        if len(means) >= _LEAST_STEPS:
            channel = int(np.abs(means.mean(axis=0)).argmax())
            if means[:, channel].std() > _UNSTEADY * abs(means[:, channel].mean()):
                return span._replace(strength=0.0)
        return span

    def band(self) -> tuple[float, float]:
        return BAND_HZ
