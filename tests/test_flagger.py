"""The learned flagger: segments, evidence, scores, what was fine. All against a model that is known exactly."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_models import tiny_curves, tiny_flagger

from streaming.card import ModelCard
from streaming.errors import CardError, ModelError
from streaming.evidence import averaged, distances, oddness, p_values, score_of, self_distances
from streaming.features import MEL, MelFrames
from streaming.flag_picker import FlagPicker, pick_flags
from streaming.flagger import FILE, Flagger, Step
from streaming.segments import SILENT, Segmenter, SegmentNetwork
from streaming.session import OnnxModel

RATE = 44100
Audio = NDArray[np.float32]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_flagger(tmp_path_factory.mktemp("model") / "tiny.onnx")


def hiss(rate: int = RATE, seconds: float = 20, start: float = 8, stop: float = 11) -> Audio:
    """A low tone with white noise for a while: mono, ``(1, n)``."""
    t = np.arange(int(seconds * rate)) / rate
    audio = 0.3 * np.sin(2 * np.pi * 110 * t)
    inside = (t >= start) & (t < stop)
    audio[inside] += np.random.default_rng(0).normal(0, 0.1, int(inside.sum()))
    return audio.astype(np.float32)[None]


def steps_of(flagger: Flagger, audio: Audio, rate: int = RATE) -> list[Step]:
    flagger.prepare(rate, len(audio))
    return flagger.process(audio, 0) + flagger.flush()


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
def test_hiss_is_flagged_where_it_is(model: Path, rate: int) -> None:
    flagger = Flagger(model)
    steps = steps_of(flagger, hiss(rate), rate)
    (flag,) = pick_flags(steps, flagger.step_samples, rate)
    assert flag.kind == "noise"
    assert abs(flag.start / rate - 8) < 0.25
    assert abs(flag.end / rate - 11) < 0.25
    assert flag.low_hz > 200  # the tone was there before
    assert flag.high_hz == rate / 2
    assert flag.p_value == pytest.approx(1 / 101)


def test_a_step_speaks_of_the_middle_of_its_segment(model: Path) -> None:
    flagger = Flagger(model)
    steps = steps_of(flagger, hiss())
    half = flagger.network.segment_frames // 2 * MEL.hop_samples
    assert [s.position for s in steps[:3]] == [half, half + flagger.step_samples, half + 2 * flagger.step_samples]
    assert flagger.latency_samples == MEL.delay_at(RATE) + half
    assert len(steps) == (1 + 20 * RATE // MEL.hop_samples - 64) // 16 + 1


@pytest.mark.parametrize("size", [1, 441, 4096, 65537])
def test_chunked_is_one_shot(model: Path, size: int) -> None:
    audio = hiss(seconds=3 if size == 1 else 20, start=1, stop=2)
    audio = audio[:, :30000] if size == 1 else audio
    flagger = Flagger(model)
    whole = steps_of(flagger, audio)
    flagger.prepare(RATE, 1)
    pieces = [s for i in range(0, audio.shape[1], size) for s in flagger.process(audio[:, i : i + size], i)]
    pieces += flagger.flush()
    assert len(pieces) == len(whole)
    for a, b in zip(pieces, whole, strict=True):
        assert (a.position, a.kind, a.low_hz, a.high_hz) == (b.position, b.kind, b.low_hz, b.high_hz)
        assert a.score == pytest.approx(b.score, abs=1e-5)  # a network's sums hang on how many segments it gets
        np.testing.assert_allclose(a.embedding, b.embedding, atol=1e-6)


def test_reset_is_fresh_and_a_jump_is_a_reset(model: Path) -> None:
    flagger = Flagger(model)
    first = steps_of(flagger, hiss())
    flagger.prepare(RATE, 1)
    flagger.process(hiss()[:, :100_000], 0)
    jumped = flagger.process(hiss(), 5_000_000)
    for a, b in zip(first, jumped, strict=False):
        assert a.position + 5_000_000 == b.position
        assert a.score == pytest.approx(b.score, abs=1e-6)


def test_what_was_fine_is_no_more_flagged_until_it_is_taken_back(model: Path) -> None:
    flagger = Flagger(model)
    steps = steps_of(flagger, hiss())
    odd = [step for step in steps if step.score > 0.5]
    for step in odd:
        flagger.learn(step)
    assert len(flagger.fine) == len(odd)
    again = steps_of(flagger, hiss())
    assert not pick_flags(again, flagger.step_samples, RATE)
    assert not pick_flags(flagger.review(again), flagger.step_samples, RATE)
    flagger.forget(len(odd))
    assert len(flagger.fine) == 0
    assert pick_flags(steps_of(flagger, hiss()), flagger.step_samples, RATE)


def test_fine_embeddings_have_to_fit(model: Path) -> None:
    with pytest.raises(ModelError, match="embedding of shape"):
        Flagger(model).learn(np.zeros(3, np.float32))


def test_review_of_a_file_says_the_same_where_weights_are_the_same(model: Path) -> None:
    """The tiny model counts the shortest scale's odds alone, so that both ways agree exactly."""
    flagger = Flagger(model)
    steps = steps_of(flagger, hiss())
    for a, b in zip(steps, flagger.review(steps), strict=True):
        assert a.score == pytest.approx(b.score, abs=1e-6)
    assert flagger.review([]) == []


