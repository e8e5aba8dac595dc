"""Flags: passages that do not belong. What every detector says, live and of files, network or not.

Positions are samples of the source (live: of the lane's input), ``end`` excluded. Two flags of one passage are one:
detectors report a passage once, when it is over or, live, as soon as it is sure.
"""

from typing import NamedTuple


class Flag(NamedTuple):
    """One passage that does not belong.

    ``score`` is how odd it is, 0 … 1. ``p_value`` is how often as odd a thing is heard in good audio (conformal, on
    held-out songs). ``kind`` says what it most resembles, one of `KINDS`; ``low_hz`` and ``high_hz`` where in the
    spectrum it is heard, 0 and half the rate when everywhere.
    """

    start: int
    end: int
    score: float
    p_value: float
    kind: str
    low_hz: float
    high_hz: float
