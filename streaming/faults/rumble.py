"""Rumble: wind in a microphone, handling, footfalls on the stand: noise where a bass has only its notes.

From 25 to 90 Hz music is lines with valleys between them; rumble fills the valleys. What counts is how far the lower
third of all lines has risen above the recording's usual. It is evidence and never a flag: a bass that comes in may rise
as far::

    music   ▁▇▁▁▁▅▁▁▁▃▁▁       rumble  ▅▇▆▄▅▆▄▅▃▄▃▄
"""

from collections import deque

import numpy as np

from .detector import strength_of
from .hops import Block
from .lines import Lines
from .steady import Features, Steady

_LINES_HZ = np.arange(25.0, 91.0, 3.0)
_VALLEYS = 30.0
"""Percentile of the lines that is a valley."""
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

    def clear(self) -> None:
        super().clear()
        self._past: deque[float] = deque(maxlen=_USUAL_STEPS)

    def features(self, hops: Block) -> Features:
        """The lines' amplitude in each hop, ``(T, lines)`` complex."""
        return self._lines.amplitudes(hops, self._heard)

    def judge(self, window: Features) -> tuple[float, float]:
        if len(window) < self.HALF_HOPS:
            return 0.0, 0.0
        taper = np.hanning(len(window) + 2)[1:-1]
        power = np.square(np.abs(taper @ window) / taper.sum())
        level = float(np.percentile(10 * np.log10(power + _FLOOR), _VALLEYS))
        self._past.append(level)
        risen = max(0.0, level - float(np.median(self._past)))
        return 0.0, float(strength_of(np.array(risen), _LIMIT_DB))
