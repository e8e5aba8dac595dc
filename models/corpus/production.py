"""The studio: tone, dynamics, room and place of each stem, and the level of the whole.

Every effect works on ``(2, samples)`` float32 at 44.1 kHz. What is done to the mix is gain alone, the same for all
stems at each moment, so that the stems still sum to the mix.
"""

import numpy as np
import pedalboard
from pedalboard import Plugin
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import oaconvolve

from .synth import RATE, Audio, Rng, reverb_impulse

STEMS = ("vocals", "drums", "bass", "other")


def to_stereo(mono: Audio, pan: float = 0.0) -> Audio:
    """A mono signal at a place from -1 (left) to 1 (right), at constant power."""
    angle = (pan + 1) * np.pi / 4
    return np.stack([mono * np.float32(np.sqrt(2) * np.cos(angle)), mono * np.float32(np.sqrt(2) * np.sin(angle))])


def balance(sound: Audio, pan: float) -> Audio:
    """A stereo signal leaned to one side."""
    return sound * np.array([[min(1.0, 1 - pan)], [min(1.0, 1 + pan)]], dtype=np.float32)


def width(sound: Audio, amount: float) -> Audio:
    """Side signal times ``amount``: 0 is mono."""
    middle, side = (sound[0] + sound[1]) / 2, (sound[0] - sound[1]) / 2 * np.float32(amount)
    return np.stack([middle + side, middle - side])


def active_level(sound: Audio) -> float:
    """Root mean square over the 0.4 s frames within 25 dB of the loudest; 0 for silence."""
    frame = int(0.4 * RATE)
    count = sound.shape[1] // frame
    if not count:
        return 0.0
    power = (sound[:, : count * frame] ** 2).reshape(sound.shape[0], count, frame).mean(axis=(0, 2))
    loud = power[power > power.max() * 10**-2.5]
    return float(np.sqrt(loud.mean())) if len(loud) and power.max() > 1e-10 else 0.0


def set_level(sound: Audio, level_db: float) -> Audio:
    """Scale to an active level in dB of full scale; silence stays silent."""
    now = active_level(sound)
    return sound * np.float32(10 ** (level_db / 20) / now) if now > 1e-6 else sound * np.float32(0)


def process(sound: Audio, plugins: list[Plugin]) -> Audio:
    """Run a chain of pedalboard effects."""
    for plugin in plugins:
        sound = plugin(sound, RATE)
    return sound


def tone(rng: Rng, amount_db: float) -> list[Plugin]:
    """A random equaliser: shelves at both ends and one bell."""
    low, mid, high = rng.uniform(-amount_db, amount_db, 3)
    return [
        pedalboard.LowShelfFilter(float(rng.uniform(90, 300)), float(low)),
        pedalboard.PeakFilter(float(np.exp(rng.uniform(np.log(300), np.log(5000)))), float(mid), 0.8),
        pedalboard.HighShelfFilter(float(rng.uniform(3000, 9000)), float(high)),
    ]


def compressor(rng: Rng, sound: Audio) -> list[Plugin]:
    """Gentle to firm compression, its threshold set from the level at hand."""
    level_db = 20 * np.log10(active_level(sound) + 1e-6)
    return [
        pedalboard.Compressor(
            threshold_db=float(level_db + rng.uniform(-6, 4)),
            ratio=float(rng.uniform(1.5, 5)),
            attack_ms=float(rng.uniform(2, 25)),
            release_ms=float(rng.uniform(50, 250)),
        )
    ]


class Room:
    """The song's reverb: one impulse response that all stems send to, each into its own return.

    A convolution is linear, so each stem's return is exactly its share of the wet sound.
    """

    def __init__(self, rng: Rng, recorded: list[Audio]) -> None:
        self.recorded = bool(recorded and rng.random() < 0.4)
        if self.recorded:
            impulse = recorded[int(rng.integers(len(recorded)))][:, : 4 * RATE]
            self.impulse = impulse / np.sqrt((impulse**2).sum() / 2 + 1e-9)
        else:
            self.impulse = reverb_impulse(
                rng, float(np.exp(rng.uniform(np.log(0.25), np.log(3.5)))), float(rng.uniform(0.3, 0.9))
            )

    def wet(self, sound: Audio, send_db: float) -> Audio:
        """The dry signal with its return."""
        back = np.stack([oaconvolve(s, i)[: sound.shape[1]] for s, i in zip(sound, self.impulse, strict=True)])
        return np.asarray(sound + back * 10 ** (send_db / 20), dtype=np.float32)


def duck(sound: Audio, kicks_s: list[float], depth: float, release_s: float) -> Audio:
    """Sidechain pumping: a dip at each kick."""
    gain = np.ones(sound.shape[1], dtype=np.float32)
    shape = 1 - depth * np.exp(-np.arange(int(release_s * 4 * RATE)) / (release_s * RATE))
    for kick in kicks_s:
        start = int(kick * RATE)
        part = gain[start : start + len(shape)]
        np.minimum(part, shape[: len(part)], out=part)
    return sound * gain


def master(rng: Rng, stems: dict[str, Audio], peak: float = 0.97) -> dict[str, Audio]:
    """Bring the mix to a level: a limiter's gain, the same for every stem."""
    mix = np.sum(list(stems.values()), axis=0)
    loudness_db = float(rng.uniform(-22, -11))
    raised = 10 ** (loudness_db / 20) / (active_level(mix) + 1e-6)
    # a stem may be louder than the mix where stems cancel, and none may clip
    loudest = np.maximum.reduce([np.abs(mix), *(np.abs(sound) for sound in stems.values())]).max(axis=0)
    envelope = loudest * raised
    ceiling = float(rng.uniform(0.6, peak))
    reach = int(0.004 * RATE)
    held = maximum_filter1d(envelope, 2 * reach + 1, mode="nearest")
    gain = np.minimum(1.0, ceiling / np.maximum(held, 1e-9))
    gain = _release(gain, 0.12)
    gain = uniform_filter1d(gain, reach, mode="nearest") * raised
    return {name: (sound * gain).astype(np.float32) for name, sound in stems.items()}


def _release(gain: Audio, seconds: float) -> Audio:
    """Let a gain fall at once and rise slowly, in steps of 64 samples."""
    step = 64
    blocks = np.minimum.reduceat(gain, np.arange(0, len(gain), step))
    rise = 1 - np.exp(-step / (seconds * RATE))
    now = 1.0
    for i, value in enumerate(blocks):
        now = min(float(value), now + (1 - now) * rise)
        blocks[i] = now
    smooth = np.repeat(blocks, step)[: len(gain)]
    return np.asarray(np.minimum(smooth, gain))
