"""Where one may cut, from what was heard in a passage: places, how good each is, and how it sounds from there.

What a place is worth in mode ``chop``, and wherever a few are chosen among beats or lines of a grid, is the sum of
what meets there, each by its strength (0 … 1) and its weight in `WORTH`: a strong onset that begins a phrase is worth
1, one between beats .4, a beat on which nothing starts .1. A network trained on somebody's own chops knows better:
its marks are the candidates then, and their strengths the worth.

How it sounds is read from the texture (bands averaged over a tenth of a second), between whose rows is interpolated::

    position ─► │ .1 s │ .1 s │ .1 s │ .1 s │ .1 s │   descriptor: per band, mean and slope over the five
                │ .1 s │                               frame: the first alone, as magnitudes

Bands are in bels below the level of the half second itself, down to `RANGE`: played softer, a sound stays itself. The
slope stands for how it fades or grows; the spread would too, but hangs twice as much on where rows happen to fall.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streaming.errors import RequestError
from streaming.features import COMPRESSION
from streaming.onsets import MERGE_S, strongest

from .analysis import Analysis
from .marks import Marks
from .selection import Candidates
from .settings import Grid, Mode

WORTH = {"onset": 0.4, "beat": 0.1, "downbeat": 0.2, "phrase": 0.3}
PARTS = 16
SEGMENT_S = 0.5
RANGE = 4.0
"""Bels under the level of the half second at which a band counts as silent."""
DIVISIONS = {"1/4": 1, "1/8": 2, "1/16": 4, "1/32": 8}
BARS = {"bar": 1, "2bar": 2, "4bar": 4}


def usual_count(mode: Mode, count: int | None) -> int | Literal["all"] | None:
    """What `Choice.count` is to be when the user says ``count``: without one, only mode ``chop`` picks a few."""
    if count is not None or mode == "chop":
        return count
    return PARTS if mode == "equal" else "all"


def find_places(
    analysis: Analysis, mode: Mode, grid: Grid = "bar", parts: int | None = None, at: Sequence[int] = ()
) -> NDArray[np.int64]:
    """Where a mode may cut: samples from the passage's beginning, increasing.

    Args:
        parts: how many, for mode ``equal``; 16 if not said.
        at: points for mode ``manual``, samples from the passage's beginning.

    Raises:
        RequestError: there are no beats, bars or phrases, or a point lies outside.
    """
    if mode == "chop":
        places = analysis.chops.positions if "chop" in analysis.curves else _everything(analysis)
    elif mode == "transient":
        places = analysis.onsets.positions
    elif mode == "grid":
        places = _lines(analysis, grid)
    elif mode == "equal":
        count = parts or PARTS
        places = np.arange(count, dtype=np.int64) * analysis.frames // count
    elif mode == "manual":
        places = _points(analysis, at)
    else:
        places = _expected(_marks(analysis)[mode].positions, mode)
    unique: NDArray[np.int64] = np.unique(places)
    return unique


def describe(
    analysis: Analysis, mode: Mode, places: NDArray[np.int64], locked: Sequence[int] | NDArray[np.int64] = ()
) -> Candidates:
    """What the places of a mode are worth and how they sound; ``locked`` take the place of those within `MERGE_S`."""
    own = "chop" in analysis.curves  # a network trained on somebody's chops
    kind = {"chop": "chop" if own else "onset", "transient": "onset"}.get(mode, mode)
    kinds = np.full(len(places), kind, dtype="U8")
    if mode == "chop" and not own:
        for name in ("beat", "downbeat", "phrase"):  # the rarest last: it names the place
            kinds[_strength_near(_marks(analysis)[name], places, analysis.rate) > 0] = name
    places, kinds = _with_locked(places, kinds, np.unique(np.array(locked, np.int64)), analysis.rate)
    return Candidates(
        places,
        _relevance(analysis, mode, kind, places),
        *_sound(analysis, places),
        tuple(kinds.tolist()),
        analysis.rate,
        analysis.start,
    )


def _marks(analysis: Analysis) -> dict[str, Marks]:
    return {
        "onset": analysis.onsets,
        "beat": analysis.beats,
        "downbeat": analysis.downbeats,
        "phrase": analysis.phrases,
    }


def _everything(analysis: Analysis) -> NDArray[np.int64]:
    """All marks; where several are one moment, the onset, which lies on the attack."""
    marks = _marks(analysis)
    places = np.concatenate([found.positions for found in marks.values()])
    trust = np.repeat(np.array([4, 1, 2, 3], np.float32), [len(found.positions) for found in marks.values()])
    order = np.lexsort((-trust, places))
    places, trust = places[order], trust[order]
    return places[strongest(places.astype(np.float64), trust, MERGE_S * analysis.rate)]


def _expected(places: NDArray[np.int64], mode: str) -> NDArray[np.int64]:
    if not len(places):
        raise RequestError(f"no {mode} was found in this passage: try --mode transient, or --mode equal")
    return places


def _lines(analysis: Analysis, grid: Grid) -> NDArray[np.int64]:
    """Bars are where they were heard; within a beat, even parts. What drifts in tempo so keeps its lines."""
    beats, numbers = analysis.beats.positions, analysis.beat_numbers
    if len(beats) < 2:
        raise RequestError("no beat was found in this passage, so there is no grid: try --mode transient or equal")
    if grid in DIVISIONS:
        edges = np.append(beats, 2 * beats[-1] - beats[-2])  # the last beat is as long as the one before
        parts = np.arange(len(beats) * DIVISIONS[grid]) / DIVISIONS[grid]
        lines: NDArray[np.int64] = np.round(np.interp(parts, np.arange(len(edges)), edges)).astype(np.int64)
        return lines[lines < analysis.frames]
    if grid == "1/2":
        halves: NDArray[np.int64] = beats[numbers % 2 == 1]
        return halves
    bars, every = _expected(beats[numbers == 1], "downbeat"), BARS[grid]
    # Phrases start lines of several bars: begin where most of them do.
    starting = _strength_near(analysis.phrases, bars, analysis.rate) > 0
    votes = [int(starting[first::every].sum()) for first in range(every)]
    return bars[votes.index(max(votes)) :: every]


def _points(analysis: Analysis, at: Sequence[int]) -> NDArray[np.int64]:
    for point in at:
        if not 0 <= point < analysis.frames:
            raise RequestError(
                f"the point at {(analysis.start + point) / analysis.rate:.3f} s lies outside: expected "
                f"{analysis.start / analysis.rate:.3f} to {(analysis.start + analysis.frames) / analysis.rate:.3f} s"
            )
    return np.array(at, np.int64)


def _with_locked(
    places: NDArray[np.int64], kinds: NDArray[np.str_], locked: NDArray[np.int64], rate: int
) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    found = np.isin(places, locked)
    near = (np.abs(places[:, None] - locked) < MERGE_S * rate).any(axis=1)
    new = locked[~np.isin(locked, places)]
    kept = found | ~near
    merged = np.concatenate([places[kept], new])
    order = np.argsort(merged)
    return merged[order], np.concatenate([kinds[kept], np.full(len(new), "manual")])[order]


def _relevance(analysis: Analysis, mode: Mode, kind: str, places: NDArray[np.int64]) -> NDArray[np.float32]:
    if mode in ("equal", "manual"):
        return np.ones(len(places), np.float32)
    if kind == "chop":
        return _strength_near(analysis.chops, places, analysis.rate)
    if mode == "transient":
        return _strength_near(analysis.onsets, places, analysis.rate)
    marks, total = _marks(analysis), np.zeros(len(places), np.float32)
    for name, weight in WORTH.items():
        total += weight * _strength_near(marks[name], places, analysis.rate)
    return total


def _strength_near(marks: Marks, places: NDArray[np.int64], rate: int) -> NDArray[np.float32]:
    """Strength of the mark nearest to each place; 0 where none is within `MERGE_S`."""
    if not len(marks.positions):
        return np.zeros(len(places), np.float32)
    edges = (marks.positions[1:] + marks.positions[:-1]) / 2
    nearest = np.searchsorted(edges, places)
    near = np.abs(marks.positions[nearest] - places) < MERGE_S * rate
    strengths: NDArray[np.float32] = np.where(near, marks.strengths[nearest], 0).clip(0, 1).astype(np.float32)
    return strengths


def _sound(analysis: Analysis, places: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Descriptors ``(places, 2 * bands)``, and frames ``(places, bands)``."""
    texture, bands = analysis.texture, analysis.texture.shape[1]
    rows = np.arange(max(1, round(SEGMENT_S * analysis.texture_rate)) + 1)
    rising = (np.linspace(-1, 1, len(rows) - 1) / (len(rows) - 1)).astype(np.float32)
    start = places * (analysis.texture_rate / analysis.rate)
    descriptors = np.zeros((len(places), 2 * bands), np.float32)
    frames = np.zeros((len(places), bands), np.float32)
    for at in range(0, len(places) if len(texture) else 0, 1024):  # a piece at a time: hours hold many places
        first = np.floor(start[at : at + 1024]).astype(np.intp)
        late = (start[at : at + 1024] - first).astype(np.float32)[:, None, None]
        values = texture[np.minimum(first[:, None] + rows, len(texture) - 1)].astype(np.float32)
        values = (1 - late) * values[:, :-1] + late * values[:, 1:]  # (places, rows, bands)
        power = np.square(values) if analysis.features.kind == "cqt" else (10**values - 1) / COMPRESSION
        level = power.sum(2).mean(1)[:, None, None]
        loud = np.log10(1 + 10**RANGE * power / np.maximum(level, 1 / COMPRESSION))
        both = np.concatenate([loud.mean(1), np.einsum("prb,r->pb", loud, rising)], axis=1)
        descriptors[at : at + 1024] = both / np.sqrt(bands)
        frames[at : at + 1024] = np.sqrt(power[:, 0])
    return descriptors, frames
