"""Beats decoded from curves that were made from known beats, and held against them by matching of our own."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

import streaming.beats
from streaming.beats import NO_BEATS, Beats, _BarPointer, decode_beats, pick_phrases
from streaming.onsets import pick_onsets

RATE = 100.0
Curve = NDArray[np.float32]


def clicks(times: NDArray[np.float64], frames: int, height: float = 0.9) -> Curve:
    """A bump of about three frames at each time (s), as the networks make them."""
    curve = np.zeros(frames)
    for place in times * RATE:
        near = np.arange(max(0, int(place) - 4), min(frames, int(place) + 6))
        curve[near] = np.maximum(curve[near], height * np.exp(-0.5 * ((near - place) / 0.9) ** 2))
    return curve.astype(np.float32)


def steady(bpm: float, count: int, start_s: float = 0.7) -> NDArray[np.float64]:
    return start_s + np.arange(count) * 60 / bpm


def f_measure(found: NDArray[np.float64], true: NDArray[np.float64], within_s: float = 0.07) -> float:
    """Each true beat is met by at most one found beat: greedy in time is enough, for beats lie far apart."""
    hits, j = 0, 0
    for time in true:
        while j < len(found) and found[j] < time - within_s:
            j += 1
        if j < len(found) and abs(found[j] - time) <= within_s:
            hits, j = hits + 1, j + 1
    return 2 * hits / max(1, len(found) + len(true))


def check(found: Beats, true: NDArray[np.float64], metre: int, first: int = 0, within_s: float = 0.003) -> None:
    """Exactly these beats, with these places in the bar. The default is a third of a frame: parabolas on bumps that
    are none miss by up to 0.15 frames."""
    assert len(found.frames) == len(true)
    np.testing.assert_allclose(found.frames / RATE, true, atol=within_s)
    np.testing.assert_array_equal(found.positions, (np.arange(len(true)) + first) % metre + 1)
    assert found.beats_per_bar == metre


@pytest.mark.parametrize("metre", [3, 4])
@pytest.mark.parametrize("bpm", [52, 61.7, 75, 90, 99.9, 120, 128, 147.3, 174, 212])
def test_steady_beats(bpm: float, metre: int) -> None:
    true = steady(bpm, 64)
    for first in range(metre):  # a piece may begin anywhere in a bar
        down = true[(np.arange(64) + first) % metre == 0]
        frames = int(true[-1] * RATE) + 70
        found = decode_beats(clicks(true, frames), clicks(down, frames), RATE)
        check(found, true, metre, first)
        assert found.tempo == pytest.approx(bpm, rel=0.002)  # eight beats, each known to a third of a frame


@pytest.mark.parametrize("metre", [3, 4])
def test_drift_swing_noise_and_missing_beats(metre: int) -> None:
    for seed, bpm in itertools.product(range(3), (70, 96, 133, 180)):
        rng = np.random.default_rng([seed, bpm])
        lengths = 60 / bpm * np.exp(np.cumsum(rng.normal(0, 0.004, 160)))  # tempo wanders by some 5%
        true = 1 + np.cumsum(lengths) + rng.normal(0, 0.006, 160)  # and players are human
        frames = int(true[-1] * RATE) + 200
        played = true[rng.random(160) > 0.15]
        down = true[::metre][rng.random(len(true[::metre])) > 0.15]
        offbeats = true[:-1] + np.diff(true) * 0.62  # swung, and weaker
        beat = np.maximum(clicks(played, frames, 0.85), clicks(offbeats, frames, 0.1))
        noise = rng.random((2, frames)).astype(np.float32) * 0.1
        found = decode_beats(np.maximum(beat, noise[0]), np.maximum(clicks(down, frames), noise[1]), RATE)
        assert f_measure(found.frames / RATE, true) > 0.98  # a missing beat at either end cannot be known
        assert found.beats_per_bar == metre
        bars = found.frames[found.positions == 1] / RATE
        assert f_measure(bars, true[::metre]) > 0.97
        assert found.tempo == pytest.approx(60 / np.median(np.diff(true)), rel=0.02)


def test_beats_only_where_there_is_evidence() -> None:
    """Silence, then music, a break of three bars, music, and a long end."""
    true = steady(120, 96, start_s=20)
    down = true[::4]
    heard = np.ones(96, bool)
    heard[40:52] = False
    frames = 120_00
    found = decode_beats(clicks(true[heard], frames), clicks(down[heard[::4]], frames), RATE)
    check(found, true, 4, within_s=0.005)  # the break is counted through, between its neighbours


def test_two_pieces_with_silence_between() -> None:
    first, second = steady(84, 80, 3), steady(150, 160, 100)
    frames = 180_00
    true, down = np.concatenate([first, second]), np.concatenate([first[::4], second[::4]])
    found = decode_beats(clicks(true, frames), clicks(down, frames), RATE)
    assert len(found.frames) == len(true)
    np.testing.assert_allclose(found.frames / RATE, true, atol=0.003)
    np.testing.assert_allclose(found.frames[found.positions == 1] / RATE, down, atol=0.003)


def test_weak_downbeats_still_make_bars() -> None:
    true = steady(110, 80)
    down = clicks(true[2::4], 4600, 0.3)
    check(decode_beats(clicks(true, 4600, 0.5), down, RATE), true, 4, first=2)


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 64, 1000, 30_000])
def test_no_evidence_no_beats(frames: int) -> None:
    nothing = np.zeros(frames, np.float32)
    tiny = np.random.default_rng(frames).random(frames).astype(np.float32) * 0.08
    for beat in (nothing, tiny, np.full(frames, np.nan, np.float32)):
        found = decode_beats(beat, nothing, RATE)
        assert not len(found.frames)
        assert not len(found.positions)
        assert found.tempo == 0
        assert found.beats_per_bar in (3, 4)


def test_a_single_click_is_no_beat() -> None:
    one = clicks(np.array([4.0]), 1000, 0.99)
    assert not len(decode_beats(one, one, RATE).frames)


@pytest.mark.parametrize("frame_rate", [50.0, 100.0, 44100 / 256])
def test_any_frame_rate(frame_rate: float) -> None:
    true = steady(123, 60)
    frames = int(32 * frame_rate)
    grid = np.arange(frames) / frame_rate

    def curve(times: NDArray[np.float64]) -> Curve:
        return (0.9 * np.exp(-0.5 * ((grid[:, None] - times) / 0.01) ** 2)).max(axis=1).astype(np.float32)

    found = decode_beats(curve(true), curve(true[::4]), frame_rate)
    np.testing.assert_allclose(found.frames / frame_rate, true, atol=0.4 / frame_rate)
    assert found.tempo == pytest.approx(123, rel=0.002)


def test_the_seams_of_windows_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long piece read in many windows: what one window over all of it says."""
    rng = np.random.default_rng(4)
    true = 2 + np.cumsum(0.5 * np.exp(np.cumsum(rng.normal(0, 0.003, 600))))
    frames = int(true[-1] * RATE) + 300
    noise = rng.random((2, frames)).astype(np.float32) * 0.15
    beat = np.maximum(clicks(true[rng.random(600) > 0.1], frames), noise[0])
    down = np.maximum(clicks(true[::4], frames), noise[1])
    whole = decode_beats(beat, down, RATE)
    monkeypatch.setattr(streaming.beats, "WINDOW", 1500)
    monkeypatch.setattr(streaming.beats, "LAG", 700)
    pieces = decode_beats(beat, down, RATE)
    np.testing.assert_array_equal(whole.frames, pieces.frames)
    np.testing.assert_array_equal(whole.positions, pieces.positions)
    assert f_measure(whole.frames / RATE, true) > 0.99


