"""A flipped channel: left and right are what they were, but against each other.

How left and right correlate in each band is compared with how they did before. Wide stereo may correlate below zero by
nature; a flip turns every band's sign at once. Before anything was heard, channels are expected to agree.
"""

import numpy as np

from .hops import Block
from .steady import Features, Steady

_EDGES_HZ = (0, 150, 300, 600, 1200, 2400, 4800, 9600)
_FORGET = 0.012
"""How much of the memory a step replaces: it holds some 8 s."""
_FORGET_ODD = 0.001
_LIMIT = 0.45
"""Of what is usual, turned round."""
_QUIET = 1e-7


class Phase(Steady):
    KIND = "phase"
    GAP_S = 0.5
    SHORTEST_S = 0.3
    STEP_HOPS = 10
    HALF_HOPS = 25

    def open(self) -> None:
        super().open()
        size = self.hop_samples
        bins = [round(hz * size / self.rate) for hz in _EDGES_HZ if hz < self.rate / 2]
        self._bins = sorted(set(bins))
        self._bands = len(self._bins)
        self._window_of = np.hanning(size + 2)[1:-1].astype(np.float32)

    def clear(self) -> None:
        super().clear()
        self._usual = np.full(self._bands, 0.3)

    def features(self, hops: Block) -> Features:
        """For each band: left × right, left², right²."""
        if self.channels < 2:
            return np.zeros((len(hops), 0))
        spectra = np.fft.rfft(hops * self._window_of, axis=2)
        left, right = spectra[:, 0], spectra[:, 1]
        both = left.real * right.real + left.imag * right.imag
        powers = [np.square(s.real) + np.square(s.imag) for s in (left, right)]
        scale = 1 / self.hop_samples**2
        return np.concatenate([np.add.reduceat(p, self._bins, axis=1) * scale for p in (both, *powers)], axis=1)

    def judge(self, window: Features) -> float:
        if self.channels < 2 or len(window) < self.HALF_HOPS:
            return 0.0
        both, left, right = window.sum(axis=0, dtype=np.float64).reshape(3, -1)
        power = np.sqrt(left * right)
        if power.sum() < _QUIET * len(window):
            return 0.0
        correlation = both / (power + 1e-12)
        weights = np.sqrt(power)
        usual = float((weights * np.square(self._usual)).sum() / weights.sum())
        turned = -float((weights * self._usual * correlation).sum() / weights.sum()) / (usual + 0.05)
        forget = _FORGET if turned < 0 else _FORGET_ODD
        self._usual += forget * (correlation - self._usual)
        return max(0.0, turned) / (max(0.0, turned) + _LIMIT)

    def edge_features(self, window: Features) -> Features:
        both, left, right = np.split(window, 3, axis=1)
        power = np.sqrt(left * right)
        total = power.sum(axis=1, keepdims=True)
        agreeing: Features = (both * self._usual).sum(axis=1, keepdims=True) / (total + _QUIET)
        return agreeing
