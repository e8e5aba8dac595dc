"""A flipped channel: left and right are what they were, but from one moment to the next against each other.

In each band of 100 Hz left and right have something in common, and a phase between them: where instruments stand, and
what a room does to them. Even where that is little, and the sum over all bands no more for than against each other, it
is the same from bar to bar. A flip turns all of it by half a turn at once::

    coherence of a band, usual  ↗   →   ↘   ↗        now, flipped  ↙   ←   ↖   ↙

So the question is how far what is common now is the usual turned round. What is nothing but left against right is a
fault whatever is usual.

Whatever the music does, most of it sounds on from one twelfth of a second to the next, and its phases with it: an edge
lies within a twelfth of a second of where most of them are turned at once, at the hop from which on they say the
opposite of what was before; where nothing sounds on, of what is usual.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from .detector import Span
from .hops import HopBlock
from .steady import Features, Steady
from .stereo import EVENED, UsualStereo

_HIGHEST_HZ = 6000
_QUIET = 1e-9
_LIMIT = 0.37
"""Of the usual turned round: a fault begins."""
_OPPOSED, _OPPOSED_STRENGTH = 0.9, 0.75
"""Correlation against each other of what is one signal."""
_LATELY_STEPS = 600
"""A minute: of a longer passage so much counts."""
_SIDE_HOPS = 8
"""To either side of an edge; a power of two."""
_TURNED = 0.4
"""Of all that sounds on: so much turned round at once is an edge."""
_EVEN = 2.5
"""So many bands at least must share what is heard."""


class Phase(Steady):
    KIND = "phase"
    GAP_S = 1.0
    SHORTEST_S = 0.6
    STEP_HOPS = 10
    HALF_HOPS = 30
    EDGE_HOPS = 45

    def open(self) -> None:
        super().open()
        self._bins = max(4, min(self.hop_samples // 2, round(_HIGHEST_HZ * self.hop_samples / self.rate)))

    def clear(self) -> None:
        super().clear()
        self._usual = UsualStereo(self._bins)
        self._lately: deque[tuple[int, float]] = deque(maxlen=_LATELY_STEPS)
        """Strengths of steps that were not silent."""

    def features(self, hops: HopBlock) -> Features:
        """Left times right conjugate of each band, and the power of both, ``(T, 2, bands)`` complex; of one channel
        nothing."""
        if self.channels < 2:
            return np.zeros((len(hops), 2, 0), np.complex64)
        left, right = hops.spectra[:, :, 1 : self._bins + 1].transpose(1, 0, 2)
        return np.stack([left * right.conj(), np.abs(left) * np.abs(right)], axis=1)

    def weigh(self, windows: Features) -> list[tuple[Features, float]]:
        """Sums, and how much is heard a hop."""
        sums = windows.sum(axis=1)
        heard = sums[:, 1].real.sum(axis=1) / windows.shape[1]
        return list(zip(sums, heard.tolist(), strict=True))

    def judge(self, weighed: tuple[Features, float]) -> tuple[float, float]:
        (common, power), heard = weighed
        if heard <= _QUIET:
            return 0.0, 0.0
        turned = max(0.0, self._usual.turned(common, power.real))
        strength = turned / (turned + _LIMIT)
        if common.real.sum() <= -_OPPOSED * power.real.sum():
            strength = max(strength, _OPPOSED_STRENGTH)
        self._lately.append((self._step, strength))
        return strength, strength

    def refine(self, span: Span) -> Span:
        """As strong as it is on the whole: music may turn round for a moment, but not so far for so long."""
        first, last = (at / self.hop_samples for at in (span.start, span.end))
        inside = [strength for step, strength in self._lately if first <= step < last]
        return span._replace(strength=sum(inside) / len(inside)) if inside else span

    def _edge(self, about: int, heard: int, rising: bool) -> int:
        first, last = max(0, self._base, about - self.EDGE_HOPS), min(heard, about + self.EDGE_HOPS)
        common, power = self._window(first, last).transpose(1, 0, 2)
        level = power.real.mean(axis=0, dtype=np.float64) + 1e-12
        turns = turned(common)
        if len(turns) and turns.max() >= _TURNED:
            middle = _SIDE_HOPS + int(turns.argmax())
            ever = (common[:middle].sum(axis=0) - common[middle:].sum(axis=0)) / (len(common) * level)
            begin, end = middle - _SIDE_HOPS, middle + _SIDE_HOPS
        else:
            ever = self._usual.coherence if rising else -self._usual.coherence
            begin, end = 0, len(common)
        as_before = (common[begin:end] * ever.conj()).real @ level ** (EVENED - 1)
        return first + begin + int(np.concatenate([[0.0], np.cumsum(as_before)]).argmax())


def turned(common: NDArray[np.complexfloating]) -> NDArray[np.float64]:
    """How much of the phases between left and right is turned round, -1 … 1, before each hop from the ninth on.

    ``common (T, bands)`` are left times right conjugate; there are T - 15 answers.
    """
    sums, reach = common, 1
    while reach < _SIDE_HOPS:  # of two, of four, of eight in a row
        sums, reach = sums[:-reach] + sums[reach:], 2 * reach
    before, after = sums[:-_SIDE_HOPS], sums[_SIDE_HOPS:]
    both = np.abs(before) * np.abs(after)
    weights = np.sqrt(both)
    agree = before.real * after.real + before.imag * after.imag
    total = weights.sum(axis=1, dtype=np.float64)
    even = np.square(total) / (both.sum(axis=1, dtype=np.float64) + 1e-30)
    score = -(agree / (weights + 1e-20)).sum(axis=1, dtype=np.float64) / (total + 1e-20)
    heard: NDArray[np.float64] = np.where((total > _QUIET) & (even >= _EVEN), score, 0.0)
    return heard
