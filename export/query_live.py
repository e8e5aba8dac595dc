"""query-live as an ONNX graph that takes one hop: kind ``stft-hop``, with the film as an input.

::

    spectrum ─ Front ─┬─ levels ─ a listener ─┐            If: one hop one of them, the next the other
                      │             ...       ├─ said ─ Back ─ stems
                      └─ parts of the film ───┘

The BatchNorms are folded into the convolutions before them and the GRU cell is plain products, as in `separator`. The
graph remembers what went into each convolution at the two looks before, and the GRUs' outputs. `SPREAD` sequences of
looks take turns, and each has states of its own. So has what a context remembers of the stream. The levels of the
bands some hops ago are a state of them all, and so is what was heard in the hop before. (One state for each thing:
taken out of one array and put back, they cost a tenth of the hop.)

The small network from embedding to film is carried along as constants, which the engine evaluates itself, once a query.
Its last layer arranges the film as the graph reads it (`arranged`).
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import Tensor, nn

from models.query.network import (
    DESCRIBED,
    EMBEDDING,
    EVEN,
    FLOOR,
    KERNEL,
    LAG,
    LIVE_BANDS,
    QUIET,
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
)
from models.separator.network import CHANNELS
from streaming.card import Condition, ModelCard, Source, State
from streaming.card import Tensor as CardTensor

from .graph import take_turns, write_graph
from .quantise import quantise
from .query_context import ContextStep
from .recurrence import OnnxGru
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
        """``(1, C, 1, bands)`` after the looks before it, ``(1, KERNEL * C, 1, bands)``."""
        self.keep(now)
        return torch.cat([*(self.next() for _ in range(KERNEL - 1)), now], dim=1)


class Kept(NamedTuple):
    """Of something that a listener keeps at a look: its shape, and in how many looks after it is read."""

    shape: tuple[int, ...]
    looks: int = 1


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

    def kept(self) -> Iterator[Kept]:
        """All that is, in the order in which it is read, the oldest first, and written."""
        raise NotImplementedError

    def forward(self, seen: Tensor, *remembered: Tensor) -> tuple[Tensor, ...]:
        """``(DESCRIBED, bands)`` and all that is remembered to what is heard ``(bands, width)`` and that."""
        past = Past(remembered)
        return self.heard(seen.view(1, -1, 1, self.shape.bands), past), *past.kept

    def heard(self, seen: Tensor, past: Past) -> Tensor:
        """What is heard alone; the rest goes from one past to the next."""
        raise NotImplementedError

    def entered(self, seen: Tensor, past: Past) -> Tensor:
        """``(1, DESCRIBED, 1, bands)`` to what leaves the first convolution ``(1, C, 1, bands)``."""
        return F.relu(self.first(seen * self.scale + self.shift, past))


def looks(shape: Shape, width: int, level: int = 0) -> Kept:
    """What a convolution takes."""
    return Kept((1, width, 1, shape.bands >> level), KERNEL - 1)


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
        assert trained.leave.bias is not None
        self.leave = product(trained.leave.weight[:, :, 0, 0], trained.leave.bias)

    def kept(self) -> Iterator[Kept]:
        """What each convolution takes, and before the way up the GRU's output."""
        channels = self.shape.size.channels
        yield looks(self.shape, self.shape.described)
        for level, (below, above) in enumerate(pairwise(channels)):
            yield looks(self.shape, below, level)
            yield looks(self.shape, above, level + 1)
        yield Kept((1, self.shape.size.memory))
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
        return F.relu(self.leave(x.view(-1, self.shape.bands).t()))


def without_norm(trained: RecurrentPath, shift: Tensor) -> nn.GRU:
    """Its GRU, the norm before it folded in, for what comes without ``shift``."""
    gain, offset = affine(trained.norm)
    gru = deepcopy(trained.gru)
    with torch.no_grad():
        for name, weight in gru.named_parameters():
            if name.startswith("weight_ih"):
                gru.get_parameter(name.replace("weight", "bias")).add_(weight @ (gain * shift + offset))
                weight.mul_(gain)
    return gru


