"""Small ONNX files with full cards, for tests that need a model but not a trained one.

Built with onnx.helper, so nothing of the exporter under test is in them, and what they compute is known exactly.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from streaming.card import METADATA_KEY, TOKENIZER_KEY, Condition, ModelCard, State, Tensor
from streaming.features import MEL, Features
from streaming.windows import DEFAULT, Windows

STEMS = ("vocals", "drums", "bass")
MASKS = (0.5, 0.25, 0.125)
"""Gain of each stem; what is left for `other` is 0.125."""
STATE = 4
"""Width K of the packed state. All K entries count the hops so far."""


def build(card: ModelCard, nodes: Sequence[NodeProto], **constants: npt.ArrayLike) -> ModelProto:
    """A model whose tensors are the card's and whose initialisers are ``constants``; the card is not in it yet."""
    types = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    inputs = {t.name: (types[t.dtype], t.shape) for t in card.inputs}
    outputs = {t.name: (types[t.dtype], t.shape) for t in card.outputs}
    for state in card.states:
        inputs[state.input] = outputs[state.output] = (TensorProto.FLOAT, state.shape)
    tensors = [[helper.make_tensor_value_info(k, *v) for k, v in side.items()] for side in (inputs, outputs)]
    initial = [
        numpy_helper.from_array(np.asarray(v, np.int64 if np.asarray(v).dtype.kind == "i" else np.float32), k)
        for k, v in constants.items()
    ]
    graph = helper.make_graph(nodes, card.name, *tensors, initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def save(model: ModelProto, card: ModelCard | None, path: Path) -> Path:
    """Write ``model`` with ``card``, its sha256 filled in where missing, or with no card; returns ``path``."""
    del model.metadata_props[:]
    if card is not None:
        card = card if card.sha256 else card.with_digest(model.SerializeToString())
        model.metadata_props.add(key=METADATA_KEY, value=card.to_json())
    path.write_bytes(model.SerializeToString())
    return path


def live4_card() -> ModelCard:
    """The card of `tiny_live4`: the contract of the shipped live models."""
    bins = DEFAULT.bins
    return ModelCard(
        name="tiny", version="1", task="separation", kind="stft-hop", description="fixed masks", licence="Apache-2.0",
        sample_rates=(44100, 48000), channels=2, analysis_samples=DEFAULT.analysis_samples,
        hop_samples=DEFAULT.hop_samples, latency_samples=DEFAULT.latency_samples, stems=STEMS, residual="other",
        inputs=(Tensor("spectrum", (1, 2, bins, 2)), Tensor("state", (1, STATE))),
        outputs=(Tensor("stems", (1, 3, 2, bins, 2)), Tensor("next_state", (1, STATE))),
        states=(State("state", "next_state", (1, STATE)),),
    )  # fmt: skip


def tiny_live4(path: Path, masks: npt.ArrayLike = MASKS, counting: bool = False, name: str | None = None) -> Path:
    """Write an ``stft-hop`` model that masks with fixed gains; returns ``path``.

    Args:
        masks: one gain a stem ``(3,)``, or one a stem and bin ``(3, 1025)``.
        counting: multiply the gains of hop t (0, 1, …) by t / (t + 1), so that a state lost, kept or mixed up
            is heard. The same formula serves as the reference.
        name: of the model; the file's stem unless given.
    """
    gains = np.asarray(masks, np.float32)
    gains = np.broadcast_to(gains.reshape(3, -1), (3, DEFAULT.bins)).reshape(1, 3, 1, DEFAULT.bins, 1)
    nodes = [
        helper.make_node("Add", ["state", "one"], ["next_state"]),
        helper.make_node("Unsqueeze", ["spectrum", "stem_axis"], ["mix"]),
        helper.make_node("Mul", ["mix", "gains"], ["masked" if counting else "stems"]),
    ]
    if counting:
        nodes += [
            helper.make_node("ReduceMean", ["state"], ["hops"], keepdims=0),
            helper.make_node("ReduceMean", ["next_state"], ["hops_next"], keepdims=0),
            helper.make_node("Div", ["hops", "hops_next"], ["fade"]),
            helper.make_node("Mul", ["masked", "fade"], ["stems"]),
        ]
    card = replace(live4_card(), name=name or path.stem)
    return save(build(card, nodes, one=np.ones((1, STATE)), stem_axis=[1], gains=gains), card, path)


CURVES = ("onset", "beat", "downbeat", "phrase")
CURVE_STEPS = (0.0, 0.5, 1.0, 1.5)
"""A curve of `tiny_curves` begins where the mean level of the bands rises by this much from one frame to the next."""


def tiny_curves(
    path: Path,
    kind: Literal["frames", "frame-hop"] = "frames",
    features: Features = MEL,
    curves: tuple[str, ...] = CURVES,
) -> Path:
    """Write a model that marks where the level rises; returns ``path``.

    ``curve c at frame t = tanh(max(0, level[t] - level[t - 1] - CURVE_STEPS[c]))``, the level being the mean of a
    frame's bands and 0 before the first: clicks are onsets, louder ones beats, downbeats and phrases too (up to four
    ``curves``, in their order). The live kind says the same a frame later (``context_frames`` 1), so that a delay
    forgotten is seen.
    """
    steps = np.asarray(CURVE_STEPS[: len(curves)]).reshape(1, 1, -1)
    nodes = [helper.make_node("ReduceMean", ["features", "bands"], ["level"], keepdims=1)]
    states: tuple[State, ...] = ()
    constants: dict[str, npt.ArrayLike] = {"bands": [2], "steps": steps}
    if kind == "frames":
        nodes += [
            helper.make_node("Pad", ["level", "pads"], ["padded"]),
            helper.make_node("Slice", ["padded", "first", "last", "time"], ["before"]),
            helper.make_node("Sub", ["level", "before"], ["rise"]),
        ]
        constants |= {"pads": [0, 1, 0, 0, 0, 0], "first": [0], "last": [-1], "time": [1]}
    else:
        states = (State("levels", "next_levels", (1, 1, 2)),)  # of the last two frames, the later first
        nodes += [
            helper.make_node("Split", ["levels"], ["later", "earlier"], axis=2, num_outputs=2),
            helper.make_node("Sub", ["later", "earlier"], ["rise"]),
            helper.make_node("Concat", ["level", "later"], ["next_levels"], axis=2),
        ]
    nodes += [
        helper.make_node("Sub", ["rise", "steps"], ["over"]),
        helper.make_node("Relu", ["over"], ["risen"]),
        helper.make_node("Tanh", ["risen"], ["curves"]),
    ]
    card = ModelCard(
        name=path.stem, version="1", task="chops", kind=kind, description="rises of the level", licence="Apache-2.0",
        sample_rates=(44100, 48000, 88200, 96000), channels=1, hop_samples=features.hop_samples,
        latency_samples=features.delay_at(features.rate) + features.hop_samples if states else 0, stems=(),
        inputs=(Tensor("features", (1, 1, features.bands)), *(Tensor(s.input, s.shape) for s in states)),
        outputs=(Tensor("curves", (1, 1, len(curves))), *(Tensor(s.output, s.shape) for s in states)),
        states=states, features=features, curves=curves, context_frames=1,
    )  # fmt: skip
    model = build(card, nodes, **constants)
    if kind == "frames":
        for tensor in (*model.graph.input, *model.graph.output):
            tensor.type.tensor_type.shape.dim[1].dim_param = "frames"
    return save(model, card, path)


FLAG_CLASSES = ("clean", "noise", "distortion")
FLAG_SCALES = (1, 4, 16)
FLAG_SEGMENT, FLAG_STEP, FLAG_WIDTH = 64, 16, 8


def tiny_flagger(path: Path, features: Features = MEL, scales: tuple[int, ...] = FLAG_SCALES) -> Path:
    """Write a ``segments`` model that finds hiss odd; returns ``path``.

    The embedding is the mean of each eighth of the bands over the segment, over 7. With ``top`` the last of those and
    ``mid`` the fourth: ``classes = softmax(2, 16 top - 2, 8 mid - 6)``: white noise above some -40 dBFS is ``noise``,
    loud sound in the middle alone ``distortion``, a low tone or silence ``clean``. Only the first scale's odds count:
    oddness = odds, so a score is 1 - P(clean). The memory holds silence and
    three faint noises, the calibration -3 … 0.
    """
    eighth = features.bands // FLAG_WIDTH
    spread = np.kron(np.eye(FLAG_WIDTH), np.ones((eighth, 1))) / eighth / 7
    heads = np.zeros((FLAG_WIDTH, len(FLAG_CLASSES)))
    heads[-1, 1], heads[3, 2] = 16, 8
    weights = np.zeros((2, 3 * len(scales) + 2))
    weights[:, 0] = 1
    memory = np.repeat(0.03 * np.arange(4)[:, None], FLAG_WIDTH, axis=1)
    nodes = [
        helper.make_node("ReduceMean", ["segments", "frames"], ["level"], keepdims=0),
        helper.make_node("MatMul", ["level", "spread"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "heads"], ["unbiased"]),
        helper.make_node("ReduceMean", ["context", "frames"], ["before"], keepdims=0),
        helper.make_node("ReduceMean", ["before", "frames"], ["heard"], keepdims=1),
        helper.make_node("Mul", ["heard", "nothing"], ["ignored"]),
        helper.make_node("Add", ["unbiased", "ignored"], ["summed"]),
        helper.make_node("Add", ["summed", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["classes"], axis=-1),
        *(helper.make_node("Identity", [f"{name}_values"], [name]) for name in ("memory", "weights", "calibration")),
    ]
    card = ModelCard(
        name=path.stem, version="1", task="flags", kind="segments", description="hiss", licence="Apache-2.0",
        sample_rates=(44100, 48000, 88200, 96000), channels=1, hop_samples=features.hop_samples,
        latency_samples=features.delay_at(features.rate) + FLAG_SEGMENT // 2 * features.hop_samples, stems=(),
        inputs=(Tensor("segments", (1, FLAG_SEGMENT, features.bands)), Tensor("context", (1, 2, features.bands))),
        outputs=(
            Tensor("embedding", (1, FLAG_WIDTH)), Tensor("classes", (1, len(FLAG_CLASSES))),
            Tensor("memory", (len(scales), 4, FLAG_WIDTH)), Tensor("weights", weights.shape),
            Tensor("calibration", (2, 100)),
        ),
        features=features, classes=FLAG_CLASSES, step_frames=FLAG_STEP, scales=scales,
    )  # fmt: skip
    model = build(
        card, nodes, frames=[1], spread=spread, heads=heads, bias=np.asarray([2.0, -2.0, -6.0]),
        nothing=np.zeros((1, 1)), memory_values=np.tile(memory, (len(scales), 1, 1)), weights_values=weights,
        calibration_values=np.tile(np.linspace(-3, 0, 100), (2, 1)),
    )  # fmt: skip
    for tensor in (*model.graph.input, *model.graph.output[:2]):
        tensor.type.tensor_type.shape.dim[0].dim_param = "segments"
    return save(model, card, path)


WORDS = ("[UNK]", "low", "mid", "high")
"""What `tiny_text` knows; every other word is the first."""
UNKNOWN_GAIN = 0.25
QUERY_WINDOWS = Windows(2048, 384)


def tiny_text(path: Path, tokenizer: dict[str, object] | None = None) -> Path:
    """Write a ``text`` model; returns ``path``. A sentence's embedding ``(4,)`` is how often each of `WORDS` is in it,
    over its length as a vector."""
    text = json.dumps(
        tokenizer
        or {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "post_processor": None,
            "decoder": None, "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
            "model": {"type": "WordLevel", "unk_token": WORDS[0], "vocab": {w: i for i, w in enumerate(WORDS)}},
        }
    )  # fmt: skip
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["hot"]),
        helper.make_node("Cast", ["mask"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weights", "last"], ["column"]),
        helper.make_node("Mul", ["hot", "column"], ["heard"]),
        helper.make_node("ReduceSum", ["heard", "tokens"], ["counts"], keepdims=0),
        helper.make_node("LpNormalization", ["counts"], ["sentence"], axis=1, p=2),
    ]
    card = ModelCard(
        name=path.stem, version="1", task="text", kind="text", description="four words", licence="Apache-2.0",
        sample_rates=(), channels=1, hop_samples=0, latency_samples=0, stems=(),
        inputs=(Tensor("ids", (1, 16), "int64"), Tensor("mask", (1, 16), "int64")),
        outputs=(Tensor("sentence", (1, len(WORDS))),), tokenizer_sha256=hashlib.sha256(text.encode()).hexdigest(),
    )  # fmt: skip
    model = build(card, nodes, table=np.eye(len(WORDS)), last=[2], tokens=[1])
    for tensor in model.graph.input:
        tensor.type.tensor_type.shape.dim[1].dim_param = "tokens"
    save(model, card, path)
    model.metadata_props.add(key=TOKENIZER_KEY, value=text)
    path.write_bytes(model.SerializeToString())
    return path


def thirds(bins: int) -> npt.NDArray[np.float32]:
    """The gain of each bin for each of `WORDS`, ``(4, bins)``: a third of the bins for a word, a part of all for any
    other."""
    third = np.minimum(np.arange(bins) * 3 // bins, 2)
    return np.stack([np.full(bins, UNKNOWN_GAIN), *(third == i for i in range(3))]).astype(np.float32)


def tiny_query(path: Path, text_encoder: str | Path = "tiny-text", counting: bool = False, rows: int = 1) -> Path:
    """Write a live query model that lets through the `thirds` of the words; returns ``path``.

    The film is ReLU(2 e) / 2 of the embedding e, so that a layer left out or a ReLU too many is heard.

    Args:
        counting: multiply the gain of hop t (0, 1, …) by t / (t + 1), as `tiny_live4` does.
        rows: how many queries a run answers.
    """
    bins, words = QUERY_WINDOWS.bins, len(WORDS)
    nodes = [
        helper.make_node("Add", ["state", "one"], ["next_state"]),
        helper.make_node("MatMul", ["film", "bands"], ["gains"]),
        helper.make_node("Reshape", ["gains", "shape"], ["mask"]),
        helper.make_node("Unsqueeze", ["spectrum", "stem_axis"], ["mix"]),
        helper.make_node("Mul", ["mix", "mask"], ["masked" if counting else "stems"]),
        *(helper.make_node("Identity", [f"{name}_values"], [name]) for name in ("w1", "b1", "w2", "b2")),
    ]
    if counting:
        nodes += [
            helper.make_node("Div", ["state", "next_state"], ["fade"]),
            helper.make_node("Mul", ["masked", "fade"], ["stems"]),
        ]
    card = ModelCard(
        name=path.stem, version="1", task="query", kind="stft-hop", description="thirds", licence="Apache-2.0",
        sample_rates=(44100, 48000), channels=2, analysis_samples=QUERY_WINDOWS.analysis_samples,
        hop_samples=QUERY_WINDOWS.hop_samples, latency_samples=QUERY_WINDOWS.latency_samples, stems=("query",),
        residual="rest",
        inputs=(Tensor("spectrum", (1, 2, bins, 2)), Tensor("film", (rows, words)), Tensor("state", (1, 1))),
        outputs=(
            Tensor("stems", (1, rows, 2, bins, 2)), Tensor("next_state", (1, 1)), Tensor("w1", (words, words)),
            Tensor("b1", (words,)), Tensor("w2", (words, words)), Tensor("b2", (words,)),
        ),
        states=(State("state", "next_state", (1, 1)),),
        condition=Condition("film", words, ("w1", "b1", "w2", "b2")), text_encoder=str(text_encoder),
    )  # fmt: skip
    model = build(
        card, nodes, one=np.ones((1, 1)), stem_axis=[1], bands=thirds(bins), shape=[1, rows, 1, bins, 1],
        w1_values=2 * np.eye(words), b1_values=np.zeros(words), w2_values=np.eye(words) / 2, b2_values=np.zeros(words),
    )  # fmt: skip
    return save(model, card, path)


def tiny_query_clip(path: Path, text_encoder: str | Path = "tiny-text", rows: int = 1) -> Path:
    """Write a query model for clips, mono at 32 kHz, that lets through the `thirds` of the words; returns ``path``.

    A run answers so many queries.
    """
    fft, hop, frames, words = 512, 320, 64, len(WORDS)
    bins, segment = fft // 2 + 1, (frames - 1) * hop
    nodes = [
        helper.make_node("MatMul", ["condition", "bands"], ["gains"]),
        helper.make_node("Reshape", ["gains", "shape"], ["mask"]),
        helper.make_node("Mul", ["spectrum", "mask"], ["kept"]),
    ]
    card = ModelCard(
        name=path.stem, version="1", task="query", kind="stft-clip", description="thirds", licence="Apache-2.0",
        sample_rates=(32000, 44100, 48000, 88200, 96000), channels=1, analysis_samples=fft, frame_hop_samples=hop,
        segment_samples=segment, hop_samples=40 * hop, latency_samples=segment, stems=("query",), residual="rest",
        inputs=(Tensor("spectrum", (1, 2, bins, frames)), Tensor("condition", (rows, words))),
        outputs=(Tensor("kept", (1, rows, 2, bins, frames)),), condition=Condition("condition", words),
        text_encoder=str(text_encoder),
    )  # fmt: skip
    return save(build(card, nodes, bands=thirds(bins), shape=[1, rows, 1, bins, 1]), card, path)
