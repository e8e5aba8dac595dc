"""The flagger as an ONNX file: the network, and as constants of its graph what it remembers and how it counts.

The network is written once from a checkpoint, with empty constants; `put_constants` then fills them in, for the general
model and, without any torch, for a user's own. A file holds the network's weights under their own names.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.flagger.baselines import CLASSES, LATENT, Baseline
from models.flagger.evaluation import Figure
from models.flagger.network import SCALES, SEGMENT_FRAMES, STEP_FRAMES, FlagNetwork, folded
from models.flagger.teaching import CALIBRATION, MEMORY, Taught
from models.flagger.training import read_checkpoint
from streaming.card import Metric, ModelCard, Source
from streaming.card import Tensor as CardTensor
from streaming.errors import ModelError
from streaming.features import MEL
from streaming.segments import SegmentNetwork, Segments
from streaming.session import OnnxModel, read_card

from . import flagger_reference
from .cards import replace_metrics, write_card
from .graph import write_graph
from .parity import FP32_LIMIT, Parity, must_hold

RATES = (44100, 48000, 88200, 96000)
DESCRIPTION = "What does not belong in a recording, live and in files: proxy faults, memory of good audio, calibrated."
VALUES = "_values"


class WithLikelihoods(nn.Module):
    """Segments and context to embedding and likelihoods."""

    def __init__(self, network: FlagNetwork | Baseline) -> None:
        super().__init__()
        self.network = network

    def forward(self, segments: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        embedding, logits = self.network(segments, context)
        return embedding, torch.softmax(logits, dim=1)


def export_network(checkpoint: Path, folder: Path, name: str) -> list[Parity]:
    """Write ``folder/NAME.onnx`` with its card, proven, or nothing. It remembers nothing yet.

    Raises:
        ModelError: the checkpoint cannot be read, or the file does not do what the checkpoint does.
    """
    network, sources = read_checkpoint(checkpoint)
    plain = folded(network) if isinstance(network, FlagNetwork) else network
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".export-") as aside:
        path = Path(aside) / f"{name}.onnx"
        example = torch.rand(2, SEGMENT_FRAMES, MEL.bands), torch.rand(2, 2, MEL.bands)
        free = {one: {0: "count"} for one in ("segments", "context")}
        write_graph(WithLikelihoods(plain), example, ("segments", "context"), ("embedding", "classes"), path, free)
        classes, width = (
            (network.size.classes, network.size.embedding) if isinstance(network, FlagNetwork) else (CLASSES, LATENT)
        )
        add_constants(path, width)
        write_card(path, card_of(classes, width, name, sources))
        rows = check_flagger(network, plain, path)
        os.replace(path, folder / path.name)
    return rows


def card_of(classes: tuple[str, ...], width: int, name: str, sources: tuple[Source, ...]) -> ModelCard:
    """The card, still without figures: `sidechop evaluate` adds them."""
    scales = len(SCALES)
    return ModelCard(
        name=name,
        version="0.1.0",
        task="flags",
        kind="segments",
        description=DESCRIPTION,
        licence="Apache-2.0",
        sample_rates=RATES,
        channels=1,
        hop_samples=MEL.hop_samples,
        latency_samples=MEL.delay_at(MEL.rate) + SEGMENT_FRAMES // 2 * MEL.hop_samples,
        stems=(),
        inputs=(CardTensor("segments", (1, SEGMENT_FRAMES, MEL.bands)), CardTensor("context", (1, 2, MEL.bands))),
        outputs=(
            CardTensor("embedding", (1, width)),
            CardTensor("classes", (1, len(classes))),
            CardTensor("memory", (scales, MEMORY, width)),
            CardTensor("weights", (2, 3 * scales + 2)),
            CardTensor("calibration", (2, CALIBRATION)),
        ),
        features=MEL,
        classes=classes,
        step_frames=STEP_FRAMES,
        scales=SCALES,
        training=sources,
    )


def add_constants(path: Path, width: int) -> None:
    """Give a graph its constants, zeros as yet, each an initialiser ``NAME_values`` that is handed through."""
    proto, scales = onnx.load(path), len(SCALES)
    shapes = {"memory": (scales, MEMORY, width), "weights": (2, 3 * scales + 2), "calibration": (2, CALIBRATION)}
    for name, shape in shapes.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name + VALUES))
        proto.graph.node.append(onnx.helper.make_node("Identity", [name + VALUES], [name]))
        proto.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString())


def put_constants(model: Path, target: Path, taught: Taught, name: str, sources: Sequence[Source]) -> ModelCard:
    """Write ``model`` with these constants as ``target``; the card names ``sources`` beside those it had.

    Raises:
        ModelError: a constant does not fit.
    """
    card = read_card(model)
    proto = onnx.load(model)
    values: dict[str, NDArray[np.float32]] = taught._asdict()
    for tensor in proto.graph.initializer:
        constant = tensor.name.removesuffix(VALUES)
        if constant in values:
            value = values.pop(constant)
            if tuple(tensor.dims) != value.shape:
                raise ModelError(f"{model}: {constant} is {tuple(tensor.dims)}, but {value.shape} shall go in")
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(value, np.float32), tensor.name))
    if values:
        raise ModelError(f"{model}: holds no {', '.join(values)}; not a flagger of this project")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.stem}.part.onnx")
    aside.write_bytes(proto.SerializeToString())
    known = {source.name for source in card.training}
    training = (*card.training, *(s for s in dict.fromkeys(sources) if s.name not in known))
    sealed = write_card(aside, replace(card, name=name, training=training, metrics=()))
    os.replace(aside, target)
    return sealed


def add_figures(model: Path, figures: Sequence[Figure], corpus: str, split: str, options: str) -> ModelCard:
    """Put the figures of an evaluation into the card, in place of those of the same command."""
    card = read_card(model)
    command = f"sidechop evaluate flagger {card.name} {corpus} --split {split}{options}"
    fresh = []
    for figure in figures:
        best = max(figure.baselines, key=lambda name: figure.baselines[name], default=None)
        beside = None if best is None else round(figure.baselines[best], 3)
        data = f"{corpus}, {figure.takes} {split} kinds or takes"
        fresh.append(Metric(figure.name, round(figure.value, 3), "", data, command, beside, best))
    return replace_metrics(model, card, command, fresh)


def check_flagger(
    network: FlagNetwork | Baseline, plain: FlagNetwork | Baseline, path: Path, seed: int = 0
) -> list[Parity]:
    """Hold every way through the network against `flagger_reference`, which shares no code with any.

    A baseline, which nobody ships, is held against itself in torch.

    Raises:
        ModelError: when any is out of its limit.
    """
    rng = np.random.default_rng(seed)
    segments = np.maximum(0, rng.normal(2, 2, (70, SEGMENT_FRAMES, MEL.bands))).astype(np.float32)
    context = np.abs(rng.normal(1, 1, (70, 2, MEL.bands))).astype(np.float32)
    segments[0], context[1] = 0, 0
    if isinstance(plain, Baseline):
        with torch.no_grad():
            embedding, logits = plain.double()(*(torch.from_numpy(a).double() for a in (segments, context)))
            truth = embedding.numpy(), torch.softmax(logits, 1).numpy()
        plain.float()
    else:
        weights = {n: p.detach().numpy() for n, p in plain.state_dict().items()}
        truth = flagger_reference.both(weights, segments, context)
    heard = SegmentNetwork(OnnxModel.open(path))
    ways = {}
    with torch.no_grad():
        for what, one in (("torch, as trained", network), ("torch, norms folded", plain)):
            embedding, logits = one.eval()(torch.from_numpy(segments), torch.from_numpy(context))
            ways[what] = embedding.numpy(), torch.softmax(logits, 1).numpy()
    ways["onnxruntime, all segments"] = heard.run(Segments(segments, context))
    single = [heard.run(Segments(segments[i : i + 1], context[i : i + 1])) for i in range(len(segments))]
    ways["onnxruntime, one by one"] = tuple(np.concatenate(parts) for parts in zip(*single, strict=True))  # type: ignore[assignment]
    rows = [_near(what, got, truth) for what, got in ways.items()]
    must_hold(rows)
    return rows


def _near(what: str, got: Sequence[NDArray[np.float32]], truth: Sequence[NDArray[np.float64]]) -> Parity:
    value = max(float(np.abs(g - t).max()) for g, t in zip(got, truth, strict=True))
    return Parity(what, "greatest difference", value, FP32_LIMIT, value <= FP32_LIMIT)