class PathStep(nn.Module):
    """A `RecurrentPath` at one hop ``(bands, C)``. Biases of what is added are left to whoever hears it: ``shift`` is
    theirs of all before, and `shift` with its own."""

    def __init__(self, trained: RecurrentPath, shift: Tensor) -> None:
        super().__init__()

        self.out = nn.Parameter(trained.out.weight.detach().t().contiguous())
        self.shift = shift + trained.out.bias.detach()


class Across(PathStep):
    """Over the bands."""

    def __init__(self, trained: RecurrentPath, shift: Tensor) -> None:
        super().__init__(trained, shift)
        self.over = OnnxGru(without_norm(trained, shift))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(x, self.over.steps(x[:, None]).flatten(1), self.out)


class Along(PathStep):
    """From hop to hop. Reset and update of its GRU are one product."""

    def __init__(self, trained: RecurrentPath, shift: Tensor) -> None:
        super().__init__(trained, shift)
        gru = {name: value.detach() for name, value in without_norm(trained, shift).named_parameters()}
        gates = 2 * gru["weight_hh_l0"].shape[1]
        self.inward, self.back = (
            product(gru[f"weight_{name}_l0"][gates:], gru[f"bias_{name}_l0"][gates:]) for name in ("ih", "hh")
        )
        both = torch.cat([gru["weight_ih_l0"], gru["weight_hh_l0"]], dim=1)
        self.gates = product(both[:gates], (gru["bias_ih_l0"] + gru["bias_hh_l0"])[:gates])

    def forward(self, x: Tensor, past: Past) -> Tensor:
        held = past.next()
        reset, update = torch.sigmoid(self.gates(torch.cat([x, held], dim=1))).chunk(2, dim=1)
        new = torch.tanh(self.inward(x) + reset * self.back(held))
        held = new + update * (held - new)
        past.keep(held)
        return torch.addmm(x, held, self.out)


class DualPathStep(ListenerStep):
    """A `DualPath` at one hop."""

    def __init__(self, trained: DualPath) -> None:
        super().__init__(trained)
        shift = torch.zeros(self.shape.size.path)
        self.across, self.along = nn.ModuleList(), nn.ModuleList()
        for across, along in zip(trained.across, trained.along, strict=True):
            assert isinstance(across, RecurrentPath)
            assert isinstance(along, RecurrentPath)
            self.across.append(over := Across(across, shift))
            self.along.append(then := Along(along, over.shift))
            shift = then.shift
        self.leave = product(trained.leave.weight, trained.leave.bias + trained.leave.weight @ shift)

    def kept(self) -> Iterator[Kept]:
        """What the convolution takes, and for each layer the memories of all bands."""
        size, bands = self.shape.size, self.shape.bands
        yield looks(self.shape, self.shape.described)
        yield from [Kept((bands, size.band_memory))] * size.layers

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


