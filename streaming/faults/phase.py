"""A flipped channel: left and right are what they were, but from one moment to the next against each other.

In each band of 100 Hz left and right have a phase between them. Whatever the music does, most of it sounds on from one
twelfth of a second to the next, and its phases with it; a flip turns them all by half a turn at once. So a flip is found
at its edges, in wide stereo as well, where left and right correlate no more than they do against each other:

::

    phases    →→↗→→→↗→→→|←←↙←←←↙←←←←|→→↗→→→→
                        flip         flip back

Which side of an edge is the flipped one is told by the correlation: it is the lower one. What is nothing but left
against right is a fault without an edge.
"""

from typing import NamedTuple

import numpy as np

from .detector import LIVE_LIMIT_S, Detector, Span
from .hops import Block

_SIDE_HOPS = 8
_HIGHEST_HZ = 6000
_TURNED = 0.6
"""Of all: so much turned round at once is a flip."""
_SURE = 12.0
_QUIET = 1e-8
_OPPOSED = 0.97
"""Correlation against each other of what is one signal."""
_LONGEST_S = 60.0
"""A flip that is not taken back within this was none."""
_AROUND_HOPS = 50
_EVEN = 4.0
"""So many bands at least must share what is heard."""


class _Edge(NamedTuple):
    hop: int
    strength: float


class Phase(Detector):
    KIND = "phase"
    GAP_S = 0.1
    SHORTEST_S = 0.15
    DELAY_S = LIVE_LIMIT_S

    def open(self) -> None:
        self._bins = max(4, min(self.hop_samples // 2, round(_HIGHEST_HZ * self.hop_samples / self.rate)))
        self._taper = np.hanning(self.hop_samples + 2)[1:-1].astype(np.float32)

    def clear(self) -> None:
        self._cross = np.zeros((2 * _SIDE_HOPS, self._bins), np.complex64)
        self._sums = np.zeros((_AROUND_HOPS + _SIDE_HOPS, 3))

    def hear(self, hops: Block) -> list[Span]:
        return []
