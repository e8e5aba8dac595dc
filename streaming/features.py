"""Feature frames: what the networks that mark time (chops, flags) hear instead of samples.

One definition for training, files and live. A frame is centred on its time: frame t looks at half a window on either
side of sample t * hop, so it is known half a window after it happened::

    samples  ├──────┼──────┼──────┼──────┼──────┤
    frame 0  ▒▒▒░░░░                    (▒: before the beginning, taken as silence)
    frame 1      ░░░░░░░
    frame 2             ░░░░░░░         the window is a little longer than two hops

Lengths are kept in seconds when a session's rate differs from the trained one, so that a network hears the same bands
at 44.1 and 96 kHz and nothing is resampled.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError

COMPRESSION = 1e7
"""Log-mel frames are log10(1 + COMPRESSION * power): 0 for silence, 7 for a full-scale sine, -70 dBFS the bend."""
_PIECE = 100
"""Frames transformed at once: their spectra stay in the processor's cache."""


@dataclass(frozen=True)
class Features:
    """What a frame holds. Lengths are in samples at ``rate`` (Hz).

    Attributes:
        kind: ``log-mel``: bands of power, compressed. ``cqt``: magnitudes of a constant-Q transform, 12 an octave.
            ``knowledge``: no audio, but what others know of each step of it, a band each (`judge`).
        high_hz: upper end of the bands; a CQT's follows from ``low_hz`` and ``bands``.
    """

    kind: Literal["log-mel", "cqt", "knowledge"] = "log-mel"
    rate: int = 44100
    hop_samples: int = 441
    window_samples: int = 1024
    bands: int = 64
    low_hz: float = 40.0
    high_hz: float = 16000.0

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.rate / self.hop_samples

    def hop_at(self, rate: int) -> int:
        """Samples from frame to frame in a session at ``rate``. Raises `ModelError` where that is not whole."""
        hop, rest = divmod(self.hop_samples * rate, self.rate)
        if rest:
            raise ModelError(f"frames of {self.hop_samples} samples at {self.rate} Hz do not fall on samples at {rate}")
        return hop

    def delay_at(self, rate: int) -> int:
        """Samples from a frame's time until it is known: the half of its window that comes after."""
        return (self.window_samples * rate // self.rate + 1) // 2


MEL = Features()
"""What our own networks hear: 64 bands, 10 ms, a window of 23 ms (short, because onsets are)."""


class FrameSource(Protocol):
    """Turns a mono stream into frames. Chunked equals one-shot; frames of ``n`` samples: ``1 + n // hop``."""

    hop_samples: int
    delay_samples: int

    def process(self, mono: NDArray[np.float32]) -> NDArray[np.float32]:
        """Samples ``(n,)`` to the frames that they complete, ``(frames, bands)``."""

    def flush(self) -> NDArray[np.float32]:
        """The last frames, with silence after the end. Then `reset`."""

    def reset(self) -> None: ...


class MelFrames:
    """Log-mel frames of a mono stream at ``rate``. Raises `ModelError` where hops are not whole samples."""

    def __init__(self, features: Features, rate: int) -> None:
        self.hop_samples = features.hop_at(rate)
        self.delay_samples = features.delay_at(rate)
        size = 2 * self.delay_samples
        self._fft = 1 << size.bit_length()
        window = np.hanning(size + 1)[:size]
        self._window = (window / window.sum() * 2).astype(np.float32)
        self._bank = mel_bank(features, rate, self._fft)
        self.reset()

    def reset(self) -> None:
        self._waiting = np.zeros(self.delay_samples, np.float32)
        self._taken = self._given = 0

    def process(self, mono: NDArray[np.float32]) -> NDArray[np.float32]:
        self._taken += len(mono)
        waiting = np.concatenate([self._waiting, mono])
        size, hop = len(self._window), self.hop_samples
        count = max(0, (len(waiting) - size) // hop + 1)
        self._waiting = waiting[count * hop :]
        self._given += count
        if not count:
            return np.zeros((0, self._bank.shape[1]), np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(waiting, size)[: count * hop : hop]
        return np.concatenate([self._analyse(frames[i : i + 512]) for i in range(0, count, 512)])

    def flush(self) -> NDArray[np.float32]:
        missing = 1 + self._taken // self.hop_samples - self._given
        tail = np.zeros(2 * len(self._window) + missing * self.hop_samples, np.float32)
        frames = self.process(tail)[:missing]
        self.reset()
        return frames

    def _analyse(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        power = np.concatenate([self._power(frames[i : i + _PIECE]) for i in range(0, len(frames), _PIECE)])
        bands: NDArray[np.float32] = np.log10(1 + COMPRESSION * (power @ self._bank))
        return bands

    def _power(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        spectra = np.fft.rfft(frames * self._window, self._fft, axis=1).astype(np.complex64, copy=False)
        power: NDArray[np.float32] = np.square(spectra.real) + np.square(spectra.imag)
        return power


def mel_bank(features: Features, rate: int, fft: int) -> NDArray[np.float32]:
    """Triangles even on the mel scale, ``(fft / 2 + 1, bands)``, weighted so that a band's power hangs on no rate."""
    edges = mel_edges(features)
    hz = np.arange(fft // 2 + 1) * (rate / fft)
    rise = (hz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - hz[:, None]) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0, np.minimum(rise, fall)) * (rate / fft) / (features.rate / 2048)
    bank: NDArray[np.float32] = triangles.astype(np.float32)
    return bank


def mel_edges(features: Features) -> NDArray[np.float64]:
    """Where triangles begin, peak and end (Hz), ``(bands + 2,)``: band b peaks at edge b + 1.

    Source: the HTK mel scale, 2595 log10(1 + f / 700).
    """
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (features.low_hz, features.high_hz))
    edges: NDArray[np.float64] = 700 * (10 ** (np.linspace(low, high, features.bands + 2) / 2595) - 1)
    return edges


def open_features(features: Features, rate: int) -> FrameSource:
    """The frame source for what a card says. Raises `ModelError`."""
    if features.kind == "knowledge":
        raise ModelError("the model hears no audio: it judges what other models say of it")
    if features.kind == "cqt":
        from .cqt import CqtFrames  # here, because it needs `Features` from above

        return CqtFrames(features, rate)
    return MelFrames(features, rate)