def test_other_kinds_and_rates_are_refused(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ModelError, match="flags nothing"):
        Flagger(tiny_curves(tmp_path / "curves.onnx"))
    with pytest.raises(ModelError, match="do not fall on samples"):
        Flagger(model).prepare(22050, 1)
    with pytest.raises(ModelError, match="channels"):
        Flagger(model).prepare(44100, 0)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("classes", {"classes": ("noise", "clean")}),
        ("step_frames", {"step_frames": 0}),
        ("scales", {"scales": (2, 4, 16)}),
        ("latency_samples", {"latency_samples": 1}),
        ("inputs[0].shape", {"step_frames": 10}),
        ("outputs[3].shape", {"scales": (1, 4)}),
        ("features", {"features": None}),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(model: Path, field: str, change: dict[str, object]) -> None:
    card = replace(OnnxModel.open(model).card, **change)  # type: ignore[arg-type]
    with pytest.raises(CardError) as caught:
        ModelCard.check(card)
    found = caught.value.field
    assert found == field or (field.startswith("outputs") and found.startswith("outputs"))


def test_context_is_the_mean_so_far_and_counts_no_silence() -> None:
    rng = np.random.default_rng(1)
    frames = rng.uniform(1, 3, (400, MEL.bands)).astype(np.float32)
    quiet = np.zeros((200, MEL.bands), np.float32)
    segmenter = Segmenter(MEL, 64, 16)
    made = segmenter.process(np.concatenate([quiet, frames]))
    np.testing.assert_allclose(made.context[-1, 0], frames[: 600 - 200 - (400 - 64) % 16].mean(axis=0), rtol=0.02)
    assert (made.context[0] == 0).all()  # nothing but silence yet
    assert frames.mean() > SILENT


