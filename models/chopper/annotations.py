"""What is known of a song: the annotations in its ``song.json``, beside its stems.

Times are seconds from the start of the stems, increasing. What a file does not say, or names in ``unannotated``, is
unknown, which is not the same as empty: a stem that is silent has no onsets, one that nobody annotated may have any.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming.errors import AudioError

Times = NDArray[np.float64]
GRID = ("beats", "downbeats", "phrases")


@dataclass(frozen=True)
class Truth:
    """What is known of a song, in seconds.

    Attributes:
        onsets: by stem, for the stems whose onsets are known.
        beats, downbeats, phrases: None where unknown.
        unannotated: stems, and fields of the above, of which the song says that nobody wrote them down.
    """

    onsets: dict[str, Times] = field(default_factory=dict)
    beats: Times | None = None
    downbeats: Times | None = None
    phrases: Times | None = None
    unannotated: frozenset[str] = frozenset()


def load_truth(folder: Path) -> Truth:
    """The annotations of a song's folder; all unknown where it has no ``song.json``.

    Raises:
        AudioError: when ``song.json`` is not what it should be.
    """
    path = folder / "song.json"
    if not path.exists():
        return Truth()
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AudioError(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("onsets", {}), dict):
        raise AudioError(f"{path}: expected an object whose onsets are lists of seconds by stem")
    unknown = frozenset(str(name) for name in facts.get("unannotated", ()))
    onsets = {
        stem: _times(path, f"onsets of {stem}", times)
        for stem, times in facts.get("onsets", {}).items()
        if stem not in unknown
    }
    grid = {name: _times(path, name, facts[name]) for name in GRID if name in facts and name not in unknown}
    return Truth(onsets, grid.get("beats"), grid.get("downbeats"), grid.get("phrases"), unknown)


def _times(path: Path, what: str, value: Any) -> Times:
    """A list of seconds, checked."""
    try:
        times = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise AudioError(f"{path}: {what}: expected a list of seconds, got {str(value)[:40]!r}") from None
    if times.ndim != 1 or not np.isfinite(times).all() or (times < 0).any():
        raise AudioError(f"{path}: {what}: expected a list of seconds from 0 on, got {str(value)[:40]!r}")
    if (np.diff(times) < 0).any():
        at = int(np.argmax(np.diff(times) < 0))
        raise AudioError(f"{path}: {what}: expected increasing times, got {times[at]:g} before {times[at + 1]:g}")
    return times
