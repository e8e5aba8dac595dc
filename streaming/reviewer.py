"""The reviewer: hears a whole file both ways, forty seconds at a time, and says of every moment how odd it is there.

A ``frames`` model with two curves, ``odd`` and ``edge``. Live there is none: it has to hear what comes after. What it
says counts for whole steps (`Review.odds`), where a passage begins and ends it says to 40 ms (`Review.edge_near`), and
where one may be cut, by what a change costs there (`Review.change_costs`)::

    odd    ▁▁▁▁▂▇███▇██▆▂▁▁▁▁
    edge   ▁▁▁▁█▁▁▁▁▁▁▁▁▇▁▁▁▁
    steps  ┴───┴───┴───┴───┴──     an edge that steps place within a third of a second goes to the nearest that is heard
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .curves import CurveNetwork
from .errors import ModelError
from .evidence import ODDS_LIMIT, Array
from .session import OnnxModel

CURVES = ("odd", "edge")
PIECE_FRAMES = 2688
"""Frames that are final with every run: with their context of 7 s on both sides as much as the network learned with."""
REVIEWED_S = 0.16
"""A step has the mean of what is said within so long."""
NEAR_S = 0.7
"""So far an edge that steps have placed is moved at most."""
_CHANGE, _EDGE_ODDS, _LEAST_EDGE = 50.0, 28.0, 0.01
"""What a change costs where an edge is as likely as not, how much less for each log odd, and the least that counts."""
_KNOWN_EDGE = 0.5
"""How likely an edge is of which others know."""
_WEIGHT_EDGE = 2.0
"""Of the two curves: a rise of ``odd`` tells an edge, too."""


class Review:
    """What was said of every frame, ``odd`` and ``edge (n,)``, 0 … 1, frames ``frame_s`` apart from 0 on."""

    def __init__(self, odd: Array, edge: Array, frame_s: float) -> None:
        self.odd, self.edge, self.frame_s = odd, edge, frame_s

    def with_edges(self, at_s: Iterable[float]) -> "Review":
        """With edges that others know of, too, at those moments (seconds)."""
        edge = self.edge.copy()
        places = np.round(np.fromiter(at_s, np.float64) / self.frame_s).astype(int)
        places = places[(places >= 0) & (places < len(edge))]
        edge[places] = np.maximum(edge[places], _KNOWN_EDGE)
        return Review(self.odd, edge, self.frame_s)

    def odds(self, middles: NDArray[np.floating], around_s: float) -> Array:
        """Log odds at moments (seconds), averaged over ``around_s``."""
        low = np.exp(-ODDS_LIMIT)
        p = np.clip(self.odd.astype(np.float64), low, 1 - low)
        total = np.concatenate([[0.0], np.cumsum(np.log(p / (1 - p)))])
        first = np.round((middles - around_s / 2) / self.frame_s).astype(int)
        last = np.round((middles + around_s / 2) / self.frame_s).astype(int)
        first, last = (np.clip(x, 0, len(self.odd)) for x in (first, last))
        count = np.maximum(1, last - first)
        out: Array = ((total[last] - total[first]) / count).astype(np.float32)
        return out

    def edge_near(self, at_s: float, rising: bool, within_s: float = NEAR_S) -> float:
        """Where near ``at_s`` something odd begins (``rising``) or ends, in seconds; ``at_s`` where nothing tells."""
        middle, reach = round(at_s / self.frame_s), round(within_s / self.frame_s)
        first, last = max(0, middle - reach), min(len(self.odd), middle + reach + 1)
        if last - first < 8:
            return at_s
        sums = np.concatenate([[0.0], np.cumsum(self.odd[max(0, first - reach) : last + reach], dtype=np.float64)])
        base = max(0, first - reach)
        places = np.arange(first, last)
        before = _mean(sums, places - reach - base, places - base)
        after = _mean(sums, places - base, places + reach - base)
        rise = after - before if rising else before - after
        tells = _WEIGHT_EDGE * self.edge[first:last] + rise - 0.1 * np.abs(places - middle) / reach
        best = int(tells.argmax())
        return float(places[best] * self.frame_s)

    def edge_odds(self, count: int, hop_s: float) -> NDArray[np.float64]:
        """How likely an edge is just before each of ``count`` steps, log odds."""
        reach = hop_s / 2 / self.frame_s
        middles = (np.arange(count) - 0.5) * hop_s / self.frame_s
        first, last = np.round(middles - reach).astype(int), np.round(middles + reach).astype(int) + 1
        ends = np.clip(np.stack([first, last], axis=1), 0, len(self.edge))
        heard = np.array([self.edge[a:b].max(initial=0.0) for a, b in ends], np.float64)
        heard = np.clip(heard, _LEAST_EDGE, 1 - _LEAST_EDGE)
        odds: NDArray[np.float64] = np.log(heard / (1 - heard))
        return odds

    def change_costs(self, count: int, hop_s: float) -> NDArray[np.float64]:
        """What a change between keeping and cutting costs just before each of ``count`` steps (`keep.keep`): next to
        nothing where an edge is heard, and elsewhere more than a passage that is a little odd."""
        return _CHANGE - _EDGE_ODDS * self.edge_odds(count, hop_s)

    def spans_near(
        self, spans: Sequence[tuple[float, float]], length_s: float, odd: bool, within_s: float = NEAR_S
    ) -> list[tuple[float, float]]:
        """Spans (seconds, in order) with their edges where they are heard, but for those at 0 and ``length_s``.

        ``odd``: what lies inside is odd; without, what lies outside is. No span vanishes, and none meets the next.
        """
        moved: list[tuple[float, float]] = []
        for i, (start, end) in enumerate(spans):
            last = moved[-1][1] if moved else 0.0
            first = start if start <= 0 else self.edge_near(start, odd, within_s)
            stop = end if end >= length_s else min(self.edge_near(end, not odd, within_s), length_s)
            if first < last or first >= stop:
                first = max(start, last)
            if stop <= first or (i + 1 < len(spans) and stop > spans[i + 1][0]):
                stop = end
            moved.append((first, stop))
        return moved


class Reviewer:
    """Frames as they come to what the network says of them, some 30 s late. Constant memory but for the answer."""

    def __init__(self, model: OnnxModel | Path | str) -> None:
        model = model if isinstance(model, OnnxModel) else OnnxModel.open(model)
        self._network = CurveNetwork(model, PIECE_FRAMES)
        if self._network.curves != CURVES:
            raise ModelError(
                f"{model.card.name} marks {', '.join(self._network.curves)}; a reviewer, {', '.join(CURVES)}"
            )
        self.features = self._network.features
        self.reset()

    def reset(self) -> None:
        self._network.reset()
        self._said: list[NDArray[np.float16]] = []

    def process(self, frames: Array) -> None:
        """Hear frames ``(n, bands)`` that follow on the last."""
        for curves in self._network.process(frames):
            self._said.append(curves.astype(np.float16))

    def finish(self) -> Review:
        """What there is to say of all that was heard. Then `reset`."""
        for curves in self._network.flush():
            self._said.append(curves.astype(np.float16))
        both = np.concatenate([np.zeros((0, 2), np.float16), *self._said]).astype(np.float32)
        self.reset()
        return Review(both[:, 0], both[:, 1], 1 / self.features.frame_rate)


def _mean(sums: NDArray[np.float64], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.float64]:
    first, last = (np.clip(x, 0, len(sums) - 1) for x in (first, last))
    mean: NDArray[np.float64] = (sums[last] - sums[first]) / np.maximum(1, last - first)
    return mean
