"""Rendering the parts to keep, one after the other, with equal-power crossfades where they meet.

Only what is kept is heard, so a crossfade takes its length from both parts::

    part 1   ━━━━━━━━━━━━━━━━━╲                        cos
    part 2                   ╱━━━━━━━━━━━━━━━━━━━      sin
                             fade

On beats that would play every later beat too early, and soften its attack. There the fade lies before the part, in what
was cut, so that a part sounds whole from its beat on and the beats stay as far apart as they were::

    part 1   ━━━━━━━━━━━━━━━━━╲
    part 2                   ╱┃━━━━━━━━━━━━━━━━━━      ┃: the beat

A cut begins and ends with such a fade, too, where the passage goes on. It is read once, front to back: memory holds a
fade, not the file.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.errors import RequestError

from ..audio_files import AudioWriter
from ..passage import Passage, PassageReader, sample_format
from .flag_set import FlagSet

Block = NDArray[np.float32]


class Play(NamedTuple):
    """What is played of one part. It shares ``fade_in`` with the one before, ``fade_out`` with the one after."""

    start: int
    end: int
    fade_in: int
    fade_out: int


def plays(flags: FlagSet) -> list[Play]:
    """The parts as they are played; positions are absolute. Raises `RequestError` where there is none."""
    parts = [(part.start, part.end) for part in flags.parts]
    if not parts:
        raise RequestError(f"{flags.source or 'the recording'}: nothing is left to keep, so there is no cut")
    halves = [(end - start) // 2 for start, end in parts]  # a part has two fades at most
    fades = [min(flags.fade, *both) for both in pairwise(halves)]
    if flags.on_beats:
        fades = [min(fade, b[0] - a[1]) for fade, (a, b) in zip(fades, pairwise(parts), strict=True)]
        parts = [(start - lead, end) for (start, end), lead in zip(parts, [0, *fades], strict=True)]
    first = min(flags.fade, halves[0]) if parts[0][0] > flags.start else 0
    last = min(flags.fade, halves[-1]) if parts[-1][1] < flags.end else 0
    fades = [first, *fades, last]
    return [Play(*part, fades[i], fades[i + 1]) for i, part in enumerate(parts)]


def cut_frames(flags: FlagSet) -> int:
    """How long the cut is in samples. Raises `RequestError` where nothing is left."""
    played = plays(flags)
    return sum(play.end - play.start for play in played) - sum(play.fade_in for play in played[1:])


def cut_blocks(flags: FlagSet, passage: Passage) -> Iterator[Block]:
    """The cut, front to back, ``(channels, n)``.

    Raises:
        RequestError: nothing is left to keep.
        AudioError: the passage cannot be read.
    """
    reader = PassageReader(passage)
    at, tail = flags.start, np.zeros((passage.channels, 0), np.float32)
    for play in plays(flags):
        reader.skip(play.start - at)
        head = reader.read(play.fade_in) * fade_curve(play.fade_in)
        head[:, : tail.shape[1]] += tail
        yield head
        yield from reader.take(play.end - play.start - play.fade_in - play.fade_out)
        tail = reader.read(play.fade_out) * fade_curve(play.fade_out)[::-1]
        at = play.end
    yield tail


def write_cut(flags: FlagSet, passage: Passage, path: Path) -> int:
    """Write the cut as a WAV file in the source's own sample format; gives how many samples clipped in a crossfade.

    Raises:
        RequestError: nothing is left to keep.
        AudioError: the passage cannot be read, or the file not be written.
    """
    subtype, frames = sample_format(passage), cut_frames(flags)
    with AudioWriter(path, passage.rate, passage.channels, subtype=subtype, frames=frames) as writer:
        for block in cut_blocks(flags, passage):
            writer.write(block)
        return writer.clipped


def fade_curve(frames: int) -> Block:
    """A quarter of a sine, ``(frames,)``: its square and that of its reverse sum to 1."""
    curve: Block = np.sin(np.pi / 2 * (np.arange(frames) + 0.5) / max(frames, 1)).astype(np.float32)
    return curve
