"""query-studio as an ONNX graph over one clip: kind ``stft-clip``, spectrum and film in, what is kept out.

The film comes from the words by constants of the file, once a query, as that of `query_live` does.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.query.network import EMBEDDING, STUDIO_BANDS, STUDIO_FFT, STUDIO_HOP, STUDIO_SPREAD, StudioQuery
from streaming.card import Condition, ModelCard, Source
from streaming.card import Tensor as CardTensor
from streaming.query_network import FilmLayers
from streaming.session import OnnxModel

from . import query_reference
from .cards import write_card
from .graph import write_graph
from .parity import Parity, near
from .query_clip import HOP_FRAMES, SAMPLE_RATES
from .query_live import AT_ONCE, LAYERS, add_constants, condition_layers

Array = NDArray[Any]
DESCRIPTION = (
    "What you describe, from files: convolutional and recurrent mask networks over whole clips, both ways in time, "
    "that compare what they hear with a sentence and with all else that they know. They know the sounds that they "
    "learned from and what resembles them; of anything else they may give silence, or the wrong thing."
)
FRAMES = 171 * STUDIO_SPREAD
"""Of a clip: 5.1 s."""
SHORT = 16 * STUDIO_SPREAD
"""Frames of the graph that is held against the reference, which would take minutes for a whole clip."""


class StudioClip(nn.Module):
    """The network between the spectra that the engine has: ``(1, 2, bins, T)``, real and imaginary part, and films
    ``(Q, films)`` to ``(1, Q, 2, bins, T)``."""

    pooling: Tensor
    of_bin: Tensor

    def __init__(self, network: StudioQuery) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("pooling", STUDIO_BANDS.pooling())
        self.register_buffer("of_bin", torch.tensor(STUDIO_BANDS.of_bin()))

    def forward(self, spectrum: Tensor, film: Tensor) -> Tensor:
        power = spectrum.square().sum(1).transpose(1, 2) @ self.pooling  # (1, T, bands)
        masks = self.network.every_hop(power, film).permute(0, 3, 2, 1)  # (1, Q, bands, T)
        return spectrum[:, None] * masks[:, :, None, self.of_bin]


def export_graph(network: StudioQuery, target: Path, frames: int = FRAMES) -> None:
    """Write the graph for clips of so many frames with the condition's constants, without a card."""
    example = (torch.randn(1, 2, STUDIO_BANDS.bins, frames), torch.randn(AT_ONCE, network.films) * 0.1)
    write_graph(StudioClip(network), example, ("spectrum", "film"), ("kept",), target)
    add_constants(target, dict(zip(LAYERS, condition_layers(network), strict=True)))


def card_of(
    network: StudioQuery, name: str, sources: tuple[Source, ...], text_encoder: str, frames: int = FRAMES
) -> ModelCard:
    """The card, still without figures: `sidechop evaluate` adds them."""
    spectrum, segment = (1, 2, STUDIO_BANDS.bins, frames), (frames - 1) * STUDIO_HOP
    layers = [CardTensor(k, tuple(v.shape)) for k, v in zip(LAYERS, condition_layers(network), strict=True)]
    return ModelCard(
        name=name, version="0.5.0", task="query", kind="stft-clip", description=DESCRIPTION, licence="Apache-2.0",
        sample_rates=SAMPLE_RATES, channels=1, analysis_samples=STUDIO_FFT, frame_hop_samples=STUDIO_HOP,
        segment_samples=segment, hop_samples=min(HOP_FRAMES, frames - 1) * STUDIO_HOP, latency_samples=segment,
        stems=("query",), residual="rest",
        inputs=(CardTensor("spectrum", spectrum), CardTensor("film", (AT_ONCE, network.films))),
        outputs=(CardTensor("kept", (1, AT_ONCE, *spectrum[1:])), *layers),
        condition=Condition("film", EMBEDDING, LAYERS), text_encoder=text_encoder, training=sources,
    )  # fmt: skip


def write_studio(
    network: StudioQuery, file: Path, name: str, sources: tuple[Source, ...], text_encoder: str
) -> list[Parity]:
    """Write ``file`` with its card and compare it; whoever asks looks whether all holds."""
    network.eval()
    export_graph(network, file)
    write_card(file, card_of(network, name, sources, text_encoder))
    rows = check_studio(network, OnnxModel.open(file))
    with TemporaryDirectory() as folder:
        short = Path(folder) / "short.onnx"
        export_graph(network, short, SHORT)
        write_card(short, card_of(network, name, sources, text_encoder, SHORT))
        return [*rows, against_reference(network, OnnxModel.open(short))]


def check_studio(network: StudioQuery, model: OnnxModel) -> list[Parity]:
    """The condition and a whole clip, held against torch."""
    spectrum, embedding = _example(model)
    film = FilmLayers(model)(embedding.astype(np.float32))
    kept = _run(model, spectrum, film)
    with torch.no_grad():
        told = network.condition(torch.from_numpy(embedding[None].astype(np.float32)))
        truth = StudioClip(network)(torch.from_numpy(spectrum), told)[0, 0].numpy()
    return [near("condition, numpy to torch", film, told[0].numpy()), near("onnxruntime, whole clip", kept, truth)]


def against_reference(network: StudioQuery, model: OnnxModel) -> Parity:
    """A clip and its condition, held against numpy."""
    spectrum, embedding = _example(model)
    kept = _run(model, spectrum, FilmLayers(model)(embedding.astype(np.float32)))
    weights = {k: v.double().numpy() for k, v in network.state_dict().items() if v.is_floating_point()}
    truth = query_reference.studio(weights, (spectrum[0, 0] + 1j * spectrum[0, 1]).T.astype(complex), embedding).T
    return near("onnxruntime, short clip, to numpy", kept, np.stack([truth.real, truth.imag]))


def _example(model: OnnxModel) -> tuple[Array, Array]:
    """A spectrum with silence in it, and an embedding."""
    rng, shape = np.random.default_rng(model.input.shape[-1]), model.input.shape
    spectrum = rng.standard_normal(shape).astype(np.float32)
    spectrum[..., shape[-1] // 3 : shape[-1] // 2] = 0
    embedding = rng.standard_normal(EMBEDDING)
    return spectrum, embedding / np.linalg.norm(embedding)


def _run(model: OnnxModel, spectrum: Array, film: Array) -> Array:
    """What is kept ``(2, bins, T)``, whatever else is asked."""
    films = model.buffer("film")
    films[:] = np.random.default_rng(0).standard_normal(films.shape)
    films[-1] = film
    model.input[:] = spectrum
    model.run()
    kept: Array = model.output[0, -1].copy()
    return kept
