"""Train the chopper: resumable, seeded, keyed to a budget of steps or of minutes.

Every example is drawn from (seed, step, item) alone, so that a run of N steps and one that was stopped and resumed
hear the same music.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, IterableDataset

from models.checkpoint import checkpoint, write_checkpoint
from models.processor import keep_memory, no_denormals
from models.separator.songs import find_songs, read_sources
from streaming.card import Source
from streaming.errors import RequestError

from .augment import draw_example
from .calibration import calibrate
from .dataset import Item, find_items
from .loss import curve_loss
from .network import Chopper, Size
from .validation import validate

Batch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Settings:
    """What a run is made of. ``steps`` or ``minutes`` is its budget; the learning rate follows it."""

    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    batch: int = 8
    length: int = 2500
    """Frames of an example: a phrase and what stands before and after it."""
    peak_rate: float = 2e-3
    warm_up_steps: int = 100
    steps_an_epoch: int = 200
    """From one checkpoint, and one look at the validation songs, to the next."""
    ema_decay: float = 0.998
    workers: int = 1
    bf16: bool = False
    """Products in bfloat16: on a CPU that has them, a third less time."""


class Examples(IterableDataset[Batch]):
    """The batches of a run from step ``first`` on."""

    def __init__(self, items: Sequence[Item], settings: Settings, curves: tuple[str, ...], first: int) -> None:
        self.items, self.settings, self.curves, self.first = items, settings, curves, first

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        step, stride = (self.first + worker.id, worker.num_workers) if worker else (self.first, 1)
        s = self.settings
        while True:
            seeds = [np.random.default_rng((s.seed, step, i)) for i in range(s.batch)]
            examples = [draw_example(rng, self.items, s.length, self.curves) for rng in seeds]
            yield tuple(torch.from_numpy(np.stack(parts)) for parts in zip(*examples, strict=True))  # type: ignore[misc]
            step += stride


class Run:
    """A run's state: network, average, optimiser, and how far it has come.

    A ``teacher`` says what the curves that it knows shall look like; the examples then say it of the others alone.
    """

    def __init__(self, size: Size, settings: Settings, teacher: Chopper | None = None) -> None:
        torch.manual_seed(settings.seed)
        self.size, self.settings, self.teacher = size, settings, teacher
        self.network = Chopper(size)
        self.average = AveragedModel(self.network, avg_fn=self._follow)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), settings.peak_rate, weight_decay=0.01)
        self.step = 0
        self.elapsed_s = 0.0
        self.shifts = [0.0] * len(size.curves)

    def progress(self) -> float:
        """How much of the budget is spent, 0 to 1."""
        s = self.settings
        return min(1.0, self.step / s.steps if s.steps else self.elapsed_s / (60 * (s.minutes or 1)))

    def _follow(self, average: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
        """The running mean at first, of which the beginning is soon forgotten."""
        return average.lerp(new, max(1 - self.settings.ema_decay, 10 / (10 + float(count))))

    @property
    def averaged(self) -> Chopper:
        """The average of the weights so far, which is what ships."""
        network: Chopper = self.average.module  # type: ignore[assignment]
        return network

    def learn(self, batch: Batch) -> float:
        """One step; returns its loss."""
        s = self.settings
        for group in self.optimiser.param_groups:  # up in a line, down in half a cosine
            falling = 0.5 * (1 + math.cos(math.pi * self.progress()))
            group["lr"] = s.peak_rate * min((self.step + 1) / s.warm_up_steps, falling)
        features, targets, known = batch
        with torch.autocast("cpu", torch.bfloat16, enabled=s.bf16):
            logits = self.network(features)
        delay = self.size.delay
        logits, heard = logits[:, delay:].float(), targets.shape[1] - delay
        loss = curve_loss(logits, targets[:, :heard], known, self.size.curves)
        if self.teacher is not None:
            with torch.no_grad():
                taught = self.teacher(features)[:, delay:].sigmoid()
            loss = loss + F.binary_cross_entropy_with_logits(logits[..., : taught.shape[-1]], taught)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return loss.item()

    def save(self, path: Path, sources: Sequence[Source]) -> None:
        data = {
            "settings": asdict(self.settings),
            "size": asdict(self.size),
            "average": self.averaged.state_dict(),
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "updates": self.average.n_averaged,
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "shifts": self.shifts,
            "sources": [asdict(s) for s in sources],
        }
        write_checkpoint(path, data)

    def load(self, path: Path) -> None:
        """Go on where a checkpoint stopped. Raises `ModelError`."""
        data = read_checkpoint(path)
        self.network.load_state_dict(data["network"])
        self.averaged.load_state_dict(data["average"])
        self.average.n_averaged.copy_(data["updates"])
        self.optimiser.load_state_dict(data["optimiser"])
        self.step, self.elapsed_s = data["step"], data["elapsed_s"]


def train(
    corpora: Sequence[Path],
    folder: Path,
    settings: Settings,
    size: Size | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Path:
    """Train, or go on with the run in ``folder``; returns the last checkpoint, ``folder/last.ckpt``.

    Raises:
        RequestError: when a corpus holds no songs, the run exists already, or there is none to resume.
    """
    last = ready(folder, resume)
    songs = [song for corpus in corpora for song in find_songs(corpus, "train")]
    if not songs:
        raise RequestError(f"{', '.join(map(str, corpora))}: no song to train on")
    sources = read_sources(songs)
    keep_memory()
    console = Console(stderr=True, quiet=quiet)
    with console.status("listening to every song once"):
        items = find_items(corpora, "train", folder / "cache")
        judges = find_items(corpora, "validation", folder / "cache")
    run = Run(size or Size(), settings)
    if resume:
        run.load(last)
    follow(run, items, judges, folder, sources, console)
    return last


def ready(folder: Path, resume: bool) -> Path:
    """Where a run's checkpoint is, or will be. Raises `RequestError` where there is one too many, or one too few."""
    last = folder / "last.ckpt"
    if resume and not last.exists():
        raise RequestError(f"{folder}: no run to resume; leave out --resume to begin one")
    if last.exists() and not resume:
        raise RequestError(f"{folder}: holds a run already; add --resume to go on with it, or name another folder")
    return last


