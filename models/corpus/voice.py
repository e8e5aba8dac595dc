"""Singers: recorded syllables sung on other notes, by pitch-synchronous overlap-add.

A take is a string of syllables on one pitch. Marks are set at each period; a phrase is written by laying two-period
grains at the periods of the melody wanted, read from the take along a time map that keeps consonants as they were
and stretches vowels::

    take      | k a ~~~~~ | n o ~~~~~ | m i ~~~~~ |          marks one period apart
    phrase    | k a ~~~~~~~~~~~~~ | n o ~~ | m i ~~~~~~~~ |  grains at the periods of the melody

Formants move with a singer's ``build`` (a resampling of the takes), pitch does not move them: so three banks make
many singers. Source: Moulines and Charpentier, "Pitch-synchronous waveform processing techniques for text-to-speech
synthesis using diphones", Speech Communication 9, 1990.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfilt

from .score import Note
from .sources import Item
from .synth import RATE, Audio, Rng, frequency
from .takes import Take, is_sung, read_takes, running_level

CONSONANT_S = 0.09
CONTROL_S = 0.005
LONGEST_CONSONANT_S = 0.2
FILES_NEAR = 3
ENOUGH_SYLLABLES = 6


@dataclass(frozen=True)
class Manner:
    """How a singer sings: constant over a song."""

    vibrato_hz: float
    vibrato_semitones: float
    glide_s: float
    scoop_semitones: float
    drift_semitones: float
    breath: float

    @classmethod
    def draw(cls, rng: Rng) -> "Manner":
        return cls(
            vibrato_hz=float(rng.uniform(4.6, 6.6)),
            vibrato_semitones=float(rng.choice([0.0, rng.uniform(0.1, 0.6)])),
            glide_s=float(rng.uniform(0.015, 0.06)),
            scoop_semitones=float(rng.uniform(0, 1.5)),
            drift_semitones=float(rng.uniform(0.02, 0.12)),
            breath=float(rng.choice([0.0, rng.uniform(0.0, 0.015)])),
        )


class Singer:
    """A bank of takes, in one build.

    Args:
        items: the bank's files.
        build: formants times this (above 1: a smaller, brighter voice).
    """

    def __init__(self, rng: Rng, items: list[Item], build: float) -> None:
        shuffled = [items[int(k)] for k in rng.permutation(len(items))]
        self.files = [(float(12 * np.log2(i.fields["f0_hz"] / 440) + 69), i) for i in shuffled]
        self.build = build
        self.spoken = "speaker" in items[0].fields
        self.shift = 12 * np.log2(build)

    @property
    def pitches(self) -> list[float]:
        """Recorded pitches in this build, rising."""
        return sorted(float(pitch + self.shift) for pitch, _ in self.files)

    def takes_near(self, rng: Rng, pitch: float) -> list[Take]:
        """Takes of one file recorded close to a pitch."""
        away = sorted(self.files, key=lambda entry: abs(entry[0] + self.shift - pitch))
        best = abs(away[0][0] + self.shift - pitch)
        # a few files a song: reading them takes longer than singing
        near = [item for at, item in self.files if abs(at + self.shift - pitch) < best + 1.6][
            : FILES_NEAR * (1 + self.spoken)
        ]
        for _ in range(4):
            item = near[int(rng.integers(len(near)))]
            takes = read_takes(item.path, float(item.fields["f0_hz"]), self.build, "speaker" in item.fields)
            if takes:
                return takes
        return []

    def phrase_takes(self, rng: Rng, pitch: float) -> list[tuple[Take, int]]:
        """Syllables (take, index) in the order sung, enough for a phrase."""
        syllables: list[tuple[Take, int]] = []
        for _ in range(4):
            for take in self.takes_near(rng, pitch):
                syllables += [(take, k) for k in range(len(take.cuts) - 1) if is_sung(take, k)]
            if len(syllables) >= ENOUGH_SYLLABLES:
                break
        return syllables


def melody_curve(rng: Rng, notes: list[Note], manner: Manner, start: float, count: int) -> NDArray[np.float64]:
    """MIDI pitch every ``CONTROL_S`` from ``start``: notes joined by glides, with scoop, vibrato and drift."""
    t = start + np.arange(count) * CONTROL_S
    pitch = np.full(count, notes[0].pitch, dtype=np.float64)
    vibrato = np.zeros(count)
    for note in notes:
        pitch[t >= note.start] = note.pitch
        inside = (t >= note.start) & (t < note.start + note.length)
        onset = np.clip((t[inside] - note.start - 0.25) / 0.3, 0, 1) * (note.length > 0.45)
        vibrato[inside] = onset * np.sin(2 * np.pi * manner.vibrato_hz * (t[inside] - note.start))
    pitch -= manner.scoop_semitones * np.exp(-np.maximum(0, t - notes[0].start) / 0.05)
    pitch = gaussian_filter1d(pitch, manner.glide_s / CONTROL_S, mode="nearest")
    drift = gaussian_filter1d(rng.standard_normal(count), 0.15 / CONTROL_S, mode="nearest")
    drift *= manner.drift_semitones / (np.abs(drift).max() + 1e-9)
    return np.asarray(pitch + manner.vibrato_semitones * vibrato + drift)


def sing(rng: Rng, singer: Singer, notes: list[Note], manner: Manner, out: Audio) -> None:
    """Add one phrase (seconds, MIDI) to a mono buffer ``(samples,)``, on syllables of the singer's."""
    syllables = singer.phrase_takes(rng, float(np.mean([n.pitch for n in notes])))
    if syllables:
        first = int(rng.integers(len(syllables)))
        sing_syllables(rng, syllables[first:] + syllables[:first], notes, manner, out)