class Front(nn.Module):
    """What every hop begins with: what all listeners see of a frame, and the parts of the film."""

    pooling: Tensor
    means: Tensor
    of_bin: Tensor
    scale: Tensor
    floor: Tensor
    describing: Tensor

    def __init__(self, network: LiveQuery) -> None:
        super().__init__()
        self.parts = parts_of(network)
        pooling = LIVE_BANDS.pooling()
        bins = pooling.sum(0)
        one = torch.ones_like(bins)
        for name, value in {
            "pooling": pooling,
            "means": pooling / bins,
            "of_bin": torch.tensor(LIVE_BANDS.of_bin()),
            # of the power of a band, three times, and once of that some hops ago: level, level of the mean with the
            # least that a bin counts for, that least, and level then
            "scale": torch.stack([one, (1 + EVEN) / bins, EVEN / bins, one]),
            "floor": torch.tensor([[FLOOR], [EVEN * FLOOR], [EVEN * FLOOR], [FLOOR]]),
            # of logarithms of these, of the mean square, the mean logarithm of bins, and the side's share
            "describing": torch.tensor([
                [1.0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1], [0, -1, 0, 0, 0, 1, 0],
                [0, -2, 0, 0, 1, 0, 0],
            ]),
        }.items():  # fmt: skip
            self.register_buffer(name, value)

    def forward(self, spectrum: Tensor, film: Tensor, levels: Tensor) -> tuple[Tensor, ...]:
        """``(1, 2, bins, 2)``, ``(Q, films)`` and the power of bands some hops ago ``(1, bands)`` to all of
        `names`: ``(DESCRIBED, bands)``, the power of bands now, its root, and the film in parts."""
        # as a convolution it needs no other shape: to change that of an input is to copy it
        power = sum_of_squares(F.conv2d(spectrum, MID_SIDE[:, :, None, None]))
        mid, side = (power @ self.pooling)[0].split(1)
        both = mid + side
        of_bands = torch.cat([both, both, both, levels]) * self.scale + self.floor
        there = power.sum(1) + of_bands.split(1)[2].index_select(1, self.of_bin)
        logarithm, square = (torch.cat([there.log(), there * there]) @ self.means).split(1)
        seen = self.describing @ torch.cat([of_bands.log(), square.log(), logarithm, side / (both + QUIET)])
        return seen, both, both.sqrt(), *film.split(self.parts, dim=1)

    @staticmethod
    def names(network: LiveQuery) -> list[str]:
        """Of what it gives."""
        return ["seen", LEVELS.output, "loudness", *told_names(network)]


def sum_of_squares(x: Tensor) -> Tensor:
    """Over the last axis, as the one node of ONNX that it is."""
    axes = torch.tensor([x.ndim - 1])
    total: Tensor = torch.onnx.ops.symbolic(
        "ReduceSumSquare", (x, axes), {"keepdims": 0}, dtype=x.dtype, shape=x.shape[:-1]
    )
    return total


def told_names(network: LiveQuery) -> list[str]:
    """Of the parts of a film: weights of all listeners in one, and offsets for when each of them hears."""
    return ["directions", *(f"offsets_{i}" for i in range(len(network.listeners)))]


def parts_of(network: LiveQuery) -> list[int]:
    """How many numbers each of them has."""
    listeners = len(network.listeners)
    return [network.size.width * listeners, *[LIVE_BANDS.count] * listeners]


class HopStep(nn.Module):
    """One of the hops of a round: a listener hears, and what it and the other say is set side by side."""

    offsets: Tensor

    def __init__(self, network: LiveQuery, hop: int) -> None:
        super().__init__()
        count = len(network.listeners)
        self.turn, counts = hop % count, network.weights(hop)
        self.order = [self.turn, *(i for i in range(count) if i != self.turn)]
        self.counts = [counts[i] for i in self.order]
        self.listener = step_of(network.listeners[self.turn])
        self.knows = network.context is not None
        if network.context is not None:
            directions, *offsets = arranged(network, network.context.known).split(parts_of(network), dim=1)
            weights = directions.chunk(count, dim=1)
            for i, number in enumerate(self.order):
                self.register_buffer(f"known_{i}", (counts[number] * weights[number]).t().contiguous())
            self.register_buffer("offsets", offsets[self.turn].t().contiguous())

    def forward(self, seen: Tensor, heard: Tensor, *told_and_looks: Tensor) -> tuple[Tensor, ...]:
        """What is seen, what was heard the hop before ``(bands, width)``, the film in parts, and its looks, to what is
        said of queries ``(bands, Q)``, and of classes if there is a context, what is heard, and what it keeps."""
        count = len(self.order)
        directions, *offsets = told_and_looks[: count + 1]
        weights = directions.chunk(count, dim=1)
        fresh, *kept = self.listener(seen, *told_and_looks[count + 1 :])
        of_all = [fresh, heard][:count]
        asked = offsets[self.turn].t()
        for x, number, share in zip(of_all, self.order, self.counts, strict=True):
            asked = torch.addmm(asked, x, weights[number].t(), alpha=share)
        said = [asked]
        if self.knows:
            known = self.offsets
            for i, x in enumerate(of_all):
                known = torch.addmm(known, x, self.get_buffer(f"known_{i}"))
            said.append(known)
        return *said, fresh, *kept


