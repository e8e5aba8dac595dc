"""A preallocated first-in first-out ring of audio, for one thread."""

import numpy as np
from numpy.typing import NDArray

from .errors import AudioError


class Ring:
    """A FIFO of frames of any leading shape: ``(*shape, frames)`` float32.

    Nothing is allocated after construction. Each write or read is at most two copies.
    """

    def __init__(self, shape: tuple[int, ...], capacity: int) -> None:
        self._data: NDArray[np.float32] = np.zeros((*shape, capacity), np.float32)
        self._capacity = capacity
        self._head = 0
        self.available = 0
        """Frames that can be read."""

    @property
    def free(self) -> int:
        """Frames that can be written."""
        return self._capacity - self.available

    def clear(self, zeros: int = 0) -> None:
        """Empty the ring, then hold ``zeros`` frames of silence."""
        self._data.fill(0.0)
        self._head = 0
        self.available = zeros

    def write(self, block: NDArray[np.float32]) -> None:
        """Append ``(*shape, n)`` frames. Raises `AudioError` when they do not fit."""
        n = block.shape[-1]
        if n > self.free:
            raise AudioError(f"ring overflow: {n} frames into {self.free} free")
        start = (self._head + self.available) % self._capacity
        first = min(n, self._capacity - start)
        self._data[..., start : start + first] = block[..., :first]
        self._data[..., : n - first] = block[..., first:]
        self.available += n

    def read(self, out: NDArray[np.float32]) -> None:
        """Move the oldest ``out.shape[-1]`` frames into ``out``. Raises `AudioError` when there are fewer."""
        n = out.shape[-1]
        if n > self.available:
            raise AudioError(f"ring underflow: {n} frames asked of {self.available}")
        first = min(n, self._capacity - self._head)
        out[..., :first] = self._data[..., self._head : self._head + first]
        out[..., first:] = self._data[..., : n - first]
        self._head = (self._head + n) % self._capacity
        self.available -= n
