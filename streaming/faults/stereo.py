"""How left and right belong together in each band, against how they did before."""

import numpy as np
from numpy.typing import NDArray

_FORGET = 0.024
"""How much of the memory a step replaces: it holds some 8 s."""
_FORGET_ODD = 0.002
_QUIET = 1e-9
_STEADY = 0.15
"""A mean square correlation under this is no habit."""

Rows = NDArray[np.float32]


def products(spectra: NDArray[np.complex64]) -> tuple[Rows, Rows, Rows]:
    """Of ``(hops, 2, bins)``: left times right (in phase), left squared, right squared, ``(hops, bins)``."""
    left, right = spectra[:, 0], spectra[:, 1]
    in_phase = left.real * right.real + left.imag * right.imag
    return in_phase, left.real**2 + left.imag**2, right.real**2 + right.imag**2


class UsualStereo:
    """Remembers the correlation of each of ``bands``; before anything was heard, channels are expected to agree."""

    def __init__(self, bands: int) -> None:
        self._usual = np.full(bands, 0.3)

    def turned(self, window: Rows) -> float:
        """How far the correlations of a window are the usual ones turned round: 1 for a flip, -1 for as ever.

        ``window (hops, 3, bands)``: left times right, left squared, right squared.
        """
        both, left, right = window.sum(axis=0, dtype=np.float64)
        power = np.sqrt(left * right)
        if power.sum() < _QUIET * len(window):
            return 0.0
        weights = np.sqrt(power)
        correlation = both / (power + 1e-20)
        usual = float((weights * np.square(self._usual)).sum() / weights.sum())
        turned = -float((weights * self._usual * correlation).sum() / weights.sum()) / (usual + _STEADY)
        self._usual += (_FORGET if turned < 0 else _FORGET_ODD) * (correlation - self._usual)
        return min(1.0, max(-1.0, turned))
