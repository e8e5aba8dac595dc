"""Few out of many that are worth having and unlike one another: the greedy methods, and one repair.

Every method weighs the same two numbers, both 0..1, with the same λ, the weight of relevance (as in Maximal Marginal
Relevance; sampleChop's and Gollapudi and Sharma's λ weighs diversity instead, and is 1 - λ here):

    max-min    λ · mean relevance + (1 - λ) · least distance between two chosen
    max-sum    λ · mean relevance + (1 - λ) · mean distance between two chosen
    mad        none for the whole set; each step takes what maximises λ · relevance + (1 - λ) · mean distance to those
               already taken, the most relevant first

For distance alone, taking the farthest from those taken is within half of the best least distance (Ravi, Rosenkrantz
and Tayi 1994), and Borodin's greedy within half of the best sum whatever λ. For max-min between the ends nothing is
proven for the mean of relevance; swapping one chosen for one other, while that helps, closes most of what is left (the
tests hold it against brute force).

Sources: Gollapudi and Sharma, An Axiomatic Approach for Result Diversification, WWW 2009. Borodin, Lee and Ye, Max-Sum
Diversification, Monotone Submodular Functions and Dynamic Updates, arXiv 1203.6397. Maximal Average Diversification:
the README of github.com/joerenner/sampleChop.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .spacing import Spacing

Objective = Literal["max-min", "max-sum", "mad"]

SAMPLE = 128
"""Candidates between which the scale of distances is measured; more are thinned evenly."""
IN_TIME = 0.01
"""How far apart, at most, two that sound the same are by their places alone: so repeats are taken far apart."""
SWAPS = 64


class Space:
    """Distances 0..1 between candidates: Euclidean over a scale, cut at 1. Columns are made when asked for, and kept.

    Args:
        points: ``(candidates, dimensions)``.
        quantile: the scale is this quantile of all distances: .95 lets one outlier not flatten the rest.
        least_scale: no smaller scale than this, lest the noise between equal sounds is blown up to variety.
        places: 0..1 along the file.
    """

    def __init__(
        self, points: NDArray[np.float32], quantile: float, least_scale: float, places: NDArray[np.float64]
    ) -> None:
        self._points = points.astype(np.float64)
        self._places = places * IN_TIME
        self._squares = np.einsum("nd,nd->n", self._points, self._points)
        some = np.linspace(0, len(points) - 1, min(len(points), SAMPLE)).astype(np.intp)
        apart = self._apart(some, some)[np.triu_indices(len(some), 1)]
        self.scale = max(least_scale, float(np.quantile(apart, quantile)) if len(apart) else 0.0)
        self._columns: dict[int, NDArray[np.float64]] = {}

    def __len__(self) -> int:
        return len(self._points)

    def column(self, index: int) -> NDArray[np.float64]:
        """Distances of all from one, ``(candidates,)``."""
        if index not in self._columns:
            apart = self._apart(slice(None), np.array([index]))[:, 0] / self.scale
            self._columns[index] = np.minimum(1, np.hypot(apart, self._places - self._places[index]))
        return self._columns[index]

    def columns(self, indices: list[int]) -> NDArray[np.float64]:
        """``(candidates, indices)``."""
        return np.stack([self.column(i) for i in indices], axis=1)

    def _apart(self, these: NDArray[np.intp] | slice, those: NDArray[np.intp]) -> NDArray[np.float64]:
        # Not @: a second BLAS thread, on a core that is busy, costs more than the product.
        products = np.einsum("nd,md->nm", self._points[these], self._points[those])
        squares = self._squares[these, None] + self._squares[those] - 2 * products
        # Rounding leaves 1e-16 of the squares; a root makes 1e-8 of that: equal points stay equal.
        apart: NDArray[np.float64] = np.sqrt(np.maximum(0, squares))
        return apart


def take_greedily(
    space: Space,
    worth: NDArray[np.float64],
    diversity: float,
    spacing: Spacing,
    locked: list[int],
    count: int,
    objective: Objective,
) -> list[int]:
    """The locked, then one after the other up to ``count``, or as many as find room.

    Args:
        worth: λ · relevance of each, plus whatever else speaks for or against it.
        diversity: 1 - λ.
    """
    chosen = list(locked)
    nearest, total = np.ones(len(space)), np.zeros(len(space))
    for index in locked:
        spacing.choose(index)
        nearest, total = np.minimum(nearest, space.column(index)), total + space.column(index)
    while len(chosen) < count and spacing.free.any():
        if not chosen or not diversity:
            gain = worth
        elif objective == "max-min":
            gain = worth + diversity * nearest
        elif objective == "mad":
            gain = worth + diversity * total / len(chosen)
        else:  # half of the worth, all of the distance: Borodin's greedy, in units where the sum has count² / 2 pairs
            gain = worth * (count - 1) / 4 + diversity * total
        index = int(np.where(spacing.open_to(count - len(chosen)), gain, -np.inf).argmax())
        chosen.append(index)
        spacing.choose(index)
        if diversity:
            nearest, total = np.minimum(nearest, space.column(index)), total + space.column(index)
    return chosen


def swap_better(
    space: Space, worth: NDArray[np.float64], diversity: float, spacing: Spacing, chosen: list[int], locked: int
) -> list[int]:
    """Exchanges one chosen (not of the first ``locked``) for one other while max-min's objective grows.

    Args:
        spacing: with whatever else is chosen, but will not be exchanged nor counts as near.
    """
    chosen, count = list(chosen), len(chosen)
    for _ in range(SWAPS if locked < count else 0):
        distances = space.columns(chosen)
        between = distances[chosen]
        np.fill_diagonal(between, 1)
        between[:locked, :locked] = 1
        without = np.full(count, between.min())
        for i in np.unravel_index(int(between.argmin()), between.shape):  # only those two hold the others down
            without[i] = np.delete(np.delete(between, i, 0), i, 1).min(initial=1)
        # Nearest of the chosen but the one that leaves: the second nearest where that is the nearest.
        two = np.partition(distances, min(1, count - 1), axis=1)
        first, second = two[:, :1], two[:, 1:2] if count > 1 else np.ones((len(space), 1))
        nearest = np.where(distances == first, second, first)
        value = (worth[:, None] - worth[chosen]) / count + diversity * np.minimum(nearest, without)
        crowded = spacing.crowded(chosen)
        free = (crowded.sum(1, keepdims=True) - crowded == 0) & spacing.free[:, None]
        free[chosen] = False
        value[~free] = -np.inf
        value[:, :locked] = -np.inf
        into, out = np.unravel_index(int(value.argmax()), value.shape)
        if not value[into, out] > diversity * between.min() + 1e-9:
            break
        chosen[int(out)] = int(into)
    return chosen
