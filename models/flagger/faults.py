"""Faults as users meet them, put into recordings to judge flaggers by. Nothing here trains anything.

None is made by code of `corruptions`; talk, objects and other songs come from the split's own pools. Each takes
``(2, n)`` at 44.1 kHz and gives ``(2, n)``. Technical faults are what the detectors of `streaming.faults` are for;
clicks and dropouts are several short ones in a span, and say themselves where.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from pedalboard import GSMFullRateCompressor, MP3Compressor, Phaser, PitchShift, Plugin, process
from scipy import signal

from .recordings import RATE, Audio, Decoded

UNTOUCHED_S = 0.5
Rng = np.random.Generator
Spans = list[tuple[int, int]]


class Others(NamedTuple):
    """What gets in the way."""

    music: Decoded
    speech: Decoded
    sounds: Decoded
    sticks: list[Audio]
    """Strokes of sticks and rims, for count-ins."""


class Fault(NamedTuple):
    """``make`` gives the audio and where in it the fault is; spans are ``low_s`` to ``high_s`` long."""

    make: Callable[[Rng, Audio, Others], tuple[Audio, Spans]]
    low_s: float
    high_s: float
    technical: bool = False


def power(x: Audio) -> float:
    return float(np.sqrt(np.square(x, dtype=np.float64).mean())) + 1e-6


def through(x: Audio, effect: Plugin) -> Audio:
    """An effect of pedalboard, its delay made good."""
    y: Audio = process(np.ascontiguousarray(x), RATE, [effect])
    return y


def over(x: Audio, other: Audio, level_db: float) -> Audio:
    """``other`` on top, so many dB from the level of ``x``."""
    gain = power(x) / power(other) * 10 ** (level_db / 20)
    return x + np.float32(gain) * other


def _whole(change: Callable[[Rng, Audio, Others], Audio]) -> Callable[[Rng, Audio, Others], tuple[Audio, Spans]]:
    def make(rng: Rng, x: Audio, others: Others) -> tuple[Audio, Spans]:
        return change(rng, x, others).astype(np.float32), [(0, x.shape[1])]

    return make


def clipping(rng: Rng, x: Audio, others: Others) -> tuple[Audio, Spans]:
    """Too hot for the converter: the loudest hundredths are flat at full scale, then turned down again. It is where
    something is cut; what stays below for a while is as it was."""
    top = np.quantile(np.abs(x), 1 - rng.uniform(0.01, 0.06))
    cut = np.flatnonzero((np.abs(x) > top).any(axis=0))
    parts = np.split(cut, np.flatnonzero(np.diff(cut) > UNTOUCHED_S * RATE) + 1)
    return np.clip(x, -top, top), [(int(part[0]), int(part[-1]) + 1) for part in parts if len(part)]


def hum(rng: Rng, x: Audio, others: Others) -> Audio:
    mains, n = rng.choice([50.0, 60.0]) * (1 + rng.uniform(-0.001, 0.001)), np.arange(x.shape[1])
    total = np.zeros(x.shape[1])
    for k in range(1, 9):
        total += rng.uniform(0.2, 1) / k ** rng.uniform(0.3, 1) * np.sin(2 * np.pi * k * mains * n / RATE + k)
    return over(x, total.astype(np.float32)[None], rng.uniform(-18, -6))


def dc(rng: Rng, x: Audio, others: Others) -> Audio:
    return x + np.float32(rng.choice([-1, 1]) * rng.uniform(0.03, 0.15))


def phase(rng: Rng, x: Audio, others: Others) -> Audio:
    y = x.copy()
    y[int(rng.integers(2))] *= -1
    return y


def silence(rng: Rng, x: Audio, others: Others) -> Audio:
    return np.zeros_like(x)


def clicks(rng: Rng, x: Audio, others: Others) -> tuple[Audio, Spans]:
    """A few impulses of a few samples, well above what plays there."""
    y, spans = x.copy(), []
    for at in np.sort(rng.integers(0, x.shape[1] - 100, 3)):
        length = int(rng.integers(1, 12))
        near = np.abs(x[:, max(0, at - 2000) : at + 2000]).max()
        y[:, at : at + length] += np.float32(rng.choice([-1, 1]) * max(near, 0.05) * rng.uniform(0.8, 2))
        spans.append((int(at), int(at) + length))
    return np.clip(y, -1.5, 1.5), spans


def dropouts(rng: Rng, x: Audio, others: Others) -> tuple[Audio, Spans]:
    """Blocks that are missing, or come twice."""
    y, spans, at = x.copy(), [], int(rng.uniform(0.1, 0.4) * RATE)
    while at < x.shape[1] - RATE // 4:
        length = int(rng.choice([256, 512, 1024, 2048, 4096, 8192]))
        if at > length and rng.random() < 0.3:
            y[:, at : at + length] = x[:, at - length : at]
        else:
            y[:, at : at + length] = 0
        spans.append((at, at + length))
        at += length + int(rng.uniform(0.5, 1.5) * RATE)
    return y, spans


def talk(rng: Rng, x: Audio, others: Others) -> Audio:
    """Somebody speaks: over the music, or while nobody plays."""
    voice = others.speech.draw(rng, x.shape[1])[None]
    if rng.random() < 0.5:
        return over(x, voice, rng.uniform(-3, 9))
    room = rng.normal(size=x.shape).astype(np.float32)
    return over(voice * (power(x) / power(voice) * 10 ** (rng.uniform(-9, 0) / 20)), room, -40)


def count_in(rng: Rng, x: Audio, others: Others) -> Audio:
    """Four sticks and nothing else but the room."""
    y = rng.normal(size=x.shape).astype(np.float32) * np.float32(power(x) * 0.004)
    stick, beat = others.sticks[int(rng.integers(len(others.sticks)))], int(rng.uniform(0.35, 0.7) * RATE)
    gain = np.float32(np.abs(x).max() * rng.uniform(0.3, 0.9) / max(1e-4, float(np.abs(stick).max())))
    for at in range(0, x.shape[1] - 200, beat):
        part = stick[: min(len(stick), x.shape[1] - at)]
        y[:, at : at + len(part)] += gain * part
    return y


def objects(rng: Rng, x: Audio, others: Others) -> Audio:
    """Something falls, starts or passes."""
    other, at = np.zeros(x.shape[1], np.float32), 0
    while at < x.shape[1]:
        sound = others.sounds.excerpt(int(rng.integers(len(others.sounds))), 0, 3 * RATE)
        sound = sound / (power(sound) + 1e-4)
        part = sound[: x.shape[1] - at]
        other[at : at + len(part)] += part
        at += max(len(part), RATE // 10) + int(rng.uniform(0, 0.4) * RATE)
    return over(x, other[None], rng.uniform(-6, 8))


def wrong_take(rng: Rng, x: Audio, others: Others) -> Audio:
    """Another song."""
    other = others.music.draw(rng, x.shape[1])[None]
    return np.broadcast_to(other * np.float32(power(x) / power(other)), x.shape)


def wrong_key(rng: Rng, x: Audio, others: Others) -> Audio:
    shift = float(rng.choice([-3, -2, -1, 1, 2, 3]) + rng.uniform(-0.4, 0.4))
    return through(x, PitchShift(shift))


def codec(rng: Rng, x: Audio, others: Others) -> Audio:
    return through(x, MP3Compressor(vbr_quality=float(rng.uniform(8.5, 9.9))))


def phone(rng: Rng, x: Audio, others: Others) -> Audio:
    return through(x, GSMFullRateCompressor())


def howl(rng: Rng, x: Audio, others: Others) -> Audio:
    """Feedback: a resonance that grows until something limits it."""
    n = np.arange(x.shape[1]) / RATE
    hz = np.exp(rng.uniform(np.log(250), np.log(4000)))
    grow = np.minimum(1, np.exp((n - n[-1] * rng.uniform(0.1, 0.4)) * rng.uniform(2, 6)))
    ring = np.tanh(2 * grow * np.sin(2 * np.pi * hz * n)) + 0.3 * grow**2 * np.sin(6 * np.pi * hz * n)
    return over(x, ring.astype(np.float32)[None], rng.uniform(-6, 6))


def interference(rng: Rng, x: Audio, others: Others) -> Audio:
    """A mobile phone near a cable: bursts at 217 Hz."""
    n = np.arange(x.shape[1]) / RATE
    frames = (n * 217) % 1 < 0.125
    bursts = (n * rng.uniform(1.5, 4)) % 1 < rng.uniform(0.3, 0.8)
    buzz = signal.lfilter([1, -0.95], [1, -0.6], (frames & bursts).astype(np.float64))
    return over(x, buzz.astype(np.float32)[None], rng.uniform(-15, 0))


def crackle(rng: Rng, x: Audio, others: Others) -> Audio:
    """An old record."""
    sparse = rng.normal(size=x.shape[1]) * (rng.random(x.shape[1]) < rng.uniform(10, 60) / RATE)
    ticks = signal.lfilter([1], [1, -rng.uniform(0.5, 0.85)], sparse)
    dust = signal.lfilter([1], [1, -0.97], rng.normal(size=x.shape[1])) * 0.01
    peak = np.abs(x).max() * rng.uniform(0.2, 0.6)
    worn: Audio = x + (peak * (ticks / (np.abs(ticks).max() + 1e-9) + dust)).astype(np.float32)[None]
    return worn


def backwards(rng: Rng, x: Audio, others: Others) -> Audio:
    return x[:, ::-1]


def tape_stop(rng: Rng, x: Audio, others: Others) -> Audio:
    """The machine slows down and stops."""
    speed = np.linspace(1, 0.0, x.shape[1]) ** rng.uniform(0.5, 1.5)
    at = np.cumsum(speed)
    n = np.arange(x.shape[1])
    slowed: Audio = np.stack([np.interp(at, n, channel) for channel in x]).astype(np.float32)
    return slowed


def ring_modulation(rng: Rng, x: Audio, others: Others) -> Audio:
    n, hz = np.arange(x.shape[1]) / RATE, np.exp(rng.uniform(np.log(60), np.log(1500)))
    rung: Audio = x * (np.sin(2 * np.pi * hz * n) * 1.4).astype(np.float32)
    return rung


def comb_phaser(rng: Rng, x: Audio, others: Others) -> Audio:
    """Two microphones that move against each other."""
    return through(x, Phaser(rng.uniform(0.3, 2), 0.9, rng.uniform(600, 2000), rng.uniform(0.4, 0.7), 0.7))


def wind(rng: Rng, x: Audio, others: Others) -> Audio:
    """Into the microphone: low, in gusts."""
    rough = signal.lfilter([1], [1, -0.995], rng.normal(size=x.shape[1]))
    low = signal.sosfilt(signal.butter(2, [25, 350], "bandpass", fs=RATE, output="sos"), rough)
    gusts = np.interp(
        np.arange(x.shape[1]),
        np.arange(0, x.shape[1] + RATE, RATE // 3)[: x.shape[1] // (RATE // 3) + 2],
        rng.uniform(0, 1, x.shape[1] // (RATE // 3) + 2),
    )
    return over(x, (low * gusts**2).astype(np.float32)[None], rng.uniform(-6, 6))


FAULTS: dict[str, Fault] = {
    "clipping": Fault(clipping, 1, 4, True),
    "dropout": Fault(dropouts, 2, 4, True),
    "click": Fault(clicks, 1, 3, True),
    "hum": Fault(_whole(hum), 4, 8, True),
    "dc": Fault(_whole(dc), 2, 6, True),
    "phase": Fault(_whole(phase), 3, 8, True),
    "silence": Fault(_whole(silence), 2.5, 5, True),
    "talk": Fault(_whole(talk), 1, 5),
    "count-in": Fault(_whole(count_in), 1.5, 3),
    "object": Fault(_whole(objects), 0.7, 4),
    "wrong take": Fault(_whole(wrong_take), 1, 5),
    "wrong key": Fault(_whole(wrong_key), 1, 5),
    "codec": Fault(_whole(codec), 1, 5),
    "phone": Fault(_whole(phone), 1, 5),
    "howl": Fault(_whole(howl), 1, 4),
    "interference": Fault(_whole(interference), 1, 4),
    "crackle": Fault(_whole(crackle), 1, 5),
    "backwards": Fault(_whole(backwards), 1, 4),
    "tape stop": Fault(_whole(tape_stop), 0.7, 2),
    "ring modulation": Fault(_whole(ring_modulation), 1, 4),
    "phaser": Fault(_whole(comb_phaser), 1, 4),
    "wind": Fault(_whole(wind), 1, 4),
}
"""Kinds by name; those that say where they are themselves are clipping, dropouts and clicks."""

JUNK = ("talk", "count-in", "object", "wrong take", "silence", "howl", "codec", "tape stop")
"""What a raw take has that its edit has not."""
