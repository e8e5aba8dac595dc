"""``python -m models.flagger.judging CORPUS … --flagger F --reviewer R -o OUT``: train the judge on validation takes.

The loss is the share of pairs of a faulty and a good step of one take in the wrong order, made smooth; kinds count the
same, technical ones more: a detector is there for its own kind first. What the judge learns of is other songs than the
flagger and its reviewer learned from, and than those that test.

Takes are made by a rule (`corpus`): the first fault comes after some seconds, the next some seconds later. Nothing of
that may be learned, so each time a take comes up it has lost its beginning, its end and parts of what is good in it.

With ``--unseen CORPUS`` nothing is written: for each kind but the technical ones a judge learns from the takes of all
others, and judges that kind's test takes. That is what it knows of faults that nobody thought of.

Source: the ranking loss of Burges et al., "Learning to Rank using Gradient Descent", ICML 2005.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console

from models.checkpoint import checkpoint, write_checkpoint
from models.processor import no_denormals
from streaming.fault_curve import TECHNICAL
from streaming.judge import INPUTS, knowledge

from .evaluation import auroc, partial_auc
from .fault_evidence import heard_takes
from .judge import JudgeNetwork
from .scorers import Listener

TECHNICAL_WEIGHT = 2.0
STEPS, BATCH, RATE, DECAY, WARM_UP = 900, 16, 3e-3, 0.05, 20
ODDS_MOVE = 4.0
"""Up or down, at most: a user's own flagger has its zero elsewhere."""
LOST_START, LOST_END = 55, 40
"""Steps of a take's beginning and end that are left out at most."""
LOSES_SHARE, LEAST_LEFT = 0.6, 8
"""Of the good passages between faults, those that lose a part, and the steps that stay at least."""
ODDS = INPUTS.index("odds")
TEMPER = 0.5
"""Only ranks are learned, and steeper odds cost nothing there. So much of them ranks as well, and leaves to detectors
and edges the weight that they have (chosen on takes of other songs than a judge learned from)."""
Rng = np.random.Generator


class Judged(NamedTuple):
    """Of a take: its kind, what is known of its steps ``(n, inputs)``, the odds without a judge ``(n,)``, and what
    steps are: 1 faulty, 0 good, -1 neither."""

    kind: str
    knowledge: NDArray[np.float32]
    odds: NDArray[np.float32]
    labels: NDArray[np.int8]


def judged(corpus: Path, listener: Listener, split: str) -> Iterator[Judged]:
    """Its takes with faults, one kind each."""
    for kind, curve, faults, odds, labels in heard_takes(corpus, listener, split):
        if curve.review:
            total = (odds + faults.evidence(len(odds))).astype(np.float32)
            yield Judged(kind, knowledge(odds, curve.review, faults), total, labels)


def shortened(rng: Rng, labels: NDArray[np.int8]) -> NDArray[np.int64]:
    """The steps that are left of a take: some of its beginning, of its end and of its good passages go."""
    kept = np.ones(len(labels), bool)
    kept[: int(rng.uniform(0, LOST_START))] = False
    end = len(labels) - int(rng.uniform(0, LOST_END))
    kept[end:] &= labels[end:] != 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], labels == 0, [0]])))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        spare = int(last - first) - LEAST_LEFT
        if spare > LEAST_LEFT and rng.random() < LOSES_SHARE:
            count = int(rng.integers(1, spare))
            start = int(first) + LEAST_LEFT // 2 + int(rng.integers(0, spare - count))
            kept[start : start + count] = False
    left = np.flatnonzero(kept)
    return left if (labels[left] == 0).any() and (labels[left] == 1).any() else np.arange(len(labels))


