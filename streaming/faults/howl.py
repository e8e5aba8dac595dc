"""Howls: feedback, one line in the spectrum that grows by the same factor in the same time until something limits it.

::

    level of a band      ╱▔▔▔▔▔▔▔▔     growth   a steady slope over half a second, standing out at its end
                        ╱              held     then the same level, and the line still stands out
       ▁▂▁▁▂▁▁▁▂▁▁▁▂▁▁▁╱

A swelling note is either uneven or soon over. It is evidence and never a flag: synthesisers do both.
"""

import numpy as np

from .detector import Detector, Span, strength_of
from .hops import HOPS_A_SECOND, HopBlock
from .log_bands import BAND_STEP_HOPS, BAND_WINDOW_HOPS, BANDS, Array, contrast

_GROWN_STEPS, _HELD_STEPS = 6, 8
"""0.5 s of growth, 0.6 s of one level."""
_SLOPE = (0.1, 0.6)
"""Of the level, nepers a step: 11 to 65 dB a second."""
_MOST_GROWTH, _MOST_CONTRAST = 2.5, 3.5
"""Nepers; more tells no more."""
_UNEVEN, _UNSTEADY = 6.0, 4.0
"""What a deviation of a neper costs, of the slope and of what is held."""
_WEIGHT_CONTRAST = 0.3
_NONE = -3.0
"""Where nothing grew."""
_HELD, _FADES, _FORGETS = 1.0, 0.05, 1.5
"""From the one on a line is held, and what it gained by growing fades by so much a step; if not, by the last."""
_LONGEST_STEPS = 90
_GOOD, _LIMIT = 4.0, 0.7
"""Good music reaches the one now and then."""
_GREW = _GOOD - _MOST_CONTRAST
"""What grew by less is never told, however it is held."""


class Howl(Detector):
    KIND = "howl"
    DELAY_S = (BAND_STEP_HOPS * (_LONGEST_STEPS + _GROWN_STEPS + _HELD_STEPS + 2) + BAND_WINDOW_HOPS) / HOPS_A_SECOND

    def open(self) -> None:
        """Nothing hangs on rate and channels."""

    def clear(self) -> None:
        self._levels: Array = np.zeros((0, BANDS), np.float32)
        self._step = 0
        """Of the first of them."""
        self._grew: Array = np.full(BANDS, _NONE, np.float32)
        self._growing = False
        self._since = np.zeros(BANDS, int)
        """The step from which on each band grew."""

    def hear(self, hops: HopBlock) -> list[Span]:
        self._levels = np.concatenate([self._levels, hops.log_bands])
        count = len(self._levels) - _GROWN_STEPS - _HELD_STEPS + 1
        if count <= 0:
            return []
        stands = contrast(self._levels, 0.0)
        grown, held = self._growth(stands)[:count], self._hold(stands)[_GROWN_STEPS:]
        busy = grown.max(axis=1) >= _GREW
        for i in range(count):
            if not busy[i] and not self._growing:
                continue
            newer = grown[i] > self._grew
            self._grew = np.where(newer, grown[i], self._grew)
            self._since = np.where(newer, self._step + i, self._since)
            told = self._grew + held[i]
            at = int(told.argmax())
            if told[at] > _GOOD:
                first = max(int(self._since[at]), self._step + i - _LONGEST_STEPS)
                strength = float(strength_of(np.array(told[at] - _GOOD), _LIMIT))
                last = self._step + i + _GROWN_STEPS + _HELD_STEPS
                self.paint(first * BAND_STEP_HOPS, np.full((last - first) * BAND_STEP_HOPS, strength, np.float32))
            self._grew = np.maximum(self._grew - np.where(held[i] > _HELD, _FADES, _FORGETS), _NONE)
            self._growing = bool(self._grew.max() >= _GREW)
            if not self._growing:
                self._grew[:] = _NONE
        self._levels, self._step = self._levels[count:], self._step + count
        return []

    def _growth(self, stands: Array) -> Array:
        """How well each band grew over `_GROWN_STEPS` from each step on, or a neighbour did."""
        rises = np.diff(self._levels, axis=0)
        mean, deviation = _moments(rises, _GROWN_STEPS)
        size = np.minimum(mean * _GROWN_STEPS, _MOST_GROWTH) + _WEIGHT_CONTRAST * stands[_GROWN_STEPS:]
        grown = np.where((mean > _SLOPE[0]) & (mean < _SLOPE[1]), np.maximum(size - _UNEVEN * deviation, _NONE), _NONE)
        grown[:, 1:-1] = np.maximum(np.maximum(grown[:, 1:-1], grown[:, 2:]), grown[:, :-2])
        widened: Array = grown.astype(np.float32)
        return widened

    def _hold(self, stands: Array) -> Array:
        """How well each band stands out at one level over `_HELD_STEPS` from each step on."""
        _, deviation = _moments(self._levels, _HELD_STEPS)
        mean, _ = _moments(stands, _HELD_STEPS)
        held: Array = np.minimum(mean, _MOST_CONTRAST) - _UNSTEADY * deviation
        return held


def _moments(rows: Array, length: int) -> tuple[Array, Array]:
    """Mean and standard deviation of so many rows from each on, ``(n - length + 1, bands)`` each."""
    count = len(rows) - length + 1
    total, squares = np.zeros((2, count, rows.shape[1]), np.float32)
    for i in range(length):
        total += rows[i : i + count]
        squares += rows[i : i + count] ** 2
    mean: Array = total / np.float32(length)
    deviation: Array = np.sqrt(np.maximum(squares / np.float32(length) - mean * mean, 0))
    return mean, deviation
