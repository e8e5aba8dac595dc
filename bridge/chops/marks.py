"""Moments of one kind (onsets, beats, downbeats, phrases) on the samples of a passage."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.onsets import strongest

from ..passage import Passage, Progress
from ..snapping import snap_points

ATTACKS = ("onset", "chop")
"""Kinds that sit on an attack. The others are times: an attack may be near."""
JOIN_S = 0.025
"""A time so near an onset is cut at that onset."""
ONE_ATTACK_S = 0.01
"""Onsets that snap to within this of each other are one."""


class Marks(NamedTuple):
    """Positions are samples at the source's rate, increasing, from the passage's beginning.

    Attributes:
        positions: on the attack, and there on a rising zero crossing (`streaming.snap`).
        strengths: 0 to 1.
        fades: no zero crossing was near, and a cut wants a short fade-in.
        heard: where the network put them, to its frame.
    """

    positions: NDArray[np.int64]
    strengths: NDArray[np.float32]
    fades: NDArray[np.bool_]
    heard: NDArray[np.int64]

    def unsnapped(self) -> "Marks":
        """Where they were heard."""
        order = np.argsort(self.heard, kind="stable")
        return Marks(self.heard[order], self.strengths[order], np.zeros(len(order), np.bool_), self.heard[order])


NO_MARKS = Marks(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.bool_), np.zeros(0, np.int64))

Moments = tuple[NDArray[np.int64], NDArray[np.float32]]
"""What a decoder found: samples from the passage's beginning, increasing, and strengths."""


def snap_marks(passage: Passage, moments: Mapping[str, Moments], report: Progress | None = None) -> dict[str, Marks]:
    """Bring moments of all kinds onto the sample, in one reading.

    Raises:
        AudioError: the passage cannot be read.
    """
    points = np.array([point for heard, _ in moments.values() for point in heard], np.int64)
    modes = ["onset" if kind in ATTACKS else "zero" for kind, (heard, _) in moments.items() for _ in heard]
    order = np.argsort(points, kind="stable")
    snapped = snap_points(passage, points[order], [modes[i] for i in order], report)
    positions, fades = points.copy(), np.zeros(len(points), np.bool_)
    positions[order] = [found.position for found in snapped]
    fades[order] = [found.fade for found in snapped]
    marks, at = {}, 0
    for kind, (heard, strengths) in moments.items():
        here = slice(at, at := at + len(heard))
        marks[kind] = Marks(positions[here], strengths, fades[here], heard)
    for kind, found in marks.items():
        if kind in ATTACKS:
            marks[kind] = _merge(found, passage.rate)
    if "onset" in marks:
        for kind in marks.keys() - set(ATTACKS):
            marks[kind] = _join(marks[kind], marks["onset"], passage.rate)
    return marks


def nearest_onset(points: NDArray[np.int64], onsets: Marks, rate: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """For each point the nearest of ``onsets``, and whether it is so near that a cut belongs there."""
    if not len(onsets.positions):
        return np.zeros(len(points), np.intp), np.zeros(len(points), np.bool_)
    after = np.searchsorted(onsets.positions, points).clip(1, max(1, len(onsets.positions) - 1))
    before = after - 1
    after = np.minimum(after, len(onsets.positions) - 1)
    nearer = np.abs(onsets.positions[after] - points) < np.abs(onsets.positions[before] - points)
    nearest = np.where(nearer, after, before)
    return nearest, np.abs(onsets.positions[nearest] - points) <= JOIN_S * rate


def _join(times: Marks, onsets: Marks, rate: int) -> Marks:
    nearest, joins = nearest_onset(times.heard, onsets, rate)
    if not joins.any():
        return times
    positions = np.where(joins, onsets.positions[nearest], times.positions)
    fades = np.where(joins, onsets.fades[nearest], times.fades)
    return times._replace(positions=positions, fades=fades)


def _merge(marks: Marks, rate: int) -> Marks:
    """One mark where several landed on one attack, the strongest."""
    order = np.argsort(marks.positions, kind="stable")
    kept = order[strongest(marks.positions[order].astype(np.float64), marks.strengths[order], ONE_ATTACK_S * rate)]
    return Marks(marks.positions[kept], marks.strengths[kept], marks.fades[kept], marks.heard[kept])
