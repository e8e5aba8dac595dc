"""A singer made of harmonics and formants: the voice where no recorded one is at hand."""

import numpy as np
from numpy.typing import NDArray

from .compose import Note
from .synth import RATE, Audio, Rng, add_at, frequency

# formant centres in Hz, widths in Hz and levels in dB of sung vowels; Peterson and Barney 1952, rounded
VOWELS = {
    "a": ((730, 1090, 2440, 3400, 4500), (0, -4, -18, -26, -32)),
    "e": ((530, 1840, 2480, 3500, 4500), (0, -12, -16, -26, -32)),
    "i": ((300, 2290, 3010, 3600, 4600), (0, -18, -20, -26, -34)),
    "o": ((500, 840, 2410, 3300, 4500), (0, -5, -28, -32, -38)),
    "u": ((320, 800, 2240, 3300, 4500), (0, -12, -34, -38, -42)),
}
WIDTHS = (80.0, 100.0, 130.0, 200.0, 280.0)
HIGHEST_HZ = 9000.0


def formant_gain(hz: NDArray[np.float64], vowel: str, build: float = 1.0) -> NDArray[np.float64]:
    """How strongly a vowel lets frequencies through."""
    centres, levels = VOWELS[vowel]
    gain = np.zeros_like(hz)
    for centre, level, breadth in zip(centres, levels, WIDTHS, strict=True):
        gain += 10 ** (level / 20) / (1 + ((hz - centre * build) / (breadth * 0.7)) ** 2)
    return gain + 0.003


def sing_vowels(rng: Rng, notes: list[Note], out: Audio) -> None:
    """Add a phrase (seconds, MIDI) to ``(2, samples)``: one vowel a note."""
    for note in notes:
        add_at(out, vowel_note(rng, note, str(rng.choice(list(VOWELS)))), int(note.start * RATE))


def vowel_note(rng: Rng, note: Note, vowel: str) -> Audio:
    """One sung note ``(samples,)``."""
    n = int((note.length + 0.05) * RATE)
    t = np.arange(n) / RATE
    vibrato = 0.3 * np.clip((t - 0.25) / 0.3, 0, 1) * np.sin(2 * np.pi * 5.5 * t)
    hz = np.asarray(frequency(note.pitch - 0.7 * np.exp(-t / 0.04) + vibrato))
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    count = int(HIGHEST_HZ / hz.mean())
    sound = np.zeros(n)
    for k in range(1, count + 1):
        gain = formant_gain(np.array([k * hz.mean()]), vowel)[0] / k**0.6
        sound += gain * np.sin(k * phase + rng.uniform(0, 0.5))
    shape = np.minimum(1, t / 0.05) * np.minimum(1, (n / RATE - t) / 0.06)
    return np.asarray(sound * shape * note.velocity, dtype=np.float32)
