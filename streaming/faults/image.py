"""The stereo image: how wide each octave is and where it leans, and where that is not as it usually is.

Whatever comes from elsewhere brings an image of its own: another take, a voice, an object, a microphone left open, a
codec that folds the sides together. Held against the fifteen seconds before and after, in units of how much the
recording itself moves::

    width of octaves    ▃▃▄▃▃▂▃▃▁▁▁▁▁▃▃▄▃
    how unusual         ▁▁▁▁▁▁▁▁▆▇▇▇▆▁▁▁▁

It is evidence and never a flag: a song may well grow wide in its chorus. One channel, or two that are the same, have no
image.
"""

import numpy as np
from numpy.typing import NDArray

from .detector import Detector, Span, strength_of
from .hops import HOPS_A_SECOND, HopBlock

_STEP_HOPS, _HEARD_HOPS = 16, 4
"""A row every 0.16 s, of every fourth hop."""
_AROUND_STEPS = 2
"""Rows to either side that are averaged."""
_USUAL_STEPS = 95
"""15 s to either side."""
_ANEW_STEPS = 12
"""The usual is computed anew so often."""
_EDGES_HZ = (100, 200, 400, 800, 1600, 3200, 6400, 12800)
_LEAST = 1e-4
"""Of the power of both: nothing is narrower, or farther to one side, than 40 dB."""
_QUIET = 1e-9
_STEADY_DB = 0.3
"""A recording that moves less than this counts as moving so much."""
_LIMIT = 4.0
"""So many times the usual spread, over all octaves, is a strength of a half."""

Rows = NDArray[np.float64]


class Image(Detector):
    KIND = "image"
    DELAY_S = (_USUAL_STEPS + 2 * _AROUND_STEPS + 2) * _STEP_HOPS / HOPS_A_SECOND

    def open(self) -> None:
        spacing = self.rate / self.hop_samples
        highest = self.hop_samples // 2
        self._edges = sorted({b for b in (round(hz / spacing) for hz in _EDGES_HZ) if 0 < b < highest})

    def clear(self) -> None:
        self._waiting = np.zeros((3, 0, len(self._edges)))
        """Powers of heard hops whose step is not whole yet."""
        width = 2 * len(self._edges)
        self._rows = np.zeros((0, width))
        """Of the last steps, silent ones not a number."""
        self._first = 0
        """The step of the first of them."""
        self._due = 0
        self._usual = self._spread = np.zeros(width)

    def hear(self, hops: HopBlock) -> list[Span]:
        if self.channels != 2:
            return []
        heard = hops.spectra[-self._heard % _HEARD_HOPS :: _HEARD_HOPS]
        powers = np.concatenate([self._waiting, self._powers(heard)], axis=1)
        per_step = _STEP_HOPS // _HEARD_HOPS
        count = powers.shape[1] // per_step
        self._waiting = powers[:, count * per_step :]
        if count:
            whole = powers[:, : count * per_step].reshape(3, count, per_step, -1)
            self._rows = np.concatenate([self._rows, image_of(whole.mean(axis=2))])
        while self._due + _USUAL_STEPS + _AROUND_STEPS < self._first + len(self._rows):
            self._judge(self._due)
            self._due += 1
        spare = max(0, self._due - _USUAL_STEPS - _ANEW_STEPS - self._first)
        self._rows, self._first = self._rows[spare:], self._first + spare
        return []

    def _powers(self, spectra: NDArray[np.complex64]) -> Rows:
        """Left times right, left squared and right squared of each octave, ``(3, hops, octaves)``."""
        left, right = spectra[:, 0], spectra[:, 1]
        in_phase = left.real * right.real + left.imag * right.imag
        parts = in_phase, left.real**2 + left.imag**2, right.real**2 + right.imag**2
        return np.stack([np.add.reduceat(part, self._edges, axis=1, dtype=np.float64) for part in parts])

    def _judge(self, step: int) -> None:
        """How unusual a step is, now that what comes after it is known."""
        here = step - self._first
        if step % _ANEW_STEPS == 0:
            near = self._rows[max(0, here - _USUAL_STEPS) : here + _USUAL_STEPS]
            near = near[~np.isnan(near[:, 0])]
            if len(near):
                self._usual = np.median(near, axis=0)
                self._spread = 1.5 * np.median(np.abs(near - self._usual), axis=0) + _STEADY_DB
        around = self._rows[max(0, here - _AROUND_STEPS) : here + _AROUND_STEPS + 1]
        around = around[~np.isnan(around[:, 0])]
        if not len(around) or np.isnan(self._rows[here, 0]):
            return
        apart = np.sqrt(np.square((around.mean(axis=0) - self._usual) / self._spread).mean())
        strength = float(strength_of(np.array(apart), _LIMIT))
        self.paint(step * _STEP_HOPS - _STEP_HOPS // 2, np.full(_STEP_HOPS, strength, np.float32))


def image_of(powers: Rows) -> Rows:
    """Powers ``(3, steps, octaves)`` to width and side of each octave in dB, ``(steps, octaves × 2)``; silence is not a
    number."""
    both, one, other = powers
    power = one + other + 1e-30
    shares = [0.5 - both / power, one / power, other / power]
    side, left, right = (10 * np.log10(np.maximum(share, 0) + _LEAST) for share in shares)
    rows: Rows = np.concatenate([side, left - right], axis=1)
    rows[power.sum(axis=1) < _QUIET] = np.nan
    return rows
