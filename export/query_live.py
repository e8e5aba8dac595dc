"""query-live as an ONNX graph that takes one hop: kind ``stft-hop``, with the film as an input.

One hop is one listener's and the next is the other's: each a graph of its own, and an ``If`` of the whole runs one of
them.

The BatchNorms are folded into the convolutions before them and the GRU cell is plain products, as in `separator`. The
graph remembers what went into each convolution at the two looks before, and the GRUs' outputs. `SPREAD` sequences of
looks take turns, and each has states of its own. So has what a context remembers of the stream. The levels of the
bands of the last hops are a state of them all. (One state for each thing: taken out of one array and put back, they
cost a tenth of the hop.)

The small network from embedding to film is carried along as constants, which the engine evaluates itself, once a query.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import Tensor, nn

from models.query.context import Memory
from models.query.network import (
    EMBEDDING,
    KERNEL,
    LAG,
    LIVE_BANDS,
    ROUND,
    SPREAD,
    WINDOWS,
    BandConv,
    BandQuery,
    Down,
    DualPath,
    LiveQuery,
    RecurrentPath,
    Shape,
    UNet,
    Up,
    described_after,
    measured,
    power_of,
)
from models.separator.network import CHANNELS
from streaming.card import Condition, ModelCard, Source, State
from streaming.card import Tensor as CardTensor

from .graph import take_turns, write_graph
from .separator import affine, gru_cell, product

DESCRIPTION = (
    "What you describe, stereo, live: causal mask networks, convolutional and recurrent, over low-latency frames, that "
    "compare what they hear with a sentence and with all else that they know. They know the sounds that they learned "
    "from and what resembles them; of anything else they may give silence, or the wrong thing."
)
LAYERS = ("condition_1", "condition_1_bias", "condition_2", "condition_2_bias")
MID_SIDE = torch.tensor([[0.5, 0.5], [0.5, -0.5]])
"""Of left and right."""
AT_ONCE = 4
"""Queries that a hop answers: two, and what each is not. They cost two small products each."""


class Past:
    """What is remembered of the looks before, read part by part; what is kept of this one is written in that order."""

    def __init__(self, parts: Sequence[Tensor]) -> None:
        self._parts = iter(parts)
        self.kept: list[Tensor] = []

    def next(self) -> Tensor:
        return next(self._parts)

    def keep(self, now: Tensor) -> None:
        self.kept.append(now)

    def with_now(self, now: Tensor) -> Tensor:
        """``(1, C, 1, bands)`` after the two looks before it, ``(1, KERNEL * C, 1, bands)``."""
        looks = torch.cat([self.next(), now], dim=1)
        self.keep(looks[:, now.shape[1] :])
        return looks


class LookConv(nn.Module):
    """A causal `BandConv` at one hop, its norm folded in: ``(1, C, 1, bands)``. Looks are channels to it, for what
    follows in memory is cheap to put together and to take apart."""

    def __init__(self, trained: BandConv) -> None:
        super().__init__()
        gain, bias = affine(trained.norm)
        weight = (trained.conv.weight * gain.view(-1, 1, 1, 1)).transpose(1, 2)  # (C', looks, C, 3)
        self.weight, self.bias = nn.Parameter(weight.flatten(1, 2)[:, :, None]), nn.Parameter(bias)
        self.stride = trained.conv.stride

    def forward(self, x: Tensor, past: Past) -> Tensor:
        return F.conv2d(past.with_now(x), self.weight, self.bias, self.stride, (0, 1))


class LookDown(nn.Module):
    """A `Down` at one hop."""

    def __init__(self, trained: nn.Module) -> None:
        super().__init__()
        assert isinstance(trained, Down)
        self.first, self.second, self.around = LookConv(trained.first), LookConv(trained.second), trained.around

    def forward(self, x: Tensor, past: Past) -> Tensor:
        return F.relu(self.around(x) + self.second(F.relu(self.first(x, past)), past))


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

    def forward(self, x: Tensor, across: Tensor, past: Past) -> Tensor:
        risen = F.interpolate(F.conv2d(x, self.below), scale_factor=(1.0, 2.0))  # each band twice
        risen = F.relu(risen + F.conv2d(across, self.across, self.bias))
        return risen + F.relu(self.conv(risen, past))


class ListenerStep(nn.Module):
    """A listener at one hop."""

    shift: Tensor
    scale: Tensor

    def __init__(self, trained: UNet | DualPath) -> None:
        super().__init__()
        self.shape = trained.shape
        scale, shift = affine(trained.enter)
        self.register_buffer("scale", scale.view(1, -1, 1, self.shape.bands))
        self.register_buffer("shift", shift.view(1, -1, 1, self.shape.bands))
        self.first = LookConv(trained.first)

    def remembered(self) -> Iterator[tuple[int, ...]]:
        """Shapes of what is, in the order in which it is read."""
        raise NotImplementedError

    def forward(self, seen: Tensor, *remembered: Tensor) -> tuple[Tensor, ...]:
        """``(1, DESCRIBED, 1, bands)`` and all that is remembered to what is heard ``(bands, width)`` and that."""
        past = Past(remembered)
        return self.heard(seen, past), *past.kept

    def heard(self, seen: Tensor, past: Past) -> Tensor:
        """What is heard alone; the rest goes from one past to the next."""
        raise NotImplementedError

    def entered(self, seen: Tensor, past: Past) -> Tensor:
        """``(1, DESCRIBED, 1, bands)`` to what leaves the first convolution ``(1, C, 1, bands)``."""
        return F.relu(self.first(seen * self.scale + self.shift, past))


def looks(shape: Shape, width: int, level: int = 0) -> tuple[int, ...]:
    """Shape of the two looks that a convolution takes beside this one."""
    return (1, width * (KERNEL - 1), 1, shape.bands >> level)


class UNetStep(ListenerStep):
    """A `UNet` at one hop."""

    def __init__(self, trained: UNet) -> None:
        super().__init__(trained)
        self.down = nn.ModuleList(LookDown(down) for down in trained.down)
        gru = dict(trained.memory.named_parameters())
        self.into, self.out = (product(layer.weight, layer.bias) for layer in (trained.into, trained.out))
        self.inward = product(gru["weight_ih_l0"], gru["bias_ih_l0"])
        self.back = product(gru["weight_hh_l0"], gru["bias_hh_l0"])
        self.up = nn.ModuleList(LookUp(up) for up in trained.up)
        self.leave = trained.leave

    def remembered(self) -> Iterator[tuple[int, ...]]:
        """What each convolution takes, and before the way up the GRU's output."""
        channels = self.shape.size.channels
        yield looks(self.shape, self.shape.described)
        for level, (below, above) in enumerate(pairwise(channels)):
            yield looks(self.shape, below, level)
            yield looks(self.shape, above, level + 1)
        yield (1, self.shape.size.memory)
        yield from (looks(self.shape, width, level) for level, width in reversed(list(enumerate(channels[:-1]))))

    def heard(self, seen: Tensor, past: Past) -> Tensor:
        x = self.entered(seen, past)
        across = [x]
        for down in self.down:
            across.append(x := down(x, past))
        x = across.pop()
        held = past.next()
        held = gru_cell(self.inward(F.relu(self.into(x.flatten(1)))), self.back(held), held)
        past.keep(held)
        x = F.relu(x + self.out(held).view(x.shape))
        for up in self.up:
            x = up(x, across.pop(), past)
        # onnxruntime would fold a transpose that is a result into the product behind it, and give no result
        return F.relu(self.leave(x).view(self.shape.size.width, self.shape.bands).t())


