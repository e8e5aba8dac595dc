"""From what was heard to chops: candidates of a mode, brought onto the sample, and the choice of a few.

::

    analysis ─► candidates ─► onto the sample ─► locks among them ─► chosen ─► chops

What takes long was done before, so another seed or other locks are answered at once. Only points that no curve marks
(lines of a grid, equal parts, manual points) need the audio again, once: the analysis remembers where they fell.
"""

import numpy as np
from numpy.typing import NDArray

from streaming.errors import RequestError

from ..snapping import snap_points
from .analysis import Analysis
from .candidates import describe, find_places, usual_count
from .chops import Chop, ChopSet
from .marks import nearest_onset
from .selection import Choice, select
from .settings import ChopSettings, Snap

NEEDS = {"transient": "onset", "beat": "beat", "downbeat": "beat", "phrase": "beat", "grid": "beat"}
"""The curve without which a mode finds nothing: bars and phrases begin on beats."""
LOCK_S = 0.01
"""A lock this near a candidate means it: seconds are typed with three digits. Any other is kept to the sample."""

Positions = NDArray[np.int64]


def chop(analysis: Analysis, settings: ChopSettings) -> ChopSet:
    """The chops of a passage; the same again for the same settings.

    Raises:
        RequestError: there is nothing to cut at, a point or lock lies outside, or the locks cannot be kept.
        AudioError: the passage has to be read again and cannot be.
    """
    if (curve := NEEDS.get(settings.mode)) and curve not in analysis.curves:
        marked = ", ".join(analysis.curves)
        raise RequestError(f"{settings.model} marks {marked}; mode {settings.mode} needs {curve}: try --model chopper")
    heard = analysis if settings.snap == "onset" else analysis.unsnapped()
    at = _samples(analysis, settings.at, "the point").tolist()
    places = find_places(heard, settings.mode, settings.grid, settings.count, at)
    places, fades = _place(heard, places, settings.snap)
    locked = _meant(places, _samples(analysis, settings.lock, "the lock"), analysis.rate)
    candidates = describe(heard, settings.mode, places, locked)
    choice = Choice(
        method=settings.method,
        relevance_weight=settings.relevance_weight,
        count=usual_count(settings.mode, settings.count),
        min_length=round(settings.min_length_s * analysis.rate),
        seed=settings.seed,
        locked=tuple(locked.tolist()),
    )
    chosen, note = select(candidates, choice, analysis.frames)
    if not len(chosen):
        silent = "is silent; " if not analysis.texture.any() else ""
        raise RequestError(f"{analysis.passage.source or 'the recording'}: {silent}{note}")
    positions = candidates.positions[chosen]
    # A lock that is no candidate is cut where it is, on a zero crossing or not.
    faded = np.isin(positions, places[fades]) | ~np.isin(positions, places)
    chops = [
        Chop(position, end, float(candidates.relevance[index]), candidates.kinds[index], locked_here, fade)
        for index, position, end, locked_here, fade in zip(
            chosen.tolist(),
            (analysis.start + positions).tolist(),
            [*(analysis.start + positions[1:]).tolist(), analysis.start + analysis.frames],
            np.isin(positions, locked).tolist(),
            faded.tolist(),
            strict=True,
        )
    ]
    return ChopSet(
        source=analysis.passage.source,
        rate=analysis.rate,
        channels=analysis.passage.channels,
        start=analysis.start,
        end=analysis.start + analysis.frames,
        tempo=analysis.tempo,
        beats_per_bar=analysis.beats_per_bar,
        chops=tuple(chops),
        note=note,
    )


def _samples(analysis: Analysis, seconds: tuple[float, ...], what: str) -> Positions:
    """Seconds of the source as samples of the passage, increasing. Raises `RequestError` for one outside."""
    points = np.unique(np.round(np.array(seconds, np.float64) * analysis.rate).astype(np.int64)) - analysis.start
    outside = points[(points < 0) | (points >= analysis.frames)]
    if len(outside):
        begin, end = analysis.start / analysis.rate, (analysis.start + analysis.frames) / analysis.rate
        at = (analysis.start + int(outside[0])) / analysis.rate
        raise RequestError(f"{what} at {at:.3f} s lies outside: expected {begin:.3f} to {end:.3f} s")
    return points


def _place(analysis: Analysis, points: Positions, snap: Snap) -> tuple[Positions, NDArray[np.bool_]]:
    """Points on the sample, increasing, and which of them want a fade. Fewer, where several are one.

    Marks lie there already. Any other point joins an onset close by, or else the nearest zero crossing.
    """
    if snap == "none":
        return points, np.zeros(len(points), np.bool_)
    positions, fades = points.copy(), np.zeros(len(points), np.bool_)
    left = np.ones(len(points), np.bool_)
    if snap == "onset":
        for marks in (analysis.onsets, analysis.chops, analysis.phrases, analysis.downbeats, analysis.beats):
            fades[np.isin(points, marks.positions[marks.fades])] = True
            left &= ~np.isin(points, marks.positions)
        nearest, joins = nearest_onset(points, analysis.onsets, analysis.rate)
        joins &= left
        positions[joins] = analysis.onsets.positions[nearest[joins]]
        fades[joins] = analysis.onsets.fades[nearest[joins]]
        left &= ~joins
    new = np.array([point for point in points[left].tolist() if point not in analysis.crossings], np.int64)
    snapped = snap_points(analysis.passage, new, ["zero"] * len(new))
    analysis.crossings.update(zip(new.tolist(), snapped, strict=True))
    for index in np.flatnonzero(left).tolist():
        positions[index], _, fades[index] = analysis.crossings[int(points[index])]
    positions, first = np.unique(positions, return_index=True)
    return positions, fades[first]


def _meant(places: Positions, locks: Positions, rate: int) -> Positions:
    """Each lock on the place that it means, if one is near, or else as it is."""
    if not len(places):
        return locks
    nearest = places[np.searchsorted((places[1:] + places[:-1]) / 2, locks)]
    return np.unique(np.where(np.abs(nearest - locks) <= LOCK_S * rate, nearest, locks))
