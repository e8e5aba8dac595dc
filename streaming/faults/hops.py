"""Blocks of any size to hops of 10 ms, the grid on which all fault detectors work.

Nothing that is done on a hop hangs on how the audio was cut into blocks, so chunked equals one-shot to the bit. What is
not a number counts as silence. A hop that the end leaves unfinished is not heard.
"""

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError

Block = NDArray[np.float32]

HOPS_A_SECOND = 100
RATE_MIN, RATE_MAX = 8000, 192000


def mono(hops: Block) -> Block:
    """The mean of the channels of ``(hops, channels, n)``, ``(hops, n)``."""
    if hops.shape[1] == 1:
        return hops[:, 0]
    both: Block = hops[:, 0] + hops[:, 1]
    both *= np.float32(0.5)
    return both


class Hops:
    """``(channels, n)`` in, ``(hops, channels, hop_samples)`` out. Raises `AudioError` for what cannot be."""

    def __init__(self, rate: int, channels: int) -> None:
        if not RATE_MIN <= rate <= RATE_MAX:
            raise AudioError(f"{rate} Hz, expected {RATE_MIN} to {RATE_MAX}")
        if channels not in (1, 2):
            raise AudioError(f"{channels} channels, expected mono or stereo")
        self.hop_samples = round(rate / HOPS_A_SECOND)
        self._channels = channels
        self.reset()

    def reset(self) -> None:
        self._waiting: Block = np.zeros((self._channels, 0), np.float32)

    def process(self, block: Block) -> Block:
        if block.ndim != 2 or block.shape[0] != self._channels:
            raise AudioError(f"block of shape {block.shape}; prepared for ({self._channels}, samples)")
        waiting = np.concatenate([self._waiting, block], axis=1) if self._waiting.shape[1] else block
        hop = self.hop_samples
        count = waiting.shape[1] // hop
        self._waiting = waiting[:, count * hop :].copy()
        whole = waiting[:, : count * hop].reshape(self._channels, count, hop)
        hops: Block = np.ascontiguousarray(whole.transpose(1, 0, 2), np.float32)
        if not np.isfinite(hops).all():
            hops = np.nan_to_num(hops, nan=0.0, posinf=0.0, neginf=0.0)
        return hops
