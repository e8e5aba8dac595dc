"""Room for chops: no two closer than a minimum length, and the last as far from the end.

Choosing greedily can wall off places: a chop in the middle of a gap may cost the two that would have fitted beside it.
So each choice is held against how many still find room, which for points on a line can be counted exactly: taking
places from the left, each the first that is far enough from the one before, packs every beginning of the line as full
as it can be; from the right, every ending. With a choice at p there is room for::

    places taken from the left, up to p - length   +   p itself   +   places taken from the right, from p + length on
"""

import numpy as np
from numpy.typing import NDArray


class Spacing:
    """Which of ``positions`` (samples, increasing) may still be chosen."""

    def __init__(self, positions: NDArray[np.int64], min_length: int, end: int) -> None:
        self._positions = positions
        self._length = max(1, min_length)
        self.free: NDArray[np.bool_] = (positions >= 0) & (positions <= end - self._length)
        self._room = self.fit()  # or more

    def choose(self, index: int) -> None:
        """Free nothing nearer to this one than the length."""
        self.free &= ~self.crowded([index])[:, 0]
        self._room -= 2

    def crowded(self, chosen: list[int]) -> NDArray[np.bool_]:
        """Which candidates are too near to which of the chosen, ``(candidates, chosen)``."""
        near: NDArray[np.bool_] = np.abs(self._positions[:, None] - self._positions[chosen]) < self._length
        return near

    def fit(self) -> int:
        """How many more find room."""
        return len(_packed(self._positions[self.free], self._length))

    def open_to(self, wanted: int) -> NDArray[np.bool_]:
        """The free places that leave room for ``wanted``, themselves included; for as many as fit, if that is fewer."""
        if self._room > wanted:  # a choice costs, beside itself, one other at most
            return self.free
        places = np.flatnonzero(self.free)
        free = self._positions[places]
        left = _packed(free, self._length)
        self._room = len(left)
        right = -_packed(-free[::-1], self._length)[::-1]
        before = np.searchsorted(left, free - self._length, "right")
        after = len(right) - np.searchsorted(right, free + self._length, "left")
        open_ = np.zeros_like(self.free)
        open_[places[before + 1 + after >= min(wanted, len(left))]] = True
        return open_


def _packed(positions: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """The first position, the first at least ``length`` after it, and so on."""
    following = np.searchsorted(positions, positions + length).tolist()
    taken, at = [], 0
    while at < len(following):
        taken.append(at)
        at = following[at]
    return positions[taken]
