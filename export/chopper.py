"""The chopper's checkpoint as an ONNX graph: whole sequences (kind ``frames``), or a frame at a time (``frame-hop``).

The graphs hold the network's own weights under their own names, so that `models.chopper.own` has them back from a file
that ships: what a user trains further begins there.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.chopper.evaluation import Figure
from models.chopper.network import LIVE_DELAY, Block, Chopper, Size, gate
from models.chopper.training import load_network
from streaming.card import Metric, ModelCard, Source, State
from streaming.card import Tensor as CardTensor
from streaming.curves import PIECE_FRAMES, CurveNetwork, CurveStream
from streaming.features import MEL
from streaming.session import OnnxModel, read_card

from . import chopper_reference
from .cards import replace_metrics, write_card
from .graph import write_graph
from .parity import Parity, must_hold, near

RATES = (44100, 48000, 88200, 96000)
DESCRIPTION = {
    False: "Where onsets, beats, bars and phrases begin in any music, in files: a network of dilated convolutions.",
    True: "Where onsets, beats, bars and phrases begin in any music, live: dilated convolutions over the past.",
}


class WholeSequence(nn.Module):
    """Features ``(1, T, bands)`` to curves ``(1, T, curves)``."""

    def __init__(self, network: Chopper) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        curves: Tensor = torch.sigmoid(self.network(features))
        return curves


class OneFrame(nn.Module):
    """One frame through the live network, its past in one packed state ``(1, K)``.

    The state holds what every convolution still needs of its input, oldest first: two frames of features, then
    2 × dilation rows for each block. Rows move up by one each time, which is one copy and no bookkeeping.
    """

    def __init__(self, network: Chopper) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """``(1, 1, bands)`` and ``(1, K)`` to curves ``(1, 1, curves)`` and the next ``(1, K)``."""
        network, width = self.network, self.network.size.width
        parts = state.split(state_parts(network.size), dim=1)
        heard = torch.cat([parts[0].view(1, 2, MEL.bands), features], dim=1)  # (1, 3, bands)
        x = network.hear(heard)[..., 0]  # (1, width)
        kept = [parts[0][:, MEL.bands :], features[:, 0]]
        for block, rows, dilation in zip(network.blocks, parts[1:], network.size.dilations, strict=True):
            assert isinstance(block, Block)
            taps = torch.stack([rows[:, :width], rows[:, dilation * width : (dilation + 1) * width], x], dim=2)
            kept += [rows[:, width:], x]
            x = x + block.mix(gate(F.conv1d(taps, block.conv.conv.weight, block.conv.conv.bias)))[..., 0]
        curves = torch.sigmoid(network.heads(F.relu(x)[..., None])).transpose(1, 2)
        return curves, torch.cat(kept, dim=1)


def state_parts(size: Size) -> list[int]:
    """The lengths of what the packed state holds."""
    return [2 * MEL.bands, *(2 * d * size.width for d in size.dilations)]


def export_chopper(checkpoint: Path, folder: Path, name: str) -> list[Parity]:
    """Write ``folder/NAME.onnx`` with its card, proven, or nothing.

    Raises:
        ModelError: the checkpoint cannot be read, or the file does not do what the checkpoint does.
    """
    network, sources = load_network(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".export-") as aside:
        path = Path(aside) / f"{name}.onnx"
        export_graph(network, path)
        write_card(path, card_of(network.size, name, sources))
        rows = check_chopper(network, path)
        os.replace(path, folder / path.name)
    return rows


def card_of(size: Size, name: str, sources: tuple[Source, ...]) -> ModelCard:
    """The card, still without figures: `sidechop evaluate` adds them."""
    states = (State("state", "next_state", (1, sum(state_parts(size)))),) if size.live else ()
    return ModelCard(
        name=name,
        version="0.1.0",
        task="chops",
        kind="frame-hop" if size.live else "frames",
        description=DESCRIPTION[size.live],
        licence="Apache-2.0",
        sample_rates=RATES,
        channels=1,
        hop_samples=MEL.hop_samples,
        latency_samples=MEL.delay_at(MEL.rate) + LIVE_DELAY * MEL.hop_samples if size.live else 0,
        stems=(),
        inputs=(CardTensor("features", (1, 1, MEL.bands)), *(CardTensor(s.input, s.shape) for s in states)),
        outputs=(CardTensor("curves", (1, 1, len(size.curves))), *(CardTensor(s.output, s.shape) for s in states)),
        states=states,
        features=MEL,
        curves=size.curves,
        context_frames=LIVE_DELAY if size.live else size.radius,
        training=sources,
    )


def add_figures(
    model: Path, figures: Sequence[Figure], corpus: str, split: str, options: str, baseline: str
) -> ModelCard:
    """Put the figures of an evaluation into the card, in place of those of the same command."""
    card = read_card(model)
    command = f"sidechop evaluate chopper {card.name} {corpus} --split {split}{options}"
    fresh = [
        Metric(
            f.name,
            f.value,
            f.unit,
            f"{corpus}, {f.songs} {split} songs",
            command,
            f.baseline,
            None if f.baseline is None else baseline,
        )
        for f in figures
    ]
    return replace_metrics(model, card, command, fresh)


def export_graph(network: Chopper, target: Path) -> None:
    """Write the graph, without a card."""
    size = network.size
    frames = torch.rand(1, 1 if size.live else 50, MEL.bands)
    if size.live:
        state = torch.zeros(1, sum(state_parts(size)))
        write_graph(OneFrame(network), (frames, state), ("features", "state"), ("curves", "next_state"), target)
    else:
        write_graph(WholeSequence(network), (frames,), ("features",), ("curves",), target, {"features": {1: "frames"}})


def check_chopper(network: Chopper, path: Path, seed: int = 0) -> list[Parity]:
    """Hold every way through the network against `chopper_reference`, which shares no code with any.

    Raises:
        ModelError: when any is out of its limit.
    """
    size, rng = network.size, np.random.default_rng(seed)
    count = 2 * size.radius + 500 if size.live else PIECE_FRAMES + size.radius + 700  # a seam, and not at the end
    frames = np.maximum(0, rng.normal(1, 2, (count, MEL.bands))).astype(np.float32)
    frames[300:400] = 0
    weights = {n: p.detach().numpy() for n, p in network.state_dict().items()}
    truth = chopper_reference.curves(weights, frames, size.live)
    with torch.no_grad():
        rows = [near("torch, whole sequence", network(torch.from_numpy(frames)[None])[0].sigmoid().numpy(), truth)]
    model = OnnxModel.open(path)
    if size.live:
        stream = CurveStream(model)
        rows.append(near("onnxruntime, frame by frame", np.stack([stream.push(f).copy() for f in frames]), truth))
    else:
        rows.append(near("onnxruntime, whole sequence", model.run_frames(frames), truth))
        rows.append(near(f"onnxruntime, pieces of {PIECE_FRAMES} frames", CurveNetwork(model).run(frames), truth))
    must_hold(rows)
    return rows
