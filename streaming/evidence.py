"""The evidence that a passage does not belong, and how one number comes of it.

For each scale (a beat, a bar, a phrase: embeddings of so many steps averaged) there are three things to know:

=========  ===========================================================================================
odds       what the network itself says: log odds of anything but good, averaged
distance   to the nearest of the memory of good audio (mean of the two nearest)
self       to the nearest quarter of the recording's own other passages; only for whole files, 0 live
=========  ===========================================================================================

and one more for whole files: what the reviewer says, who hears both ways (`reviewer`); log odds, 0 live.

Weights that were fitted on faults of kinds made for training make one number of them, ``oddness``: log odds, 0 where
the shipped threshold lies. Its p-value is conformal: how many of the calibration's n numbers, from good recordings that
nothing learned from, are as large: (1 + #) / (n + 1). Source: Vovk et al., Algorithmic Learning in a Random World.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import RequestError

Array = NDArray[np.float32]
Double = NDArray[np.float64]

NEAREST = 2
SELF_SHARE = 0.25
"""Of a recording's passages, how many a passage is held against, the nearest ones: a fault that comes again and again
is still rare."""
SELF_APART_S = 2.0
"""Passages nearer in time are no witness of each other: a fault would speak for itself."""
SELF_LEAST = 2
"""A recording shorter than this times what is left out round a passage says nothing of itself."""
SELF_PASSAGES = 2048
"""How many of a recording's passages are compared with, spread over it."""
ODDS_LIMIT = 12.0


def log_odds(good: Array) -> Array:
    """Log odds of not being good, from likelihoods of being good."""
    low = np.exp(-ODDS_LIMIT)
    p = np.clip(good.astype(np.float64), low, 1 - low)
    odds: Array = np.log((1 - p) / p).astype(np.float32)
    return odds


def averaged(values: Array, before: int, after: int) -> Array:
    """Each row ``(n, width)`` averaged with so many before and after it, fewer at the ends."""
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    places = np.arange(len(values))
    first, last = np.maximum(0, places - before), np.minimum(len(values), places + after + 1)
    mean: Array = ((total[last] - total[first]) / (last - first)[:, None]).astype(np.float32)
    return mean


def averaged_in_groups(values: Array, groups: NDArray[np.int64]) -> Array:
    """Each row ``(n, width)`` the mean of its group; ``groups (n,)`` never falls."""
    firsts = np.flatnonzero(np.diff(groups, prepend=groups[:1] - 1))
    sums = np.add.reduceat(values.astype(np.float64), firsts, axis=0)
    means = sums / np.diff(np.append(firsts, len(groups)))[:, None]
    spread: Array = np.repeat(means, np.diff(np.append(firsts, len(groups))), axis=0).astype(np.float32)
    return spread


def live_evidence(
    scales: Sequence[int], memory: Array, embeddings: Array, odds: Array, count: int | None = None
) -> Array:
    """Evidence of the last ``count`` steps, from themselves and what came before: ``(count, 3 × scales + 1)``.

    Args:
        memory: ``(scales, M, D)``.
        embeddings, odds: ``(n, D)`` and ``(n,)``, in the order of time; the evidence of all if ``count`` is None.
    """
    count = len(embeddings) if count is None else count
    columns = []
    for scale, known in zip(scales, memory, strict=True):
        mean = averaged(embeddings, scale - 1, 0)[len(embeddings) - count :]
        odds_mean = averaged(odds[:, None], scale - 1, 0)[len(odds) - count :, 0]
        columns += [odds_mean, distances(mean, known), np.zeros(count, np.float32)]
    return np.stack([*columns, np.zeros(count, np.float32)], axis=1)


