"""Real songs with real beats: the four metal songs of Frets on Fire's Sectoid pack, recorded to a click.

Each has a constant tempo, written in its ``notes.mid``, and begins on the first beat of a bar of four; chords change
on every fourth beat counted from there, in all four. The recordings lag the click by a constant of some 20 to 40 ms
(an encoder's delay and the studio's), which is measured: the median attack after a beat. Their onsets and phrases
are not known. For validation only.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .attacks import Envelopes, Times
from .instruments import read_sound
from .recordings import Recorded
from .sources import Credit
from .synth import RATE, Audio

SONGS = "usr/share/games/fretsonfire/data/songs/sectoid"
CREDIT = Credit("fretsonfire-songs-sectoid", "MIT", "Sectoid, songs for Frets on Fire")
BEATS_PER_BAR = 4
LATEST_S = 0.05
CLEAR_DB = 12.0
SILENT = 1e-3


def read_songs(package: Path) -> Iterator[Recorded]:
    """The songs of the unpacked package, whole: a mix and its beats."""
    for notes in sorted((package / SONGS).glob("*/notes.mid")):
        yield read_song(notes.parent)


def read_song(folder: Path) -> Recorded:
    import mido

    tempos = {m.tempo for track in mido.MidiFile(folder / "notes.mid").tracks for m in track if m.type == "set_tempo"}
    (beat_us,) = tempos  # one tempo a song; another pack would need its map
    backing, guitar = (read_sound(folder / f"{name}.ogg") for name in ("song", "guitar"))
    count = min(backing.shape[1], guitar.shape[1])
    mix = backing[:, :count] + guitar[:, :count]
    mix *= np.float32(0.95 / max(0.95, float(np.abs(mix).max())))
    grid = np.arange(int(count / RATE * 1e6 / beat_us)) * beat_us / 1e6
    beats = grid + lag(backing, grid)
    heard = np.flatnonzero(np.abs(mix).max(axis=0) > SILENT) / RATE
    sounding = (beats >= heard[0] - LATEST_S) & (beats <= heard[-1])
    facts = {"tempo": round(6e7 / beat_us, 2), "beats_per_bar": BEATS_PER_BAR}
    first = -int(np.flatnonzero(sounding)[0]) % BEATS_PER_BAR
    return Recorded(
        folder.name,
        "validation",
        {"other": mix},
        {},
        beats[sounding],
        beats[sounding][first::BEATS_PER_BAR],
        facts,
        (CREDIT,),
    )


def lag(sound: Audio, grid: Times) -> float:
    """By how much the recording is later than the grid: the median of the clear attacks after its beats."""
    envelopes = Envelopes(sound)
    attacks = [envelopes.attack(time + 0.008, LATEST_S - 0.008) for time in grid]
    return float(np.median([a.time - t for a, t in zip(attacks, grid, strict=True) if a.rise_db >= CLEAR_DB]))
