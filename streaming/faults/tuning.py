"""Tuning: the pitches of a recording lie on a grid of semitones of its own, and what went wrong often leaves it.

Another key, a tape that slows down, a ring modulator, a phaser, strokes that count in: their partials lie anywhere, or
on another grid. The strongest partials of a fifth of a second vote, each by where it lies between two semitones, as an
angle; two seconds of votes are held against the usual direction::

    the song   ↗↗→↗↗↑↗    wrong key  ↙↙↓←↙    ring modulation  ↑←↘↗↓→↙

It is evidence and never a flag: a synthesiser that glides leaves the grid as well, and speech has none.

Source: the circular mean of deviations from semitones, as in Dressler and Streich, "Tuning Frequency Estimation Using
Circular Statistics", ISMIR 2007.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from .detector import Detector, Span, strength_of
from .hops import HOPS_A_SECOND, HopBlock
from .usual import Usual

_STEP_HOPS, _HALF_HOPS = 16, 9
"""A vote every 0.16 s, of 0.18 s of audio."""
_AROUND_STEPS = 5
"""Votes to either side that are counted together, of two seconds in all."""
_USUAL_STEPS = 190
"""30 s."""
_HZ = (150.0, 3500.0)
_PARTIALS = 20
_REFERENCE_HZ = 440.0
_LIMIT = 0.3
_SURE = 0.25
"""From here on the usual direction is one; a smaller share of votes in it counts for less."""
_FLOOR = 1e-9


class Tuning(Detector):
    KIND = "tuning"
    DELAY_S = ((_AROUND_STEPS + 1) * _STEP_HOPS + _HALF_HOPS) / HOPS_A_SECOND

    def open(self) -> None:
        samples = 2 * _HALF_HOPS * self.hop_samples
        self._length = -(-samples // 1000) * 1000
        """Of the transform: filled up with silence to small prime factors."""
        self._spacing = self.rate / self._length
        self._bins = slice(round(_HZ[0] / self._spacing) - 1, round(_HZ[1] / self._spacing) + 2)
        self._taper = np.hanning(samples).astype(np.float32)

    def clear(self) -> None:
        self._mono = np.zeros((_HALF_HOPS, self.hop_samples), np.float32)
        """Hops that windows to come reach; the first is `_HALF_HOPS` before the next step."""
        self._near: deque[complex] = deque(maxlen=2 * _AROUND_STEPS + 1)
        self._past: deque[complex] = deque(maxlen=_USUAL_STEPS)
        self._agreed = Usual(_USUAL_STEPS)
        self._step = 0

    def hear(self, hops: HopBlock) -> list[Span]:
        self._mono = np.concatenate([self._mono, hops.mono])
        count = max(0, (len(self._mono) - 2 * _HALF_HOPS) // _STEP_HOPS + 1)
        windows = [self._mono[i * _STEP_HOPS :][: 2 * _HALF_HOPS].ravel() for i in range(count)]
        for vote in self._votes(np.array(windows)) if windows else ():
            self._judge(vote)
            self._step += 1
        self._mono = self._mono[count * _STEP_HOPS :]
        return []

    def _votes(self, windows: NDArray[np.float32]) -> list[complex]:
        """Of windows ``(n, samples)`` the mean angle of the strongest partials, by amplitude: at most 1 long, and 0 of
        silence."""
        spectra = np.fft.rfft(windows * self._taper, self._length)[:, self._bins]
        levels = np.log(np.abs(spectra) + _FLOOR)
        middle = levels[:, 1:-1]
        are_peaks = (middle > levels[:, :-2]) & (middle > levels[:, 2:])
        places = np.ones((len(windows), _PARTIALS), np.int64)
        found = np.zeros(places.shape, np.bool_)
        for i, level in enumerate(levels):
            peaks = np.flatnonzero(are_peaks[i]) + 1
            peaks = peaks[np.argsort(level[peaks], kind="stable")[-_PARTIALS:]]
            places[i, : len(peaks)], found[i, : len(peaks)] = peaks, True
        left, here, right = (np.take_along_axis(levels, places + side, axis=1) for side in (-1, 0, 1))
        bend = np.where(found, left - 2 * here + right, -1)
        hz = (places + self._bins.start + 0.5 * (left - right) / bend) * self._spacing
        length = np.where(found, np.exp(here), 0)
        angles = np.exp(2j * np.pi * 12 * np.log2(hz / _REFERENCE_HZ))
        votes: list[complex] = ((length * angles).sum(axis=1) / (length.sum(axis=1) + _FLOOR)).tolist()
        return votes

    def _judge(self, vote: complex) -> None:
        """How far the votes around a step have left the usual direction, now that the last of them is known."""
        self._near.append(vote)
        self._past.append(vote)
        middle = self._step - _AROUND_STEPS
        if middle < 0:
            return
        usual, (here, voted) = sum(self._past), (sum(self._near), sum(one != 0 for one in self._near))
        agreed = (here * usual.conjugate()).real / (abs(usual) * voted + _FLOOR)
        sure = min(1.0, abs(usual) / len(self._past) / _SURE)
        fallen = max(0.0, self._agreed.add(agreed) - agreed) * sure
        strength = float(strength_of(np.array(fallen), _LIMIT))
        self.paint(middle * _STEP_HOPS - _STEP_HOPS // 2, np.full(_STEP_HOPS, strength, np.float32))