Path = tuple[tuple[int, int], ...]


def every_path(
    gains: NDArray[np.float32], metre: int, lengths: list[int], enter: Curve, change: Curve
) -> Iterator[tuple[float, Path]]:
    """All chains of beats (frame, place in the bar) with their scores, from the definition."""

    def onward(time: int, beat: int, i: int, score: float, path: Path) -> Iterator[tuple[float, Path]]:
        score += float(gains[min(beat, 1), time])
        path = (*path, (time, beat + 1))
        yield score, path
        for j, length in enumerate(lengths):
            if time + length < gains.shape[1]:
                cost = float(change[j - i + len(change) // 2, j])
                yield from onward(time + length, (beat + 1) % metre, j, score + cost, path)

    for time, beat, i in itertools.product(range(gains.shape[1]), range(metre), range(len(lengths))):
        yield from onward(time, beat, i, float(enter[i]), ())


@pytest.mark.parametrize("metre", [2, 3])
def test_the_best_path_is_the_best_of_all(metre: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against every path there is, one by one, over a few random frames and a narrow choice of tempi."""
    monkeypatch.setattr(streaming.beats, "MAX_BPM", 750.0)
    monkeypatch.setattr(streaming.beats, "MIN_BPM", 450.0)
    rng = np.random.default_rng(metre)
    for _ in range(6):
        model = _BarPointer(metre, RATE / 2, 24)
        gains = rng.normal(1, 6, (2, 24)).astype(np.float32)
        every = every_path(gains, metre, model._lengths.tolist(), model._enter, model._change)
        best_score, best = max(every, key=lambda entry: entry[0])
        score, times, beats = model.run(gains)
        # to rest in between costs more than 24 frames bring back
        assert score == pytest.approx(best_score, abs=1e-3)  # sums of float32
        assert tuple(zip(times.tolist(), beats.tolist(), strict=True)) == best


def test_phrases_fall_on_downbeats() -> None:
    true = steady(120, 64, 1.0)
    frames = 3400
    beats = decode_beats(clicks(true, frames), clicks(true[::4], frames), RATE)
    bars = true[::4]
    at = np.array([bars[0] + 0.04, bars[4] - 0.1, bars[8], bars[9] + 0.02, bars[13] + 1.0])
    phrase = np.zeros(frames, np.float32)
    for time, height in zip(at, [0.9, 0.8, 0.6, 0.7, 0.9], strict=True):
        phrase = np.maximum(phrase, clicks(np.array([time]), frames, height))
    # the third lies a bar beside a stronger one, the last between two downbeats
    picked = pick_phrases(phrase, beats, RATE)
    np.testing.assert_array_equal(picked.frames, beats.frames[beats.positions == 1][[0, 4, 9]])
    np.testing.assert_allclose(picked.strengths, [0.9, 0.8, 0.7], atol=0.05)  # bumps between frames are lower


def test_phrases_without_beats_are_plain_peaks() -> None:
    phrase = clicks(np.array([1.0, 5.5]), 1000)
    plain = pick_onsets(phrase, RATE)
    for found, expected in zip(pick_phrases(phrase, NO_BEATS, RATE), plain, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not len(pick_phrases(np.zeros(0, np.float32), NO_BEATS, RATE).frames)
