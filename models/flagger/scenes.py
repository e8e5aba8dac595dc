"""Whole passages to learn from: a good recording in which a few places have gone wrong, drawn as numbers of frames.

A scene says for each of its frames which frame of a song it is and what is done to it; powers are only put together on
the device that trains (`assembled`), a whole batch at once::

    power = (gain × frame + other_gain × other frame) × gain of the band ^ sway + noise of the band × sway

So one made span (`song_spans`) is met whole and cut short, alone and mixed with what was there, in its place or put in
between; and what needs no samples (another song, a filter, noise, a level, grains in another order) is new every time.
A scene may also hold a jump of the good music itself: that an edit is heard is no fault yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streaming.features import MEL

from .corruptions import db
from .reviewer import FRAMES, ROW_FRAMES
from .song_spans import QUANTUM, Bytes, Song

BANDS = MEL.bands
PLACES = 8
"""The most places that go wrong in a scene, and what is done to bands there."""
SPEECH_SHARE = 0.3
"""Of the scenes, those of speech."""
MADE_SHARE = 0.65
"""Of the places, those made in samples."""
IN_PLACE_SHARE, GROWS_SHARE, HEARD = 0.65, 0.15, 0.1
"""Of those, what goes wrong in its place (the rest is played again, as in a take that is to be edited), and what grows;
how much of it is heard."""
SWAYS_SHARE = 0.4
"""Of filters and noises, those that move, or come and go."""
Rng = np.random.Generator
Floats = NDArray[np.float32]


class Scenes(NamedTuple):
    """A batch ``(N, T)``, or ``(N, PLACES + 1, bands)`` for what is done to bands; place 0 is the good recording."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    gains: Floats
    second_gains: Floats
    sway: Floats
    place: NDArray[np.int64]
    band_gains: Floats
    noise: Floats
    steadiness: Floats
    odd: Floats
    edge: Floats
    weight: Floats


class Shelf:
    """All frames in one row: first a frame of silence, then songs, what went wrong in them, speech and sounds."""

    def __init__(self, music: Sequence[Song], speech: Sequence[Song], sounds: Sequence[Bytes]) -> None:
        parts: list[Bytes] = [np.zeros((1, BANDS), np.uint8)]
        at = 1
        self.songs: list[tuple[int, int, NDArray[np.int32], int]] = []
        """Where it begins, its length, its spans, where their frames begin."""
        for song in [*music, *speech]:
            parts += [song.frames, song.worse]
            self.songs.append((at, len(song.frames), song.spans, at + len(song.frames)))
            at += len(song.frames) + len(song.worse)
        self.music = len(music)
        self.sounds = []
        for sound in sounds:
            if len(sound) > 20:
                parts.append(sound)
                self.sounds.append((at, len(sound)))
                at += len(sound)
        self.frames: Bytes = np.concatenate(parts)
        power = np.power(10, self.frames.astype(np.float32) * QUANTUM).mean(axis=1) - 1
        self.levels = np.concatenate([[0.0], np.cumsum(power, dtype=np.float64)])
        lengths = np.array([one[1] for one in self.songs], float)
        self._odds = lengths / lengths.sum()

    def level(self, at: int, count: int) -> float:
        """Mean power of frames in a row."""
        stop = min(at + count, len(self.frames))
        return float((self.levels[stop] - self.levels[at]) / max(1, stop - at)) + 0.5

    def draw(self, rng: Rng) -> int:
        """A recording, speech at times."""
        speech = len(self.songs) - self.music
        if speech and rng.random() < SPEECH_SHARE:
            return self.music + int(rng.integers(speech))
        odds = self._odds[: self.music]
        return int(rng.choice(self.music, p=odds / odds.sum()))

    def other(self, rng: Rng, count: int) -> NDArray[np.int64]:
        """Frames in a row of any other music, speech or sounds."""
        way = rng.random()
        speech = len(self.songs) - self.music
        if self.sounds and way < 0.3:
            found: list[NDArray[np.int64]] = []
            while sum(map(len, found)) < count:
                start, length = self.sounds[int(rng.integers(len(self.sounds)))]
                found.append(np.arange(start, start + length))
            return np.concatenate(found)[:count]
        index = int(rng.integers(self.music)) if way < 0.65 or not speech else self.music + int(rng.integers(speech))
        start, length, _, _ = self.songs[index]
        first = int(rng.integers(0, max(1, length - count)))
        return start + np.minimum(first + np.arange(count), length - 1)


