"""Blocks of any size to hops of 10 ms, the grid on which all fault detectors work.

Nothing that is done on a hop hangs on how the audio was cut into blocks, so chunked equals one-shot to the bit. What is
not a number counts as silence. A hop that the end leaves unfinished is not heard. What several detectors need of a
block of hops is computed once (`HopBlock`).
"""

from functools import cache, cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError
from .log_bands import BAND_STEP_HOPS, BAND_WINDOW_HOPS, log_bands

Block = NDArray[np.float32]
Number = TypeVar("Number", np.float32, np.complex64)

HOPS_A_SECOND = 100
RATE_MIN, RATE_MAX = 8000, 192000
BATCH_HOPS = 200
"""Hops heard at once: enough to spread numpy's overhead, small enough for the cache."""
LOOK_BACK_HOPS = BAND_WINDOW_HOPS - 1


class HopBlock:
    """Whole hops, ``samples (T, channels, hop_samples)`` of one or two channels.

    Args:
        first: hops that were heard before.
        before: `mono` of the latest of them, as many as anything here looks back for; silence if not said.
    """

    def __init__(self, samples: Block, first: int = 0, before: Block | None = None) -> None:
        self.samples = samples
        self.first = first
        reach = min(first, LOOK_BACK_HOPS)
        self._before = np.zeros((reach, samples.shape[2]), np.float32) if before is None else before

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def mono(self) -> Block:
        """The mean of the channels, ``(T, hop_samples)``."""
        return _mean_of_channels(self.samples)

    @cached_property
    def magnitudes(self) -> Block:
        """Without sign, as ``samples``."""
        return np.abs(self.samples)

    @cached_property
    def spectra(self) -> NDArray[np.complex64]:
        """Of each hop under a Hann window, ``(T, channels, hop_samples // 2 + 1)``; a sine of amplitude 1 has ¼."""
        return np.fft.rfft(self.samples * _taper(self.samples.shape[2]), axis=2).astype(np.complex64, copy=False)

    @cached_property
    def mono_spectra(self) -> NDArray[np.complex64]:
        """The same of `mono`, ``(T, hop_samples // 2 + 1)``."""
        return _mean_of_channels(self.spectra)

    @cached_property
    def log_bands(self) -> Block:
        """Log power of `log_bands` in every frame that ends in the block, ``(n, bands)``."""
        hops = np.concatenate([self._before, self.mono])
        start = self.first - len(self._before)
        frame = -(-start // BAND_STEP_HOPS)
        count = max(0, (start + len(hops) - BAND_WINDOW_HOPS) // BAND_STEP_HOPS - frame + 1)
        places = np.arange(frame, frame + count)[:, None] * BAND_STEP_HOPS + np.arange(BAND_WINDOW_HOPS) - start
        return log_bands(hops[places].reshape(count, BAND_WINDOW_HOPS * hops.shape[1]))

    @property
    def after(self) -> Block:
        """What the block that follows on this one has before it."""
        return np.concatenate([self._before, self.mono])[-LOOK_BACK_HOPS:]


def _mean_of_channels(parts: NDArray[Number]) -> NDArray[Number]:
    """``(T, channels, n)`` of one or two channels to ``(T, n)``."""
    if parts.shape[1] == 1:
        return parts[:, 0]
    both: NDArray[Number] = parts[:, 0] + parts[:, 1]
    both *= np.float32(0.5)
    return both


@cache
def _taper(size: int) -> Block:
    return (np.hanning(size + 2)[1:-1] / size).astype(np.float32)


class Hops:
    """``(channels, n)`` in, blocks of at most `BATCH_HOPS` hops out. Raises `AudioError` for what cannot be."""

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
        self._last: HopBlock | None = None

    def process(self, block: Block) -> list[HopBlock]:
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
        return [self._following(hops[first : first + BATCH_HOPS]) for first in range(0, count, BATCH_HOPS)]

    def _following(self, samples: Block) -> HopBlock:
        last = self._last
        block = HopBlock(samples, last.first + len(last), last.after) if last else HopBlock(samples)
        self._last = block
        return block
