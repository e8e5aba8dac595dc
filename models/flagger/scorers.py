"""What is judged: the flagger with the detectors of `streaming.faults`, and what anybody would try first.

Each turns a take into a curve of how odd it is, every 0.16 s from its beginning (`evaluation.Curve`).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streaming.evidence import score_of
from streaming.fault_curve import REPAIRED, FaultCurve
from streaming.faults.faults import Faults
from streaming.faults.whole_file import settled
from streaming.features import MEL
from streaming.flag_picker import THRESHOLD, pick_flags
from streaming.flagger import Flagger, Step, grid_odds
from streaming.flags import Flag
from streaming.judge import Judge
from streaming.keep import log_odds
from streaming.reviewer import Reviewer

from .clips import mel
from .evaluation import Curve, Scorer
from .network import SEGMENT_FRAMES, STEP_FRAMES
from .recordings import RATE, Audio

HOP_S = STEP_FRAMES / MEL.frame_rate
BLOCK = 10 * RATE
Double = NDArray[np.float64]


class Listener:
    """A model's ear, which hears a take once however many scorers ask. ``file`` and ``live`` steps of the last one."""

    def __init__(self, model: Path, reviewer: Path | None = None, judge: Path | None = None) -> None:
        self.flagger = Flagger(model)
        if reviewer and self.flagger.needs_reviewer:
            self.flagger.reviewer = Reviewer(reviewer)
            self.flagger.judge = Judge(judge) if judge else None
        self._audio: Audio | None = None

    def hear(self, audio: Audio) -> None:
        if audio is self._audio:
            return
        flagger = self.flagger
        flagger.prepare(RATE, len(audio))
        self.live: list[Step] = []
        for at in range(0, audio.shape[1], BLOCK):
            self.live += flagger.process(audio[:, at : at + BLOCK], at)
        self.live += flagger.flush()
        self.file = flagger.review(self.live, reviewed=flagger.reviewed)
        self._audio = audio


def flagger_scorer(listener: Listener, live: bool = False) -> Scorer:
    """A network of kind ``segments`` alone, as it judges a file, or as it is live."""

    def score(audio: Audio) -> Curve:
        listener.hear(audio)
        steps = listener.live if live else listener.file
        flags = pick_flags(steps, listener.flagger.step_samples, RATE, THRESHOLD)
        review = None if live else listener.flagger.reviewed
        p_values = np.array([step.p_value for step in steps]) if steps else None
        count = count_of(audio)
        odds = grid_odds(steps, listener.flagger.step_samples, count) if steps else np.zeros(count)
        return Curve(HOP_S, score_of(odds), flags, review, p_values)

    return score


def system_scorer(listener: Listener, live: bool = False) -> Scorer:
    """The same with the detectors of technical faults."""
    alone = flagger_scorer(listener, live)

    def score(audio: Audio) -> Curve:
        heard = alone(audio)
        step, count = listener.flagger.step_samples, len(heard.scores)
        faults, found = fault_curve(audio, step)
        told = found if live else settled(found, faults, count, step, RATE)
        odds = log_odds(heard.scores)
        added = (
            faults.evidence(count, without) if live else listener.flagger.added_odds(odds, faults, without)
            for without in ((), REPAIRED)
        )
        scores, to_cut = (score_of(odds + more) for more in added)
        review = heard.review and heard.review.with_edges(at * step / RATE for at in faults.beginnings)
        return heard._replace(scores=scores, flags=[*(heard.flags or []), *told], review=review, to_cut=to_cut)

    return score


def count_of(audio: Audio) -> int:
    return max(1, round(float(audio.shape[1] / RATE / HOP_S)))


def fault_curve(audio: Audio, step_samples: int) -> tuple[FaultCurve, list[Flag]]:
    """What the detectors say of a take."""
    faults, curve = Faults(), FaultCurve(step_samples)
    faults.prepare(RATE, len(audio))
    flags: list[Flag] = []
    for at in range(0, audio.shape[1], BLOCK):
        found = faults.process(audio[:, at : at + BLOCK], at)
        curve.add(faults.strengths, found)
        flags += found
    found = faults.flush()
    curve.add(faults.strengths, found)
    return curve, flags + found


def energy_scorer(audio: Audio) -> Curve:
    """How far the level lies from the take's median, in dB: what a gate or a meter would tell."""
    frames = mel(audio.mean(axis=0)).astype(np.float32)
    levels = per_segment(frames.mean(axis=1))
    return Curve(HOP_S, np.abs(levels - np.median(levels)), None)


def random_scorer(audio: Audio) -> Curve:
    """Nothing is known."""
    count = max(1, round(audio.shape[1] / RATE / HOP_S))
    return Curve(HOP_S, np.random.default_rng(audio.shape[1]).random(count), None)


def per_segment(values: NDArray[np.float32]) -> Double:
    """A value a frame to its mean over the segment around every step."""
    half = SEGMENT_FRAMES // 2
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    centres = np.arange(0, len(values), STEP_FRAMES)
    first, last = np.maximum(0, centres - half), np.minimum(len(values), centres + half)
    mean: Double = (total[last] - total[first]) / (last - first)
    return mean
