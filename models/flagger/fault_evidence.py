"""``python -m models.flagger.fault_evidence CORPUS FLAGGER REVIEWER`` prints the table of `streaming.fault_curve`.

On the validation takes: log odds at each grade of strength, rising, so that faulty steps rank before the good ones of
their own take. The loss is the share of pairs in the wrong order, made smooth; all takes of a kind count as much as all
of any other, and those of technical kinds more: a detector is there for its own kind first.

A ranking loss of this form: Burges et al., "Learning to Rank using Gradient Descent", ICML 2005.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from streaming.fault_curve import EVIDENCE, GRADES, TECHNICAL, FaultCurve
from streaming.keep import log_odds

from .evaluation import Curve, find_takes, step_labels
from .scorers import HOP_S, Listener, fault_curve, flagger_scorer

KINDS = tuple(EVIDENCE)
TECHNICAL_WEIGHT = 4.0
STEPS, RATE = 120, 0.15
LEANEST = 1e-4
"""What a log odd more costs: none is given for nothing."""
GOOD, BAD = 120, 50
"""The most steps of a take, drawn."""


class Judged(NamedTuple):
    """Of a take: its kind, the network's log odds ``(n,)``, strengths ``(n, kinds)``, and what steps are, 1 faulty."""

    kind: str
    odds: NDArray[np.float64]
    strengths: NDArray[np.float32]
    labels: NDArray[np.int8]


class HeardTake(NamedTuple):
    """Of a take: its kind, what network and detectors said, log odds of its steps, and what they are: 1 faulty, 0 good,
    -1 neither, ``(n,)`` each."""

    kind: str
    curve: Curve
    faults: FaultCurve
    odds: NDArray[np.float64]
    labels: NDArray[np.int8]


def heard_takes(corpus: Path, listener: Listener, split: str) -> Iterator[HeardTake]:
    """The takes of a corpus with faults, and with good passages beside them."""
    score = flagger_scorer(listener)
    for take in find_takes(corpus, split):
        if take.task != "fault":
            continue
        audio = take.audio()
        curve = score(audio)
        labels = step_labels(take, Curve(HOP_S, curve.scores, None))
        if (labels == 0).any() and (labels == 1).any():
            faults, _ = fault_curve(audio, listener.flagger.step_samples)
            yield HeardTake(take.kind, curve, faults, log_odds(curve.scores), labels)


def judged(corpus: Path, flagger: Path, reviewer: Path, split: str = "validation") -> list[Judged]:
    """All its takes with faults."""
    found = []
    for take in heard_takes(corpus, Listener(flagger, reviewer), split):
        strengths = np.stack([take.faults.strengths(kind, len(take.odds)) for kind in KINDS], axis=1)
        found.append(Judged(take.kind, take.odds, strengths, take.labels))
    return found


class _Take(NamedTuple):
    """What is learned from: odds and `grown` strengths of good and of faulty steps."""

    good: Tensor
    good_grades: Tensor
    bad: Tensor
    bad_grades: Tensor
    weight: float


def grown(strengths: NDArray[np.floating]) -> NDArray[np.float32]:
    """Strengths ``(n, kinds)`` to how much of each grade's rise they have, ``(n, kinds, grades - 1)``, 0 … 1."""
    low, high = np.array(GRADES[:-1]), np.array(GRADES[1:])
    shares: NDArray[np.float32] = np.clip((strengths[:, :, None] - low) / (high - low), 0, 1).astype(np.float32)
    return shares


def wrong_pairs(takes: list[_Take], rises: Tensor) -> Tensor:
    """The weighted share of pairs, smooth. ``rises (kinds * (grades - 1),)``."""
    total = torch.zeros(())
    for take in takes:
        good, bad = take.good + take.good_grades @ rises, take.bad + take.bad_grades @ rises
        total = total + take.weight * torch.sigmoid(good[:, None] - bad[None]).mean()
    return total / sum(take.weight for take in takes)


def chosen(takes: list[Judged]) -> dict[str, tuple[float, ...]]:
    """The table: log odds of each kind at `GRADES`."""
    rng, ready = np.random.default_rng(0), []
    of = {kind: sum(take.kind == kind for take in takes) for kind in {take.kind for take in takes}}
    for take in takes:
        grades = grown(take.strengths).reshape(len(take.labels), -1)
        odds, ranked = torch.from_numpy(take.odds.astype(np.float32)), torch.from_numpy(grades)
        steps = [np.flatnonzero(take.labels == label) for label in (0, 1)]
        good, bad = (
            torch.from_numpy(rng.choice(at, min(len(at), most), replace=False))
            for at, most in zip(steps, (GOOD, BAD), strict=True)
        )
        weight = (TECHNICAL_WEIGHT if take.kind in TECHNICAL else 1.0) / of[take.kind]
        ready.append(_Take(odds[good], ranked[good], odds[bad], ranked[bad], weight))
    raw = torch.full((len(KINDS) * (len(GRADES) - 1),), -2.0, requires_grad=True)
    optimiser = torch.optim.Adam([raw], RATE)
    for _ in range(STEPS):
        rises = F.softplus(raw)
        loss = wrong_pairs(ready, rises) + LEANEST * rises.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    table = F.softplus(raw).detach().view(len(KINDS), -1).cumsum(1).numpy()
    return {kind: (0.0, *(round(float(v), 1) for v in row)) for kind, row in zip(KINDS, table, strict=True)}


def main(
    corpus: Annotated[Path, typer.Argument(help="takes that `python -m models.flagger.corpus` made")],
    flagger: Annotated[Path, typer.Argument(help="a flagger's file")],
    reviewer: Annotated[Path, typer.Argument(help="its reviewer's")],
) -> None:
    """Print the table."""
    for kind, row in chosen(judged(corpus, flagger, reviewer)).items():
        print(f'    "{kind}": {row},')


if __name__ == "__main__":
    typer.run(main)
