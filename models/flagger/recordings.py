"""Good recordings: what the flagger learns to expect, from a user's folder or from free packages.

Everything is heard mono at 44.1 kHz, as the networks hear it, and kept decoded in a cache (int16, memory-mapped), so
that an excerpt costs nothing. Long files are read whole once; what is decoded is at most `LONGEST_S`.
"""

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from streaming.card import Source
from streaming.errors import AudioError, RequestError

RATE = 44100
AUDIO = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".m4a")
LONGEST_S = 1200.0
PAUSE_S = 0.2
Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """One good recording: a file, a member of a zip archive (``PATH::MEMBER``), or short files to be joined."""

    name: str
    files: tuple[str, ...]
    source: Source
    speech: bool = False


def _content(file: str) -> str | io.BytesIO:
    path, _, member = file.partition("::")
    if not member:
        return path
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(archive.read(member))


def seconds_of(recording: Recording) -> float:
    """How long it is, pauses between files counted. Raises `AudioError`."""
    total = 0.0
    for file in recording.files:
        try:
            total += float(soundfile.info(_content(file)).duration)
        except (soundfile.LibsndfileError, OSError, KeyError, zipfile.BadZipFile) as error:
            raise AudioError(f"{file}: not readable as audio ({error})") from None
    return total + (PAUSE_S * len(recording.files) if len(recording.files) > 1 else 0)


def read_file(file: str, limit_s: float = LONGEST_S, start_s: float = 0.0) -> Audio:
    """A file or member of an archive at 44.1 kHz, ``(channels, samples)``. Raises `AudioError`."""
    try:
        with soundfile.SoundFile(_content(file)) as sound:
            rate = sound.samplerate
            sound.seek(min(sound.frames, round(start_s * rate)))
            wave = sound.read(round(limit_s * rate), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise AudioError(f"{file}: not readable as audio ({error})") from None
    if not np.isfinite(wave).all():
        raise AudioError(f"{file}: holds samples that are not numbers (NaN or infinite)")
    wave = wave if rate == RATE else soxr.resample(wave, rate, RATE)
    audio: Audio = np.ascontiguousarray(wave.T, np.float32)
    return audio


def read_stereo(recording: Recording, limit_s: float = LONGEST_S, start_s: float = 0.0) -> Audio:
    """``(2, samples)``; short files are joined with a pause of `PAUSE_S`, and read whole."""
    parts, one = [], len(recording.files) == 1
    for file in recording.files:
        audio = read_file(file, limit_s, start_s) if one else read_file(file)
        parts.append(np.broadcast_to(audio[:2] if len(audio) > 1 else audio, (2, audio.shape[1])))
        if not one:
            parts.append(np.zeros((2, round(PAUSE_S * RATE)), np.float32))
    whole = np.concatenate(parts, axis=1)
    first = 0 if one else round(start_s * RATE)
    return np.ascontiguousarray(whole[:, first : first + round(limit_s * RATE)])


class Decoded:
    """Recordings decoded once into ``cache``, then mapped: ``decoded[i]`` is mono float32 on demand."""

    def __init__(self, recordings: Sequence[Recording], cache: Path) -> None:
        self.recordings: list[Recording] = []
        self._maps: list[NDArray[np.int16]] = []
        cache.mkdir(parents=True, exist_ok=True)
        for recording in recordings:
            path = cache / f"{hashlib.sha1(repr(recording.files).encode()).hexdigest()[:16]}.npy"
            if not path.exists():
                mono = read_stereo(recording).mean(axis=0)
                aside = path.with_name(f".{path.stem}.{os.getpid()}.npy")
                np.save(aside, (np.clip(mono, -1, 1) * 32767).astype(np.int16))
                os.replace(aside, path)
            self.recordings.append(recording)
            self._maps.append(np.load(path, mmap_mode="r"))

    def __len__(self) -> int:
        return len(self._maps)

    def seconds(self, index: int) -> float:
        return len(self._maps[index]) / RATE

    @property
    def hours(self) -> float:
        return sum(len(m) for m in self._maps) / RATE / 3600

    def excerpt(self, index: int, start: int = 0, samples: int | None = None) -> Audio:
        stop = None if samples is None else start + samples
        part: Audio = self._maps[index][start:stop].astype(np.float32) / np.float32(32767)
        return part

    def draw(self, rng: np.random.Generator, samples: int) -> Audio:
        """An excerpt from anywhere, longer recordings more likely; padded with silence where all are shorter."""
        lengths = np.array([len(m) for m in self._maps], float)
        index = int(rng.choice(len(lengths), p=lengths / lengths.sum()))
        start = int(rng.integers(0, max(1, int(lengths[index]) - samples)))
        part = self.excerpt(index, start, samples)
        return np.pad(part, (0, samples - len(part)))


def readable(recordings: Sequence[Recording], cache: Path) -> list[Recording]:
    """Those that can be decoded."""
    found = []
    for recording in recordings:
        try:
            Decoded([recording], cache)
        except AudioError:
            continue
        found.append(recording)
    return found


def find_audio(folder: Path) -> list[Path]:
    """Every audio file below a folder. Raises `RequestError` where there is none."""
    if not folder.is_dir():
        raise RequestError(f"{folder}: no such folder")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO and not p.name.startswith("."))
    if not found:
        raise RequestError(f"{folder}: no audio below it ({', '.join(AUDIO)})")
    return found


def joined(name: str, files: Sequence[str], source: Source, speech: bool, at_once: int = 20) -> Iterator[Recording]:
    """Short files as recordings of ``at_once`` files each."""
    for i in range(0, len(files), at_once):
        yield Recording(f"{name}-{i // at_once}", tuple(files[i : i + at_once]), source, speech)
