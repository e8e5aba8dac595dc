"""Where notes really begin: attacks measured in the sound of one stem, near the times at which notes were struck.

A one-shot has a lead-in, a soundfont an attack of its own, a slow string a swell. A note is played by causal means,
so its sound begins at or after the time at which it was struck; the search goes from there::

    level    . . . . base . . . .|          _/~~~peak~~~\\___
                                  |________/ ^ attack: 20 dB under the peak, or clear of what rang before
    struck -----------------------^|<------- reach ------->|

The envelope is measured in the whole band and above two limits, and the band where the note stands out most decides:
a hi-hat over a ringing bass drum is found by its treble.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, sosfilt

from .synth import RATE, Audio

LIMITS_HZ = (0, 1000, 5000)
SMOOTH_S = 0.001
BEFORE_S = 0.02
EARLY_S = 0.001
REACH_S = 0.045
UNDER_PEAK = 0.01
CLEAR_DB = 6.0
PLAIN_DB = 12.0
FLOOR = 1e-11
BLOCK = 441
MERGE_S = 0.03
Times = NDArray[np.float64]


class Attack(NamedTuple):
    """A measured attack: its time, by how much it stands out of what rang before, and its level in the song."""

    time: float
    rise_db: float
    under_db: float


class Envelopes:
    """The power of one stem ``(2, samples)`` in a few bands, smoothed over a millisecond."""

    def __init__(self, sound: Audio) -> None:
        size = max(1, round(SMOOTH_S * RATE))
        self.bands = []
        for limit in LIMITS_HZ:
            part = sosfilt(butter(2, limit / (RATE / 2), "high", output="sos"), sound) if limit else sound
            squared = (np.asarray(part, dtype=np.float64) ** 2).sum(axis=0)
            power = uniform_filter1d(squared, size, origin=(size - 1) // 2)  # of the millisecond before: never early
            self.bands.append(np.maximum(power, FLOOR))
        self.loudest = [np.maximum.reduceat(power, np.arange(0, len(power), BLOCK)) for power in self.bands]

    def attack(self, struck: float, reach_s: float = REACH_S, early_s: float = EARLY_S) -> Attack:
        """The attack of a note struck at a time (seconds), within ``reach_s`` after it."""
        first = max(0, int((struck - early_s) * RATE))
        last = max(first + 2, int((struck + reach_s) * RATE))
        around = slice(max(0, first - RATE) // BLOCK, (last + RATE) // BLOCK)
        found: list[tuple[float, float]] = []
        under_db = np.inf
        for power, loudest in zip(self.bands, self.loudest, strict=True):
            window = power[first:last]
            if not len(window):
                return Attack(struck, 0.0, np.inf)
            peak = float(window.max())
            base = float(power[max(0, first - int(BEFORE_S * RATE)) : first].max(initial=FLOOR))
            limit = max(UNDER_PEAK * peak, min(2 * base, float(np.sqrt(base * peak))))
            found.append(((first + int(np.argmax(window >= limit))) / RATE, float(10 * np.log10(peak / base))))
            under_db = min(under_db, float(10 * np.log10(loudest[around].max(initial=peak) / peak)))
        clear = [entry for entry in found if entry[1] >= PLAIN_DB]
        # of several pieces struck together the first counts, and each band tells of another
        time, rise_db = min(clear) if clear else max(found, key=lambda entry: entry[1])
        return Attack(time, max(0.0, rise_db), under_db)


def merge(times: Times | list[float], within_s: float = MERGE_S) -> Times:
    """Increasing times of which no two are closer than ``within_s``: several pieces struck together count once."""
    kept: list[float] = []
    for time in sorted(float(t) for t in times):
        if not kept or time - kept[-1] >= within_s:
            kept.append(time)
    return np.array(kept)
