"""Make many recordings of a few, in the domain of the features: powers of bands, where stems add up.

Everything here turns a seed into an example. Powers are in units in which the features are log10(1 + power), so that
1 is -70 dBFS. What a producer's sources have and clean renders lack is put in here: drums alone and music without
drums, other tempos and pitches, rooms, colour, narrow bands, pumping, hiss and crackle, fades, and a start anywhere.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from streaming.features import MEL, mel_bank, mel_edges

from .dataset import Item, Times, merge

FloatArray = NDArray[np.float32]
DRUMS = 1
"""The row of the drums."""

_HZ = mel_edges(MEL)[1:-1]
"""The centre of every band."""

_NOISE = mel_bank(MEL, MEL.rate, 2048).sum(0)
"""What white noise gives each band."""


class Example(NamedTuple):
    """Features ``(T, bands)``, targets ``(T, curves)`` from 0 to 1, and which curves are known ``(curves,)``."""

    features: FloatArray
    targets: FloatArray
    known: FloatArray


def draw_example(rng: np.random.Generator, items: Sequence[Item], length: int, curves: Sequence[str]) -> Example:
    """One example of ``length`` frames."""
    item = items[int(rng.integers(len(items)))]
    speed = float(2 ** rng.uniform(-0.32, 0.32)) if rng.random() < 0.6 else 1.0
    total = item.frames.shape[1]
    room = max(0.0, total - length * speed)
    start = int(rng.uniform(-100, 0)) if rng.random() < 0.05 else int(rng.uniform(0, room + 1))
    power, onsets = _mix(rng, item, start, int(np.ceil(length * speed)) + 2)
    features = _disturb(rng, _stretch(_produce(rng, power), speed, length))
    targets, known = np.zeros((length, len(curves)), np.float32), np.zeros(len(curves), np.float32)
    for i, curve in enumerate(curves):
        times = onsets if curve == "onset" else item.times.get(curve)
        if times is not None:
            known[i] = 1
            write_targets(targets[:, i], (times - start) / speed, curve)
    return Example(features, targets, known)


def write_targets(target: FloatArray, times: Times, curve: str) -> None:
    """Mark times on one curve: an onset as a narrow bell round its exact time, anything else on the nearest frame.

    An own chop takes its neighbours along: nobody sets a marker to the frame.
    """
    near = np.rint(times).astype(np.int64)
    for offset in (-2, -1, 0, 1, 2) if curve == "onset" else (-1, 0, 1) if curve == "chop" else (0,):
        at = near + offset
        inside = (at >= 0) & (at < len(target))
        height = np.exp(-0.5 * ((at - times) / 0.7) ** 2) if curve == "onset" else np.ones(len(at))
        np.maximum.at(target, at[inside], height[inside].astype(np.float32))


def _mix(rng: np.random.Generator, item: Item, start: int, length: int) -> tuple[FloatArray, Times | None]:
    """Some of the stems, each with a level and a colour of its own, and the onsets that are heard among them."""
    stems = len(item.onsets)
    piece = item.frames[:, max(0, start) : max(0, start + length)]
    before, after = max(0, -start), length - max(0, -start) - piece.shape[1]
    if stems < 2 or rng.random() < 0.15:  # the very mix, with all its interference
        gains, rows, onsets = np.ones(1), piece[-1:], item.targets("onset")
    else:
        heard = _choose_stems(rng, item)
        gains = 10 ** (np.clip(rng.normal(0, 4, len(heard)), -12, 12) / 10)
        rows, parts = piece[heard], [item.onsets[i] for i in heard]
        onsets = None if any(p is None for p in parts) else merge(parts)
    power = np.zeros((length, MEL.bands), np.float32)
    for row, gain in zip(rows, gains, strict=True):
        colour = _colour(rng, 3.0) * gain if len(rows) > 1 else np.float32(1)
        power[before : length - after] += _to_power(row) * colour
    return power, onsets


def _choose_stems(rng: np.random.Generator, item: Item) -> list[int]:
    """Drums alone in a quarter of all examples, no drums in a tenth, else any stem may be missing.

    A stem whose onsets nobody knows is left out two times in three, since it teaches nothing of onsets.
    """
    stems = range(len(item.onsets))
    loud = [i for i in stems if item.frames[i, ::50].max() > 1]
    known = [i for i in loud if item.onsets[i] is not None or rng.random() < 0.33]
    luck = rng.random()
    if luck < 0.25 and DRUMS in known:
        return [DRUMS]
    if luck < 0.35:
        known = [i for i in known if i != DRUMS]
    heard = [i for i in known if rng.random() > 0.12]
    return heard or known or loud or [0]


def _to_power(frames: NDArray[np.float16]) -> FloatArray:
    power: FloatArray = np.expm1(frames.astype(np.float32) * np.float32(np.log(10)))
    return power


def _to_features(power: FloatArray) -> FloatArray:
    return np.log1p(power) * np.float32(1 / np.log(10))


def _colour(rng: np.random.Generator, spread_db: float) -> FloatArray:
    """A smooth equaliser: a gain for each band."""
    points = rng.normal(0, spread_db, 6)
    curve = np.interp(np.arange(MEL.bands), np.linspace(0, MEL.bands - 1, 6), points)
    return (10 ** (curve / 10)).astype(np.float32)


def _produce(rng: np.random.Generator, power: FloatArray) -> FloatArray:
    """What a recording goes through after the mix: colour, room, compression, level, band limits."""
    if rng.random() < 0.4:
        power = power * _colour(rng, 4.0)
    if rng.random() < 0.25:
        decay = 10 ** (-6 / (MEL.frame_rate * rng.uniform(0.15, 1.5)))
        wet = 10 ** rng.uniform(-1.7, -0.1) * (1 - decay)
        power = power + lfilter([0, 0, wet], [1, -decay], power, axis=0).astype(np.float32)
    if rng.random() < 0.35:
        power = power * _compression(rng, power)[:, None]
    peak = power.sum(1).max() + 1e-3
    power = power * np.float32(10 ** (rng.uniform(4.7, 7.3) if rng.random() < 0.8 else rng.uniform(2.5, 4.7)) / peak)
    if rng.random() < 0.15:  # overdriven: peaks spill over all bands
        loud = power.sum(1, keepdims=True)
        power = power + np.maximum(0, loud - loud.max() * 0.3) * (_NOISE / _NOISE.sum() * rng.uniform(0.02, 0.3))
    if rng.random() < 0.25:
        power = power * _band_limits(rng)
    return power.astype(np.float32)


def _compression(rng: np.random.Generator, power: FloatArray) -> FloatArray:
    """The gain ``(T,)`` of a compressor that follows the level down faster than up."""
    level = power.sum(1) + 1.0
    slow = 10 ** (-1 / (MEL.frame_rate * rng.uniform(0.05, 0.6)))
    follower = lfilter([1 - slow], [1, -slow], level)
    gain: FloatArray = ((follower + 0.3 * level + 1.0) ** -rng.uniform(0.2, 0.7)).astype(np.float32)
    return gain


def _band_limits(rng: np.random.Generator) -> FloatArray:
    """A recording of a low rate, a telephone, a filter."""
    gains = np.ones(MEL.bands, np.float32)
    if rng.random() < 0.8:
        top = rng.choice([4000, 5500, 8000, 8000, 11000]) if rng.random() < 0.5 else rng.uniform(3000, 14000)
        gains[top < _HZ] = 0 if rng.random() < 0.6 else 1e-3
    if rng.random() < 0.4:
        gains *= (1 / (1 + (rng.uniform(60, 400) / _HZ) ** 4)).astype(np.float32)
    return gains


def _stretch(power: FloatArray, speed: float, length: int) -> FloatArray:
    """Powers to features at another speed."""
    features = _to_features(power)
    if speed == 1:
        return features[:length]
    at = np.arange(length) * speed
    whole = at.astype(np.int64)
    part = (at - whole).astype(np.float32)[:, None]
    first, after = features[whole], features[whole + 1]
    return first + (after - first) * part


def _disturb(rng: np.random.Generator, features: FloatArray) -> FloatArray:
    """Other pitch, fades, and what a record adds: hiss and crackle."""
    if rng.random() < 0.4:
        features = _shift(features, 2 ** (rng.uniform(-3, 3) / 12))
    if rng.random() < 0.4:
        power = np.expm1(features * np.float32(np.log(10)))
        if rng.random() < 0.3:
            power *= _fade(rng, len(power))[:, None]
        if rng.random() < 0.6:
            power += _hiss(rng, len(power))
        if rng.random() < 0.4:
            power += _crackle(rng, len(power))
        features = _to_features(power)
    return features


def _shift(features: FloatArray, ratio: float) -> FloatArray:
    """Another pitch: what a band holds was in the band at ``1 / ratio`` of its frequency."""
    at = np.interp(_HZ / ratio, _HZ, np.arange(MEL.bands))
    whole = np.minimum(at.astype(np.int64), MEL.bands - 2)
    part = (at - whole).astype(np.float32)
    return features[:, whole] * (1 - part) + features[:, whole + 1] * part


def _fade(rng: np.random.Generator, length: int) -> FloatArray:
    """A fade in or out over half a second to eight, as a gain of power."""
    over = int(rng.uniform(50, 800))
    ramp = np.ones(length, np.float32)
    ramp[: min(over, length)] = (np.arange(min(over, length)) / over) ** 2
    return ramp if rng.random() < 0.6 else ramp[::-1]


def _hiss(rng: np.random.Generator, length: int) -> FloatArray:
    """Coloured noise; a band of n bins varies like the sum of n squares."""
    level = 10 ** rng.uniform(-2.5, 2) / _NOISE.mean() * _NOISE * _colour(rng, 4.0)
    freedom = np.maximum(1.0, _NOISE / 2).astype(np.float32)
    noise = rng.standard_gamma(freedom, (length, MEL.bands), dtype=np.float32) / freedom
    return np.asarray(noise * level, np.float32)


def _crackle(rng: np.random.Generator, length: int) -> FloatArray:
    """Clicks: each fills the bands of two or three frames."""
    count = rng.poisson(length / MEL.frame_rate * 10 ** rng.uniform(-0.5, 1.2))
    clicks = np.zeros((length + 2, MEL.bands), np.float32)
    heights = 10 ** rng.normal(rng.uniform(-0.5, 1.5), 0.5, (count, 1)) / _NOISE.mean() * _NOISE * _colour(rng, 4.0)
    at, phase = rng.integers(0, length, count), rng.uniform(-0.5, 0.5, (count, 1))
    for offset in (-1, 0, 1):
        distance = np.clip((offset - phase) * MEL.hop_samples / MEL.window_samples, -0.5, 0.5)
        np.add.at(clicks, at + 1 + offset, (np.cos(np.pi * distance) ** 4 * heights).astype(np.float32))
    return clicks[1:-1]