def without_norm(trained: RecurrentPath) -> nn.GRU:
    """Its GRU, the norm before it folded in."""
    gain, shift = affine(trained.norm)
    gru = deepcopy(trained.gru)
    with torch.no_grad():
        for name, weight in gru.named_parameters():
            if name.startswith("weight_ih"):
                gru.get_parameter(name.replace("weight", "bias")).add_(weight @ shift)
                weight.mul_(gain)
    return gru


class Across(nn.Module):
    """A `RecurrentPath` over the bands of one hop ``(bands, C)``."""

    def __init__(self, trained: nn.Module) -> None:
        super().__init__()
        assert isinstance(trained, RecurrentPath)
        self.gru, self.out = without_norm(trained), trained.out

    def forward(self, x: Tensor) -> Tensor:
        told: Tensor = self.out(self.gru(x[None])[0][0])
        return x + told


class Along(nn.Module):
    """A `RecurrentPath` from hop to hop at one of them ``(bands, C)``."""

    def __init__(self, trained: nn.Module) -> None:
        super().__init__()
        assert isinstance(trained, RecurrentPath)
        gru = dict(without_norm(trained).named_parameters())
        self.inward = product(gru["weight_ih_l0"], gru["bias_ih_l0"])
        self.back = product(gru["weight_hh_l0"], gru["bias_hh_l0"])
        self.out = trained.out

    def forward(self, x: Tensor, past: Past) -> Tensor:
        held = past.next()
        held = gru_cell(self.inward(x), self.back(held), held)
        past.keep(held)
        told: Tensor = self.out(held)
        return x + told


