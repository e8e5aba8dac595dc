"""The vocal stem: who sings a song and how it is arranged (lead, doubled, with choir, or spoken)."""

from typing import NamedTuple

import numpy as np
import pedalboard
import soundfile
import soxr

from .pools import Pool
from .production import Room, balance, compressor, process, set_level, to_stereo, tone
from .score import Note, Song, nearest_in_scale, voicing
from .sources import Item, Sources
from .synth import RATE, Audio, Rng
from .takes import speaking_pitch
from .voice import Manner, Singer, sing
from .vowels import sing_vowels

REACH_SEMITONES = 4.5
SUNG_ABOVE_SPOKEN = 4


class Vocals(NamedTuple):
    """A vocal stem ``(2, samples)``, the singer's name and the sources used."""

    sound: Audio
    singer: str
    used: list[str]


class Part(NamedTuple):
    """One sung track; ``lead`` says who sings it."""

    phrases: list[list[Note]]
    pan: float
    gain_db: float
    lead: bool = False


def sing_song(rng: Rng, song: Song, samples: int, sources: Sources, pool: Pool, room: Room) -> Vocals:
    """All voices of a song, with their effects."""
    out = np.zeros((2, samples), dtype=np.float32)
    banks = [b for b in pool.singers if _bank(sources, b)]
    banks += [s for s in pool.speakers if banks and _bank(sources, s)]
    speech = [i for i in sources.items["speech"] if i.fields["speaker"] in pool.speakers]
    used: list[str] = []
    if not song.phrases:
        return Vocals(out, "none", used)
    if song.vocal == "rap" and speech:
        speaker = str(rng.choice(pool.speakers))
        lines = [i for i in speech if i.fields["speaker"] == speaker]
        out += to_stereo(_speak(rng, lines, song.phrases, samples), 0.0)
        used.append("speech/TSP")
        if rng.random() < 0.5:
            out += to_stereo(
                _speak(rng, lines, song.phrases[::2], samples), float(rng.uniform(-0.8, 0.8))
            ) * np.float32(0.4)
        name = speaker
    elif banks:
        name = str(rng.choice(banks))
        other = str(rng.choice(banks)) if rng.random() < 0.4 else name
        used += ["speech/TSP" if bank in pool.speakers else f"sung_voice/{bank}" for bank in (name, other)]
        singers = [Singer(rng, _bank(sources, bank), round(_build(rng), 3)) for bank in (name, other)]
        out += _arrange(rng, song, singers[0], singers[1] if other != name else singers[0], samples)
        name = name if other == name else f"{name}, {other}"
    else:
        name = "synthesis"
        for phrase in song.phrases:
            sing_vowels(rng, phrase, out)
    return Vocals(_produce(rng, song, out, room), name, used)


def _bank(sources: Sources, name: str) -> list[Item]:
    """The files of a singer, or of a speaker made to sing."""
    spoken = [item for item in sources.items["speech"] if item.fields["speaker"] == name]
    if spoken:
        hz = speaking_pitch([item.path for item in spoken[:6]])
        return [Item(item.path, {**item.fields, "f0_hz": hz}) for item in spoken]
    return [item for item in sources.items["sung_voice"] if item.fields["bank"] == name]


def _build(rng: Rng) -> float:
    """Formants a little lower or higher than recorded: another singer."""
    return float(np.exp(rng.uniform(np.log(0.86), np.log(1.18))))


