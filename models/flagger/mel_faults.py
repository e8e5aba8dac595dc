"""Faults made from frames instead of samples: endless, so that no network can learn them, or the songs, by heart.

The same families as `corruptions`, each as it shows in mel bands. Powers of sounds that play together add up; what
replaces a passage takes its frames; a filter weighs bands, a wrong speed moves them, a room smears them. A piece of
music is met at every offset, with another context each time, and as another studio would have it (`varied`).

A function takes powers ``(frames, bands)``, in units in which a feature is log10(1 + power), and gives as many.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.features import MEL, mel_edges

from .corruptions import CLASSES, Rng, db
from .network import SEGMENT_FRAMES, STEP_FRAMES

BEFORE = 128
"""Frames before a segment that a room still rings with."""
FAULTY_SHARE, PARTLY_SHARE = 0.55, 0.35
LEAST_CHANGE = 0.05
"""Mean change of the features under which nobody hears a fault."""
CONTEXT_BLOCKS = 3000 // STEP_FRAMES
SPEECH_SHARE = 0.15
Array = NDArray[np.float32]
BANDS = MEL.bands
CENTRES = mel_edges(MEL)[1:-1]


class Frames:
    """Frames of many recordings, and sums of each block of them, for contexts."""

    def __init__(self, recordings: Sequence[NDArray[np.float16]]) -> None:
        kept = [r for r in recordings if len(r) >= BEFORE + SEGMENT_FRAMES + 1]
        kept = kept or [np.resize(recordings[0], (BEFORE + SEGMENT_FRAMES + 1, BANDS))]
        self.frames = np.concatenate(kept)
        lengths = np.array([len(r) for r in kept])
        self.starts = np.cumsum(lengths) - lengths
        self.ends = np.cumsum(lengths)
        blocks = self.frames[: len(self.frames) // STEP_FRAMES * STEP_FRAMES].reshape(-1, STEP_FRAMES, BANDS)
        sums = np.zeros((2, len(blocks) + 1, BANDS))
        for i in range(0, len(blocks), 4096):
            part = blocks[i : i + 4096].astype(np.float32)
            sums[0, i + 1 : i + 1 + len(part)] = part.mean(axis=1)
            sums[1, i + 1 : i + 1 + len(part)] = np.square(part).mean(axis=1)
        self._sums = np.cumsum(sums, axis=1)

    def draw(self, rng: Rng) -> tuple[int, int]:
        """A recording, longer ones more likely, and where in it a segment may end."""
        at = int(rng.integers(len(self.frames)))
        index = int(np.searchsorted(self.ends, at, side="right"))
        first = int(self.starts[index]) + BEFORE + SEGMENT_FRAMES
        return index, int(rng.integers(first, int(self.ends[index]) + 1))

    def power(self, end: int, count: int) -> Array:
        """The ``count`` frames before ``end``."""
        power: Array = np.power(np.float32(10), self.frames[end - count : end].astype(np.float32)) - 1
        return power

    def context(self, rng: Rng, index: int, end: int) -> Array:
        """Mean and spread ``(2, bands)`` of a stretch of random length that ends where a segment does."""
        last = end // STEP_FRAMES
        first = max(-(-int(self.starts[index]) // STEP_FRAMES), last - int(rng.integers(8, CONTEXT_BLOCKS)))
        mean, square = (self._sums[:, last] - self._sums[:, first]) / max(1, last - first)
        return np.stack([mean, np.sqrt(np.maximum(0, square - mean**2))]).astype(np.float32)


class Library(NamedTuple):
    """What there is to hear."""

    music: Frames
    speech: Frames | None
    sounds: Frames | None


Change = Callable[[Rng, Array, Array, Library], Array]
"""Powers of the segment, powers of what was before it, and what else there is, to powers."""


def smooth(rng: Rng, count: int, points: int) -> Array:
    """A random curve from -1 to 1."""
    curve = np.interp(np.linspace(0, points - 1, count), np.arange(points), rng.uniform(-1, 1, points))
    return curve.astype(np.float32)


def added(rng: Rng, power: Array, other: Array, low_db: float, high_db: float) -> Array:
    """With something else on top, so many dB from the level of ``power``."""
    gain = (power.mean() + 1) / (other.mean() + 1e-3) * db(rng.uniform(low_db, high_db)) ** 2
    both: Array = power + np.float32(gain) * other
    return both


def instead(rng: Rng, power: Array, other: Array) -> Array:
    gain = (power.mean() + 1) / (other.mean() + 1e-3) * db(rng.uniform(-9, 6)) ** 2
    return other * np.float32(gain) + np.float32(10 ** rng.uniform(0, 2) - 1)


def other_of(rng: Rng, frames: Frames, count: int) -> Array:
    return frames.power(frames.draw(rng)[1], count)


def noise(rng: Rng, power: Array, before: Array, library: Library) -> Array:
    shape = 10 ** (smooth(rng, BANDS, int(rng.integers(2, 8))) * rng.uniform(0, 2.5))
    if rng.random() < 0.4:
        low, high = np.sort(rng.integers(0, BANDS + 1, 2))
        shape[:low] *= 1e-4
        shape[high:] *= 1e-4
    steadiness = 1 + np.arange(BANDS) / rng.uniform(3, 15)
    hiss = shape * rng.gamma(steadiness, 1 / steadiness, (len(power), BANDS))
    if rng.random() < 0.4:
        hiss *= np.abs(smooth(rng, len(power), int(rng.integers(3, 30))))[:, None] ** 2
    return added(rng, power, hiss.astype(np.float32), -26, 3)


def distortion(rng: Rng, power: Array, before: Array, library: Library) -> Array:
    """Loud frames spill upwards and sideways."""
    spill = np.tril(np.exp(-np.abs(np.subtract.outer(np.arange(BANDS), np.arange(BANDS))) / rng.uniform(3, 25))).T
    up = power @ (spill / spill.sum(axis=1, keepdims=True)).astype(np.float32)
    loud = power.mean(axis=1, keepdims=True) ** rng.uniform(0.8, 2.0)
    flat = loud / (loud.mean() + 1e-6) * 10 ** (smooth(rng, BANDS, 4) * rng.uniform(0, 1))
    out = added(rng, power, up, -22, 3)
    out = added(rng, out, flat.astype(np.float32), -32, -3) if rng.random() < 0.7 else out
    return out * np.float32(db(rng.uniform(-6, 6)) ** 2)


def filtered(rng: Rng, power: Array, before: Array, library: Library) -> Array:
    way, depth = rng.integers(5), rng.uniform(6, 60)
    bands = np.arange(BANDS)
    cut, width = rng.uniform(4, 60), rng.uniform(0.5, 8)
    if way == 0:
        gain_db = -depth / (1 + np.exp((cut - bands) / width))
    elif way == 1:
        gain_db = -depth / (1 + np.exp((bands - cut) / width))
    elif way == 2:
        centre, half = rng.uniform(8, 56), rng.uniform(3, 18)
        gain_db = -depth / (1 + np.exp((half - np.abs(bands - centre)) / width))
    elif way == 3:
        gain_db = rng.choice([-1, 1]) * rng.uniform(6, 24) * np.exp(-(((bands - cut) / rng.uniform(2, 12)) ** 2))
    else:
        gain_db = smooth(rng, BANDS, int(rng.integers(4, 40))) * rng.uniform(5, 18)
    weighed: Array = power * (10 ** (gain_db / 10)).astype(np.float32)
    return weighed


def wrong_take(rng: Rng, power: Array, before: Array, library: Library) -> Array:
    return instead(rng, power, other_of(rng, library.music, len(power)))


def overlay(rng: Rng, power: Array, before: Array, library: Library) -> Array:
    return added(rng, power, other_of(rng, library.music, len(power)), -12, 5)


def speech(rng: Rng, power: Array, before: Array, library: Library) -> Array:
    if library.speech is None:
        return tone(rng, power, before, library)
    voice = other_of(rng, library.speech, len(power))
    return added(rng, power, voice, -12, 10) if rng.random() < 0.5 else instead(rng, power, voice)


def sound(rng: Rng, power: Array, before: Array, library: Library) -> Array:
    if library.sounds is None:
        ring = np.exp(-np.arange(len(power))[:, None] / rng.uniform(1, 20, BANDS)) * 10 ** rng.uniform(-2, 0, BANDS)
        other = np.roll(ring, int(rng.integers(len(power))), axis=0).astype(np.float32)
    else:
        other = other_of(rng, library.sounds, len(power))
    return added(rng, power, other, -9, 9) if rng.random() < 0.7 else instead(rng, power, other)


def wow(rng: Rng, power: Array, before: Array, library: Library) -> Array:
    """At another speed, steady or wavering: bands move, and time may stretch."""
    if rng.random() < 0.5:
        semitones = np.full(len(power), rng.choice([-1, 1]) * rng.uniform(0.4, 6))
    else:
        phase = 2 * np.pi * np.arange(len(power)) / rng.uniform(5, 120) + rng.uniform(0, 6)
        semitones = rng.uniform(0.3, 3) * np.sin(phase)
    if rng.random() < 0.3:
        semitones = semitones + np.linspace(0, rng.uniform(-24, 12), len(power))
    out = np.empty_like(power)
    for i, shift in enumerate(semitones):
        at = np.interp(CENTRES * 2 ** (-shift / 12), CENTRES, np.arange(BANDS), 0, BANDS - 1)
        low = np.minimum(at.astype(int), BANDS - 2)
        part = (at - low).astype(np.float32)
        out[i] = (1 - part) * power[i, low] + part * power[i, low + 1]
    return out


def level(rng: Rng, power: Array, before: Array, library: Library) -> Array:
    way = rng.integers(3)
    if way == 0:
        return power * np.float32(db(rng.choice([-1.3, 1]) * rng.uniform(7, 22)) ** 2)
    if way == 1:
        wave = np.sin(2 * np.pi * np.arange(len(power)) / rng.uniform(3, 40) + rng.uniform(0, 6))
        wave = np.sign(wave) if rng.random() < 0.4 else wave
        gain: Array = (1 - rng.uniform(0.7, 0.999) * (0.5 + 0.5 * wave)).astype(np.float32)
        return power * gain[:, None]
    swing = smooth(rng, len(power), int(rng.integers(3, 12))) * rng.uniform(0.8, 2)
    return power * (10**swing)[:, None].astype(np.float32)


def stutter(rng: Rng, power: Array, before: Array, library: Library) -> Array:
    """Grains out of their order, or one over and over."""
    length = int(rng.integers(2, 30))
    grains = [power[i : i + length] for i in range(0, len(power), length)]
    if rng.random() < 0.5:
        order = rng.permutation(len(grains))
    else:
        order = np.arange(len(grains)) // int(rng.integers(2, 9)) * 2 % len(grains)
    out = np.resize(np.concatenate([grains[i] for i in order]), power.shape).astype(np.float32)
    if rng.random() < 0.5:
        out[::length] = np.maximum(
            out[::length], out[::length].mean(axis=1, keepdims=True) * np.float32(rng.uniform(0, 1))
        )
    return out


def reverb(rng: Rng, power: Array, before: Array, library: Library) -> Array:
    """What was before rings on."""
    whole = np.concatenate([before, power])
    decay = np.exp(-13.8 / (rng.uniform(15, 400) * np.linspace(rng.uniform(1, 2), 1, BANDS))).astype(np.float32)
    tail, ring = np.empty_like(whole), np.zeros(BANDS, np.float32)
    for i, frame in enumerate(whole):
        ring = decay * ring + (1 - decay) * frame
        tail[i] = ring
    wet = np.float32(rng.uniform(0.4, 1))
    tail = tail[len(before) :]
    return (1 - wet) * power + wet * tail * np.float32((power.mean() + 1) / (tail.mean() + 1))


def tone(rng: Rng, power: Array, before: Array, library: Library) -> Array:
    other = np.full(power.shape, 1e-6, np.float32)
    rows, bands = np.arange(len(power)), np.arange(BANDS)
    for _ in range(int(rng.integers(1, 4))):
        base = CENTRES[int(rng.integers(2, BANDS))]
        glide = 2 ** (smooth(rng, len(power), int(rng.integers(2, 8))) * rng.uniform(0, 1.5) * rng.integers(2))
        for k in range(1, int(rng.choice([2, 4, 12]))):
            at = np.interp(k * base * glide, CENTRES, bands)
            bump = np.exp(-np.square((bands - at[:, None]) / 0.8)) / k ** rng.uniform(0, 2)
            other[rows] += bump.astype(np.float32)
    if rng.random() < 0.4:
        other *= (np.sin(2 * np.pi * rows / rng.uniform(3, 60)) > rng.uniform(-0.5, 0.8))[:, None]
    return added(rng, power, other, -22, 4)


def smear(rng: Rng, power: Array, before: Array, library: Library) -> Array:
    """Holes, coarse steps, held frames, blur."""
    way, x = rng.integers(5), np.log10(1 + power)
    if way == 0:
        x = np.where(x >= np.quantile(x, rng.uniform(0.5, 0.95), axis=1, keepdims=True), x, x * rng.uniform(0, 0.6))
    elif way == 1:
        step = rng.uniform(0.5, 2)
        x = np.round(x / step) * step
    elif way == 2:
        hold = int(rng.integers(3, 16))
        x = np.repeat(x[::hold], hold, axis=0)[: len(x)]
    elif way == 3:
        tall, wide = rng.integers(2, 12, 2)
        holes = rng.random((len(x) // wide + 1, BANDS // tall + 1)) < rng.uniform(0.15, 0.5)
        x = x * (1 - np.kron(holes, np.ones((wide, tall)))[: len(x), :BANDS] * rng.uniform(0.3, 1))
    else:
        kernel = np.ones(int(rng.integers(3, 9)))
        axis = int(rng.integers(2))
        x = np.apply_along_axis(lambda v: np.convolve(v, kernel / len(kernel), "same"), axis, x)
    smeared: Array = np.power(10, x).astype(np.float32) - 1
    return smeared


CHANGES: dict[str, Change] = {
    "noise": noise,
    "distortion": distortion,
    "filter": filtered,
    "wrong-take": wrong_take,
    "overlay": overlay,
    "speech": speech,
    "sound": sound,
    "wow": wow,
    "level": level,
    "stutter": stutter,
    "reverb": reverb,
    "tone": tone,
    "smear": smear,
}


class Example(NamedTuple):
    """A segment ``(frames, bands)``, its context ``(2, bands)``, and the class of each frame ``(frames,)``."""

    segment: Array
    context: Array
    kinds: NDArray[np.uint8]


def draw_example(rng: Rng, library: Library) -> Example:
    """One segment, good, faulty, or partly so."""
    spoken = library.speech is not None and rng.random() < SPEECH_SHARE
    frames = library.speech if spoken and library.speech else library.music
    index, end = frames.draw(rng)
    before = frames.power(end, BEFORE + SEGMENT_FRAMES)
    before, power = before[:BEFORE], before[BEFORE:]
    context = frames.context(rng, index, end)
    segment = np.log10(1 + power)
    kinds = np.zeros(SEGMENT_FRAMES, np.uint8)
    if rng.random() < FAULTY_SHARE:
        names = [name for name in CHANGES if not (spoken and name == "speech")]
        name = names[int(rng.integers(len(names)))]
        worse = np.log10(1 + np.maximum(0, CHANGES[name](rng, power, before, library))).astype(np.float32)
        first, last = 0, SEGMENT_FRAMES
        if rng.random() < PARTLY_SHARE:
            cut = int(rng.integers(4, SEGMENT_FRAMES - 3))
            first, last = (cut, last) if rng.random() < 0.5 else (first, cut)
        if np.abs(worse - segment)[first:last].mean() > LEAST_CHANGE:
            segment = segment.copy()
            segment[first:last] = worse[first:last]
            kinds[first:last] = CLASSES.index(name)
            share = np.float32(rng.uniform(0, 0.25) * rng.integers(2))
            context[0] += share * (segment.mean(axis=0) - context[0])
    return Example(*varied(rng, segment.astype(np.float32), context), kinds)


def varied(rng: Rng, segment: Array, context: Array) -> tuple[Array, Array]:
    """Both as another studio would have them: level, tone, bandwidth, a little noise."""
    gain_db = rng.uniform(-12, 8) + smooth(rng, BANDS, int(rng.integers(2, 7))) * rng.uniform(0, 8)
    gain = (10 ** (gain_db / 10)).astype(np.float32)
    if rng.random() < 0.2:
        gain[int(rng.integers(36, BANDS)) :] = 0
    floor = np.float32(10 ** rng.uniform(-1, 1.2) * (rng.random() < 0.25))

    def there(x: Array) -> Array:
        moved: Array = np.log10(1 + (np.power(np.float32(10), x) - 1) * gain + floor)
        return moved

    return there(segment), np.stack([there(context[0]), context[1]])
