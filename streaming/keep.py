"""Which steps of a recording to keep: the two-state Viterbi path over how odd each one is.

A step is kept or cut. Keeping one that is odder than the ``limit`` (log odds) costs as much as it is odder, and so does
cutting one that is less odd. Each change between the two costs `SWITCH`, so a single doubtful step changes nothing; who
knows where edges are says what one costs at each step.
Runs have a least length, which the path obeys exactly::

    odd     ▁▁▂▁▁▂▁▅█▇▃▆▇█▂▁▁▁▇▁▁▂▁▁▁▁
    kept    ━━━━━━━━        ━━━━━━━━━━      one odd step is no cut: a pause between kept parts stays
    padded  ━━━━━━━━━      ━━━━━━━━━━━

`keep` looks for the limit at which the asked share of the recording stays, padding counted. The share is a staircase of
the limit; between the two stairs next to what was asked, the earlier part of one path and the later part of the other
come nearer still. They meet where they agree if that comes within `NEAR` of the share, or else anywhere: then a passage
is kept in part. The same scores always give the same path.

Source: A. Viterbi, "Error bounds for convolutional codes" (1967); least lengths as in hidden semi-Markov models.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Odds = NDArray[np.float64]

SWITCH = 3.0
"""Log odds that a change between keeping and cutting costs."""
ODDS_LIMIT = 12.0
"""A score of 0 or 1 counts as this much (log odds)."""
SHORTEST_S, PAUSE_S = 0.3, 1.0
"""What is usual: no kept part is shorter than the one, and no shorter pause than the other is cut."""
NEAR = 0.02
"""A share this near is near enough to leave passages whole."""
_BISECTIONS = 40
_TRIES = 64


@dataclass(frozen=True)
class Rules:
    """What a path must obey, in steps.

    Attributes:
        min_kept: no kept run is shorter, unless it is the whole recording.
        min_cut: a shorter run between two kept ones is a pause, and stays.
        pad: every kept run is longer by this on both sides.
        switch: log odds that a change costs.
    """

    min_kept: int = 1
    min_cut: int = 1
    pad: int = 0
    switch: float = SWITCH


def keep(scores: NDArray[np.floating], ratio: float, rules: Rules | None = None, costs: Odds | None = None) -> Mask:
    """Which steps to keep so that as nearly as possible ``ratio`` of them stay.

    Args:
        scores: how odd each step is, 0 … 1, ``(n,)``.
        ratio: 0 … 1.
        costs: what a change just before each step costs, ``(n,)``, where that is not everywhere `Rules.switch`.

    Raises:
        ValueError: the ratio lies outside.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"a ratio of {ratio:g} lies outside 0 … 1")
    rules = rules or Rules()
    odds = log_odds(scores)
    count = len(odds)
    if not count or ratio in (0, 1):
        return np.full(count, ratio > 0)
    low, high = float(odds.min()) - 1, float(odds.max()) + 1
    fewer, more = path(odds, low, rules, costs), path(odds, high, rules, costs)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        found = path(odds, middle, rules, costs)
        if padded(found, rules.pad).mean() <= ratio:
            low, fewer = middle, found
        else:
            high, more = middle, found
        if np.array_equal(fewer, more):
            break
    ways = ((fewer, more), (more, fewer))
    whole = [fewer, more, *(mask for way in ways for mask in _joined(*way, ratio, rules, agreeing=True))]
    found = _nearest(whole, odds, ratio, rules)
    if abs(float(found.mean()) - ratio) > NEAR:
        parts = [mask for way in ways for mask in _joined(*way, ratio, rules, agreeing=False)]
        found = _nearest([*whole, *parts], odds, ratio, rules)
    return found


def keep_below(scores: NDArray[np.floating], threshold: float, rules: Rules | None = None) -> Mask:
    """Which steps to keep where what scores at or above ``threshold`` is to go."""
    rules = rules or Rules()
    return padded(path(log_odds(scores), float(log_odds(np.array([threshold]))[0]), rules), rules.pad)


def log_odds(scores: NDArray[np.floating]) -> Odds:
    """Scores 0 … 1 as log odds, within ±`ODDS_LIMIT`."""
    least = 1 / (1 + np.exp(ODDS_LIMIT))
    inside = np.clip(scores.astype(np.float64), least, 1 - least)
    odds: Odds = np.log(inside / (1 - inside))
    return odds