@dataclass
class _Scene:
    """One being built: pieces in the order of time."""

    first: list[NDArray[np.int64]] = field(default_factory=list)
    second: list[NDArray[np.int64]] = field(default_factory=list)
    gains: list[Floats] = field(default_factory=list)
    second_gains: list[Floats] = field(default_factory=list)
    sway: list[Floats] = field(default_factory=list)
    """How far what is done to bands is done, 0 … 1."""
    place: list[NDArray[np.int64]] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    jumps: list[int] = field(default_factory=list)
    length: int = 0

    def add(
        self,
        first: NDArray[np.int64],
        second: NDArray[np.int64] | None = None,
        gains: Floats | np.float32 | float = 1.0,
        second_gain: Floats | float = 0.0,
        place: int = 0,
        sway: Floats | float = 1.0,
    ) -> None:
        count = len(first)
        self.first.append(first)
        self.second.append(np.zeros(count, np.int64) if second is None else second)
        self.gains.append(np.broadcast_to(np.float32(gains), (count,)))
        self.second_gains.append(np.broadcast_to(np.float32(second_gain), (count,)))
        self.sway.append(np.broadcast_to(np.float32(sway), (count,)))
        self.place.append(np.full(count, place))
        self.length += count


class _Bands(NamedTuple):
    gains: Floats
    noise: Floats
    steadiness: Floats


def smooth(rng: Rng, count: int, points: int) -> Floats:
    """A random curve from -1 to 1."""
    curve = np.interp(np.linspace(0, points - 1, count), np.arange(points), rng.uniform(-1, 1, points))
    return curve.astype(np.float32)


def draw_scene(rng: Rng, shelf: Shelf, families: frozenset[int], frames: int = FRAMES) -> tuple[_Scene, _Bands]:
    """A scene of made spans of ``families`` alone, and of what needs no samples."""
    start, length, spans, worse = shelf.songs[shelf.draw(rng)]
    begins = worse + np.concatenate([[0], np.cumsum(spans[:, 1])]) if len(spans) else np.zeros(1, np.int64)
    usable = [i for i in np.argsort(spans[:, 0]).tolist() if int(spans[i, 2]) in families]
    if rng.random() < 0.5 and usable:  # one kind, again and again
        family = spans[usable[int(rng.integers(len(usable)))], 2]
        some = [i for i in usable if spans[i, 2] == family]
        usable = some if len(some) > 1 else usable
    scene = _Scene()
    bands = _Bands(
        np.ones((PLACES + 1, BANDS), np.float32),
        np.zeros((PLACES + 1, BANDS), np.float32),
        np.ones((PLACES + 1, BANDS), np.float32),
    )
    at = int(rng.integers(0, max(1, length - frames)))
    wanted = 0 if rng.random() < 0.15 else int(rng.integers(1, 6))
    own_way = int(rng.integers(len(_WAYS))) if rng.random() < 0.5 else None
    made_only = rng.random()
    place = 0
    while scene.length < frames and at < length - 10:
        gap = int(rng.uniform(60, 1000))
        if place >= wanted:
            gap = frames
        made = usable and (rng.random() < MADE_SHARE if made_only < 0.4 else made_only < 0.8)
        span = None
        if made and place < wanted:
            ahead = [i for i in usable if spans[i, 0] >= at + 40 and spans[i, 0] < at + 1400]
            if ahead:
                span = ahead[int(rng.integers(min(3, len(ahead))))]
                gap = int(spans[span, 0]) - at
        if rng.random() < 0.04 and place < wanted and span is None:  # the music itself jumps
            scene.add(start + np.arange(at, min(length, at + gap)))
            scene.jumps.append(scene.length)
            at = int(rng.integers(0, max(1, length - 600)))
            continue
        stop = min(length, at + gap)
        scene.add(start + np.arange(at, stop))
        at = stop
        if place >= wanted or at >= length - 40:
            continue
        place += 1
        scene.cuts.append(scene.length)
        if span is not None:
            at = _made(rng, scene, spans[span], int(begins[span]), start, place, length)
        else:
            count = int(np.exp(rng.uniform(np.log(30), np.log(700))))
            count = min(count, length - at)
            way = _WAYS[own_way if own_way is not None else int(rng.integers(len(_WAYS)))]
            way(rng, shelf, scene, bands, place, start + at, count)
            at += count if rng.random() < 0.7 else 0
        scene.cuts.append(scene.length)
    if scene.length < frames:
        scene.add(np.zeros(frames - scene.length, np.int64))
    return scene, bands


