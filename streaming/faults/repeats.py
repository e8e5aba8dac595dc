"""Blocks that come twice: a buffer that was played again instead of the next one.

Samples that are, one by one, what they were a moment ago, for as long as that moment::

    … a b c d e f | c d e f | k l …      lag 4, four equal samples: a block of four came twice

Equal for much longer than the lag is a tone, or a loop that somebody meant.
"""

import numpy as np
from numpy.typing import NDArray

from .quiet import Run

Array = NDArray[np.float32]

_SOUND = 1e-4
_MEANT = 2.5
"""Times the lag: equal for longer is no accident."""


class Repeats:
    """Looks from an anchor every so often whether what leads to it was there before.

    Args:
        longest: the longest lag.
        apart: from anchor to anchor; blocks of twice this are never missed.
    """

    def __init__(self, longest: int, apart: int, shortest: int) -> None:
        self._longest, self._shortest, self.apart = longest, shortest, apart
        self.after = longest + apart
        """Samples that must have come after an anchor."""
        self.before = 2 * longest
        self.reset()

    def reset(self) -> None:
        self._found_to = 0
        self._next = 0

    def process(self, audio: Array, position: int) -> list[Run]:
        """The blocks that came twice, as far as ``audio (n,)`` tells, whose first sample stands at ``position``.

        It must reach ``before`` back from where the last call's ended, less ``after``.
        """
        last = position + len(audio) - self.after
        first = max(self._next, position + self.before)
        first = -(-first // self.apart) * self.apart
        anchors = np.arange(first, last, self.apart) - position
        self._next = max(self._next, last)
        if not len(anchors):
            return []
        values = audio[anchors]
        loud = (np.abs(values) > _SOUND) & (values != audio[anchors - 1])
        anchors, values = anchors[loud], values[loud]
        # column c of a row: the sample longest - c before the anchor
        past = np.lib.stride_tricks.sliding_window_view(audio, self._longest)[anchors - self._longest]
        rows, columns = np.nonzero(past == values[:, None])
        at, lags = anchors[rows], self._longest - columns
        for k in (1, 2, 3, 5, 8, 13):
            same = audio[at - k] == audio[at - k - lags]
            at, lags = at[same], lags[same]
        return self._runs(audio, position, at, lags)

    def _runs(self, audio: Array, position: int, anchors: NDArray[np.intp], lags: NDArray[np.intp]) -> list[Run]:
        runs: list[Run] = []
        for anchor in np.unique(anchors):
            lag = int(lags[anchors == anchor].min())
            first = max(lag, int(anchor) - lag)
            same = audio[first : anchor + lag + self.apart] == audio[first - lag : anchor + self.apart]
            middle = int(anchor) - first
            before, after = np.flatnonzero(~same[:middle]), np.flatnonzero(~same[middle:])
            start = first + (int(before[-1]) + 1 if len(before) else 0)
            end = int(anchor) + (int(after[0]) if len(after) else len(same) - middle)
            length = end - start
            whole = len(before) and len(after)
            if (
                whole
                and max(self._shortest, 0.9 * lag) <= length <= _MEANT * lag
                and start + position >= self._found_to
            ):
                runs.append(Run(start + position, end + position))
                self._found_to = end + position
        return runs
