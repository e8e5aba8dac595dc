"""A flipped channel: left and right are what they were, but from one moment to the next against each other.

In each band of 100 Hz left and right have a phase between them. Whatever the music does, most of it sounds on from one
twelfth of a second to the next, and its phases with it; a flip turns them all by half a turn at once. So a flip is
found at its edges, in wide stereo as well, where left and right correlate no more than they do against each other:

::

    phases    →→↗→→→↗→→→|←←↙←←←↙←←←←|→→↗→→→→
                        flip         flip back

Which side of an edge is the flipped one is told by the correlation: it is the lower one. What is nothing but left
against right is a fault without an edge.
"""

import numpy as np
from numpy.typing import NDArray

from .detector import LIVE_LIMIT_S, Detector, Span
from .hops import HOPS_A_SECOND, HopBlock
from .quiet import Run, Runs
from .stereo import UsualStereo, products

_SIDE_HOPS = 8
"""A power of two."""
_HIGHEST_HZ = 6000
_TURNED = 0.4
"""Of all that is heard: so much turned round at once may be a flip …"""
_PAIR = 2.1
"""… and is one, where that much is turned at its two edges together, and as much between them, three times over …"""
_ALONE = 0.9
"""… or that much at one."""
_SURE = 12.0
_QUIET = 1e-9
_EVEN = 2.5
"""So many bands at least must share what is heard."""
_APART_HOPS = 4
"""Edges nearer than this are one."""
_EDGES_HZ = (100, 200, 400, 800, 1600, 3200)
_STEP_HOPS, _HALF_HOPS = 20, 25
_HINT = 0.49
"""The most that a correlation unlike the usual counts for, without an edge."""
_USUAL_STEPS = 10
_AS_USUAL = 0.3
_LOST_HOPS = 6000
"""A flip's beginning is forgotten after so long."""
_OPPOSED = 0.9
"""Correlation against each other, hop after hop, of what is one signal …"""
_OPPOSED_HOPS = 100
"""… for so long."""
_OPPOSED_STRENGTH = 0.75
_CLEAR = 0.1
"""A correlation nearer to zero does not tell which side is flipped."""
_KNOWN_HOPS = _SIDE_HOPS + _APART_HOPS
"""An edge is known so much later."""


