"""Make many songs of a few: everything here turns a seed into a batch of stems, in plain numpy.

Half of the examples are one song's stems as they belong together, half are stems of different songs. Speed changes
of up to 12% do double duty: the engine runs the network unresampled at 48 kHz, where it hears all pitches 8.1% low.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from .songs import RATE, SOURCES, Song

FloatArray = NDArray[np.float32]
SPEED = 0.12
BASS = SOURCES.index("bass")


def draw_example(rng: np.random.Generator, songs: list[Song], cache: Path, samples: int) -> FloatArray:
    """One example, ``(4, 2, samples)``."""
    if rng.random() < 0.5:
        stems = _crop(rng, songs[rng.integers(len(songs))].cached(cache), samples, slice(None))
    else:
        parts = [
            _crop(rng, songs[rng.integers(len(songs))].cached(cache), samples, slice(i, i + 1))
            for i in range(len(SOURCES))
        ]
        stems = np.concatenate(parts)
    for i in range(len(stems)):
        stems[i] = change_stem(rng, stems[i], dry=i == BASS)
    return change_mix(rng, stems)


def _crop(rng: np.random.Generator, song: NDArray[np.int16], samples: int, which: slice) -> FloatArray:
    """A random piece at a random speed."""
    speed = 1 + rng.uniform(-SPEED, SPEED) if rng.random() < 0.7 else 1.0
    needed = int(np.ceil(samples * speed)) + 1
    start = rng.integers(max(1, song.shape[-1] - needed + 1))
    piece = song[which, :, start : start + needed].astype(np.float32) * np.float32(1 / 32768)
    if piece.shape[-1] < needed:
        piece = np.pad(piece, ((0, 0), (0, 0), (0, needed - piece.shape[-1])))
    if speed == 1:
        return piece[..., :samples]
    at = np.arange(samples) * speed
    whole = at.astype(np.int64)
    part = (at - whole).astype(np.float32)
    first = piece.take(whole, axis=-1, mode="clip")
    after = piece.take(whole + 1, axis=-1, mode="clip")
    after -= first
    after *= part
    return first + after


def change_stem(rng: np.random.Generator, stem: FloatArray, dry: bool) -> FloatArray:
    """Gain, absence, colour, room, saturation and place of one stem ``(2, samples)``."""
    if rng.random() < 0.08:
        return np.zeros_like(stem)
    stem = stem * np.float32(10 ** (np.clip(rng.normal(0, 4), -12, 10) / 20))
    if rng.random() < 0.2:
        stem = colour(rng, stem, room=not dry and rng.random() < 0.4)
    if rng.random() < 0.15:
        drive = np.float32(10 ** (rng.uniform(0, 15) / 20) / (np.abs(stem).max() + 1e-4))
        stem = np.tanh(drive * stem) / drive
    if rng.random() < 0.1:
        stem = np.repeat(stem.mean(0, keepdims=True), 2, axis=0)
    if rng.random() < 0.3:
        stem = stem * (10 ** (rng.uniform(-4, 4, (2, 1)) / 20)).astype(np.float32)
    if rng.random() < 0.5:
        stem = stem[::-1]
    return stem


def colour(rng: np.random.Generator, stem: FloatArray, room: bool) -> FloatArray:
    """A random smooth equaliser, and a room of decaying noise, in one spectral product."""
    samples = stem.shape[1]
    tail = RATE // 2 if room else RATE // 20
    length = fft.next_fast_len(samples + tail, real=True)
    curve_db = rng.normal(0, 4, 7)  # one point an octave or so, from 60 Hz up
    hertz = fft.rfftfreq(length, 1 / RATE)
    octaves = np.log2(np.maximum(hertz, 30) / 60)
    shape = (10 ** (np.interp(octaves, np.linspace(0, 8.4, 7), curve_db) / 20)).astype(np.float32)
    response = shape[None]
    if room:
        seconds = np.arange(tail, dtype=np.float32) / RATE
        decay = np.exp(-6.9 * seconds / rng.uniform(0.1, 0.6))
        noise = rng.standard_normal((2, tail), dtype=np.float32) * decay
        noise *= rng.uniform(0.1, 0.7) / np.sqrt((noise**2).sum(1, keepdims=True))
        noise[:, 0] += 1
        response = shape * fft.rfft(noise, length)
    coloured: FloatArray = fft.irfft(fft.rfft(stem, length) * response, length)[:, :samples]
    return coloured


def change_mix(rng: np.random.Generator, stems: FloatArray) -> FloatArray:
    """Bandwidth, width and level of the whole ``(4, 2, samples)``."""
    if rng.random() < 0.12:
        stems = low_pass(stems, rng.uniform(5000, 14000) if rng.random() < 0.5 else 8000)
    if rng.random() < 0.12:
        stems = np.repeat(stems.mean(1, keepdims=True), 2, axis=1)
    return np.ascontiguousarray(stems * np.float32(10 ** (rng.uniform(-20, 0) / 20)))


def low_pass(stems: FloatArray, hertz: float) -> FloatArray:
    """As steep as the resampler of a lower sample rate."""
    length = fft.next_fast_len(stems.shape[-1], real=True)
    spectra = fft.rfft(stems, length)
    spectra[..., int(hertz * length / RATE) :] = 0
    limited: FloatArray = fft.irfft(spectra, length)[..., : stems.shape[-1]]
    return limited
