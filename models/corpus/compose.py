"""The composer: a seeded song as notes, hits and sung phrases, before anybody plays it.

Music is laid out in beats and turned into seconds at the end, where swing and human timing come in. Pitches are
MIDI numbers, velocities 0 to 1. Sections switch layers on and off, so that every stem comes and goes.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .styles import STYLES, Groove, Style

MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
MINOR_SCALE = (0, 2, 3, 5, 7, 8, 10)
STEPS_PER_BEAT = 4
Rng = np.random.Generator


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
        vocal: how the voice is arranged: lead, double, choir or rap.
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
    vocal: str = "lead"

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


def compose(rng: Rng, seconds: float, style_name: str | None = None) -> Song:
    """A song of about ``seconds``, drawn from the generator; the same generator state gives the same song."""
    name = style_name or str(rng.choice(sorted(STYLES)))
    style = STYLES[name]
    tempo = float(rng.uniform(*style.tempo))
    beats = 3 if name in ("ballad", "folk", "jazz", "cinematic") and rng.random() < 0.2 else 4
    song = Song(name, tempo, int(rng.integers(12)), bool(rng.random() < style.minor), beats, seconds)
    song.vocal = str(rng.choice(style.vocal))
    song.bass_family = str(rng.choice(style.bass_family))
    count = min(int(rng.integers(style.layer_count[0], style.layer_count[1] + 1)), len(style.layers))
    chosen = [style.layers[i] for i in rng.permutation(len(style.layers))[:count]]
    bars = _plan(rng, style, max(2, round(seconds * tempo / 60 / beats)), count)
    seventh = rng.random() < style.seventh
    chords = [chord_pitches(song, bar.degree, seventh) for bar in bars]
    groove = style.grooves[int(rng.integers(len(style.grooves)))]
    clock = Clock(rng, tempo, float(rng.uniform(*style.swing)), human_s=float(rng.uniform(0.0, 0.012)))
    song.hits = clock.hits(_drums(rng, groove, bars, beats))
    song.bass = clock.notes(_bass(rng, str(rng.choice(style.bass)), groove, bars, chords, beats))
    for index, (playing, family) in enumerate(chosen):
        notes = _layer(rng, playing, groove, bars, chords, beats, index, song)
        song.layers.append((family, clock.notes(notes)))
    exact = Clock(rng, tempo, clock.swing, human_s=0.0)
    song.phrases = [exact.notes(phrase) for phrase in _melody(rng, song, bars, chords, beats)]
    voiced = [i for i, bar in enumerate(bars) if bar.vocals]
    song.chords = exact.notes([Note(i * beats, beats, 0, bars[i].loud) for i in voiced])
    song.chord_pitches = [chords[i] for i in voiced]
    return song


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


def _plan(rng: Rng, style: Style, count: int, layers: int) -> list[Bar]:
    """Sections of 2 to 8 bars with a progression each; a stem is absent from a section now and then."""
    bars: list[Bar] = []
    verse, chorus = (style.progressions[int(i)] for i in rng.integers(len(style.progressions), size=2))
    while len(bars) < count:
        length = min(int(rng.choice([2, 4, 4, 8])), count - len(bars))
        kind = rng.random()
        progression = chorus if kind > 0.6 else verse
        full = kind > 0.6
        drums, bass = (bool(rng.random() < (0.97 if full else 0.84)) for _ in range(2))
        vocals = bool(rng.random() < (0.95 if full else 0.82))
        on = tuple(bool(rng.random() < (0.85 if full else 0.65)) for _ in range(layers))
        if not (drums or bass or vocals) or not any((*on, vocals)):
            on = (True,) * layers
        loud = 1.0 if full else float(rng.uniform(0.65, 0.95))
        for i in range(length):
            degree = progression[i % len(progression)]
            bars.append(Bar(degree, drums, bass, vocals, on, loud, i == length - 1))
    return bars


def _drums(rng: Rng, groove: Groove, bars: list[Bar], beats: int) -> list[Hit]:
    hits: list[Hit] = []
    steps = beats * STEPS_PER_BEAT
    lively = float(rng.uniform(0, 0.12))
    for index, bar in enumerate(bars):
        if not bar.drums:
            continue
        fill = bar.last and rng.random() < 0.55
        fill_from = steps - int(rng.choice([4, 4, 8])) if fill else steps
        if (index == 0 or bars[index - 1].last) and rng.random() < 0.7:
            hits.append(Hit(index * beats, "crash", 0.85 * bar.loud))
        for role, pattern in groove.items():
            for step in range(steps):
                mark = pattern[step % 16]
                if step >= fill_from and role not in ("kick",):
                    continue
                if mark == "." and role in ("kick", "hat", "snare") and rng.random() < lively * 0.5:
                    mark = "o"
                if mark == "." or rng.random() < lively * 0.3:
                    continue
                accent = 1.0 if step % 4 == 0 else 0.82
                level = (0.92 * accent if mark == "x" else 0.42) * bar.loud * rng.uniform(0.88, 1.05)
                sounded = "open" if role == "hat" and step % 8 == 6 and rng.random() < 0.12 else role
                hits.append(Hit(index * beats + step / 4, sounded, min(1.0, level)))
        if fill:
            hits += _fill(rng, index * beats, fill_from, steps, bar.loud)
    return hits


def _fill(rng: Rng, start: float, first: int, steps: int, loud: float) -> list[Hit]:
    drums = ("snare", "tom_hi", "tom_mid", "tom_low")
    kind = rng.integers(3)
    hits = []
    for i, step in enumerate(range(first, steps)):
        role = "snare" if kind == 0 else drums[min(3, i * 4 // max(1, steps - first))]
        if kind == 2 and rng.random() < 0.35:
            continue
        hits.append(Hit(start + step / 4, role, min(1.0, loud * (0.6 + 0.4 * i / (steps - first)))))
    return hits


def _bass(rng: Rng, playing: str, groove: Groove, bars: list[Bar], chords: list[tuple[int, ...]], beats: int) -> list[Note]:
    notes: list[Note] = []
    kick = groove.get("kick", "x.......x.......")
    syncopation = [step for step in range(16) if kick[step] != "." or rng.random() < 0.16]
    for index, bar in enumerate(bars):
        if not bar.bass:
            continue
        start, chord = index * beats, chords[index]
        root = chord[0] - 12 * (chord[0] > 42)
        ahead = chords[(index + 1) % len(chords)][0]
        ahead -= 12 * (ahead > 42)
        for note in _bass_bar(rng, playing, root, chord, ahead, beats, syncopation):
            notes.append(Note(start + note.start, note.length, note.pitch, min(1.0, note.velocity * bar.loud)))
    return notes


def _bass_bar(
    rng: Rng, playing: str, root: int, chord: tuple[int, ...], ahead: int, beats: int, syncopation: list[int]
) -> list[Note]:
    """One bar of bass in beats from its start."""
    fifth = root + (chord[2] - chord[0])
    loud = lambda: float(rng.uniform(0.75, 1.0))  # noqa: E731
    if playing in ("roots", "sub"):
        if rng.random() < 0.6:
            return [Note(0, beats * 0.97, root, loud())]
        return [Note(0, beats / 2 * 0.95, root, loud()), Note(beats / 2 + 0.5, beats / 2 - 0.6, root, loud())]
    if playing == "eighths":
        return [Note(i / 2, 0.46, root if i < beats * 2 - 1 or rng.random() < 0.6 else fifth, loud()) for i in range(beats * 2)]
    if playing == "octaves":
        return [Note(i / 2, 0.4, root + 12 * (i % 2), loud()) for i in range(beats * 2)]
    if playing == "offbeat":
        return [Note(i + 0.5, 0.42, root + (12 if rng.random() < 0.12 else 0), loud()) for i in range(beats)]
    if playing == "alternating":
        return [Note(0, beats * 0.45, root, loud()), Note(beats / 2, beats * 0.45, fifth - 12 * (fifth > 47), loud())]
    if playing == "walking":
        inner = [root, root + (chord[1] - chord[0]), fifth, root + 12 * int(rng.random() < 0.3)]
        line = [root] + [int(rng.choice(inner)) for _ in range(beats - 2)] + [ahead + int(rng.choice([-1, 1, -2, 2]))]
        return [Note(i, 0.92, pitch, loud()) for i, pitch in enumerate(line)]
    steps = [s for s in syncopation if s < beats * 4] or [0]
    if steps[0] != 0:
        steps = [0, *steps]
    ends = [*steps[1:], beats * 4]
    notes = []
    for step, end in zip(steps, ends, strict=True):
        pitch = root if step == 0 else int(rng.choice([root, root, root, fifth, root + 12, root + 10]))
        if playing == "follow":
            pitch = root
        long = (end - step) / 4 * float(rng.choice([0.55, 0.9]))
        notes.append(Note(step / 4, long, pitch, loud()))
    return notes


def voicing(chord: tuple[int, ...], around: float, spread: bool = False) -> list[int]:
    """The chord's tones moved by octaves to lie close round a pitch; spread doubles the root below."""
    tones = sorted(int(p + 12 * round((around - p) / 12)) for p in chord)
    return [tones[0] - 12, *tones] if spread else tones