class Back(nn.Module):
    """What every hop ends with: what is said in its context, as masks."""

    of_part: Tensor
    classes: Tensor

    def __init__(self, network: LiveQuery) -> None:
        super().__init__()
        self.context = context_of(network)
        if network.context is not None:
            directions, *_ = arranged(network, network.context.known).split(parts_of(network), dim=1)
            self.register_buffer("classes", F.normalize(directions, dim=1).t().contiguous())
        self.register_buffer("of_part", torch.tensor(LIVE_BANDS.of_bin()).repeat_interleave(2))

    def forward(self, spectrum: Tensor, asked: Tensor, *of_context: Tensor) -> tuple[Tensor, ...]:
        """``(1, 2, bins, 2)``, what is said ``(bands, Q)``, and if there is a context what is said of classes, the
        loudness of bands, the weights of films, and what is remembered, to ``(1, Q, 2, bins, 2)`` and that."""
        after: tuple[Tensor, ...] = ()
        if self.context is not None:
            known, loudness, directions, *memory = of_context
            length = directions.norm(dim=1, keepdim=True)
            alike = directions @ self.classes / length.clamp_min(1e-12)
            asked, *after = self.context(asked, known, loudness, alike, length, *memory)
        masks = torch.sigmoid(asked).index_select(0, self.of_part).t()  # rows are copied as one
        stems = spectrum * masks.view(1, AT_ONCE, 1, -1, 2)
        return stems, *after


def context_of(network: LiveQuery) -> ContextStep | None:
    return None if network.context is None else ContextStep(network.context, AT_ONCE)


def arranged(network: LiveQuery, film: Tensor) -> Tensor:
    """Films ``(n, films)`` as the graph reads them, linear in what they were: weights of all listeners, then for each
    the offsets of all as they count when it hears."""
    width, bands = network.size.width, LIVE_BANDS.count
    weights, offsets = zip(*(words.split([width, bands], dim=1) for words in film.split(width + bands, 1)), strict=True)
    counts = torch.tensor([network.weights(hop) for hop in range(len(offsets))])
    of_hops = (counts[..., None, None] * torch.stack(offsets)).sum(1)
    return torch.cat([*(weight * width**-0.5 for weight in weights), *of_hops], dim=1)


LEVELS = State("levels", "next_levels", (1, LIVE_BANDS.count), LAG)
HEARD, LOOKS = "heard", "looks_"
"""States of what was heard last, and of a listener's looks."""


def looks_of(network: LiveQuery, number: int) -> list[State]:
    """What one of the listeners keeps, each for so many looks."""
    of = number + 1 if len(network.listeners) > 1 else 0
    return [
        State(f"{LOOKS}{number}_{i}_{ago}", f"next_{LOOKS}{number}_{i}", kept.shape, SPREAD * ago, of)
        for i, kept in enumerate(step_of(network.each()[number]).kept())
        for ago in range(kept.looks, 0, -1)
    ]


def states_of(network: LiveQuery) -> tuple[State, ...]:
    """All that is remembered from hop to hop."""
    heard = State(HEARD, f"next_{HEARD}", (LIVE_BANDS.count, network.size.width))
    looks = [state for number in range(len(network.listeners)) for state in looks_of(network, number)]
    context = context_of(network)
    memory = {} if context is None else dict(context.remembered())
    return LEVELS, heard, *looks, *(State(k, f"next_{k}", shape, SPREAD) for k, shape in memory.items())


class Parts(NamedTuple):
    """Files of graphs that `put_together` makes one of."""

    front: Path
    hops: list[Path]
    back: Path


