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
_CERTAIN = 16
"""Samples that must be equal."""
_MANY = 50_000
_MIX = tuple(np.array([0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35], np.uint32))
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
        loud = (np.abs(audio[anchors]) > _SOUND) & (audio[anchors] != audio[anchors - 1])
        at, earlier = _alike(audio, anchors[loud])
        near = (earlier < at) & (at - earlier <= self._longest)
        at, earlier = at[near], earlier[near]
        if len(at) > _MANY:  # a tone that repeats to the bit
            return []
        for k in range(_CERTAIN):
            same = audio[at - k] == audio[earlier - k]
            at, earlier = at[same], earlier[same]
        return self._runs(audio, position, at, at - earlier)

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


def _alike(audio: Array, anchors: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of an anchor and another place that three samples may lead to alike: those of one hash."""
    bits = np.ascontiguousarray(audio).view(np.uint32)
    mixed = bits * _MIX[0]
    mixed[1:] ^= bits[:-1] * _MIX[1]
    mixed[2:] ^= bits[:-2] * _MIX[2]
    keys = mixed >> np.uint32(16)
    order = np.argsort(keys[anchors], kind="stable")
    hashes, firsts, counts = np.unique(keys[anchors][order], return_index=True, return_counts=True)
    first_of, count_of = np.zeros((2, 1 << 16), np.int32)  # of a hash, among the ordered anchors
    first_of[hashes], count_of[hashes] = firsts, counts
    places = np.flatnonzero((count_of > 0)[keys])
    first, count = first_of[keys[places]], count_of[keys[places]]
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return anchors[order][np.repeat(first, count) + within], np.repeat(places, count)