def file_evidence(
    scales: Sequence[int],
    memory: Array,
    embeddings: Array,
    odds: Array,
    steps_a_second: float,
    groups: Sequence[NDArray[np.int64] | None] | None = None,
) -> Array:
    """Evidence of a whole file's steps ``(n, 3 × scales + 1)``: passages are centred, and compared with each other. The
    last column is for what the reviewer says, and zero.

    Args:
        groups: for each scale which passage each step belongs to, rising, where a beat says so; None centres.
    """
    columns = []
    for scale, known, group in zip(scales, memory, groups or [None] * len(scales), strict=True):
        mean, odds_mean = (_around(values, scale, group) for values in (embeddings, odds[:, None]))
        apart = round(SELF_APART_S * steps_a_second) + scale // 2
        columns += [odds_mean[:, 0], distances(mean, known), self_distances(mean, apart, scale)]
    return np.stack([*columns, np.zeros(len(odds), np.float32)], axis=1)


def _around(values: Array, scale: int, group: NDArray[np.int64] | None) -> Array:
    before = scale // 2
    return averaged(values, before, scale - before - 1) if group is None else averaged_in_groups(values, group)


def distances(points: Array, memory: Array, nearest: int = NEAREST) -> Array:
    """The mean distance of each point ``(n, D)`` to its nearest of ``(M, D)``."""
    out = np.zeros(len(points), np.float32)
    if not len(memory):
        return out
    norm = np.square(memory).sum(axis=1)
    count = min(nearest, len(memory))
    for i in range(0, len(points), 512):
        some = points[i : i + 512]
        square = np.square(some).sum(axis=1)[:, None] + norm - 2 * (some @ memory.T)
        near = np.partition(square, count - 1, axis=1)[:, :count]
        out[i : i + 512] = np.sqrt(np.maximum(near, 0)).mean(axis=1)
    return out


def self_distances(points: Array, apart: int, steps: int) -> Array:
    """How far each passage is from the nearest others of its own recording, less the recording's median.

    Args:
        points: ``(n, D)`` in the order of time.
        apart: rows nearer than this are left out.
        steps: rows that one point averages; too few of them say nothing: zeros.
    """
    count = len(points)
    if count < SELF_LEAST * (2 * apart + steps):
        return np.zeros(count, np.float32)
    places = np.unique(np.linspace(0, count - 1, min(count, SELF_PASSAGES)).astype(int))
    others = points[places]
    norm = np.square(others).sum(axis=1)
    nearest = max(1, int(SELF_SHARE * len(places)))
    out = np.zeros(count, np.float32)
    for i in range(0, count, 512):
        some = points[i : i + 512]
        square = np.square(some).sum(axis=1)[:, None] + norm - 2 * (some @ others.T)
        square[np.abs(np.arange(i, i + len(some))[:, None] - places) < apart] = np.inf
        near = np.sqrt(np.maximum(np.partition(square, nearest - 1, axis=1)[:, :nearest], 0))
        out[i : i + 512] = near.mean(axis=1)
    result: Array = out - np.median(out).astype(np.float32)
    return result


def oddness(evidence: Array, weights: Array) -> Double:
    """One number for each row of evidence ``(n, 3 × scales + 1)``; the last of ``weights`` is added."""
    number: Double = evidence.astype(np.float64) @ weights[:-1].astype(np.float64) + float(weights[-1])
    return number


def score_of(oddness: Double) -> Double:
    """Log odds to 0 … 1."""
    score: Double = 1 / (1 + np.exp(-np.clip(oddness, -40, 40)))
    return score


def score_at(p_value: float, calibration: NDArray[np.float32]) -> float:
    """The least score whose p-value is at most this. Raises `RequestError` where there is none."""
    count = len(calibration)
    larger = math.floor(p_value * (count + 1) + 1e-9) - 1
    if larger < 0:
        raise RequestError(
            f"a threshold of {p_value:g} is finer than this model was calibrated: "
            f"its least p-value is {1 / (count + 1):.2g}"
        )
    above = np.nextafter(calibration[count - 1 - larger], np.float32(np.inf))
    return float(score_of(np.array([above], np.float64))[0])


def p_values(oddness: Double, calibration: Array) -> Double:
    """Conformal, against sorted numbers of good audio."""
    larger = len(calibration) - np.searchsorted(calibration, oddness.astype(np.float32), side="left")
    p: Double = (1 + larger) / (len(calibration) + 1)
    return p