class Phase(Detector):
    KIND = "phase"
    GAP_S = 0.1
    SHORTEST_S = 0.3
    DELAY_S = 10.0
    """Flips that are shorter are told when they are over."""

    def open(self) -> None:
        self._bins = max(4, min(self.hop_samples // 2, round(_HIGHEST_HZ * self.hop_samples / self.rate)))
        self._bands = sorted(
            {b for b in (round(hz * self.hop_samples / self.rate) - 1 for hz in _EDGES_HZ) if 0 <= b < self._bins}
        )

    def clear(self) -> None:
        self._cross = np.zeros((2 * _SIDE_HOPS, self._bins), np.complex64)
        self._sums = np.zeros((_KNOWN_HOPS + _SIDE_HOPS, 3))
        self._against = Runs(_OPPOSED_HOPS)
        self._usual = UsualStereo(len(self._bands))
        self._rows = np.zeros((2 * _HALF_HOPS, 3, len(self._bands)), np.float32)
        self._unlike = np.zeros(0)
        """How far the correlation was turned round, a value a step."""
        self._steps = 0
        self._turns = np.zeros(2 * _APART_HOPS)
        self._count = 0
        self._flip: tuple[int | None, float] = None, 0.0
        """The hop where a flip began, and how much turned there."""

    def hear(self, hops: HopBlock) -> list[Span]:
        if self.channels < 2:
            return []
        count = self._count = len(hops)
        spectra = hops.spectra[:, :, 1 : self._bins + 1]
        cross = np.concatenate([self._cross, spectra[:, 0] * spectra[:, 1].conj()])
        turns = np.concatenate([self._turns, turned(cross)])
        self._cross, self._turns = cross[count:], turns[count:]
        spans = self._compare(spectra)
        left, right = hops.samples[:, 0], hops.samples[:, 1]
        sums = np.stack([(a * b).sum(axis=1) for a, b in ((left, right), (left, left), (right, right))], axis=1)
        self._sums = np.concatenate([self._sums, sums])
        # turns[_APART_HOPS + i] speaks of the edge before this hop:
        first = self._heard - _SIDE_HOPS - _APART_HOPS + 1
        for i in range(count):
            here = turns[i : i + 2 * _APART_HOPS + 1]
            if here[_APART_HOPS] >= _TURNED and int(here.argmax()) == _APART_HOPS:
                spans += self._edge(first + i, float(here[_APART_HOPS]))
        known = self._heard + count - _KNOWN_HOPS
        flip, turn = self._flip
        if flip is not None and turn >= _ALONE:
            self.paint_span(self._span(flip, known, strength_of_turn(turn - _ALONE)))
            if self._live and (known - flip) * self.hop_samples >= LIVE_LIMIT_S * self.rate:
                spans.append(self._span(flip, known, strength_of_turn(turn - _ALONE)))
        spans += self._opposed(sums)
        self._sums = self._sums[count:]
        return sorted(spans)

    def finish(self) -> list[Span]:
        flip, turn = self._flip
        spans = []
        if flip is not None and turn >= _ALONE:
            spans.append(self._span(flip, self._heard, strength_of_turn(turn - _ALONE)))
        begun = self._against.open
        if begun is not None and self._heard - begun >= _OPPOSED_HOPS:
            spans.append(self._span(begun, self._heard, _OPPOSED_STRENGTH))
        return sorted(spans)

    def _settled(self) -> int:
        """A flip that goes on is told when it is over, with its beginning."""
        begun = [hop for hop in (self._flip[0], self._against.open) if hop is not None]
        return max(0, min([self._heard - _KNOWN_HOPS, *begun])) * self.hop_samples

    def _edge(self, hop: int, turn: float) -> list[Span]:
        """An edge before ``hop``: a flip begins, or one ends."""
        at = hop - self._heard + len(self._sums) - self._count
        before, after = (correlation(self._sums[a : a + _SIDE_HOPS]) for a in (at - _SIDE_HOPS, at))
        flip, other = self._flip
        clear = max(abs(after), abs(before)) >= _CLEAR
        if after < before if clear else flip is None:
            if flip is None or turn >= other:
                self._flip = hop, turn
            return []
        self._flip = None, 0.0
        if flip is not None:
            beyond = (turn + other + 3 * self._between(flip, hop) - _PAIR) / 3
            span = self._span(flip, hop, strength_of_turn(beyond))
        elif turn >= _ALONE and clear and -after * before > _CLEAR**2:
            span = self._span(self._unlike_since(hop), hop, strength_of_turn(turn - _ALONE))
        else:
            return []
        self.paint_span(span)
        return [span] if span.strength >= self.threshold else []

    def _compare(self, spectra: NDArray[np.complexfloating]) -> list[Span]:
        """Each fifth of a second, correlations with those of the last seconds. A flip whose end was not heard is over
        when they have long been as usual."""
        rows = np.stack([np.add.reduceat(part, self._bands, axis=1) for part in products(spectra)], axis=1)
        self._rows = np.concatenate([self._rows, rows])
        first = self._heard - 2 * _HALF_HOPS
        spans = []
        for end in range(-(-(self._heard + 1) // _STEP_HOPS) * _STEP_HOPS, self._heard + len(rows) + 1, _STEP_HOPS):
            turn = self._usual.turned(self._rows[end - 2 * _HALF_HOPS - first : end - first])
            self._unlike = np.append(self._unlike, turn)[-_LOST_HOPS // _STEP_HOPS :]
            middle = max(0, end - _HALF_HOPS - _STEP_HOPS // 2)
            self.paint(middle, np.full(_STEP_HOPS, _HINT * max(0.0, turn) ** 0.5, np.float32))
            self._steps = end // _STEP_HOPS
            flip, begun = self._flip
            over = end - _HALF_HOPS - _USUAL_STEPS * _STEP_HOPS
            if flip is not None and flip < over and (self._unlike[-_USUAL_STEPS:] < -_AS_USUAL).all():
                self._flip = None, 0.0
                if begun >= _ALONE:
                    spans.append(self._span(flip, over, strength_of_turn(begun - _ALONE)))
                    self.paint_span(spans[-1])
        self._rows = self._rows[len(rows) :]
        return spans

    def _between(self, first: int, last: int) -> float:
        """How far correlations were turned round between two edges, on the whole."""
        steps = self._steps - len(self._unlike)  # those before the first that is kept
        inside = [(hop + _HALF_HOPS) // _STEP_HOPS - steps for hop in (first, last)]
        part = self._unlike[max(0, inside[0]) : max(inside[0] + 1, inside[1])]
        return float(part.mean()) if len(part) else 0.0

    def _unlike_since(self, hop: int) -> int:
        """Since when, before ``hop``, correlations have been turned round."""
        known = (hop + _HALF_HOPS) // _STEP_HOPS - (self._steps - len(self._unlike))
        usual = np.flatnonzero(self._unlike[: max(0, known - 1)] <= 0)
        steps = known - 1 - int(usual[-1]) if len(usual) else known
        return max(0, hop - steps * _STEP_HOPS)

    def _opposed(self, sums: NDArray[np.floating]) -> list[Span]:
        """Where left is right turned round, hop after hop; ``sums`` are those of the new hops."""
        power = np.sqrt(sums[:, 1] * sums[:, 2])
        against = (sums[:, 0] <= -_OPPOSED * power) & (power > _QUIET)
        runs = self._against.process(against, self._heard)
        now, begun = self._heard + len(sums), self._against.open
        if begun is not None and now - begun >= max(_OPPOSED_HOPS, LIVE_LIMIT_S * HOPS_A_SECOND):
            running = self._span(begun, now, _OPPOSED_STRENGTH)
            self.paint_span(running)
            if self._live:
                runs.append(Run(begun, now))
        spans = [self._span(run.start, run.end, _OPPOSED_STRENGTH) for run in runs]
        for span in spans:
            self.paint_span(span)
        return spans

    def _span(self, first: int, last: int, strength: float) -> Span:
        return Span(first * self.hop_samples, max(first, last) * self.hop_samples, strength)


def strength_of_turn(beyond: float) -> float:
    """0.5 where just as much turned as must."""
    return 1 / (1 + float(np.exp(-_SURE * beyond)))


def correlation(sums: NDArray[np.floating]) -> float:
    """Of left and right, from rows of left × right, left², right²; 0 for silence."""
    both, left, right = sums.sum(axis=0, dtype=np.float64).tolist()
    power = (left * right) ** 0.5
    return float(both / power) if power > _QUIET else 0.0


def turned(cross: NDArray[np.complex64]) -> NDArray[np.float64]:
    """How much of the phases between left and right is turned round, -1 … 1, before each hop from the ninth on.

    ``cross (16 + T, bands)`` are left times right conjugate; there are T answers.
    """
    sums = cross[1:]
    reach = 1
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
