"""What is judged: the flagger with the detectors of `streaming.faults`, and what anybody would try first.

Each turns a take into a curve of how odd it is, every 0.16 s from its beginning (`evaluation.Curve`).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streaming.features import MEL
from streaming.flag_picker import THRESHOLD, pick_flags
from streaming.flagger import Flagger, Step

from .clips import mel
from .evaluation import Curve, Scorer
from .network import SEGMENT_FRAMES, STEP_FRAMES
from .recordings import RATE, Audio

HOP_S = STEP_FRAMES / MEL.frame_rate
BLOCK = 10 * RATE
Double = NDArray[np.float64]


def flagger_steps(flagger: Flagger, audio: Audio, live: bool = False) -> list[Step]:
    """The steps of ``(channels, samples)``, reviewed unless ``live``."""
    flagger.prepare(RATE, len(audio))
    steps: list[Step] = []
    for at in range(0, audio.shape[1], BLOCK):
        steps += flagger.process(audio[:, at : at + BLOCK], at)
    steps += flagger.flush()
    return steps if live else flagger.review(steps)


def flagger_scorer(model: Path, live: bool = False, threshold: float = THRESHOLD) -> Scorer:
    """The learned flagger alone, as a file's or as it is live."""
    flagger = Flagger(model)

    def score(audio: Audio) -> Curve:
        steps = flagger_steps(flagger, audio, live)
        flags = pick_flags(steps, flagger.step_samples, RATE, threshold)
        return Curve(HOP_S, on_grid(steps, audio.shape[1]), flags)

    return score


def on_grid(steps: Sequence[Step], samples: int) -> Double:
    """Scores every `HOP_S` from 0, the first and the last held to the ends."""
    count = max(1, round(samples / RATE / HOP_S))
    if not steps:
        return np.zeros(count)
    at = np.array([step.position for step in steps]) / RATE / HOP_S
    nearest = np.clip(np.searchsorted(at, np.arange(count) - 1e-6), 0, len(steps) - 1)
    return np.array([step.score for step in steps])[nearest]


def energy_scorer(audio: Audio) -> Curve:
    """How far the level lies from the take's median, in dB: what a gate or a meter would tell."""
    frames = mel(audio.mean(axis=0)).astype(np.float32)
    levels = per_segment(frames.mean(axis=1))
    return Curve(HOP_S, np.abs(levels - np.median(levels)), [])


def random_scorer(audio: Audio) -> Curve:
    """Nothing is known."""
    count = max(1, round(audio.shape[1] / RATE / HOP_S))
    return Curve(HOP_S, np.random.default_rng(audio.shape[1]).random(count), [])


def per_segment(values: NDArray[np.float32]) -> Double:
    """A value a frame to its mean over the segment around every step."""
    half = SEGMENT_FRAMES // 2
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    centres = np.arange(0, len(values), STEP_FRAMES)
    first, last = np.maximum(0, centres - half), np.minimum(len(values), centres + half)
    mean: Double = (total[last] - total[first]) / (last - first)
    return mean