def _made(rng: Rng, scene: _Scene, span: NDArray[np.int32], begins: int, start: int, place: int, length: int) -> int:
    """A span made in samples: whole or a part of it, mixed with what was there or not; where the song goes on."""
    first, count = int(span[0]), int(span[1])
    skip = 0
    if rng.random() < 0.4 and count > 60:
        part = int(rng.integers(40, count))
        skip = int(rng.integers(0, count - part + 1))
        count = part
    rows = begins + skip + np.arange(count)
    there = start + first + skip + np.arange(count)
    share = np.full(count, rng.uniform(0.4, 1) if rng.random() < 0.3 else 1, np.float32)
    gain = np.float32(db(rng.uniform(-4, 4)) ** 2 if rng.random() < 0.3 else 1)
    again = rng.random()
    if rng.random() < GROWS_SHARE:
        share *= _growth(rng, count)
        if again < IN_PLACE_SHARE:  # it begins where it can be heard
            late = int(np.flatnonzero(share > HEARD)[0])
            skip, count = skip + late, count - late
            rows, there, share = rows[late:], there[late:], share[late:]
    if again < IN_PLACE_SHARE:
        if skip:
            scene.add(start + np.arange(first, first + skip))
            scene.cuts[-1] = scene.length
        scene.add(rows, there, share * gain, (1 - share) * gain, place)
        return first + skip + count
    if again < IN_PLACE_SHARE + (1 - IN_PLACE_SHARE) / 3:  # before the good one
        scene.add(rows, there, share * gain, (1 - share) * gain, place)
        return first
    good = start + np.arange(first, min(length, first + skip + count))
    scene.add(good)
    scene.cuts[-1] = scene.length
    scene.add(rows, there, share * gain, (1 - share) * gain, place)
    return min(length, first + skip + count)


def _growth(rng: Rng, count: int) -> Floats:
    """From hardly anything to all of it, somewhere on the way."""
    full, steep = max(2, int(count * rng.uniform(0.3, 1))), rng.uniform(1, 4)
    curve: Floats = np.clip((np.arange(count) + 1) / full, 0, 1).astype(np.float32) ** np.float32(steep)
    return curve


def _other(rng: Rng, shelf: Shelf, scene: _Scene, bands: _Bands, place: int, at: int, count: int) -> None:
    other = shelf.other(rng, count)
    gain = shelf.level(at, count) / shelf.level(int(other[0]), count) * db(rng.uniform(-8, 6)) ** 2
    gain = min(gain, 1e3)
    if rng.random() < 0.5:
        bands.noise[place] = 10 ** rng.uniform(0, 1.5) - 1
        scene.add(other, None, gain, 0.0, place)
    else:
        scene.add(at + np.arange(count), other, 1.0, gain, place)


def _filter(rng: Rng, shelf: Shelf, scene: _Scene, bands: _Bands, place: int, at: int, count: int) -> None:
    way, depth, width = int(rng.integers(5)), rng.uniform(6, 60), rng.uniform(0.5, 8)
    cut, number = rng.uniform(4, 60), np.arange(BANDS)
    if way < 2:
        gain_db = -depth / (1 + np.exp((1 - 2 * way) * (cut - number) / width))
    elif way == 2:
        gain_db = -depth / (1 + np.exp((rng.uniform(3, 18) - np.abs(number - cut)) / width))
    elif way == 3:
        gain_db = rng.choice([-1, 1]) * rng.uniform(6, 24) * np.exp(-(((number - cut) / rng.uniform(2, 12)) ** 2))
    else:
        gain_db = smooth(rng, BANDS, int(rng.integers(4, 40))) * rng.uniform(5, 18)
    bands.gains[place] = 10 ** (gain_db / 10)
    scene.add(at + np.arange(count), None, 1.0, 0.0, place, _sway(rng, count))


