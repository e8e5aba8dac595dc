"""Train the flagger's network from nothing: good recordings with faults made in them, seeded, on a budget.

Three of four examples are made from frames as they are needed (`mel_faults`), the rest from clips whose faults were
made in their samples (`clips`): these are truer, but few, and few are learned by heart.

What comes out is a checkpoint of the network alone. What it remembers and how its numbers are calibrated is `teaching`,
which a user's own folder can have anew without training.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, IterableDataset

from models.checkpoint import checkpoint, write_checkpoint
from models.processor import keep_memory, no_denormals
from streaming.card import Source

from .baselines import PERCENTILE, Baseline, Kind
from .clips import Clip
from .corruptions import CLASSES
from .mel_faults import FAULTY_SHARE, Example, Library, draw_example, varied
from .network import SEGMENT_FRAMES, STEP_FRAMES, FlagNetwork, Size

SURE_SHARE = 0.4
"""A segment of which this much is faulty is faulty; less makes it partly so."""
Batch = tuple[Tensor, Tensor, Tensor]
CLIP_SHARE = 0.25
"""Of a batch, the examples of clips: few clips are learned by heart."""
LONGEST_STEP_S = 5.0
"""A machine that sleeps does not train."""
RAW_FAULTY = 0.3
"""Of raw takes, for the baselines that hear some: the share of segments with a fault."""


@dataclass(frozen=True)
class Settings:
    """What a run is made of."""

    minutes: float = 20.0
    steps: int | None = None
    seed: int = 0
    batch: int = 256
    peak_rate: float = 2e-3
    warm_up_steps: int = 100
    ema_decay: float = 0.998
    workers: int = 1
    """Processes that make examples."""
    bf16: bool = True
    """Products in bfloat16: on a CPU that has them, half the time."""


class Heard(NamedTuple):
    """What there is to learn from: frames to make faults in, and clips whose faults were made in their samples."""

    library: Library
    clips: Clip | None


class Examples(IterableDataset[Batch]):
    """Batches without end. Every example is drawn from (seed, step, item) alone."""

    def __init__(self, heard: Heard, settings: Settings, classes: int, clip_share: float = CLIP_SHARE) -> None:
        self.heard, self.settings, self.classes = heard, settings, classes
        self.from_clips = round(settings.batch * clip_share) if heard.clips is not None else 0
        if heard.clips is not None:
            self.faulty, self.good = places(heard.clips)

    def __iter__(self) -> Iterator[Batch]:
        step = 0
        while True:
            yield self.batch(step)
            step += 1

    def batch(self, step: int) -> Batch:
        """Segments ``(N, frames, bands)``, contexts ``(N, 2, bands)`` and class shares ``(N, classes)``."""
        s = self.settings
        examples = []
        for i in range(s.batch):
            rng = np.random.default_rng((s.seed, step, i))
            examples.append(self.of_clip(rng) if i < self.from_clips else draw_example(rng, self.heard.library))
        segments, contexts, kinds = (np.stack(parts) for parts in zip(*examples, strict=True))
        target = shares(kinds, self.classes)
        return torch.from_numpy(segments), torch.from_numpy(contexts), torch.from_numpy(target)

    def of_clip(self, rng: np.random.Generator) -> Example:
        """A segment of a clip, as another studio would have it."""
        clips = self.heard.clips
        assert clips is not None
        some = self.faulty if len(self.faulty) and rng.random() < FAULTY_SHARE else self.good
        clip, step = some[int(rng.integers(len(some)))]
        late = int(rng.integers(-STEP_FRAMES // 2, STEP_FRAMES // 2))
        start = min(max(0, step * STEP_FRAMES + late), clips.frames.shape[1] - SEGMENT_FRAMES)
        segment = clips.frames[clip, start : start + SEGMENT_FRAMES].astype(np.float32)
        kinds = clips.kinds[clip, start : start + SEGMENT_FRAMES]
        return Example(*varied(rng, segment, clips.context[clip, step].astype(np.float32)), kinds)


def places(clips: Clip) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The steps ``(n, 2)`` of clips, by clip and step, in which there is a fault, and those in which there is none."""
    ends = np.arange(clips.context.shape[1]) * STEP_FRAMES + SEGMENT_FRAMES
    wrong = np.concatenate([np.zeros((len(clips.kinds), 1)), np.cumsum(clips.kinds > 0, axis=1)], axis=1)
    faulty = (wrong[:, ends] - wrong[:, ends - SEGMENT_FRAMES]) > 0
    return np.argwhere(faulty), np.argwhere(~faulty)