COMPS = (
    "x.......x.......", "x...x...x...x...", "x..x..x...x.....", "..x...x...x...x.", "x.....x..x......", "x..x....x..x....",
    "x...x..x..x.x...", "....x.......x..x",
)  # fmt: skip


def _layer(
    rng: Rng, playing: str, groove: Groove, bars: list[Bar], chords: list[tuple[int, ...]], beats: int, index: int, song: Song
) -> list[Note]:
    """One accompanying part over all bars, in beats."""
    around = float(rng.choice([55, 60, 62, 65, 67]))
    pattern = str(rng.choice(list(COMPS)))
    order = [int(i) for i in rng.integers(0, 5, size=16)]
    rate = int(rng.choice([1, 2, 2]))
    riff = [s for s in range(16) if groove.get("kick", "x...")[s % len(groove.get("kick", "x..."))] != "." or rng.random() < 0.3]
    short = float(rng.choice([0.18, 0.3, 0.5, 0.8]))
    notes: list[Note] = []
    for i, (bar, chord) in enumerate(zip(bars, chords, strict=True)):
        if not bar.layers[index]:
            continue
        start = i * beats
        level = bar.loud * 0.8
        tones = voicing(chord, around)
        if playing == "pad":
            notes += [Note(start, beats * 1.0, p, level * 0.8) for p in voicing(chord, around, spread=around > 60)]
        elif playing == "riff":
            power = [chord[0] + 4 - 4, chord[0] + 7] + ([chord[0] + 12] if around > 60 else [])
            for step in [s for s in riff if s < beats * 4]:
                notes += [Note(start + step / 4, 0.22 if short < 0.4 else 0.45, p, level) for p in power]
        elif playing == "strum":
            for eighth in range(beats * 2):
                if eighth % 2 and rng.random() < 0.3:
                    continue
                down = eighth % 2 == 0
                spread = voicing(chord, around, spread=True)
                for k, p in enumerate(spread if down else spread[::-1]):
                    notes.append(Note(start + eighth / 2 + 0.012 * k, 0.48, p, level * (1.0 if down else 0.75) * rng.uniform(0.8, 1)))
        elif playing in ("comp", "stabs", "chop", "loop"):
            marks = "x.xx..x.x.xx.xx." if playing == "chop" else pattern
            length = {"comp": short * 1.6, "stabs": 0.3, "chop": 0.14, "loop": short * 2}[playing]
            for step in range(beats * 4):
                if marks[step] == "x" and rng.random() < (0.92 if playing != "stabs" else 0.6):
                    notes += [Note(start + step / 4, length, p, level * rng.uniform(0.8, 1)) for p in tones]
        elif playing == "offbeats":
            notes += [Note(start + b + 0.5, 0.25, p, level) for b in range(beats) for p in tones]
        elif playing == "arp":
            ladder = tones + [p + 12 for p in tones]
            for step in range(0, beats * 4, rate):
                pitch = ladder[order[step % 16] % len(ladder)]
                notes.append(Note(start + step / 4, max(0.25, short) * rate, pitch, level * rng.uniform(0.7, 1)))
        elif playing == "lead" and (not bar.vocals or rng.random() < 0.35):
            notes += _lead_bar(rng, song, chord, start, beats, around + 7, level)
    return notes


