"""The one way in which exports reach a folder: written aside, moved in together, and moved back should that fail.

Chops and flags share it. An exporter is a module with ``write(job) -> list[str]``: it writes into a folder aside and
returns what the user should know.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from streaming.errors import AudioError, RequestError

STEM_BYTES = 200
"""Names end at 255 bytes, and ``-octatrack-bank12.wav.part`` must still fit."""

LeftOver = Callable[[Sequence[Path], Path, str], list[Path]]
"""The new files (relative), the folder and the stem, to what an earlier export left there and this one has no more."""


class Exporter(NamedTuple):
    """``about`` is one line of help. ``module``, with its package, is loaded when it is first used."""

    about: str
    module: str

    def write(self, job: Any) -> list[str]:
        notes: list[str] = import_module(self.module).write(job)
        return notes


class Exported(NamedTuple):
    """``files`` in the order of their names; ``notes`` are lines for the user: what did not fit, what to know."""

    files: list[Path]
    notes: list[str]


def check_names(names: Iterable[str], known: Iterable[str]) -> None:
    """Raises `RequestError` for the first name that is none of ``known``."""
    for name in names:
        if name not in known:
            raise RequestError(f"no export is called {name!r}; choose from {', '.join(known)}")


@contextlib.contextmanager
def written_aside(
    folder: Path, stem: str, source: Path | None, files: list[Path], left_over: LeftOver = lambda *_: []
) -> Iterator[Path]:
    """A new, empty folder whose files move into ``folder`` when the block ends well; ``files`` then names them.

    Files of an earlier export of the same names are replaced, and what ``left_over`` finds is removed. On any failure,
    Ctrl-C too, the folder is as it was.

    Args:
        stem: what the names begin with, from `safe_stem`.
        source: a file that must not be written over.

    Raises:
        AudioError: the folder cannot be written, or the source would be written over.
    """
    home = folder.absolute()
    try:
        with contextlib.ExitStack() as stack:
            for missing in reversed([path for path in (home, *home.parents) if not path.exists()]):
                stack.callback(_remove_empty, missing)  # called the other way round: the outermost last
            home.mkdir(parents=True, exist_ok=True)
            aside = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".sidechop-", dir=home)))
            new = aside / "new"
            new.mkdir()
            yield new
            published = _publish(new, home, aside / "old", stem, source, left_over)
            files += [folder / path.relative_to(home) for path in published]
    except OSError as error:
        raise AudioError(f"{home}: cannot be written ({error.strerror or error}); choose another folder") from None


def safe_stem(stem: str, otherwise: str = "chops") -> str:
    """``stem`` without what a file system, a card of a sampler or an SFZ cannot hold, and not too long."""
    plain = re.sub(r'[<>:"/\\|?*$=\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]', "_", stem).strip(" .")
    return plain.encode()[:STEM_BYTES].decode(errors="ignore").rstrip(" .") or otherwise


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _publish(new: Path, home: Path, old: Path, stem: str, source: Path | None, left_over: LeftOver) -> list[Path]:
    """Move what is in ``new`` to ``home`` and what was there under these names to ``old``: all of it or nothing."""
    files = sorted(path.relative_to(new) for path in new.rglob("*") if path.is_file())
    targets = [home / file for file in files]
    leaving = [path for path in dict.fromkeys([*targets, *left_over(files, home, stem)]) if path.exists()]
    for path in leaving:
        if path.is_dir() or (source and source.exists() and path.samefile(source)):
            raise AudioError(f"{path}: would be written over by its own export; choose another folder")
    moves = [(path, old / path.relative_to(home)) for path in leaving]
    moves += [(new / file, home / file) for file in files]
    made = [folder for folder in dict.fromkeys(path.parent for path in targets) if not folder.exists()]
    done: list[tuple[Path, Path]] = []
    try:
        for source_path, target in moves:
            target.parent.mkdir(parents=True, exist_ok=True)
            done.append((source_path, target))
            os.replace(source_path, target)
    except BaseException:
        for source_path, target in reversed(done):
            if not source_path.exists() and target.exists():
                os.replace(target, source_path)
        for folder in made:
            _remove_empty(folder)
        raise
    return targets
