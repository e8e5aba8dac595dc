"""A chain as it runs: lines that end in a file, or in several flows where a stage makes several files of one.

::

    line ─► FileOutlet                       one file in, one out
    line ─► StemsOutlet ─► flow "vocals" ─► …
                        └► flow "drums"  ─► …      at the same time
    line ─► SlicesOutlet ─► flow, once for each slice, one after the other

Flows are built once in a worker, models and plugins with them, and begun anew for every file.
"""

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import count
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from streaming.errors import AudioError

from ..audio_files import AudioWriter
from .hearing import Chopper
from .splitting import Stems, StemSplitter
from .stage import Block, Line, Mark

WRITES_AHEAD = 4
"""Blocks that may wait for the disk."""

Labels = Mapping[str, str]
"""What a file was split into: ``{"stem": "vocals", "slice": "03"}``."""


class Outlet(Protocol):
    """Where a line ends."""

    def begin(self, rate: int, channels: int, labels: Labels) -> None: ...

    def take(self, block: Block) -> None: ...

    def finish(self) -> None: ...

    def discard(self) -> None:
        """Leave nothing that is half done."""


class Flow:
    """A line and its outlet."""

    def __init__(self, line: Line, outlet: Outlet) -> None:
        self._line, self._outlet = line, outlet

    def begin(self, rate: int, channels: int, labels: Labels) -> None:
        self._outlet.begin(*self._line.prepare(rate, channels), labels)

    def take(self, block: Block) -> None:
        out = self._line.process(block)
        if out.shape[1]:
            self._outlet.take(out)

    def finish(self) -> None:
        for block in self._line.flush():
            self._outlet.take(block)
        self._outlet.finish()

    def discard(self) -> None:
        self._outlet.discard()


class Written(NamedTuple):
    """A file that is whole, still aside."""

    path: Path
    labels: Labels
    rate: int
    channels: int
    frames: int
    clipped: int


class Shelf:
    """Where the file outlets of one worker write, for the file at work, and what they have written.

    Attributes:
        subtype: of `AudioWriter`.
        dither: a seed, or None for no dither.
        frames: of the source, at ``rate``: how long an output may well become.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.folder = Path()
        self.subtype = "float"
        self.dither: int | None = None
        self.rate, self.frames = 1, 0
        self.written: list[Written] = []
        self._numbers = count(1)

    def begin(self, folder: Path, subtype: str, dither: int | None, rate: int, frames: int) -> None:
        self.folder, self.subtype, self.dither = folder, subtype, dither
        self.rate, self.frames = rate, frames
        self.written = []
        self._numbers = count(1)

    def number(self) -> int:
        """Of the next file: names come later."""
        return next(self._numbers)


class FileOutlet:
    """One file, written aside, by a thread of its own: the disk and the next block need not wait for each other."""

    def __init__(self, shelf: Shelf, mark: Mark) -> None:
        self._shelf, self._mark = shelf, mark
        self._writer: AudioWriter | None = None
        self._thread = ThreadPoolExecutor(1, "writer")
        self._waiting: deque[Future[None]] = deque()

    def begin(self, rate: int, channels: int, labels: Labels) -> None:
        shelf = self._shelf
        self._labels, self._rate, self._channels = dict(labels), rate, channels
        name = f"{shelf.number()}.{shelf.kind}"
        frames = round(shelf.frames * rate / shelf.rate)
        self._writer = AudioWriter(shelf.folder / name, rate, channels, subtype=shelf.subtype, frames=frames)
        wanted = shelf.dither is not None and shelf.subtype == "16"
        self._noise = np.random.Generator(np.random.SFC64(shelf.dither)) if wanted else None

    def take(self, block: Block) -> None:
        assert self._writer is not None
        self._mark.at("output")
        if self._noise is not None:
            # Two uniform noises make a triangular one, two steps wide: the error no longer depends on the signal.
            noise = self._noise.random((2, *block.shape[::-1]), np.float32)  # by frame, so that chunking is not heard
            block = block + (noise[0] - noise[1]).T * np.float32(2.0**-15)
        self._waiting.append(self._thread.submit(self._writer.write, block))
        while len(self._waiting) > WRITES_AHEAD:
            self._waiting.popleft().result()

    def finish(self) -> None:
        assert self._writer is not None
        while self._waiting:
            self._waiting.popleft().result()
        writer, self._writer = self._writer, None
        if not writer.frames:
            writer.discard()
            raise AudioError("nothing is left of the audio")
        writer.finish()
        self._shelf.written.append(
            Written(writer.path, self._labels, self._rate, self._channels, writer.frames, writer.clipped)
        )

    def discard(self) -> None:
        wait(self._waiting)
        self._waiting.clear()
        if self._writer:
            self._writer.discard()
            self._writer = None


class StemsOutlet:
    """A splitter at the end of a line: every wanted stem goes on in a flow of its own."""

    def __init__(self, splitter: StemSplitter, flows: Mapping[str, Flow], mark: Mark, label: str) -> None:
        self._splitter, self._mark, self._label = splitter, mark, label
        self._flows = [(splitter.outputs.index(stem), stem, flow) for stem, flow in flows.items()]

    def begin(self, rate: int, channels: int, labels: Labels) -> None:
        self._splitter.prepare(rate, channels)
        for _, stem, flow in self._flows:
            flow.begin(rate, channels, {**labels, "stem": stem})

    def take(self, block: Block) -> None:
        self._mark.at(self._label)
        self._hand_on(self._splitter.process(block))

    def finish(self) -> None:
        self._mark.at(self._label)
        for stems in self._splitter.flush():
            self._hand_on(stems)
        for _, _, flow in self._flows:
            flow.finish()

    def discard(self) -> None:
        for _, _, flow in self._flows:
            flow.discard()

    def _hand_on(self, stems: Stems) -> None:
        if stems.shape[2]:
            for index, _, flow in self._flows:
                flow.take(stems[index])


class SlicesOutlet:
    """A chopper at the end of a line: when all is heard, every slice goes through one flow."""

    def __init__(self, chopper: Chopper, flow: Flow, mark: Mark, label: str) -> None:
        self._chopper, self._flow, self._mark, self._label = chopper, flow, mark, label

    def begin(self, rate: int, channels: int, labels: Labels) -> None:
        self._rate, self._channels, self._labels = rate, channels, dict(labels)
        self._chopper.prepare(rate, channels)

    def take(self, block: Block) -> None:
        self._mark.at(self._label)
        self._chopper.process(block)

    def finish(self) -> None:
        self._mark.at(self._label)
        for number, blocks in self._chopper.slices():
            self._flow.begin(self._rate, self._channels, {**self._labels, "slice": number})
            for block in blocks:
                self._flow.take(block)
            self._flow.finish()

    def discard(self) -> None:
        self._flow.discard()
