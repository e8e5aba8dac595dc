"""Cutting a passage into slices that add up to it again.

A slice runs from its chop to the next one. Where a chop sits on no zero crossing, the cut is a crossfade of at most
1 ms with equal gain: the slice before runs on and fades out while the new one fades in, so that the two sum to the
passage, and all slices, laid at their positions and added, *are* the passage::

    passage   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
    slice 1   ━━━━━━━━━━━━━━━╲
    slice 2                 ╱━━━━━━━━━━━━━━┃               chop 2 fades, chop 3 (a zero crossing) does not
    slice 3                                ┃━━━━━━━━━━

The fade-out is rounded to the grid of the file's samples and the fade-in is what remains, so the sum is exact to the
bit in 16 and 24 bits. What lies before the first chop is slice 0. The passage is read once, front to back.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..audio_files import AudioWriter
from ..passage import Block, Passage, PassageReader, sample_format
from .chops import ChopSet

FADE_S = 0.001


class Slice(NamedTuple):
    """``start`` to ``end`` are the source's samples that belong to the slice, its fade-out not counted.

    ``number`` counts from 1, and 0 is the lead-in. ``fade_in`` samples at its start, and ``fade_out`` samples beyond
    its end, it shares with its neighbours.
    """

    number: int
    start: int
    end: int
    fade_in: int
    fade_out: int

    @property
    def frames(self) -> int:
        return self.end - self.start + self.fade_out


def slices_of(chops: ChopSet) -> list[Slice]:
    """The slices of a chop set, the lead-in first, if there is any.

    A fade is never longer than the slice it opens, and the passage itself begins without one: there is nothing
    before it that could fade out.
    """
    longest = round(FADE_S * chops.rate)
    fades = [min(longest, chop.end - chop.position) if chop.fade else 0 for chop in chops.chops]
    lead_in = chops.start < chops.chops[0].position
    if not lead_in:
        fades[0] = 0
    fades.append(0)
    cut = [
        Slice(number, chop.position, chop.end, fades[number - 1], fades[number])
        for number, chop in enumerate(chops.chops, 1)
    ]
    return [Slice(0, chops.start, chops.chops[0].position, 0, fades[0]), *cut] if lead_in else cut


def slice_names(chops: ChopSet, stem: str) -> list[str]:
    """File names of `slices_of`, in their order; they sort as they sound."""
    width = max(2, len(str(len(chops.chops))))
    return [f"{stem}-{cut.number:0{width}}.wav" for cut in slices_of(chops)]


def write_slices(chops: ChopSet, passage: Passage, folder: Path, stem: str) -> list[Path]:
    """A WAV file for every slice, in the source's own sample format where that is 16 or 24 bits, else 32-bit float.

    Raises:
        AudioError: the passage cannot be read, or the folder not be written.
    """
    subtype = sample_format(passage)
    paths = [folder / name for name in slice_names(chops, stem)]
    for (cut, blocks), path in zip(slice_blocks(chops, passage, subtype), paths, strict=True):
        with AudioWriter(path, passage.rate, passage.channels, subtype=subtype, frames=cut.frames) as writer:
            for block in blocks:
                writer.write(block)
    return paths


def slice_blocks(chops: ChopSet, passage: Passage, subtype: str = "float") -> Iterator[tuple[Slice, Iterator[Block]]]:
    """Every slice with its audio, which is to be read to its end before the next slice is asked for.

    Raises:
        AudioError: the passage cannot be read.
    """
    reader = PassageReader(passage)
    head = reader.read(0)
    tails = [head]

    def blocks(cut: Slice, head: Block) -> Iterator[Block]:
        yield head
        yield from reader.take(cut.end - cut.start - cut.fade_in)
        tails[:] = _split(reader.read(cut.fade_out), subtype)
        yield tails[0]

    for cut in slices_of(chops):
        yield cut, blocks(cut, head)
        head = tails[-1]


def _split(audio: Block, subtype: str) -> tuple[Block, Block]:
    """What fades out and what fades in: their sum is ``audio``, and both are samples of the file's format."""
    frames = audio.shape[1]
    fading = audio * (1.0 - (np.arange(frames) + 0.5) / max(frames, 1))
    if subtype != "float":
        steps = 2.0 ** (int(subtype) - 1)
        fading = np.round(fading * steps) / steps
    out: Block = fading.astype(np.float32)
    return out, audio - out