def path(odds: Odds, limit: float, rules: Rules, costs: Odds | None = None) -> Mask:
    """The best path at this limit, not padded yet. Where two are equally good, the one that cuts.

    ``costs`` as for `keep`; one below 0 asks for a change.

    ``kept[t]`` and ``cut[t]`` are the best totals of the first t steps that end in such a run, at least as long as it
    must be: either it goes on, or it began its least length ago.
    """
    count = len(odds)
    least_kept, least_cut = max(1, rules.min_kept), max(1, rules.min_cut, 2 * rules.pad + 1)
    total = np.concatenate([[0.0], np.cumsum(limit - odds)]).tolist()
    change = [*(np.full(count, rules.switch) if costs is None else costs).tolist(), 0.0]
    never = -np.inf
    kept, cut = [never] * (count + 1), [0.0] * (count + 1)  # what is cut at the beginning is no pause
    began_kept, began_cut = [0] * (count + 1), [0] * (count + 1)
    for t in range(1, count + 1):
        since = t - least_kept
        if since >= 0:
            kept[t], began_kept[t] = kept[t - 1] + total[t] - total[t - 1], began_kept[t - 1]
            before = cut[since] - change[since] if since else 0.0
            if before + total[t] - total[since] > kept[t]:
                kept[t], began_kept[t] = before + total[t] - total[since], since
        since = t - least_cut
        cut[t], began_cut[t] = cut[t - 1], began_cut[t - 1]
        if since > 0 and kept[since] - change[since] >= cut[t]:
            cut[t], began_cut[t] = kept[since] - change[since], since
    first = max(0, count - least_cut + 1)  # nor is what is cut at the end
    ends = [kept[t] - change[t] for t in range(first, count + 1)]
    last = first + int(np.argmax(ends))
    mask = np.zeros(count, np.bool_)
    best = max(kept[count], cut[count], ends[last - first])
    if count < least_kept:
        return np.full(count, total[count] > 0)
    if kept[count] == best and cut[count] < best:
        at, keeps = count, True
    elif cut[count] == best:
        at, keeps = count, False
    else:
        at, keeps = last, True
    while at > 0:
        began = began_kept[at] if keeps else began_cut[at]
        mask[began:at] = keeps
        at, keeps = began, not keeps
    return mask


def padded(mask: Mask, pad: int) -> Mask:
    """Every kept run longer by ``pad`` on both sides."""
    if not pad:
        return mask
    out = mask.copy()
    for first, end in runs(mask):
        out[max(0, first - pad) : end + pad] = True
    return out


def runs(mask: Mask) -> list[tuple[int, int]]:
    """Where a mask is true: first and end (excluded) of every run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def in_samples(mask: Mask, step: float, samples: int) -> list[tuple[int, int]]:
    """The same in samples, of steps that are ``step`` samples apart and reach half of that to either side; the last
    reaches to the end."""

    def at(edge: int) -> int:
        return 0 if edge == 0 else samples if edge == len(mask) else round((edge - 0.5) * step)

    return [(at(first), at(end)) for first, end in runs(mask)]


def obeys(mask: Mask, rules: Rules) -> bool:
    """Whether a path that is not padded keeps to the least lengths."""
    kept = runs(mask)
    if len(kept) == 1 and kept[0] == (0, len(mask)):
        return True
    pauses = [(before[1], after[0]) for before, after in pairwise(kept)]
    least_cut = max(1, rules.min_cut, 2 * rules.pad + 1)
    return all(end - first >= rules.min_kept for first, end in kept) and all(
        end - first >= least_cut for first, end in pauses
    )


def _nearest(masks: list[Mask], odds: Odds, ratio: float, rules: Rules) -> Mask:
    """Padded, the mask whose share is nearest; of two equally near the one that keeps less of what is odd."""
    ready = [padded(mask, rules.pad) for mask in masks]
    return min(ready, key=lambda mask: (round(abs(float(mask.mean()) - ratio) * len(mask)), float(odds[mask].sum())))


def _joined(earlier: Mask, later: Mask, ratio: float, rules: Rules, agreeing: bool) -> list[Mask]:
    """The path that goes over from one to the other where the share comes nearest, if there is one.

    Args:
        agreeing: only where both keep, or both cut.
    """
    count = len(earlier)
    places = np.flatnonzero(earlier == later) if agreeing else np.arange(count)
    first, second = padded(earlier, rules.pad), padded(later, rules.pad)
    before = np.concatenate([[0], np.cumsum(first)])
    after = np.concatenate([[0], np.cumsum(second)])
    shares = (before[places] + after[-1] - after[places]) / count
    for place in places[np.argsort(np.abs(shares - ratio), kind="stable")][:_TRIES].tolist():
        mask = np.concatenate([earlier[:place], later[place:]])
        if obeys(mask, rules):
            return [mask]
    return []
