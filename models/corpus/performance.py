"""What players do to a song on paper, for songs that the chopper learns from: they drift, push, drag and ornament.

The tempo drifts as a band's does without a click: one smooth, increasing map from the times written to the times
played moves every note, beat and section alike. A drummer has an even hand or a loose one, adds flams, rolls and
ghost notes, and in half the songs never touches the crash. Most songs are left unsung, which renders far faster.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from .score import Hit, Note, Rng, Song

SUNG_SHARE = 0.12
NO_CRASH_SHARE = 0.5
STEADY_SHARE = 0.25
RITARDANDO_SHARE = 0.15
BREAK_SHARE = 0.3
LOOSE_SHARE = 0.6
STEP_S = 0.05


class TimeMap:
    """From written to played times: increasing, 0 stays 0."""

    def __init__(self, written: NDArray[np.float64], played: NDArray[np.float64]) -> None:
        self.written, self.played = written, played

    @classmethod
    def draw(cls, rng: Rng, song: Song) -> "TimeMap":
        """A steady tempo in a quarter of songs, else one that wanders by a few percent; at times the end slows."""
        written = np.arange(0, song.seconds + 2, STEP_S)
        slowness = np.zeros(len(written))
        if rng.random() >= STEADY_SHARE:
            wander = gaussian_filter1d(rng.standard_normal(len(written)), float(rng.uniform(4, 12)) / STEP_S)
            slowness += wander / (np.abs(wander).max() + 1e-9) * rng.uniform(0.005, 0.03)
            slowness += np.linspace(0, rng.normal(0, 0.02), len(written))
        if rng.random() < RITARDANDO_SHARE:
            bar_s = song.beats_per_bar * 60 / song.tempo
            ahead = (written - (song.seconds - 2 * bar_s)) / (2 * bar_s)
            slowness += rng.uniform(0.1, 0.4) * np.clip(ahead, 0, 1) ** 2
        played = np.concatenate([[0.0], np.cumsum(1 + slowness)[:-1] * STEP_S])
        return cls(written, played)

    def __call__(self, time: float) -> float:
        return float(np.interp(time, self.written, self.played))

    def note(self, note: Note) -> Note:
        start = self(note.start)
        return note._replace(start=start, length=self(note.start + note.length) - start)


def perform(rng: Rng, song: Song) -> Song:
    """The song as played, from a generator of its own; the song given is left as it is."""
    hits = song.hits
    if rng.random() < NO_CRASH_SHARE:
        hits = [hit for hit in hits if hit.role != "crash"]
    hits = _loosen(rng, _ornament(rng, song, hits))
    sung = rng.random() < SUNG_SHARE
    sampled_break = str(rng.choice(["under", "instead"])) if rng.random() < BREAK_SHARE else ""
    at = TimeMap.draw(rng, song)
    return replace(
        song,
        seconds=at(song.seconds),
        sampled_break=sampled_break,
        hits=sorted(hit._replace(start=at(hit.start)) for hit in hits),
        bass=[at.note(note) for note in song.bass],
        layers=[(family, [at.note(note) for note in notes]) for family, notes in song.layers],
        phrases=[[at.note(note) for note in phrase] for phrase in song.phrases] if sung else [],
        chords=[at.note(chord) for chord in song.chords],
        beats=[at(time) for time in song.beats],
        downbeats=[at(time) for time in song.downbeats],
        sections=[at(time) for time in song.sections],
    )


def _ornament(rng: Rng, song: Song, hits: list[Hit]) -> list[Hit]:
    """Flams before strokes, ghost notes between them, and rolls of 32nds or sextuplets."""
    flams, ghosts = (float(x) for x in rng.uniform(0, [0.1, 0.12]) * (rng.random(2) < 0.5))
    rolls = float(rng.uniform(0, 0.12)) * (rng.random() < 0.5)
    sixteenth = 60 / song.tempo / 4
    more = []
    for hit in hits:
        if hit.role in ("snare", "tom_low", "tom_mid", "tom_hi", "clap") and rng.random() < flams:
            more.append(Hit(max(0.0, hit.start - rng.uniform(0.012, 0.035)), hit.role, hit.velocity * 0.45))
        if hit.role == "snare" and rng.random() < ghosts:
            away = float(rng.choice([-2, -1, 1, 2])) * sixteenth
            more.append(Hit(max(0.0, hit.start + away), "snare", float(rng.uniform(0.12, 0.3))))
    kept = list(hits)
    for start in song.beats:
        if rng.random() >= rolls or not any(start <= hit.start < start + 4 * sixteenth for hit in hits):
            continue
        role = str(rng.choice(["snare", "hat", "hat", "tom_mid"]))
        count, length = (int(rng.choice([4, 6, 8])), 2 * sixteenth) if role == "hat" else (8, 4 * sixteenth)
        start += float(rng.choice([0, 2])) * sixteenth * (role == "hat")
        kept = [hit for hit in kept if hit.role != role or not start - 0.01 <= hit.start < start + length - 0.01]
        swell = np.linspace(rng.uniform(0.25, 0.8), rng.uniform(0.5, 0.95), count)
        more += [Hit(start + k * length / count, role, float(loud)) for k, loud in enumerate(swell)]
    return kept + more


def _loosen(rng: Rng, hits: list[Hit]) -> list[Hit]:
    """A hand of its own: each piece early or late, each stroke a little off, softer and louder."""
    if rng.random() >= LOOSE_SHARE:
        return hits
    scatter_s = float(rng.uniform(0.002, 0.009))
    lag = {role: float(rng.normal(0, 0.005)) for role in sorted({hit.role for hit in hits})}
    lag["snare"] = float(rng.normal(0.004, 0.008))
    uneven = float(rng.uniform(0, 0.12))
    return [
        Hit(
            max(0.0, hit.start + lag[hit.role] + float(rng.normal(0, scatter_s))),
            hit.role,
            float(np.clip(hit.velocity * (1 + rng.normal(0, uneven)), 0.05, 1)),
        )
        for hit in hits
    ]
