"""Runs of samples without sound, exact to the sample: what dropouts and silences begin with."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


class Run(NamedTuple):
    """Samples ``start`` to ``end``, in samples since listening began."""

    start: int
    end: int


class Runs:
    """Finds runs of true of at least ``shortest`` samples in masks that follow on each other."""

    def __init__(self, shortest: int) -> None:
        self._shortest = shortest
        self.reset()

    def reset(self) -> None:
        self.open: int | None = None
        """Where the run starts that the last sample belongs to."""

    def process(self, mask: Mask, position: int) -> list[Run]:
        """The runs that end in this mask ``(n,)``, whose first sample stands at ``position``."""
        padded = np.zeros(len(mask) + 2, np.int8)
        padded[0] = self.open is not None
        padded[1:-1] = mask
        turns = np.diff(padded[:-1])
        starts = (np.flatnonzero(turns == 1) + position).tolist()
        ends = (np.flatnonzero(turns == -1) + position).tolist()
        if self.open is not None:
            starts.insert(0, self.open)
        self.open = starts.pop() if len(starts) > len(ends) else None
        return [Run(s, e) for s, e in zip(starts, ends, strict=True) if e - s >= self._shortest]
