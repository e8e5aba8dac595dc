"""Faults that last: a judgement over a window of features at every step of a grid, and edges where the features change.

::

    features, one row a hop   ▫▫▫▫▫▫▫▫▫▫▫▫▫▪▪▪▪▪▪▪▪▪▪▪▪▪▪▫▫▫▫▫▫▫▫▫▫▫▫▫
    windows, one a step           ├────────┤    judge: how strong
                                      ├────────┤
    edges                                  ▲ a level fits best from here

At the beginning and the end of the audio windows are shorter.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .detector import LIVE_LIMIT_S, Detector, Span
from .hops import HopBlock

Features = NDArray[Any]


class Steady(Detector):
    """Subclasses say what a hop's features are and how strong a window of them is."""

    STEP_HOPS: ClassVar[int]
    HALF_HOPS: ClassVar[int]
    """Of a window, to either side of its step."""
    OUTSIDE_HOPS: ClassVar[int]
    EDGE_HOPS: ClassVar[int]
    """How far out of the fault and into it, from where the strength rises or falls, an edge is looked for."""
    RELEASE: ClassVar[float] = 0.8
    """Times the threshold: a passage goes on until the strength falls below."""

    @abstractmethod
    def features(self, hops: HopBlock) -> Features:
        """One row a hop, ``(T, F)``, real or complex."""

    @abstractmethod
    def weigh(self, windows: Features) -> Sequence[Any]:
        """What is to be known of each of the windows ``(n, hops, F)`` that follow on those before, heard at once for
        numpy's sake; at both ends of the audio they are short."""

    @abstractmethod
    def judge(self, weighed: Any) -> tuple[float, float]:
        """The strength of a window: the one that decides, and the one of its middle for the curve, which may know less
        of what lasts and more of where it begins. Edges are looked for between one and the next."""

    def edge_features(self, window: Features) -> Features:
        """What changes at an edge, ``(hops, F)``."""
        return window

    def open(self) -> None:
        self._reach = self.HALF_HOPS + self.STEP_HOPS
        self.delay_hops = self.HALF_HOPS + 2 * self.EDGE_HOPS + 2 * self.STEP_HOPS
        self.latency_samples = (self.delay_hops + 1) * self.hop_samples + round(self.GAP_S * self.rate)
        self._keep = 2 * (self._reach + 2 * self.EDGE_HOPS)

    def clear(self) -> None:
        self._rows: Features | None = None
        self._base = 0
        """The hop of the first row."""
        self._step = 0
        """The hop around which the next window lies."""
        self._begun: int | None = None
        """Where the passage starts that goes on (samples)."""
        self._strongest = 0.0
        self._fallen: int | None = None
        """The step where it ended; its edge is not looked for yet."""
        self._risen: int | None = None

    def hear(self, hops: HopBlock) -> list[Span]:
        rows = self.features(hops)
        self._rows = rows if self._rows is None else np.concatenate([self._rows, rows])
        spans = self._steps(self._heard + len(hops))
        surplus = len(self._rows) - self._keep
        if surplus > 0:
            self._rows, self._base = self._rows[surplus:], self._base + surplus
        return spans

    def finish(self) -> list[Span]:
        if self._rows is None:
            return []
        spans = self._steps(self._heard, at_end=True)
        if self._risen is not None:
            self._begin(self._heard)
        if self._begun is not None:
            end = self._heard if self._fallen is None else self._edge(self._fallen, self._heard, False)
            spans.append(Span(self._begun, max(end * self.hop_samples, self._begun), self._strongest))
        return spans

    def _steps(self, heard: int, at_end: bool = False) -> list[Span]:
        """Judge every window that is whole; at the end also those that reach beyond it."""
        spans, curve = [], []
        steps = range(first := self._step, heard if at_end else heard - self.HALF_HOPS, self.STEP_HOPS)
        for weighed in self._weighed(steps, heard):
            spans += self._move_on(self._step)
            strength, shown = self.judge(weighed)
            curve.append(shown)
            spans += self._follow(strength, self._step)
            self._step += self.STEP_HOPS
        self.paint(first - self.STEP_HOPS // 2, np.repeat(np.array(curve, np.float32), self.STEP_HOPS))
        return spans

    def _weighed(self, steps: Sequence[int], heard: int) -> Iterator[Any]:
        """Of the window around each step; those that are whole together, if there are some."""
        half, whole = self.HALF_HOPS, [step for step in steps if self.HALF_HOPS <= step <= heard - self.HALF_HOPS]
        for step in steps:
            if len(whole) < 2 or step not in whole:
                yield from self.weigh(self._window(step - half, min(heard, step + half))[None])
            elif step == whole[0]:
                rows = self._window(step - half, whole[-1] + half)
                windows = np.lib.stride_tricks.sliding_window_view(rows, 2 * half, axis=0)[:: self.STEP_HOPS]
                yield from self.weigh(np.moveaxis(windows, -1, 1))

    def _follow(self, strength: float, step: int) -> list[Span]:
        inside = self._begun is not None or self._risen is not None
        if strength >= self.threshold * (self.RELEASE if inside else 1.0):
            if not inside:
                self._risen, self._strongest = step, 0.0
            self._fallen = None
            self._strongest = max(self._strongest, strength)
        elif inside and self._fallen is None:
            self._fallen = step
        if self._begun is not None and self._live and self._fallen is None:
            now = step * self.hop_samples
            if now - self._begun >= LIVE_LIMIT_S * self.rate:
                return [Span(self._begun, now, self._strongest)]
        return []

    def _move_on(self, step: int) -> list[Span]:
        """Look for the edges around which enough was heard."""
        if self._risen is not None and step >= self._risen + self.EDGE_HOPS:
            self._begin(step + self.HALF_HOPS)
        if self._fallen is None or step < self._fallen + self.EDGE_HOPS or self._begun is None:
            return []
        end = self._edge(self._fallen, step + self.HALF_HOPS, False) * self.hop_samples
        span = Span(self._begun, end, self._strongest)
        self._begun = self._fallen = None
        return [span] if end > span.start else []

    def _begin(self, heard: int) -> None:
        if self._risen is not None:
            self._begun = self._edge(self._risen, heard, True) * self.hop_samples
        self._risen = None

    def _edge(self, about: int, heard: int, rising: bool) -> int:
        """The hop near ``about`` where the features rise, or fall, most."""
        outside, inside = self.OUTSIDE_HOPS, self.EDGE_HOPS
        before, after = (outside, inside) if rising else (inside, outside)
        first, last = max(0, self._base, about - before), min(heard, about + after)
        return first + two_levels(self.edge_features(self._window(first, last)), rising)

    def _window(self, first: int, last: int) -> Features:
        assert self._rows is not None
        return self._rows[max(0, first - self._base) : max(0, last - self._base)]


def two_levels(rows: Features, rising: bool) -> int:
    """Where ``rows (n, F)`` leave zero for a level of their own, or return from it: the first row of the second part.

    The most likely place where noise alone turns into noise on a constant; 0 or n when there is none.
    """
    count = len(rows)
    if count < 4:
        return 0 if rising else count
    sums = np.cumsum(rows if not rising else rows[::-1], axis=0)
    gain = np.square(np.abs(sums)).sum(axis=1) / np.arange(1, count + 1)
    best = int(gain.argmax()) + 1
    return count - best if rising else best
