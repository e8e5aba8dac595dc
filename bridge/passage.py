"""The audio that is worked on: a stretch of a file, or of what was just played. It can be read again from the start.

Reading is always front to back, because MP3 and Ogg do not find a sample again after a jump; only the way to the
beginning of a passage is jumped where the format allows it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from streaming.errors import AudioError, RequestError

from .audio_files import AudioReader

BLOCK = 176_400
"""Four seconds at 44.1 kHz, whole batches of what the fault detectors hear at once: fewer and larger steps."""

Block = NDArray[np.float32]
Progress = Callable[[float], None]
"""Called with the part that is done, 0 to 1. What it raises ends the work: so it is cancelled."""

_BITS = {"PCM_S8": 16, "PCM_U8": 16, "PCM_16": 16, "PCM_24": 24}


class Passage(Protocol):
    """Attributes:
    source: the file, or None.
    start: sample of the source (or of the lane) at which the passage begins.
    frames: its length in samples, as promised: a truncated file gives fewer.
    warning: a line to show, if something is wrong with the file; known after a reading.
    """

    source: Path | None
    rate: int
    channels: int
    start: int
    frames: int
    warning: str

    def blocks(self) -> Iterator[Block]:
        """All of it as ``(channels, n)``, fresh arrays. Raises `AudioError`."""


class FilePassage:
    """From ``start_s`` to ``end_s`` (None: to the end) of a file.

    Raises:
        AudioError: the file cannot be read.
        RequestError: it ends before the passage.
    """

    def __init__(self, path: Path, start_s: float = 0.0, end_s: float | None = None) -> None:
        self.source: Path | None = path
        self._path = path
        self.warning = ""
        with AudioReader(path) as reader:
            self.rate, self.channels, frames = reader.rate, reader.channels, reader.frames
        self.start = round(start_s * self.rate)
        end = frames if end_s is None else round(end_s * self.rate)
        for name, position in (("start", self.start + 1), ("end", end - self.rate // 100)):
            if position > frames:  # a hundredth of a second over the end is a host's rounding
                seconds = start_s if name == "start" else end_s
                raise RequestError(
                    f"{path}: lasts {frames / self.rate:.3f} s; the passage's {name} at {seconds:g} s lies outside"
                )
        self.frames = min(end, frames) - self.start
        if self.frames < 1:
            raise RequestError(f"{path}: no sample lies between {start_s:g} and {end_s:g} s at {self.rate} Hz")

    def blocks(self) -> Iterator[Block]:
        left = self.frames
        with AudioReader(self._path) as reader:
            reader.skip(self.start)
            for block in reader.blocks(BLOCK):
                yield block[:, :left]
                left -= min(left, block.shape[1])
                if not left:
                    break
            self.warning = reader.warning


class ArrayPassage:
    """Audio in memory, ``(channels, samples)``. Raises `AudioError` where it is empty or not finite."""

    def __init__(self, audio: Block, rate: int, start: int = 0) -> None:
        self.source: Path | None = None
        self.audio = audio
        self.rate, self.start, self.warning = rate, start, ""
        self.channels, self.frames = audio.shape
        if not self.frames:
            raise AudioError("there is no audio yet")
        if not np.isfinite(audio).all():
            raise AudioError("holds samples that are not numbers (NaN or infinite)")

    def blocks(self) -> Iterator[Block]:
        for start in range(0, self.frames, BLOCK):
            yield self.audio[:, start : start + BLOCK].copy()


class PassageReader:
    """A passage front to back, as many samples at a time as are asked for."""

    def __init__(self, passage: Passage) -> None:
        self._passage = passage
        self._blocks = passage.blocks()
        self._waiting: Block = np.empty((passage.channels, 0), np.float32)

    def take(self, frames: int) -> Iterator[Block]:
        """The next ``frames`` samples in blocks. Raises `AudioError` if the passage ends before."""
        while frames > 0:
            if not self._waiting.shape[1]:
                block = next(self._blocks, None)
                if block is None:
                    name = self._passage.source or "the take"
                    raise AudioError(f"{name}: is shorter than it was when it was heard; hear it again")
                self._waiting = block
                continue
            part, self._waiting = self._waiting[:, :frames], self._waiting[:, frames:]
            frames -= part.shape[1]
            yield part

    def read(self, frames: int) -> Block:
        """The next ``frames`` samples in one piece."""
        return np.concatenate([np.empty((self._passage.channels, 0), np.float32), *self.take(frames)], axis=1)

    def skip(self, frames: int) -> None:
        """Leave out the next ``frames`` samples."""
        for _ in self.take(frames):
            pass


def mono_blocks(passage: Passage) -> Iterator[Block]:
    """The mean of the channels, ``(n,)``: what networks hear."""
    for block in passage.blocks():
        yield block[0] if passage.channels == 1 else block.mean(axis=0)


def sample_format(passage: Passage) -> str:
    """A subtype of `AudioWriter` that keeps the passage's samples as they are: "16", "24" or else "float"."""
    if passage.source is None:
        return "float"
    bits = _BITS.get(soundfile.info(passage.source).subtype)
    return str(bits) if bits else "float"
