"""The separator's checkpoint as an ONNX graph that takes one hop: the inputs and outputs of kind ``stft-hop``."""

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from models.separator.network import BANDS, CHANNELS, STEMS, Separator, band_of_bin, features
from models.separator.training import load_network
from streaming.card import ModelCard, Source, State
from streaming.card import Tensor as CardTensor
from streaming.windows import DEFAULT

from .cards import write_card
from .graph import write_graph
from .parity import Parity, check_parity
from .quantise import quantise

DESCRIPTION = (
    "Vocals, drums, bass and other from any music, stereo, live: a recurrent complex-mask network over "
    "low-latency frames, trained on music rendered and mixed from freely licensed sounds."
)


class SeparatorStep(nn.Module):
    """One frame through the trained network with its state in one packed tensor.

    The GRU cells are plain products on copied weights: two MatMuls a cell run a little faster than the GRU operator
    and can be quantised, which it cannot.
    """

    shift: Tensor
    scale: Tensor
    bands: Tensor

    def __init__(self, network: Separator) -> None:
        super().__init__()
        self.size = network.size
        self.register_buffer("shift", network.shift.clone())
        self.register_buffer("scale", network.scale.clone())
        self.register_buffer("bands", torch.tensor(band_of_bin()))
        self.encode = product(*before_norm(network.enter, network.encode.weight, network.encode.bias))
        self.decode = product(*after_norm(network.leave, network.decode.weight, network.decode.bias))
        layers, weights = range(network.size.layers), dict(network.recur.named_parameters())
        self.inward = nn.ModuleList(product(weights[f"weight_ih_l{i}"], weights[f"bias_ih_l{i}"]) for i in layers)
        self.around = nn.ModuleList(product(weights[f"weight_hh_l{i}"], weights[f"bias_hh_l{i}"]) for i in layers)

    @property
    def state_shape(self) -> tuple[int, int]:
        return (1, self.size.width * self.size.layers)

    def forward(self, spectrum: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """``(1, 2, bins, 2)`` and ``(1, K)`` to ``(1, 3, 2, bins, 2)`` and the next ``(1, K)``."""
        left, right = spectrum.permute(0, 1, 3, 2).split(1, dim=1)  # planar from here: (1, 1, 2, bins)
        mid_side = torch.cat([left + right, left - right], dim=1) * 0.5
        encoded = self.encode((features(mid_side) - self.shift) * self.scale).tanh()
        hidden, states = encoded, []
        for inward, around, old in zip(self.inward, self.around, state.split(self.size.width, 1), strict=True):
            hidden = gru_cell(inward(hidden), around(old), old)
            states.append(hidden)
        masks = self.decode(hidden + encoded).unflatten(1, (len(STEMS), CHANNELS, 2, BANDS))
        mid, side = multiply(masks[..., self.bands], mid_side.unsqueeze(1)).split(1, dim=2)
        stems = torch.cat([mid + side, mid - side], dim=2)
        return stems.permute(0, 1, 2, 4, 3).contiguous(), torch.cat(states, dim=1)


class Product(nn.Module):
    """``x @ weight + bias`` with the weight laid out as MatMul reads it."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


def after_norm(norm: nn.BatchNorm1d, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """A Linear that hears a BatchNorm, which no longer learns, with it folded in."""
    gain, offset = affine(norm)
    return weight * gain, bias + weight @ offset


def before_norm(norm: nn.BatchNorm1d, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """A Linear that a BatchNorm hears, with it folded in."""
    gain, offset = affine(norm)
    return weight * gain[:, None], bias * gain + offset


def affine(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Gain and offset of each unit."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    return gain, norm.bias - norm.running_mean * gain


def product(weight: Tensor, bias: Tensor) -> Product:
    return Product(weight.detach().t().contiguous(), bias.detach().clone())


def gru_cell(inward: Tensor, around: Tensor, old: Tensor) -> Tensor:
    """torch's GRU: gates in the order reset, update, new."""
    reset_in, update_in, new_in = inward.chunk(3, dim=1)
    reset_around, update_around, new_around = around.chunk(3, dim=1)
    reset = torch.sigmoid(reset_in + reset_around)
    update = torch.sigmoid(update_in + update_around)
    new = torch.tanh(new_in + reset * new_around)
    return new + update * (old - new)


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Product of planar complex numbers ``(..., 2, bins)``."""
    a_re, a_im = a.split(1, dim=-2)
    b_re, b_im = b.split(1, dim=-2)
    return torch.cat([a_re * b_re - a_im * b_im, a_re * b_im + a_im * b_re], dim=-2)


def export_separator(checkpoint: Path, folder: Path, name: str = "live4") -> list[Parity]:
    """Write ``folder/NAME.onnx`` and ``folder/NAME-int8.onnx`` with their cards, both proven; or neither.

    Raises:
        ModelError: the checkpoint cannot be read, or a file does not do what the checkpoint does.
    """
    network, sources = load_network(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".export-") as aside:
        fp32, int8 = Path(aside) / f"{name}.onnx", Path(aside) / f"{name}-int8.onnx"
        export_graph(network, fp32)
        quantise(fp32, int8)
        card = card_of(network, name, sources)
        write_card(fp32, card)
        write_card(int8, replace(card, name=int8.stem, precision="int8"))
        rows = check_parity(network, fp32, int8)
        for path in (fp32, int8):
            os.replace(path, folder / path.name)
    return rows


def card_of(network: Separator, name: str, sources: tuple[Source, ...]) -> ModelCard:
    """The card, still without figures: `sidechop evaluate` adds them."""
    bins, state = DEFAULT.bins, (1, network.size.width * network.size.layers)
    return ModelCard(
        name=name,
        version="0.1.0",
        task="separation",
        kind="stft-hop",
        description=DESCRIPTION,
        licence="Apache-2.0",
        sample_rates=(44100, 48000),
        channels=CHANNELS,
        hop_samples=DEFAULT.hop_samples,
        latency_samples=DEFAULT.latency_samples,
        analysis_samples=DEFAULT.analysis_samples,
        stems=STEMS,
        residual="other",
        inputs=(CardTensor("spectrum", (1, CHANNELS, bins, 2)), CardTensor("state", state)),
        outputs=(CardTensor("stems", (1, len(STEMS), CHANNELS, bins, 2)), CardTensor("next_state", state)),
        states=(State("state", "next_state", state),),
        training=sources,
    )


def export_graph(network: Separator, target: Path) -> None:
    """Write the fp32 graph, without a card."""
    step = SeparatorStep(network)
    example = (torch.randn(1, CHANNELS, DEFAULT.bins, 2), torch.zeros(step.state_shape))
    write_graph(step, example, ("spectrum", "state"), ("stems", "next_state"), target)
