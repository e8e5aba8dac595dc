"""Songs as training sees them: four stems of 16-bit samples, decoded once into a memory-mapped cache.

A corpus is ``ROOT/{train,validation,test}/SONG/{vocals,drums,bass,other}.flac`` (or ``.wav``) with an optional
``song.json`` that names its sources. A stem that has no file is silent. Without the split folders, ``ROOT/SONG/…`` is
split by song, always in the same way.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from streaming.card import Source
from streaming.errors import AudioError, RequestError

from .network import STEMS

RATE = 44100
SOURCES = (*STEMS, "other")
"""The stems of a song, in the order of every array here."""

SPLITS = ("train", "validation", "test")
ENDINGS = (".flac", ".wav")


@dataclass(frozen=True)
class Song:
    """A folder of stems."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    def files(self) -> dict[str, Path]:
        """The stems that have a file."""
        paths = {s: next((p for e in ENDINGS if (p := self.folder / f"{s}{e}").exists()), None) for s in SOURCES}
        return {stem: path for stem, path in paths.items() if path}

    def load(self) -> NDArray[np.int16]:
        """``(4, 2, samples)`` at 44.1 kHz.

        Raises:
            AudioError: when a file cannot be read, or has more than two channels.
        """
        waves = {stem: _read(path) for stem, path in self.files().items()}
        length = max(w.shape[1] for w in waves.values())
        stems = np.zeros((len(SOURCES), 2, length), np.int16)
        for stem, wave in waves.items():
            stems[SOURCES.index(stem), :, : wave.shape[1]] = wave
        return stems

    def cached(self, cache: Path) -> NDArray[np.int16]:
        """The same as `load`, decoded on first use into ``cache`` and memory-mapped from then on."""
        stamp = "|".join(f"{p}{p.stat().st_mtime_ns}" for p in self.files().values())
        path = cache / f"{self.name}-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}.npy"
        if not path.exists():
            cache.mkdir(parents=True, exist_ok=True)
            aside = path.with_name(f"{path.stem}.{os.getpid()}.part.npy")
            np.save(aside, self.load())
            os.replace(aside, path)
        stems: NDArray[np.int16] = np.load(path, mmap_mode="r")
        return stems


def _read(path: Path) -> NDArray[np.int16]:
    try:
        wave, rate = soundfile.read(path, dtype="int16", always_2d=True)
    except (soundfile.LibsndfileError, OSError, ValueError) as error:
        raise AudioError(f"{path}: not readable as audio ({error})") from None
    if wave.shape[1] > 2:
        raise AudioError(f"{path}: has {wave.shape[1]} channels, expected one or two")
    if rate != RATE:
        wave = soxr.resample(wave, rate, RATE)
    return np.broadcast_to(wave.T, (2, len(wave)))


def find_songs(root: Path, split: str) -> list[Song]:
    """The songs of one split, sorted by name.

    Raises:
        RequestError: when the folder is missing or holds no song.
    """
    if not root.is_dir():
        raise RequestError(f"{root}: no such folder; expected a corpus: {_LAYOUT}")
    if any((root / name).is_dir() for name in SPLITS):
        songs = _songs_in(root / split)
    else:
        songs = [s for s in _songs_in(root) if split_of(s.name) == split]
    if not songs and _songs_in(root) and split == "train":
        raise RequestError(f"{root}: too few songs to split into {', '.join(SPLITS)}; add more: {_LAYOUT}")
    if not songs and not any(_songs_in(root / s) for s in SPLITS) and not _songs_in(root):
        raise RequestError(f"{root}: holds no song; expected {_LAYOUT}")
    return songs


_LAYOUT = f"SONG/{{{','.join(SOURCES)}}}.flac or .wav, in folders {', '.join(SPLITS)} if already split"


def _songs_in(folder: Path) -> list[Song]:
    if not folder.is_dir():
        return []
    return [song for path in sorted(folder.iterdir()) if _is_song(path) and (song := Song(path)).files()]


def _is_song(path: Path) -> bool:
    """A name that begins with a dot is still being written."""
    return path.is_dir() and not path.name.startswith(".")


def split_of(name: str) -> str:
    """Where a song of an unsplit folder goes: an eighth each to validation and test, by its name alone."""
    part = hashlib.sha256(name.encode()).digest()[0] % 8
    return {0: "validation", 1: "test"}.get(part, "train")


def read_sources(songs: list[Song]) -> tuple[Source, ...]:
    """Every source that the songs name, with the hours of the songs that it appears in."""
    hours: dict[tuple[str, str, str], float] = {}
    for song in songs:
        note = song.folder / "song.json"
        if not note.exists():
            continue
        length = max(soundfile.info(p).duration for p in song.files().values()) / 3600
        try:
            named = {(s["name"], s["licence"], s["credit"]) for s in json.loads(note.read_text())["sources"]}
        except (ValueError, KeyError, TypeError) as error:
            raise AudioError(f"{note}: expected sources with name, licence and credit ({error!r})") from None
        for source in named:
            hours[source] = hours.get(source, 0.0) + length
    return tuple(Source(*source, hours=round(h, 3)) for source, h in sorted(hours.items()))
