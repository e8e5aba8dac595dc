"""The learned flagger: hears audio as it comes and says every sixth of a second how odd it sounds, and why.

::

    block ──▶ frames ──▶ segment and context ──▶ network ──▶ odds, embedding ──▶ evidence ──▶ score, p-value
                         each step, 0.16 s                   pooled to beat, bar, phrase

A step speaks of the middle of its segment, so what it says comes half a segment late (`Flagger.latency_samples`). For a
whole file `Flagger.review` judges the same steps once more: with both sides of every passage, and with the rest of the
recording as a witness.

Runs in the engine's process, in work that may take a millisecond: a step allocates what it needs and leaves nothing
behind but what a phrase holds.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError
from .evidence import NEAREST, distances, file_evidence, live_evidence, log_odds, oddness, p_values, score_of
from .fault_curve import FaultCurve
from .features import mel_edges, open_features
from .judge import Judge, knowledge
from .keep import log_odds as odds_of
from .reviewer import REVIEWED_S, Review, Reviewer
from .segments import SegmentNetwork, Segments
from .session import OnnxModel

Array = NDArray[np.float32]

LIVE, FILE = 0, 1
"""Rows of a model's weights and calibration."""
_BAND_SHARE = 0.5
"""A band belongs to what is odd where it deviates at least this share of the greatest deviation."""
_FINE_WITHIN = 1.0
"""Nearer than this times `Flagger.radius` to something learned as fine, a passage is as good as the usual."""


class Step(NamedTuple):
    """What is said of one step.

    ``position`` is the middle of the segment in samples of the source. ``score`` 0 … 1 (0.5: the shipped threshold),
    ``p_value`` conformal, ``kind`` the class it most resembles, ``low_hz`` to ``high_hz`` where in the spectrum it
    departs from what was heard before. ``odds`` and ``embedding (D,)`` are what `Flagger.review` and
    `Flagger.learn` take.
    """

    position: int
    score: float
    p_value: float
    kind: str
    low_hz: float
    high_hz: float
    odds: float
    embedding: Array


