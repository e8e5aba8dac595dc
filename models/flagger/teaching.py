"""What a network of segments brings along: its memory of good audio, the weights of its evidence, its calibration.

Three sets of recordings that share no song: the memory's (what good audio sounds like), those that weights are fitted
on (with faults of `corruptions` put in), and those that calibrate (untouched). The network itself may be old or new.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.evidence import averaged, distances, file_evidence, live_evidence, log_odds, oddness
from streaming.features import MEL
from streaming.flag_picker import pick_flags
from streaming.flagger import FILE, LIVE, Flagger, Step
from streaming.segments import SegmentNetwork, Segments

from .clips import Clip
from .network import SEGMENT_FRAMES, STEP_FRAMES
from .recordings import RATE, Audio

MEMORY = 1536
"""Embeddings kept for each scale."""
POOL = 30_000
"""Embeddings that the memory is chosen from."""
CALIBRATION = 4096
FALSE_FLAGS_PER_10_MIN = 0.1
"""On the recordings that calibrate, at score 0.5."""
Array = NDArray[np.float32]
Double = NDArray[np.float64]


class Heard(NamedTuple):
    """What a network says of a recording's steps, and a reviewer, where there is one: log odds ``(n,)``."""

    embeddings: Array
    odds: Array
    reviewed: Array | None = None


class Taught(NamedTuple):
    """The constants of a model: ``(scales, M, D)``, ``(2, 3 × scales + 2)``, ``(2, C)``."""

    memory: Array
    weights: Array
    calibration: Array


def hear(flagger: Flagger, mono: Audio) -> Heard:
    """All steps of ``(n,)`` at 44.1 kHz."""
    flagger.prepare(RATE, 1)
    steps: list[Step] = []
    for at in range(0, len(mono), RATE * 10):
        steps += flagger.process(mono[None, at : at + RATE * 10], at)
    steps += flagger.flush()
    width = flagger.network.width
    embeddings = np.stack([s.embedding for s in steps]) if steps else np.zeros((0, width), np.float32)
    reviewed = flagger.review_odds(flagger.reviewed, len(steps)) if flagger.reviewed else None
    return Heard(embeddings, np.array([s.odds for s in steps], np.float32), reviewed)


def hear_clip(flagger: Flagger, clip: Clip) -> Heard:
    """All steps of a clip."""
    network = flagger.network
    frames = clip.frames.astype(np.float32)
    segments = np.lib.stride_tricks.sliding_window_view(frames, SEGMENT_FRAMES, axis=0)[::STEP_FRAMES]
    embeddings, classes = network.run(Segments(segments.transpose(0, 2, 1), clip.context.astype(np.float32)))
    reviewed = None
    if flagger.reviewer:
        flagger.reviewer.process(frames)
        reviewed = flagger.review_odds(flagger.reviewer.finish(), len(embeddings))
    return Heard(embeddings, log_odds(classes[:, 0]), reviewed)


def evidence_of(network: SegmentNetwork, heard: Heard, row: int) -> Array:
    """What `Flagger` has for each step, live or of a file."""
    known = network.scales, network.memory, heard.embeddings, heard.odds
    if row == LIVE:
        return live_evidence(*known)
    evidence = file_evidence(*known, network.steps_a_second)
    if heard.reviewed is not None:
        evidence[:, -1] = heard.reviewed
    return evidence


def memory_of(heard: Sequence[Heard], scales: Sequence[int], count: int = MEMORY, seed: int = 0) -> Array:
    """A coreset for each scale: those farthest from one another, so that rare good sounds are remembered too.

    The greedy k-centre choice of Sener and Savarese, Active Learning for Convolutional Neural Networks, ICLR 2018, from
    a sample, without its most outlying hundredth: those are more likely flaws than rarities.
    """
    rng = np.random.default_rng(seed)
    kept = []
    for scale in scales:
        pool = np.concatenate(
            [averaged(h.embeddings, scale - 1, 0)[min(scale, len(h.embeddings)) - 1 :] for h in heard]
        )
        pool = pool[rng.permutation(len(pool))[:POOL]]
        kept.append(coreset(pool, count, rng))
    return np.stack(kept)


def coreset(pool: Array, count: int, rng: np.random.Generator) -> Array:
    """``count`` of ``pool (n, D)``, repeated where there are fewer."""
    if len(pool) <= count:
        return np.resize(pool, (count, pool.shape[1])).astype(np.float32)
    sample = pool[rng.permutation(len(pool))[:2000]]
    apart = distances(pool, sample, 3)
    pool = pool[apart <= np.quantile(apart, 0.99)]
    chosen = [int(rng.integers(len(pool)))]
    nearest = np.square(pool - pool[chosen[0]]).sum(axis=1)
    for _ in range(count - 1):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.square(pool - pool[chosen[-1]]).sum(axis=1))
    return pool[chosen]


