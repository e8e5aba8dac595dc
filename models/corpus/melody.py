"""The singer's melody: phrases with motifs that come back, chord tones where it counts, and room to breathe."""

from .score import Bar, Chord, Note, Rng, Song, nearest_in_scale, voicing

RHYTHMS = (
    (1, 1, 1, 1, 2),
    (0.5, 0.5, 1, 0.5, 0.5, 2),
    (1.5, 0.5, 1, 1, 2),
    (0.5, 0.5, 0.5, 0.5, 1, 1, 1),
    (2, 1, 3),
    (1, 0.5, 0.5, 1, 3),
    (0.5, 1, 0.5, 1, 1, 1.5),
    (0.25, 0.25, 0.5, 0.5, 0.5, 1, 1.5),
    (3, 3),
    (0.75, 0.75, 0.5, 1, 2.5),
    (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 2),
    (4,),
    (0.25, 0.25, 0.25, 0.25, 0.5, 0.5, 1, 1, 1),
)


def write_melody(rng: Rng, song: Song, bars: list[Bar], chords: list[Chord], beats: int) -> list[list[Note]]:
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
            tone = (
                min(voicing(chord, pitch), key=lambda p: abs(p - pitch))
                if strong
                else nearest_in_scale(song.scale, pitch)
            )
            phrase.append(Note(i * beats + beat, length, tone, float(bars[i].loud * rng.uniform(0.8, 1))))
            pitch = float(tone)
            beat += length
        if phrase:
            phrases.append(phrase)
        i += span
    return phrases
