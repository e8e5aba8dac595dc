"""Sampled breaks: recorded drum loops of known length in beats, cut at the beats and laid on a song's own beats.

Each beat of the loop is sped up or slowed down, as tape, to the length of the beat it falls on, so a break follows a
drifting tempo; neighbouring pieces overlap by a few milliseconds::

    loop   |--0--|--1--|--2--|--3--|            beats of the loop, equally long
    song   |---0---|--1--|-2-|---3----|         beats of the song

A break's onsets are not written down anywhere. They are measured once in the bare loop, where whatever rises clearly
in some band counts: its loud strokes are all there, its softest may be missing.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import maximum_filter1d

from .attacks import Envelopes, Times, merge
from .instruments import read_sound
from .score import Hit, Song
from .sources import Sources
from .synth import RATE, Audio, Rng, add_at

# beats in each loop; whether a loop fits its grid was checked by where its strokes fall
BEATS = {
    "amen": 4,
    "amen_full": 16,
    "breakbeat": 4,
    "compus": 16,
    "electric": 4,
    "industrial": 2,
    "mehackit1": 4,
    "mehackit2": 4,
    "909beat01": 8,
    "break01": 4,
    "break02": 4,
    "break03": 4,
    "electro_beat01": 8,
    "electro_beat02": 4,
    "house_loop01": 4,
    "garden": 8,
    "garden__150": 16,
    "garden__LOOP-DRUMS-95-Finale": 16,
}
SURE_DB, ON_GRID_DB = 7.0, 5.0
NEAR_GRID_S = 0.012
ECHO_S, ECHO_DB = 0.08, 6.0
OVERLAP_S = 0.004
SHUFFLED_SHARE = 0.3
GRID_PER_BEAT = 4


class Break(NamedTuple):
    """A loop ``(2, samples)``, its length in beats, where its strokes begin (in beats) and whom to credit."""

    sound: Audio
    beats: int
    strokes: Times
    credit: str


def load_breaks(sources: Sources, names: tuple[str, ...]) -> list[Break]:
    """The breaks of a pool that are at hand."""
    found = []
    for name in names:
        for path, credit in _files(sources, name):
            beats = BEATS.get(path.stem.removeprefix("loop_"), BEATS["garden"] if "garden" in path.stem else 0)
            if beats:
                found.append(Break(read_sound(path), beats, strokes(path, beats), credit))
    return found


def _files(sources: Sources, name: str) -> list[tuple[Path, str]]:
    """The files that a pool's name stands for, with the credit each needs."""
    if name == "garden":
        loops = [i.path for i in sources.items["breaks"] if i.fields["label"] == "loop" and "garden" in i.path.name]
        return [(path, "breaks/garden") for path in sorted(loops)]
    sonic_pi = sources.sonic_pi()
    places = [(sonic_pi / f"loop_{name}.flac", "sonic-pi-samples")] if sonic_pi else []
    places.append((sources.lmms() / "beats" / f"{name}.ogg", "lmms-common"))
    return [(path, credit) for path, credit in places if path.is_file()]


