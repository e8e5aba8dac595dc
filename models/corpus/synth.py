"""Plain synthesisers in numpy: subs, saws, plucks, pads, bells and an electronic drum kit.

They add sounds no soundfont has (808s, supersaws), and carry a whole corpus where no package can be had.
Signals are float32 at 44.1 kHz; pitched voices return ``(2, samples)``, drums ``(samples,)``.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

RATE = 44100
Audio = NDArray[np.float32]
Rng = np.random.Generator


def frequency(pitch: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
    """MIDI number to Hz."""
    return 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)


def envelope(samples: int, attack_s: float, release_s: float, decay_s: float = 0.0, sustain: float = 1.0) -> Audio:
    """Attack, exponential decay to ``sustain``, linear release at the end."""
    t = np.arange(samples, dtype=np.float32) / RATE
    level = np.minimum(1.0, t / max(attack_s, 1e-3))
    if decay_s > 0:
        level = level * (sustain + (1 - sustain) * np.exp(-t / decay_s))
    return np.asarray(level * np.minimum(1.0, (samples / RATE - t) / max(release_s, 1e-3)), dtype=np.float32)


def _saw(phase: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Band-limited sawtooth of a phase in cycles (polyBLEP)."""
    p = phase % 1.0
    out = 2 * p - 1
    low, high = p < step, p > 1 - step
    x = p[low] / step
    out[low] -= x + x - x * x - 1
    x = (p[high] - 1) / step
    out[high] -= x * x + x + x + 1
    return out


class Patch:
    """One programmed sound: the same parameters for each note of a part."""

    def __init__(self, rng: Rng, kind: str) -> None:
        self.kind = kind
        self.voices = int(rng.integers(2, 8)) if kind in ("synth_saw", "synth_pad") else int(rng.integers(1, 3))
        self.detune = float(rng.uniform(0.02, 0.25))
        self.cutoff = float(np.exp(rng.uniform(np.log(500), np.log(9000))))
        self.sweep = float(rng.uniform(0.05, 0.6))
        self.square = bool(rng.random() < 0.4)
        self.drive = float(rng.choice([0.0, 1.0, 3.0, 6.0]))
        self.ratio = float(rng.choice([1, 2, 3, 3.5, 1.41, 5.07]))
        self.index = float(rng.uniform(0.5, 5))
        self.glide_s = float(rng.uniform(0.03, 0.09))
        self.decay_s = float(rng.uniform(0.15, 1.6))
        self.phases = rng.random(32)

    def note(self, pitch: float, length_s: float, velocity: float) -> Audio:
        """One note, its release included."""
        hz = float(frequency(pitch))
        if self.kind in ("sub", "808"):
            return self._sub(hz, length_s, velocity)
        if self.kind == "bells":
            return self._bell(hz, length_s, velocity)
        return self._analogue(hz, length_s, velocity)

    def _sub(self, hz: float, length_s: float, velocity: float) -> Audio:
        n = int((length_s + 0.08) * RATE)
        t = np.arange(n) / RATE
        bend = 1 + (1.6 if self.kind == "808" else 0.0) * np.exp(-t / self.glide_s)
        wave = np.sin(2 * np.pi * np.cumsum(hz * bend) / RATE)
        if self.drive:
            wave = np.tanh(wave * (1 + self.drive)) * 0.8
        decay = self.decay_s * 2 if self.kind == "808" else 0.0
        mono = wave * envelope(n, 0.004, 0.06, decay, 0.05) * velocity
        return np.asarray(np.stack([mono, mono]), dtype=np.float32)

    def _bell(self, hz: float, length_s: float, velocity: float) -> Audio:
        n = int((length_s + 1.2) * RATE)
        t = np.arange(n) / RATE
        modulator = np.sin(2 * np.pi * hz * self.ratio * t) * self.index * np.exp(-t / 0.35) * velocity
        mono = np.sin(2 * np.pi * hz * t + modulator) * envelope(n, 0.002, 0.4, self.decay_s, 0.0) * velocity
        other = np.sin(2 * np.pi * hz * 1.003 * t + modulator) * envelope(n, 0.002, 0.4, self.decay_s, 0.0) * velocity
        return np.asarray(np.stack([mono, other]), dtype=np.float32)

    def _analogue(self, hz: float, length_s: float, velocity: float) -> Audio:
        pad, pluck = self.kind == "synth_pad", self.kind == "pluck"
        release = 0.6 if pad else 0.08
        n = int((length_s + release) * RATE)
        t = np.arange(n) / RATE
        out = np.zeros((2, n))
        for v in range(self.voices):
            place = (v + 0.5) / self.voices * 2 - 1
            f = hz * 2 ** (self.detune * place / 12)
            phase = self.phases[v] + f * t
            wave = _saw(phase, f / RATE)
            if self.square:
                wave = wave - _saw(phase + 0.5, f / RATE)
            out[0] += wave * (1 - 0.8 * max(place, 0))
            out[1] += wave * (1 - 0.8 * max(-place, 0))
        shape = envelope(
            n, 0.25 if pad else 0.004, release, 0.0 if pad else (0.18 if pluck else 0.8), 0.05 if pluck else 0.7
        )
        bright = butter(2, min(0.9, max(self.cutoff, 1.5 * hz) / (RATE / 2)), output="sos")
        dark = butter(2, min(0.8, max(self.cutoff * 0.25, hz) / (RATE / 2)), output="sos")
        opening = np.exp(-t / self.sweep)  # the filter closes as the note goes on
        out = sosfilt(bright, out) * opening + sosfilt(dark, out) * (1 - opening)
        return np.asarray(out * shape * velocity / np.sqrt(self.voices), dtype=np.float32)


