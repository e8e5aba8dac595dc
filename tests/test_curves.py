"""Curves from frames: a file read in pieces shows no seam, and a model's word about its context is checked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper
from tiny_models import build, live4_card, save

from bridge.model_check import check_model
from streaming import curves
from streaming.card import ModelCard, State, Tensor
from streaming.curves import CurveNetwork, CurveStream
from streaming.errors import CardError, ModelError
from streaming.features import MEL
from streaming.session import OnnxModel

REACH = 7


def frames_card(**changes: object) -> ModelCard:
    card = ModelCard(
        name="blur", version="1", task="chops", kind="frames", description="a running mean", licence="Apache-2.0",
        sample_rates=(44100, 48000), channels=1, hop_samples=441, latency_samples=0, stems=(), features=MEL,
        curves=("onset", "beat"), context_frames=REACH,
        inputs=(Tensor("frames", (1, 1, 64)),), outputs=(Tensor("curves", (1, 1, 2)),),
    )  # fmt: skip
    return replace(card, **changes)  # type: ignore[arg-type]


def free_length(model: ModelProto) -> ModelProto:
    for tensor in (model.graph.input[0], model.graph.output[0]):
        tensor.type.tensor_type.shape.dim[1].dim_param = "T"
    return model


@pytest.fixture
def blur(tmp_path: Path) -> Path:
    """A ``frames`` model: sigmoids of weighted means over 2 * REACH + 1 frames, zeros beyond the ends."""
    weights = np.random.default_rng(0).standard_normal((2, 64, 2 * REACH + 1)) * 0.05
    nodes = [
        helper.make_node("Transpose", ["frames"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["rows", "weights"], ["sums"], pads=[REACH, REACH]),
        helper.make_node("Sigmoid", ["sums"], ["likely"]),
        helper.make_node("Transpose", ["likely"], ["curves"], perm=[0, 2, 1]),
    ]
    card = frames_card()
    return save(free_length(build(card, nodes, weights=weights)), card, tmp_path / "blur.onnx")


@pytest.fixture
def rise(tmp_path: Path) -> Path:
    """A ``frame-hop`` model: each curve the sigmoid of how the mean has risen since the last frame."""
    card = replace(
        frames_card(name="rise", kind="frame-hop", context_frames=1, latency_samples=512 + 441),
        inputs=(Tensor("frame", (1, 1, 64)),),
        states=(State("last", "next", (1, 1, 64)),),
    )
    nodes = [
        helper.make_node("Sub", ["frame", "last"], ["rise"]),
        helper.make_node("Identity", ["frame"], ["next"]),
        helper.make_node("ReduceMean", ["rise", "bands"], ["mean"], keepdims=1),
        helper.make_node("Sigmoid", ["mean"], ["one"]),
        helper.make_node("Concat", ["one", "one"], ["curves"], axis=2),
    ]
    return save(build(card, nodes, bands=[2]), card, tmp_path / "rise.onnx")


@pytest.mark.parametrize("length", [0, 1, 2, 14, 15, 16, 99, 100, 101, 120, 333])
@pytest.mark.parametrize("chunk", [1, 10, 113])
def test_pieces_show_no_seam(blur: Path, monkeypatch: pytest.MonkeyPatch, length: int, chunk: int) -> None:
    frames = np.random.default_rng(length).random((length, 64), np.float32)
    model = OnnxModel.open(blur)
    network = CurveNetwork(model)
    monkeypatch.setattr(curves, "PIECE_FRAMES", 50)
    given = [piece for i in range(0, length, chunk) for piece in network.process(frames[i : i + chunk])]
    given += list(network.flush())
    assert sum(map(len, given)) == length
    if length:
        # Another length, another order of summing.
        np.testing.assert_allclose(np.concatenate(given), model.run_frames(frames), atol=1e-6)
    np.testing.assert_array_equal(network.run(frames), network.run(frames))


def test_a_stream_carries_its_state_and_forgets_it(rise: Path) -> None:
    stream = CurveStream(OnnxModel.open(rise))
    frames = np.random.default_rng(1).random((20, 64), np.float32)
    first = np.stack([stream.push(frame).copy() for frame in frames])
    rises = np.diff(frames, axis=0, prepend=np.zeros((1, 64), np.float32)).mean(axis=1)
    np.testing.assert_allclose(first[:, 0], 1 / (1 + np.exp(-rises)), atol=1e-6)
    stream.reset()
    np.testing.assert_array_equal(stream.push(frames[0]), first[0])


def test_each_kind_asks_for_its_own(blur: Path, rise: Path) -> None:
    with pytest.raises(ModelError, match="frames model does"):
        CurveNetwork(OnnxModel.open(rise))
    with pytest.raises(ModelError, match="frame-hop model does"):
        CurveStream(OnnxModel.open(blur))


def test_check_measures_the_context(blur: Path, rise: Path) -> None:
    assert [finding.what for finding in check_model(blur)][-2:] == ["curves", "context"]
    assert f"{REACH} away" in list(check_model(blur))[-1].found
    assert [finding.what for finding in check_model(rise)][-2:] == ["curves", "context"]


def test_check_finds_a_context_that_is_too_small(blur: Path) -> None:
    model = OnnxModel.open(blur)
    lying = replace(model.card, context_frames=REACH - 1, sha256=None)
    path = save(onnx.load(blur), lying, blur.with_name("lying.onnx"))
    with pytest.raises(CardError, match=f"is {REACH - 1}, but a frame is heard {REACH} frames away"):
        list(check_model(path))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"features": None}, "features"),
        ({"curves": ()}, "curves"),
        ({"context_frames": -1}, "context_frames"),
        ({"hop_samples": 512}, "hop_samples"),
        ({"features": replace(MEL, low_hz=20000.0)}, "features.low_hz"),
        ({"features": replace(MEL, window_samples=400)}, "features.window_samples"),
        ({"inputs": (Tensor("frames", (1, 1, 32)),)}, "inputs[0].shape"),
        ({"outputs": (Tensor("curves", (1, 1, 3)),)}, "outputs[0].shape"),
        ({"kind": "frame-hop"}, "latency_samples"),
    ],
)
def test_a_card_that_contradicts_itself_names_the_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(CardError) as error:
        ModelCard.from_json(frames_card(**changes).to_json())
    assert error.value.field == field


def test_a_card_survives_json() -> None:
    assert ModelCard.from_json(frames_card().to_json()) == frames_card()
    assert live4_card().features is None
