"""``python -m models.flagger.fault_evidence CORPUS FLAGGER REVIEWER`` prints the table of `streaming.fault_curve`.

On the validation takes: for each kind in turn, of all lines on a grid the one with which faulty steps best rank before
the good ones of their own take, twice round. AUROC and pAUC(0.1) count, and AUROC of technical kinds once more up to
`ENOUGH`: a detector is there for its own kind first.
"""

from itertools import product
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from streaming.faults.faults import KINDS

from .evaluation import TECHNICAL, Curve, auroc, find_takes, partial_auc, step_labels
from .scorers import HOP_S, Listener, fault_curve, flagger_scorer

LEASTS, SLOPES = (0.1, 0.2, 0.3, 0.4, 0.5), (5.0, 10.0, 20.0, 40.0, 70.0)
FIRST = (0.2, 20.0)
ENOUGH = 0.98
PARTIAL, TECHNICAL_AGAIN = 0.5, 0.7
ROUNDS = 2
Line = tuple[float, float]


class Judged(NamedTuple):
    """Of a take: its kind, the network's log odds ``(n,)``, strengths ``(n, kinds)``, and what steps are, 1 faulty."""

    kind: str
    odds: NDArray[np.float64]
    strengths: NDArray[np.float32]
    labels: NDArray[np.int8]


def judged(corpus: Path, flagger: Path, reviewer: Path, split: str = "validation") -> list[Judged]:
    """All takes with faults."""
    listener = Listener(flagger, reviewer)
    score = flagger_scorer(listener)
    found = []
    for take in find_takes(corpus, split):
        if take.task != "fault":
            continue
        audio = take.audio()
        curve = score(audio)
        faults, _ = fault_curve(audio, listener.flagger.step_samples)
        count = len(curve.scores)
        strengths = np.stack([faults.strengths(kind, count) for kind in KINDS], axis=1)
        labels = step_labels(take, Curve(HOP_S, curve.scores, None))
        if (labels == 0).any() and (labels == 1).any():
            found.append(Judged(take.kind, np.log(curve.scores / (1 - curve.scores)), strengths, labels))
    return found


def worth(takes: list[Judged], table: dict[str, Line]) -> float:
    """How well faults rank, over takes and then over kinds."""
    by_kind: dict[str, list[tuple[float, float]]] = {}
    for take in takes:
        odds = take.odds.copy()
        for column, (least, slope) in enumerate(table.values()):
            odds += slope * np.maximum(0, take.strengths[:, column] - least)
        good, bad = odds[take.labels == 0], odds[take.labels == 1]
        by_kind.setdefault(take.kind, []).append((auroc(good, bad), partial_auc(good, bad)))
    means = {kind: np.mean(values, axis=0) for kind, values in by_kind.items()}
    technical = [min(ENOUGH, float(means[kind][0])) for kind in TECHNICAL if kind in means] or [0.0]
    whole = np.mean(list(means.values()), axis=0)
    return float(whole[0] + PARTIAL * whole[1] + TECHNICAL_AGAIN * np.mean(technical))


def chosen(takes: list[Judged]) -> dict[str, Line]:
    """The table."""
    table: dict[str, Line] = dict.fromkeys(KINDS, FIRST)
    best = worth(takes, table)
    for _, kind, line in product(range(ROUNDS), KINDS, product(LEASTS, SLOPES)):
        other = {**table, kind: line}
        if (value := worth(takes, other)) > best:
            best, table = value, other
    return table


def main(
    corpus: Annotated[Path, typer.Argument(help="takes that `python -m models.flagger.corpus` made")],
    flagger: Annotated[Path, typer.Argument(help="a flagger's file")],
    reviewer: Annotated[Path, typer.Argument(help="its reviewer's")],
) -> None:
    """Print the table."""
    for kind, line in chosen(judged(corpus, flagger, reviewer)).items():
        print(f'    "{kind}": {line},')


if __name__ == "__main__":
    typer.run(main)