def drum(rng: Rng, role: str) -> Audio:
    """One stroke of an electronic kit; the generator sets its character."""
    if role == "kick":
        n = int(rng.uniform(0.2, 0.6) * RATE)
        t = np.arange(n) / RATE
        hz = rng.uniform(42, 62) * (1 + rng.uniform(2, 7) * np.exp(-t / rng.uniform(0.01, 0.035)))
        wave = np.sin(2 * np.pi * np.cumsum(hz) / RATE) * np.exp(-t / rng.uniform(0.08, 0.25))
        return np.asarray(np.tanh(wave * rng.uniform(1, 3)), dtype=np.float32)
    if role.startswith("tom") or role == "perc":
        base = {"tom_low": 90, "tom_mid": 130, "tom_hi": 180, "perc": 300}[role] * rng.uniform(0.8, 1.25)
        t = np.arange(int(0.4 * RATE)) / RATE
        wave = np.sin(2 * np.pi * np.cumsum(base * (1 + 0.6 * np.exp(-t / 0.03))) / RATE) * np.exp(-t / 0.12)
        return np.asarray(wave + 0.1 * rng.standard_normal(len(t)) * np.exp(-t / 0.01), dtype=np.float32)
    if role == "cowbell":
        t = np.arange(int(0.3 * RATE)) / RATE
        wave = np.sign(np.sin(2 * np.pi * 540 * t)) + np.sign(np.sin(2 * np.pi * 800 * t))
        return np.asarray(0.4 * wave * np.exp(-t / 0.06), dtype=np.float32)
    decay, low, tone = {
        "snare": (0.12, 900, 0.7),
        "clap": (0.11, 1000, 0.0),
        "side": (0.02, 1500, 0.5),
        "hat": (0.035, 7000, 0.0),
        "pedal": (0.03, 6000, 0.0),
        "open": (0.25, 6500, 0.0),
        "shaker": (0.05, 5000, 0.0),
        "ride": (0.5, 5000, 0.1),
        "crash": (0.9, 3500, 0.0),
    }[role]
    decay *= float(rng.uniform(0.6, 1.6))
    t = np.arange(int(min(2.0, decay * 6) * RATE)) / RATE
    noise = sosfilt(butter(2, low / (RATE / 2), "high", output="sos"), rng.standard_normal(len(t))) * np.exp(-t / decay)
    if role == "clap":
        noise *= 0.4 + 0.6 * (np.maximum(0, np.sin(2 * np.pi * 90 * np.minimum(t, 0.03))) > 0.5) + (t > 0.03)
    body = np.sin(2 * np.pi * rng.uniform(170, 240) * t) * np.exp(-t / (decay * 0.6))
    return np.asarray(0.5 * noise + tone * body, dtype=np.float32)


def reverb_impulse(rng: Rng, seconds: float, dark: float) -> Audio:
    """A synthetic stereo room ``(2, samples)``: noise that decays, the faster the higher, after a short pre-delay."""
    n = int(seconds * RATE)
    t = np.arange(n) / RATE
    noise = rng.standard_normal((2, n))
    low = lfilter([1 - dark], [1, -dark], noise)
    out = low * np.exp(-6.9 * t / seconds) + 0.3 * (noise - low) * np.exp(-14 * t / seconds)
    out *= np.minimum(1, t / 0.004)
    out = np.pad(out, ((0, 0), (int(rng.uniform(0, 0.03) * RATE), 0)))
    return np.asarray(out / np.sqrt((out**2).sum(axis=1, keepdims=True)), dtype=np.float32)


def add_at(out: Audio, sound: Audio, start: int) -> None:
    """Mix a sound into a buffer from a sample on, cut at the buffer's end; ``(n,)`` goes to both channels."""
    count = min(sound.shape[-1], out.shape[1] - start)
    if count > 0 and start >= 0:
        out[:, start : start + count] += sound[..., :count]