def _noise(rng: Rng, shelf: Shelf, scene: _Scene, bands: _Bands, place: int, at: int, count: int) -> None:
    shape = 10 ** (smooth(rng, BANDS, int(rng.integers(2, 8))) * rng.uniform(0, 2.5))
    steadiness = 1 + np.arange(BANDS) / rng.uniform(3, 15)
    if rng.random() < 0.4:
        low, high = np.sort(rng.integers(0, BANDS + 1, 2))
        shape[:low] *= 1e-4
        shape[high:] *= 1e-4
    elif rng.random() < 0.4:  # tones
        lines, shape = np.zeros(BANDS), np.full(BANDS, 1e-6)
        for _ in range(int(rng.integers(1, 6))):
            lines[int(rng.integers(2, BANDS))] = 10 ** rng.uniform(-1, 0)
        shape = np.convolve(lines, np.exp(-np.square(np.arange(-3, 4) / rng.uniform(0.6, 1.2))), "same") + 1e-6
        steadiness = np.full(BANDS, 10 ** rng.uniform(0.5, 2.5))
    bands.noise[place] = shape / shape.mean() * shelf.level(at, count) * db(rng.uniform(-26, 3)) ** 2
    bands.steadiness[place] = steadiness
    scene.add(at + np.arange(count), None, rng.choice([1.0, 1.0, 1.0, 0.001]), 0.0, place, _sway(rng, count))


