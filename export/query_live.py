"""query-live as an ONNX graph that takes one hop: kind ``stft-hop``, with the film as an input.

A convolution over two frames is one over twice the channels of one frame: the frame before comes as a state. Each
BatchNorm is folded into the convolution before it. The small network from embedding to film is carried along as
constants, which the engine evaluates itself, once a query.
"""

from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import Tensor, nn

from models.query.network import EMBEDDING, WINDOWS, Block, LiveQuery, Up, features
from models.separator.network import BANDS, CHANNELS, band_of_bin
from streaming.card import Condition, ModelCard, Source, State
from streaming.card import Tensor as CardTensor

from .graph import write_graph
from .separator import affine, gru_cell, multiply, product

DESCRIPTION = (
    "What you describe, stereo, live: a causal U-Net over low-latency frames that a sentence tells what to keep. It "
    "knows the sounds that it learned from and what resembles them; of anything else it may give silence, or the wrong "
    "thing."
)
LAYERS = ("condition_1", "condition_1_bias", "condition_2", "condition_2_bias")


class StepConv(nn.Module):
    """A convolution over this frame and, if ``before`` is given, the one before: ``(1, C, F)`` each."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None, pairs: bool = False) -> None:
        super().__init__()
        weight = conv.weight.detach()  # (out, in, 1 or 2, 3)
        weight = torch.cat(list(weight.unbind(2)), dim=1)
        bias = torch.zeros(len(weight)) if conv.bias is None else conv.bias.detach()
        if norm is not None:
            gain, offset = (part.detach().repeat(2 if pairs else 1) for part in affine(norm))
            weight, bias = weight * gain[:, None, None], bias * gain + offset
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.stride, self.padding = int(conv.stride[1]), int(conv.padding[1])

    def forward(self, x: Tensor, before: Tensor | None = None) -> Tensor:
        x = x if before is None else torch.cat([before, x], dim=1)
        return F.conv1d(x, self.weight, self.bias, self.stride, self.padding)


class LiveStep(nn.Module):
    """One frame through the trained network; states are the inputs of its blocks one frame before, and the GRUs'."""

    bands: Tensor

    def __init__(self, network: LiveQuery) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("bands", torch.tensor(band_of_bin()))
        self.stem = StepConv(network.stem)
        self.enter = nn.ModuleList(_block(block) for block in network.enter)
        self.deepen = nn.ModuleList(_block(block) for block in network.deepen)
        self.raised = nn.ModuleList(_up(up) for up in network.raise_)
        self.leave = nn.ModuleList(_block(block) for block in network.leave)
        self.narrow, self.widen = StepConv(network.narrow), StepConv(network.widen)
        self.head, self.mask = StepConv(network.head), StepConv(network.mask)
        weights = dict(network.recur.named_parameters())
        self.inward = nn.ModuleList(product(weights[f"weight_ih_l{i}"], weights[f"bias_ih_l{i}"]) for i in (0, 1))
        self.around = nn.ModuleList(product(weights[f"weight_hh_l{i}"], weights[f"bias_hh_l{i}"]) for i in (0, 1))
        self.encode = product(network.encode.weight, network.encode.bias)
        self.decode = product(network.decode.weight, network.decode.bias)
        self.gate = product(network.gate.weight, network.gate.bias)

    def state_shapes(self) -> list[tuple[int, ...]]:
        """Of `enter`, `deepen`, `leave` in their order, then of each GRU."""
        size = self.network.size
        frames = [(1, width, BANDS // 2 ** (i + 1)) for i, width in enumerate(size.channels)]
        return [*frames, *frames[:-1], *frames[::-1], (1, size.recurrent), (1, size.recurrent)]

    def forward(self, spectrum: Tensor, film: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """``(1, 2, bins, 2)``, ``(1, film)`` and the states to ``(1, 1, 2, bins, 2)`` and the next states."""
        network = self.network
        parts, offset = network.split_film(film)
        before = iter(states)
        films, after = iter(parts), []
        entered = [(next(before), next(films)) for _ in self.enter]
        deepened = [(next(before), next(films)) for _ in self.deepen]
        raised = [next(films) for _ in self.raised]
        left = [(next(before), next(films)) for _ in self.leave]
        recurrent = list(before)

        left_right = spectrum.permute(0, 1, 3, 2).split(1, dim=1)  # planar: (1, 1, 2, bins)
        mid_side = torch.cat([left_right[0] + left_right[1], left_right[0] - left_right[1]], dim=1) * 0.5
        seen = features(mid_side)  # (1, 6, BANDS)
        x = self.stem(seen)
        skips, entered_inputs, deepened_inputs = [], [], []
        for i, enter in enumerate(self.enter):
            if i:
                deepened_inputs.append(x)
                x = filmed(self.deepen[i - 1](x, deepened[i - 1][0]), deepened[i - 1][1])
            entered_inputs.append(x)
            x = x + filmed(enter(x, entered[i][0]), entered[i][1])
            skips.append(x)
        h = F.relu(self.encode(self.narrow(x).flatten(1)) + offset)
        above = h
        for inward, around, old in zip(self.inward, self.around, recurrent, strict=True):
            above = gru_cell(inward(above), around(old), old)
            after.append(above)
        h = h + above
        x = x + self.widen(self.decode(h).view(1, network.size.narrow, -1))
        left_inputs = [x]
        x = x + filmed(self.leave[0](x, left[0][0]), left[0][1])
        for i, up in enumerate(self.raised):
            x = filmed(interleave(up(x)), raised[i]) + skips[-2 - i]
            left_inputs.append(x)
            x = x + filmed(self.leave[i + 1](x, left[i + 1][0]), left[i + 1][1])
        x = F.relu(interleave(self.head(x)))
        mask = self.mask(torch.cat([x, seen], dim=1)) * torch.sigmoid(self.gate(h)).unsqueeze(-1)
        mask = mask.unflatten(1, (CHANNELS, 2))[..., self.bands]  # (1, 2, 2, bins)
        mid, side = multiply(mask, mid_side).split(1, dim=1)
        stem = torch.cat([mid + side, mid - side], dim=1).permute(0, 1, 3, 2).unsqueeze(1)
        return (stem.contiguous(), *entered_inputs, *deepened_inputs, *left_inputs, *after)


def filmed(x: Tensor, film: Tensor) -> Tensor:
    """``(1, C, F)`` with the gain and offset of each channel."""
    gain, offset = film.unsqueeze(-1).chunk(2, dim=1)
    return F.relu(x * (1 + gain) + offset)


def interleave(x: Tensor) -> Tensor:
    """``(1, 2 C, F)`` to ``(1, C, 2 F)``: each channel's two halves become neighbours."""
    first, second = x.chunk(2, dim=1)
    return torch.stack([first, second], dim=-1).flatten(2)


def _block(module: nn.Module) -> StepConv:
    assert isinstance(module, Block)
    return StepConv(module.conv, module.norm)


def _up(module: nn.Module) -> StepConv:
    assert isinstance(module, Up)
    return StepConv(module.conv, module.norm, pairs=True)


def live_names(step: LiveStep) -> tuple[list[str], list[str]]:
    """Names of the states on their way in and out."""
    count = len(step.state_shapes())
    return [f"state_{i}" for i in range(count)], [f"next_state_{i}" for i in range(count)]


def export_graph(network: LiveQuery, target: Path) -> None:
    """Write the graph with the condition's constants, without a card."""
    step = LiveStep(network).eval()
    inward, outward = live_names(step)
    states = [torch.randn(shape) * 0.1 for shape in step.state_shapes()]
    film = torch.randn(1, film_width(network)) * 0.1
    example = (torch.randn(1, CHANNELS, WINDOWS.bins, 2), film, *states)
    write_graph(step, example, ("spectrum", "film", *inward), ("stems", *outward), target)
    add_constants(target, dict(zip(LAYERS, condition_layers(network), strict=True)))


def film_width(network: LiveQuery) -> int:
    return network.condition.second.out_features


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
    step = LiveStep(network)
    bins, film, shapes = WINDOWS.bins, film_width(network), step.state_shapes()
    inward, outward = live_names(step)
    layers = [CardTensor(k, tuple(v.shape)) for k, v in zip(LAYERS, condition_layers(network), strict=True)]
    return ModelCard(
        name=name, version="0.1.0", task="query", kind="stft-hop", description=DESCRIPTION, licence="Apache-2.0",
        sample_rates=(44100, 48000), channels=CHANNELS, hop_samples=WINDOWS.hop_samples,
        latency_samples=WINDOWS.latency_samples, analysis_samples=WINDOWS.analysis_samples,
        stems=("query",), residual="rest",
        inputs=(
            CardTensor("spectrum", (1, CHANNELS, bins, 2)), CardTensor("film", (1, film)),
            *(CardTensor(n, shape) for n, shape in zip(inward, shapes, strict=True)),
        ),
        outputs=(
            CardTensor("stems", (1, 1, CHANNELS, bins, 2)),
            *(CardTensor(n, shape) for n, shape in zip(outward, shapes, strict=True)), *layers,
        ),
        states=tuple(State(*row) for row in zip(inward, outward, shapes, strict=True)),
        condition=Condition("film", EMBEDDING, LAYERS), text_encoder=text_encoder, training=sources,
    )  # fmt: skip