def step_shares(kinds: NDArray[np.uint8]) -> Double:
    """How much of each step's segment is faulty, from the classes of a clip's frames."""
    wrong = np.concatenate([[0.0], np.cumsum(kinds > 0)])
    ends = np.arange(SEGMENT_FRAMES, len(kinds) + 1, STEP_FRAMES)
    share: Double = (wrong[ends] - wrong[ends - SEGMENT_FRAMES]) / SEGMENT_FRAMES
    return share


def fit_weights(network: SegmentNetwork, clips: Sequence[tuple[Heard, Clip]], row: int) -> Array:
    """Weights of the evidence: a logistic regression, every clip counting the same, no weight below zero.

    Columns that say nothing in this row stay at zero. The threshold is `set_threshold`'s.
    """
    rows, labels, weights = [], [], []
    for heard, clip in clips:
        share = step_shares(clip.kinds)[: len(heard.odds)]
        evidence = evidence_of(network, heard, row)[: len(share)]
        sure = (share >= 0.5) | (share == 0)
        rows.append(evidence[sure])
        labels.append(share[sure] >= 0.5)
        weights.append(np.full(int(sure.sum()), 1 / max(1, sure.sum())))
    x, y, w = np.concatenate(rows).astype(np.float64), np.concatenate(labels), np.concatenate(weights)
    w = w * np.where(y, 0.5 / w[y].sum(), 0.5 / w[~y].sum())
    spread = x.std(axis=0)
    used = spread > 1e-6
    z = np.where(used, (x - x.mean(axis=0)) / np.where(used, spread, 1), 0)
    found = np.zeros(x.shape[1])
    bias = 0.0
    for _ in range(3000):  # projected gradient: there are a dozen numbers
        p = 1 / (1 + np.exp(-(z @ found + bias)))
        slope = w * (p - y)
        found = np.maximum(0, found - 2.0 * (z.T @ slope + 1e-4 * found)) * used
        bias -= 2.0 * float(slope.sum())
    raw = np.where(used, found / np.where(used, spread, 1), 0)
    out: Array = np.append(raw, bias - float(raw @ x.mean(axis=0))).astype(np.float32)
    return out


def set_threshold(network: SegmentNetwork, good: Sequence[Heard], weights: Array, row: int) -> tuple[Array, Array]:
    """Weights whose sum is 0 where good recordings have few false flags; and the calibration. Each ``(…,)``."""
    numbers = [oddness(evidence_of(network, h, row), weights) for h in good]
    minutes = sum(len(n) for n in numbers) * STEP_FRAMES / MEL.frame_rate / 60
    allowed = max(0.5, FALSE_FLAGS_PER_10_MIN * minutes / 10)
    low, high = (float(np.quantile(np.concatenate(numbers), q)) for q in (0.5, 1))
    high += 1e-3
    for _ in range(24):
        middle = (low + high) / 2
        if count_flags(numbers, middle) > allowed:
            low = middle
        else:
            high = middle
    moved = weights.copy()
    moved[-1] -= high
    all_numbers = np.sort(np.concatenate(numbers) - high)
    places = np.linspace(0, len(all_numbers) - 1, network.calibration.shape[1]).round().astype(int)
    calibration: Array = all_numbers[places].astype(np.float32)
    return moved, calibration


def count_flags(numbers: Sequence[Double], threshold: float) -> int:
    """Flags in recordings whose steps have these numbers."""
    total = 0
    step = STEP_FRAMES * MEL.hop_samples
    for values in numbers:
        scores = 1 / (1 + np.exp(-np.clip(values - threshold, -40, 40)))
        nothing = np.zeros(0, np.float32)
        steps = [Step(i * step, float(s), 1.0, "odd", 0.0, 0.0, 0.0, nothing) for i, s in enumerate(scores)]
        total += len(pick_flags(steps, step, RATE))
    return total


def teach(
    network: SegmentNetwork, remembered: Sequence[Heard], clips: Sequence[tuple[Heard, Clip]], good: Sequence[Heard]
) -> Taught:
    """All three, for a network. Without ``clips`` the network's own weights stay, but for the threshold."""
    network.memory = memory_of(remembered, network.scales, network.memory.shape[1])
    rows = []
    for row in (LIVE, FILE):
        weights = fit_weights(network, clips, row) if clips else network.weights[row]
        rows.append(set_threshold(network, good, weights, row))
    network.weights = np.stack([weights for weights, _ in rows])
    network.calibration = np.stack([calibration for _, calibration in rows])
    return Taught(network.memory, network.weights, network.calibration)


def measured(flagger: Flagger, audio: Iterator[Audio]) -> list[Heard]:
    """`hear` for many, those too short to say anything left out."""
    heard = (hear(flagger, mono) for mono in audio)
    return [h for h in heard if len(h.odds)]
