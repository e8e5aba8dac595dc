"""query-live as an ONNX graph that takes one hop: kind ``stft-hop``, with the film as an input.

The BatchNorms are folded into the convolutions before them and the GRU cell is plain products, as in `separator`. What
the graph remembers of a hop is one row: the levels of the bands, what goes into each convolution, and the GRU's output.
Of the last eight rows a hop looks at two, and the one that it makes takes the place of the oldest::

    state   ▪ □ □ □ ▪ □ □ □        looks back by two and by one time `SPREAD` hops
              □ □ □ ▪ □ □ □ ▪      next state

The small network from embedding to film is carried along as constants, which the engine evaluates itself, once a query.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import Tensor, nn

from models.query.network import (
    BANDS,
    EMBEDDING,
    FLOOR,
    KERNEL,
    LAG,
    QUIET,
    SPREAD,
    WINDOWS,
    CausalConv,
    Down,
    LiveQuery,
    Up,
    band_of_bin,
    pooling,
)
from models.separator.network import CHANNELS
from streaming.card import Condition, ModelCard, Source, State
from streaming.card import Tensor as CardTensor

from .graph import write_graph
from .separator import affine, gru_cell, product

DESCRIPTION = (
    "What you describe, stereo, live: a causal convolutional mask network over low-latency frames that compares what "
    "it hears with a sentence. It knows the sounds that it learned from and what resembles them; of anything else it "
    "may give silence, or the wrong thing."
)
LAYERS = ("condition_1", "condition_1_bias", "condition_2", "condition_2_bias")
ROWS = SPREAD * (KERNEL - 1)
AT_ONCE = 4
"""Queries that a hop answers: two, and what each is not. They cost two small products each."""


class Row:
    """What is remembered of the hops before, read part by part; what is kept of this one is written in that order."""

    def __init__(self, state: Tensor) -> None:
        """``(1, ROWS, K)``, the oldest first."""
        self._state, self._at = state, 0
        self._new: list[Tensor] = []

    def before(self, shape: Sequence[int], *hops: int) -> list[Tensor]:
        """The next part as it was so many hops ago, each of that shape."""
        start, self._at = self._at, self._at + math.prod(shape)
        return [self._state[:, ROWS - ago, start : self._at].view(*shape) for ago in hops]

    def keep(self, now: Tensor) -> None:
        self._new.append(now.flatten())

    def next_state(self) -> Tensor:
        return torch.cat([self._state[:, 1:], torch.cat(self._new)[None, None]], dim=1)


class LookConv(nn.Module):
    """A `CausalConv` at one hop, its norm folded in: ``(1, C, 1, bands)``."""

    def __init__(self, trained: CausalConv) -> None:
        super().__init__()
        gain, bias = affine(trained.norm)
        self.weight, self.bias = nn.Parameter(trained.conv.weight * gain.view(-1, 1, 1, 1)), nn.Parameter(bias)
        self.stride = trained.conv.stride

    def forward(self, x: Tensor, row: Row) -> Tensor:
        looks = row.before(x.shape, *(SPREAD * back for back in range(KERNEL - 1, 0, -1)))
        row.keep(x)
        return F.conv2d(torch.cat([*looks, x], dim=2), self.weight, self.bias, self.stride, (0, 1))


class LookDown(nn.Module):
    """A `Down` at one hop."""

    def __init__(self, trained: nn.Module) -> None:
        super().__init__()
        assert isinstance(trained, Down)
        self.first, self.second, self.around = LookConv(trained.first), LookConv(trained.second), trained.around

    def forward(self, x: Tensor, row: Row) -> Tensor:
        return F.relu(self.around(x) + self.second(F.relu(self.first(x, row)), row))


class LookUp(nn.Module):
    """An `Up` at one hop."""

    def __init__(self, trained: nn.Module) -> None:
        super().__init__()
        assert isinstance(trained, Up)
        gain, bias = affine(trained.norm)
        self.below, self.across = (
            nn.Parameter(conv.weight * gain.view(-1, 1, 1, 1)) for conv in (trained.below, trained.across)
        )
        self.bias = nn.Parameter(bias)
        self.conv = LookConv(trained.conv)

    def forward(self, x: Tensor, across: Tensor, row: Row) -> Tensor:
        risen = F.conv2d(x, self.below)
        risen = torch.stack([risen, risen], dim=-1).flatten(-2)  # each band twice
        risen = F.relu(risen + F.conv2d(across, self.across, self.bias))
        return risen + F.relu(self.conv(risen, row))


class LiveStep(nn.Module):
    """One frame through the trained network with its state in one tensor."""

    pooling: Tensor
    bands: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, network: LiveQuery) -> None:
        super().__init__()
        self.size = network.size
        self.register_buffer("pooling", pooling())
        self.register_buffer("bands", torch.tensor(band_of_bin()))
        scale, shift = affine(network.enter)
        self.register_buffer("scale", scale.view(1, -1, 1, BANDS))
        self.register_buffer("shift", shift.view(1, -1, 1, BANDS))
        self.first = LookConv(network.first)
        self.down = nn.ModuleList(LookDown(down) for down in network.down)
        gru = dict(network.memory.named_parameters())
        self.into, self.out = (product(layer.weight, layer.bias) for layer in (network.into, network.out))
        self.inward = product(gru["weight_ih_l0"], gru["bias_ih_l0"])
        self.back = product(gru["weight_hh_l0"], gru["bias_hh_l0"])
        self.up = nn.ModuleList(LookUp(up) for up in network.up)
        self.leave = network.leave

    @property
    def state_shape(self) -> tuple[int, int, int]:
        return (1, ROWS, sum(self._widths()))

    def _widths(self) -> Iterator[int]:
        """Of the parts of a row: levels, what each convolution takes, the GRU's output."""
        channels = self.size.channels
        yield BANDS
        yield self.first.weight.shape[1] * BANDS
        for level, (below, above) in enumerate(pairwise(channels)):
            yield below * (BANDS >> level)
            yield above * (BANDS >> level + 1)
        yield self.size.memory
        yield from (c * (BANDS >> level) for level, c in reversed(list(enumerate(channels[:-1]))))

    def forward(self, spectrum: Tensor, film: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """``(1, 2, bins, 2)``, ``(Q, film)`` and ``(1, ROWS, K)`` to ``(1, Q, 2, bins, 2)`` and the next state."""
        row = Row(state)
        left, right = spectrum.split(1, dim=1)
        mid_side = torch.cat([left + right, left - right], dim=1) * 0.5
        power = mid_side.square().sum(-1) @ self.pooling  # (1, 2, BANDS)
        both, side = power.sum(1), power[:, 1]
        (before,) = row.before(both.shape, LAG)
        row.keep(both)
        seen = torch.stack([(both + FLOOR).log(), (before + FLOOR).log(), side / (both + QUIET)], dim=1)[:, :, None]
        x = F.relu(self.first(seen * self.scale + self.shift, row))
        across = [x]
        for down in self.down:
            across.append(x := down(x, row))
        x = across.pop()
        (held,) = row.before((1, self.size.memory), SPREAD)
        held = gru_cell(self.inward(F.relu(self.into(x.flatten(1)))), self.back(held), held)
        row.keep(held)
        x = F.relu(x + self.out(held).view(x.shape))
        for up in self.up:
            x = up(x, across.pop(), row)
        weight, offset = film.split([self.size.width, BANDS], dim=1)
        heard = F.relu(self.leave(x)).view(self.size.width, BANDS)
        masks = torch.sigmoid(weight @ heard * self.size.width**-0.5 + offset)[:, self.bands]
        return spectrum.unsqueeze(1) * masks[None, :, None, :, None], row.next_state()


def export_graph(network: LiveQuery, target: Path) -> None:
    """Write the graph with the condition's constants, without a card."""
    step = LiveStep(network).eval()
    film = torch.randn(AT_ONCE, network.size.film) * 0.1
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
    bins, state = WINDOWS.bins, LiveStep(network).state_shape
    layers = [CardTensor(k, tuple(v.shape)) for k, v in zip(LAYERS, condition_layers(network), strict=True)]
    return ModelCard(
        name=name, version="0.2.0", task="query", kind="stft-hop", description=DESCRIPTION, licence="Apache-2.0",
        sample_rates=(44100, 48000), channels=CHANNELS, hop_samples=WINDOWS.hop_samples,
        latency_samples=WINDOWS.latency_samples, analysis_samples=WINDOWS.analysis_samples,
        stems=("query",), residual="rest",
        inputs=(
            CardTensor("spectrum", (1, CHANNELS, bins, 2)), CardTensor("film", (AT_ONCE, network.size.film)),
            CardTensor("state", state),
        ),
        outputs=(CardTensor("stems", (1, AT_ONCE, CHANNELS, bins, 2)), CardTensor("next_state", state), *layers),
        states=(State("state", "next_state", state),),
        condition=Condition("film", EMBEDDING, LAYERS), text_encoder=text_encoder, training=sources,
    )  # fmt: skip
