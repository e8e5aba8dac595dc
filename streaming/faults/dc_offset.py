"""DC: the wave's middle is off zero and stays there.

Means over a quarter of a second, and how much they move about: what swings is a low note or a loose microphone.
"""

import numpy as np

from .hops import Block
from .steady import Features, Steady

_SMOOTH_HOPS = 25
_SWING = 2.0
"""Times their deviation: so far do means move without an offset."""
_LIMIT = 0.022


class DcOffset(Steady):
    KIND = "dc"
    GAP_S = 0.5
    SHORTEST_S = 0.25
    STEP_HOPS = 10
    HALF_HOPS = 50
    EDGE_HOPS = 45

    def open(self) -> None:
        super().open()
        window = np.hanning(_SMOOTH_HOPS + 2)[1:-1]
        self._smooth = window / window.sum()

    def features(self, hops: Block) -> Features:
        means: Features = hops.mean(axis=2, dtype=np.float64)
        return means

    def judge(self, window: Features) -> float:
        if len(window) < 2 * _SMOOTH_HOPS:
            return 0.0
        smooth = np.stack([np.convolve(channel, self._smooth, "valid") for channel in window.T])
        half = max(1, smooth.shape[1] // 2)
        parts = (smooth[:, :half], smooth[:, half:]) if len(window) == 2 * self.HALF_HOPS else (smooth,)
        offset = max(float((np.abs(p.mean(axis=1)) - _SWING * p.std(axis=1)).max()) for p in parts)
        return max(0.0, offset) / (max(0.0, offset) + _LIMIT)

    def band(self) -> tuple[float, float]:
        return 0.0, 20.0
