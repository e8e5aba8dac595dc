"""The amplitude of single frequencies, hop by hop, in phase with the recording's beginning.

A steady line keeps its phase from hop to hop, so that windows of any length are sums of hops.
"""

import numpy as np
from numpy.typing import NDArray

from .hops import HopBlock


class Lines:
    """Demodulates hops at ``hz (n,)``."""

    def __init__(self, hz: NDArray[np.float64], rate: int, hop_samples: int) -> None:
        turns = np.outer(np.arange(hop_samples) / rate, hz)
        waves = np.exp(-2j * np.pi * turns) * (2 / hop_samples)
        self._waves = np.concatenate([waves.real, waves.imag], axis=1).astype(np.float32)
        self._turns = hop_samples / rate * hz

    def amplitudes(self, hops: HopBlock, heard: int) -> NDArray[np.complexfloating]:
        """Of T hops that follow on ``heard`` others, ``(T, n)``."""
        parts = np.matmul(hops.mono[:, None, :], self._waves)[:, 0]  # a product a hop: its rounding hangs on no other
        half = len(self._turns)
        place = heard + np.arange(len(hops))
        turned = np.exp(-2j * np.pi * np.mod(place[:, None] * self._turns, 1.0))
        lines: NDArray[np.complexfloating] = (parts[:, :half] + 1j * parts[:, half:]) * turned
        return lines