def shares(kinds: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    """What a segment is, from the classes of its frames ``(N, frames)``: ``(N, classes)``, summing to one."""
    counts = np.stack([(kinds == k).mean(axis=1) for k in range(classes)], axis=1)
    wrong = counts[:, 1:].sum(axis=1, keepdims=True)
    target = np.zeros_like(counts)
    target[:, 1:] = counts[:, 1:] / np.maximum(wrong, 1e-9) * np.minimum(1, wrong / SURE_SHARE)
    target[:, 0] = 1 - target[:, 1:].sum(axis=1)
    out: NDArray[np.float32] = target.astype(np.float32)
    return out


@no_denormals()
def train_network(
    heard: Heard, settings: Settings, size: Size, folder: Path, sources: Sequence[Source], quiet: bool = False
) -> Path:
    """Train until the budget is spent; returns ``folder/last.ckpt``."""
    torch.manual_seed(settings.seed)
    keep_memory()
    console = Console(stderr=True, quiet=quiet)
    network = FlagNetwork(size).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(network, avg_fn=lambda a, b, n: a.lerp(b, max(1 - settings.ema_decay, 10 / (10 + n))))
    optimiser = torch.optim.AdamW(network.parameters(), settings.peak_rate, weight_decay=0.02)
    examples = Examples(heard, settings, len(size.classes))
    batches = iter(DataLoader(examples, batch_size=None, num_workers=settings.workers))
    before, minutes, step, losses = time.monotonic(), 0.0, 0, []
    network.train()
    while True:
        now = time.monotonic()
        minutes, before = minutes + min(now - before, LONGEST_STEP_S) / 60, now
        progress = step / settings.steps if settings.steps else minutes / settings.minutes
        if progress >= 1:
            break
        rate = settings.peak_rate * min((step + 1) / settings.warm_up_steps, 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        segments, context, target = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
            _, logits = network(segments, context)
        loss = F.cross_entropy(logits.float(), target, label_smoothing=0.02)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(network)
        losses.append(loss.item())
        step += 1
        if step % 50 == 0:
            console.print(f"step {step}  minutes {minutes:.2f}  loss {np.mean(losses):.4f}", soft_wrap=True)
            losses = []
            if step % 250 == 0:
                save_checkpoint(folder / "last.ckpt", trained(average, network, examples), settings, sources)
    return save_checkpoint(folder / "last.ckpt", trained(average, network, examples), settings, sources)


def trained(average: AveragedModel, network: FlagNetwork, examples: Examples) -> FlagNetwork:
    """The averaged weights, with norms measured for them."""
    final = FlagNetwork(network.size)
    final.load_state_dict(average.module.state_dict())
    for module in final.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    final.train()
    with torch.no_grad():
        for step in range(20):
            segments, context, _ = examples.batch(step)
            final(segments, context)
    return final.eval()


def save_checkpoint(path: Path, network: FlagNetwork, settings: Settings, sources: Sequence[Source]) -> Path:
    data = {
        "settings": asdict(settings),
        "size": asdict(network.size),
        "network": network.state_dict(),
        "sources": [asdict(s) for s in sources],
    }
    return write_checkpoint(path, data)


def read_checkpoint(path: Path) -> tuple[FlagNetwork | Baseline, tuple[Source, ...]]:
    """The network of a run, ready to be exported. Raises `ModelError`."""
    with checkpoint(path, "a flagger") as data:
        network: FlagNetwork | Baseline
        if "kind" in data:
            network = Baseline(data["kind"])
        else:
            network = FlagNetwork(Size(**{**data["size"], "classes": tuple(data["size"]["classes"])}))
        network.load_state_dict(data["network"])
        network.eval()
        return network, tuple(Source(**s) for s in data["sources"])


@no_denormals()
def train_baseline(
    heard: Heard, kind: Kind, settings: Settings, folder: Path, sources: Sequence[Source], quiet: bool = False
) -> Path:
    """Train a baseline on the same examples; returns ``folder/last.ckpt``. Edited is what holds no fault."""
    torch.manual_seed(settings.seed)
    keep_memory()
    console = Console(stderr=True, quiet=quiet)
    baseline = Baseline(kind)
    optimiser = torch.optim.AdamW(baseline.parameters(), settings.peak_rate / 2)
    examples = Examples(heard, settings, len(CLASSES))
    batches = iter(DataLoader(examples, batch_size=None, num_workers=settings.workers))
    before, minutes, step, losses = time.monotonic(), 0.0, 0, []
    while step < settings.steps if settings.steps else minutes < settings.minutes:
        now = time.monotonic()
        minutes, before = minutes + min(now - before, LONGEST_STEP_S) / 60, now
        loss = baseline.loss(*sides(next(batches)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        step += 1
        if step % 100 == 0:
            console.print(f"step {step}  loss {np.mean(losses):.4f}", soft_wrap=True)
            losses = []
    baseline.eval()
    with torch.no_grad():
        errors = torch.cat([baseline.score(sides(examples.batch(step))[0]) for step in range(20)])
        baseline.limit.copy_(errors.quantile(PERCENTILE))
    data = {"kind": kind, "network": baseline.state_dict(), "sources": [asdict(s) for s in sources]}
    return write_checkpoint(folder / "last.ckpt", data)


def sides(batch: Batch) -> tuple[Tensor, Tensor]:
    """Edited segments, and those of raw takes: a part of the good ones and all that are faulty."""
    segments, _, target = batch
    good = target[:, 0] > 1 - 1e-6
    edited, cut = segments[good], segments[~good]
    return edited, torch.cat([edited[: max(1, round(len(cut) * (1 / RAW_FAULTY - 1)))], cut])
