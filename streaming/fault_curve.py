"""What detectors know of every moment, and how much it counts beside what the network says.

A detector's strength is 0 … 1 every hundredth of a second, 0.5 where a fault begins. Long before that it is worth
something: hum at 0.3 is rare in good audio, and a click at 0.2 is not. So each kind has its own evidence, log odds that
are added to the network's; it rises with the strength and is never against a fault. The table was chosen on validation
takes, with faults of all kinds and good passages of the same songs, so that within a take faults rank before the rest
(``python -m models.flagger.fault_evidence``).
"""

from collections.abc import Collection, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from .faults.detector import Strengths
from .flags import Flag

GRADES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
EVIDENCE: dict[str, tuple[float, ...]] = {
    "clipping": (0.0, 0.1, 0.8, 3.0, 5.8, 8.5, 10.8, 12.9, 14.6),
    "dropout": (0.0, 0.2, 0.3, 0.5, 1.0, 2.1, 4.4, 8.8, 8.9),
    "click": (0.0, 0.0, 0.6, 3.1, 4.3, 5.7, 7.6, 8.8, 8.8),
    "hum": (0.0, 0.0, 0.0, 1.4, 4.2, 6.9, 8.8, 8.8, 8.8),
    "dc": (0.0, 0.2, 0.7, 2.5, 4.9, 7.2, 9.3, 10.9, 10.9),
    "phase": (0.0, 2.0, 3.9, 5.7, 7.6, 9.6, 11.6, 12.7, 12.7),
    "silence": (0.0, 0.7, 2.0, 5.8, 8.6, 10.4, 11.3, 12.1, 12.2),
    "bandlimit": (0.0, 0.0, 0.4, 0.5, 2.4, 3.3, 3.3, 3.3, 3.3),
    "rumble": (0.0, 0.0, 0.7, 1.6, 1.9, 2.2, 2.2, 2.2, 2.2),
    "tuning": (0.0, 1.1, 1.5, 2.3, 3.5, 4.3, 5.8, 6.0, 6.0),
    "image": (0.0, 0.0, 0.1, 2.3, 3.1, 3.1, 3.1, 3.1, 3.1),
    "tape stop": (0.0, 0.0, 0.0, 0.0, 0.4, 2.4, 2.5, 2.5, 2.5),
    "howl": (0.0, 0.9, 1.3, 1.4, 1.4, 1.9, 4.3, 4.3, 4.3),
    "crackle": (0.0, 0.0, 3.1, 3.4, 3.5, 3.5, 3.5, 3.5, 3.5),
}
"""The log odds that each kind adds at the strengths of `GRADES`; between them a straight line."""
REPAIRED = frozenset(("hum", "dc", "phase"))
"""Kinds of faults that are repaired; nobody cuts them out."""
TECHNICAL = ("clipping", "dropout", "click", "hum", "dc", "phase", "silence")
"""Kinds that detectors are sure of, where they tell them."""
SURE = 0.55
"""Strength from which on a file's faults are told; weaker ones are evidence all the same, and told live. It spares 14
of 32 false ones in 110 songs, and costs 35 of 456 true ones of validation takes."""
TOLD_ODDS = 8.0
"""What a fault that is told counts for beside a judge."""
CRACKLE, CLICK = "crackle", "click"
MADE_OF = {CRACKLE: CLICK}
CRACKLE_STEPS = 9
"""Of a second and a half the mean strength of clicks: a record crackles where no click is one by itself."""
BEGINS = ("tape stop", "howl")
"""Kinds that grow out of what is good, where no other edge is heard …"""
BEGUN = 0.35
"""… begin where their strength comes up to this."""
Double = NDArray[np.float64]


class FaultCurve:
    """Gathers strengths as they come: of each kind the strongest within every step, the first around position 0."""

    def __init__(self, step_samples: float) -> None:
        self._step = step_samples
        self._values: dict[str, NDArray[np.float32]] = {}
        self._told: list[Flag] = []
        self._last: dict[str, float] = {}
        self.beginnings: list[float] = []
        """Where faults that grow begin, in steps, as they become known."""

    def add(self, strengths: Mapping[str, Strengths], told: Iterable[Flag] = ()) -> None:
        """What detectors made known, and the faults that they told."""
        self._told += [fault for fault in told if fault.kind in TECHNICAL and fault.score >= SURE]
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
            if kind in BEGINS:
                before = np.concatenate([[self._last.get(kind, 0.0)], some.values])
                begun = np.flatnonzero((before[:-1] < BEGUN) & (before[1:] >= BEGUN))
                self.beginnings += ((some.position + begun * some.hop_samples) / self._step).tolist()
                self._last[kind] = float(some.values[-1])

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

    def certainty(self, count: int, without: Collection[str] = ()) -> Double:
        """Log odds that come to those of the first ``count`` steps where a fault was told: a judge, which weighs all
        with all, would rank what is merely odd above a fault that is there."""
        found = np.zeros(count)
        for fault in self._told:
            if fault.kind not in without:
                first, last = round(fault.start / self._step), round(fault.end / self._step)
                found[first : last + 1] = TOLD_ODDS
        return found


def evidence_of(kind: str, strengths: NDArray[np.floating]) -> Double:
    """Log odds that strengths 0 … 1 of a kind add."""
    found: Double = np.interp(strengths, GRADES, EVIDENCE[kind])
    return found
