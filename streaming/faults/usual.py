"""What is usual: the median of the last so many values, kept in order."""

from bisect import bisect_left, insort
from collections import deque


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
