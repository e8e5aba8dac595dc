"""How well a network marks time: F-measures of what its users get, decoders and snap included.

::

    F = 2 hits / (found + true); a hit pairs one found with one true time within the window (mir_eval's best matching)

Scored for each song and averaged over songs. Onsets are found by `streaming.onsets` and put on the sample by
`streaming.snap`; truth and findings within 30 ms of the one before count as one. Beats, downbeats and phrases are those
of `streaming.beats`; live, those that `streaming.live_chops` reports while it plays. Nothing is trimmed: mir_eval's own
beat measure leaves out the first five seconds, this one does not. Every song begins somewhere in its first ten
seconds, drawn by seed: songs that all begin with a phrase would give phrases away.

Tempo is right within 4%, as in the MIREX tempo task, and not at the double or the half.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import mir_eval
import numpy as np
from numpy.typing import NDArray

from models.separator.songs import RATE, SOURCES, find_songs
from streaming import clusters
from streaming.beats import decode_beats, pick_phrases
from streaming.curves import CurveNetwork
from streaming.errors import RequestError
from streaming.features import open_features
from streaming.live_chops import LiveChops
from streaming.onsets import THRESHOLD, pick_onsets
from streaming.session import OnnxModel
from streaming.snap import snap

from .annotations import Truth, load_truth

FloatArray = NDArray[np.float32]
Times = NDArray[np.float64]
Found = Mapping[str, Times]
"""Seconds by kind; ``tempo`` is one number."""

MERGE_S = 0.03
ONSET_WINDOWS_S = (0.05, 0.01)
BEAT_WINDOW_S = 0.07
LONGEST_CUT_S = 10.0
Ears = Callable[[FloatArray], Found]
"""A mono wave at 44.1 kHz to what is found in it."""


class Figure(NamedTuple):
    """The mean of one measure over the songs that have it."""

    name: str
    value: float
    baseline: float | None
    unit: str
    songs: int


@dataclass(frozen=True)
class Sound:
    """Something to listen to: ``mix`` or ``drums`` of a song, mono at 44.1 kHz, and what is true of it."""

    song: str
    part: str
    mono: FloatArray
    truth: Found

    @property
    def seconds(self) -> float:
        return len(self.mono) / RATE


def find_sounds(corpus: Path, split: str, seed: int | None = 0) -> Iterator[Sound]:
    """The mix, and the drums alone where they are known, of every song of a split; begun anywhere unless no seed.

    Raises:
        RequestError: when there are none.
    """
    songs = find_songs(corpus, split)
    if not songs:
        raise RequestError(f"{corpus}: no song in its {split} split")
    for number, song in enumerate(songs):
        stems = song.load().mean(1, dtype=np.float32) / np.float32(32768)
        truth = load_truth(song.folder)
        seconds = stems.shape[1] / RATE
        rng = np.random.default_rng((seed or 0, number))
        cut = int(rng.uniform(0, min(LONGEST_CUT_S, seconds / 4)) * RATE) if seed is not None else 0
        files = tuple(song.files())
        whole = "drums" if files == ("drums",) else "mix"
        yield Sound(song.name, whole, stems.sum(0)[cut:], true_times(truth, files, cut / RATE))
        drums = stems[SOURCES.index("drums"), cut:]
        if whole == "mix" and truth.onsets.get("drums") is not None and drums.any():
            yield Sound(song.name, "drums", drums, {"onset": true_times(truth, ("drums",), cut / RATE)["onset"]})


def true_times(truth: Truth, stems: Sequence[str], cut_s: float) -> dict[str, Times]:
    """What is known, in seconds from the cut."""
    onsets = [truth.onsets.get(stem) for stem in stems]
    known: dict[str, Times | None] = {"beat": truth.beats, "downbeat": truth.downbeats, "phrase": truth.phrases}
    if all(o is not None for o in onsets):
        known["onset"] = np.sort(np.concatenate([o for o in onsets if o is not None]))
    return {kind: times[times >= cut_s] - cut_s for kind, times in known.items() if times is not None}


def open_ears(model: Path, threshold: float | None = None) -> Ears:
    """A model of either kind as its users hear it. Raises `ModelError`."""
    opened, threshold = OnnxModel.open(model), THRESHOLD if threshold is None else threshold
    return _live_ears(opened, threshold) if opened.card.kind == "frame-hop" else _file_ears(opened, threshold)


def _file_ears(model: OnnxModel, threshold: float) -> Ears:
    network = CurveNetwork(model)
    rate = network.features.frame_rate

    def hear(mono: FloatArray) -> Found:
        source = open_features(network.features, RATE)
        curves = network.run(np.concatenate([source.process(mono), source.flush()]))
        found: dict[str, Times] = {}
        named = dict(zip(network.curves, curves.T, strict=True))
        if "onset" in named:
            at = [round(f * RATE / rate) for f in pick_onsets(named["onset"], rate, threshold).frames]
            found["onset"] = np.array([snap(mono, RATE, sample).position for sample in at]) / RATE
        if {"beat", "downbeat"} <= named.keys():
            beats = decode_beats(named["beat"], named["downbeat"], rate)
            found |= {"beat": beats.frames / rate, "downbeat": beats.frames[beats.positions == 1] / rate}
            found["tempo"] = np.array([beats.tempo])
            if "phrase" in named:
                found["phrase"] = pick_phrases(named["phrase"], beats, rate).frames / rate
        else:  # sampleChop hears no beats: bars and phrases are plain peaks above its own threshold
            for kind in named.keys() & {"downbeat", "phrase"}:
                found[kind] = pick_onsets(named[kind], rate, clusters.THRESHOLD).frames / rate
        return found

    return hear


def _live_ears(model: OnnxModel, threshold: float) -> Ears:
    """Events as they come; a phrase's start is a downbeat too, and a downbeat a beat."""
    chops = LiveChops(model, threshold)
    ranks = ("onset", "beat", "downbeat", "phrase")

    def hear(mono: FloatArray) -> Found:
        chops.prepare(RATE, 1)
        blocks = range(0, len(mono), 4096)
        events = [event for at in blocks for event in chops.process(mono[None, at : at + 4096], at)]
        return {
            kind: np.array([e.position / RATE for e in events if ranks.index(e.kind) >= rank])
            for rank, kind in enumerate(ranks)
        }

    return hear


