"""Stems as they stream: the very engine that runs live, for any rate, in step with its input.

::

    block ─► [to a rate of the model] ─► Engine ─► latency off ─► [back] ─► every output, under its input to the sample

After a detour through another rate the residual is taken again at the input's own, so that the stems still sum to it.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from streaming.engine import MAX_BLOCK, Engine
from streaming.errors import ModelError
from streaming.queries import Queries
from streaming.session import OnnxModel

from ..resampler import Resampler
from ..separate import rate_for, take
from .stage import Block

Stems = NDArray[np.float32]
"""``(outputs, channels, n)``."""


class StemSplitter:
    """One model, any number of streams, one after the other. Raises `ModelError` for a model without stems.

    ``queries`` is what a query model is asked for.
    """

    def __init__(self, model: OnnxModel, queries: Queries | None = None) -> None:
        self.card = model.card
        if not self.card.stems:
            raise ModelError(f"{self.card.name} is for {self.card.task} and gives no stems")
        self._engine = Engine(model, queries=queries)
        self.outputs = self._engine.outputs
        self._prepared: tuple[int, int] | None = None

    def prepare(self, rate: int, channels: int) -> None:
        """Begin a stream. Raises `ModelError` where the model cannot run at this rate or one near it."""
        heard = rate_for(self.card, rate)
        if self._prepared == (heard, channels):
            self._engine.reset()
        else:
            self._engine.prepare(heard, MAX_BLOCK, channels)
            self._prepared = heard, channels
        self._late = self._engine.latency_samples
        self._shape = (len(self.outputs), channels)
        self._detour = heard != rate
        self._taken = self._given = 0
        if self._detour:
            self._waiting: deque[Block] = deque()
            self._there = Resampler(rate, heard, channels)
            self._back = Resampler(heard, rate, len(self.outputs) * channels)

    def process(self, block: Block) -> Stems:
        """What is ready of every output."""
        self._taken += block.shape[1]
        if not self._detour:
            return self._run(block)
        self._waiting.append(block)
        stems = self._run(self._there.process(block))
        return self._in_step(self._back.process(stems.reshape(-1, stems.shape[2])))

    def flush(self) -> Iterator[Stems]:
        """The rest: as many samples have come out then as went in."""
        if not self._detour:
            yield self._drained()
            return
        for stems in (self._run(self._there.flush()), self._drained()):
            yield self._in_step(self._back.process(stems.reshape(-1, stems.shape[2])))
        if self._given < self._taken:
            yield self._in_step(self._back.flush(self._taken))

    def _run(self, block: Block) -> Stems:
        parts = []
        for start in range(0, block.shape[1], MAX_BLOCK):
            stems = self._engine.process(block[:, start : start + MAX_BLOCK])[1]
            cut = min(self._late, stems.shape[2])
            self._late -= cut
            parts.append(stems[:, :, cut:].copy())
        return np.concatenate(parts, axis=2) if parts else np.empty((*self._shape, 0), np.float32)

    def _drained(self) -> Stems:
        return self._engine.flush()[1][:, :, self._late :]

    def _in_step(self, flat: Block) -> Stems:
        """``(outputs * channels, n)`` back at the input's rate, with the residual taken anew."""
        flat = flat[:, : self._taken - self._given]  # a resampler may run a frame ahead of the end
        self._given += flat.shape[1]
        stems = flat.reshape(*self._shape, flat.shape[1])
        if self.card.residual and flat.shape[1]:
            stems[-1] = take(self._waiting, flat.shape[1])
            for stem in stems[:-1]:
                stems[-1] -= stem
        return stems
