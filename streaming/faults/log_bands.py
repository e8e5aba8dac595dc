"""A spectrum on a logarithmic axis, in bands a quarter of a semitone apart: what glides is shifted, a tone is a line.

A frame every 80 ms, of 100 ms of audio.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

BAND_STEP_HOPS, BAND_WINDOW_HOPS = 8, 10
_BANDS_AN_OCTAVE = 48
BANDS = 242
"""From `_LOWEST_HZ` to 5.9 kHz; at rates too low for them the upper ones are silent."""
_LOWEST_HZ = 180.0
_AROUND_BANDS = 12
"""To either side: a band is held against the mean of its neighbours."""
_FLOOR = 1e-5
"""Of the mean over the frame."""


def log_bands(frames: Array) -> Array:
    """Log power of each band, ``(n, samples)`` of `BAND_WINDOW_HOPS` to ``(n, BANDS)``."""
    taper, bins, bands = _transform(frames.shape[1])
    power = np.abs(np.fft.rfft(frames * taper)[:, bins]) @ bands
    level: Array = np.log(power + _FLOOR * power.mean(axis=1, keepdims=True) + np.float32(1e-9))
    return level


def contrast(levels: Array, least: float) -> Array:
    """How far each band stands out of its neighbours, at least ``least``: ``(n, BANDS)`` to the same."""
    sums = np.cumsum(np.pad(levels, ((0, 0), (_AROUND_BANDS + 1, _AROUND_BANDS)), "edge"), axis=1)
    size = 2 * _AROUND_BANDS + 1
    stands: Array = np.maximum(levels - (sums[:, size:] - sums[:, :-size]) / size, np.float32(least))
    return stands


@cache
def _transform(samples: int) -> tuple[Array, slice, Array]:
    """Window, bins that are looked at, and what each band has of each of them."""
    centres = _LOWEST_HZ * 2 ** (np.arange(BANDS) / _BANDS_AN_OCTAVE) * BAND_WINDOW_HOPS / 100
    step = 2 ** (1 / _BANDS_AN_OCTAVE)
    bins = slice(int(centres[0]) - 1, min(int(centres[-1] * step) + 3, samples // 2 + 1))
    at = np.arange(bins.start, bins.stop)[:, None]
    weights = np.maximum(0.0, 1 - np.abs(at - centres) / np.maximum(1.0, centres * (step - 1)))
    bands: Array = (weights / np.maximum(1e-9, weights.sum(axis=0))).astype(np.float32)
    return np.hanning(samples).astype(np.float32), bins, bands
