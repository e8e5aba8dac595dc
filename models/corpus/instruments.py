"""Who plays the notes: General MIDI soundfonts through FluidSynth, pitched one-shots, and our own synthesisers.

FluidSynth is reached through pyfluidsynth (its library must be installed); without it, or without soundfonts,
every family falls back to synthesis.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, sosfilt

from .score import Hit, Note
from .sources import Item
from .synth import RATE, Audio, Patch, Rng, add_at, frequency

FAMILIES: dict[str, tuple[int, ...]] = {
    "piano": (0, 1, 2, 3),
    "epiano": (4, 5, 4, 5, 2),
    "clavinet": (7, 6),
    "bells": (9, 10, 11, 14, 98, 112),
    "vibes": (11, 12),
    "marimba": (12, 13, 108, 114),
    "organ": (16, 17, 18, 19),
    "accordion": (20, 21, 22, 23),
    "guitar_nylon": (24,),
    "guitar_steel": (25,),
    "guitar_jazz": (26,),
    "guitar_clean": (27, 28, 26),
    "guitar_drive": (29, 30, 27),
    "guitar_lead": (29, 30),
    "bass_acoustic": (32,),
    "bass_electric": (33, 33, 34),
    "bass_pick": (34,),
    "bass_fretless": (35,),
    "bass_slap": (36, 37),
    "bass_synth": (38, 39),
    "violin": (40, 41, 110),
    "strings": (48, 49, 50, 51, 44),
    "strings_short": (45, 48, 49),
    "harp": (46,),
    "brass": (61, 62, 63, 61),
    "trumpet": (56, 59),
    "horn": (60, 57),
    "sax": (64, 65, 66, 67),
    "winds": (68, 71, 70, 69),
    "flute": (73, 75, 72, 77, 79),
    "synth_lead": (80, 81, 84, 87),
    "synth_pad": (88, 89, 90, 92, 93, 95),
    "pluck": (46, 45, 96, 11, 107),
    "synth_saw": (81, 62, 90),
    "synth_bass": (38, 39),
    "banjo": (105, 106, 104),
    "sub": (38, 39),
    "808": (38, 39),
}
SYNTHETIC = {
    "sub": "sub",
    "808": "808",
    "bells": "bells",
    "pluck": "pluck",
    "synth_saw": "synth_saw",
    "synth_pad": "synth_pad",
}
DRIVEN = ("guitar_drive", "guitar_lead")
DRUM_NOTES = {
    "kick": 36, "snare": 38, "side": 37, "clap": 39, "hat": 42, "pedal": 44, "open": 46, "tom_low": 43, "tom_mid": 47,
    "tom_hi": 50, "ride": 51, "crash": 49, "cowbell": 56, "shaker": 70, "perc": 62,
}  # fmt: skip
DRUM_CHANNEL = 9
DRUM_BANK = 128


class SoundfontPlayer:
    """One soundfont in FluidSynth, without its reverb and chorus (rooms are ours)."""

    def __init__(self, path: Path) -> None:
        import fluidsynth

        quiet = {"synth.reverb.active": 0, "synth.chorus.active": 0, "synth.dynamic-sample-loading": 1}
        self.synth: Any = fluidsynth.Synth(gain=0.35, samplerate=float(RATE), channels=16, **quiet)
        self.font = self.synth.sfload(str(path))
        if self.font < 0:
            raise OSError(f"FluidSynth cannot read {path}")

    def close(self) -> None:
        self.synth.delete()

    def programs(self, bank: int) -> list[int]:
        """The program numbers a bank holds."""
        return [n for n in range(128) if self.synth.sfpreset_name(self.font, bank, n) is not None]

    def play(self, notes: list[Note], samples: int, bank: int, program: int) -> Audio:
        """Notes (seconds) on one program to ``(2, samples)``."""
        channel = DRUM_CHANNEL if bank == DRUM_BANK else 0
        self.synth.program_select(channel, self.font, bank, program)
        events = [(int(n.start * RATE), 1, round(n.pitch), max(1, min(127, int(127 * n.velocity)))) for n in notes]
        events += [(int((n.start + n.length) * RATE), 0, round(n.pitch), 0) for n in notes]
        out = np.zeros((2, samples), dtype=np.float32)
        now = 0
        for at, on, pitch, velocity in sorted(e for e in events if e[0] < samples):
            if at > now:
                out[:, now:at] = self._samples(at - now)
                now = at
            if on:
                self.synth.noteon(channel, pitch, velocity)
            else:
                self.synth.noteoff(channel, pitch)
        out[:, now:] = self._samples(samples - now)
        self.synth.all_sounds_off(channel)
        return out

    def play_drums(self, hits: list[Hit], samples: int, bank: int, program: int) -> Audio:
        """Drum strokes by General MIDI percussion keys."""
        notes = [Note(h.start, 0.2, DRUM_NOTES[h.role], h.velocity) for h in hits]
        return self.play(notes, samples, bank, program)

    def _samples(self, count: int) -> Audio:
        interleaved = np.asarray(self.synth.get_samples(count), dtype=np.float32)
        return interleaved.reshape(-1, 2).T / np.float32(32768)


def play_patch(patch: Patch, notes: list[Note], samples: int) -> Audio:
    """Notes through a synthesiser, ``(2, samples)``."""
    out = np.zeros((2, samples), dtype=np.float32)
    memory: dict[tuple[int, int, int], Audio] = {}
    for note in notes:
        key = (round(note.pitch * 10), round(note.length * 100), round(note.velocity * 8))
        if key not in memory:
            memory[key] = patch.note(key[0] / 10, max(0.03, key[1] / 100), max(1, key[2]) / 8)
        add_at(out, memory[key], int(note.start * RATE))
    return out


@lru_cache(maxsize=512)
def read_sound(path: Path) -> Audio:
    """A sound file as ``(2, samples)`` at 44.1 kHz."""
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != RATE:
        sound = soxr.resample(sound, rate, RATE)
    sound = sound[:, [0, -1]].T
    return np.ascontiguousarray(sound, dtype=np.float32)


class OneShots:
    """Recorded single notes of one instrument, moved to the pitch asked for by resampling."""

    def __init__(self, items: list[Item], label: str) -> None:
        chosen = [
            i
            for i in items
            if i.fields["label"] == label
            and not re.search("noise|perc|mute|release|harm|ghost|arco|_up|_down", i.path.name)
        ]
        self.notes: list[tuple[float, Path]] = []
        for item in chosen:
            pitch = measured_pitch(item.path)
            if pitch is not None:
                self.notes.append((pitch, item.path))

    def play(self, rng: Rng, notes: list[Note], samples: int) -> Audio:
        """Notes (seconds) to ``(2, samples)``; the nearest recording, one of several takes at random."""
        out = np.zeros((2, samples), dtype=np.float32)
        for note in notes:
            ranked = sorted(self.notes, key=lambda entry: abs(entry[0] - note.pitch))
            near = [e for e in ranked if abs(e[0] - note.pitch) <= abs(ranked[0][0] - note.pitch) + 1.5][:6]
            pitch, path = near[int(rng.integers(len(near)))]
            sound = read_sound(path)
            count = int((note.length + 0.05) * RATE)
            position = np.arange(count) * float(frequency(note.pitch) / frequency(pitch))
            position = position[position < sound.shape[1] - 2]
            whole = position.astype(np.int64)
            part = (position - whole).astype(np.float32)
            moved = sound[:, whole] * (1 - part) + sound[:, whole + 1] * part
            fade = min(len(position), int(0.05 * RATE))
            if fade:
                moved[:, -fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
            add_at(out, moved * (0.25 + 0.75 * note.velocity) / (np.abs(sound).max() + 1e-6), int(note.start * RATE))
        return out


@lru_cache(maxsize=1024)
def measured_pitch(path: Path) -> float | None:
    """The MIDI pitch of a single note by autocorrelation; None where nothing periodic is found."""
    sound = read_sound(path)[0]
    start = int(0.1 * RATE) if len(sound) > 0.5 * RATE else 0
    x = sound[start : start + int(0.4 * RATE)]
    x = x - x.mean()
    if len(x) < 4000 or np.abs(x).max() < 0.01:
        return None
    power = np.fft.irfft(np.abs(np.fft.rfft(x, 2 * len(x))) ** 2)[: len(x)]
    power /= power[0] * (1 - 0.9 * np.arange(len(x)) / len(x))
    high = min(RATE // 25, len(x) - 2)
    fallen = np.flatnonzero(power[:high] < 0.5)  # past the peak at lag 0, which low notes make broad
    low = max(RATE // 1200, int(fallen[0])) if len(fallen) else high
    if low >= high - 2:
        return None
    peak = power[low:high].max()
    if peak < 0.88:
        return None
    lag = low + int(np.flatnonzero(power[low:high] > 0.92 * peak)[0])
    while lag < high and power[lag + 1] > power[lag]:
        lag += 1
    return float(69 + 12 * np.log2(RATE / lag / 440))


def overdrive(rng: Rng, sound: Audio) -> Audio:
    """A guitar amplifier: gain into a soft clipper, then a loudspeaker cabinet's band."""
    gain = float(np.exp(rng.uniform(np.log(3), np.log(60))))
    tight = sosfilt(butter(2, rng.uniform(70, 160) / (RATE / 2), "high", output="sos"), sound)
    level = np.abs(tight).max() + 1e-6
    driven = np.tanh(tight / level * gain)
    cabinet = butter(3, [70 / (RATE / 2), float(rng.uniform(3800, 6500)) / (RATE / 2)], "band", output="sos")
    return np.asarray(sosfilt(cabinet, driven), dtype=np.float32)