def _sway(rng: Rng, count: int) -> Floats:
    """A filter or a noise that stays, that moves, or that comes and goes; all of it at both ends."""
    way, n = rng.random(), np.arange(count)
    if way < 1 - SWAYS_SHARE:
        return np.ones(count, np.float32)
    if way < 1 - SWAYS_SHARE / 2:
        moves = smooth(rng, count, int(rng.integers(3, 4 + count // 12))) * rng.uniform(0.5, 1.5)
        found: Floats = np.clip(10 ** (moves - 0.5), 0, 1).astype(np.float32)
    else:
        period, open_share = rng.uniform(4, 80), rng.uniform(0.1, 0.7)
        phase = n / period if rng.random() < 0.5 else rng.random(count)
        found = (phase % 1 < open_share).astype(np.float32)
    found[[0, -1]] = 1
    return found


def _level(rng: Rng, shelf: Shelf, scene: _Scene, bands: _Bands, place: int, at: int, count: int) -> None:
    way, n = int(rng.integers(3)), np.arange(count)
    if way == 0:
        gain = np.full(count, db(rng.choice([-1.3, 1]) * rng.uniform(7, 22)) ** 2)
    elif way == 1:
        wave = np.sin(2 * np.pi * n / rng.uniform(4, 40) + rng.uniform(0, 6))
        gain = 1 - rng.uniform(0.7, 0.999) * (0.5 + 0.5 * (np.sign(wave) if rng.random() < 0.4 else wave))
    else:
        gain = 10 ** (smooth(rng, count, int(rng.integers(3, 4 + count // 10))) * rng.uniform(0.8, 2))
    scene.add(at + n, None, gain.astype(np.float32), 0.0, place)


def _grains(rng: Rng, shelf: Shelf, scene: _Scene, bands: _Bands, place: int, at: int, count: int) -> None:
    """Out of order, over and over, held, or at another pace."""
    way, grain, n = int(rng.integers(4)), int(rng.integers(3, 40)), np.arange(count)
    if way == 0:
        order = rng.permutation(count // grain + 1)
        rows = np.minimum(order[n // grain] * grain + n % grain, count - 1)
    elif way == 1:
        rows = n // (grain * int(rng.integers(2, 9))) * grain + n % grain
    elif way == 2:
        rows = n // grain * grain
    else:
        rows = (n * rng.choice([rng.uniform(0.2, 0.7), rng.uniform(1.5, 4)])).astype(int) % count
    scene.add(at + np.minimum(rows, count - 1), None, 1.0, 0.0, place)


_WAYS = (_other, _other, _filter, _noise, _noise, _level, _grains)


def draw_scenes(rngs: Sequence[Rng], shelf: Shelf, families: frozenset[int], frames: int = FRAMES) -> Scenes:
    """A batch, one scene for each generator."""
    rows: list[list[NDArray[np.generic]]] = []
    for rng in rngs:
        scene, bands = draw_scene(rng, shelf, families, frames)
        line = [
            np.concatenate(parts)[:frames]
            for parts in (scene.first, scene.second, scene.gains, scene.second_gains, scene.sway)
        ]
        place = np.concatenate(scene.place)[:frames]
        rows.append([*line, place, *bands, *_labels(scene, place, frames)])
    return Scenes(*(np.stack(column) for column in zip(*rows, strict=True)))


def _labels(scene: _Scene, place: NDArray[np.int64], frames: int) -> tuple[Floats, Floats, Floats]:
    """Of each row of 40 ms: how much of it is odd, whether an edge is there, what it counts."""
    count = frames // ROW_FRAMES
    odd = (place > 0).reshape(count, ROW_FRAMES).mean(axis=1).astype(np.float32)
    edge, weight = np.zeros(count, np.float32), np.ones(count, np.float32)
    at = np.arange(count) + 0.5
    for cut in scene.cuts:
        if 0 < cut < frames:
            edge = np.maximum(edge, np.clip(1.5 - np.abs(at - cut / ROW_FRAMES), 0, 1).astype(np.float32))
    for jump in scene.jumps:
        weight[np.abs(at - jump / ROW_FRAMES) < 4] = 0
    weight[np.concatenate(scene.first)[:frames].reshape(count, ROW_FRAMES).max(axis=1) == 0] = 0
    return odd, edge, weight


def assembled(scenes: dict[str, Tensor], frames: Tensor, varied: bool = True) -> Tensor:
    """The features ``(N, T, bands)`` of scenes, from all frames of a `Shelf` ``(F, bands)`` as bytes, on one device."""
    table = torch.pow(10, torch.arange(256, device=frames.device, dtype=torch.float32) * QUANTUM) - 1
    power = table[frames[scenes["first"]].int()]
    scene, time = torch.nonzero(scenes["place"], as_tuple=True)  # what is good stays as it is
    place = scenes["place"][scene, time]
    wrong = power[scene, time] * scenes["gains"][scene, time, None]
    wrong += table[frames[scenes["second"][scene, time]].int()] * scenes["second_gains"][scene, time, None]
    sway = scenes["sway"][scene, time, None]
    wrong *= scenes["band_gains"][scene, place] ** sway
    hiss = 1 + torch.randn_like(wrong) / torch.sqrt(
        scenes["steadiness"][scene, place]
    )  # near a gamma's mean and spread
    power[scene, time] = wrong + scenes["noise"][scene, place] * sway * torch.clamp(hiss, min=0.02)
    if not varied:
        return torch.log10(1 + power)
    n, device = len(power), power.device
    tilt = (torch.rand(n, 1, 5, device=device) * 2 - 1) * 8 * torch.rand(n, 1, 1, device=device)
    tilt = torch.nn.functional.interpolate(tilt, BANDS, mode="linear", align_corners=True)
    gain = torch.pow(10, (tilt + torch.rand(n, 1, 1, device=device) * 20 - 12) / 10)
    top = torch.where(torch.rand(n, 1, 1, device=device) < 0.2, 36 + 28 * torch.rand(n, 1, 1, device=device), BANDS)
    gain = gain * (torch.arange(BANDS, device=device) < top)
    floor = torch.pow(10, torch.rand(n, 1, 1, device=device) * 2.2 - 1) * (torch.rand(n, 1, 1, device=device) < 0.25)
    dither = (torch.rand_like(power) - 0.5) * QUANTUM
    return torch.clamp(torch.log10(1 + power * gain + floor) + dither, min=0)
