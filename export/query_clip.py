"""AudioSep's kind as an ONNX graph over one clip: kind ``stft-clip``, spectrum and embedding in, what is kept out."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from models.query.resunet import RATE, TIME_HALVINGS, ResUNet30, polar
from streaming.card import Condition, ModelCard, Source
from streaming.card import Tensor as CardTensor
from streaming.session import OnnxModel

from . import query_reference
from .cards import write_card
from .graph import write_graph
from .parity import Parity

FRAMES = 512
"""Of a clip: 5.1 s, and a whole number of the network's halvings."""
HOP_FRAMES = 400
"""From a clip to the next: 4 s. The 1.1 s between are cross-faded."""
SAMPLE_RATES = (RATE, 44100, 48000, 88200, 96000)
SHORT = 2**TIME_HALVINGS - 13
"""Frames of the graph that is held against the reference, which would take minutes for a whole clip; padded."""
LIMIT = 1e-4
"""Greatest difference of a bin, where bins are about 1."""


class ClipMask(nn.Module):
    """The network between the spectra that the engine has: ``(1, 2, F, T)``, real and imaginary part."""

    def __init__(self, network: ResUNet30) -> None:
        super().__init__()
        self.network = network

    def forward(self, spectrum: Tensor, condition: Tensor) -> Tensor:
        real, imag = spectrum.transpose(2, 3).split(1, dim=1)  # (1, 1, T, F)
        kept = self.network(*polar(real, imag), condition)
        return torch.cat(kept, dim=1).transpose(2, 3)


def export_graph(network: ResUNet30, target: Path, frames: int = FRAMES) -> None:
    """Write the graph for clips of so many frames, without a card."""
    example = (torch.randn(1, 2, network.fft // 2 + 1, frames), torch.randn(1, network.condition))
    write_graph(ClipMask(network), example, ("spectrum", "condition"), ("kept",), target)


def clip_card(
    network: ResUNet30, name: str, description: str, licence: str, sources: tuple[Source, ...], text_encoder: str,
    frames: int = FRAMES, hop_frames: int = HOP_FRAMES,
) -> ModelCard:  # fmt: skip
    """The card of a clip model that takes queries."""
    spectrum, segment = (1, 2, network.fft // 2 + 1, frames), (frames - 1) * network.hop
    return ModelCard(
        name=name, version="0.1.0", task="query", kind="stft-clip", description=description, licence=licence,
        sample_rates=SAMPLE_RATES, channels=1, analysis_samples=network.fft, frame_hop_samples=network.hop,
        segment_samples=segment, hop_samples=hop_frames * network.hop, latency_samples=segment,
        stems=("query",), residual="rest",
        inputs=(CardTensor("spectrum", spectrum), CardTensor("condition", (1, network.condition))),
        outputs=(CardTensor("kept", spectrum),),
        condition=Condition("condition", network.condition), text_encoder=text_encoder, training=sources,
    )  # fmt: skip


def write_clip(network: ResUNet30, file: Path, card: ModelCard) -> list[Parity]:
    """Write ``file`` with its card and compare it; whoever asks looks whether all holds."""
    network.eval()
    frames = card.inputs[0].shape[-1]
    export_graph(network, file, frames)
    write_card(file, card)
    if frames <= 2**TIME_HALVINGS:
        return [_against_reference(network, file, frames), _against_torch(network, OnnxModel.open(file))]
    with TemporaryDirectory() as folder:
        short = Path(folder) / "short.onnx"
        export_graph(network, short, SHORT)
        return [_against_reference(network, short, SHORT), _against_torch(network, OnnxModel.open(file))]


def _example(network: ResUNet30, frames: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(frames)
    spectrum = torch.randn(1, 2, network.fft // 2 + 1, frames, generator=random)
    spectrum[..., frames // 3 : frames // 2] = 0  # silence
    condition = torch.randn(1, network.condition, generator=random)
    return spectrum, condition / condition.norm()


def _against_reference(network: ResUNet30, file: Path, frames: int) -> Parity:
    from onnxruntime import InferenceSession

    spectrum, condition = _example(network, frames)
    session = InferenceSession(str(file), providers=["CPUExecutionProvider"])
    got = session.run(None, {"spectrum": spectrum.numpy(), "condition": condition.numpy()})[0][0]
    weights = {k: v.double().numpy() for k, v in network.state_dict().items() if v.is_floating_point()}
    complex_ = (spectrum[0, 0] + 1j * spectrum[0, 1]).T.to(torch.complex128).numpy()
    truth = query_reference.resunet(weights, complex_, condition[0].double().numpy()).T
    value = float(np.abs(got[0] + 1j * got[1] - truth).max())
    return Parity(f"onnxruntime, {frames} frames, to numpy", "greatest difference", value, LIMIT, value <= LIMIT)


def _against_torch(network: ResUNet30, model: OnnxModel) -> Parity:
    spectrum, condition = _example(network, model.input.shape[-1])
    model.input[:] = spectrum.numpy()
    model.buffer("condition")[:] = condition.numpy()
    model.run()
    with torch.no_grad():
        truth = ClipMask(network)(spectrum, condition).numpy()
    value = float(np.abs(model.output - truth).max())
    return Parity("onnxruntime, whole clip, to torch", "greatest difference", value, LIMIT, value <= LIMIT)
