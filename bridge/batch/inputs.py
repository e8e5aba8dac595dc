"""The files of a run: those that were named, and the audio in the folders that were named.

A folder is walked in the order of names, through symbolic links too (each folder once, so a link to its own parent is
no trap), but not into the output folder. What does not end like audio is counted, not touched; whether the rest really
is audio shows when it is opened, and a file that is not is reported like any other that fails.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from streaming.errors import RequestError

from .storage import Store, is_address

ENDINGS = frozenset(
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"}
    | {".w64", ".rf64", ".sd2", ".voc"}
)


class Source(NamedTuple):
    """A file of a run.

    Attributes:
        where: its path or address.
        folder: where it lies below the folder that was named, with ``/``; empty for a file named itself.
    """

    where: str
    folder: str
    bytes: int

    @property
    def name(self) -> PurePosixPath:
        """The last part of ``where``, for its stem and ending."""
        return PurePosixPath(self.where.rpartition("/")[2] if is_address(self.where) else os.path.basename(self.where))

    @property
    def file(self) -> str:
        """What the manifest calls it."""
        return f"{self.folder}/{self.name}" if self.folder else str(self.name)


class Found(NamedTuple):
    """``ignored`` are files in the folders that do not end like audio."""

    sources: list[Source]
    ignored: list[str]


def find_sources(inputs: Sequence[str], output: str) -> Found:
    """Raises `RequestError` for an input that is not there, and where there is no audio at all."""
    sources: dict[Source, None] = {}
    ignored: list[str] = []

    def sort_in(source: Source) -> None:
        if source.name.suffix.lower() in ENDINGS:
            sources[source] = None
        else:
            ignored.append(source.where)

    for given in inputs:
        path = Path(given)
        if is_address(given):
            for stored in Store(given).find():
                if not stored.folder.startswith(".") and not is_below(stored.address, output):
                    sort_in(Source(*stored))
        elif path.is_dir():
            for source in _walk(path, Path(output)):
                sort_in(source)
        elif path.exists() or path.is_symlink():
            sources[_source(path, "")] = None
        else:
            raise RequestError(f"{given}: no such file or folder")
    if not sources:
        among = f" among {len(ignored)} files" if ignored else ""
        raise RequestError(f"no audio was found{among} in {', '.join(map(str, inputs))}")
    return Found(list(sources), ignored)


def is_below(address: str, output: str) -> bool:
    """Whether an address lies in the output's place."""
    return address.startswith(f"{output.rstrip('/')}/")


def _source(path: Path, folder: str) -> Source:
    try:
        size = path.stat().st_size
    except OSError:  # a link to nothing: the job will tell
        size = 0
    return Source(str(path.absolute()), folder, size)


def _walk(top: Path, output: Path) -> Iterator[Source]:
    seen: set[tuple[int, int]] = set()
    for folder, below, names in os.walk(top, followlinks=True):
        state = os.stat(folder)
        here = Path(folder)
        if (state.st_dev, state.st_ino) in seen or _same(here, output):
            below.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        below[:] = sorted(name for name in below if not name.startswith("."))
        relative = here.relative_to(top).as_posix()
        for name in sorted(names):
            path = here / name
            if not name.startswith(".") and (path.is_file() or path.is_symlink()):
                yield _source(path, "" if relative == "." else relative)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
