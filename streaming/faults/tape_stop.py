"""Tape stops: everything slows down together, and every partial falls by the same interval at the same time.

On a logarithmic axis of frequency that is a shift. Spectra a dozen a second, whitened along the axis, are held against
later ones at every shift; a track of shifts that only grow, each fitting better than none, is a machine that stops::

    log f │▔▔▔▔▔▔▔╲_        shift   0  0  0  0 ▏1  2  2  3  3  4  5  7  9 ▏0  0
          │▔▔▔▔▔▔▔╲_ ‾╲                         ├── the best track ──┤
          └──────────────▶ t

Tracks are found as local alignments: what a track gains adds up, and one that has lost all it gained is no more. It is
evidence and never a flag: stopping a tape is also an effect.

Source: Smith and Waterman, "Identification of common molecular subsequences", Journal of Molecular Biology 147 (1981).
"""

import numpy as np
from numpy.typing import NDArray

from .detector import Detector, Span, strength_of
from .hops import HOPS_A_SECOND, HopBlock
from .log_bands import BAND_STEP_HOPS, BAND_WINDOW_HOPS, BANDS, Array, contrast

_LEAST_CONTRAST = -1.0
_STILL, _FASTEST = 1, 14
"""Shifts up to the one, in bands, are no glide."""
_LAGS = (1, 2, 4)
"""Steps between the two spectra: the one follows up to 3.6 octaves a second, the other down to 0.13."""
_SLOWER = 1
"""So much smaller than the last a shift may be: it is measured in whole bands."""
_FASTER = 3
_PRICE = 0.15
"""Of every step: by so much a shift must fit better than none."""
_FIRST_SEEN = 2.8
"""Bands by which spectra are apart when a fall is first told from none."""
_LONGEST_STEPS = 75
_LEAST = 1.0
"""A track that gains less is not painted."""
_LIMIT = 2.5
_SHIFTS = np.arange(_FASTEST - _STILL)
_FROM = np.clip(_SHIFTS[:, None] + np.arange(-_FASTER, _SLOWER + 1), 0, len(_SHIFTS) - 1)
_INSIDE = _SHIFTS[:, None] + np.arange(-_FASTER, _SLOWER + 1) == _FROM


class TapeStop(Detector):
    KIND = "tape stop"
    DELAY_S = (BAND_STEP_HOPS * (_LONGEST_STEPS + max(_LAGS) + 2) + 2 * BAND_WINDOW_HOPS) / HOPS_A_SECOND

    def open(self) -> None:
        """Nothing hangs on rate and channels."""

    def clear(self) -> None:
        self._rows: Array = np.zeros((0, BANDS), np.float32)
        """The latest spectra, for the longest lag."""
        self._tracks = [_Tracks(lag) for lag in _LAGS]

    def hear(self, hops: HopBlock) -> list[Span]:
        rows = contrast(hops.log_bands, _LEAST_CONTRAST)
        if not len(rows):
            return []
        count = len(rows)
        rows = np.concatenate([self._rows, rows - rows.mean(axis=1, keepdims=True)])
        for tracks in self._tracks:
            for begin, end, gain in tracks.follow(rows[-count - tracks.lag :]):
                strength = float(strength_of(np.array(gain), _LIMIT))
                self.paint(begin, np.full(end - begin, strength, np.float32))
        self._rows = rows[-max(_LAGS) :]
        return []


class _Tracks:
    """All tracks of shifts between spectra ``lag`` steps apart."""

    def __init__(self, lag: int) -> None:
        self.lag = lag
        self._step = 0
        self._gains = np.zeros(_FASTEST - _STILL)
        """Of the best track that ends in each shift."""
        self._tracking = False
        """Whether any of them gained."""
        self._starts = np.zeros(_FASTEST - _STILL, int)
        self._early = np.zeros(_FASTEST - _STILL, int)
        """The shift of each track as soon as both its spectra lay in the fall."""
        self._best = (0, 0, 0, 0.0)
        """First and last step of the best track of those that overlap, its early shift, and what it gained."""

    def follow(self, rows: Array) -> list[tuple[int, int, float]]:
        """Go on with spectra ``(n + lag, bands)``, all but the first ``lag`` new; of the tracks that are over the first
        hop, the one after the last, and what they gained."""
        over = []
        gained = self._gained(rows) if len(rows) > self.lag else np.zeros((0, len(_SHIFTS)))
        for shifts, rises in zip(gained, gained.max(axis=1) > 0, strict=True):
            if rises or self._tracking:
                over += self._go_on(shifts)
            self._step += 1
        return [
            (
                round((first + self.lag * (1 - _FIRST_SEEN / early)) * BAND_STEP_HOPS),
                (last + self.lag + 1) * BAND_STEP_HOPS,
                gain,
            )
            for first, last, early, gain in over
        ]

    def _gained(self, rows: Array) -> NDArray[np.float64]:
        """By how much each shift fits better than none, ``(n, shifts)``."""
        count = rows.shape[1]
        before, after = rows[: -self.lag], rows[self.lag :]
        size = np.sqrt(np.einsum("tb,tb->t", rows, rows)) + 1e-9
        fits = [
            np.einsum("tb,tb->t", before[:, max(0, s) : count + min(0, s)], after[:, max(0, -s) : count - max(0, s)])
            for s in range(-_STILL, _FASTEST + 1)
        ]
        fit = np.stack(fits, axis=1) / (size[: -self.lag] * size[self.lag :])[:, None]
        still = fit[:, : 2 * _STILL + 1].max(axis=1, keepdims=True)
        gained: NDArray[np.float64] = (fit[:, 2 * _STILL + 1 :] - np.maximum(still, 0) - _PRICE).astype(np.float64)
        return gained

    def _go_on(self, gained: NDArray[np.float64]) -> list[tuple[int, int, int, float]]:
        reached = np.where(_INSIDE, self._gains[_FROM], 0.0)
        best = reached.argmax(axis=1)
        before = reached[_SHIFTS, best]
        came = _FROM[_SHIFTS, best]
        self._starts = np.where(before > 0, self._starts[came], self._step)
        young = self._step - self._starts < self.lag
        self._early = np.where(young, _SHIFTS + _STILL + 1, self._early[came])
        self._gains = np.maximum(0.0, before + gained)
        at = int(self._gains.argmax())
        most, start = float(self._gains[at]), int(self._starts[at])
        self._tracking = most > 0
        first, last, early, gain = self._best
        over = []
        if gain and (start > last or not most or self._step - first > _LONGEST_STEPS):
            over = [self._best] if gain >= _LEAST else []
            gain = 0.0
        self._best = (start, self._step, int(self._early[at]), most) if most > gain else (first, last, early, gain)
        return over
