"""A user's own chops: audio files with the places where somebody cut them, to train the chopper on.

Beside ``NAME.wav`` lies what says where it was cut, in one of four forms (the first that is there counts):

- ``NAME.txt``: an Audacity label track, ``start<tab>end<tab>text`` a line;
- ``NAME.csv``: times in seconds in the first column, with or without a heading;
- ``NAME.csv`` as REAPER's region/marker manager exports it: a column ``Start``, in seconds, ``m:ss.mmm`` or
  ``h:mm:ss.mmm``;
- ``NAME.rpp``, or any other project in the folder that plays the file: its take markers and the project's own
  markers, moved from the timeline into the file through the item that plays it.

Formats: https://manual.audacityteam.org/man/importing_and_exporting_labels.html and, for REAPER's projects, what
REAPER writes (``MARKER``, ``TKM``, ``POSITION``, ``SOFFS``, ``PLAYRATE``, ``LENGTH``).
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from streaming.errors import AudioError, RequestError

AUDIO = (".wav", ".flac", ".aif", ".aiff", ".ogg", ".mp3", ".w64", ".caf")
LABELS = (".txt", ".csv", ".rpp")


class Labelled(NamedTuple):
    """An audio file and where it was cut: seconds from its start, increasing, none twice."""

    audio: Path
    times_s: NDArray[np.float64]


def find_labelled(folder: Path) -> list[Labelled]:
    """Every labelled audio file in a folder and the folders below it, sorted by path.

    Raises:
        RequestError: when the folder is missing or no audio in it has labels.
        AudioError: when a file of labels cannot be read, or holds none.
    """
    if not folder.is_dir():
        raise RequestError(f"{folder}: no such folder; expected audio files with labels beside them")
    audio = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO and not p.name.startswith("."))
    found = [Labelled(path, times) for path in audio if len(times := _times_of(path))]
    if not found:
        raise RequestError(
            f"{folder}: no audio with labels; expected NAME.wav beside NAME.txt (Audacity), NAME.csv or NAME.rpp"
        )
    for path, times in found:
        seconds = soundfile.info(path).duration
        if times[-1] > seconds:
            raise AudioError(f"{path}: is {seconds:.2f} s long, but a label lies at {times[-1]:.2f} s")
    return found


def _times_of(audio: Path) -> NDArray[np.float64]:
    """Where a file was cut: by its own labels, else by any project in its folder that plays it, else nowhere."""
    beside = {p.suffix.lower(): p for p in sorted(audio.parent.iterdir()) if p.stem == audio.stem}
    own = next((beside[suffix] for suffix in LABELS if suffix in beside), None)
    if own:
        return read_labels(own, audio)
    projects = sorted(p for p in audio.parent.iterdir() if p.suffix.lower() == ".rpp")
    return np.unique([time for path in projects for time in _project(path, _text(path), audio)])


def read_labels(path: Path, audio: Path) -> NDArray[np.float64]:
    """Where a file of labels says that ``audio`` was cut, in seconds.

    Raises:
        AudioError: when it cannot be read, or holds no time.
    """
    readers = {".txt": _audacity, ".csv": _table, ".rpp": _project}
    times = np.unique(np.array(list(readers[path.suffix.lower()](path, _text(path), audio)), dtype=np.float64))
    if not len(times):
        raise AudioError(f"{path}: holds no label; expected at least one time at which {audio.name} was cut")
    if times[0] < 0:
        raise AudioError(f"{path}: a label at {times[0]:g} s; expected times from 0 on")
    return times


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise AudioError(f"{path}: {error.strerror}") from None


def _audacity(path: Path, text: str, audio: Path) -> Iterator[float]:
    for number, line in enumerate(text.splitlines(), 1):
        # a label with a frequency range goes on in a line that begins with a backslash
        if line.strip() and not line.startswith("\\"):
            yield _seconds(path, number, line.split("\t")[0])


def _table(path: Path, text: str, audio: Path) -> Iterator[float]:
    rows = list(csv.reader(text.splitlines(), delimiter="\t" if "\t" in text and "," not in text else ","))
    column = 0
    for number, row in enumerate(rows, 1):
        if not any(cell.strip() for cell in row):
            continue
        if number == 1 and not _is_time(row[0]):
            heads = [cell.strip().lower() for cell in row]
            column = heads.index("start") if "start" in heads else 0
            continue
        yield _seconds(path, number, row[column] if column < len(row) else "")


def _is_time(text: str) -> bool:
    return text.strip().replace(".", "").replace(":", "").replace("-", "").replace("e", "").isdigit()


def _seconds(path: Path, line: int, text: str) -> float:
    """``12.5``, or hours and minutes before it with colons."""
    try:
        parts = [float(part) for part in text.strip().split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not np.isfinite(parts).all():
        hint = " (set REAPER's ruler to minutes:seconds)" if "." in text and text.count(".") > 1 else ""
        raise AudioError(f"{path}: line {line}: expected a time in seconds, got {text.strip()[:30]!r}{hint}")
    return float(sum(part * 60**place for place, part in enumerate(reversed(parts))))


def _project(path: Path, text: str, audio: Path) -> Iterator[float]:
    """Take markers of the audio file, and project markers where an item plays it."""
    import rpp

    try:
        project = rpp.loads(text)
    except (ValueError, RuntimeError, IndexError) as error:
        raise AudioError(f"{path}: not readable as a REAPER project ({error})") from None
    # MARKER number position name isregion …; the end of a region is a second line without a name
    marks = [float(row[2]) for row in _rows(project, "MARKER") if len(row) > 3 and (row[3] or not _flag(row, 4))]
    for item in project.findall(".//ITEM"):
        if audio.name not in {Path(str(row[1]).replace("\\", "/")).name for row in _deep_rows(item, "FILE")}:
            continue
        start, length = _number(item, "POSITION", 0.0), _number(item, "LENGTH", np.inf)
        offset, rate = _number(item, "SOFFS", 0.0), _number(item, "PLAYRATE", 1.0)
        yield from (float(row[1]) for row in _rows(item, "TKM"))
        yield from (offset + (mark - start) * rate for mark in marks if start <= mark < start + length)


def _rows(element: Any, name: str) -> list[list[str]]:
    """The lines of an element that begin with a word."""
    return [row for row in element if isinstance(row, list) and row and row[0] == name]


def _deep_rows(element: Any, name: str) -> list[list[str]]:
    below = [row for child in element if not isinstance(child, list | str) for row in _deep_rows(child, name)]
    return _rows(element, name) + below


def _number(element: Any, name: str, missing: float) -> float:
    rows = _rows(element, name)
    return float(rows[0][1]) if rows else missing


def _flag(row: list[str], place: int) -> bool:
    return len(row) > place and int(float(row[place])) % 2 == 1
