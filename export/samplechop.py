"""sampleChop's checkpoint as an ONNX graph of kind ``frames``, with all that happens to its frames inside.

It is held against the way its author wrote it down: a data point for every frame, cut out, standardised and classified
by itself, in float64 and plain numpy (`by_points`).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.chopper.samplechop import CONTEXT, WINDOW, Kind, SampleChop, SampleChopConv
from models.chopper.samplechop_training import load_network
from streaming.card import ModelCard, Source
from streaming.card import Tensor as CardTensor
from streaming.cqt import CQT
from streaming.curves import PIECE_FRAMES, CurveNetwork
from streaming.session import OnnxModel

from .cards import write_card
from .graph import write_graph
from .parity import Parity, must_hold, near

DESCRIPTION = {
    "mlp": "sampleChop (2017) as a baseline: one number a frame, 61 frames, an MLP for each curve.",
    "conv": "The convolutional sampleChop that was given up, as a baseline: 61 frames of a CQT.",
}
Array = NDArray[np.float64]


class Curves(nn.Module):
    """Features ``(1, T, 48)`` to curves ``(1, T, curves)``."""

    def __init__(self, network: SampleChop | SampleChopConv) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        curves: Tensor = torch.sigmoid(self.network(features))
        return curves


def export_samplechop(checkpoint: Path, folder: Path, name: str) -> list[Parity]:
    """Write ``folder/NAME.onnx`` with its card, proven, or nothing.

    Raises:
        ModelError: the checkpoint cannot be read, or the file does not do what the checkpoint does.
    """
    network, sources = load_network(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".export-") as aside:
        path = Path(aside) / f"{name}.onnx"
        export_graph(network, path)
        write_card(path, card_of(network, name, sources))
        rows = check_samplechop(network, path)
        os.replace(path, folder / path.name)
    return rows


def card_of(network: SampleChop | SampleChopConv, name: str, sources: tuple[Source, ...]) -> ModelCard:
    """The card, still without figures: `sidechop evaluate` adds them."""
    kind = network.kind
    return ModelCard(
        name=name,
        version="0.1.0",
        task="chops",
        kind="frames",
        description=DESCRIPTION[kind.network],
        licence="Apache-2.0",
        sample_rates=(CQT.rate,),
        channels=1,
        hop_samples=CQT.hop_samples,
        latency_samples=0,
        stems=(),
        inputs=(CardTensor("features", (1, 1, CQT.bands)),),
        outputs=(CardTensor("curves", (1, 1, len(kind.curves))),),
        features=CQT,
        curves=kind.curves,
        context_frames=network.context,
        training=sources,
    )


def export_graph(network: SampleChop | SampleChopConv, target: Path) -> None:
    """Write the graph, without a card."""
    frames = torch.rand(1, 50, CQT.bands)
    write_graph(Curves(network), (frames,), ("features",), ("curves",), target, {"features": {1: "frames"}})


def check_samplechop(network: SampleChop | SampleChopConv, path: Path, seed: int = 0) -> list[Parity]:
    """Hold every way through the network against `by_points`, at the ends, in silence, and round a seam.

    Raises:
        ModelError: when any is out of its limit.
    """
    rng = np.random.default_rng(seed)
    frames = np.abs(rng.normal(0, 1, (PIECE_FRAMES + network.context + 700, CQT.bands))).astype(np.float32)
    frames *= 1 + np.sin(np.arange(len(frames)) / 9)[:, None] ** 2
    frames[300:500] = 0
    at = np.concatenate([[0, 1, 29, 59, 100, 290, 305, 400, 520], PIECE_FRAMES + np.arange(-2, 3), [len(frames) - 1]])
    truth = by_points(network.kind, {n: p.detach().numpy() for n, p in network.named_parameters()}, frames, at)
    model = OnnxModel.open(path)
    with torch.no_grad():
        whole = network(torch.from_numpy(frames)[None])[0].sigmoid().numpy()
    rows = [
        near("torch, whole sequence", whole[at], truth),
        near("onnxruntime, whole sequence", model.run_frames(frames)[at], truth),
        near(f"onnxruntime, pieces of {PIECE_FRAMES} frames", CurveNetwork(model).run(frames)[at], truth),
    ]
    must_hold(rows)
    return rows


def by_points(
    kind: Kind, weights: Mapping[str, NDArray[np.float32]], frames: NDArray[np.float32], at: NDArray[np.int64]
) -> Array:
    """Curves at the frames ``at``, each from the data point round it; shares no code with the networks."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    ends = 3 * CONTEXT
    padded = np.pad(frames.astype(np.float64), ((ends, ends), (0, 0)))
    classify = _mlp if kind.network == "mlp" else _conv
    reach = CONTEXT if kind.network == "mlp" else 2 * CONTEXT
    likely = []
    for frame in at + ends:
        point = padded[frame - reach : frame + reach + 1]
        if kind.tonnetz:
            point = _with_tonnetz(padded[frame - reach - CONTEXT : frame + reach + CONTEXT + 1])
        likely.append(1 / (1 + np.exp(-classify(kind, w, point))))
    return np.array(likely)


