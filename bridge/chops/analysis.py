"""What a network hears in a passage: curves, and the onsets, beats, downbeats and phrases read from them.

::

    file ─► mono ─► [to a rate whose frames fall on samples] ─► frames ─► network ─► curves ─► onsets, beats, …
      │                                                           └─► texture                       │
      └─► mono, a second time, a window round each of them ─► the attack, on the sample  ◄──────────┘

The audio is read twice so that it is never held: ten hours cost the memory of their curves.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streaming.beats import decode_beats, pick_phrases
from streaming.clusters import clean_clusters
from streaming.curves import CurveNetwork
from streaming.features import Features
from streaming.onsets import pick_onsets
from streaming.snap import Snapped

from ..passage import ArrayPassage, FilePassage, Passage, Progress
from .listening import listen, texture_frames
from .marks import ATTACKS, NO_MARKS, Marks, Moments, snap_marks

LISTENING = 0.9
"""The network's part of the whole work; the rest is snapping."""


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
        crossings: where other points fell when they were snapped, so that the audio is not read again for them.
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
    crossings: dict[int, Snapped] = field(default_factory=dict, repr=False, compare=False)

    @property
    def texture_rate(self) -> float:
        return self.frame_rate / texture_frames(self.features)

    def unsnapped(self) -> "Analysis":
        """The same with all marks where the network put them."""
        moved = {name: getattr(self, name).unsnapped() for name in ("onsets", "beats", "downbeats", "phrases", "chops")}
        return replace(self, **moved)


def analyse(
    path: Path,
    network: CurveNetwork,
    start_s: float = 0.0,
    end_s: float | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Hear a file, or the part of it from ``start_s`` to ``end_s``.

    Raises:
        AudioError: the file cannot be read or is not fit.
        RequestError: it ends before that part.
    """
    return analyse_passage(FilePassage(path, start_s, end_s), network, progress)


def analyse_audio(
    audio: NDArray[np.float32], rate: int, network: CurveNetwork, start: int = 0, progress: Progress | None = None
) -> Analysis:
    """Hear audio in memory, ``(channels, samples)``, that begins at sample ``start`` of its source.

    Raises:
        AudioError: it is empty or not finite.
    """
    return analyse_passage(ArrayPassage(audio, rate, start), network, progress)


def analyse_passage(passage: Passage, network: CurveNetwork, progress: Progress | None = None) -> Analysis:
    """Hear any passage. Raises `AudioError`."""
    report = progress or (lambda part: None)
    curves, texture, samples = listen(passage, network, lambda part: report(LISTENING * part))
    frame_rate = network.features.frame_rate
    moments: dict[str, Moments] = {}

    def add(kind: str, frames: NDArray[np.float64], strengths: NDArray[np.float32]) -> None:
        points = np.round(frames * (passage.rate / frame_rate)).astype(np.int64)
        moments[kind] = np.clip(points, 0, samples - 1), strengths

    for kind in ATTACKS:
        if kind in curves:
            pick = clean_clusters if kind == "chop" and network.features.kind == "cqt" else pick_onsets
            add(kind, *pick(curves[kind], frame_rate))  # sampleChop's chops are found in its own way
    numbers, beats_per_bar, tempo = np.zeros(0, np.int64), 0, 0.0
    if "beat" in curves and "downbeat" in curves:
        beats = decode_beats(curves["beat"], curves["downbeat"], frame_rate)
        numbers, beats_per_bar, tempo = beats.positions, beats.beats_per_bar, beats.tempo
        firsts = beats.frames[numbers == 1]
        add("beat", beats.frames, _strengths(curves["beat"], beats.frames))
        add("downbeat", firsts, _strengths(curves["downbeat"], firsts))
        if "phrase" in curves:
            add("phrase", *pick_phrases(curves["phrase"], beats, frame_rate))
    marks = snap_marks(passage, moments, lambda part: report(LISTENING + (1 - LISTENING) * part))
    report(1.0)
    return Analysis(
        passage=passage,
        rate=passage.rate,
        frames=samples,
        start=passage.start,
        features=network.features,
        frame_rate=frame_rate,
        curves=curves,
        texture=texture,
        onsets=marks.get("onset", NO_MARKS),
        beats=marks.get("beat", NO_MARKS),
        downbeats=marks.get("downbeat", NO_MARKS),
        phrases=marks.get("phrase", NO_MARKS),
        chops=marks.get("chop", NO_MARKS),
        beat_numbers=numbers,
        beats_per_bar=beats_per_bar,
        tempo=tempo,
    )


def _strengths(curve: NDArray[np.float32], frames: NDArray[np.float64]) -> NDArray[np.float32]:
    """How high the curve stands at each frame, or next to it: a beat may fall between two frames."""
    at = np.clip(np.round(frames).astype(np.intp), 0, len(curve) - 1)
    padded = np.pad(curve, 1)
    highest: NDArray[np.float32] = np.maximum(np.maximum(padded[at], padded[at + 1]), padded[at + 2])
    return highest
