"""Hop processors: what turns hops of the mix into hops of stems.

`open_processor` picks the one for a model's kind. All have one shape, so that the engine need not know which it runs.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .card import ModelCard
from .errors import ModelError
from .queries import Queries
from .session import OnnxModel
from .stft import StreamingISTFT, StreamingSTFT
from .windows import DEFAULT, Windows


class HopProcessor(Protocol):
    """Turns ``(channels, T * hop_samples)`` of the mix into ``(stems, channels, T * hop_samples)``, delayed."""

    hop_samples: int
    max_hops: int
    """Most hops a call may bring."""
    delay_samples: int
    """How far the stems lag the mix, the gathering of a hop not included."""
    stems: tuple[str, ...]
    residual: str | None

    def process_hops(self, mix: NDArray[np.float32]) -> NDArray[np.float32]: ...

    def reset(self) -> None: ...


class SpectralNetwork(Protocol):
    """One frame of the mix in, one frame a stem out."""

    stems: tuple[str, ...]
    residual: str | None

    def run_frame(self, frame: NDArray[np.complex64], out: NDArray[np.complex64]) -> None:
        """``frame (channels, bins)`` to ``out (stems, channels, bins)``."""

    def reset(self) -> None: ...


class PassThrough:
    """A network that gives the mix back as its one stem: for null tests and for timing all but the network."""

    residual: str | None = "other"

    def __init__(self, stems: tuple[str, ...] = ("through",)) -> None:
        self.stems = stems

    def run_frame(self, frame: NDArray[np.complex64], out: NDArray[np.complex64]) -> None:
        np.multiply(frame, np.float32(1 / len(self.stems)), out=out)

    def reset(self) -> None:
        """Nothing is remembered."""


class OnnxSpectralNetwork:
    """An ``stft-hop`` model. ``factor`` 2 feeds it the lower half of a doubled window, at the level it knows.

    A window twice as long at twice the rate has the same bins in hertz, so a network trained at 44.1 kHz hears an
    88.2 kHz session without a resampler and without its delay; what lies above its top bin stays in the residual.
    """

    def __init__(self, model: OnnxModel, channels: int, factor: int) -> None:
        card = model.card
        self.stems, self.residual = card.stems, card.residual
        self._model = model
        self._bins = card.windows.bins
        self._input = model.input.view(np.complex64)[0, :, :, 0]
        self._output = model.output.view(np.complex64)[0, :, :, :, 0]
        self._gain = np.float32(1 / factor)
        self._back = np.float32(factor)
        self._mono = channels < card.channels
        self._mixdown = channels > card.channels

    def run_frame(self, frame: NDArray[np.complex64], out: NDArray[np.complex64]) -> None:
        self.listen(frame)
        for stem, heard in enumerate(out):
            self.take(stem, heard)

    def listen(self, frame: NDArray[np.complex64]) -> None:
        """Run ``frame (channels, bins)``."""
        bins = self._bins
        if self._mixdown:
            np.mean(frame[:, :bins], axis=0, out=self._input[0])
            self._input *= self._gain
        else:
            np.multiply(frame[:, :bins], self._gain, out=self._input)
        self._model.run()

    def take(self, stem: int, out: NDArray[np.complex64]) -> None:
        """What was heard of one stem in the last frame, to ``out (channels, bins)``: nothing above the network's."""
        out[:, self._bins :] = 0
        heard = out[:, : self._bins]
        if self._mono:
            np.mean(self._output[stem], axis=0, keepdims=True, out=heard)
            heard *= self._back
        else:
            np.multiply(self._output[stem], self._back, out=heard)

    def reset(self) -> None:
        self._model.reset()


class SpectralSeparator:
    """STFT, network and inverse STFT around each other: the hop processor of ``stft-hop`` models."""

    def __init__(self, network: SpectralNetwork, windows: Windows, channels: int, max_hops: int = 1) -> None:
        stems = len(network.stems)
        self.hop_samples = windows.hop_samples
        self.max_hops = max_hops
        self.delay_samples = windows.latency_samples - windows.hop_samples
        self.stems, self.residual = network.stems, network.residual
        self._network = network
        self._shape = (stems, channels)
        self._stft = StreamingSTFT(windows, channels, max_hops)
        self._istft = StreamingISTFT(windows, stems * channels, max_hops)
        self._out: NDArray[np.complex64] = np.zeros((max_hops, stems, channels, windows.bins), np.complex64)

    def process_hops(self, mix: NDArray[np.float32]) -> NDArray[np.float32]:
        frames = self._stft.analyse(mix)
        out = self._out[: len(frames)]
        for frame, stems in zip(frames, out, strict=True):
            self._network.run_frame(frame, stems)
        samples = self._istft.synthesise(out.reshape(len(frames), -1, out.shape[-1]))
        return samples.reshape(*self._shape, -1)

    def reset(self) -> None:
        self._stft.reset()
        self._istft.reset()
        self._network.reset()


def rate_factor(card: ModelCard, rate: int) -> int:
    """How many times a model's own rate a session's is: 1, or 2 for an ``stft-hop`` model.

    Raises:
        ModelError: the model does not run at this rate.
    """
    if rate in card.sample_rates:
        return 1
    doubled = tuple(2 * r for r in card.sample_rates) if card.kind == "stft-hop" else ()
    if rate in doubled:
        return 2
    rates = ", ".join(str(r) for r in (*card.sample_rates, *doubled))
    raise ModelError(f"{card.name} runs at {rates} Hz, not at {rate}: change the session's rate or take another model")


def model_latency(card: ModelCard, rate: int) -> int:
    """The stream's delay in samples of a session at ``rate``. Raises `ModelError`."""
    factor = rate_factor(card, rate)
    if card.condition is not None and card.kind == "stft-clip":  # it resamples within
        return card.latency_samples * rate // card.sample_rates[0]
    return card.latency_samples * factor


def open_processor(
    model: OnnxModel | None, rate: int, channels: int, max_hops: int = 1, queries: Queries | None = None
) -> HopProcessor:
    """The hop processor for a model, or for None the pass-through. A query model gives what ``queries`` ask for.

    Raises:
        ModelError: the model does not run at this rate, or is not one that gives stems.
    """
    if model is None:
        return SpectralSeparator(PassThrough(), DEFAULT.scaled(2 if rate > 50000 else 1), channels, max_hops)
    card = model.card
    factor = rate_factor(card, rate)
    if not card.stems:
        raise ModelError(f"{card.name} is for {card.task} and gives no stems")
    if card.kind == "stft-hop":
        network: SpectralNetwork
        if card.condition is None:
            network = OnnxSpectralNetwork(model, channels, factor)
        else:
            from .query_network import QueryNetwork

            network = QueryNetwork(model, channels, factor, queries or Queries())
        return SpectralSeparator(network, card.windows.scaled(factor), channels, max_hops)
    if card.kind == "wave-hop":
        from .wave_hop import WaveHopSeparator

        return WaveHopSeparator(model, channels)
    if card.condition is not None:
        from .query_clip import QueryClip

        return QueryClip(model, rate, channels, queries or Queries())
    from .clip import ClipSeparator

    return ClipSeparator(model, channels)


def open_model(path: Path | str | None, threads: int = 1) -> OnnxModel | None:
    """Open a model file, or None for the pass-through."""
    return None if path is None else OnnxModel.open(path, threads)
