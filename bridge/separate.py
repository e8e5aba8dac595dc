"""Separating files, faster than real time, through the very engine that runs live.

::

    reader thread      this thread                            writer thread
    file ─► blocks ─► [to a rate of the model] ─► Engine ─► [back] ─► one file a stem

The latency is cut off the front and flushed at the end, so every stem is as long as its source and lies under it
sample by sample. A file at a rate that the model does not run at is resampled there and back; the residual is then
taken again at the file's own rate, so that the stems still sum to the mix. Memory does not grow with the length.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streaming.card import ModelCard
from streaming.engine import MAX_BLOCK, Engine
from streaming.errors import AudioError, ModelError, RequestError
from streaming.separator import rate_factor
from streaming.session import OnnxModel, cores

from .audio_files import AudioReader, AudioWriter
from .file_queries import ask_all
from .registry import peek_card
from .resampler import Resampler

Audio = NDArray[np.float32]
Format = Literal["wav", "flac"]
SUBTYPES = {"wav": "float", "flac": "24"}
WRITES_AHEAD = 4
"""Blocks that may wait for the disk."""


@dataclass(frozen=True)
class Separated:
    """What became of one file. ``peaks`` are linear; ``clipped`` counts samples that an integer format cut."""

    source: Path
    rate: int
    frames: int
    files: dict[str, Path]
    peaks: dict[str, float]
    clipped: int
    took_s: float
    warning: str
    labels: dict[str, str]
    """What each stem is, in words: its name, or the query as it was asked."""

    @property
    def duration_s(self) -> float:
        return self.frames / self.rate


def file_threads(model: Path) -> int:
    """All cores for a network over whole clips; one that takes hops is quickest on one. Raises as `peek_card` does."""
    return cores() if peek_card(model).takes_clips else 1


class FileSeparator:
    """One model, any number of files, one after the other.

    Args:
        stems: which of the model's outputs to write; all of them when empty.
        threads: of the network (`file_threads`).
        queries: what a query model is asked for, all in one pass; each becomes a stem that is named after it.
        negatives: what none of them is.
        strength: 1 gives what was asked for alone, 0 the whole mix.

    Raises:
        ModelError: the model cannot be opened, gives no stems, or takes no queries.
        RequestError: it has no such stem, or there are no queries, or too many.
    """

    def __init__(
        self,
        model: Path,
        stems: Sequence[str] = (),
        threads: int = 1,
        queries: Sequence[str] = (),
        negatives: Sequence[str] = (),
        strength: float = 1.0,
    ) -> None:
        opened = OnnxModel.open(model, threads)
        self.card = opened.card
        if not self.card.stems:
            raise ModelError(f"{self.card.name} is for {self.card.task} and gives no stems")
        asked = None
        self.labels: dict[str, str] = {}
        if self.card.condition is not None or queries or negatives:
            asked = ask_all(self.card, queries, negatives, strength)
            self.labels = dict(zip(asked.names, queries, strict=True))
        self._engine = Engine(opened, queries=asked)
        self.outputs = self._engine.outputs
        for stem in stems:
            if stem not in self.outputs:
                raise RequestError(f"{self.card.name} has no stem {stem!r}; it gives {', '.join(self.outputs)}")
        self.stems = tuple(stem for stem in self.outputs if stem in stems or not stems)

    def separate(
        self,
        source: Path,
        folder: Path,
        kind: Format = "wav",
        progress: Callable[[int, int], None] | None = None,
        part: tuple[int, int] | None = None,
    ) -> Separated:
        """Write ``folder/<stem>.<kind>`` for every wanted stem; on any failure, Ctrl-C too, nothing is left there.

        Args:
            progress: called with frames done and frames in all.
            part: of the file, as its first frame and their number; None is all of it.

        Raises:
            AudioError: the file cannot be read or is not fit, or the disk is full.
        """
        started = time.perf_counter()
        files = {stem: folder / f"{stem}.{kind}" for stem in self.stems}
        peaks = np.zeros(len(files), np.float32)
        with ExitStack() as stack:
            stack.enter_context(no_empty_folders(folder))
            reader = stack.enter_context(AudioReader(source))
            if part:
                reader.only(*part)
            reading = stack.enter_context(ThreadPoolExecutor(1, "reader"))  # at rest before the file is closed
            writers = [stack.enter_context(open_writer(path, reader)) for path in files.values()]
            writing = stack.enter_context(ThreadPoolExecutor(1, "writer"))

            def write(stems: Audio) -> None:
                np.maximum(peaks, np.abs(stems).max(axis=(1, 2), initial=0.0), out=peaks)
                for writer, stem in zip(writers, stems, strict=True):
                    writer.write(stem)

            wanted = [self.outputs.index(stem) for stem in self.stems]
            done, waiting = 0, deque[Future[None]]()
            for outputs in self._outputs(reader, reading):
                waiting.append(writing.submit(write, outputs[wanted]))  # a copy: the engine writes over its view
                if len(waiting) > WRITES_AHEAD:
                    waiting.popleft().result()
                done += outputs.shape[2]
                if progress:
                    progress(done, reader.frames)
            for future in waiting:
                future.result()
        clipped = sum(writer.clipped for writer in writers)
        loudest = dict(zip(files, map(float, peaks), strict=True))
        took_s = time.perf_counter() - started
        labels = {stem: self.labels.get(stem, stem) for stem in files}
        return Separated(source, reader.rate, done, files, loudest, clipped, took_s, reader.warning, labels)

    def _outputs(self, reader: AudioReader, reading: ThreadPoolExecutor) -> Iterator[Audio]:
        """Every output at the file's rate ``(outputs, channels, n)``, in step with the file; views for one step."""
        rate = rate_for(self.card, reader.rate)
        self._engine.prepare(rate, MAX_BLOCK, reader.channels)
        blocks = prefetched(reader.blocks(MAX_BLOCK), reading)
        if rate == reader.rate:
            yield from self._run(blocks)
            return
        waiting: deque[Audio] = deque()
        up = Resampler(reader.rate, rate, reader.channels)
        down = Resampler(rate, reader.rate, len(self.outputs) * reader.channels)
        shape = (len(self.outputs), reader.channels, -1)
        read = given = 0

        def resampled() -> Iterator[Audio]:
            nonlocal read
            for block in blocks:
                waiting.append(block)
                read += block.shape[1]
                yield up.process(block)
            yield up.flush()

        def in_step(flat: Audio) -> Audio:
            nonlocal given
            given += flat.shape[1]
            return self._take_residual(flat.reshape(shape), take(waiting, flat.shape[1]))

        for stems in self._run(resampled()):
            back = down.process(stems.reshape(-1, stems.shape[2]))
            # The resampler may run a frame ahead of the file's end; what is beyond is for flush to leave out.
            if back.shape[1]:
                yield in_step(back)
        if given < read:
            yield in_step(down.flush(read))

    def _run(self, blocks: Iterator[Audio]) -> Iterator[Audio]:
        """The engine's stems of all that is in ``blocks``, the latency taken out."""
        late = self._engine.latency_samples
        for block in blocks:
            for start in range(0, block.shape[1], MAX_BLOCK):
                stems = self._engine.process(block[:, start : start + MAX_BLOCK])[1]
                cut = min(late, stems.shape[2])
                late -= cut
                if cut < stems.shape[2]:
                    yield stems[:, :, cut:]
        yield self._engine.flush()[1][:, :, late:]

    def _take_residual(self, stems: Audio, mix: Audio) -> Audio:
        if self.card.residual:
            stems[-1] = mix
            for stem in stems[:-1]:
                stems[-1] -= stem
        return stems


