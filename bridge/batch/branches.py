"""Several lines side by side, summed: the branches of a ``mix``, and the stems of a separation.

Each line takes its own latency out, so the sum is aligned sample by sample; one that is ahead waits in its queue. A
line that ends earlier than the longest (a cut, a kept tail) is silent from there on.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from streaming.errors import RequestError

from .spool import Fifo, Scratch
from .stage import Block, Line, nothing


class Branches:
    """Lines with a gain each; ``names`` are what an error calls them."""

    def __init__(self, lines: Sequence[Line], gains: Sequence[float], names: Sequence[str], scratch: Scratch) -> None:
        self._lines = tuple(lines)
        self._gains = np.asarray(gains, np.float32)
        self._names = tuple(names)
        self._scratch = scratch

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        """Raises `RequestError` where they do not end alike."""
        ends = [line.prepare(rate, channels) for line in self._lines]
        for name, end in zip(self._names, ends, strict=True):
            if end != ends[0]:
                raise RequestError(
                    f"{self._names[0]} gives {ends[0][1]} channels at {ends[0][0]} Hz, {name} {end[1]} at {end[0]} Hz: "
                    "they cannot be summed; resample after the sum"
                )
        self._channels = ends[0][1]
        self._fifos = [Fifo(self._scratch, self._channels) for _ in self._lines]
        return ends[0]

    def process(self, blocks: Sequence[Block]) -> Block:
        """A block for each line; gives what all of them have ready."""
        for line, fifo, block in zip(self._lines, self._fifos, blocks, strict=True):
            fifo.write(line.process(block))
        return self._sum(min(fifo.available for fifo in self._fifos))

    def flush(self) -> Iterator[Block]:
        """What is left in all of them."""
        running = dict(enumerate(line.flush() for line in self._lines))
        while running:
            for i, blocks in list(running.items()):
                block = next(blocks, None)
                if block is None:
                    del running[i]
                else:
                    self._fifos[i].write(block)
            if (out := self._sum(min((self._fifos[i].available for i in running), default=0))).shape[1]:
                yield out
        while left := max(fifo.available for fifo in self._fifos):
            yield self._sum(min(left, 65536))

    def _sum(self, count: int) -> Block:
        if not count:
            return nothing(self._channels)
        out = np.zeros((self._channels, count), np.float32)
        for gain, fifo in zip(self._gains, self._fifos, strict=True):
            ready = min(count, fifo.available)
            block = fifo.read(ready)
            out[:, :ready] += block if gain == 1.0 else block * gain
        return out


class Mix:
    """A stage: the same audio through every branch, summed."""

    def __init__(self, branches: Branches, count: int) -> None:
        self._branches, self._count = branches, count

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        return self._branches.prepare(rate, channels)

    def process(self, block: Block) -> Block:
        return self._branches.process([block] * self._count)

    def flush(self) -> Iterator[Block]:
        return self._branches.flush()