@no_denormals()
def follow(
    run: Run, items: Sequence[Item], judges: Sequence[Item], folder: Path, sources: Sequence[Source], console: Console
) -> None:
    """Go on with a run until its budget is spent, with a checkpoint and a line of the learning curve now and then."""
    folder.mkdir(parents=True, exist_ok=True)
    s, losses = run.settings, []
    batches = iter(DataLoader(Examples(items, s, run.size.curves, run.step), batch_size=None, num_workers=s.workers))
    before = time.monotonic()
    while run.progress() < 1:
        losses.append(run.learn(next(batches)))
        now = time.monotonic()
        run.elapsed_s, before = run.elapsed_s + now - before, now
        if run.step % s.steps_an_epoch == 0 or run.progress() >= 1:
            figures = validate(run.averaged, judges)
            row = {"step": run.step, "minutes": run.elapsed_s / 60, "loss": float(np.mean(losses)), **figures}
            losses = []
            _note(folder / "metrics.csv", row)
            console.print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), soft_wrap=True)
            if run.progress() >= 1:
                run.shifts = calibrate(run.averaged, judges)
            run.save(folder / "last.ckpt", sources)
            before = time.monotonic()


def _note(path: Path, row: dict[str, float]) -> None:
    """Add a line to the learning curve."""
    header = "" if path.exists() else ",".join(row) + "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(header + ",".join(f"{value:.6g}" for value in row.values()) + "\n")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Raises `ModelError` when the file is not a chopper's checkpoint."""
    with checkpoint(path, "a chopper") as data:
        data["size"] = Size(**{**data["size"], "curves": tuple(data["size"]["curves"])})
        Chopper(data["size"]).load_state_dict(data["average"])
        return data


def load_network(path: Path) -> tuple[Chopper, tuple[Source, ...]]:
    """The averaged network of a checkpoint, calibrated, and what it learned from. Raises `ModelError`."""
    data = read_checkpoint(path)
    network = Chopper(data["size"])
    network.load_state_dict(data["average"])
    with torch.no_grad():
        assert network.heads.bias is not None
        network.heads.bias += torch.tensor(data.get("shifts", 0.0))
    return network.eval(), tuple(Source(**s) for s in data["sources"])
