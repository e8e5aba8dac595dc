"""Pieces made to a click keep one phase, however long the backbeat sounds like the beat; played ones stay as played."""

import numpy as np
import pytest
from numpy.typing import NDArray
from test_beats import RATE, clicks, f_measure, steady

import streaming.beats
from streaming.beats import Beats, decode_beats
from streaming.click import LONGEST_BEATS, SPAN_BEATS, even_length

Times = NDArray[np.float64]


def confused(bpm: float, count: int, turned: slice, metre: int = 4) -> tuple[Beats, Times, Times]:
    """What is decoded of a piece whose beats ``turned`` look like their offbeats; its true beats and downbeats."""
    true = steady(bpm, count)
    off = true[turned] + 30 / bpm
    heard = np.concatenate([np.delete(true, turned), off])
    down = np.delete(true, turned)[np.delete(np.arange(count), turned) % metre == 0]
    frames = int(true[-1] * RATE) + 70
    return decode_beats(clicks(heard, frames), clicks(down, frames), RATE), true, true[::metre]


@pytest.mark.parametrize("bpm", [84, 101.7, 128, 150])
@pytest.mark.parametrize("turned", [slice(60, 100), slice(0, 48), slice(150, 200)])
def test_a_click_is_not_left_for_its_offbeats(bpm: float, turned: slice, monkeypatch: pytest.MonkeyPatch) -> None:
    found, true, down = confused(bpm, 200, turned)
    assert f_measure(found.frames / RATE, true) > 0.98
    assert f_measure(found.frames[found.positions == 1] / RATE, down) > 0.98
    monkeypatch.setattr(streaming.beats, "even_beats", lambda *_: None)
    slipping, _, _ = confused(bpm, 200, turned)
    assert f_measure(slipping.frames / RATE, true) < 0.9  # else this test shows nothing


def test_a_piece_that_is_played_stays_as_it_was_played() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        true = 1 + np.cumsum(0.5 * np.exp(np.cumsum(rng.normal(0, 0.004, 160))))
        assert even_length(true * RATE) is None
        frames = int(true[-1] * RATE) + 70
        found = decode_beats(clicks(true, frames), clicks(true[::4], frames), RATE)
        assert f_measure(found.frames / RATE, true, 0.02) > 0.99


def test_two_tempi_are_no_click() -> None:
    first = steady(100, 90)
    second = first[-1] + steady(112, 90, 60 / 112)
    assert even_length(np.concatenate([first, second]) * RATE) is None


@pytest.mark.parametrize(("count", "even"), [(0, False), (2 * SPAN_BEATS - 1, False), (2 * SPAN_BEATS, True),
                                            (LONGEST_BEATS, True), (LONGEST_BEATS + 1, False)])  # fmt: skip
def test_neither_a_few_beats_nor_a_whole_night_are_a_song(count: int, even: bool) -> None:
    length = even_length(np.arange(count) * 25.3)
    assert length == pytest.approx(25.3) if even else length is None


def test_beats_before_the_first_peak_are_as_far_apart_as_the_others() -> None:
    turned = slice(0, 40)
    found, true, _ = confused(120, 200, turned)
    count = int(np.sum(found.frames / RATE < true[40] - 0.1))
    assert count >= 38
    np.testing.assert_allclose(np.diff(found.frames[:count]), 50, atol=2.5)  # half a decoded frame, 20 ms, and a bit
