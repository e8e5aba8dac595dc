"""The reviewer's checkpoint as an ONNX file of kind ``frames``: as many frames as there are to two curves.

Batch norms are folded into convolutions, the last row is filled up with silence, and every frame has its row's value.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.flagger.reviewer import CURVES, FRAMES, ROW_FRAMES, TOKEN_ROWS, Reviewer
from models.flagger.reviewing import read_reviewer
from streaming.card import ModelCard, Source
from streaming.card import Tensor as CardTensor
from streaming.features import MEL
from streaming.reviewer import PIECE_FRAMES
from streaming.session import OnnxModel

from . import reviewer_reference
from .cards import write_card
from .chopper import RATES
from .graph import write_graph
from .parity import Parity, must_hold, near

CONTEXT_FRAMES = (FRAMES - PIECE_FRAMES) // 2
DESCRIPTION = "What does not belong in a recording, heard both ways: attention over forty seconds of frames."


class EveryFrame(nn.Module):
    """Features ``(1, T, bands)`` to curves ``(1, T, 2)``, any T."""

    def __init__(self, network: Reviewer) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        count, token = features.shape[1], ROW_FRAMES * TOKEN_ROWS
        whole = F.pad(features, (0, 0, 0, token - 1))
        whole = whole[:, : (count + token - 1) // token * token]
        curves = torch.sigmoid(self.network(whole))  # (1, rows, 2)
        spread = curves[:, :, None].expand(-1, -1, ROW_FRAMES, -1).flatten(1, 2)
        return spread[:, :count]


def folded(network: Reviewer) -> Reviewer:
    """The same without batch norms."""
    plain = Reviewer(network.size)
    plain.load_state_dict(network.state_dict())
    plain.eval()
    for layer in plain.layers:
        assert isinstance(layer, nn.Module)
        conv, norm = layer.get_submodule("conv"), layer.get_submodule("norm")
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        layer.conv = fuse_conv_bn_eval(conv, norm)
        layer.norm = nn.Identity()
    return plain


def export_reviewer(checkpoint: Path, folder: Path, name: str) -> list[Parity]:
    """Write ``folder/NAME.onnx`` with its card, proven, or nothing.

    Raises:
        ModelError: the checkpoint cannot be read, or the file does not do what the checkpoint does.
    """
    network, sources = read_reviewer(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    plain = folded(network)
    with TemporaryDirectory(dir=folder, prefix=".export-") as aside:
        path = Path(aside) / f"{name}.onnx"
        free = {"features": {1: "frames"}}
        write_graph(EveryFrame(plain), (torch.rand(1, 200, MEL.bands),), ["features"], ["curves"], path, free)
        write_card(path, card_of(name, sources))
        rows = check_reviewer(network, plain, path)
        os.replace(path, folder / path.name)
    return rows


def card_of(name: str, sources: tuple[Source, ...]) -> ModelCard:
    """The card. Its figures stand in the flagger's, which it is a part of."""
    return ModelCard(
        name=name,
        version="0.1.0",
        task="flags",
        kind="frames",
        description=DESCRIPTION,
        licence="Apache-2.0",
        sample_rates=RATES,
        channels=1,
        hop_samples=MEL.hop_samples,
        latency_samples=0,
        stems=(),
        inputs=(CardTensor("features", (1, 1, MEL.bands)),),
        outputs=(CardTensor("curves", (1, 1, len(CURVES))),),
        features=MEL,
        curves=CURVES,
        context_frames=CONTEXT_FRAMES,
        training=sources,
    )


def check_reviewer(network: Reviewer, plain: Reviewer, path: Path, seed: int = 0) -> list[Parity]:
    """Hold every way through the network against `reviewer_reference`, which shares no code with any.

    Raises:
        ModelError: when any is out of its limit.
    """
    rng = np.random.default_rng(seed)
    weights = {n: p.detach().numpy() for n, p in plain.state_dict().items()}
    model, rows = OnnxModel.open(path), []
    for count in (16, 333, FRAMES):
        frames = np.maximum(0, rng.normal(2, 2, (count, MEL.bands))).astype(np.float32)
        frames[count // 2 : count // 2 + 40] = 0
        truth = reviewer_reference.curves_of(weights, frames, network.size.heads)
        ways = {"onnxruntime": model.run_frames(frames)}
        with torch.no_grad():
            for what, one in (("torch, as trained", network), ("torch, norms folded", plain)):
                ways[what] = EveryFrame(one).eval()(torch.from_numpy(frames)[None])[0].numpy()
        rows += [near(f"{what}, {count} frames", got, truth) for what, got in ways.items()]
    must_hold(rows)
    return rows