@no_denormals()
def train_judge(takes: Sequence[Judged], steps: int = STEPS, seed: int = 0) -> JudgeNetwork:
    """A judge of these takes; the same for the same seed."""
    torch.manual_seed(seed)
    rng, network = np.random.default_rng(seed), JudgeNetwork()
    every = torch.from_numpy(np.concatenate([take.knowledge for take in takes]))
    network.shift.copy_(every.mean(dim=0))
    network.scale.copy_(1 / (every.std(dim=0) + 1e-3))
    by_kind: dict[str, list[Judged]] = {}
    for take in takes:
        by_kind.setdefault(take.kind, []).append(take)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    network.train()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min((step + 1) / WARM_UP, 0.5 * (1 + math.cos(math.pi * step / steps)))
        losses, weights = torch.zeros(()), 0.0
        for kind in rng.permutation(sorted(by_kind))[:BATCH]:
            take = by_kind[kind][int(rng.integers(len(by_kind[kind])))]
            left = shortened(rng, take.labels)
            known = take.knowledge[left]
            known[:, ODDS] += rng.uniform(-ODDS_MOVE, ODDS_MOVE)
            odds = network(torch.from_numpy(known)[None])[0] + torch.from_numpy(take.odds[left])
            good, bad = (odds[np.flatnonzero(take.labels[left] == label)] for label in (0, 1))
            weight = TECHNICAL_WEIGHT if kind in TECHNICAL else 1.0
            losses = losses + weight * torch.sigmoid(good[:, None] - bad[None]).mean()
            weights += weight
        optimiser.zero_grad()
        (losses / weights).backward()
        optimiser.step()
    with torch.no_grad():
        network.leave.weight.mul_(TEMPER)
        network.leave.bias.mul_(TEMPER)
    return network.eval()


def figures(network: JudgeNetwork, takes: Sequence[Judged]) -> dict[str, tuple[float, float]]:
    """AUROC and pAUC(0.1) of each kind, means over takes."""
    found: dict[str, list[tuple[float, float]]] = {}
    for take in takes:
        with torch.no_grad():
            odds = network(torch.from_numpy(take.knowledge)[None])[0].numpy().astype(np.float64) + take.odds
        good, bad = (odds[take.labels == label] for label in (0, 1))
        found.setdefault(take.kind, []).append((auroc(good, bad), partial_auc(good, bad)))
    means = {kind: np.mean(pairs, axis=0) for kind, pairs in found.items()}
    return {kind: (float(whole), float(part)) for kind, (whole, part) in means.items()}


def unseen(takes: Sequence[Judged], test: Sequence[Judged], steps: int = STEPS) -> Iterator[tuple[str, float, float]]:
    """Of each kind but the technical ones, AUROC and pAUC(0.1) on test takes by a judge that never met the kind."""
    for kind in sorted({take.kind for take in takes} - set(TECHNICAL)):
        network = train_judge([take for take in takes if take.kind != kind], steps)
        for name, (whole, part) in figures(network, [take for take in test if take.kind == kind]).items():
            yield name, whole, part


def write_judge(network: JudgeNetwork, path: Path) -> Path:
    """Its checkpoint, for `export.judge`."""
    return write_checkpoint(path, {"network": network.state_dict()})


def read_judge(path: Path) -> JudgeNetwork:
    """Raises `ModelError`."""
    with checkpoint(path, "a judge") as data:
        network = JudgeNetwork()
        network.load_state_dict(data["network"])
        return network.eval()


def main(
    corpora: Annotated[list[Path], typer.Argument(help="takes that `python -m models.flagger.corpus` made")],
    flagger: Annotated[Path, typer.Option(help="a flagger's file")],
    reviewer: Annotated[Path, typer.Option(help="its reviewer's")],
    output: Annotated[Path, typer.Option("--output", "-o", help="checkpoint to write")] = Path("judge.ckpt"),
    test: Annotated[Path | None, typer.Option("--unseen", help="judge this corpus' test takes by kind instead")] = None,
    steps: Annotated[int, typer.Option(min=1, help="of training")] = STEPS,
) -> None:
    """Hear all takes, an hour of them a minute, and train a minute."""
    console, listener = Console(stderr=True), Listener(flagger, reviewer)
    takes = [take for corpus in corpora for take in judged(corpus, listener, "validation")]
    console.print(f"{len(takes)} takes")
    if test:
        found = list(unseen(takes, list(judged(test, listener, "test")), steps))
        for kind, whole, part in [*found, ("mean", *np.mean([row[1:] for row in found], axis=0))]:
            print(f"{kind:16} AUROC {whole:.3f}  pAUC(0.1) {part:.3f}")
        return
    print(write_judge(train_judge(takes, steps), output))


if __name__ == "__main__":
    typer.run(main)
