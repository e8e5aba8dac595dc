"""Mains hum: lines at 50 or 60 Hz and their multiples that do not move for seconds.

Each hop is demodulated at the lines; over 2 s, half-second pieces of a line agree in phase to a hundredth of a turn,
while a note close by (49.0, 51.9, 58.3, 61.7 Hz in tune) turns round. How surely a line is there is the likelihood
ratio of a steady line against none; what counts is the sum over a mains frequency's lines, no line for more than its
share.

Source of the test: multiple coherence of a sinusoid in noise, S. M. Kay, Fundamentals of Statistical Signal Processing
II, 1998, 7.6.
"""

import numpy as np

from .hops import HopBlock
from .lines import Lines
from .steady import Features, Steady

_MAINS_HZ = (50.0, 60.0)
_LINES = 8
_DRIFTS = np.array([-0.001, -0.0005, 0.0, 0.0005, 0.001])
"""How far the mains may be off, as a share."""
_PIECE_HOPS = 50
_SHARE = 6.0
"""The most that one line adds."""
_CHANCE = 1.5
"""What a line adds by chance."""
_BESIDE_HZ = np.concatenate([np.arange(-4, -0.9, 0.5), np.arange(1, 4.1, 0.5)])
"""A line must be stronger than everything there: a loop has lines at all multiples of its tempo, too."""
_LIMIT = 24.0
_QUIET = 3e-5
"""-90 dBFS: a line under this is nobody's concern."""


class Hum(Steady):
    KIND = "hum"
    GAP_S = 2.0
    SHORTEST_S = 0.6
    STEP_HOPS = 25
    HALF_HOPS = 100
    OUTSIDE_HOPS = 60
    EDGE_HOPS = 90

    def open(self) -> None:
        super().open()
        self._lines = np.concatenate([mains * np.arange(1, _LINES + 1) for mains in _MAINS_HZ])
        self._demodulated = Lines(self._lines, self.rate, self.hop_samples)
        hops = 2 * self.HALF_HOPS
        window = np.hanning(_PIECE_HOPS + 2)[1:-1]
        starts = np.arange(0, hops - _PIECE_HOPS + 1, _PIECE_HOPS // 2)
        self._pieces = np.zeros((len(starts), hops), complex)
        for piece, start in zip(self._pieces, starts, strict=True):
            piece[start : start + _PIECE_HOPS] = window / window.sum()
        turns = np.multiply.outer(np.outer(_DRIFTS, starts * (self.hop_samples / self.rate)), self._lines)
        self._drift = np.exp(-2j * np.pi * turns)  # (drifts, pieces, lines)
        turns = np.outer(np.concatenate([[0.0], _BESIDE_HZ]), np.arange(hops)) * (self.hop_samples / self.rate)
        self._beside = np.hanning(hops + 2)[1:-1] * np.exp(-2j * np.pi * turns)
        """Takes a window to each line's amplitude there and beside it."""

    def clear(self) -> None:
        super().clear()
        self._found, self._off = 0, 0.0

    def features(self, hops: HopBlock) -> Features:
        """The lines' amplitude in each hop, ``(T, lines)`` complex."""
        return self._demodulated.amplitudes(hops, self._heard)

    def weigh(self, windows: Features) -> list[tuple[float, int]]:
        """How sure the surest mains are, and which of all drifts and mains they are."""
        if windows.shape[1] < 2 * self.HALF_HOPS:
            return [(0.0, 0)] * len(windows)
        alone = self._alone(windows)
        pieces = self._pieces @ windows  # (n, pieces, lines)
        power = np.square(np.abs(pieces)).mean(axis=1)
        line = np.square(np.abs(np.einsum("npl,dpl->ndl", pieces, self._drift) / pieces.shape[1]))  # (n, drifts, lines)
        ratio = -0.8 * pieces.shape[1] * np.log(np.maximum(1e-6, 1 - line / (power[:, None] + 1e-15)))
        sure = np.where(line > _QUIET**2, np.clip(ratio - _CHANCE, 0, _SHARE), 0) * alone[:, None]
        sums = sure.reshape(len(windows), -1, _LINES).sum(axis=2)  # (n, drifts × mains)
        return list(zip(sums.max(axis=1).tolist(), sums.argmax(axis=1).tolist(), strict=True))

    def judge(self, weighed: tuple[float, int]) -> tuple[float, float]:
        most, at = weighed
        strength = most / (most + _LIMIT)
        if strength >= self.threshold:  # edges are looked for later, when other things are heard
            drift, self._found = divmod(at, len(_MAINS_HZ))
            self._off = float(_DRIFTS[drift])
        return strength, strength

    def _alone(self, windows: Features) -> Features:
        """How far each line stands above what is beside it, 0 … 1, ``(n, lines)``."""
        power = np.square(np.abs(self._beside @ windows))
        alone: Features = np.clip(power[:, 0] / (power[:, 1:].max(axis=1) + 1e-20) - 1, 0, 1)
        return alone

    def edge_features(self, window: Features) -> Features:
        """The lines of the mains that was found, each as heavy as it stands out."""
        lines = slice(self._found * _LINES, (self._found + 1) * _LINES)
        times = np.arange(len(window))[:, None] * (self.hop_samples / self.rate)
        rows = window[:, lines] * np.exp(-2j * np.pi * self._off * times * self._lines[lines])
        noise = rows.std(axis=0) + 1e-9
        weighted: Features = rows / noise
        return weighted

    def band(self) -> tuple[float, float]:
        mains = _MAINS_HZ[self._found]
        return mains * 0.8, mains * (_LINES + 0.5)
