"""Chops as they sound: a model whose curves are known, on clicks whose places are known."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_models import tiny_curves, tiny_live4

from streaming.curves import CurveNetwork, CurveStream
from streaming.errors import ModelError
from streaming.features import MEL, open_features
from streaming.live_chops import LiveChop, LiveChops
from streaming.onsets import pick_onsets
from streaming.session import OnnxModel

CLICKS = {4410: 1.0, 19845: 0.25, 29988: 0.12, 39690: 0.07, 59976: 1.0}
KINDS = ["phrase", "downbeat", "beat", "onset", "phrase"]
"""The louder, the more of the tiny model's curves rise above a half."""


def clicks(rate: int = 44100, channels: int = 2) -> NDArray[np.float32]:
    sound = np.zeros((channels, 2 * rate), np.float32)
    for at, gain in CLICKS.items():
        sound[:, at * rate // 44100] = gain * rate / 44100  # a click of one sample: the same spectrum at any rate
    return sound


def listen(chops: LiveChops, sound: NDArray[np.float32], sizes: list[int], start: int = 0) -> list[LiveChop]:
    found, at = [], 0
    while at < sound.shape[1]:
        size = sizes[at % len(sizes)]
        found += chops.process(sound[:, at : at + size], start + at)
        at += size
    return found


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_curves(tmp_path_factory.mktemp("live") / "tiny-chops.onnx", "frame-hop")


@pytest.mark.parametrize("rate", [44100, 48000, 88200, 96000])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_every_click_is_a_chop_at_its_place(path: Path, rate: int, channels: int) -> None:
    chops = LiveChops(path)
    chops.prepare(rate, channels)
    found = listen(chops, clicks(rate, channels), [512])
    assert len(found) == len(CLICKS)
    for chop, at in zip(found, CLICKS, strict=True):
        assert abs(chop.position - at * rate / 44100) <= rate / 100  # curves know frames of 10 ms
    assert [chop.kind for chop in found] == KINDS
    scores = [chop.score for chop in found[:4]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("block", [1, 64, 65, 441, 1024, 8193])
def test_an_event_is_never_later_than_said(path: Path, block: int) -> None:
    """From the click to the end of the block that reports it; the block itself comes on top."""
    chops = LiveChops(path)
    chops.prepare(44100, 1)
    sound = clicks(channels=1)[:, : 50000 if block == 1 else None]
    places = [at for at in CLICKS if at < sound.shape[1] - 5000]
    reported = []
    for at in range(0, sound.shape[1], block):
        part = sound[:, at : at + block]
        reported += [at + part.shape[1] for _ in chops.process(part, at)]
    for end, place in zip(reported, places, strict=True):
        assert end - place <= chops.latency_samples + block
    # two of our frames' half windows, a frame of context, a frame of the picker and a frame to fill
    assert chops.latency_samples == 512 + 3 * 441


def test_chunked_equals_one_shot(path: Path) -> None:
    rng = np.random.default_rng(1)
    sound = rng.standard_normal((2, 100_000)).astype(np.float32) * np.repeat(rng.random(100), 1000).astype(np.float32)
    sound += np.pad(clicks(), ((0, 0), (0, 100_000 - 88_200)))
    chops = LiveChops(path, threshold=0.05)
    chops.prepare(44100, 2)
    whole = chops.process(sound, 0)
    assert len(whole) > 10
    for seed in range(3):
        sizes = np.random.default_rng(seed).integers(1, 3000, 500).tolist()
        chops.reset()
        heard = listen(chops, sound, sizes)
        assert [(chop.position, chop.kind) for chop in heard] == [(chop.position, chop.kind) for chop in whole]
        scores = [[chop.score for chop in chops_] for chops_ in (heard, whole)]
        np.testing.assert_allclose(*scores, rtol=1e-5)  # products of one frame and of many round differently


def test_the_same_moments_as_in_a_file(path: Path, tmp_path: Path) -> None:
    """Live curves of the tiny model are those of its other kind, so live chops are the file's onsets."""
    sound = clicks()
    network = CurveNetwork(OnnxModel.open(tiny_curves(tmp_path / "tiny-file.onnx")))
    source = open_features(MEL, 44100)
    frames = np.concatenate([source.process(sound.mean(axis=0)), source.flush()])
    peaks = pick_onsets(network.run(frames)[:, 0], MEL.frame_rate)
    chops = LiveChops(path)
    chops.prepare(44100, 2)
    found = listen(chops, sound, [700])
    np.testing.assert_array_equal([chop.position for chop in found], np.round(peaks.frames * 441))
    np.testing.assert_array_equal(np.array([chop.score for chop in found], np.float32), peaks.strengths)


def test_positions_are_those_of_the_input(path: Path) -> None:
    chops = LiveChops(path)
    chops.prepare(44100, 2)
    plain = listen(chops, clicks(), [512])
    chops.reset()
    later = listen(chops, clicks(), [512], start=2**40)
    assert [chop._replace(position=chop.position + 2**40) for chop in plain] == later


def test_a_gap_begins_anew(path: Path) -> None:
    """Dropped blocks: what comes after keeps its place, and nothing of before is heard into it."""
    chops, fresh = LiveChops(path), LiveChops(path)
    chops.prepare(44100, 2)
    fresh.prepare(44100, 2)
    sound = clicks()
    listen(chops, sound[:, :20100], [300])
    assert listen(chops, sound[:, 25000:], [300], 25000) == listen(fresh, sound[:, 25000:], [300], 25000)


def test_a_model_that_knows_chops_marks_chops(tmp_path: Path) -> None:
    """The curve of a user's own chops leads where there is one."""
    path = tiny_curves(tmp_path / "own.onnx", "frame-hop", curves=("onset", "beat", "chop", "phrase"))
    chops = LiveChops(path)
    chops.prepare(44100, 2)
    assert [chop.kind for chop in listen(chops, clicks(), [512])] == ["chop", "chop", "chop"]


def test_silence_and_broken_samples(path: Path) -> None:
    chops = LiveChops(path)
    chops.prepare(48000, 2)
    assert not chops.process(np.zeros((2, 0), np.float32), 0)
    assert not listen(chops, np.zeros((2, 48000), np.float32), [480])


def test_what_does_not_fit_is_said(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="kind frames"):
        LiveChops(tiny_curves(tmp_path / "file.onnx"))
    with pytest.raises(ModelError, match="stft-hop"):
        LiveChops(tiny_live4(tmp_path / "live.onnx"))
    with pytest.raises(ModelError, match="32050"):
        LiveChops(path).prepare(32050, 2)
    with pytest.raises(ModelError, match="channels"):
        LiveChops(path).prepare(44100, 0)


def test_both_tiny_kinds_say_the_same(path: Path, tmp_path: Path) -> None:
    """The live kind a frame later: what other tests of both kinds stand on."""
    frames = np.random.default_rng(2).random((50, MEL.bands)).astype(np.float32) * 5
    whole = CurveNetwork(OnnxModel.open(tiny_curves(tmp_path / "file.onnx"))).run(frames)
    stream = CurveStream(OnnxModel.open(path))
    live = np.stack([stream.push(frame).copy() for frame in frames])
    np.testing.assert_array_equal(live[stream.context_frames :], whole[: -stream.context_frames])
