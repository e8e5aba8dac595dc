"""What chopping gives: where each chop starts, why, and what it was cut from.

Positions are samples at the source's rate, absolute in the source (for a recording of what was just played, in the
lane's input time), strictly increasing. Each chop ends where the next one starts, the last one at the range's end;
what lies between the range's start and the first chop is the lead-in and belongs to no chop::

    start        position        position                position              end
      │  lead-in    │   chop 1      │        chop 2         │      chop 3       │
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Chop(NamedTuple):
    """One place to cut, and the sound from there to the next one.

    ``score`` is how sure the chooser is, 0 … 1. ``fade`` says that no zero crossing was near: a cut there clicks
    unless it is faded.
    """

    position: int
    end: int
    score: float
    kind: str  # "onset", "beat", "downbeat", "phrase", "grid", "equal", "manual" or "chop"
    locked: bool = False
    fade: bool = False


@dataclass(frozen=True)
class ChopSet:
    """The chops of one sound. ``tempo`` is in beats a minute, 0.0 where none was found; ``source`` None is a take.

    ``note`` is a line for the user about the choice, or empty.
    """

    source: Path | None
    rate: int
    channels: int
    start: int
    end: int
    tempo: float
    beats_per_bar: int
    chops: tuple[Chop, ...]
    note: str = ""
