"""``python -m models.flagger.fault_evidence CORPUS FLAGGER REVIEWER`` prints the table of `streaming.fault_curve`.

On the validation takes: for each kind a rising line of pieces over its strength, added to the network's log odds, so
that faulty steps rank before the good ones of their own take. The loss is that of pairs (Burges et al., RankNet, ICML
2005), every take counting the same; what a kind does not need stays at zero.
"""

from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch.nn import functional as F

from streaming.fault_curve import GRADES
from streaming.faults.faults import KINDS

from .evaluation import Curve, find_takes, step_labels
from .scorers import HOP_S, Listener, fault_curve, flagger_scorer

SMALL = 2e-3
"""What a slope of 1 costs: the least that does is chosen."""
STEPS = 1500


class Judged(NamedTuple):
    """Of one take: the network's log odds ``(n,)``, strengths ``(n, kinds)``, and which steps are faulty and good."""

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
        found.append(Judged(np.log(curve.scores / (1 - curve.scores)), strengths, labels))
    return found


def fit(takes: list[Judged]) -> dict[str, tuple[float, ...]]:
    """The table."""
    torch.manual_seed(0)
    at = torch.tensor(GRADES[:-1])
    rises = torch.full((len(KINDS), len(at)), 0.5, requires_grad=True)
    optimiser = torch.optim.Adam([rises], 0.05)
    prepared = []
    for take in takes:
        bad, good = take.labels == 1, take.labels == 0
        if bad.any() and good.any():
            steps = [
                torch.clamp(torch.from_numpy(take.strengths[side])[..., None] - at, 0, 0.1) * 10 for side in (bad, good)
            ]
            prepared.append((*steps, *(torch.from_numpy(take.odds[side]).float() for side in (bad, good))))
    for _ in range(STEPS):
        loss = torch.zeros(())
        for worse, usual, worse_odds, usual_odds in prepared:
            high = worse_odds + (worse * rises).sum(dim=(1, 2))
            low = usual_odds + (usual * rises).sum(dim=(1, 2))
            loss = loss + F.softplus(low - high[:, None]).mean()
        loss = loss / len(prepared) + SMALL * rises.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            rises.clamp_(min=0)
    table = np.concatenate([np.zeros((len(KINDS), 1)), np.cumsum(rises.detach().numpy(), axis=1)], axis=1)
    return {kind: tuple(round(float(v), 2) for v in row) for kind, row in zip(KINDS, table, strict=True)}


def main(
    corpus: Annotated[Path, typer.Argument(help="takes that `python -m models.flagger.corpus` made")],
    flagger: Annotated[Path, typer.Argument(help="a flagger's file")],
    reviewer: Annotated[Path, typer.Argument(help="its reviewer's")],
) -> None:
    """Print the table."""
    for kind, row in fit(judged(corpus, flagger, reviewer)).items():
        print(f'    "{kind}": {row},')


if __name__ == "__main__":
    typer.run(main)