class DualPathStep(ListenerStep):
    """A `DualPath` at one hop."""

    def __init__(self, trained: DualPath) -> None:
        super().__init__(trained)
        self.across = nn.ModuleList(Across(path) for path in trained.across)
        self.along = nn.ModuleList(Along(path) for path in trained.along)
        self.leave = trained.leave

    def remembered(self) -> Iterator[tuple[int, ...]]:
        """What the convolution takes, and for each layer the memories of all bands."""
        size, bands = self.shape.size, self.shape.bands
        yield looks(self.shape, self.shape.described)
        yield from [(bands, size.band_memory)] * size.layers

    def heard(self, seen: Tensor, past: Past) -> Tensor:
        x = self.entered(seen, past).view(self.shape.size.path, self.shape.bands).t()
        for across, along in zip(self.across, self.along, strict=True):
            x = along(across(x), past)
        return F.relu(self.leave(x))


def step_of(listener: nn.Module) -> ListenerStep:
    """Any of them at one hop."""
    if isinstance(listener, UNet):
        return UNetStep(listener)
    assert isinstance(listener, DualPath)
    return DualPathStep(listener)


class LiveStep(nn.Module):
    """One frame through the trained network at one of the hops of a round: a listener, and what the other heard."""

    pooling: Tensor
    of_bin: Tensor
    of_part: Tensor

    def __init__(self, network: LiveQuery, hop: int) -> None:
        super().__init__()
        self.film, self.width, self.context = network.shape.film, network.size.width, network.context
        self.alike, self.weights = network.alike, network.weights(hop)
        self.turn = hop % len(network.listeners)
        self.listener = step_of(network.listeners[self.turn])
        self.names = [state.input for state in states_of(network)]
        self.register_buffer("pooling", LIVE_BANDS.pooling())
        self.register_buffer("of_bin", torch.tensor(LIVE_BANDS.of_bin()))
        self.register_buffer("of_part", self.of_bin.repeat_interleave(2))

    def forward(self, spectrum: Tensor, film: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """``(1, 2, bins, 2)``, ``(Q, films)`` and all states to ``(1, Q, 2, bins, 2)`` and the next of these."""
        past = dict(zip(self.names, states, strict=True))
        now = dict(past)
        mid_side = (MID_SIDE @ spectrum.view(CHANNELS, -1)).view(1, CHANNELS, 1, -1, 2)
        frame = measured(mid_side.square().sum(-1), self.pooling, self.of_bin)  # (1, 1, MEASURED, bands)
        both = power_of(frame)[:, 0]
        now[LEVELS] = torch.cat([past[LEVELS][:, 1:], both[:, None]], dim=1)
        seen = described_after(past[LEVELS][:, :1], frame).transpose(1, 2)
        own = [name for name in self.names if name.startswith(f"{LOOKS}{self.turn}_")]
        now[f"{HEARD}{self.turn}"], *after = self.listener(seen, *(past[name] for name in own))
        now |= dict(zip(own, after, strict=True))
        heard = [now[f"{HEARD}{i}"] for i in range(len(self.weights))]
        said = self._said(heard, film)
        if self.context is not None:
            known, alike = self._said(heard, self.context.known), self.alike(film, self.context.known)
            everything, memory = torch.cat([said, known], dim=1), Memory(*(past[name] for name in Memory._fields))
            facts, memory = self.context.remember(everything, both, film, memory, alike)
            said = self.context.change(facts).of(said, known)
            now |= memory._asdict()
        masks = torch.sigmoid(said).index_select(0, self.of_part).t()  # rows are copied as one
        stems = spectrum[:, None] * masks.view(1, AT_ONCE, 1, -1, 2)
        kept = (now[name].clone() if now[name] is past[name] else now[name] for name in self.names)
        return stems, *kept

    def _said(self, heard: Sequence[Tensor], film: Tensor) -> Tensor:
        """What listeners say together ``(bands, Q)``, before the sigmoid."""
        said: list[Tensor] = []
        for x, counts, told in zip(heard, self.weights, film.split(self.film, dim=1), strict=True):
            weight, offset = told.split([self.width, x.shape[0]], dim=1)
            said.append(x @ (weight * (counts * self.width**-0.5)).t() + (offset * counts).t())
        return sum(said[1:], said[0])


LEVELS, HEARD, LOOKS = "levels", "heard_", "looks_"
"""States of the levels of bands, of what each listener heard last, and of its looks."""


def states_of(network: LiveQuery) -> tuple[State, ...]:
    """All that is remembered from hop to hop, but for whose turn it is."""

    def state(name: str, shape: Sequence[int], turns: int = 1) -> State:
        return State(name, f"next_{name}", tuple(shape), turns)

    bands, found = LIVE_BANDS.count, [state(LEVELS, (1, LAG, LIVE_BANDS.count))]
    for i, listener in enumerate(network.each()):
        found.append(state(f"{HEARD}{i}", (bands, network.size.width)))
        shapes = step_of(listener).remembered()
        found += [state(f"{LOOKS}{i}_{j}", shape, SPREAD) for j, shape in enumerate(shapes)]
    if network.context is not None:
        memory = network.context.nothing(AT_ONCE)._asdict()
        found += [state(name, zeros.shape, SPREAD) for name, zeros in memory.items()]
    return tuple(found)


def of_memory(network: LiveQuery) -> list[str]:
    """Names of the weights in and around the GRUs of U-Nets: a third of all, each met once a round."""
    hops = [hop for hop in range(ROUND) if isinstance(network.listeners[hop % len(network.listeners)], UNet)]
    return [f"{hop}.listener.{layer}.weight" for hop in hops for layer in ("into", "inward", "back", "out")]


def export_graph(network: LiveQuery, target: Path) -> None:
    """Write the fp32 graph with the condition's constants, without a card."""
    states = states_of(network)
    film = torch.randn(AT_ONCE, network.films) * 0.1
    example = (torch.randn(1, CHANNELS, WINDOWS.bins, 2), film, *(torch.zeros(state.shape) for state in states))
    ins, outs = [state.input for state in states], [state.output for state in states]
    with TemporaryDirectory(dir=target.parent) as aside:
        hops = [Path(aside) / f"{hop}.onnx" for hop in range(ROUND)]
        for hop, file in enumerate(hops):
            write_graph(LiveStep(network, hop).eval(), example, ("spectrum", "film", *ins), ("stems", *outs), file)
        take_turns(hops[0], hops[1], TURN.input, TURN.output, target)
    add_constants(target, dict(zip(LAYERS, condition_layers(network), strict=True)))


TURN = State("turn", "next_turn", (1,))
"""0 at the first hop of a round, 1 at the second."""


def condition_layers(network: BandQuery) -> Sequence[Tensor]:
    """Weight and bias of each layer, those of all listeners as one, the scale of the embedding folded in."""
    first, second = zip(*((each.condition.first, each.condition.second) for each in network.each()), strict=True)
    return (
        torch.cat([layer.weight.detach().t() * EMBEDDING**0.5 for layer in first], dim=1),
        torch.cat([layer.bias for layer in first]),
        torch.block_diag(*(layer.weight.detach().t() for layer in second)),
        torch.cat([layer.bias for layer in second]),
    )


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
    bins, states = WINDOWS.bins, (TURN, *states_of(network))
    layers = [CardTensor(k, tuple(v.shape)) for k, v in zip(LAYERS, condition_layers(network), strict=True)]
    return ModelCard(
        name=name, version="0.11.0", task="query", kind="stft-hop", description=DESCRIPTION, licence="Apache-2.0",
        sample_rates=(44100, 48000), channels=CHANNELS, hop_samples=WINDOWS.hop_samples,
        latency_samples=WINDOWS.latency_samples, analysis_samples=WINDOWS.analysis_samples,
        stems=("query",), residual="rest",
        inputs=(
            CardTensor("spectrum", (1, CHANNELS, bins, 2)), CardTensor("film", (AT_ONCE, network.films)),
            *(CardTensor(state.input, state.shape) for state in states),
        ),
        outputs=(
            CardTensor("stems", (1, AT_ONCE, CHANNELS, bins, 2)),
            *(CardTensor(state.output, state.shape) for state in states), *layers,
        ),
        states=states,
        condition=Condition("film", EMBEDDING, LAYERS), text_encoder=text_encoder, training=sources,
    )  # fmt: skip