def sing_syllables(rng: Rng, syllables: list[tuple[Take, int]], notes: list[Note], manner: Manner, out: Audio) -> None:
    """Add one phrase to a mono buffer: syllable by syllable, note by note."""
    start = notes[0].start - CONSONANT_S
    total_s = notes[-1].start + notes[-1].length - start + 0.3
    curve = melody_curve(rng, notes, manner, start, int(total_s / CONTROL_S) + 2)
    phrase = np.zeros(int((total_s + 0.2) * RATE), dtype=np.float32)
    for i, note in enumerate(notes):
        take, k = syllables[i % len(syllables)]
        until = notes[i + 1].start - CONSONANT_S * 0.7 if i + 1 < len(notes) else note.start + note.length
        until = min(until, note.start + note.length)
        begin = note.start - CONSONANT_S - start
        _write_syllable(
            rng, take, k, begin, max(0.12, until - start - begin), curve, 0.55 + 0.45 * note.velocity, phrase
        )
    if manner.breath:
        airy = sosfilt(butter(1, 3000 / (RATE / 2), "high", output="sos"), rng.standard_normal(len(phrase)))
        level = running_level(phrase, 0.02)
        phrase += (manner.breath * airy * level * 4).astype(np.float32)
    at = int(start * RATE)
    skip = max(0, -at)
    count = min(len(phrase) - skip, len(out) - max(at, 0))
    if count > 0:
        out[max(at, 0) : max(at, 0) + count] += phrase[skip : skip + count]


def _write_syllable(
    rng: Rng, take: Take, k: int, begin: float, length: float, curve: NDArray[np.float64], level: float, out: Audio
) -> None:
    """Overlap-add the grains of one syllable from ``begin`` (seconds in the phrase)."""
    a, b = int(take.cuts[k]), int(take.cuts[k + 1])
    low, high = np.searchsorted(take.marks, [a, b])
    if high - low < 6:
        return
    vowel = _longest_run(take.voiced[low:high])
    kept = min((int(take.marks[low + vowel[0]]) - a) / RATE + 0.04, LONGEST_CONSONANT_S, 0.5 * length)
    coda = min((b - int(take.marks[low + vowel[1] - 1])) / RATE, 0.5 * LONGEST_CONSONANT_S, 0.2 * length)
    vowel_in, vowel_out = (b - a) / RATE - kept - coda, max(0.02, length - kept - coda)
    rate = min(1.25, vowel_in / vowel_out)
    level = level * float(0.1 / (np.sqrt(np.mean(take.sound[a:b] ** 2)) + 1e-3)) ** 0.7
    marks, voiced, sound = take.marks, take.voiced, take.sound
    fade_s = min(0.08, 0.3 * length)
    t = 0.0
    while t < length + 0.02:
        if kept <= t < length - coda:
            source = kept + (t - kept) * rate
        else:  # consonants at their own speed, counted from the syllable's beginning and from its end
            source = t if t < kept else (b - a) / RATE - (length - t)
        index = low + int(np.searchsorted(marks[low:high], a + source * RATE))
        if kept < t < length - coda and rate < 0.6:
            index += int(rng.integers(-2, 3))  # a stretched vowel must not repeat one grain: that buzzes
        index = min(max(index, int(low) + 1), int(high) - 2)
        mark = int(marks[index])
        before, after = mark - int(marks[index - 1]), int(marks[index + 1]) - mark
        midi = curve[min(len(curve) - 1, int((begin + t) / CONTROL_S))]
        step = RATE / float(frequency(midi)) if voiced[index] else float(after)
        if voiced[index]:
            # never shorter than the period wanted, or gaps of silence would open between grains
            before, after = (max(x, min(round(step), 2 * x)) if step > x else x for x in (before, after))
        before, after = min(before, mark), min(after, len(sound) - mark)
        at = int((begin + t) * RATE) - before
        if before > 2 and after > 2 and at >= 0 and at + before + after <= len(out):
            gain = level * min(1.0, (length + 0.02 - t) / fade_s, (t + 0.01) / 0.01)
            # raising the pitch lays more grains in the same time: keep the loudness
            gain *= min(1.0, np.sqrt(step / max(after, 1))) if voiced[index] else 1.0
            out[at : at + before + after] += sound[mark - before : mark + after] * (
                _grain_window(before, after) * np.float32(gain)
            )
        t += max(step, 20.0) / RATE


def _longest_run(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Where the longest run of true values begins and ends."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))).reshape(-1, 2)
    if not len(edges):
        return 0, len(mask)
    first, last = edges[int(np.argmax(edges[:, 1] - edges[:, 0]))]
    return int(first), int(last)


@lru_cache(maxsize=4096)
def _grain_window(before: int, after: int) -> Audio:
    """Rises over ``before`` samples and falls over ``after``."""
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(before) + 0.5) / before)
    fall = 0.5 + 0.5 * np.cos(np.pi * (np.arange(after) + 0.5) / after)
    return np.concatenate([rise, fall]).astype(np.float32)
