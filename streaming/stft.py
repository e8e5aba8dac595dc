"""Streaming STFT and its inverse, hop by hop or many hops at once with the same result to the bit.

::

    input    ...|  hop k-2  |  hop k-1  |   hop k   |
    frame k  <------------- N samples ------------->       analysed when hop k is complete
    output                  |  hop k-1  |                  final once frame k is added: one hop of delay
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .windows import Windows


class StreamingSTFT:
    """Frames of ``channels`` signals. Preallocated for up to ``max_hops`` hops a call; realtime-safe as numpy is."""

    def __init__(self, windows: Windows, channels: int, max_hops: int = 1) -> None:
        n, h = windows.analysis_samples, windows.hop_samples
        self._hop = h
        self._history = n - h
        self._window = windows.analysis.astype(np.float32)
        self._buffer: NDArray[np.float32] = np.zeros((channels, self._history + max_hops * h), np.float32)
        self._frames = sliding_window_view(self._buffer, n, axis=1)[:, ::h].transpose(1, 0, 2)
        self._windowed: NDArray[np.float32] = np.zeros((max_hops, channels, n), np.float32)
        self._spectra: NDArray[np.complex64] = np.zeros((max_hops, channels, windows.bins), np.complex64)

    def reset(self) -> None:
        self._buffer.fill(0.0)

    def analyse(self, hops: NDArray[np.float32]) -> NDArray[np.complex64]:
        """Take ``(channels, T * H)`` samples; give the T frames they complete, ``(T, channels, N/2 + 1)``.

        The returned view is valid until the next call.
        """
        new = hops.shape[1]
        count = new // self._hop
        self._buffer[:, self._history : self._history + new] = hops
        np.multiply(self._frames[:count], self._window, out=self._windowed[:count])
        # numpy computes in the input's precision, which its types do not know
        np.fft.rfft(self._windowed[:count], axis=-1, out=self._spectra[:count])  # type: ignore[arg-type]
        self._buffer[:, : self._history] = self._buffer[:, new : new + self._history]
        return self._spectra[:count]


class StreamingISTFT:
    """Overlap-adds frames of ``signals`` signals (stems times channels). The output lags the input by one hop."""

    def __init__(self, windows: Windows, signals: int, max_hops: int = 1) -> None:
        n, h = windows.analysis_samples, windows.hop_samples
        self._n, self._hop, self._synthesis = n, h, windows.synthesis_samples
        self._window = windows.synthesis.astype(np.float32)
        self._frames: NDArray[np.float32] = np.zeros((max_hops, signals, n), np.float32)
        self._tails: NDArray[np.float32] = np.zeros((max_hops + 1, signals, self._synthesis), np.float32)
        self._out: NDArray[np.float32] = np.zeros((signals, max_hops * h), np.float32)
        self._overlap: NDArray[np.float32] = np.zeros((max_hops, signals, h), np.float32)

    def reset(self) -> None:
        self._tails.fill(0.0)

    def synthesise(self, spectra: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Take ``(T, signals, N/2 + 1)`` frames; give ``(signals, T * H)`` final samples, one hop behind.

        The returned view is valid until the next call.
        """
        count, h = len(spectra), self._hop
        tails = self._tails[: count + 1]
        np.fft.irfft(spectra, self._n, axis=-1, out=self._frames[:count])  # type: ignore[arg-type]
        np.multiply(self._frames[:count, :, -self._synthesis :], self._window, out=tails[1:])
        np.add(tails[:-1, :, h:], tails[1:, :, :h], out=self._overlap[:count])
        out = self._out[:, : count * h]
        out.reshape(-1, count, h)[:] = self._overlap[:count].transpose(1, 0, 2)
        self._tails[0] = tails[count]
        return out