def write_parts(network: LiveQuery, folder: Path) -> Parts:
    """Write them in fp32."""
    bands, context = LIVE_BANDS.count, context_of(network)
    memory = {} if context is None else dict(context.remembered())
    said = {"asked": (bands, AT_ONCE)} | ({"known": (bands, network.size.known)} if memory else {})
    shapes = {
        "spectrum": (1, CHANNELS, WINDOWS.bins, 2), "film": (AT_ONCE, network.films), "seen": (DESCRIBED, bands),
        "loudness": (1, bands), **said,
        **{name: (AT_ONCE, part) for name, part in zip(told_names(network), parts_of(network), strict=True)},
        **{state.input: state.shape for state in states_of(network)},
    }  # fmt: skip

    def write(part: nn.Module, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> Path:
        file, example = folder / f"{name}.onnx", tuple(torch.randn(shapes[name]) * 0.1 for name in inputs)
        write_graph(part.eval(), example, inputs, outputs, file)
        return file

    front = write(Front(network), "front", ("spectrum", "film", LEVELS.input), Front.names(network))
    hops = []
    for hop in range(ROUND):
        looks = looks_of(network, hop % len(network.listeners))
        ins = ["seen", HEARD, *told_names(network), *(state.input for state in looks)]
        outs = [*said, f"next_{HEARD}", *dict.fromkeys(state.output for state in looks)]
        hops.append(write(HopStep(network, hop), str(hop), ins, outs))
    ins = ["spectrum", *said, *(("loudness", "directions") if memory else ()), *memory]
    back = write(Back(network), "back", ins, ["stems", *(f"next_{name}" for name in memory)])
    return Parts(front, hops, back)


def put_together(network: LiveQuery, parts: Parts, target: Path) -> None:
    """Write the graph with the condition's constants, without a card."""
    outputs = ["stems", *dict.fromkeys(state.output for state in states_of(network))]
    take_turns(parts.front, parts.hops, parts.back, outputs, TURN.name, target)
    layers = condition_layers(network)
    constants = [
        *layers[:2],
        *(arranged(network, layer.view(-1, network.films)).view_as(layer) for layer in layers[2:]),
    ]
    add_constants(target, dict(zip(LAYERS, constants, strict=True)))


def quantise_parts(network: LiveQuery, parts: Parts) -> None:
    """The weights in and around the GRUs of U-Nets, a third of all, each met once a round, to int8. In place."""
    for hop, file in enumerate(parts.hops):
        if isinstance(network.listeners[hop % len(network.listeners)], UNet):
            quantise(file, file, [f"listener.{layer}.weight" for layer in ("into", "inward", "back", "out")])


TURN = CardTensor("turn", (1,), turns=ROUND)
"""Of length 1 at the first hop of a round, 2 at the second."""


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
    bins, states = WINDOWS.bins, states_of(network)
    layers = [CardTensor(k, tuple(v.shape)) for k, v in zip(LAYERS, condition_layers(network), strict=True)]
    return ModelCard(
        name=name, version="0.11.1", task="query", kind="stft-hop", description=DESCRIPTION, licence="Apache-2.0",
        sample_rates=(44100, 48000), channels=CHANNELS, hop_samples=WINDOWS.hop_samples,
        latency_samples=WINDOWS.latency_samples, analysis_samples=WINDOWS.analysis_samples,
        stems=("query",), residual="rest",
        inputs=(
            CardTensor("spectrum", (1, CHANNELS, bins, 2)), CardTensor("film", (AT_ONCE, network.films)),
            *(CardTensor(state.input, state.shape) for state in states), TURN,
        ),
        outputs=(
            CardTensor("stems", (1, AT_ONCE, CHANNELS, bins, 2)),
            *(CardTensor(name, shape) for name, shape in {s.output: s.shape for s in states}.items()), *layers,
        ),
        states=states,
        condition=Condition("film", EMBEDDING, LAYERS), text_encoder=text_encoder, training=sources,
    )  # fmt: skip
