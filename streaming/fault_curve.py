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

GRADES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
EVIDENCE: dict[str, tuple[float, ...]] = {
    "clipping": (0.0, 0.1, 0.8, 3.3, 6.4, 8.9, 10.8, 12.4, 13.7),
    "dropout": (0.0, 0.1, 0.3, 0.5, 1.0, 2.0, 3.9, 7.4, 7.5),
    "click": (0.0, 0.0, 0.5, 3.1, 3.8, 4.8, 6.7, 8.0, 8.0),
    "hum": (0.0, 0.0, 0.0, 0.4, 2.8, 6.4, 9.8, 9.9, 9.9),
    "dc": (0.0, 0.2, 0.7, 3.1, 6.2, 9.5, 11.3, 11.7, 11.7),
    "phase": (0.0, 1.4, 2.9, 5.0, 7.2, 8.7, 9.4, 10.4, 11.4),
    "silence": (0.0, 0.1, 0.2, 4.0, 6.4, 8.8, 11.3, 11.7, 11.7),
    "bandlimit": (0.0, 0.0, 0.3, 1.9, 5.0, 6.9, 7.0, 7.0, 7.0),
    "rumble": (0.0, 0.4, 0.7, 1.9, 2.0, 2.6, 4.7, 4.7, 4.7),
    "crackle": (0.0, 0.0, 3.1, 3.2, 3.2, 3.2, 3.2, 3.2, 3.2),
}
"""The log odds that each kind adds at the strengths of `GRADES`; between them a straight line."""
REPAIRED = frozenset(("hum", "dc", "phase"))
"""Kinds of faults that are repaired; nobody cuts them out."""
CRACKLE, CLICK = "crackle", "click"
MADE_OF = {CRACKLE: CLICK}
CRACKLE_STEPS = 9
"""Of a second and a half the mean strength of clicks: a record crackles where no click is one by itself."""
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
        if kind == CRACKLE:
            return np.convolve(self.strengths(CLICK, count), np.full(CRACKLE_STEPS, 1 / CRACKLE_STEPS), "same")[:count]
        values = self._values.get(kind, np.zeros(0, np.float32))
        return np.pad(values, (0, max(0, count - len(values))))[:count]

    def evidence(self, count: int, without: Collection[str] = ()) -> Double:
        """Log odds of the first ``count`` steps, of all kinds but those."""
        total = np.zeros(count)
        for kind in EVIDENCE:
            if kind not in without and MADE_OF.get(kind) not in without:
                total += evidence_of(kind, self.strengths(kind, count))
        return total


def evidence_of(kind: str, strengths: NDArray[np.floating]) -> Double:
    """Log odds that strengths 0 … 1 of a kind add."""
    found: Double = np.interp(strengths, GRADES, EVIDENCE[kind])
    return found
