"""The composer: a seeded song, before anybody plays it.

A plan of bars comes first: sections of a few bars switch stems on and off, as an arrangement does. Each part is
written over the plan in beats, and the clock brings in swing and human timing.
"""

from .melody import write_melody
from .parts import write_bass, write_drums, write_layer
from .score import Bar, Clock, Note, Rng, Song, chord_pitches
from .styles import STYLES, Style

SECTION_BARS = (2, 4, 4, 8)
# the phrases of a song that has room for them
LONG_SECTION_BARS = (4, 8, 8, 16)
LONG_S = 60.0


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
    bars = _plan(rng, style, max(2, round(seconds * tempo / 60 / beats)), count, seconds)
    seventh = rng.random() < style.seventh
    chords = [chord_pitches(song, bar.degree, seventh) for bar in bars]
    groove = style.grooves[int(rng.integers(len(style.grooves)))]
    clock = Clock(rng, tempo, float(rng.uniform(*style.swing)), human_s=float(rng.uniform(0.0, 0.012)))
    song.hits = clock.hits(write_drums(rng, groove, bars, beats))
    song.bass = clock.notes(write_bass(rng, str(rng.choice(style.bass)), groove, bars, chords, beats))
    for index, (playing, family) in enumerate(chosen):
        notes = write_layer(rng, playing, groove, bars, chords, song, index)
        song.layers.append((family, clock.notes(notes)))
    exact = Clock(rng, tempo, clock.swing, human_s=0.0)
    song.phrases = [exact.notes(phrase) for phrase in write_melody(rng, song, bars, chords, beats)]
    voiced = [i for i, bar in enumerate(bars) if bar.vocals]
    song.chords = exact.notes([Note(i * beats, beats, 0, bars[i].loud) for i in voiced])
    song.chord_pitches = [chords[i] for i in voiced]
    song.beats = [exact.seconds(beat) for beat in range(len(bars) * beats)]
    song.downbeats = song.beats[::beats]
    song.sections = [start for i, start in enumerate(song.downbeats) if i == 0 or bars[i - 1].last]
    return song


def _plan(rng: Rng, style: Style, count: int, layers: int, seconds: float) -> list[Bar]:
    """Sections of a few bars with a progression each; a stem is absent from a section now and then."""
    bars: list[Bar] = []
    verse, chorus = (style.progressions[int(i)] for i in rng.integers(len(style.progressions), size=2))
    while len(bars) < count:
        length = min(int(rng.choice(LONG_SECTION_BARS if seconds >= LONG_S else SECTION_BARS)), count - len(bars))
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
