"""From about where something begins to the sample where a cut belongs.

The attack is where, within 15 ms, the spectrum gains most over all that it was just before. The two windows meet at the
place they are asked about, so the maximum lies on the attack itself::

          all of the last 8 ms, band by band
    ├─────────▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒│░░░░░░░├───        │: is this where it begins?
                    ├─────────┤├──────┤
                        4 ms      4 ms

A cut there, or at a rising zero crossing up to 2 ms earlier, leaves the attack whole and makes no click; where no such
crossing is near, a fade of 1 ms does. A crossing of the channels' sum counts where no channel is far from zero: at most
a tenth of the loudest within some 10 ms. Beyond the ends of a signal lies silence, and NaN is silence too.

Source: the flux of S. Böck and G. Widmer, "Maximum filter vibrato suppression for onset detection" (DAFx 2013), with
the maximum taken over time. Going on from there to the least energy before, as is often done, was measured to be worse
(docs/chops-decoding.md).
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Mode = Literal["onset", "zero", "none"]

REACH_S = 0.015
"""How far an attack may lie from where a curve says."""
CROSSING_S = 0.002
ZERO_REACH_S = 0.01
FADE_S = 0.001

_NEAR_S = 0.05
"""All that a snap hears lies within this of the place asked about."""
_WINDOW_S = 0.004
_STEP_S = 0.0005
_BEFORE_STEPS = (1, 2, 4, 8)
"""Neighbours compared in turn: the maximum of 16 windows, 8 ms."""
_BEND = 100.0
"""Magnitudes of a passage with peak 1 are heard as log(1 + 100 m)."""
_USUAL_S = 0.007
"""Deviation of the bell over the reach: a curve's peak is seldom far off, so of two attacks the nearer counts more."""
_LEAST_GAIN = 0.025
"""Share of a window that must be new. White noise reaches 0.023 by chance, drums are at 0.3."""
_QUIET = 3e-5
"""A peak below this (-90 dBFS) is silence."""
_STEP_SHARE = 0.1


class Snapped(NamedTuple):
    """Where to cut.

    Attributes:
        exact: an attack was found, and the cut belongs to it.
        fade: no zero crossing is near: fade in over `FADE_S`.
    """

    position: int
    exact: bool
    fade: bool


def find_attack(mono: NDArray[np.float32], rate: int, around: int) -> int:
    """The sample where the attack near ``around`` begins; ``around`` itself (within the signal) if there is none."""
    around = _within(around, len(mono))
    attack = _attack(mono, rate, around)
    return around if attack is None else attack


def snap(audio: NDArray[np.float32], rate: int, around: int, mode: Mode = "onset") -> Snapped:
    """Where to cut near ``around`` in ``(n,)`` or ``(channels, n)``, of which 50 ms on either side are enough.

    Args:
        mode: ``onset`` goes to the attack and the crossing before it; ``zero`` to the nearest rising crossing within
            10 ms, as ``onset`` does where there is no attack; ``none`` stays, and asks for no fade.
    """
    at = _within(around, audio.shape[-1])
    if mode == "none" or not audio.shape[-1]:
        return Snapped(at, False, False)
    near = round(_NEAR_S * rate)
    first = max(0, at - near)
    found = _snap(np.atleast_2d(audio[..., first : at + near]), rate, at - first, mode)
    return found._replace(position=first + found.position)


def _snap(channels: NDArray[np.float32], rate: int, at: int, mode: Mode) -> Snapped:
    mono = channels[0] if len(channels) == 1 else channels.mean(axis=0, dtype=np.float32)
    attack = _attack(mono, rate, at) if mode == "onset" else None
    if attack is not None:
        found = _crossing(channels, mono, attack, round(CROSSING_S * rate), 0, rate)
        return Snapped(attack if found is None else found, True, found is None)
    reach = round(ZERO_REACH_S * rate)
    found = _crossing(channels, mono, at, reach, reach, rate)
    return Snapped(at if found is None else found, False, found is None)


def _within(position: int, samples: int) -> int:
    return min(max(position, 0), max(0, samples - 1))


def _attack(mono: NDArray[np.float32], rate: int, around: int) -> int | None:
    step, window = max(1, round(_STEP_S * rate)), max(4, round(_WINDOW_S * rate))
    # somewhat farther, for the maximum comes up to 1 ms before the attack, and must be seen to be one
    reach, before = round(REACH_S * rate) // step + 3, sum(_BEFORE_STEPS)
    first = around - (reach + before) * step - window  # so that the place asked about is one of the grid
    heard = _excerpt(mono, first, first + (2 * reach + before) * step + 2 * window)
    peak = np.abs(heard).max()
    if peak < _QUIET:
        return None
    frames = np.lib.stride_tricks.sliding_window_view(heard / peak, window)[::step]
    loud = np.log1p(_BEND * np.abs(np.fft.rfft(frames * _hill(window), axis=1)))
    loud /= np.sqrt(np.arange(1, loud.shape[1] + 1))  # octaves, not hertz: treble has most of the bins
    past = loud
    for neighbour in _BEFORE_STEPS:
        past = np.maximum(past[:-neighbour], past[neighbour:])
    places = 2 * reach + 1
    now = loud[before + window // step :][:places]
    gains = np.maximum(now - past[:places], 0).sum(axis=1)
    # a slope at either end belongs to an attack beyond the reach
    summit = np.pad((gains[1:-1] >= gains[:-2]) & (gains[1:-1] >= gains[2:]), 1)
    away_s = np.arange(-reach, reach + 1) * (step / rate)
    best = int(np.argmax(summit * gains * np.exp(-0.5 * (away_s / _USUAL_S) ** 2)))
    if not summit[best] or gains[best] < _LEAST_GAIN * now[best].sum():
        return None
    return _within(around + (best - reach) * step, len(mono))


def _hill(samples: int) -> NDArray[np.float32]:
    """A window that hears its beginning best: up in a quarter, down in the rest. Hann's hears a click best when it is
    in its middle, and would cut half a window before it."""
    up = samples // 4
    rise, fall = (np.arange(up) + 0.5) / up, 1 - (np.arange(samples - up) + 0.5) / (samples - up)
    hill: NDArray[np.float32] = np.sin(np.pi / 2 * np.append(rise, fall)) ** 2
    return hill.astype(np.float32)


def _crossing(
    channels: NDArray[np.float32], mono: NDArray[np.float32], at: int, before: int, after: int, rate: int
) -> int | None:
    """The nearest sample to ``at`` from ``before`` to ``after`` of it that a cut may begin with; None if none may."""
    first, end = max(0, at - before), min(len(mono), at + after + 1)
    values = _excerpt(mono, first - 1, end)
    heard = [_excerpt(channel, first, end + round(ZERO_REACH_S * rate)) for channel in channels]
    steps = np.abs(heard).max(axis=0)
    rising = (values[:-1] <= 0) & (values[1:] >= 0) & (steps[: end - first] <= _STEP_SHARE * steps.max())
    places = first + np.flatnonzero(rising)
    return int(places[np.argmin(np.abs(places - at))]) if len(places) else None


def _excerpt(signal: NDArray[np.float32], first: int, end: int) -> NDArray[np.float32]:
    """Samples ``first`` to ``end``, with silence beyond the ends of the signal and for what is no number."""
    out = np.zeros(end - first, np.float32)
    inside = signal[max(0, first) : max(0, end)]
    out[max(0, -first) :][: len(inside)] = inside
    out[~np.isfinite(out)] = 0.0
    return out
