"""How odd a moment is, by network and detectors together: one curve of all that can be wrong.

A detector's strength is 0 … 1 every hundredth of a second, 0.5 where a fault begins, and near 0.5 means little yet:
its log odds count `STEEPNESS` times, so that a doubtful click does not drown what the network says. Whichever is the
more alarming holds.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .faults.detector import Strengths

STEEPNESS = 8.0
LIMIT = 20.0
"""Log odds of a strength of 1."""
Double = NDArray[np.float64]


class FaultCurve:
    """Gathers strengths as they come: the strongest within every step, the first step around position 0."""

    def __init__(self, step_samples: float) -> None:
        self._step = step_samples
        self._values = np.zeros(0)

    def add(self, strengths: Iterable[Strengths]) -> None:
        """What detectors made known."""
        for some in strengths:
            if not len(some.values):
                continue
            at = some.position + (np.arange(len(some.values)) + 0.5) * some.hop_samples
            places = np.round(at / self._step).astype(int)
            if places[-1] >= len(self._values):
                self._values = np.pad(self._values, (0, 2 * places[-1] + 64 - len(self._values)))
            np.maximum.at(self._values, places, some.values)

    def oddness(self, count: int) -> Double:
        """Log odds of the first ``count`` steps."""
        values = np.pad(self._values, (0, max(0, count - len(self._values))))[:count]
        return odds_of(values)


def odds_of(strengths: NDArray[np.floating]) -> Double:
    """Strengths 0 … 1 as log odds, within ±`LIMIT`."""
    least = 1 / (1 + np.exp(LIMIT / STEEPNESS))
    inside = np.clip(strengths, least, 1 - least)
    odds: Double = STEEPNESS * np.log(inside / (1 - inside))
    return odds
