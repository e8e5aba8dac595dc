"""DC that is switched on and off: a step in every channel at once, and some seconds later the same step back.

Music whose waves lie off zero hides an offset from whoever looks at means (`dc_offset`); nothing in music has two such
steps. A step is found where all channels jump alike, and measured behind a linear predictor, which takes away the music
and leaves of a step a short pattern that is known::

    wave      ╱╲╱╲╱▏╱╲╱╲╱    predicted away   ▁▁▁▁▁█▁▁▁▁▁    and later   ▔▔▔▔▔▔█▔▔▔▔

It has no curve of its own, and hears files alone: live nobody waits for the second step.

Source: matched filtering in the residual, as for clicks in S. Godsill, P. Rayner, Digital Audio Restoration, 1998.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .dc_offset import BAND_HZ, DcOffset
from .detector import Detector, Span
from .hops import BATCH_HOPS, HOPS_A_SECOND, Block, HopBlock

_LEAST = 0.02
_ROUGH = (np.float32(-1.6), np.float32(0.64))
_STANDS_OUT = 5.0
"""A predictor of any music, and times the mean of what it leaves of a hop: from there on it is worth a better one."""
_SAME = 0.25
"""Share of a jump in the middle that may be in the sides."""
_AROUND_HOPS = 1
_ORDER = 16
_SURE = 10.0
"""Deviations of what is left that a step must be."""
_ALONE, _NEAR_S = 0.7, 0.002
"""At one of the two steps what else is left within `_AROUND_HOPS`, but for so near, is at most so large a share of it:
pulses come again."""
_BACK = 0.15
"""Share by which the step back may differ."""
_SHORTEST_S, _LONGEST_S = 0.4, 8.0
_BESIDE_HOPS = 100
"""So much before and after is what an offset is one from."""
_REMEMBERED_HOPS = round(_LONGEST_S * HOPS_A_SECOND) + 2 * _BESIDE_HOPS + 2 * BATCH_HOPS
_STAYS = 0.3
"""Share by which means inside and outside may differ more or less than the steps tell: a click goes back at once."""
_LIMIT = 0.015
_LAGS = np.abs(np.arange(_ORDER)[:, None] - np.arange(_ORDER))
Samples = NDArray[np.float64]


class Step(NamedTuple):
    """Where (samples since listening began), and by how much."""

    at: int
    size: float
    alone: bool


class DcSteps(Detector):
    KIND = DcOffset.KIND
    CURVE = False
    DELAY_S = _LONGEST_S + (_BESIDE_HOPS + 2) / HOPS_A_SECOND

    def open(self) -> None:
        self._reach = _AROUND_HOPS * self.hop_samples
        self._wait = (_BESIDE_HOPS + 1) * self.hop_samples
        self._taper = np.hanning(2 * self._reach)

    def clear(self) -> None:
        self._sound: Block = np.zeros((self.channels, 0), np.float32)
        """The latest hops."""
        self._from = 0
        """The sample that is its first."""
        self._maybe: list[int] = []
        """Samples that jump, still without the hops after them."""
        self._means: Samples = np.zeros(0)
        """Of the latest hops' middle; the last ends where the sound does."""
        self._open_steps: list[Step] = []

    def hear(self, hops: HopBlock) -> list[Span]:
        first = self._from + self._sound.shape[1]
        before = self._sound[:, -2:].mean(axis=0) if first else np.zeros(2, np.float32)
        self._maybe += [first + at for at in self._jumps(hops, before)]
        self._sound = np.concatenate([self._sound, hops.samples.transpose(1, 0, 2).reshape(self.channels, -1)], axis=1)
        self._means = np.concatenate([self._means, hops.mono.mean(axis=1, dtype=np.float64)])[-_REMEMBERED_HOPS:]
        end = self._from + self._sound.shape[1]
        ready = [at for at in self._maybe if at + self._wait <= end]
        self._maybe = self._maybe[len(ready) :]
        steps = self._measured([at for at in ready if at - self._reach >= self._from])
        spans = [span for step in steps for span in self._closed(step)]
        kept = min([end, *self._maybe]) - self._reach
        if kept > self._from:
            self._sound, self._from = self._sound[:, kept - self._from :], kept
        return spans

    def _jumps(self, hops: HopBlock, before: Block) -> list[int]:
        """Where each hop's middle leaves most what the two samples before tell, if that may be a step."""
        middle = np.concatenate([before, hops.mono.reshape(-1)])
        left = np.abs(middle[2:] + _ROUGH[0] * middle[1:-1] + _ROUGH[1] * middle[:-2]).reshape(-1, self.hop_samples)
        places = left.argmax(axis=1)
        most = left[np.arange(len(places)), places]
        found = np.flatnonzero(most >= np.maximum(_LEAST, _STANDS_OUT * left.mean(axis=1)))
        return [int(hop * self.hop_samples + places[hop]) for hop in found]

    def _measured(self, places: list[int]) -> list[Step]:
        """The steps among samples that jump."""
        middle, reach = self._reach, self._reach
        if not places:
            return []
        around = np.stack([self._sound[:, at - self._from - reach :][:, : 2 * reach] for at in places])
        jumps = around[:, :, middle] - around[:, :, middle - 1]
        alike = np.abs(jumps[:, 0] - jumps[:, -1]) <= _SAME * np.abs(jumps[:, 0] + jumps[:, -1])
        around, at = around[alike], np.array(places)[alike]
        wave = around.mean(axis=1)
        predictor = _predictors(wave * self._taper)
        whiten = predictor.astype(np.float32)
        pattern = np.cumsum(predictor, axis=1)  # what is left of a step of 1
        weight = np.square(pattern).sum(axis=1)
        left = _filtered(wave, whiten)
        here = left[:, middle - _ORDER : middle + 1]
        size = (here * pattern).sum(axis=1) / weight
        near = round(_NEAR_S * self.rate)
        others = np.abs(np.concatenate([left[:, : middle - _ORDER - near], left[:, middle - _ORDER + near :]], axis=1))
        deviation = 1.48 * np.median(others, axis=1) + 1e-9
        side = _filtered((around[:, 0] - wave)[:, middle - _ORDER : middle + _ORDER + 1], whiten)
        apart = (side * pattern).sum(axis=1) / weight
        rest = np.square(here - size[:, None] * pattern).sum(axis=1)
        spike = np.square(here - here[:, :1] * predictor).sum(axis=1)
        sure = np.abs(size) >= np.maximum(_LEAST, _SURE * deviation / np.sqrt(weight))
        told = sure & (np.abs(apart) <= _SAME * np.abs(size)) & (rest < spike)
        alone = others.max(axis=1, initial=0.0) <= _ALONE * np.abs(here[:, 0])
        return [Step(int(at[i]), float(size[i]), bool(alone[i])) for i in np.flatnonzero(told)]

    def _closed(self, step: Step) -> list[Span]:
        """The offset that ends with a step, if one does."""
        earliest = step.at - round(_LONGEST_S * self.rate)
        self._open_steps = [one for one in self._open_steps if one.at >= earliest]
        before = [
            one
            for one in self._open_steps
            if (one.alone or step.alone)
            and step.at - one.at >= _SHORTEST_S * self.rate
            and abs(one.size + step.size) <= _BACK * max(abs(one.size), abs(step.size))
        ]
        if not before:
            self._open_steps.append(step)
            return []
        start = before[-1]
        size = (abs(start.size) + abs(step.size)) / 2
        if abs(self._offset(start.at, step.at) * np.sign(start.size) - size) > _STAYS * size:
            return []
        self._open_steps = []
        return [Span(start.at, step.at, size / (size + _LIMIT))]

    def _offset(self, start: int, end: int) -> float:
        """How far the mean between two samples lies from the mean of what is around them."""
        last = (self._from + self._sound.shape[1]) // self.hop_samples
        first, stop = (at // self.hop_samples - last + len(self._means) for at in (start, end))
        outside = np.concatenate(
            [self._means[max(0, first - _BESIDE_HOPS) : first], self._means[stop + 1 : stop + _BESIDE_HOPS]]
        )
        return float(self._means[first + 1 : stop].mean() - (outside.mean() if len(outside) else 0.0))

    def band(self) -> tuple[float, float]:
        return BAND_HZ


def _predictors(waves: Samples) -> Samples:
    """Filters ``(n, order + 1)`` that leave of waves ``(n, samples)`` what their past does not tell."""
    count = waves.shape[1]
    lags = [np.einsum("ns,ns->n", waves[:, lag:], waves[:, : count - lag]) for lag in range(_ORDER + 1)]
    power = np.stack(lags, axis=1)
    power[:, 0] = power[:, 0] * (1 + 1e-6) + 1e-12
    solved = np.linalg.solve(power[:, _LAGS], power[:, 1:, None])[..., 0]
    return np.concatenate([np.ones((len(waves), 1)), -solved], axis=1)


def _filtered(waves: Block, filters: Block) -> Block:
    """Waves ``(n, samples)``, each through its filter ``(n, order + 1)``: what hangs on their whole past alone."""
    taps = filters.shape[1]
    count = waves.shape[1] - taps + 1
    left = np.zeros((len(waves), count), np.float32)
    for tap in range(taps):
        left += filters[:, tap, None] * waves[:, taps - 1 - tap :][:, :count]
    return left
