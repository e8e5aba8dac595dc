"""Bringing the points of a passage onto the sample, in one reading of it: memory holds a window, not the file."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from streaming.snap import Mode, Snapped, snap

from .passage import Passage, Progress

REACH_S = 0.05
"""What a snap gets to hear on either side of a point."""


def snap_points(
    passage: Passage, points: NDArray[np.int64], modes: Sequence[Mode], report: Progress | None = None
) -> list[Snapped]:
    """Snap points, in order, each in its mode; positions count from the passage's beginning, as ``points`` do.

    Raises:
        AudioError: the passage cannot be read.
    """
    snapped = []
    for (window, begin), point, mode in zip(_windows(passage, points.tolist()), points.tolist(), modes, strict=True):
        found = snap(window, passage.rate, point - begin, mode)
        snapped.append(found._replace(position=found.position + begin))
        if report:
            report(point / passage.frames)
    return snapped


def _windows(passage: Passage, points: Sequence[int]) -> Iterator[tuple[NDArray[np.float32], int]]:
    """For each point what sounds within reach of it, ``(channels, n)``, and the sample at which that begins."""
    reach = round(REACH_S * passage.rate)
    near, begin, index = np.zeros((passage.channels, 0), np.float32), 0, 0
    blocks = passage.blocks()
    while index < len(points):
        block = next(blocks, None)
        if block is not None:
            near = np.concatenate([near, block], axis=1)
        end = begin + near.shape[1]
        while index < len(points) and (block is None or points[index] + reach <= end):
            first = max(points[index] - reach, begin)
            yield near[:, first - begin : points[index] + reach - begin], first
            index += 1
        if index < len(points):
            keep = min(max(points[index] - reach, begin), end)
            near, begin = near[:, keep - begin :], keep
