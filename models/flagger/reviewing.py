"""Train the reviewer: scenes without end, seeded, on a budget.

It begins with the ear of a flagger that is trained already (`training`), which stays as it is for half of the time and
then goes on learning, slower than the rest. What comes out is a checkpoint; `export.reviewer` makes an ONNX file of it.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, IterableDataset

from models.checkpoint import checkpoint, write_checkpoint
from models.processor import keep_memory, no_denormals
from streaming.card import Source

from .network import FlagNetwork
from .reviewer import Reviewer, ReviewSize
from .scenes import Shelf, assembled, draw_scenes

EDGE_WEIGHT, EDGE_EACH = 0.25, 5.0
"""Of the loss; and how much more a row with an edge counts than one without."""
LONGEST_STEP_S = 10.0
"""A machine that sleeps does not train."""
SAVE_EVERY_MIN = 5.0
EAR_RESTS, EAR_RATE = 0.5, 0.3
"""Of the time, and of the learning rate of everything else."""
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class ReviewSettings:
    """What a run is made of."""

    minutes: float = 20.0
    steps: int | None = None
    seed: int = 0
    batch: int = 8
    frames: int = 3072
    peak_rate: float = 2e-3
    warm_up_steps: int = 60
    ema_decay: float = 0.995
    workers: int = 1
    bf16: bool = True


class Passages(IterableDataset[Batch]):
    """Batches of scenes without end; each is drawn from (seed, step, item) alone."""

    def __init__(self, shelf: Shelf, families: int, settings: ReviewSettings) -> None:
        self.shelf, self.settings = shelf, settings
        self.families = frozenset(range(families))

    def __iter__(self) -> Iterator[Batch]:
        step = 0
        while True:
            yield self.batch(step)
            step += 1

    def batch(self, step: int) -> Batch:
        rngs = [np.random.default_rng((self.settings.seed, step, i)) for i in range(self.settings.batch)]
        scenes = draw_scenes(rngs, self.shelf, self.families, self.settings.frames)
        return {name: torch.from_numpy(values) for name, values in scenes._asdict().items()}


def loss_of(curves: Tensor, scenes: Batch) -> Tensor:
    """Of logits ``(N, rows, 2)``."""
    weight, edge = scenes["weight"], scenes["edge"]
    odd_loss = F.binary_cross_entropy_with_logits(curves[..., 0], scenes["odd"], weight, reduction="sum")
    each = weight * (1 + (EDGE_EACH - 1) * edge)
    edge_loss = F.binary_cross_entropy_with_logits(curves[..., 1], edge, each, reduction="sum")
    return (odd_loss + EDGE_WEIGHT * edge_loss) / weight.sum()


@no_denormals()
def train_reviewer(
    shelf: Shelf,
    families: int,
    settings: ReviewSettings,
    begin: FlagNetwork | Reviewer,
    folder: Path,
    sources: Sequence[Source],
    quiet: bool = False,
) -> Path:
    """Train until the budget is spent; returns ``folder/review.ckpt``, written every few minutes.

    Args:
        begin: a flagger, whose ear it begins with, or a reviewer that goes on learning.
    """
    size = begin.size if isinstance(begin, Reviewer) else ReviewSize(begin.size.width)
    torch.manual_seed(settings.seed)
    keep_memory()
    console = Console(stderr=True, quiet=quiet)
    network = Reviewer(size).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if isinstance(begin, Reviewer):
        network.load_state_dict(begin.state_dict())
    else:
        network.layers.load_state_dict(begin.layers.state_dict())
    average = AveragedModel(network, avg_fn=lambda a, b, n: a.lerp(b, max(1 - settings.ema_decay, 10 / (10 + n))))
    heard = list(network.layers.parameters())
    rest = [p for name, p in network.named_parameters() if not name.startswith("layers.")]
    optimiser = torch.optim.AdamW([{"params": rest}, {"params": heard}], settings.peak_rate, weight_decay=0.03)
    passages = Passages(shelf, families, settings)
    frames = torch.from_numpy(shelf.frames)
    batches = iter(DataLoader(passages, batch_size=None, num_workers=settings.workers))
    before, minutes, step, losses = time.monotonic(), 0.0, 0, []
    rests = 0.0 if isinstance(begin, Reviewer) else EAR_RESTS
    path, saved = folder / "review.ckpt", 0.0

    def save() -> Path:
        kept = Reviewer(size)
        kept.load_state_dict(average.module.state_dict())
        return save_reviewer(path, kept, settings, sources)

    network.train()
    network.layers.eval()  # norms stay those of the flagger
    while True:
        now = time.monotonic()
        minutes, before = minutes + min(now - before, LONGEST_STEP_S) / 60, now
        progress = step / settings.steps if settings.steps else minutes / settings.minutes
        if progress >= 1:
            break
        rate = settings.peak_rate * min((step + 1) / settings.warm_up_steps, 0.5 * (1 + math.cos(math.pi * progress)))
        for group, share in zip(optimiser.param_groups, (1.0, EAR_RATE), strict=True):
            group["lr"] = share * rate
        for parameter in heard:
            parameter.requires_grad_(progress >= rests)
        scenes = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
            curves = network(assembled(scenes, frames))
        loss = loss_of(curves.float(), scenes)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(network)
        losses.append(loss.item())
        step += 1
        if step % 25 == 0:
            console.print(f"reviewer: step {step}  minutes {minutes:.2f}  loss {np.mean(losses):.4f}", soft_wrap=True)
            losses = []
        if minutes - saved > SAVE_EVERY_MIN:
            saved = minutes
            save()
    return save()


def save_reviewer(path: Path, network: Reviewer, settings: ReviewSettings, sources: Sequence[Source]) -> Path:
    data = {
        "settings": asdict(settings),
        "review_size": asdict(network.size),
        "network": network.state_dict(),
        "sources": [asdict(s) for s in sources],
    }
    return write_checkpoint(path, data)


def read_reviewer(path: Path) -> tuple[Reviewer, tuple[Source, ...]]:
    """The network of a run, ready to be exported. Raises `ModelError`."""
    with checkpoint(path, "a reviewer") as data:
        network = Reviewer(ReviewSize(**data["review_size"]))
        network.load_state_dict(data["network"])
        return network.eval(), tuple(Source(**s) for s in data["sources"])
