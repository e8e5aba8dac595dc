"""What detectors know of every moment, and how much it counts beside what the network says.

A detector's strength is 0 … 1 every hundredth of a second, 0.5 where a fault begins. Long before that it is worth
something: hum at 0.3 is rare in good audio, and a click at 0.2 is not. So each kind has its own evidence, log odds that
are added to the network's; it rises with the strength and is never against a fault. The table was chosen on validation
takes, with faults of all kinds and good passages of the same songs, so that within a take faults rank before the rest
(``python -m models.flagger.fault_evidence``).
"""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from .faults.detector import Strengths

EVIDENCE: dict[str, tuple[float, float]] = {
    "clipping": (0.1, 20.0),
    "dropout": (0.1, 10.0),
    "click": (0.2, 20.0),
    "hum": (0.2, 20.0),
    "dc": (0.1, 10.0),
    "phase": (0.1, 20.0),
    "silence": (0.3, 40.0),
}
"""The strength from which on a kind says something, and the log odds that it rises by from 0 to 1."""
Double = NDArray[np.float64]


class FaultCurve:
    """Gathers strengths as they come: of each kind the strongest within every step, the first around position 0."""

    def __init__(self, step_samples: float) -> None:
        self._step = step_samples
        self._values: dict[str, NDArray[np.float32]] = {}

    def add(self, strengths: Mapping[str, Strengths]) -> None:
        """What detectors made known."""
        for kind, some in strengths.items():
            if not len(some.values):
                continue
            at = some.position + (np.arange(len(some.values)) + 0.5) * some.hop_samples
            places = np.round(at / self._step).astype(int)
            values = self._values.get(kind, np.zeros(0, np.float32))
            if places[-1] >= len(values):
                values = np.pad(values, (0, 2 * places[-1] + 64 - len(values)))
            np.maximum.at(values, places, some.values)
            self._values[kind] = values

    def strengths(self, kind: str, count: int) -> NDArray[np.float32]:
        """Of the first ``count`` steps."""
        values = self._values.get(kind, np.zeros(0, np.float32))
        return np.pad(values, (0, max(0, count - len(values))))[:count]

    def evidence(self, count: int, without: Collection[str] = ()) -> Double:
        """Log odds of the first ``count`` steps, of all kinds but those."""
        total = np.zeros(count)
        for kind in self._values:
            if kind not in without:
                total += evidence_of(kind, self.strengths(kind, count))
        return total


def evidence_of(kind: str, strengths: NDArray[np.floating]) -> Double:
    """Log odds that strengths 0 … 1 of a kind add."""
    least, slope = EVIDENCE[kind]
    found: Double = slope * np.maximum(0.0, strengths.astype(np.float64) - least)
    return found
