"""Constant-Q frames, 12 bins an octave: what sampleChop hears.

Every bin looks through a Hann window of the same number of its own periods, so the lowest needs 0.2 s and decides the
delay. Nothing here is live, so the frames come in groups, each from one long FFT. A spectrum times a bin's kernel is
the bin at every sample; folded onto the first ``group`` columns before it is transformed back, it is the bin at every
hop and nowhere else::

    block     ├─ half a window ─┼── hop ──┼── hop ──┼ … ┼─ half a window ─┤
    frames                      0         1         2 …
    next                                          block ├─ half a window ─┼── hop …

Groups lie on a fixed grid, so that chunked equals one-shot to the last bit. Magnitudes are in proportion to those of
``librosa.cqt(norm=2)``, which sampleChop called (`bin_weights`).

Source: J. C. Brown, "Calculation of a constant Q spectral transform", JASA 89 (1991); bandwidth as in librosa 0.11.
"""

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError
from .features import Features

BINS_PER_OCTAVE = 12

CQT = Features("cqt", 44100, 256, 8755, 48, 87.307, 1318.51)
"""sampleChop's: four octaves from F2, 172 frames a second."""


class CqtFrames:
    """CQT magnitudes of a mono stream at ``rate``. Raises `ModelError` where hops are not whole samples, or where the
    window of the features cannot hold the lowest bin.
    """

    def __init__(self, features: Features, rate: int) -> None:
        self.hop_samples = features.hop_at(rate)
        self.delay_samples = features.delay_at(rate)
        frequencies = bin_frequencies(features)
        if kernel_length(frequencies[0], rate) > 2 * self.delay_samples:
            needed = int(np.ceil(kernel_length(frequencies[0], features.rate)))
            raise ModelError(
                f"a window of {features.window_samples} samples is too short for the bin at "
                f"{frequencies[0]:.1f} Hz; it takes {needed}"
            )
        if frequencies[-1] > rate / 4:
            raise ModelError(f"bins up to {frequencies[-1]:.0f} Hz are too high for {rate} Hz; end below {rate // 4}")
        self._columns = 1 << (6 * self.delay_samples // self.hop_samples).bit_length()
        self._block = self._columns * self.hop_samples
        self._group = (self._block - 1 - 2 * self.delay_samples) // self.hop_samples + 1
        self._kernels = self._transform(frequencies, rate)
        self.reset()

    def _transform(self, frequencies: NDArray[np.float64], rate: int) -> NDArray[np.complex64]:
        """Kernels in frequency, ``(bands, folds, columns)``: no more of the spectrum than the bins reach."""
        folds = int(np.ceil(2 * frequencies[-1] * self.hop_samples / rate))  # a column is rate / block wide
        times = np.arange(-self.delay_samples, self.delay_samples + 1)
        kernels = np.empty((len(frequencies), folds * self._columns), np.complex64)
        for kernel, hz, weight in zip(kernels, frequencies, bin_weights(len(frequencies)), strict=True):
            length = kernel_length(hz, rate)
            window = np.where(np.abs(times) < length / 2, 0.5 + 0.5 * np.cos(2 * np.pi * times / length), 0)
            window *= 2 * weight / window.sum() / self.hop_samples
            tone = window * np.exp(2j * np.pi * hz / rate * times)
            kernel[:] = np.fft.fft(tone, self._block)[: len(kernel)].conj()
        return kernels.reshape(len(frequencies), folds, self._columns)

    def reset(self) -> None:
        self._waiting = np.zeros(self.delay_samples, np.float32)
        self._taken = self._given = 0

    def process(self, mono: NDArray[np.float32]) -> NDArray[np.float32]:
        self._taken += len(mono)
        self._waiting = np.concatenate([self._waiting, mono])
        groups = []
        while len(self._waiting) >= self._block:
            groups.append(self._analyse(self._waiting[: self._block]))
            self._waiting = self._waiting[self._group * self.hop_samples :]
        frames = np.concatenate(groups) if groups else np.zeros((0, len(self._kernels)), np.float32)
        self._given += len(frames)
        return frames

    def flush(self) -> NDArray[np.float32]:
        missing = 1 + self._taken // self.hop_samples - self._given
        frames = self.process(np.zeros((missing // self._group + 1) * self._block, np.float32))[:missing]
        self.reset()
        return frames

    def _analyse(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        _, folds, columns = self._kernels.shape
        spectrum = np.fft.rfft(block)[: folds * columns].reshape(folds, columns)
        folded = np.einsum("bfc,fc->bc", self._kernels, spectrum)
        bins = np.fft.ifft(folded, axis=1)[:, : self._group]
        magnitudes: NDArray[np.float32] = np.abs(bins).T.astype(np.float32)
        return magnitudes


def bin_frequencies(features: Features) -> NDArray[np.float64]:
    """Centres of the bins (Hz)."""
    frequencies: NDArray[np.float64] = features.low_hz * 2 ** (np.arange(features.bands) / BINS_PER_OCTAVE)
    return frequencies


def kernel_length(hz: float, rate: int) -> float:
    """Samples that a bin looks at: as many periods as keep its band apart from the next but one."""
    octave = 2 ** (2 / BINS_PER_OCTAVE)
    return (octave + 1) / (octave - 1) * rate / hz


def bin_weights(bands: int) -> NDArray[np.float64]:
    """What a full-scale sine on each bin gives: 1 at the top, more below, as the windows grow longer.

    Less by a square root of two from octave to octave: librosa reaches the lower ones by halving the rate, and kernels
    of unit energy lose that each time. An accident, but what sampleChop's sums over bins were made of.
    """
    below = np.arange(bands)[::-1]
    weights: NDArray[np.float64] = 2 ** (below / BINS_PER_OCTAVE - below // BINS_PER_OCTAVE / 2)
    return weights