def _arrange(rng: Rng, song: Song, singer: Singer, backing: Singer, samples: int) -> Audio:
    """The singer's lead and doubles; harmonies, chords and answers by the backing singer."""
    pitches = singer.pitches
    home = float(rng.choice(pitches)) + float(rng.uniform(-3, 4)) + SUNG_ABOVE_SPOKEN * singer.spoken
    middle = float(np.mean([n.pitch for p in song.phrases for n in p]))
    move = 12 * round((home - middle) / 12) if rng.random() < 0.3 else round(home - middle)
    key_move = move - 12 * round(move / 12)
    # the song stays in its key: move by octaves, and fold single notes that leave the singer's reach
    move -= key_move
    low, high = min(pitches) - REACH_SEMITONES, max(pitches) + REACH_SEMITONES + SUNG_ABOVE_SPOKEN * singer.spoken
    lead = [[n._replace(pitch=_fold(n.pitch + move, low, high)) for n in p] for p in song.phrases]
    parts = [Part(lead, float(rng.normal(0, 0.06)), 0.0, lead=True)]
    if song.vocal == "double":
        spread = float(rng.uniform(0.2, 1.0))
        parts += [Part(_loosen(rng, lead), side * spread, float(rng.uniform(-9, -2)), lead=True) for side in (-1, 1)]
    if (song.vocal in ("double", "choir") and rng.random() < 0.7) or rng.random() < 0.25:
        above = float(rng.choice([3, 4, -3, -5, 7]))
        harmony = [[n._replace(pitch=nearest_in_scale(song.scale, n.pitch + above)) for n in p] for p in lead]
        parts.append(Part(_loosen(rng, harmony), float(rng.uniform(-0.7, 0.7)), float(rng.uniform(-12, -4))))
    if song.vocal == "choir":
        parts += _backing(rng, song, (low + high) / 2)
    if rng.random() < 0.25:
        answers = [[n._replace(start=n.start + p[-1].length) for n in p[-2:]] for p in lead if rng.random() < 0.4]
        parts.append(Part(answers, float(rng.uniform(-0.9, 0.9)), float(rng.uniform(-10, -4))))
    out = np.zeros((2, samples), dtype=np.float32)
    manner = Manner.draw(rng)
    for part in parts:
        track = np.zeros(samples, dtype=np.float32)
        voice = singer if part.lead else backing
        # another singer sings the part in the octave of their own voice
        octave = 12 * round((np.median(voice.pitches) - np.median(singer.pitches)) / 12)
        for phrase in part.phrases:
            if phrase:
                sing(rng, voice, [n._replace(pitch=n.pitch + octave) for n in phrase], manner, track)
        out += to_stereo(track, float(np.clip(part.pan, -1, 1))) * np.float32(10 ** (part.gain_db / 20))
    return out


def _fold(pitch: float, low: float, high: float) -> float:
    while pitch > high:
        pitch -= 12
    while pitch < low:
        pitch += 12
    return pitch


def _loosen(rng: Rng, phrases: list[list[Note]]) -> list[list[Note]]:
    """The same phrases sung again: a little off in time and pitch."""
    return [
        [
            n._replace(start=max(0.1, n.start + float(rng.normal(0, 0.018))), pitch=n.pitch + float(rng.normal(0, 0.1)))
            for n in p
        ]
        for p in phrases
    ]


def _backing(rng: Rng, song: Song, middle: float) -> list[Part]:
    """Long chords under the lead: two to four voices across the stage."""
    gain_db = float(rng.uniform(-12, -5))
    count = int(rng.integers(2, 5))
    parts = []
    for voice in range(count):
        notes = [
            chord._replace(
                pitch=float(voicing(pitches, middle)[voice % len(pitches)]), velocity=0.8, length=chord.length * 0.98
            )
            for chord, pitches in zip(song.chords, song.chord_pitches, strict=True)
        ]
        parts.append(Part([[note] for note in notes], (voice + 0.5) / count * 2 - 1, gain_db))
    return parts


def _speak(rng: Rng, lines: list[Item], phrases: list[list[Note]], samples: int) -> Audio:
    """Spoken lines at the phrases' starts, faster or slower and so higher or lower."""
    out = np.zeros(samples, dtype=np.float32)
    speed = float(rng.uniform(0.85, 1.2))
    free = 0.0
    for phrase in phrases:
        if phrase[0].start < free:
            continue
        item = lines[int(rng.integers(len(lines)))]
        sound, rate = soundfile.read(item.path, dtype="float32")
        line = soxr.resample(sound, rate * speed, RATE)
        start = int(phrase[0].start * RATE)
        count = min(len(line), samples - start)
        out[start : start + count] += line[:count] / (np.abs(line).max() + 1e-6)
        free = phrase[0].start + len(line) / RATE * 0.95
    return out


def _produce(rng: Rng, song: Song, sound: Audio, room: Room) -> Audio:
    """A vocal chain: low cut, tone, compression, at times saturation or echo, and the room."""
    sound = set_level(sound, -18)
    sound = process(sound, [pedalboard.HighpassFilter(float(rng.uniform(70, 140))), *tone(rng, 4)])
    if rng.random() < 0.85:
        sound = process(sound, compressor(rng, sound))
    if rng.random() < 0.12:
        top = np.abs(sound).max() + 1e-6
        sound = np.tanh(sound / top * np.float32(rng.uniform(2, 6))) * top
    if rng.random() < 0.3:
        echo_s = 60 / song.tempo * float(rng.choice([0.5, 0.75, 1.0]))
        echo = process(sound, [pedalboard.Delay(echo_s, feedback=float(rng.uniform(0.1, 0.45)), mix=1.0)])
        sound = sound + balance(echo, float(rng.uniform(-0.6, 0.6))) * np.float32(rng.uniform(0.08, 0.3))
    return room.wet(sound, float(rng.uniform(-28, -9)))
