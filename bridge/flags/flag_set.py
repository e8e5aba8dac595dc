"""What flagging gives: the flags of a passage, the parts of it to keep, and the curve that both come from.

Positions are samples at the source's rate, absolute in the source (for what was just played, in the lane's input time).
Flags are in the order of their starts and may overlap: a click inside a noisy passage is two. Parts are in order and
apart from each other::

    start                                                      end
      │        ┣━ flag ━┫                ┣ flag ┫               │
      │━ part ━━┫     ┣━━━━━━ part ━━━━━━━━┫  ┣━━━━ part ━━━━━━━│      with padding, parts reach into flags
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.flags import Flag


class Part(NamedTuple):
    """A stretch to keep, ``end`` excluded."""

    start: int
    end: int


@dataclass(frozen=True)
class FlagSet:
    """The flags of one sound. ``source`` None is what was just played.

    Attributes:
        hop_s: from one value of ``scores`` and ``p_values`` ``(n,)`` to the next; the first is at ``start``.
        threshold: the score at which the network's flags begin; None where a share to keep decided.
        fade: samples of the crossfade where two parts meet.
        on_beats: parts begin on beats, so the fade belongs before them.
        notes: lines for the user.
    """

    source: Path | None
    rate: int
    channels: int
    start: int
    end: int
    flags: tuple[Flag, ...]
    parts: tuple[Part, ...]
    hop_s: float
    scores: NDArray[np.float64]
    p_values: NDArray[np.float64]
    threshold: float | None
    fade: int = 0
    on_beats: bool = False
    notes: tuple[str, ...] = ()

    @property
    def kept_s(self) -> float:
        """Seconds of all parts."""
        return sum(part.end - part.start for part in self.parts) / self.rate
