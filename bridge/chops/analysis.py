"""What the networks hear in a passage: curves, and the onsets, beats, downbeats and phrases read from them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.features import Features

from .passage import Passage


class Marks(NamedTuple):
    """Moments of one kind, in order. Positions are samples at the source's rate, from the passage's beginning.

    Attributes:
        positions: on the attack, and there on a rising zero crossing (`streaming.snap`).
        strengths: 0 to 1.
        fades: no zero crossing was near, and a cut wants a short fade-in.
        heard: where the network put them, to its frame; as many.
    """

    positions: NDArray[np.int64]
    strengths: NDArray[np.float32]
    fades: NDArray[np.bool_]
    heard: NDArray[np.int64]


@dataclass(frozen=True)
class Analysis:
    """One passage, heard once; chopping it again costs no more listening.

    Attributes:
        rate: of the source (Hz).
        frames: samples analysed.
        start: sample of the source at which the analysis begins; all positions here count from it.
        frame_rate: points of a curve a second.
        curves: by name, ``(T,)`` each.
        texture: ``(rows, bands)``: frames averaged over about 0.1 s, `texture_rate` rows a second.
        chops: where a network trained on chops would cut; empty for one that was not.
        beat_numbers: the place in its bar of every beat, 1 the downbeat.
        tempo: median, beats a minute; 0 where there is no beat.
    """

    passage: Passage
    rate: int
    frames: int
    start: int
    features: Features
    frame_rate: float
    curves: dict[str, NDArray[np.float32]]
    texture: NDArray[np.float16]
    onsets: Marks
    beats: Marks
    downbeats: Marks
    phrases: Marks
    chops: Marks
    beat_numbers: NDArray[np.int64]
    beats_per_bar: int
    tempo: float

    @property
    def texture_rate(self) -> float:
        return self.frame_rate / texture_frames(self.features)


def texture_frames(features: Features) -> int:
    """How many frames a row of the texture averages."""
    return max(1, round(features.frame_rate / 10))
