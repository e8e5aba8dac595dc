"""The formats that chops leave in, a module each, and the one way to write them.

A module has ``write(job) -> list[str]``: it writes into ``job.folder`` and returns what the user should know. Nothing
reaches the user's folder before all formats are complete: they are written aside and moved in together, and should
the moving fail, everything is moved back.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.errors import AudioError, RequestError

from ..chops import ChopSet
from ..passage import Passage
from .job import Job

STEM_BYTES = 200
"""Names end at 255 bytes, and ``-octatrack-bank12.wav.part`` must still fit."""


class Exporter(NamedTuple):
    """``about`` is one line of help. ``module`` is loaded when it is first used."""

    about: str
    module: str

    def write(self, job: Job) -> list[str]:
        notes: list[str] = import_module(f"{__name__}.{self.module}").write(job)
        return notes


EXPORTS = {
    "slices": Exporter("a WAV file per chop; together they are the source again", "wav_slices"),
    "cue-wav": Exporter("one WAV with cue points, labels and regions inside", "cue_wav"),
    "sfz": Exporter("slices on keys from C1 (36) up, for any SFZ sampler", "sfz"),
    "mpc": Exporter("Akai MPC drum program (.xpm) with its WAV", "mpc"),
    "ableton": Exporter("Ableton drum rack (.adg) with its WAV", "ableton"),
    "octatrack": Exporter("Elektron Octatrack slices (.ot) with their WAV", "octatrack"),
    "midi": Exporter("a MIDI file that replays the original from the pads", "midi"),
    "reaper": Exporter("REAPER project, and markers and regions as CSV", "reaper"),
    "audacity": Exporter("Audacity labels", "audacity"),
    "csv": Exporter("a table", "csv_table"),
    "json": Exporter("everything, for scripts", "json_list"),
    "picture": Exporter("a picture (.png) of the waveform, the network's curves and the chops", "picture"),
}


class Exported(NamedTuple):
    """``files`` in the order of their names; ``notes`` are lines for the user: what did not fit, what to know."""

    files: list[Path]
    notes: list[str]


def export(
    chops: ChopSet,
    passage: Passage,
    names: Sequence[str],
    folder: Path,
    stem: str,
    progress: Callable[[str], None] | None = None,
    curves: Mapping[str, NDArray[np.float32]] | None = None,
) -> Exported:
    """Write ``chops`` of ``passage`` into ``folder`` in every format of ``names`` (keys of `EXPORTS`).

    Files of an earlier export under the same stem are replaced, and slices and banks that it had and this one has
    not are removed. On any failure, Ctrl-C too, the folder is as it was.

    Args:
        stem: what file names begin with; made fit for any file system.
        progress: called with the name of each format before it is written.
        curves: what the network said over the passage, for the picture.

    Raises:
        RequestError: no such format, or no chops.
        AudioError: the passage cannot be read, or the folder not be written, or it would be written over.
    """
    for name in names:
        if name not in EXPORTS:
            raise RequestError(f"no export is called {name!r}; choose from {', '.join(EXPORTS)}")
    if not chops.chops:
        raise RequestError(f"{chops.source or 'the take'}: has no chops to export")
    home, stem = folder.absolute(), safe_stem(stem)
    notes: list[str] = []
    try:
        with contextlib.ExitStack() as stack:
            for missing in reversed([path for path in (home, *home.parents) if not path.exists()]):
                stack.callback(_remove_empty, missing)  # called the other way round: the outermost last
            home.mkdir(parents=True, exist_ok=True)
            aside = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".sidechop-", dir=home)))
            job = Job(chops, passage, aside / "new", home, stem, curves or {})
            job.folder.mkdir()
            for name in dict.fromkeys(names):
                if progress:
                    progress(name)
                notes += EXPORTS[name].write(job)
            if passage.warning:
                notes.append(passage.warning)
            return Exported(_publish(job.folder, home, aside / "old", stem, passage.source), notes)
    except OSError as error:
        raise AudioError(f"{home}: cannot be written ({error.strerror or error}); choose another folder") from None


def safe_stem(stem: str) -> str:
    """``stem`` without what a file system, a card of a sampler or an SFZ cannot hold, and not too long."""
    plain = re.sub(r'[<>:"/\\|?*$=\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]', "_", stem).strip(" .")
    return plain.encode()[:STEM_BYTES].decode(errors="ignore").rstrip(" .") or "chops"


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _publish(new: Path, home: Path, old: Path, stem: str, source: Path | None) -> list[Path]:
    """Move what is in ``new`` to ``home`` and what was there under these names to ``old``: all of it or nothing."""
    files = sorted(path.relative_to(new) for path in new.rglob("*") if path.is_file())
    targets = [home / file for file in files]
    leaving = [path for path in dict.fromkeys([*targets, *_left_over(files, home, stem)]) if path.exists()]
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


def _left_over(files: Sequence[Path], home: Path, stem: str) -> list[Path]:
    """Slices and banks in ``home`` that an earlier, longer export wrote and this one replaces by fewer."""
    found: list[Path] = []
    for folder in {file.parent for file in files}:
        endings = {re.sub(r"-bank\d+$", "", file.stem) + file.suffix for file in files if file.parent == folder}
        for path in (home / folder).glob("*") if (home / folder).is_dir() else ():
            bank = re.fullmatch(r"(.+)-bank\d+(\.\w+)", path.name)
            numbered = folder.name and re.fullmatch(re.escape(stem) + r"-\d+\.wav", path.name)
            if numbered or (bank and bank[1] + bank[2] in endings):
                found.append(path)
    return found
