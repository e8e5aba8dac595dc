"""query-live as an ONNX graph that takes one hop: kind ``stft-hop``, with the film as an input.

The BatchNorms are folded into the Linears before them and the GRU cells are plain products, as in `separator`. The
small network from embedding to film is carried along as constants, which the engine evaluates itself, once a query.
"""

from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import Tensor, nn

from models.query.network import EMBEDDING, WINDOWS, LiveQuery
from models.separator.network import BANDS, CHANNELS, band_of_bin, features
from streaming.card import Condition, ModelCard, Source, State
from streaming.card import Tensor as CardTensor

from .graph import write_graph
from .separator import before_norm, gru_cell, multiply, product

DESCRIPTION = (
    "What you describe, stereo, live: a recurrent complex-mask network over low-latency frames that a sentence tells "
    "what to keep. It knows the sounds that it learned from and what resembles them; of anything else it may give "
    "silence, or the wrong thing."
)
LAYERS = ("condition_1", "condition_1_bias", "condition_2", "condition_2_bias")


class LiveStep(nn.Module):
    """One frame through the trained network with its state in one packed tensor."""

    shift: Tensor
    scale: Tensor
    bands: Tensor

    def __init__(self, network: LiveQuery) -> None:
        super().__init__()
        self.size = network.size
        self.register_buffer("shift", network.shift.clone())
        self.register_buffer("scale", network.scale.clone())
        self.register_buffer("bands", torch.tensor(band_of_bin()))
        self.encode = product(*before_norm(network.enter, network.encode.weight, network.encode.bias))
        self.widen = product(*before_norm(network.leave, network.widen.weight, network.widen.bias))
        self.decode = product(network.decode.weight, network.decode.bias)
        first, second = (dict(gru.named_parameters()) for gru in (network.first, network.second))
        self.inward = nn.ModuleList(product(w["weight_ih_l0"], w["bias_ih_l0"]) for w in (first, second))
        self.around = nn.ModuleList(product(w["weight_hh_l0"], w["bias_hh_l0"]) for w in (first, second))

    @property
    def state_shape(self) -> tuple[int, int]:
        return (1, 2 * self.size.width)

    def forward(self, spectrum: Tensor, film: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """``(1, 2, bins, 2)``, ``(1, film)`` and ``(1, K)`` to ``(1, 1, 2, bins, 2)`` and the next ``(1, K)``."""
        first, second, third = film.split(list(self.size.film), dim=1)
        left, right = spectrum.permute(0, 1, 3, 2).split(1, dim=1)  # planar from here: (1, 1, 2, bins)
        mid_side = torch.cat([left + right, left - right], dim=1) * 0.5
        encoded = self.encode((features(mid_side) - self.shift) * self.scale)
        encoded = filmed(encoded, first).tanh()
        old_first, old_second = state.split(self.size.width, 1)
        below = gru_cell(self.inward[0](encoded), self.around[0](old_first), old_first)
        above = gru_cell(self.inward[1](filmed(below, second)), self.around[1](old_second), old_second)
        wide = F.relu(filmed(self.widen(above + encoded), third))
        mask = self.decode(wide).unflatten(1, (CHANNELS, 2, BANDS))[..., self.bands]  # (1, 2, 2, bins)
        mid, side = multiply(mask, mid_side).split(1, dim=1)
        stem = torch.cat([mid + side, mid - side], dim=1).permute(0, 1, 3, 2).unsqueeze(1)
        return stem.contiguous(), torch.cat([below, above], dim=1)


def filmed(x: Tensor, film: Tensor) -> Tensor:
    """``(1, units)`` with the gain and offset of each."""
    gain, offset = film.chunk(2, dim=1)
    return x * (1 + gain) + offset


def export_graph(network: LiveQuery, target: Path) -> None:
    """Write the graph with the condition's constants, without a card."""
    step = LiveStep(network).eval()
    film = torch.randn(1, sum(network.size.film)) * 0.1
    example = (torch.randn(1, CHANNELS, WINDOWS.bins, 2), film, torch.zeros(step.state_shape))
    write_graph(step, example, ("spectrum", "film", "state"), ("stems", "next_state"), target)
    add_constants(target, dict(zip(LAYERS, condition_layers(network), strict=True)))


def condition_layers(network: LiveQuery) -> Sequence[Tensor]:
    """Weight and bias of each layer, the scale of the embedding folded in."""
    first, second = network.condition.first, network.condition.second
    return (first.weight.detach().t() * EMBEDDING**0.5, first.bias, second.weight.detach().t(), second.bias)


def add_constants(target: Path, constants: dict[str, Tensor]) -> None:
    """Give a graph outputs that are constants."""
    model = onnx.load(target)
    for name, tensor in constants.items():
        values = tensor.detach().contiguous().numpy()
        model.graph.initializer.append(numpy_helper.from_array(values, f"{name}_values"))
        model.graph.node.append(helper.make_node("Identity", [f"{name}_values"], [name]))
        model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, values.shape))
    onnx.checker.check_model(model, full_check=True)
    target.write_bytes(model.SerializeToString())


def card_of(network: LiveQuery, name: str, sources: tuple[Source, ...], text_encoder: str = "minilm") -> ModelCard:
    """The card, still without figures: `sidechop evaluate` adds them."""
    bins, state = WINDOWS.bins, (1, 2 * network.size.width)
    layers = [CardTensor(k, tuple(v.shape)) for k, v in zip(LAYERS, condition_layers(network), strict=True)]
    return ModelCard(
        name=name, version="0.1.0", task="query", kind="stft-hop", description=DESCRIPTION, licence="Apache-2.0",
        sample_rates=(44100, 48000), channels=CHANNELS, hop_samples=WINDOWS.hop_samples,
        latency_samples=WINDOWS.latency_samples, analysis_samples=WINDOWS.analysis_samples,
        stems=("query",), residual="rest",
        inputs=(
            CardTensor("spectrum", (1, CHANNELS, bins, 2)), CardTensor("film", (1, sum(network.size.film))),
            CardTensor("state", state),
        ),
        outputs=(CardTensor("stems", (1, 1, CHANNELS, bins, 2)), CardTensor("next_state", state), *layers),
        states=(State("state", "next_state", state),),
        condition=Condition("film", EMBEDDING, LAYERS), text_encoder=text_encoder, training=sources,
    )  # fmt: skip
