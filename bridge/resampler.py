"""Streaming resampling (soxr, high quality): any chunking gives the same samples, and the count is exact.

soxr takes its own delay out: the first sample out is the first sample in, and ``round(frames * out / in)`` come.
"""

import numpy as np
import soxr
from numpy.typing import NDArray

from streaming.features import Features


class Resampler:
    """`process` gives what is ready (often nothing at first), `flush` the rest."""

    def __init__(self, rate_in: int, rate_out: int, channels: int) -> None:
        self._stream = soxr.ResampleStream(rate_in, rate_out, channels, dtype="float32", quality="VHQ")
        self._ratio = rate_out / rate_in
        self._channels = channels
        self._taken = 0
        self._given = 0

    def process(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(channels, n)`` in, a fresh ``(channels, m)`` out; m may be 0."""
        self._taken += block.shape[1]
        return self._convert(block, last=False)

    def flush(self, frames: int | None = None) -> NDArray[np.float32]:
        """What is left, so that `frames` came in all (by default the exact length). Once, at the end."""
        given = self._given
        tail = self._convert(np.empty((self._channels, 0), dtype=np.float32), last=True)
        missing = (round(self._taken * self._ratio) if frames is None else frames) - given
        if tail.shape[1] < missing:
            tail = np.pad(tail, ((0, 0), (0, missing - tail.shape[1])))
        return tail[:, : max(missing, 0)]

    def _convert(self, block: NDArray[np.float32], last: bool) -> NDArray[np.float32]:
        converted: NDArray[np.float32] = self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last)
        self._given += converted.shape[0]
        return np.ascontiguousarray(converted.T)


def hearing_rate(features: Features, rate: int) -> int:
    """The source's own rate where frames fall on its samples and it reaches as high as the network heard; else the
    network's."""
    own = features.kind == "log-mel" and rate >= features.rate and not (features.hop_samples * rate) % features.rate
    return rate if own else features.rate
