"""A singer made of harmonics and formants: the voice where no recorded one is at hand."""

import numpy as np
from numpy.typing import NDArray

from .score import Note
from .synth import RATE, Audio, Rng, add_at, frequency

# formant centres of sung vowels in Hz; Peterson and Barney, 1952, rounded
VOWELS = {
    "a": (730, 1090, 2440, 3400, 4500),
    "e": (530, 1840, 2480, 3500, 4500),
    "i": (300, 2290, 3010, 3600, 4600),
    "o": (500, 840, 2410, 3300, 4500),
    "u": (320, 800, 2240, 3300, 4500),
}
WIDTHS_HZ = (80.0, 100.0, 130.0, 200.0, 280.0)
HIGHEST_HZ = 9000.0


def formant_gain(hz: NDArray[np.float64], vowel: str) -> NDArray[np.float64]:
    """How strongly a vowel lets frequencies through: resonators in a row, each with gain 1 at 0 Hz."""
    gain = np.ones_like(hz)
    for centre, breadth in zip(VOWELS[vowel], WIDTHS_HZ, strict=True):
        gain /= np.abs(1 - (hz / centre) ** 2 + 1j * hz * breadth / centre**2)
    return gain


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
    numbers = np.arange(1, int(HIGHEST_HZ / hz.mean()) + 1)
    # the glottal pulse falls by 12 dB an octave, radiation from the mouth gives back 6
    gains = formant_gain(numbers * hz.mean(), vowel) / numbers
    sound = np.zeros(n)
    for number, gain, start in zip(numbers, gains, rng.uniform(0, 0.5, len(numbers)), strict=True):
        sound += gain * np.sin(number * phase + start)
    shape = np.minimum(1, t / 0.05) * np.minimum(1, (n / RATE - t) / 0.06)
    return np.asarray(0.3 * sound * shape * note.velocity, dtype=np.float32)