def _lead_bar(rng: Rng, song: Song, chord: tuple[int, ...], start: float, beats: int, around: float, level: float) -> list[Note]:
    notes = []
    beat = float(rng.choice([0, 0, 0.5]))
    pitch = float(rng.choice(voicing(chord, around)))
    while beat < beats:
        length = min(float(rng.choice([0.25, 0.5, 0.5, 1, 1.5])), beats - beat)
        if rng.random() < 0.85:
            notes.append(Note(start + beat, length * 0.95, pitch, level * rng.uniform(0.8, 1)))
        pitch = nearest_in_scale(song.scale, pitch + float(rng.choice([-4, -2, -2, 2, 2, 3, 5])))
        pitch += 12 * (pitch < around - 9) - 12 * (pitch > around + 9)
        beat += length
    return notes


def nearest_in_scale(scale: tuple[int, ...], pitch: float) -> float:
    """The scale tone nearest to a pitch."""
    return float(min((round(pitch) + d for d in (0, -1, 1, -2, 2)), key=lambda p: (p % 12 not in scale, abs(p - pitch))))


RHYTHMS = (
    (1, 1, 1, 1, 2), (0.5, 0.5, 1, 0.5, 0.5, 2), (1.5, 0.5, 1, 1, 2), (0.5, 0.5, 0.5, 0.5, 1, 1, 1), (2, 1, 3), (1, 0.5, 0.5, 1, 3),
    (0.5, 1, 0.5, 1, 1, 1.5), (0.25, 0.25, 0.5, 0.5, 0.5, 1, 1.5), (3, 3), (0.75, 0.75, 0.5, 1, 2.5), (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 2),
    (4,), (0.25, 0.25, 0.25, 0.25, 0.5, 0.5, 1, 1, 1),
)  # fmt: skip


