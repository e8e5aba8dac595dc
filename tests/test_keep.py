"""The keep list's path: as good as every other that obeys the rules, as near the asked share as it can be."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streaming.keep import Rules, in_samples, keep, keep_below, log_odds, obeys, padded, path, runs

RULES = [Rules(), Rules(2, 1), Rules(1, 3), Rules(3, 2, 0, 1.0), Rules(2, 2, 1, 0.5), Rules(4, 5, 0, 2.0)]


def value(mask: NDArray[np.bool_], odds: NDArray[np.float64], limit: float, costs: NDArray[np.float64]) -> float:
    """What a path is worth, by the words of the module's docstring."""
    changes = mask[1:] != mask[:-1]
    return float((limit - odds)[mask].sum()) - float(costs[1:][changes].sum())


def every_path(count: int, rules: Rules) -> list[NDArray[np.bool_]]:
    masks = (np.array(bits, np.bool_) for bits in itertools.product((False, True), repeat=count))
    return [mask for mask in masks if obeys(mask, rules)]


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("seed", range(6))
def test_no_other_path_is_better(rules: Rules, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(5, 12))
    odds = rng.normal(0, 2, count)
    for limit in (-2.0, -0.5, 0.0, 0.7, 3.0):
        found = path(odds, limit, rules)
        assert obeys(found, rules)
        even = np.full(count, rules.switch)
        best = max(value(mask, odds, limit, even) for mask in every_path(count, rules))
        assert value(found, odds, limit, even) == pytest.approx(best)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("seed", range(6))
def test_no_other_path_is_better_where_changes_cost_here_more_and_there_less(rules: Rules, seed: int) -> None:
    rng = np.random.default_rng((1, seed))
    count = int(rng.integers(5, 12))
    odds, costs = rng.normal(0, 2, count), rng.normal(2, 4, count)  # below 0 a change is asked for
    for limit in (-2.0, -0.5, 0.0, 0.7, 3.0):
        found = path(odds, limit, rules, costs)
        assert obeys(found, rules)
        best = max(value(mask, odds, limit, costs) for mask in every_path(count, rules))
        assert value(found, odds, limit, costs) == pytest.approx(best)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(0, 1, allow_subnormal=False), max_size=60),
    st.floats(0, 1, allow_subnormal=False),
    st.builds(Rules, st.integers(1, 8), st.integers(1, 8), st.integers(0, 3), st.floats(0, 8, allow_subnormal=False)),
)
def test_any_scores_give_a_path_that_obeys(scores: list[float], ratio: float, rules: Rules) -> None:
    odd = np.array(scores)
    mask = keep(odd, ratio, rules)
    assert mask.shape == odd.shape
    assert np.array_equal(mask, keep(odd, ratio, rules))
    wanted = Rules(rules.min_kept, max(1, rules.min_cut - 2 * rules.pad))
    assert obeys(mask, wanted) or 2 * rules.pad + rules.min_kept > len(mask)


@pytest.mark.parametrize("pad", [0, 2])
@pytest.mark.parametrize("ratio", [0.1, 0.35, 0.5, 0.8, 0.95])
def test_the_share_is_met(ratio: float, pad: int) -> None:
    """Passages of 8 steps: the share is met to within one of them, or two where padding makes neighbours one."""
    rng = np.random.default_rng(3)
    scores = np.repeat(rng.random(100), 8) * 0.9 + 0.05 * rng.random(800)
    mask = keep(scores, ratio, Rules(4, 4, pad))
    assert abs(mask.mean() - ratio) <= (16 if pad else 8) / 800 + 1e-9


@pytest.mark.parametrize("pad", [0, 3])
@pytest.mark.parametrize("ratio", [0.3, 0.6, 0.9, 0.97])
def test_a_long_passage_is_kept_in_part_where_the_share_asks_for_it(ratio: float, pad: int) -> None:
    """One passage of many steps, all equally odd: without cutting it in two, 0.6 or 1 would stay."""
    scores = np.full(200, 0.05)
    scores[60:140] = 0.99
    mask = keep(scores, ratio, Rules(3, 3, pad))
    assert abs(mask.mean() - ratio) <= 0.02
    assert (~mask[60:140]).sum() >= min(80 - 2 * pad, 200 * (1 - ratio) - 4)


def test_the_odd_ones_go() -> None:
    scores = np.full(200, 0.05)
    scores[60:90] = scores[150:160] = 0.9
    mask = keep(scores, 0.8, Rules(3, 3))
    assert runs(~mask) == [(60, 90), (150, 160)]
    assert runs(~keep(scores, 0.85, Rules(3, 3))) == [(60, 90)]
    assert runs(~keep_below(scores, 0.5, Rules(3, 3))) == [(60, 90), (150, 160)]


def test_short_pauses_stay_and_short_parts_go() -> None:
    scores = np.full(100, 0.02)
    scores[50:80], scores[20:24], scores[60:63] = 0.98, 0.6, 0.02
    mask = keep_below(scores, 0.5, Rules(min_kept=5, min_cut=6))
    assert runs(mask) == [(0, 50), (80, 100)]
    scores[20:24] = 0.98
    assert runs(keep_below(scores, 0.5, Rules(1, 1))) == [(0, 20), (24, 50), (60, 63), (80, 100)]


def test_padding_reaches_into_what_is_cut() -> None:
    scores = np.full(60, 0.02)
    scores[20:40] = 0.98
    assert runs(keep_below(scores, 0.5, Rules(pad=3))) == [(0, 23), (37, 60)]
    assert runs(keep_below(scores, 0.5, Rules(pad=20))) == [(0, 60)]  # nothing would be left to cut
    assert runs(padded(np.array([0, 0, 1, 0, 0, 0], np.bool_), 1)) == [(1, 4)]


def test_all_nothing_and_neither() -> None:
    scores = np.linspace(0, 1, 20)
    assert keep(scores, 1.0).all()
    assert not keep(scores, 0.0).any()
    assert keep(np.zeros(0), 0.5).shape == (0,)
    assert keep(np.zeros(5), 0.9, Rules(min_kept=10)).all()
    for ratio in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="lies outside"):
            keep(scores, ratio)


def test_log_odds_have_ends() -> None:
    assert log_odds(np.array([0.0, 0.5, 1.0])) == pytest.approx([-12, 0, 12])


def test_steps_reach_half_way_to_the_next_and_the_first_and_last_to_the_ends() -> None:
    mask = np.array([1, 1, 0, 0, 1, 0, 1], np.bool_)
    assert in_samples(mask, 441.0, 3000) == [(0, 662), (1544, 1984), (2426, 3000)]
    assert in_samples(~mask, 441.0, 3000) == [(662, 1544), (1984, 2426)]
    assert in_samples(np.ones(7, np.bool_), 441.0, 3000) == [(0, 3000)]
    assert in_samples(np.zeros(7, np.bool_), 441.0, 3000) == []
