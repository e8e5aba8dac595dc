"""Flags as they sound: a model that finds hiss odd, beside detectors of technical faults."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_models import tiny_curves, tiny_flagger

from streaming.errors import ModelError
from streaming.flags import Flag
from streaming.live_flags import LiveFlags, read_fine

Audio = NDArray[np.float32]
RATE = 44100


def music(seconds: float, rate: int = RATE, channels: int = 2, seed: int = 0) -> Audio:
    """Low tones that swell, from silence to silence: nothing in it is odd to the tiny model."""
    t = np.arange(round(seconds * rate)) / rate
    rng = np.random.default_rng(seed)
    tones = np.zeros(len(t))
    for hz in (131.3, 174.9, 221.7):
        tones += np.sin(2 * np.pi * hz * t + rng.random()) * (1 + np.sin(t * hz / 70))
    tones *= 0.05 * np.clip(20 * np.minimum(t, t[-1] - t), 0, 1)
    return np.tile(tones.astype(np.float32), (channels, 1))


def hiss(audio: Audio, start: float, end: float, rate: int = RATE, gain: float = 0.3) -> Audio:
    """White noise from ``start`` to ``end`` (s)."""
    out = audio.copy()
    part = out[:, round(start * rate) : round(end * rate)]
    part += np.random.default_rng(1).uniform(-gain, gain, part.shape[1]).astype(np.float32)
    return out


def dropped(audio: Audio, start: float, end: float, rate: int = RATE) -> Audio:
    out = audio.copy()
    out[:, round(start * rate) : round(end * rate)] = 0
    return out


def listen(flags: LiveFlags, audio: Audio, sizes: list[int], start: int = 0) -> list[tuple[int, Flag]]:
    """Each flag with the position by which it was told."""
    told, at, k = [], 0, 0
    while at < audio.shape[1]:
        block = audio[:, at : at + sizes[k % len(sizes)]]
        told += [(start + at + block.shape[1], flag) for flag in flags.process(block, start + at)]
        at, k = at + block.shape[1], k + 1
    return told


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_flagger(tmp_path_factory.mktemp("live") / "tiny-flags.onnx")


def opened(path: Path, rate: int = RATE, channels: int = 2) -> LiveFlags:
    flags = LiveFlags(path)
    flags.prepare(rate, channels)
    return flags


@pytest.mark.parametrize("rate", [44100, 48000, 88200, 96000])
@pytest.mark.parametrize("channels", [1, 2])
def test_each_passage_is_one_flag_at_its_place(path: Path, rate: int, channels: int) -> None:
    audio = hiss(music(12, rate, channels), 4.0, 5.5, rate)
    audio = dropped(audio, 8.0, 8.05, rate)
    flags = [flag for _, flag in listen(opened(path, rate, channels), audio, [512])]
    assert [flag.kind for flag in flags] == ["noise", "dropout"]
    noise, dropout = flags
    assert abs(noise.start / rate - 4.0) <= 0.4
    assert abs(noise.end / rate - 5.5) <= 0.4
    assert noise.score >= 0.5 > noise.p_value
    assert abs(dropout.start / rate - 8.0) < 0.001
    assert abs(dropout.end / rate - 8.05) < 0.001


@pytest.mark.parametrize("block", [64, 65, 1024, 8193])
def test_a_flag_is_never_later_than_said(path: Path, block: int) -> None:
    flags = opened(path)
    audio = dropped(hiss(music(10), 3.0, 4.0), 6.0, 6.1)
    told = listen(flags, audio, [block])
    assert [flag.kind for _, flag in told] == ["noise", "dropout"]
    for when, flag in told:
        assert when - flag.end <= flags.latency_samples + block
    assert flags.latency_samples < 13 * RATE


def test_a_passage_that_lasts_is_told_before_it_is_over_and_once(path: Path) -> None:
    told = listen(opened(path), hiss(music(15), 3.0, 12.0), [512])
    assert [flag.kind for _, flag in told] == ["noise"]
    when, flag = told[0]
    assert abs(flag.start / RATE - 3.0) <= 0.4
    assert when / RATE < 7.0


def test_chunked_equals_one_shot_and_reset_equals_fresh(path: Path) -> None:
    audio = dropped(hiss(music(9), 2.0, 3.5), 6.0, 6.02)
    flags = opened(path)
    whole = flags.process(audio, 0)
    assert len(whole) == 2
    for seed in range(3):
        flags.reset()
        sizes = np.random.default_rng(seed).integers(1, 5000, 300).tolist()
        assert [flag for _, flag in listen(flags, audio, sizes)] == whole


def test_positions_are_those_of_the_input_and_a_gap_begins_anew(path: Path) -> None:
    audio = hiss(music(8), 2.0, 3.5)
    flags, fresh = opened(path), opened(path)
    plain = [flag for _, flag in listen(flags, audio, [512])]
    later = [flag for _, flag in listen(flags, audio, [512], 2**40)]
    assert later == [flag._replace(start=flag.start + 2**40, end=flag.end + 2**40) for flag in plain]
    listen(flags, audio[:, :100_000], [700], 0)
    rest = audio[:, 60_000:]
    assert listen(flags, rest, [300], 200_000) == listen(fresh, rest, [300], 200_000)


def test_what_was_fine_is_flagged_no_more_until_taken_back(path: Path, tmp_path: Path) -> None:
    audio = hiss(music(8), 2.0, 4.0)
    flags = opened(path)
    assert len(listen(flags, audio, [512])) == 1
    steps = [s for s in opened(path)._flagger.process(audio, 0) if 1.5 * RATE < s.position < 4.5 * RATE]
    np.savez(
        tmp_path / "fine.npz", embeddings=np.stack([step.embedding for step in steps]), passages=np.ones(len(steps))
    )
    flags.teach(read_fine(tmp_path / "fine.npz"))
    flags.reset()
    assert not listen(flags, audio, [512])
    flags.teach(read_fine(tmp_path / "none.npz"))
    flags.reset()
    assert len(listen(flags, audio, [512])) == 1


def test_a_broken_file_of_what_was_fine_holds_nothing(tmp_path: Path) -> None:
    for content in (b"", b"PK\x03\x04broken", b"not an archive"):
        (tmp_path / "fine.npz").write_bytes(content)
        assert len(read_fine(tmp_path / "fine.npz")) == 0


def test_the_threshold_is_a_p_value(path: Path) -> None:
    """A faint hiss: odd to one in ten of good passages, not to one in a hundred."""
    audio = hiss(music(8), 2.0, 5.0, gain=0.009)
    flags = opened(path)
    counts = {}
    for threshold in (0.0, 0.01, 0.5):
        flags.threshold = threshold
        flags.reset()
        counts[threshold] = len(listen(flags, audio, [512]))
    assert counts[0.01] == 0
    assert counts[0.5] == 1


def test_silence_and_short_blocks(path: Path) -> None:
    flags = opened(path)
    assert not flags.process(np.zeros((2, 0), np.float32), 0)
    assert not listen(flags, np.zeros((2, 5 * RATE), np.float32), [441])


def test_what_does_not_fit_is_said(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="frame-hop"):
        LiveFlags(tiny_curves(tmp_path / "chops.onnx", "frame-hop"))
    with pytest.raises(ModelError, match="32050"):
        opened(path, 32050)
    with pytest.raises(ModelError, match="channels"):
        opened(path, RATE, 0)