def _melody(rng: Rng, song: Song, bars: list[Bar], chords: list[tuple[int, ...]], beats: int) -> list[list[Note]]:
    """Phrases of one or two bars round MIDI 60, chord tones on strong beats, a breath after each."""
    phrases = []
    motif = RHYTHMS[int(rng.integers(len(RHYTHMS)))]
    pitch = float(rng.uniform(57, 63))
    i = 0
    while i < len(bars):
        span = min(2 if rng.random() < 0.7 else 1, len(bars) - i)
        if not bars[i].vocals or rng.random() < 0.06:
            i += 1
            continue
        if rng.random() < 0.5:
            motif = RHYTHMS[int(rng.integers(len(RHYTHMS)))]
        beat = float(rng.choice([0, 0, 0.5, 1]))
        phrase = []
        lengths = [*motif, *(motif[::-1] if rng.random() < 0.6 else ())]
        for length in lengths:
            if beat + length > span * beats:
                break
            chord = chords[min(i + int(beat // beats), len(chords) - 1)]
            pitch += float(rng.choice([-4, -2, -2, -1, 0, 1, 2, 2, 3, 5]))
            pitch += 7 * (pitch < 54) - 7 * (pitch > 67)
            strong = beat % 2 == 0 or length >= 1
            tone = min(voicing(chord, pitch), key=lambda p: abs(p - pitch)) if strong else nearest_in_scale(song.scale, pitch)
            phrase.append(Note(i * beats + beat, length, tone, float(bars[i].loud * rng.uniform(0.8, 1))))
            pitch = float(tone)
            beat += length
        if phrase:
            phrases.append(phrase)
        i += span
    return phrases
