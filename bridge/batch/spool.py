"""Audio that waits: what a stage has to hear to its end before it can say anything, and branches ahead of others.

Short audio stays in memory, long audio goes to a file without a name, which the system removes whatever happens to us.
It lies in the run's own folder, not in ``/tmp``, which is memory on many machines.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from streaming.errors import AudioError

from .stage import Block, joined, nothing

BLOCK = 65536
IN_MEMORY_BYTES = 1 << 24


class Scratch:
    """Where audio waits. ``source`` is the file that is worked on, for what asks for its name or format."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.source: Path | None = None


class Spool:
    """Written once, front to back, then read as often as one likes. ``frames`` is how much there is."""

    def __init__(self, scratch: Scratch, channels: int) -> None:
        self.channels = channels
        self.frames = 0
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(scratch.folder) if scratch.folder else None)  # noqa: SIM115

    def write(self, block: Block) -> None:
        """Append ``(channels, n)``. Raises `AudioError` where the disk is full."""
        self._file.seek(0, 2)
        _store(self._file, block)
        self.frames += block.shape[1]

    def blocks(self, start: int = 0, end: int | None = None) -> Iterator[Block]:
        """From frame ``start`` to ``end``, fresh arrays."""
        at, end = start, self.frames if end is None else min(end, self.frames)
        while at < end:
            count = min(BLOCK, end - at)
            self._file.seek(at * self.channels * 4)  # each time: another reading may be under way
            yield _load(self._file, count, self.channels)
            at += count

    def close(self) -> None:
        self._file.close()

    def __del__(self) -> None:
        self._file.close()  # of a stream that was given up half-way


class Fifo:
    """First in, first out: in memory as long as little waits, beyond that on disk."""

    def __init__(self, scratch: Scratch, channels: int) -> None:
        self._channels = channels
        self._scratch = scratch
        self._blocks: list[Block] = []
        self._spool: Spool | None = None
        self._read = self._waiting = 0

    @property
    def available(self) -> int:
        on_disk = self._spool.frames - self._read if self._spool else 0
        return on_disk + self._waiting

    def write(self, block: Block) -> None:
        """Append ``(channels, n)``; keeps the array."""
        if block.shape[1]:
            self._blocks.append(block)
            self._waiting += block.shape[1]
        if self._waiting * self._channels * 4 > IN_MEMORY_BYTES:
            self._spool = self._spool or Spool(self._scratch, self._channels)
            for waiting in self._blocks:
                self._spool.write(waiting)
            self._blocks, self._waiting = [], 0

    def read(self, count: int) -> Block:
        """The next ``count`` frames; there must be as many."""
        parts: list[Block] = []
        if self._spool:
            from_disk = min(count, self._spool.frames - self._read)
            parts += self._spool.blocks(self._read, self._read + from_disk)
            self._read += from_disk
            count -= from_disk
            if self._read == self._spool.frames:
                self._spool.close()
                self._spool, self._read = None, 0
        self._waiting -= count
        used = 0
        while count > 0:
            block = self._blocks[used]
            parts.append(block[:, :count])
            if block.shape[1] > count:
                self._blocks[used] = block[:, count:]
            else:
                used += 1
            count -= parts[-1].shape[1]
        del self._blocks[:used]
        return joined(parts, self._channels)


def _store(file: "tempfile.SpooledTemporaryFile[bytes]", block: Block) -> None:
    try:
        file.write(np.ascontiguousarray(block.T, "<f4").tobytes())
    except OSError as error:
        raise AudioError(f"audio that has to wait cannot be written beside the output ({error.strerror})") from None


def _load(file: "tempfile.SpooledTemporaryFile[bytes]", count: int, channels: int) -> Block:
    raw = file.read(count * channels * 4)
    if len(raw) != count * channels * 4:
        return nothing(channels)
    block: Block = np.ascontiguousarray(np.frombuffer(raw, "<f4").reshape(count, channels).T)
    return block


class SpooledPassage:
    """What waits in a spool, as a `Passage` for flags and chops."""

    def __init__(self, spool: Spool, rate: int, source: Path | None) -> None:
        self.source = source
        self.rate = rate
        self.channels = spool.channels
        self.start = 0
        self.frames = spool.frames
        self.warning = ""
        self._spool = spool

    def blocks(self) -> Iterator[Block]:
        return self._spool.blocks()
