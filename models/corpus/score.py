"""What a song is on paper: notes, drum strokes, harmony, and the clock that turns beats into seconds.

Pitches are MIDI numbers, velocities 0 to 1. Times are in beats while composing and in seconds in a finished song.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
MINOR_SCALE = (0, 2, 3, 5, 7, 8, 10)
Rng = np.random.Generator
Chord = tuple[int, ...]


class Note(NamedTuple):
    """A pitched note; times in beats while composing, in seconds in a finished song."""

    start: float
    length: float
    pitch: float
    velocity: float


class Hit(NamedTuple):
    """A drum stroke: what is struck, by its role in the kit."""

    start: float
    role: str
    velocity: float


@dataclass
class Song:
    """A composed song, all times in seconds.

    Attributes:
        layers: of the other stem: (family, notes) pairs.
        phrases: sung phrases of the lead, each a list of notes; the singer moves them into their range.
        chords: (start, length, pitches) of each chord, for backing voices.
        beats, downbeats, sections: where each beat, bar and section of the plan begins.
        vocal: how the voice is arranged: lead, double, choir or rap.
        sampled_break: whether a recorded break plays ``under`` the drums or ``instead`` of them, or empty.
    """

    style: str
    tempo: float
    key: int
    minor: bool
    beats_per_bar: int
    seconds: float
    hits: list[Hit] = field(default_factory=list)
    bass_family: str = "bass_electric"
    bass: list[Note] = field(default_factory=list)
    layers: list[tuple[str, list[Note]]] = field(default_factory=list)
    phrases: list[list[Note]] = field(default_factory=list)
    chords: list[Note] = field(default_factory=list)
    chord_pitches: list[tuple[int, ...]] = field(default_factory=list)
    beats: list[float] = field(default_factory=list)
    downbeats: list[float] = field(default_factory=list)
    sections: list[float] = field(default_factory=list)
    vocal: str = "lead"
    sampled_break: str = ""

    @property
    def scale(self) -> tuple[int, ...]:
        """Pitch classes of the key, rising from the tonic."""
        return tuple((self.key + step) % 12 for step in (MINOR_SCALE if self.minor else MAJOR_SCALE))


class Bar(NamedTuple):
    """One bar of the plan: its chord (degree) and who plays."""

    degree: int
    drums: bool
    bass: bool
    vocals: bool
    layers: tuple[bool, ...]
    loud: float
    last: bool


class Clock:
    """Turns beats into seconds, with swung sixteenths or eighths and human timing."""

    def __init__(self, rng: Rng, tempo: float, swing: float, human_s: float) -> None:
        self.rng, self.beat_s, self.swing, self.human_s = rng, 60 / tempo, swing, human_s
        self.grid = 0.5 if swing > 0.4 else 0.25

    def seconds(self, beat: float) -> float:
        """When a beat falls; every second step of the grid comes late by the swing."""
        odd = round(beat / self.grid) % 2 == 1 and abs(beat / self.grid - round(beat / self.grid)) < 0.1
        return (beat + (self.swing * self.grid * 0.5 if odd else 0.0)) * self.beat_s

    def _human(self) -> float:
        return float(self.rng.normal(0, self.human_s)) if self.human_s else 0.0

    def notes(self, notes: list[Note]) -> list[Note]:
        return [
            Note(max(0.0, self.seconds(n.start) + self._human()), n.length * self.beat_s, n.pitch, n.velocity)
            for n in sorted(notes)
        ]

    def hits(self, hits: list[Hit]) -> list[Hit]:
        return [Hit(max(0.0, self.seconds(h.start) + self._human() * 0.6), h.role, h.velocity) for h in sorted(hits)]


def chord_pitches(song: Song, degree: int, seventh: bool) -> tuple[int, ...]:
    """Root, third, fifth (and seventh) of a scale degree, the root in the octave of MIDI 36."""
    scale = MINOR_SCALE if song.minor else MAJOR_SCALE
    steps = (0, 2, 4, 6) if seventh else (0, 2, 4)
    pitches = [song.key + 36 + scale[(degree + s) % 7] + 12 * ((degree + s) // 7) for s in steps]
    if song.minor and degree == 4:
        pitches[1] += 1  # the dominant of a minor key is major, as in nearly all practice
    return tuple(pitches)


def voicing(chord: tuple[int, ...], around: float, spread: bool = False) -> list[int]:
    """The chord's tones moved by octaves to lie close round a pitch; spread doubles the root below."""
    tones = sorted(int(p + 12 * round((around - p) / 12)) for p in chord)
    return [tones[0] - 12, *tones] if spread else tones


def nearest_in_scale(scale: tuple[int, ...], pitch: float) -> float:
    """The scale tone nearest to a pitch."""
    return float(
        min((round(pitch) + d for d in (0, -1, 1, -2, 2)), key=lambda p: (p % 12 not in scale, abs(p - pitch)))
    )
