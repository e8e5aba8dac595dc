"""Rumble: wind in a microphone, handling, footfalls on the stand: noise where a bass has only its notes.

From 25 to 90 Hz music is lines with valleys between them; rumble fills the valleys. What counts is how far the lower
third of all lines has risen above the recording's usual. It is evidence and never a flag: a bass that comes in may rise
as far::

    music   ▁▇▁▁▁▅▁▁▁▃▁▁       rumble  ▅▇▆▄▅▆▄▅▃▄▃▄
"""

import math

import numpy as np

from .hops import HopBlock
from .lines import Lines
from .steady import Features, Steady
from .usual import Usual

_LINES_HZ = np.arange(25.0, 91.0, 3.0)
_VALLEY = 6
"""The line that shows the valleys: of 22, so many are weaker."""
_USUAL_STEPS = 190
"""30 s."""
_LIMIT_DB = 25.0
_FLOOR = 1e-9


class Rumble(Steady):
    KIND = "rumble"
    STEP_HOPS = 16
    HALF_HOPS = 24
    OUTSIDE_HOPS = EDGE_HOPS = 0

    def open(self) -> None:
        super().open()
        self._lines = Lines(_LINES_HZ, self.rate, self.hop_samples)
        self._taper = np.hanning(2 * self.HALF_HOPS + 2)[1:-1]

    def clear(self) -> None:
        super().clear()
        self._usual = Usual(_USUAL_STEPS)

    def features(self, hops: HopBlock) -> Features:
        """The lines' amplitude in each hop, ``(T, lines)`` complex."""
        return self._lines.amplitudes(hops, self._heard)

    def weigh(self, windows: Features) -> list[float]:
        """The level of the valleys (dB)."""
        hops = windows.shape[1]
        taper = self._taper if hops == len(self._taper) else np.hanning(hops + 2)[1:-1]
        lines = np.einsum("h,nhl->nl", taper, windows) / taper.sum()
        power = np.sort(np.square(np.abs(lines)), axis=1)[:, _VALLEY]
        return (10 * np.log10(power + _FLOOR)).tolist() if hops >= self.HALF_HOPS else [-math.inf] * len(windows)

    def judge(self, weighed: float) -> tuple[float, float]:
        if weighed == -math.inf:
            return 0.0, 0.0
        risen = max(0.0, weighed - self._usual.add(weighed))
        return 0.0, risen / (risen + _LIMIT_DB)
