"""What every part of a chain can do, and a line of such parts.

One lifecycle, as everywhere: ``prepare → process … → flush``. A stage takes its own latency out: its first sample out
belongs to its first sample in, and it gives as many as it got (more where tails are kept, others where it cuts or
resamples). ``process`` gives what is ready, often nothing at first; ``flush`` gives the rest, block by block, and may
be long: a stage that has to hear everything first gives all of its audio there::

    block ─► stage 1 ─► stage 2 ─► … ─► block        process
              flush ──► stage 2 ─► … ─► block …      then stage 2's own flush, and so on

Preparing again begins a new stream: nothing of the last one is remembered.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]
"""``(channels, n)``."""


class Stage(Protocol):
    """One step of a chain."""

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        """Begin a stream; gives the rate and the channels of what comes out. Raises `SidechopError`."""

    def process(self, block: Block) -> Block:
        """Take all of ``block``, give what is ready."""

    def flush(self) -> Iterator[Block]:
        """The rest, once, at the end."""


class Mark(Protocol):
    """Where the work stands, seen from outside: see `.mark`."""

    def at(self, label: str) -> None: ...


class Placed(NamedTuple):
    """A stage and what it is called where something goes wrong: ``2 Compressor``, ``3 separate.vocals.1 Gain``."""

    label: str
    stage: Stage


class Line:
    """Stages one after the other; a stage itself, so that branches and stems have lines of their own."""

    def __init__(self, stages: Sequence[Placed], mark: Mark) -> None:
        self._stages = tuple(stages)
        self._mark = mark
        self._channels = 0

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        for label, stage in self._stages:
            self._mark.at(label)
            rate, channels = stage.prepare(rate, channels)
        self._channels = channels
        return rate, channels

    def process(self, block: Block) -> Block:
        return self._through(block, 0)

    def flush(self) -> Iterator[Block]:
        for i, (label, stage) in enumerate(self._stages):
            self._mark.at(label)
            for block in stage.flush():
                if (out := self._through(block, i + 1)).shape[1]:
                    yield out
                self._mark.at(label)

    def _through(self, block: Block, first: int) -> Block:
        for label, stage in self._stages[first:]:
            if not block.shape[1]:
                return nothing(self._channels)
            self._mark.at(label)
            block = stage.process(block)
        return block


def nothing(channels: int) -> Block:
    """``(channels, 0)``."""
    return np.empty((channels, 0), np.float32)


def joined(blocks: Sequence[Block], channels: int) -> Block:
    """One block of several."""
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate(blocks, axis=1) if blocks else nothing(channels)
