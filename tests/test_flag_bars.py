"""Steps in whole beats, bars and phrases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.flags.bars import groups_of
from streaming.evidence import averaged, averaged_in_groups, file_evidence

STEP = 160


def beat_of(seconds: float, beats_a_bar: int = 4, start: int = 0, count: int = 64) -> tuple[np.ndarray, np.ndarray]:
    beats = start + np.round(np.arange(count) * seconds * 1000).astype(np.int64)
    return beats, np.arange(count) % beats_a_bar + 1


def test_scales_become_bars_and_phrases() -> None:
    """Beats of half a second, steps of 0.16 s: 2 s are a bar of 12 or 13 steps, 10 s five of them."""
    beats, numbers = beat_of(0.5)
    positions = np.arange(0, 32_000, STEP)
    groups = groups_of(positions, beats, numbers, (1, 4, 13, 64))
    assert groups is not None
    step, beat, bar, phrase = groups
    assert step is None
    assert beat is not None
    assert bar is not None
    assert phrase is not None
    assert (beat == positions // 500).all()
    assert (bar == positions // 2000).all()
    assert (phrase == positions // 10_000).all()


def test_an_odd_metre_and_an_upbeat() -> None:
    beats, numbers = beat_of(0.5, 3, 700)
    numbers = (numbers + 1) % 3 + 1  # the bar begins with the second beat
    positions = np.arange(0, 20_000, STEP)
    groups = groups_of(positions, beats, numbers, (1, 9))
    assert groups is not None
    assert groups[1] is not None
    starts = positions[np.flatnonzero(np.diff(groups[1])) + 1]
    assert (np.diff(starts) - 1500 < STEP).all()
    assert 1200 <= starts[0] < 1200 + STEP


def test_without_a_beat_there_are_no_groups() -> None:
    assert groups_of(np.arange(10) * STEP, np.array([3]), np.array([1]), (1, 4)) is None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_beats_give_rising_groups_of_a_bounded_length(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 300))
    beats = np.unique(data.draw(st.lists(st.integers(0, count * STEP), min_size=2, max_size=40)))
    numbers = np.array(data.draw(st.lists(st.integers(1, 4), min_size=len(beats), max_size=len(beats))), np.int64)
    scale = data.draw(st.integers(2, 40))
    groups = groups_of(np.arange(count) * STEP, beats, numbers, (scale,))
    if groups is None:
        assert len(beats) < 2
        return
    (group,) = groups
    assert group is not None
    assert group[0] == 0
    assert set(np.diff(group).tolist()) <= {0, 1}
    assert np.bincount(group).max() <= 2 * scale


def test_a_mean_in_groups_is_the_mean() -> None:
    values = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    groups = np.array([4, 4, 5, 7, 7, 7, 9, 9, 9])
    out = averaged_in_groups(values, groups)
    for group in (4, 5, 7, 9):
        inside = groups == group
        np.testing.assert_allclose(out[inside], np.broadcast_to(values[inside].mean(axis=0), (inside.sum(), 3)), 1e-5)


@pytest.mark.parametrize("alone", [True, False])
def test_evidence_in_groups_of_one_is_that_of_single_steps(alone: bool) -> None:
    """And without groups nothing changes: each scale hears a window round the step."""
    rng = np.random.default_rng(1)
    embeddings, odds = rng.standard_normal((200, 4)).astype(np.float32), rng.standard_normal(200).astype(np.float32)
    memory = rng.standard_normal((2, 8, 4)).astype(np.float32)
    groups = [None, np.arange(200)] if alone else None
    found = file_evidence((1, 4), memory, embeddings, odds, 6.25, groups)
    wanted = odds if alone else averaged(odds[:, None], 2, 1)[:, 0]
    np.testing.assert_allclose(found[:, 3], wanted, atol=1e-6)