class Flagger:
    """A model's ear.

    Attributes:
        live: whether steps are judged as they come; without, `review` judges them first, and time is saved.
        reviewer: hears the same frames, for files; None where there is none, as live.
        reviewed: what it said of all that was heard before the last `flush`.
        judge: weighs what all say of a file, where there was a reviewer; None where there is none.

    Raises:
        ModelError: the model is of another kind.
    """

    def __init__(self, model: OnnxModel | Path | str) -> None:
        self.live = True
        self.reviewer: Reviewer | None = None
        self.reviewed: Review | None = None
        self.judge: Judge | None = None
        self.network = SegmentNetwork(model if isinstance(model, OnnxModel) else OnnxModel.open(model))
        self._edges = mel_edges(self.network.features)
        self._fine: list[Array] = []
        beats = self.network.memory[0]
        sample = beats[:: max(1, len(beats) // 256)]
        self.radius = float(np.median(distances(sample, beats, NEAREST + 1))) * 2 or 1e-3
        """How near two passages are that sound alike: twice what is usual from one memory to the next."""

    def prepare(self, rate: int, channels: int) -> None:
        """Get ready for blocks ``(channels, n)`` at ``rate``. Raises `ModelError` where its frames do not fit."""
        if channels < 1:
            raise ModelError(f"{channels} channels, expected at least one")
        self._rate = rate
        self._frames = open_features(self.network.features, rate)
        self._segmenter = self.network.segmenter()
        self.step_samples = self.network.step_frames * self._frames.hop_samples
        half = self.network.segment_frames // 2 * self._frames.hop_samples
        self.latency_samples = self._frames.delay_samples + half
        """From the middle of a segment until it is judged, at the latest."""
        self.reset()

    def reset(self) -> None:
        """Forget all that was heard; what was learned as fine stays."""
        self._frames.reset()
        self._segmenter.reset()
        if self.reviewer:
            self.reviewer.reset()
        self._steps = 0
        self._next: int | None = None
        self._origin = 0
        self._past_embeddings = np.zeros((0, self.network.width), np.float32)
        self._past_odds = np.zeros(0, np.float32)

    def process(self, block: Array, position: int) -> list[Step]:
        """The steps that a block ``(channels, n)`` completes. ``position`` is that of its first sample; where it does
        not follow on the last block's end, listening begins anew."""
        if position != self._next:
            self.reset()
            self._origin = position
        self._next = position + block.shape[1]
        return self._judge(self._frames.process(block.mean(axis=0, dtype=np.float32)))

    def flush(self) -> list[Step]:
        """The last steps, with silence after the end. Then `reset`."""
        steps = self._judge(self._frames.flush())
        self.reviewed = self.reviewer.finish() if self.reviewer else None
        self.reset()
        return steps

    def _judge(self, frames: Array) -> list[Step]:
        if self.reviewer:
            self.reviewer.process(frames)
        segments = self._segmenter.process(frames)
        if not len(segments.frames):
            return []
        embeddings, classes = self.network.run(segments)
        network, count = self.network, len(embeddings)
        odds = log_odds(classes[:, 0])
        odd = self._judge_live(embeddings, odds) if self.live else np.zeros(count)
        scores, p = score_of(odd), p_values(odd, network.calibration[LIVE])
        kinds = classes[:, 1:].argmax(axis=1) + 1
        bands = self._bands(segments)
        hop, middle = self._frames.hop_samples, self.network.segment_frames // 2
        steps = []
        for i in range(count):
            at = self._origin + ((self._steps + i) * self.network.step_frames + middle) * hop
            kind = self.network.classes[kinds[i]]
            values = float(scores[i]), float(p[i]), kind, *bands[i], float(odds[i])
            steps.append(Step(at, *values, embeddings[i]))
        self._steps += count
        return steps

    def _judge_live(self, embeddings: Array, odds: Array) -> NDArray[np.float64]:
        """How odd steps are by themselves and what came before."""
        network = self.network
        all_embeddings = np.concatenate([self._past_embeddings, embeddings])
        all_odds = np.concatenate([self._past_odds, odds])
        evidence = live_evidence(network.scales, network.memory, all_embeddings, all_odds, len(embeddings))
        keep = max(0, len(all_odds) - network.scales[-1] + 1)
        self._past_embeddings, self._past_odds = all_embeddings[keep:], all_odds[keep:]
        return self._forgive(oddness(evidence, network.weights[LIVE]), embeddings, LIVE)

    def review(
        self,
        steps: Sequence[Step],
        groups: Sequence[NDArray[np.int64] | None] | None = None,
        reviewed: Review | None = None,
    ) -> list[Step]:
        """All the steps of a file judged anew, each with what comes after it and with the rest of the file.

        Args:
            groups: for each scale which bar, say, each step belongs to, rising; None hears a scale around each step.
            reviewed: what the reviewer said of the file, where there was one.
        """
        if not steps:
            return []
        network = self.network
        embeddings = np.stack([step.embedding for step in steps])
        odds = np.array([step.odds for step in steps], np.float32)
        evidence = file_evidence(network.scales, network.memory, embeddings, odds, network.steps_a_second, groups)
        if reviewed:
            evidence[:, -1] = self.review_odds(reviewed, len(steps))
        odd = oddness(evidence, network.weights[FILE])
        odd = self._forgive(odd, embeddings, FILE)
        scores, p = score_of(odd), p_values(odd, network.calibration[FILE])
        return [
            step._replace(score=float(score), p_value=float(value))
            for step, score, value in zip(steps, scores, p, strict=True)
        ]

    @property
    def needs_reviewer(self) -> bool:
        """Whether the model counts on one for files."""
        return bool(self.network.weights[FILE][-2])

    def review_odds(self, reviewed: Review, count: int) -> Array:
        """The reviewer's log odds of the first ``count`` steps ``(count,)``."""
        network = self.network
        middles = np.arange(count) * network.step_frames + network.segment_frames // 2
        return reviewed.odds(middles / network.features.frame_rate, REVIEWED_S)

    def added_odds(
        self, odds: NDArray[np.float64], faults: FaultCurve, without: Collection[str] = ()
    ) -> NDArray[np.float64]:
        """What detectors, and where there is one the judge, add to the network's odds of a file, ``(n,)``.

        Args:
            odds: of every step from the beginning on, as `on_grid` gives them.
            faults: strengths of the detectors; those of the kinds ``without`` count as none.
        """
        added = faults.evidence(len(odds), without)
        if self.judge and self.reviewed:
            added = added + self.judge.adds(knowledge(odds, self.reviewed, faults, without))
            added = added + faults.certainty(len(odds), without)
        return added

    def learn(self, step: Step | Array) -> None:
        """This was fine: from now on what sounds like it is, too. A step or its embedding ``(D,)``."""
        embedding = step.embedding if isinstance(step, Step) else np.asarray(step, np.float32)
        if embedding.shape != (self.network.width,):
            raise ModelError(f"an embedding of shape {embedding.shape}, but this model's are {(self.network.width,)}")
        self._fine.append(embedding.copy())

    def forget(self, count: int = 1) -> None:
        """Take back the last ``count`` of what was learned as fine."""
        del self._fine[max(0, len(self._fine) - count) :]

    @property
    def fine(self) -> Array:
        """All that was learned as fine, ``(n, D)``, the latest last; to be kept and given to `learn` again."""
        return np.stack(self._fine) if self._fine else np.zeros((0, self.network.width), np.float32)

    def _forgive(self, odd: NDArray[np.float64], embeddings: Array, row: int) -> NDArray[np.float64]:
        if not self._fine:
            return odd
        near = distances(embeddings, self.fine, 1) / self.radius
        share = np.clip(2 - near / _FINE_WITHIN, 0, 1)
        usual = float(np.median(self.network.calibration[row]))
        forgiven: NDArray[np.float64] = odd - share * np.maximum(0, odd - usual)
        return forgiven

    def _bands(self, segments: Segments) -> list[tuple[float, float]]:
        """Where each segment departs most from its context (Hz); everything where it does nowhere."""
        apart = np.abs(segments.frames.mean(axis=1) - segments.context[:, 0])
        found = []
        for row in apart:
            top = int(row.argmax())
            weak = row < _BAND_SHARE * row[top]
            if row[top] <= 0:
                found.append((0.0, self._rate / 2))
                continue
            below, above = np.flatnonzero(weak[:top]), np.flatnonzero(weak[top:])
            first = int(below[-1]) + 1 if len(below) else 0
            last = top + int(above[0]) if len(above) else len(row)
            low = 0.0 if first == 0 else float(self._edges[first])
            high = self._rate / 2 if last == len(row) else float(self._edges[last + 1])
            found.append((low, min(high, self._rate / 2)))
        return found


def on_grid(steps: Sequence[Step], hop: float, count: int) -> NDArray[np.int64]:
    """Which step speaks for each of ``count`` moments, ``hop`` samples apart, the first at 0; the first and the last
    step do for the ends."""
    at = np.round(np.array([step.position for step in steps]) / hop).astype(int)
    nearest: NDArray[np.int64] = np.clip(np.searchsorted(at, np.arange(count)), 0, len(at) - 1)
    return nearest


def grid_odds(steps: Sequence[Step], hop: float, count: int) -> NDArray[np.float64]:
    """Log odds of those moments."""
    return odds_of(np.array([step.score for step in steps])[on_grid(steps, hop, count)])
