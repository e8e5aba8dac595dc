"""DC: the wave's middle is off zero and stays there.

Means over a quarter of a second, and how much they move about: what swings is a low note or a loose microphone.
"""

import numpy as np

from .hops import Block
from .steady import Features, Steady

_SMOOTH_HOPS = 25
_SWING = 2.0
"""Times their deviation: so far do means move without an offset."""
_LIMIT = 0.03


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

    def features(self, hops: Block) -> Features:
        means: Features = hops.mean(axis=2, dtype=np.float32).astype(np.float64)
        return means

    def judge(self, window: Features) -> tuple[float, float]:
        if len(window) < 2 * _SMOOTH_HOPS:
            return 0.0, 0.0
        smooth = np.stack([np.convolve(channel, self._smooth, "valid") for channel in window.T])
        half = max(1, smooth.shape[1] // 2)
        whole, first, last = (self._strength(part) for part in (smooth, smooth[:, :half], smooth[:, half:]))
        return whole, max(whole, first, last)

    def _strength(self, means: Features) -> float:
        """Of smoothed means ``(channels, n)``."""
        offset = max(0.0, float((np.abs(means.mean(axis=1)) - _SWING * means.std(axis=1)).max()))
        return offset / (offset + _LIMIT)

    def band(self) -> tuple[float, float]:
        return 0.0, 20.0