@contextmanager
def no_empty_folders(folder: Path) -> Iterator[None]:
    """Should the block fail, take away again the folders that it made on the way to ``folder``, if they are empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        for path in missing:
            with suppress(OSError):
                path.rmdir()
        raise


def open_writer(path: Path, reader: AudioReader) -> AudioWriter:
    """A writer for a stem of what ``reader`` reads. Raises `AudioError`, also if it would write over that file."""
    if path.exists() and path.samefile(reader.path):
        raise AudioError(f"{path}: would be written over by its own stem; choose another -o")
    return AudioWriter(
        path, reader.rate, reader.channels, subtype=SUBTYPES[path.suffix.removeprefix(".")], frames=reader.frames
    )


def rate_for(card: ModelCard, file_rate: int) -> int:
    """The rate at which a model hears a file: the file's own if it can, else the next above, else the highest."""
    rates = [rate * factor for rate in card.sample_rates for factor in ((1, 2) if card.kind == "stft-hop" else (1,))]
    try:
        rate_factor(card, file_rate)
    except ModelError:
        return min((rate for rate in rates if rate > file_rate), default=max(rates))
    return file_rate


def take(waiting: deque[Audio], count: int) -> Audio:
    """The next ``count`` frames from the front of ``waiting``."""
    parts = []
    while count > 0:
        block = waiting.popleft()
        parts.append(block[:, :count])
        if block.shape[1] > count:
            waiting.appendleft(block[:, count:])
        count -= parts[-1].shape[1]
    return np.concatenate(parts, axis=1)


def prefetched(blocks: Iterator[Audio], pool: ThreadPoolExecutor) -> Iterator[Audio]:
    """``blocks``, the next one read by another thread while this one works on the last."""
    ahead = pool.submit(next, blocks, None)
    while (block := ahead.result()) is not None:
        ahead = pool.submit(next, blocks, None)
        yield block


def folder_names(sources: Sequence[Path]) -> list[str]:
    """A folder name for every source: its name, numbered where several share it, so that they sort in order."""
    plain = [source.stem for source in sources]
    folded = [name.casefold() for name in plain]
    used: set[str] = set()
    names = []
    for i, name in enumerate(plain):
        shared = folded.count(folded[i])
        width, number = len(str(shared)), folded[: i + 1].count(folded[i])
        chosen = f"{name}-{number:0{width}}" if shared > 1 else name
        while chosen.casefold() in used or (shared > 1 and chosen.casefold() in folded):
            chosen += "_"
        used.add(chosen.casefold())
        names.append(chosen)
    return names
