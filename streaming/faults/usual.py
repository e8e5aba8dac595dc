"""What is usual: the median of the last so many values, kept in order, or what the last rows come to."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]


class Usual:
    """The median of the last ``count`` numbers."""

    def __init__(self, count: int) -> None:
        self._past: deque[float] = deque(maxlen=count)
        self._ordered: list[float] = []

    def add(self, value: float) -> float:
        """The median, this value counted."""
        if len(self._past) == self._past.maxlen:
            del self._ordered[bisect_left(self._ordered, self._past[0])]
        self._past.append(value)
        insort(self._ordered, value)
        middle = len(self._ordered) // 2
        return (self._ordered[middle] + self._ordered[~middle]) / 2


class UsualRows:
    """What the last ``count`` rows come to, as ``usual`` has it, computed anew with every ``every``-th of them."""

    def __init__(self, count: int, every: int, usual: Callable[[Rows], Rows]) -> None:
        self.past: deque[Rows] = deque(maxlen=count)
        self._every, self._usual_of = every, usual
        self._seen = 0

    def add(self, row: Rows) -> Rows:
        """The usual row; this one counts from the next time on that it is computed, which is now for the first few."""
        self.past.append(row)
        if len(self.past) < self._every or self._seen % self._every == 0:
            self._usual = self._usual_of(np.array(self.past))
        self._seen += 1
        return self._usual
