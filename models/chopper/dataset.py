"""Songs as the chopper's training sees them: log-mel frames of every stem, made once, and the times that it shall find.

Stems are mixed as powers of bands, which needs no audio: what the cache holds are the frames of `MelFrames`, those of
files and live, as float16 ``(rows, frames, bands)``, one row a stem and the last row the mix itself. Times are in
frames from the first, with fractions: frame t is centred on t hops.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.separator.songs import RATE, SOURCES, Song, find_songs
from streaming.features import MEL, MelFrames

from .annotations import Truth, load_truth

Times = NDArray[np.float64]
Waves = Callable[[], Sequence[NDArray[np.float32]]]
"""Mono waves at 44.1 kHz, when they are needed."""

MERGE_FRAMES = 3.0
"""Hits within 30 ms are one."""


@dataclass(frozen=True)
class Item:
    """A song or a recording to learn from, all times in frames.

    Attributes:
        frames: ``(rows, T, bands)``, memory-mapped: the stems, then the mix.
        onsets: of each stem; None where nobody knows them.
        times: of what begins in the whole, by curve; a curve that is missing here is unknown and teaches nothing.
    """

    name: str
    frames: NDArray[np.float16]
    onsets: tuple[Times | None, ...]
    times: Mapping[str, Times]

    def targets(self, curve: str) -> Times | None:
        """What a curve shall show in the whole mix; None where that is unknown."""
        if curve != "onset":
            return self.times.get(curve)
        return None if any(o is None for o in self.onsets) else merge(self.onsets)


def merge(onsets: Sequence[Times | None]) -> Times:
    """The onsets of several stems in order, those within 30 ms as one."""
    times = np.sort(np.concatenate([np.zeros(0), *(o for o in onsets if o is not None)]))
    kept: list[float] = []
    for time in times:
        if not kept or time - kept[-1] >= MERGE_FRAMES:
            kept.append(time)
    return np.array(kept)


def mel_frames(mono: NDArray[np.float32], rate: int = RATE) -> NDArray[np.float32]:
    """Samples ``(n,)`` to frames ``(T, bands)``, by the definition that the engine uses."""
    source = MelFrames(MEL, rate)
    return np.concatenate([source.process(mono), source.flush()])


def cached_frames(name: str, paths: Sequence[Path], cache: Path, waves: Waves) -> NDArray[np.float16]:
    """The frames of ``waves``, made on first use into ``cache`` and memory-mapped from then on."""
    stamp = repr(MEL) + "".join(f"{path}{path.stat().st_mtime_ns}" for path in paths)
    path = cache / f"{name}-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}.mel.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.stem}.{os.getpid()}.part.npy")
        np.save(aside, np.stack([mel_frames(wave) for wave in waves()]).astype(np.float16))
        os.replace(aside, path)
    frames: NDArray[np.float16] = np.load(path, mmap_mode="r")
    return frames


def load_item(song: Song, cache: Path) -> Item:
    """A song of a corpus. Raises `AudioError` where its annotations or stems cannot be read."""
    truth, files = load_truth(song.folder), song.files()
    frames = cached_frames(song.name, list(files.values()), cache, lambda: song_waves(song))
    onsets = tuple(in_frames(truth.onsets.get(s) if s in files else np.zeros(0)) for s in SOURCES)
    return Item(song.name, frames, onsets, curve_times(truth))


def song_waves(song: Song) -> list[NDArray[np.float32]]:
    """The stems and their mix, mono."""
    stems = song.load().mean(1, dtype=np.float32) / np.float32(32768)
    return [*stems, stems.sum(0)]


def curve_times(truth: Truth) -> dict[str, Times]:
    known = {"beat": truth.beats, "downbeat": truth.downbeats, "phrase": truth.phrases}
    return {curve: frames for curve, times in known.items() if (frames := in_frames(times)) is not None}


def in_frames(seconds: Times | None) -> Times | None:
    return None if seconds is None else np.asarray(seconds, np.float64) * MEL.frame_rate


def find_items(corpora: Sequence[Path], split: str, cache: Path) -> list[Item]:
    """The annotated songs of one split of several corpora."""
    return [load_item(song, cache) for corpus in corpora for song in find_songs(corpus, split)]
