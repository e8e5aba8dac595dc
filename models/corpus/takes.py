"""Takes: recorded syllables with a mark at each period, cut where syllables begin.

Sung banks hold one steady pitch a file; speech wanders, so its fundamental is sought in a wider band.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, sosfilt, sosfiltfilt

from .synth import RATE, Audio

SHORTEST_TAKE_S = 0.35


@dataclass(frozen=True)
class Take:
    """A run of syllables without a pause.

    Attributes:
        sound: ``(samples,)``.
        marks: samples of the periods, rising; in unvoiced sound they follow at the take's mean period.
        voiced: whether each mark lies in voiced sound.
        cuts: samples where syllables begin, the end of the take last.
        pitch: MIDI pitch of the take.
    """

    sound: Audio
    marks: NDArray[np.int64]
    voiced: NDArray[np.bool_]
    cuts: NDArray[np.int64]
    pitch: float


class Reach(NamedTuple):
    """How far the fundamental may lie from the mean (factors), and a period from the mean period (share)."""

    low: float
    high: float
    tolerance: float


SUNG = Reach(0.6, 1.5, 0.25)
SPOKEN = Reach(0.55, 1.8, 0.6)


@lru_cache(maxsize=96)
def read_takes(path: Path, f0_hz: float, build: float, spoken: bool) -> list[Take]:
    """The takes of a file in a build; takes without steady voicing are left out. Speech wanders round ``f0_hz``."""
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = sound.mean(axis=1)
    if rate != RATE or build != 1.0:
        mono = soxr.resample(mono, rate * build, RATE, quality="MQ")
    mono = sosfilt(butter(2, 60 / (RATE / 2), "high", output="sos"), mono).astype(np.float32)
    level = running_level(mono, 0.03)[:: RATE // 200]
    loud = level > 0.03 * level.max()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(np.int8), [0]])))
    takes = []
    for first, last in edges.reshape(-1, 2):
        a, b = first * (RATE // 200), min(len(mono), last * (RATE // 200))
        if (b - a) / RATE < SHORTEST_TAKE_S:
            continue
        take = analyse(mono[a:b], f0_hz * build, SPOKEN if spoken else SUNG)
        if take is not None:
            takes.append(take)
    return takes


def analyse(sound: Audio, f0_hz: float, reach: Reach) -> Take | None:
    """Marks at the peaks of the fundamental and cuts at dips of the level; None without steady voicing."""
    low, high, tolerance = reach
    period = RATE / f0_hz
    band = butter(2, [low * f0_hz / (RATE / 2), high * f0_hz / (RATE / 2)], "band", output="sos")
    tone = sosfiltfilt(band, sound.astype(np.float64))
    peaks = np.flatnonzero((tone[1:-1] > tone[:-2]) & (tone[1:-1] >= tone[2:])) + 1
    if len(peaks) < 12:
        return None
    strength = (running_level(tone, 3 / f0_hz)[peaks] / (running_level(sound, 3 / f0_hz)[peaks] + 1e-6)) ** 2
    gaps = np.diff(peaks, append=peaks[-1] + round(period))
    voiced = (strength > 0.04) & (np.abs(gaps / period - 1) < tolerance)
    voiced[1:] &= np.abs(np.diff(gaps)) < 0.25 * gaps[1:]
    if voiced.mean() < 0.4:
        return None
    steady = np.median(gaps[voiced])
    return Take(
        sound,
        peaks.astype(np.int64),
        voiced,
        _syllables(running_level(sound, 0.04)),
        float(69 + 12 * np.log2(RATE / steady / 440)),
    )


def _syllables(level: NDArray[np.float64]) -> NDArray[np.int64]:
    """Cuts at dips of the level, at least 0.16 s apart."""
    step = RATE // 200
    coarse = level[::step]
    dips = [
        i
        for i in range(32, len(coarse) - 32)
        if coarse[i] == coarse[i - 16 : i + 17].min()
        and coarse[i] < 0.72 * min(coarse[i - 32 : i].max(), coarse[i : i + 32].max())
    ]
    cuts = [0]
    for dip in dips:
        if dip * step - cuts[-1] > 0.16 * RATE:
            cuts.append(dip * step)
    return np.array([*cuts, len(level)], dtype=np.int64)


def is_sung(take: Take, k: int) -> bool:
    """Whether a syllable is mostly voiced and not a whisper beside its neighbours."""
    inside = (take.marks >= take.cuts[k]) & (take.marks < take.cuts[k + 1])
    loudness = float(np.sqrt(np.mean(take.sound[take.cuts[k] : take.cuts[k + 1]] ** 2)))
    return bool(
        inside.sum() > 8 and take.voiced[inside].mean() > 0.55 and loudness > 0.3 * np.sqrt(np.mean(take.sound**2))
    )


def running_level(sound: Audio | NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
    """Running root mean square."""
    square = uniform_filter1d(sound.astype(np.float64) ** 2, max(1, int(seconds * RATE)), mode="constant")
    return np.asarray(np.sqrt(np.maximum(square, 0)))


def speaking_pitch(paths: list[Path]) -> float:
    """The median pitch of a speaker in Hz, by autocorrelation of 60 ms frames."""
    found = []
    for path in paths:
        sound, rate = soundfile.read(path, dtype="float64")
        size = int(0.06 * rate)
        for start in range(0, len(sound) - size, size):
            frame = sound[start : start + size] * np.hanning(size)
            power = np.fft.irfft(np.abs(np.fft.rfft(frame, 2 * size)) ** 2)[:size]
            low, high = rate // 350, rate // 70
            top = np.flatnonzero(power[low:high] > 0.85 * power[low:high].max())[0]
            lag = low + int(top) + int(np.argmax(power[low + top : low + top + rate // 800]))
            if power[lag] > 0.6 * power[0] and power[0] > 0.1:
                found.append(rate / lag)
    return float(np.median(found)) if found else 160.0
