"""The judge's checkpoint as an ONNX file of kind ``frames``, whose frames are what others know of each step."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import typer
from torch import Tensor, nn

from models.flagger.judge import CONTEXT, JudgeNetwork
from models.flagger.judging import read_judge
from streaming.card import ModelCard, Source
from streaming.card import Tensor as CardTensor
from streaming.judge import CURVES, INPUTS, KNOWLEDGE
from streaming.session import OnnxModel

from . import judge_reference
from .cards import write_card
from .graph import write_graph
from .parity import Parity, must_hold, near

DESCRIPTION = "What network, reviewer and detectors say of every step of a recording, weighed with one another."


class Odd(nn.Module):
    """Knowledge ``(1, T, inputs)`` to a curve ``(1, T, 1)``: the log odds that are added, as a chance."""

    def __init__(self, network: JudgeNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        odd: Tensor = torch.sigmoid(self.network(features))[..., None]
        return odd


def export_judge(checkpoint: Path, folder: Path, name: str, sources: tuple[Source, ...] = ()) -> list[Parity]:
    """Write ``folder/NAME.onnx`` with its card, proven, or nothing.

    Raises:
        ModelError: the checkpoint cannot be read, or the file does not do what the checkpoint does.
    """
    network = read_judge(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".export-") as aside:
        path = Path(aside) / f"{name}.onnx"
        free = {"features": {1: "steps"}}
        write_graph(Odd(network), (torch.rand(1, 200, len(INPUTS)),), ["features"], ["curves"], path, free)
        write_card(path, card_of(name, sources))
        rows = check_judge(network, path)
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
        sample_rates=(KNOWLEDGE.rate,),
        channels=1,
        hop_samples=KNOWLEDGE.hop_samples,
        latency_samples=0,
        stems=(),
        inputs=(CardTensor("features", (1, 1, len(INPUTS))),),
        outputs=(CardTensor("curves", (1, 1, len(CURVES))),),
        features=KNOWLEDGE,
        curves=CURVES,
        context_frames=CONTEXT,
        training=sources,
    )


def check_judge(network: JudgeNetwork, path: Path, seed: int = 0) -> list[Parity]:
    """Hold torch and onnxruntime against `judge_reference`, which shares no code with either.

    Raises:
        ModelError: when any is out of its limit.
    """
    rng = np.random.default_rng(seed)
    weights = {n: p.detach().numpy() for n, p in network.state_dict().items()}
    model, rows = OnnxModel.open(path), []
    for count in (1, 30, 400):
        known = (rng.normal(size=(count, len(INPUTS))) / weights["scale"] + weights["shift"]).astype(np.float32)
        truth = judge_reference.chances_of(weights, known)
        with torch.no_grad():
            ways = {"onnxruntime": model.run_frames(known), "torch": Odd(network)(torch.from_numpy(known)[None])[0]}
        rows += [near(f"{what}, {count} steps", np.asarray(got)[:, 0], truth) for what, got in ways.items()]
    must_hold(rows)
    return rows


def main(checkpoint: Path, folder: Path, name: str = "flagger-judge") -> None:
    """Export a checkpoint of `models.flagger.judging` for the general flagger, trained on its validation takes."""
    from models.corpus.sources import CREDITS, SONIC_PI_SAMPLES, default_cache

    from .flagger_runs import general_split

    held = general_split(default_cache().parent / "decoded").held
    sources = dict.fromkeys(r.source for pool in held for r in (pool.recordings if pool else []))
    sticks = CREDITS[SONIC_PI_SAMPLES]
    sources[Source(sticks.name, sticks.licence, sticks.credit)] = None
    for row in export_judge(checkpoint, folder, name, tuple(sources)):
        print(row)


if __name__ == "__main__":
    typer.run(main)