def test_context_forgets() -> None:
    loud, soft = np.full((6000, MEL.bands), 4, np.float32), np.full((12000, MEL.bands), 2, np.float32)
    made = Segmenter(MEL, 64, 16).process(np.concatenate([loud, soft]))
    mean = made.context[:, 0, 0]
    assert mean[(6000 - 64) // 16] == pytest.approx(4)
    after_30_s = mean[(9000 - 64) // 16]
    assert after_30_s == pytest.approx(2 + 2 * np.exp(-1), abs=0.05)
    assert (np.diff(mean[(6100 - 64) // 16 :]) < 0).all()


def test_averages_and_distances_against_plain_loops() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(40, 5)).astype(np.float32)
    for before, after in ((0, 0), (3, 0), (2, 5), (50, 50)):
        truth = [rows[max(0, i - before) : i + after + 1].mean(axis=0) for i in range(len(rows))]
        np.testing.assert_allclose(averaged(rows, before, after), truth, atol=1e-5)
    memory = rng.normal(size=(30, 5)).astype(np.float32)
    truth = [np.sort(np.linalg.norm(memory - row, axis=1))[:2].mean() for row in rows]
    np.testing.assert_allclose(distances(rows, memory), truth, rtol=1e-4)


def test_a_recording_witnesses_against_its_own_odd_passage() -> None:
    rng = np.random.default_rng(3)
    points = np.tile(rng.normal(size=(10, 8)), (40, 1)).astype(np.float32) + 0.01 * rng.normal(size=(400, 8))
    points[200:210] = rng.normal(size=(10, 8)) + 3
    found = self_distances(points.astype(np.float32), apart=20, steps=1)
    assert found[200:210].min() > found[:180].max()
    assert not self_distances(points[:30].astype(np.float32), apart=20, steps=1).any()  # too short to tell


def test_p_values_are_conformal() -> None:
    """Good numbers are as unlikely as their p-value says: on fresh ones, P(p <= a) <= a."""
    rng = np.random.default_rng(4)
    calibration = np.sort(rng.normal(size=999)).astype(np.float32)
    fresh = p_values(rng.normal(size=20_000), calibration)
    for level in (0.01, 0.05, 0.2, 0.5):
        assert abs((fresh <= level).mean() - level) < 0.02
    assert p_values(np.array([99.0]), calibration)[0] == pytest.approx(1 / 1000)
    assert p_values(np.array([-99.0]), calibration)[0] == 1


def test_oddness_is_a_weighted_sum_and_a_score_its_chance() -> None:
    evidence = np.array([[1, 2], [0, 0]], np.float32)
    number = oddness(evidence, np.array([0.5, 0.25, -1], np.float32))
    np.testing.assert_allclose(number, [0, -1])
    np.testing.assert_allclose(score_of(number), [0.5, 1 / (1 + np.e)])


def a_step(index: int, score: float, kind: str = "noise") -> Step:
    return Step(index * 7056, score, 1 - score, kind, 0.0, 100.0 + index, 0.0, np.zeros(0, np.float32))


def scores_to_steps(scores: list[float]) -> list[Step]:
    return [a_step(i, score) for i, score in enumerate(scores)]


def test_one_flag_a_passage_with_hysteresis() -> None:
    trembling = [0.1] * 5 + [0.6, 0.45, 0.55, 0.4, 0.6, 0.45] + [0.1] * 8 + [0.7, 0.7, 0.7] + [0.1] * 5
    flags = pick_flags(scores_to_steps(trembling), 7056, RATE)
    assert [(f.start, f.end) for f in flags] == [
        (round(4.5 * 7056), round(10.5 * 7056)),
        (round(18.5 * 7056), round(21.5 * 7056)),
    ]
    assert flags[0].score == 0.6
    assert flags[0].p_value == pytest.approx(0.4)
    assert pick_flags(scores_to_steps([0.1, 0.9, 0.1]), 7056, RATE) == []  # too short to be a passage
    assert len(pick_flags(scores_to_steps([0.45] * 20), 7056, RATE)) == 0  # never reached the threshold


def test_the_kind_is_what_most_of_the_oddness_is_of() -> None:
    steps = [a_step(0, 0.6, "noise"), a_step(1, 0.9, "wow"), a_step(2, 0.6, "noise"), a_step(3, 0.8, "wow")]
    (flag,) = pick_flags(steps, 7056, RATE)
    assert (flag.kind, flag.high_hz) == ("wow", 101.0)


def test_picking_in_pieces_is_picking_at_once() -> None:
    rng = np.random.default_rng(5)
    steps = scores_to_steps([float(s) for s in rng.uniform(0, 1, 300) ** 3])
    whole = pick_flags(steps, 7056, RATE)
    picker = FlagPicker(7056, RATE)
    pieces = [flag for i in range(0, 300, 7) for flag in picker.process(steps[i : i + 7])] + picker.flush()
    assert pieces == whole
    assert len(whole) > 3


def test_live_a_long_passage_is_told_early_and_once() -> None:
    steps = scores_to_steps([0.1] * 10 + [0.9] * 200 + [0.1] * 10)
    picker = FlagPicker(7056, RATE, live=True)
    told: list[int] = []
    for i, step in enumerate(steps):
        told += [i] * len(picker.process([step]))
    told += [len(steps)] * len(picker.flush())
    assert len(told) == 1
    assert told[0] - 10 == pytest.approx(2.0 * RATE / 7056, abs=2)


def test_a_higher_threshold_flags_less() -> None:
    steps = scores_to_steps([0.1] * 5 + [0.6] * 5 + [0.1] * 9 + [0.9] * 5 + [0.1] * 5)
    picker = FlagPicker(7056, RATE, 0.8)
    assert len([*picker.process(steps), *picker.flush()]) == 1
    picker.threshold = 0.5
    assert len([*picker.process(steps), *picker.flush()]) == 2


def test_a_model_opens_with_what_it_remembers(model: Path) -> None:
    network = SegmentNetwork(OnnxModel.open(model))
    assert network.memory.shape == (3, 4, 8)
    assert network.weights.shape == (2, 11)
    assert network.calibration[FILE][0] == -3
    frames = MelFrames(MEL, RATE).process(hiss()[0])
    made = network.segmenter().process(frames)
    embeddings, classes = network.run(made)
    np.testing.assert_allclose(classes.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(embeddings[0, 0], made.frames[0][:, :8].mean() / 7, rtol=1e-5)
