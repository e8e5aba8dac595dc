"""The band's parts: drums, bass and accompaniment, bar by bar, in beats."""

from collections.abc import Callable
from dataclasses import dataclass

from .grooves import Groove
from .score import Bar, Chord, Hit, Note, Rng, Song, nearest_in_scale, voicing

STEPS_PER_BEAT = 4


def write_drums(rng: Rng, groove: Groove, bars: list[Bar], beats: int) -> list[Hit]:
    """The groove bar after bar, with accents, ghost notes, crashes after and fills before a change of section."""
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
    """A roll on the snare or down the toms to the end of the bar, louder and louder."""
    drums = ("snare", "tom_hi", "tom_mid", "tom_low")
    kind = rng.integers(3)
    hits = []
    for i, step in enumerate(range(first, steps)):
        role = "snare" if kind == 0 else drums[min(3, i * 4 // max(1, steps - first))]
        if kind == 2 and rng.random() < 0.35:
            continue
        hits.append(Hit(start + step / 4, role, min(1.0, loud * (0.6 + 0.4 * i / (steps - first)))))
    return hits


def write_bass(rng: Rng, playing: str, groove: Groove, bars: list[Bar], chords: list[Chord], beats: int) -> list[Note]:
    """The bass line; where it is syncopated it keeps to the kick drum."""
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
    rng: Rng, playing: str, root: int, chord: Chord, ahead: int, beats: int, syncopation: list[int]
) -> list[Note]:
    """One bar of bass in beats from its start."""
    fifth = root + (chord[2] - chord[0])

    def loud() -> float:
        return float(rng.uniform(0.75, 1.0))

    if playing in ("roots", "sub"):
        if rng.random() < 0.6:
            return [Note(0, beats * 0.97, root, loud())]
        return [Note(0, beats / 2 * 0.95, root, loud()), Note(beats / 2 + 0.5, beats / 2 - 0.6, root, loud())]
    if playing == "eighths":
        return [
            Note(i / 2, 0.46, root if i < beats * 2 - 1 or rng.random() < 0.6 else fifth, loud())
            for i in range(beats * 2)
        ]
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


COMPS = (
    "x.......x.......",
    "x...x...x...x...",
    "x..x..x...x.....",
    "..x...x...x...x.",
    "x.....x..x......",
    "x..x....x..x....",
    "x...x..x..x.x...",
    "....x.......x..x",
)
CHOP = "x.xx..x.x.xx.xx."


@dataclass(frozen=True)
class Habits:
    """What an accompanist keeps to for a whole song: register (MIDI), rhythm, order of an arpeggio, note length."""

    around: float
    comp: str
    order: list[int]
    rate: int
    riff: list[int]
    short: float

    @classmethod
    def draw(cls, rng: Rng, groove: Groove) -> "Habits":
        kick = groove.get("kick", "x...............")
        return cls(
            around=float(rng.choice([55, 60, 62, 65, 67])),
            comp=str(rng.choice(list(COMPS))),
            order=[int(i) for i in rng.integers(0, 5, size=16)],
            rate=int(rng.choice([1, 2, 2])),
            riff=[step for step in range(16) if kick[step] != "." or rng.random() < 0.3],
            short=float(rng.choice([0.18, 0.3, 0.5, 0.8])),
        )


def write_layer(
    rng: Rng, playing: str, groove: Groove, bars: list[Bar], chords: list[Chord], song: Song, index: int
) -> list[Note]:
    """One accompanying part over all bars, in beats; ``index`` says which layer of the plan it is."""
    habits, beats = Habits.draw(rng, groove), song.beats_per_bar
    notes: list[Note] = []
    for i, (bar, chord) in enumerate(zip(bars, chords, strict=True)):
        if not bar.layers[index]:
            continue
        level = bar.loud * 0.8
        if playing != "lead":
            written = PLAYING[playing](rng, habits, chord, beats, level)
        elif not bar.vocals or rng.random() < 0.35:  # a lead leaves room for the singer
            written = _lead(rng, song, chord, habits.around + 7, level)
        else:
            continue
        notes += [n._replace(start=i * beats + n.start) for n in written]
    return notes


def _pad(rng: Rng, habits: Habits, chord: Chord, beats: int, level: float) -> list[Note]:
    tones = voicing(chord, habits.around, spread=habits.around > 60)
    return [Note(0, beats, p, level * 0.8) for p in tones]


def _riff(rng: Rng, habits: Habits, chord: Chord, beats: int, level: float) -> list[Note]:
    """Power chords in the rhythm of the kick."""
    power = [chord[0], chord[0] + 7, chord[0] + 12][: 3 if habits.around > 60 else 2]
    length = 0.22 if habits.short < 0.4 else 0.45
    return [Note(step / 4, length, p, level) for step in habits.riff if step < beats * 4 for p in power]


def _strum(rng: Rng, habits: Habits, chord: Chord, beats: int, level: float) -> list[Note]:
    """Eighths, down strokes from the lowest string, up strokes softer from the highest."""
    tones = voicing(chord, habits.around, spread=True)
    notes = []
    for eighth in range(beats * 2):
        down = eighth % 2 == 0
        if not down and rng.random() < 0.3:
            continue
        for k, p in enumerate(tones if down else tones[::-1]):
            loud = level * (1.0 if down else 0.75) * rng.uniform(0.8, 1)
            notes.append(Note(eighth / 2 + 0.012 * k, 0.48, p, loud))
    return notes


def _chords(rhythm: str | None, chance: float, length: float | None, stretch: float) -> "Playing":
    """Chords in a fixed rhythm or the player's own, of a fixed length or the player's own times ``stretch``."""

    def play(rng: Rng, habits: Habits, chord: Chord, beats: int, level: float) -> list[Note]:
        tones, marks = voicing(chord, habits.around), rhythm or habits.comp
        held = length or habits.short * stretch
        notes = []
        for step in range(beats * 4):
            if marks[step] == "x" and rng.random() < chance:
                notes += [Note(step / 4, held, p, level * rng.uniform(0.8, 1)) for p in tones]
        return notes

    return play


def _offbeats(rng: Rng, habits: Habits, chord: Chord, beats: int, level: float) -> list[Note]:
    return [Note(b + 0.5, 0.25, p, level) for b in range(beats) for p in voicing(chord, habits.around)]


def _arpeggio(rng: Rng, habits: Habits, chord: Chord, beats: int, level: float) -> list[Note]:
    tones = voicing(chord, habits.around)
    ladder = tones + [p + 12 for p in tones]
    notes = []
    for step in range(0, beats * 4, habits.rate):
        pitch = ladder[habits.order[step % 16] % len(ladder)]
        notes.append(Note(step / 4, max(0.25, habits.short) * habits.rate, pitch, level * rng.uniform(0.7, 1)))
    return notes


def _lead(rng: Rng, song: Song, chord: Chord, around: float, level: float) -> list[Note]:
    """A bar of solo: steps and small leaps in the scale."""
    notes = []
    beat = float(rng.choice([0, 0, 0.5]))
    pitch = float(rng.choice(voicing(chord, around)))
    while beat < song.beats_per_bar:
        length = min(float(rng.choice([0.25, 0.5, 0.5, 1, 1.5])), song.beats_per_bar - beat)
        if rng.random() < 0.85:
            notes.append(Note(beat, length * 0.95, pitch, level * rng.uniform(0.8, 1)))
        pitch = nearest_in_scale(song.scale, pitch + float(rng.choice([-4, -2, -2, 2, 2, 3, 5])))
        pitch += 12 * (pitch < around - 9) - 12 * (pitch > around + 9)
        beat += length
    return notes


Playing = Callable[[Rng, Habits, Chord, int, float], list[Note]]
PLAYING: dict[str, Playing] = {
    "pad": _pad,
    "riff": _riff,
    "strum": _strum,
    "comp": _chords(None, 0.92, None, 1.6),
    "loop": _chords(None, 0.92, None, 2.0),
    "stabs": _chords(None, 0.6, 0.3, 0),
    "chop": _chords(CHOP, 0.92, 0.14, 0),
    "offbeats": _offbeats,
    "arp": _arpeggio,
}
