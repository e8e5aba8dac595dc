"""What a job is: one file through one chain. The same here, in the pool's workers and on a cluster.

A job writes aside, in a folder of its own below the output folder, and moves what is whole into place at the end, so
that a process that dies at any moment leaves an output complete or absent. It never writes over a source, nor over what
is there already, unless told to.
"""

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from streaming.errors import AudioError, SidechopError

from ..audio_files import AudioReader
from ..passage import FilePassage, sample_format
from ..separate import prefetched
from .build import EXACT, Builder
from .description import Chain
from .flow import Shelf, Written
from .mark import NoMark, SharedMark
from .names import Name, name_of
from .sidecars import Sidecars
from .spool import Scratch
from .stage import Block

WORK = ".sidechop-batch"
"""Below the output folder: what is not whole yet, and the lock of a run."""
READ_BLOCK = 65536

Status = Literal["done", "kept", "failed"]


@dataclass(frozen=True)
class Job:
    """One source.

    Attributes:
        number: its place among the run's sources.
        folder: where it lies below the folder that was named: ``{path}`` of the template.
        known: the manifest's line of an earlier run; if all that it says is still so, there is nothing to do.
        chain: the run's digest of chain, models and plugins, which has to be the same then.
    """

    number: int
    source: str
    folder: str
    known: dict[str, Any] | None = None
    chain: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a job; one line of the manifest. ``kept`` is what was done before and is still so.

    Attributes:
        outputs: each with its ``path`` below the output folder, ``bytes``, ``sha256``, and what `described` tells.
        stage: where it failed.
    """

    number: int
    source: str
    status: Status
    sha256: str = ""
    outputs: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str = ""
    stage: str = ""
    duration_s: float = 0.0
    took_s: float = 0.0

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


class Cancelled(SidechopError):
    """The job was told to end."""


class Workbench:
    """A chain, opened once, and what it needs to work on any number of files, one after the other.

    Args:
        base: the chain's folder.
        output: the folder that outputs go below.
        overwrite: whether outputs of the same name are replaced.
        mark: where it writes down what it is at.

    Raises:
        SidechopError: a model or plugin is not there or does not fit.
    """

    def __init__(
        self,
        chain: Chain,
        base: Path,
        output: Path,
        overwrite: bool = False,
        threads: int = 1,
        gpu: bool = False,
        mark: "SharedMark | NoMark | None" = None,
    ) -> None:
        self._chain, self._output, self._overwrite = chain, output, overwrite
        self._mark = mark or NoMark()
        self._scratch, self._sidecars, self._shelf = Scratch(), Sidecars(), Shelf(chain.output.format)
        self._builder = Builder(chain, base, self._mark, self._scratch, self._sidecars, self._shelf, threads, gpu)
        self._flow = self._builder.flow()
        self._told = 0
        self._aside = ThreadPoolExecutor(1, "digest")
        self.cancelled = False

    @property
    def notes(self) -> list[str]:
        """What was found about plugins so far."""
        return self._builder.notes

    def carry_out(self, job: Job) -> Outcome:
        """Never raises for what is wrong with a file; `Cancelled` ends it."""
        started = time.perf_counter()
        source = Path(job.source)
        try:
            if not source.exists():
                raise AudioError(f"{source}: no such file")
            self._mark.at("reading")
            digest = self._aside.submit(digest_of, source)  # while the work begins
            if job.known is not None and self._is_done(job.known, job.chain, digest.result()):
                return Outcome(job.number, job.source, "kept", digest.result(), job.known["outputs"])
            return self._work(job, source, digest, started)
        except Cancelled:
            raise
        except SidechopError as error:
            text, stage = str(error), self._at
        except MemoryError:
            text, stage = f"{source}: there is not enough memory for it", self._at
        except OSError as error:
            text, stage = f"{error.filename or source}: {error.strerror or error}", self._at
        return Outcome(job.number, job.source, "failed", error=text, stage=stage, took_s=time.perf_counter() - started)

    @property
    def _at(self) -> str:
        return self._mark.read().label if isinstance(self._mark, SharedMark) else ""

    def _is_done(self, known: dict[str, Any], chain: str, digest: str) -> bool:
        if known.get("sha256") != digest or known.get("chain") != chain:
            return False
        files = [(self._output / entry["path"], entry["sha256"]) for entry in known["outputs"]]
        return all(path.is_file() and digest_of(path) == sha256 for path, sha256 in files)

    def _work(self, job: Job, source: Path, digest: Future[str], started: float) -> Outcome:
        home = self._output / WORK / "work" / uuid.uuid4().hex
        home.mkdir(parents=True)
        try:
            with AudioReader(source) as reader:
                self._begin(job, reader, home, digest)
                self._mark.begin(reader.frames)
                self._mark.at("reading")
                self._flow.begin(reader.rate, reader.channels, {})
                heard = self._pump(reader)
                self._mark.at("output")
                self._flow.finish()
                notes = [*self._sidecars.notes, *filter(None, [reader.warning]), *self._new_notes(), *self._clipped()]
                duration_s = heard / reader.rate
            outputs = self._publish(job, home)
        except BaseException:
            self._flow.discard()
            raise
        finally:
            shutil.rmtree(home, ignore_errors=True)
        took_s = time.perf_counter() - started
        return Outcome(
            job.number, job.source, "done", digest.result(), outputs, notes, duration_s=duration_s, took_s=took_s
        )

    def _begin(self, job: Job, reader: AudioReader, home: Path, digest: Future[str]) -> None:
        output = self._chain.output
        source = Path(job.source)
        self._scratch.folder, self._scratch.source = home, source
        bits = sample_format(FilePassage(source)) if output.bits == "source" else output.bits
        subtype = "24" if bits == "float" and output.format == "flac" else bits
        changed = any(not isinstance(stage, EXACT) for stage in self._chain.stage)
        dither = output.dither if output.dither is not None else changed
        # The seed is the content: the same file gives the same bytes, whoever works on it and when.
        seed = int(digest.result()[:12], 16) if dither and subtype == "16" else None
        self._shelf.begin(home, subtype, seed, reader.rate, reader.frames)
        beside = self._output / job.folder / source.stem
        self._sidecars.begin(home / "beside", beside, source.stem)

    def _pump(self, reader: AudioReader) -> int:
        """The file through the flow, read ahead by a thread of its own; gives its frames."""
        heard = 0
        self._mark.at("reading")
        with ThreadPoolExecutor(1, "reader") as reading:
            for block in self._blocks(reader, reading):
                if self.cancelled:
                    raise Cancelled("cancelled")
                heard += block.shape[1]
                self._flow.take(block)
                self._mark.advance(heard)
                self._mark.at("reading")
        return heard

    @staticmethod
    def _blocks(reader: AudioReader, reading: ThreadPoolExecutor) -> Iterator[Block]:
        if reader.frames <= 4 * READ_BLOCK:  # over before a thread has paid
            return reader.blocks(READ_BLOCK)
        return prefetched(reader.blocks(READ_BLOCK), reading)

    def _new_notes(self) -> list[str]:
        notes = self._builder.notes[self._told :]
        self._told += len(notes)
        return notes

    def _clipped(self) -> list[str]:
        clipped = sum(written.clipped for written in self._shelf.written)
        return [f'{clipped} samples clipped; bits = "float" keeps them'] if clipped else []

    def _publish(self, job: Job, home: Path) -> list[dict[str, Any]]:
        """Move everything into place, each file whole and on the disk; gives what the manifest says of it."""
        source = Path(job.source)
        moves: list[tuple[Path, Path, dict[str, Any]]] = []
        for written in self._shelf.written:
            name = name_of(self._chain, Name(job.folder, source.stem, source.suffix, written.labels))
            moves.append((written.path, self._output / f"{name}.{self._chain.output.format}", described(written)))
        beside = home / "beside"
        for path in sorted(beside.rglob("*")) if beside.is_dir() else ():
            if path.is_file():
                moves.append((path, self._sidecars.home / path.relative_to(beside), {}))
        digests = [digest_of(path) for path, _, _ in moves]
        for (_, target, _), sha256 in zip(moves, digests, strict=True):
            self._check(job, target, source, sha256)
        outputs = []
        for (path, target, about), sha256 in zip(moves, digests, strict=True):
            sync(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
            told = {"path": target.relative_to(self._output).as_posix(), "bytes": target.stat().st_size}
            outputs.append({**told, "sha256": sha256, **about})
        for folder in {target.parent for _, target, _ in moves}:
            sync(folder)
        return outputs

    def _check(self, job: Job, target: Path, source: Path, sha256: str) -> None:
        """Whether the output may take its place. Raises `AudioError`."""
        if not target.exists():
            return
        if target.samefile(source):
            raise AudioError(f"{target}: is the source itself, which is never written over; choose another -o or name")
        if target.is_dir():
            raise AudioError(f"{target}: is a folder; choose another name")
        there = "" if self._overwrite else digest_of(target)
        before = {entry["path"]: entry["sha256"] for entry in (job.known or {}).get("outputs", [])}
        ours = before.get(target.relative_to(self._output).as_posix()) == there
        # The same bytes are this very output, moved into place by a run that died before it could say so.
        if not self._overwrite and there != sha256 and not ours:
            raise AudioError(f"{target}: is there already, and is another; --overwrite replaces it")


def described(written: Written) -> dict[str, Any]:
    """What the manifest says of an audio file."""
    about = {"rate": written.rate, "channels": written.channels, "frames": written.frames, **written.labels}
    return {**about, "clipped": written.clipped} if written.clipped else about


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes. Raises `AudioError` where it cannot be read."""
    sha, buffer = hashlib.sha256(), bytearray(1 << 20)
    try:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                sha.update(memoryview(buffer)[:count])
        return sha.hexdigest()
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file") from None
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror})") from None


def sync(path: Path) -> None:
    """Have the system put a file's bytes, or a folder's names, on the disk: a power cut loses nothing that was told."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return  # folders cannot be opened on Windows
    try:
        os.fsync(handle)
    except OSError:
        pass  # nor synced on some network shares
    finally:
        os.close(handle)
