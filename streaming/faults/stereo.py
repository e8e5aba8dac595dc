"""How left and right belong together in each band, against how they did before."""

import numpy as np
from numpy.typing import NDArray

_FORGET = 0.012
"""How much of the memory a step of 0.1 s replaces: it holds some 8 s."""
_FORGET_ODD = 0.002
_STEADY = 0.05
"""A mean square coherence under this is no habit."""
EVENED = 0.25
"""Exponent of a band's power that is its weight: what is quiet tells as much of where it stands."""
_AGAINST = -0.5
"""A recording that begins with so much correlation, or less, begins flipped."""


class UsualStereo:
    """Remembers the coherence of each of ``bands``, complex: how much left and right have in common, and the phase
    between them."""

    def __init__(self, bands: int) -> None:
        self.coherence = np.zeros(bands, np.complex128)
        self._begun = False

    def turned(self, common: NDArray[np.complexfloating], power: NDArray[np.floating]) -> float:
        """How far a window's coherence is the usual turned round: 1 for a flip, -1 for as ever; then it is remembered.

        Args:
            common: left times right conjugate, summed over the window, ``(bands,)``.
            power: the geometric mean of left squared and right squared, summed alike; not 0 in all bands.
        """
        now = (common / (power + 1e-20)).astype(np.complex128)
        weights = power.astype(np.float64) ** EVENED
        weights /= weights.sum()
        if not self._begun:
            flipped = common.real.sum() <= _AGAINST * power.sum()
            self.coherence, self._begun = now * (-0.5 if flipped else 0.5), True
        usual = float((weights * np.abs(self.coherence) ** 2).sum())
        turned = -float((weights * (self.coherence.conj() * now).real).sum()) / (usual + _STEADY)
        self.coherence += (_FORGET if turned < 0 else _FORGET_ODD) * (now - self.coherence)
        return min(1.0, max(-1.0, turned))
