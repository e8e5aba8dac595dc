"""Train the flagger's network from nothing: clips with faults made from good recordings, seeded, on a budget.

What comes out is a checkpoint of the network alone. What it remembers and how its numbers are calibrated is `memory`'s
and `calibration`'s, which a user's own folder can have anew without training.
"""

import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from streaming.card import Source
from streaming.errors import ModelError

from .baselines import PERCENTILE, Baseline, Kind
from .clips import Clip
from .network import SEGMENT_FRAMES, STEP_FRAMES, FlagNetwork, Size

SURE_SHARE = 0.4
"""A segment of which this much is faulty is faulty; less makes it partly so."""


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
    faulty_share: float = 0.6
    """Of a batch's segments, those of clips' faulty places."""
    bf16: bool = True
    """Products in bfloat16: on a CPU that has them, half the time."""


class Batches:
    """Segments drawn from clips, by a generator of their own."""

    def __init__(self, clips: Clip, classes: int, settings: Settings) -> None:
        self.clips, self.classes, self.settings = clips, classes, settings
        self.rng = np.random.default_rng(settings.seed)
        steps = clips.context.shape[1]
        ends = np.arange(steps) * STEP_FRAMES + SEGMENT_FRAMES
        faulty = np.zeros((len(clips.kinds), steps), bool)
        wrong = np.concatenate([np.zeros((len(clips.kinds), 1)), np.cumsum(clips.kinds > 0, axis=1)], axis=1)
        faulty = (wrong[:, ends] - wrong[:, ends - SEGMENT_FRAMES]) > 0
        self.faulty, self.good = np.argwhere(faulty), np.argwhere(~faulty)

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Segments ``(N, frames, bands)``, contexts ``(N, 2, bands)`` and class shares ``(N, classes)``."""
        s = self.settings
        count = round(s.batch * s.faulty_share) if len(self.faulty) else 0
        some = self.faulty[self.rng.integers(0, max(1, len(self.faulty)), count)]
        rest = self.good[self.rng.integers(0, len(self.good), s.batch - count)]
        places = np.concatenate([some.reshape(-1, 2), rest])
        starts = places[:, 1] * STEP_FRAMES
        rows = starts[:, None] + np.arange(SEGMENT_FRAMES)
        segments = self.clips.frames[places[:, :1], rows].astype(np.float32)
        context = self.clips.context[places[:, 0], places[:, 1]].astype(np.float32)
        return (
            torch.from_numpy(segments),
            torch.from_numpy(context),
            torch.from_numpy(shares(self.clips.kinds[places[:, :1], rows], self.classes)),
        )


def shares(kinds: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    """What a segment is, from the classes of its frames ``(N, frames)``: ``(N, classes)``, summing to one."""
    counts = np.stack([(kinds == k).mean(axis=1) for k in range(classes)], axis=1)
    wrong = counts[:, 1:].sum(axis=1, keepdims=True)
    target = np.zeros_like(counts)
    target[:, 1:] = counts[:, 1:] / np.maximum(wrong, 1e-9) * np.minimum(1, wrong / SURE_SHARE)
    target[:, 0] = 1 - target[:, 1:].sum(axis=1)
    out: NDArray[np.float32] = target.astype(np.float32)
    return out


def train_network(
    clips: Clip, settings: Settings, size: Size, folder: Path, sources: Sequence[Source], quiet: bool = False
) -> Path:
    """Train until the budget is spent; returns ``folder/last.ckpt``."""
    torch.manual_seed(settings.seed)
    torch.set_flush_denormal(True)
    console = Console(stderr=True, quiet=quiet)
    network = FlagNetwork(size).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(network, avg_fn=lambda a, b, n: a.lerp(b, max(1 - settings.ema_decay, 10 / (10 + n))))
    optimiser = torch.optim.AdamW(network.parameters(), settings.peak_rate, weight_decay=0.02)
    batches = Batches(clips, len(size.classes), settings)
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
        segments, context, target = batches.draw()
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
                save_checkpoint(folder / "last.ckpt", trained(average, network, batches), settings, sources)
    return save_checkpoint(folder / "last.ckpt", trained(average, network, batches), settings, sources)


def trained(average: AveragedModel, network: FlagNetwork, batches: Batches) -> FlagNetwork:
    """The averaged weights, with norms measured for them."""
    final = FlagNetwork(network.size)
    final.load_state_dict(average.module.state_dict())
    for module in final.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    final.train()
    with torch.no_grad():
        for _ in range(20):
            segments, context, _ = batches.draw()
            final(segments, context)
    return final.eval()


def save_checkpoint(path: Path, network: FlagNetwork, settings: Settings, sources: Sequence[Source]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {
        "settings": asdict(settings),
        "size": asdict(network.size),
        "network": network.state_dict(),
        "sources": [asdict(s) for s in sources],
    }
    aside = path.with_name(f".{path.name}.part")
    torch.save(data, aside)
    os.replace(aside, path)
    return path


def read_checkpoint(path: Path) -> tuple[FlagNetwork | Baseline, tuple[Source, ...]]:
    """The network of a run, ready to be exported. Raises `ModelError`."""
    try:
        data: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        network: FlagNetwork | Baseline
        if "kind" in data:
            network = Baseline(data["kind"])
        else:
            network = FlagNetwork(Size(**{**data["size"], "classes": tuple(data["size"]["classes"])}))
        network.load_state_dict(data["network"])
        sources = tuple(Source(**s) for s in data["sources"])
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except Exception as error:  # what unpickling rubbish raises has no end
        raise ModelError(f"{path}: not a checkpoint of a flagger ({type(error).__name__})") from None
    network.eval()
    return network, sources


def train_baseline(
    clips: Clip, kind: Kind, settings: Settings, folder: Path, sources: Sequence[Source], quiet: bool = False
) -> Path:
    """Train a baseline on the same clips; returns ``folder/last.ckpt``. Edited is what holds no fault."""
    torch.manual_seed(settings.seed)
    torch.set_flush_denormal(True)
    console = Console(stderr=True, quiet=quiet)
    baseline = Baseline(kind)
    optimiser = torch.optim.AdamW(baseline.parameters(), settings.peak_rate / 2)
    edited = Batches(clips, 2, replace(settings, faulty_share=0.0))
    raw = Batches(clips, 2, replace(settings, faulty_share=RAW_FAULTY, seed=settings.seed + 1))
    before, minutes, step, losses = time.monotonic(), 0.0, 0, []
    while step < settings.steps if settings.steps else minutes < settings.minutes:
        now = time.monotonic()
        minutes, before = minutes + min(now - before, LONGEST_STEP_S) / 60, now
        loss = baseline.loss(edited.draw()[0], raw.draw()[0])
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
        errors = torch.cat([baseline.score(edited.draw()[0]) for _ in range(20)])
        baseline.limit.copy_(errors.quantile(PERCENTILE))
    folder.mkdir(parents=True, exist_ok=True)
    data = {"kind": kind, "network": baseline.state_dict(), "sources": [asdict(s) for s in sources]}
    path = folder / "last.ckpt"
    aside = path.with_name(f".{path.name}.part")
    torch.save(data, aside)
    os.replace(aside, path)
    return path
