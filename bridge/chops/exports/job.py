"""What an exporter is given, and what the formats for pads share: banks of 128, from note 36 (C1) up.

The note of a chop is the same in the MIDI file, the SFZ, the MPC program and the Ableton rack: 36, 37 … 127, then
0 … 35 for the last of a bank's 128. Chop 129 is the first of the second bank, in a file of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...passage import Passage
from ..chops import Chop, ChopSet

PADS = 128
FIRST_NOTE = 36


@dataclass(frozen=True)
class Job:
    """``folder`` is where to write now, ``home`` where its files will lie in the end.

    ``curves`` are the network's over the passage, evenly in time; none where they are not known.
    """

    chops: ChopSet
    passage: Passage
    folder: Path
    home: Path
    stem: str
    curves: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def path(self, ending: str) -> Path:
        """``ending`` such as ``-chops.sfz`` put behind the stem."""
        return self.folder / (self.stem + ending)

    def seconds(self, position: int) -> float:
        return position / self.chops.rate

    def name(self, number: int) -> str:
        """What chop ``number`` (from 1) is called: ``07 downbeat``."""
        return f"{number:0{max(2, len(str(len(self.chops.chops))))}} {self.chops.chops[number - 1].kind}"


@dataclass(frozen=True)
class Bank:
    """Some chops in a row. ``first`` is the number of its first chop, from 1; ``ending`` what a file's name gets."""

    first: int
    chops: tuple[Chop, ...]
    ending: str

    def __iter__(self) -> Iterator[tuple[int, Chop]]:
        """Chops with their numbers."""
        return enumerate(self.chops, self.first)


def banks(chops: ChopSet, size: int = PADS) -> list[Bank]:
    """The chops in banks of ``size``; the first has no ending, the others ``-bank2``, ``-bank3`` …"""
    starts = range(0, len(chops.chops), size)
    return [
        Bank(start + 1, chops.chops[start : start + size], f"-bank{number}" if number > 1 else "")
        for number, start in enumerate(starts, 1)
    ]


def pad_note(number: int) -> int:
    """The MIDI note of chop ``number`` (from 1), in its bank."""
    return (FIRST_NOTE + number - 1) % PADS
