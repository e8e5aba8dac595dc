"""A user's own flagger, in minutes: the shipped network goes on hearing, and remembers and is calibrated anew.

::

    good recordings ─┬─ three of four ─► embeddings ─► memory (a coreset for each scale)
                     └─ one of four ───► oddness ────► calibration, threshold
    raw takes ─────────────────────────► what would be cut: the report, and how near it comes to the edits

The weights of the evidence stay those of the general model, but the memory's are doubled: it is the user's own now.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streaming.card import Source
from streaming.errors import AudioError, RequestError
from streaming.evidence import oddness
from streaming.flagger import FILE, LIVE, Flagger

from .evaluation import auroc
from .pairs import Pair, kept_steps, read_folder
from .recordings import RATE, Audio, read_file
from .teaching import Heard, Taught, evidence_of, hear, memory_of, set_threshold

LEAST_FILES = 2
LEAST_S = 60.0
SHORTEST_S = 5.0
"""A shorter file says nothing of how a recording goes on, and is left out."""
HELD_OUT_EACH = 4
Double = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Judged:
    """A recording after training: its name, how odd each step is (log odds), and whether its edit kept it."""

    name: str
    numbers: Double
    kept: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None" = None


@dataclass(frozen=True)
class Own:
    """What came of it. ``auroc`` is that of cut against kept steps of the raw takes, where there are any."""

    taught: Taught
    source: Source
    learned: list[Judged]
    held_out: list[Judged]
    raw: list[Judged]
    notes: list[str]

    @property
    def auroc(self) -> float | None:
        values = [
            auroc(one.numbers[one.kept], one.numbers[~one.kept])
            for one in self.raw
            if one.kept is not None and one.kept.any() and not one.kept.all()
        ]
        return float(np.mean(values)) if values else None


def learn_own(folder: Path, flagger: Flagger, progress: Progress) -> Own:
    """Hear a folder and teach ``flagger`` what is usual there.

    Raises:
        RequestError: there is no audio, too little of it, or one file only.
    """
    there = read_folder(folder)
    notes: list[str] = []
    heard: list[tuple[str, Heard]] = []
    seconds = 0.0
    for i, path in enumerate(there.good):
        mono = _read(path, notes)
        if mono is not None:
            heard.append((path.name, hear(flagger, mono)))
            seconds += len(mono) / RATE
        progress("listening", (i + 1) / (len(there.good) + len(there.pairs)))
    if not heard:
        raise RequestError(f"{folder}: no file that can be used; {notes[0] if notes else 'all are silent'}")
    if len(heard) < LEAST_FILES:
        raise RequestError(
            f"{folder}: one recording that can be used, {heard[0][0]}; it takes {LEAST_FILES} at least, one to learn "
            "from and another to calibrate on: split it at a song's end, or add some"
        )
    if seconds < LEAST_S:
        raise RequestError(f"{folder}: {seconds:.0f} s of audio; it takes {LEAST_S:.0f} s at least, an hour is good")
    held = heard[HELD_OUT_EACH - 1 :: HELD_OUT_EACH] or heard[-1:]
    names = {name for name, _ in held}
    learners = [one for one in heard if one[0] not in names] or heard[:-1]
    taught = _teach(flagger, [h for _, h in learners], [h for _, h in held])
    raw = []
    for i, pair in enumerate(there.pairs):
        raw.append(_judge_pair(flagger, pair, notes))
        progress("raw takes", (len(there.good) + i + 1) / (len(there.good) + len(there.pairs)))
    if seconds < 600:
        notes.append(f"{seconds / 60:.0f} minutes are few; with an hour p-values are finer and flags surer")
    source = Source(folder.resolve().name, "unstated", "a user's own recordings", round(seconds / 3600, 2))
    learned, held_out = ([Judged(name, _numbers(flagger, h)) for name, h in some] for some in (learners, held))
    return Own(taught, source, learned, held_out, [one for one in raw if one is not None], notes)


def _teach(flagger: Flagger, learners: Sequence[Heard], held: Sequence[Heard]) -> Taught:
    network = flagger.network
    network.memory = memory_of(learners, network.scales, network.memory.shape[1])
    rows = []
    for row in (LIVE, FILE):
        weights = network.weights[row].copy()
        weights[1:-1:3] *= 2
        rows.append(set_threshold(network, held, weights, row))
    network.weights = np.stack([weights for weights, _ in rows])
    network.calibration = np.stack([calibration for _, calibration in rows])
    return Taught(network.memory, network.weights, network.calibration)


def _numbers(flagger: Flagger, heard: Heard) -> Double:
    return oddness(evidence_of(flagger.network, heard, FILE), flagger.network.weights[FILE])


def _judge_pair(flagger: Flagger, pair: Pair, notes: list[str]) -> Judged | None:
    raw, edited = _read(pair.raw, notes), _read(pair.edited, notes)
    if raw is None or edited is None:
        return None
    numbers = _numbers(flagger, hear(flagger, raw))
    kept = kept_steps(raw, edited)
    count = min(len(numbers), len(kept))
    return Judged(pair.raw.name, numbers[:count], kept[:count])


def _read(path: Path, notes: list[str]) -> Audio | None:
    """Mono at 44.1 kHz; None, and a note, where that teaches nothing."""
    try:
        mono: Audio = read_file(str(path)).mean(axis=0)
    except AudioError as error:
        notes.append(f"left out: {error}")
        return None
    if len(mono) < SHORTEST_S * RATE:
        notes.append(f"left out: {path.name} lasts {len(mono) / RATE:.1f} s, and {SHORTEST_S:g} s are the least")
        return None
    if float(np.abs(mono).max()) < 3e-5:
        notes.append(f"left out: {path.name} is silent")
        return None
    return mono
