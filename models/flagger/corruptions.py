"""Faults made from good audio, to teach a network what good audio is not: thirteen families, each of endless variety.

None of them is meant to be a fault that users meet, and the test's faults are of other kinds or made another way
(`faults`): what is to be learned is to hear that something is off, not a list. Each takes mono audio ``(n,)`` at
44.1 kHz and gives as much of it, worse; strength is drawn too, from plain to faint.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from .recordings import RATE, Audio, Decoded

Rng = np.random.Generator


class Pools(NamedTuple):
    """What else can sound where it should not."""

    music: Decoded
    speech: Decoded | None
    sounds: Decoded | None


Corruption = Callable[[Rng, Audio, Pools], Audio]


def rms(x: Audio) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) + 1e-5


def at_level(x: Audio, level: float) -> Audio:
    return x * np.float32(level / rms(x))


def db(value: float) -> float:
    return float(10 ** (value / 20))


def mixed(rng: Rng, x: Audio, other: Audio, low_db: float, high_db: float) -> Audio:
    """With something else, so many dB from the level of ``x``."""
    return x + at_level(other, rms(x) * db(rng.uniform(low_db, high_db)))


def shaped(x: Audio, gain: Callable[[NDArray[np.float64]], NDArray[np.floating]]) -> Audio:
    """Through a zero-phase filter of a given gain over frequency (Hz)."""
    spectrum = np.fft.rfft(x)
    hz = np.fft.rfftfreq(len(x), 1 / RATE)
    out: Audio = np.fft.irfft(spectrum * gain(hz.astype(np.float64)), len(x)).astype(np.float32)
    return out


def steps_of(rng: Rng, samples: int, low_s: float, high_s: float) -> NDArray[np.int64]:
    """Boundaries of pieces of random length, from 0 to ``samples``."""
    length = max(64, int(rng.uniform(low_s, high_s) * RATE))
    count = samples // length + 2
    cuts = np.cumsum(rng.uniform(0.5, 1.5, count) * length).astype(np.int64)
    return np.unique(np.concatenate([[0], cuts[cuts < samples], [samples]]))


def smooth(rng: Rng, samples: int, hz: float) -> NDArray[np.float64]:
    """A random curve from -1 to 1 that changes ``hz`` times a second."""
    count = max(4, int(samples / RATE * hz) + 3)
    return np.interp(np.linspace(0, count - 1, samples), np.arange(count), rng.uniform(-1, 1, count))


def noise(rng: Rng, x: Audio, pools: Pools) -> Audio:
    slope = rng.uniform(-1.3, 0.6)
    low, high = np.sort(np.exp(rng.uniform(np.log(40), np.log(20000), 2)))
    wide = rng.random() < 0.5

    def gain(hz: NDArray[np.float64]) -> NDArray[np.float64]:
        band = 1.0 if wide else 1 / (1 + (low / np.maximum(hz, 1)) ** 4) / (1 + (hz / max(high, 2 * low)) ** 4)
        return (np.maximum(hz, 30) / 1000) ** slope * band

    hiss = shaped(rng.normal(size=len(x)).astype(np.float32), gain)
    if rng.random() < 0.4:
        hiss = hiss * np.abs(smooth(rng, len(x), rng.uniform(0.5, 20))).astype(np.float32)
    return mixed(rng, x, hiss, -28, 3)


def distortion(rng: Rng, x: Audio, pools: Pools) -> Audio:
    peak = float(np.abs(x).max()) + 1e-5
    way = rng.integers(5)
    if way == 0:
        drive = db(rng.uniform(6, 36))
        y = np.tanh(x / peak * drive + rng.uniform(-0.3, 0.3))
    elif way == 1:
        y = np.abs(((x / peak * db(rng.uniform(3, 18)) + 1) % 4) - 2) - 1
    elif way == 2:
        levels = 2 ** rng.uniform(2, 6)
        y = np.round(x / peak * levels) / levels
    elif way == 3:
        hold = int(rng.integers(3, 24))
        y = np.repeat(x[::hold], hold)[: len(x)]
    else:
        y = np.maximum(x / peak, rng.uniform(-0.3, 0.05))
        y = y - y.mean()
    wet = rng.uniform(0.3, 1)
    return (wet * at_level(y.astype(np.float32), rms(x)) + (1 - wet) * x).astype(np.float32)


def filtered(rng: Rng, x: Audio, pools: Pools) -> Audio:
    way = rng.integers(5)
    order = rng.uniform(2, 12)
    cut = float(np.exp(rng.uniform(np.log(150), np.log(9000))))
    if way == 0:
        y = shaped(x, lambda hz: 1 / (1 + (hz / cut) ** order))
    elif way == 1:
        y = shaped(x, lambda hz: 1 / (1 + (cut / 3 / np.maximum(hz, 1)) ** order))
    elif way == 2:
        width = rng.uniform(1.5, 4)
        y = shaped(x, lambda hz: 1 / (1 + (hz / (cut * width)) ** order + (cut / width / np.maximum(hz, 1)) ** order))
    elif way == 3:
        width, depth = rng.uniform(0.3, 1.5), db(rng.choice([-1, 1]) * rng.uniform(9, 24))
        y = shaped(x, lambda hz: 1 + (depth - 1) * np.exp(-((np.log2(np.maximum(hz, 1) / cut) / width) ** 2)))
    else:
        delay, depth = rng.uniform(0.0003, 0.012), rng.uniform(0.6, 0.98)
        y = shaped(x, lambda hz: np.abs(1 + depth * np.exp(-2j * np.pi * hz * delay)))
    return at_level(y, rms(x)) if rng.random() < 0.5 else y


def wrong_take(rng: Rng, x: Audio, pools: Pools) -> Audio:
    return at_level(pools.music.draw(rng, len(x)), rms(x) * db(rng.uniform(-6, 6)))


def overlay(rng: Rng, x: Audio, pools: Pools) -> Audio:
    return mixed(rng, x, pools.music.draw(rng, len(x)), -12, 4)


def speech(rng: Rng, x: Audio, pools: Pools) -> Audio:
    voice = pools.speech.draw(rng, len(x)) if pools.speech else babble(rng, len(x))
    if rng.random() < 0.5:
        return mixed(rng, x, voice, -12, 10)
    room = rng.normal(size=len(x)).astype(np.float32) * np.float32(rms(x) * db(rng.uniform(-60, -25)))
    left = np.float32(rng.choice([0, db(-30)]))
    alone: Audio = at_level(voice, rms(x) * db(rng.uniform(-10, 3))) + room + x * left
    return alone


def babble(rng: Rng, samples: int) -> Audio:
    """Something voice-like without a voice: a gliding buzz under moving formants."""
    pitch = rng.uniform(80, 260) * 2 ** (0.3 * smooth(rng, samples, 3))
    buzz = signal.sawtooth(2 * np.pi * np.cumsum(pitch) / RATE) * np.abs(smooth(rng, samples, 5))
    pieces = steps_of(rng, samples, 0.08, 0.25)
    out = np.zeros(samples, np.float32)
    for start, stop in pairwise(pieces):
        out[start:stop] = shaped(buzz[start:stop].astype(np.float32), formants(rng))
    return out


def formants(rng: Rng) -> Callable[[NDArray[np.float64]], NDArray[np.floating]]:
    """The gain of a vowel that nobody speaks."""
    centres = rng.uniform((250, 800, 2000), (900, 2200, 3200))

    def gain(hz: NDArray[np.float64]) -> NDArray[np.floating]:
        bumps: NDArray[np.float64] = np.exp(-(((hz[:, None] - centres) / (0.15 * centres)) ** 2)).sum(axis=1)
        return bumps

    return gain


def sound(rng: Rng, x: Audio, pools: Pools) -> Audio:
    """Objects, animals, machines; without a library of those, struck resonances."""
    other = np.zeros(len(x), np.float32)
    at = int(rng.uniform(0, 0.3) * min(len(x), RATE))
    while at < len(x):
        length = int(rng.uniform(0.2, 3) * RATE)
        if pools.sounds:
            index = int(rng.integers(len(pools.sounds)))
            part = pools.sounds.excerpt(index, 0, length)
            part = at_level(part, 0.1) if len(part) else part
        else:
            part = knock(rng, length)
        part = part[: len(x) - at]
        other[at : at + len(part)] += part * np.float32(db(rng.uniform(-6, 6)))
        at += len(part) + int(rng.exponential(0.3) * RATE)
    if rng.random() < 0.7:
        return mixed(rng, x, other, -10, 8)
    return at_level(other, rms(x) * db(rng.uniform(-8, 3))) + x * np.float32(rng.choice([0, 0.03]))


def knock(rng: Rng, samples: int) -> Audio:
    t = np.arange(samples) / RATE
    partials = np.exp(rng.uniform(np.log(80), np.log(7000), 6))
    decays = rng.uniform(5, 80, 6)
    ring = (
        rng.uniform(0, 1, 6)[:, None] * np.sin(2 * np.pi * partials[:, None] * t) * np.exp(-decays[:, None] * t)
    ).sum(axis=0)
    burst = rng.normal(size=samples) * np.exp(-t * rng.uniform(20, 300)) * rng.uniform(0, 2)
    return at_level((ring + burst).astype(np.float32), 0.1)


def wow(rng: Rng, x: Audio, pools: Pools) -> Audio:
    """Speed that wavers or is another, or another pitch at the same speed."""
    n = np.arange(len(x), dtype=np.float64)
    way = rng.random()
    if way < 0.3:
        return transposed(x, 2 ** (rng.choice([-1, 1]) * rng.uniform(0.4, 7) / 12), int(rng.uniform(0.03, 0.12) * RATE))
    if way < 0.65:
        hz, depth = np.exp(rng.uniform(np.log(0.4), np.log(12))), rng.uniform(0.004, 0.05)
        at = n + depth * RATE / (2 * np.pi * hz) * np.sin(2 * np.pi * hz * n / RATE + rng.uniform(0, 6))
    else:
        speed = 2 ** (rng.choice([-1, 1]) * rng.uniform(0.3, 5) / 12)
        at = (n * speed) % max(1, len(x) - 1)
    y: Audio = np.interp(np.clip(at, 0, len(x) - 1), n, x).astype(np.float32)
    return y


def transposed(x: Audio, ratio: float, grain: int) -> Audio:
    """Another pitch at the same speed: two heads read at ``ratio`` and jump back in turn, unheard while they do."""
    n = np.arange(len(x), dtype=np.float64)
    out = np.zeros(len(x))
    for turn in (0.0, 0.5):
        phase = (n * abs(ratio - 1) / grain + turn) % 1
        lag = grain * (1 - phase if ratio > 1 else phase)
        out += np.square(np.sin(np.pi * phase)) * np.interp(np.maximum(0, n - lag), n, x)
    y: Audio = out.astype(np.float32)
    return y


def level(rng: Rng, x: Audio, pools: Pools) -> Audio:
    way = rng.integers(3)
    if way == 0:
        return x * np.float32(db(rng.choice([-1.3, 1]) * rng.uniform(7, 22)))
    if way == 1:
        hz, depth = rng.uniform(3, 30), rng.uniform(0.6, 1)
        wave = np.sin(2 * np.pi * hz * np.arange(len(x)) / RATE + rng.uniform(0, 6))
        wave = np.sign(wave) if rng.random() < 0.4 else wave
        return x * (1 - depth * (0.5 + 0.5 * wave)).astype(np.float32)
    return x * np.power(10, smooth(rng, len(x), rng.uniform(1, 8)) * rng.uniform(8, 20) / 20).astype(np.float32)


def stutter(rng: Rng, x: Audio, pools: Pools) -> Audio:
    """Grains out of their order, or one over and over."""
    cuts = steps_of(rng, len(x), 0.02, 0.35)
    grains = [x[a:b] for a, b in pairwise(cuts)]
    if rng.random() < 0.5:
        order = rng.permutation(len(grains))
    else:
        hold = int(rng.integers(2, 9))
        order = np.arange(len(grains)) // hold * hold
    fade = 88
    out = []
    for i in order:
        grain = grains[i].copy()
        if len(grain) > 2 * fade:
            ramp = np.linspace(0, 1, fade, dtype=np.float32)
            grain[:fade] *= ramp
            grain[-fade:] *= ramp[::-1]
        out.append(grain)
    joined = np.concatenate(out)
    return np.resize(joined, len(x)).astype(np.float32)


def reverb(rng: Rng, x: Audio, pools: Pools) -> Audio:
    seconds = float(np.exp(rng.uniform(np.log(0.15), np.log(4))))
    n = int(seconds * RATE)
    t = np.arange(n) / RATE
    tail = rng.normal(size=n) * np.exp(-6.9 * t / seconds)
    if rng.random() < 0.3:
        echoes = np.zeros(n)
        gap = max(400, int(rng.uniform(0.06, 0.5) * RATE))
        places = np.arange(0, n, gap)
        echoes[places] = rng.uniform(0.5, 0.95) ** np.arange(len(places))
        tail = echoes
    wet = signal.fftconvolve(x, tail.astype(np.float32))[: len(x)].astype(np.float32)
    share = rng.uniform(0.5, 1)
    return np.float32(share) * at_level(wet, rms(x)) + np.float32(1 - share) * x


def tone(rng: Rng, x: Audio, pools: Pools) -> Audio:
    n = np.arange(len(x)) / RATE
    total = np.zeros(len(x))
    for _ in range(int(rng.integers(1, 4))):
        hz = np.exp(rng.uniform(np.log(150), np.log(12000)))
        glide = 2 ** (rng.uniform(0, 1.5) * smooth(rng, len(x), rng.uniform(0.2, 6)) * rng.integers(2))
        phase = 2 * np.pi * np.cumsum(hz * glide) / RATE
        modulation = rng.uniform(0, 4) * np.sin(2 * np.pi * rng.uniform(5, 300) * n) * rng.integers(2)
        total += np.sin(phase + modulation) if rng.random() < 0.6 else signal.square(phase + modulation)
    if rng.random() < 0.4:
        total *= signal.square(2 * np.pi * rng.uniform(1, 12) * n) > 0
    return mixed(rng, x, total.astype(np.float32), -24, 2)


def smear(rng: Rng, x: Audio, pools: Pools) -> Audio:
    """Spectra with holes, coarse steps, held frames or phases thrown away."""
    size = int(rng.choice([512, 1024, 2048, 4096]))
    if len(x) < 2 * size:
        return distortion(rng, x, pools)
    _, _, spectra = signal.stft(x, RATE, nperseg=size)
    magnitude, phase = np.abs(spectra), np.angle(spectra)
    way = rng.integers(4)
    if way == 0:
        keep = rng.uniform(0.02, 0.25)
        magnitude = magnitude * (magnitude >= np.quantile(magnitude, 1 - keep, axis=0, keepdims=True))
    elif way == 1:
        step = rng.uniform(6, 20)
        floor = magnitude.max() * 1e-4
        magnitude = floor * 10 ** (np.round(20 * np.log10(np.maximum(magnitude, floor) / floor) / step) * step / 20)
    elif way == 2:
        hold = int(rng.integers(3, 16))
        magnitude = np.repeat(magnitude[:, ::hold], hold, axis=1)[:, : magnitude.shape[1]]
    else:
        patches = rng.random((size // 16 + 1, magnitude.shape[1] // 6 + 1)) < rng.uniform(0.15, 0.5)
        holes = np.kron(patches, np.ones((9, 6)))[: magnitude.shape[0], : magnitude.shape[1]]
        magnitude = magnitude * (1 - holes[: magnitude.shape[0], : magnitude.shape[1]])
    if rng.random() < 0.5:
        phase = phase + rng.uniform(0.5, 3) * rng.uniform(-1, 1, phase.shape)
    _, y = signal.istft(magnitude * np.exp(1j * phase), RATE, nperseg=size)
    return np.resize(y, len(x)).astype(np.float32)


FAMILIES: dict[str, Corruption] = {
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
CLASSES = ("clean", *FAMILIES)
"""The classes of the network, in order."""


def spliced(rng: Rng, x: Audio, start: int, worse: Audio) -> Audio:
    """``x`` with ``worse`` in its place from ``start`` on, faded over at most 30 ms at either end. In place."""
    stop = start + len(worse)
    fade = min(len(worse) // 3, int(rng.uniform(0.002, 0.03) * RATE))
    weight = np.ones(len(worse), np.float32)
    if fade:
        weight[:fade] = np.linspace(0, 1, fade)
        weight[-fade:] = np.linspace(1, 0, fade)
    x[start:stop] += weight * (worse - x[start:stop])
    return x
