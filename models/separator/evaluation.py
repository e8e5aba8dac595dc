"""How well stems are told apart: SDR over whole songs.

SDR = 10 log10(sum s² / sum (s - ŝ)²) over all samples and channels of a song, then the mean over songs; no filter is
fitted to the estimate. A stem that is silent in a song has no SDR there and is left out of the mean. The baseline is
the mix itself as the estimate of every stem. Source: the global SDR of the Music Demixing Challenge, Mitsufuji et
al., Frontiers in Signal Processing 2022.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from streaming.engine import Engine
from streaming.errors import ModelError, RequestError

from .songs import RATE, SOURCES, SPLITS, Song, find_songs

FloatArray = NDArray[np.float32]
SILENT_DB = -60.0
"""RMS below which a stem counts as silent."""


@dataclass(frozen=True)
class Track:
    """A name and a way to load its stems, ``(2, samples)`` each at 44.1 kHz; they sum to the mix."""

    name: str
    load: Callable[[], dict[str, FloatArray]]


class Score(NamedTuple):
    """SDR of each stem of one track, and of the mix in its place."""

    name: str
    seconds: float
    sdr: dict[str, float]
    baseline: dict[str, float]


class Figure(NamedTuple):
    """The mean of one stem over the songs that have it."""

    stem: str
    sdr: float
    baseline: float
    songs: int


def sdr(reference: FloatArray, estimate: FloatArray) -> float:
    """Decibels, of arrays of one shape."""
    error = reference.astype(np.float64) - estimate
    return float(10 * np.log10((np.sum(reference.astype(np.float64) ** 2) + 1e-12) / (np.sum(error**2) + 1e-12)))


def is_silent(reference: FloatArray) -> bool:
    return float(np.mean(reference.astype(np.float64) ** 2)) < 10 ** (SILENT_DB / 10)


def sdr_of_stems(stems: FloatArray, estimates: FloatArray, names: tuple[str, ...] = SOURCES) -> dict[str, float]:
    """SDR of each stem that sounds; both ``(stems, channels, samples)``."""
    return {n: sdr(s, e) for n, s, e in zip(names, stems, estimates, strict=True) if not is_silent(s)}


def mean_sdr(songs: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each stem over the songs that have it."""
    names = dict.fromkeys(name for song in songs for name in song)
    return {n: float(np.mean([s[n] for s in songs if n in s])) for n in names}


def find_tracks(folder: Path, split: str) -> list[Track]:
    """The songs of a corpus's split, or the pairs of voice and accompaniment in a folder of ``NAME.voc.*``.

    Raises:
        RequestError: when there is neither.
    """
    if folder.is_dir() and (voices := sorted(folder.glob("*.voc.*"))):
        return [Track(v.name.split(".voc.")[0], _PairLoader(v)) for v in voices]
    songs = find_songs(folder, split)
    if not songs:
        raise RequestError(f"{folder}: no song in its {split} split")
    return [Track(song.name, _SongLoader(song)) for song in songs]


@dataclass(frozen=True)
class _SongLoader:
    song: Song

    def __call__(self) -> dict[str, FloatArray]:
        return dict(zip(SOURCES, self.song.load() / np.float32(32768), strict=True))


@dataclass(frozen=True)
class _PairLoader:
    voice: Path

    def __call__(self) -> dict[str, FloatArray]:
        """Mixed as they are, both channels alike."""
        accompaniment = self.voice.with_name(self.voice.name.replace(".voc.", ".acc."))
        waves = []
        for path in (self.voice, accompaniment):
            wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
            waves.append(soxr.resample(wave.mean(1), rate, RATE) * np.float32(0.5))
        shortest = min(len(w) for w in waves)
        return {n: np.stack([w[:shortest]] * 2) for n, w in zip(("vocals", "accompaniment"), waves, strict=True)}


def separate_mix(engine: Engine, mix: FloatArray, block: int = 8192) -> dict[str, FloatArray]:
    """``(2, samples)`` through a prepared engine, its latency taken away."""
    engine.reset()
    parts = [engine.process(mix[:, at : at + block])[1].copy() for at in range(0, mix.shape[1], block)]
    parts.append(engine.flush()[1].copy())
    whole = np.concatenate(parts, axis=-1)[..., engine.latency_samples :]
    return dict(zip(engine.outputs, whole, strict=True))


def evaluate_tracks(model: Path, tracks: list[Track], rate: int = RATE) -> Iterator[Score]:
    """Score one track after the other. A reference that the model has no stem for is the mix less the stems it has.

    At another rate than 44.1 kHz the references are resampled first: what the engine makes is compared where it is.
    """
    engine = Engine(model)
    engine.prepare(rate, 8192, 2)
    for track in tracks:
        stems = track.load()
        if rate != RATE:
            stems = {n: soxr.resample(s.T, RATE, rate).T for n, s in stems.items()}
        mix = np.ascontiguousarray(sum(stems.values()), np.float32)
        heard = separate_mix(engine, mix)
        known = {n: heard[n] for n in stems if n in heard}
        if not known:
            raise ModelError(f"{model}: gives {', '.join(heard)}; the songs have {', '.join(stems)}")
        rest = mix - sum(known.values())
        sounding = {n: s for n, s in stems.items() if not is_silent(s)}
        yield Score(
            track.name,
            mix.shape[1] / rate,
            {n: sdr(s, known.get(n, rest)) for n, s in sounding.items()},
            {n: sdr(s, mix) for n, s in sounding.items()},
        )


def summarise(scores: list[Score]) -> list[Figure]:
    """Means over songs, in the order of the stems."""
    means, baselines = mean_sdr([s.sdr for s in scores]), mean_sdr([s.baseline for s in scores])
    return [Figure(n, round(v, 3), round(baselines[n], 3), sum(n in s.sdr for s in scores)) for n, v in means.items()]


__all__ = ["SPLITS", "evaluate_tracks", "find_tracks", "summarise"]