def _mlp(kind: Kind, w: Mapping[str, Array], point: Array) -> Array:
    sums = point.sum(1)
    if sums.std() <= 1e-3:
        return np.full(len(kind.curves), -20.0)
    hidden = np.tile((sums - sums.mean()) / max(sums.std(), 1e-3), (len(kind.curves), 1))  # (curves, 61)
    count = sum(name.endswith("bias") for name in w)
    for i in range(count):
        each = w[f"layers.{i}.weight"].reshape(len(kind.curves), -1, hidden.shape[1])
        hidden = np.einsum("cij,cj->ci", each, hidden) + w[f"layers.{i}.bias"].reshape(len(kind.curves), -1)
        hidden = hidden if i == count - 1 else np.maximum(hidden, 0)
    return hidden[:, 0]


def _conv(kind: Kind, w: Mapping[str, Array], point: Array) -> Array:
    """Of 121 frames, since each of the 61 is standardised by the 61 round it."""
    if np.mean([point[t : t + WINDOW].mean() for t in range(WINDOW)]) <= 1e-3:
        return np.full(len(kind.curves), -20.0)
    near = [point[t - CONTEXT : t + CONTEXT + 1] for t in range(CONTEXT, CONTEXT + WINDOW)]
    x = np.stack([(p[CONTEXT] - p.mean()) / max(p.std(), 1e-3) for p in near])[None]  # (1, 61, bins)
    x = np.maximum(_convolve(x, w["attack.weight"], w["attack.bias"]), 0)  # (8, 57, bins - 2)
    times, bins = x.shape[1] // 3, x.shape[2] // 4
    x = x[:, : 3 * times, : 4 * bins].reshape(8, times, 3, bins, 4).max(axis=(2, 4))
    x = np.maximum(_convolve(x, w["middle.weight"], w["middle.bias"]), 0)
    x = np.maximum(_convolve(x, w["join.weight"], w["join.bias"]), 0)[:, 0, 0]
    logits: Array = w["decide.weight"][..., 0] @ x + w["decide.bias"]
    return logits


def _convolve(x: Array, kernel: Array, bias: Array) -> Array:
    views = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], axis=(1, 2))
    out: Array = np.einsum("itbkl,oikl->otb", views, kernel) + bias[:, None, None]
    return out


def _with_tonnetz(frames: Array) -> Array:
    """The frames but the first and last 30, with six numbers more, scaled by the 61 frames round each."""
    tonnetz, rows = _tonnetz(frames), []
    for t in range(CONTEXT, len(frames) - CONTEXT):
        near = slice(t - CONTEXT, t + CONTEXT + 1)
        rows.append([*frames[t], *tonnetz[t] * frames[near].mean() / max(tonnetz[near].mean(), 1e-3)])
    return np.array(rows)


def _tonnetz(frames: Array) -> Array:
    chroma, position = np.zeros((len(frames), 12)), np.zeros((len(frames), 6))
    for i, magnitudes in enumerate(frames.T):
        chroma[:, (i + 5) % 12] += magnitudes  # the lowest bin is an F
    chroma /= np.maximum(chroma.sum(1, keepdims=True), 1e-3)
    for pitch, shares in enumerate(chroma.T):
        for circle, (turn, radius) in enumerate(((7 / 6, 1.0), (3 / 2, 1.0), (2 / 3, 0.5))):
            angle = np.pi * turn * pitch
            position[:, 2 * circle] += shares * radius * np.sin(angle)
            position[:, 2 * circle + 1] += shares * radius * np.cos(angle)
    return np.maximum(position, 0)