@lru_cache(maxsize=64)
def strokes(path: Path, beats: int) -> Times:
    """Where the strokes of a loop begin, in beats."""
    sound = read_sound(path)
    count = sound.shape[1]
    # heard twice over: the loop's first stroke follows its last
    envelopes = Envelopes(np.tile(sound, 2))
    times: list[float] = []
    for power in envelopes.bands:
        rise_db = _rise_db(power)
        peaks = np.flatnonzero((rise_db == maximum_filter1d(rise_db, int(0.03 * RATE))) & (rise_db >= ON_GRID_DB))
        loud = power > 10**-3.5 * power.max()
        reach = int(0.01 * RATE)
        for at in peaks[(peaks >= count // 2) & (peaks < count // 2 + count)]:
            step = count / beats / GRID_PER_BEAT
            off_s = abs((at / step + 0.5) % 1 - 0.5) * step / RATE
            if loud[at : at + reach].any() and (rise_db[at] >= SURE_DB or off_s < NEAR_GRID_S):
                times.append(envelopes.attack(at / RATE - 0.005, 0.02).time)
    found = merge((np.array(times) * RATE % count) / RATE)
    # a clap's second burst, a snare's wires: the treble rises again, the whole does not
    whole = _rise_db(envelopes.bands[0])
    echoes = np.diff(found, prepend=found[-1:] - count / RATE) < ECHO_S
    rises = np.array([whole[int(t * RATE) + count - 200 : int(t * RATE) + count + 200].max() for t in found])
    return np.asarray(found[~echoes | (rises >= ECHO_DB)] * (beats * RATE / count))


def _rise_db(power: Audio) -> Audio:
    """By how much the power of the next 8 ms exceeds that of the 20 ms before, at each sample."""
    after, before, gap = int(0.008 * RATE), int(0.02 * RATE), int(0.001 * RATE)
    ahead = maximum_filter1d(power, after, origin=-(after // 2), mode="nearest")
    behind = maximum_filter1d(power, before, origin=before // 2 - 1, mode="nearest")
    behind = np.concatenate([np.repeat(behind[:1], gap), behind[:-gap]])
    return np.asarray(10 * np.log10(ahead / behind))


def lay(rng: Rng, song: Song, found: Break, samples: int) -> tuple[Audio, list[Hit]]:
    """A break under the beats of a song, in bars where the drummer plays, and the strokes it brings.

    At times the beats of a bar change places, as when a break is chopped; the first stays.
    """
    out = np.zeros((2, samples), dtype=np.float32)
    bar = song.beats_per_bar
    order = np.arange(bar)
    if rng.random() < SHUFFLED_SHARE:
        order[1:] = rng.permutation(order[1:])
    loop_tempo = found.beats * 60 * RATE / found.sound.shape[1]
    # loop beats in a beat of the song: a power of two that keeps its speed
    step = 2.0 ** np.round(np.log2(loop_tempo / song.tempo))
    per_bar = 4 * step  # of bars of three, the loop's fourth beat is left out
    hits: list[Hit] = []
    ends = [*song.beats[1:], 2 * song.beats[-1] - song.beats[-2]]
    for k, (start, end) in enumerate(zip(song.beats, ends, strict=True)):
        first = song.beats[k - k % bar]
        last = ends[min(k - k % bar + bar, len(ends)) - 1]
        if not any(first - 0.02 <= hit.start < last - 0.02 for hit in song.hits):
            continue
        at = (k // bar * per_bar + order[k % bar] * step) % found.beats
        piece, where = _piece(found, at, step, end - start), int(start * RATE) - int(OVERLAP_S * RATE)
        add_at(out, piece[:, max(0, -where) :], max(0, where))
        for stroke in found.strokes:
            # a stroke a little before its beat belongs to it, as the overlap does
            ahead = (stroke - at + 0.02) % found.beats - 0.02
            if ahead < step - 0.02:
                hits.append(Hit(max(0.0, float(start + ahead / step * (end - start))), "break", 1.0))
    return out, hits


def _piece(found: Break, at: float, step: float, seconds: float) -> Audio:
    """``step`` beats of the loop from ``at`` on, in ``seconds``, with an overlap before them, faded at both ends."""
    overlap = int(OVERLAP_S * RATE)
    count = int(seconds * RATE)
    length = found.sound.shape[1]
    source = (at + (np.arange(count + overlap) - overlap) / count * step) * length / found.beats
    looped = np.concatenate([found.sound, found.sound[:, :1]], axis=1)
    piece = np.stack([np.interp(source % length, np.arange(length + 1), channel) for channel in looped])
    ramp = (np.arange(overlap) + 0.5) / overlap
    piece[:, :overlap] *= ramp
    piece[:, -overlap:] *= ramp[::-1]
    return piece.astype(np.float32)