def librosa_ears() -> Ears | None:
    """The baseline that everybody has; None where it is not installed."""
    try:
        import librosa
    except ModuleNotFoundError:
        return None

    def hear(mono: FloatArray) -> Found:
        tempo, beats = librosa.beat.beat_track(y=mono, sr=RATE, units="time")
        onsets = librosa.onset.onset_detect(y=mono, sr=RATE, units="time")
        return {"onset": onsets, "beat": beats, "tempo": np.atleast_1d(tempo)}

    return hear


def score(sound: Sound, found: Found) -> dict[str, float]:
    """Every measure that the truth allows, by name."""
    scores = {}
    for kind, times in sound.truth.items():
        if kind not in found or not len(times):
            continue
        if kind != "onset":
            scores[f"{kind} F ±70 ms"] = f_measure(times, found[kind], BEAT_WINDOW_S)
            continue
        true, here = merge(times), merge(np.sort(found[kind]))
        for window in ONSET_WINDOWS_S:
            scores[f"onset F ±{1000 * window:.0f} ms, {sound.part}"] = f_measure(true, here, window)
        pairs = mir_eval.util.match_events(true, here, ONSET_WINDOWS_S[0])
        if pairs:
            off = [abs(true[i] - here[j]) for i, j in pairs]
            scores[f"onset distance, {sound.part}"] = 1000 * float(np.median(off))
    if "tempo" in found and len(sound.truth.get("beat", ())) > 1:
        true_tempo = 60 / float(np.median(np.diff(sound.truth["beat"])))
        scores["tempo"] = float(abs(found["tempo"][0] / true_tempo - 1) <= 0.04)
    return scores


def f_measure(true: Times, found: Times, window_s: float) -> float:
    """2 hits / (found + true)."""
    if not len(true) or not len(found):
        return float(len(true) == len(found))
    return 2 * len(mir_eval.util.match_events(true, found, window_s)) / (len(true) + len(found))


def merge(times: Times) -> Times:
    """Without those within 30 ms of one kept before."""
    kept: list[float] = []
    for time in times:
        if not kept or time - kept[-1] >= MERGE_S:
            kept.append(float(time))
    return np.array(kept)


def summarise(scores: Sequence[dict[str, float]], baseline: Sequence[dict[str, float]] = ()) -> list[Figure]:
    """Means over songs, in a fixed order."""
    names = dict.fromkeys(name for song in scores for name in song)
    figures = []
    for name in sorted(names, key=_order):
        values, others = ([s[name] for s in some if name in s] for some in (scores, baseline))
        unit = "ms" if "distance" in name else ""
        other = round(float(np.mean(others)), 3) if others else None
        figures.append(Figure(name, round(float(np.mean(values)), 3), other, unit, len(values)))
    return figures


def _order(name: str) -> tuple[int, str]:
    kinds = ("onset F", "onset d", "beat", "downbeat", "phrase", "tempo")
    return next(i for i, kind in enumerate(kinds) if name.startswith(kind)), name
