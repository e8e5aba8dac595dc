"""What all fault detectors share: the grid of hops, the curve of strengths, and spans that become flags.

::

    block ─▶ hops ─▶ hear ─┬─▶ strengths, one a hop, `delay_hops` late
                           └─▶ spans ─▶ joined where they are near ─▶ flags

A strength is 0 … 1, and 0.5 is where a fault begins: ``x / (x + usual limit)`` of whatever is measured. A span is
joined with the one before it when the gap between them is at most `GAP_S` of its kind. A flag is told when nothing can
join it any more or, live, as soon as it has lasted `LIVE_LIMIT_S`; nothing more is then said of the same passage.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..flags import Flag
from .hops import BATCH_HOPS, HOPS_A_SECOND, Block, HopBlock, Hops
from .rarity import p_value

Array = NDArray[np.float32]

THRESHOLD = 0.5
LIVE_LIMIT_S = 2.0


class Strengths(NamedTuple):
    """``values (n,)``, one a hop of ``hop_samples``; the first stands at ``position``."""

    position: int
    hop_samples: int
    values: Array


class Span(NamedTuple):
    """A piece of a fault, in samples since listening began."""

    start: int
    end: int
    strength: float


class Detector(ABC):
    """``prepare`` before ``process``. Not thread-safe; a call allocates what it needs and keeps a fixed amount."""

    KIND: ClassVar[str]
    GAP_S: ClassVar[float] = 0.2
    SHORTEST_S: ClassVar[float] = 0.0
    CURVE: ClassVar[bool] = True
    """Whether its strengths are those of its kind; or else another paints them."""
    DELAY_S: ClassVar[float] = 0.0
    """How long after a hop its strength is known."""

    def __init__(self, threshold: float = THRESHOLD, live: bool = False) -> None:
        self.threshold = threshold
        self._live = live

    def prepare(self, rate: int, channels: int) -> None:
        """Get ready for blocks ``(channels, n)``. Raises `AudioError` where rate or channels are out of range."""
        self._hops = Hops(rate, channels)
        self.rate, self.channels, self.hop_samples = rate, channels, self._hops.hop_samples
        self.delay_hops = round(self.DELAY_S * HOPS_A_SECOND)
        self.latency_samples = (self.delay_hops + 1) * self.hop_samples + round(self.GAP_S * rate)
        """From the end of a fault until it is told, at the latest, blocks not counted."""
        self.open()
        self.reset()

    def reset(self) -> None:
        """Forget all that was heard."""
        self._hops.reset()
        self._next: int | None = None
        self._origin = 0
        self._heard = 0
        self._given = 0
        self._pending: Array = np.zeros(0, np.float32)
        self._open: Span | None = None
        self._told = False
        self.strengths = Strengths(0, self.hop_samples, np.zeros(0, np.float32))
        """Of the hops that the last call made known."""
        self.clear()

    def process(self, block: Block, position: int) -> list[Flag]:
        """The flags that a block ``(channels, n)`` completes. ``position`` is that of its first sample; where it does
        not follow on the last block's end, listening begins anew."""
        flags = []
        if position != self._next:
            flags = self.flush() if self._next is not None else []
            self.begin(position)
        self._next = position + block.shape[1]
        return flags + self.process_hops(self._hops.process(block))

    def begin(self, position: int) -> None:
        """What is heard next starts at ``position``: after `reset`, for who calls `process_hops`."""
        self._origin = position

    def process_hops(self, batches: Sequence[HopBlock]) -> list[Flag]:
        """As `process`, for whole hops that follow on the last, for who made them (`Hops`)."""
        flags = []
        made = []
        position = self._origin + self._given * self.hop_samples
        for batch in batches:
            self._pending = np.concatenate([self._pending, np.zeros(len(batch), np.float32)])
            spans = self.hear(batch)
            self._heard += len(batch)
            flags += self._join(spans, self._settled())
            made.append(self._give(max(0, len(self._pending) - self.delay_hops)))
        self.strengths = Strengths(position, self.hop_samples, np.concatenate([*made, np.zeros(0, np.float32)]))
        return flags

    def flush(self) -> list[Flag]:
        """What is still open at the end of the audio. Then `reset`."""
        position = self._origin + self._given * self.hop_samples
        end = self._heard * self.hop_samples
        spans = [span._replace(end=min(span.end, end)) for span in self.finish() if span.start < end]
        flags = self._join(spans, None)
        last = Strengths(position, self.hop_samples, self._give(len(self._pending)))
        self.reset()
        self.strengths = last
        return flags

    @abstractmethod
    def open(self) -> None:
        """Compute what hangs on rate and channels."""

    @abstractmethod
    def clear(self) -> None:
        """Forget what `hear` remembers."""

    @abstractmethod
    def hear(self, hops: HopBlock) -> list[Span]:
        """Listen to at most two seconds: `paint` the strengths, return the spans that are known now, in order.
        ``_heard`` hops came before."""

    def finish(self) -> list[Span]:
        """The spans that only the end completes: as if silence followed."""
        spans, left = [], self.delay_hops
        while left > 0:
            count = min(left, BATCH_HOPS)
            spans += self.hear(HopBlock(np.zeros((count, self.channels, self.hop_samples), np.float32), self._heard))
            self._heard += count
            left -= count
        return spans

    def refine(self, span: Span) -> Span:
        """The edges of a whole passage, more exactly, as it is told; no strength if it is no fault."""
        return span

    def band(self) -> tuple[float, float]:
        """Where in the spectrum such a fault is heard (Hz)."""
        return 0.0, self.rate / 2

    def paint(self, first: int, values: Array) -> None:
        """Raise the strengths of hops from ``first`` on, where they are not given yet."""
        skip = max(0, self._given - first)
        here = self._pending[first + skip - self._given :][: max(0, len(values) - skip)]
        np.maximum(here, values[skip : skip + len(here)], out=here)

    def paint_span(self, span: Span) -> None:
        first, last = span.start // self.hop_samples, -(-span.end // self.hop_samples)
        self.paint(first, np.full(last - first, span.strength, np.float32))

    @property
    def settled(self) -> int:
        """Every flag that starts before this position has been told."""
        settled = self._settled()
        return self._origin + (min(settled, self._open.start) if self._open and not self._told else settled)

    def _settled(self) -> int:
        """No span that is still to come starts before this (samples since listening began)."""
        return max(0, self._heard - self.delay_hops) * self.hop_samples

    def _give(self, count: int) -> Array:
        values, self._pending = self._pending[:count], self._pending[count:]
        self._given += count
        return values

    def _join(self, spans: list[Span], settled: int | None) -> list[Flag]:
        """Join spans; tell those that are over (all without ``settled``)."""
        gap, flags = round(self.GAP_S * self.rate), []
        for span in spans:
            if self._open and span.start - self._open.end > gap:
                flags += self._close()
            before = self._open
            if before:
                start, end = min(before.start, span.start), max(before.end, span.end)
                self._open = Span(start, end, max(before.strength, span.strength))
            else:
                self._open = span
            if self._live and not self._told and self._open.end - self._open.start >= LIVE_LIMIT_S * self.rate:
                flags += self._tell()
                self._told = True
        if self._open and (settled is None or settled - self._open.end > gap):
            flags += self._close()
        return flags

    def _close(self) -> list[Flag]:
        flags = [] if self._told else self._tell()
        self._open, self._told = None, False
        return flags

    def _tell(self) -> list[Flag]:
        span = self._open
        if span is None or span.end - span.start < self.SHORTEST_S * self.rate:
            return []
        start, end, strength = self.refine(span)
        if strength < self.threshold:
            return []
        low, high = self.band()
        rare = p_value(self.KIND, strength)
        return [Flag(self._origin + start, self._origin + end, strength, rare, self.KIND, low, high)]


def strength_of(measure: NDArray[np.floating], limit: float) -> Array:
    """A measure from 0 up to a strength 0 … 1; ``limit`` becomes 0.5."""
    strength: Array = (measure / (measure + limit)).astype(np.float32)
    return strength
