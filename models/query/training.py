"""Train query-live or query-studio on a pool: ``python -m models.query.training live POOL OUT --minutes 60``.

On a GPU if there is one, else on the CPU: the same script. The budget is minutes; the learning rate follows it.
Mixtures are made on the device (`mixing`). On a CPU several processes with mixtures of their own, whose gradients are
averaged, are faster than one with as many threads: ``--processes 2``. A checkpoint is written every few minutes and
holds the averaged weights; ``--resume`` starts from one.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch import distributed as dist
from torch.multiprocessing.spawn import start_processes

from models.checkpoint import checkpoint, write_checkpoint
from models.flagger.recordings import RATE
from models.processor import fast_in_bf16, keep_memory, no_denormals
from models.separator.masking import mid_and_side
from models.separator.stft import Stft
from streaming.card import Source
from streaming.errors import ModelError

from .captions import Captions, load
from .classes import Vocabulary
from .loss import heard_loss, leak_loss
from .mixing import Batch, Mixer
from .network import (
    LAG,
    LIVE_BANDS,
    SPREAD,
    STUDIO_BANDS,
    STUDIO_FFT,
    STUDIO_HOP,
    STUDIO_RATE,
    STUDIO_SPREAD,
    WINDOWS,
    BandQuery,
    LiveQuery,
    Size,
    StudioQuery,
    described_after,
    described_both_ways,
    measured,
    power_of,
)
from .pool import Place, Pool

Kind = Literal["live", "studio"]
LOOK = SPREAD // LAG
"""Frames, `LAG` hops apart, from one look of query-live to the next."""
ABSENT = 0.12
"""Weight of what is asked for and is not there, at the end: it grows with the share of the budget that is spent."""
ASKED = 32
"""Classes that mixtures are asked for in one step, at least all that are there."""
WEIGHT_DECAY = 0.03


@dataclass(frozen=True)
class Settings:
    """What a run is made of."""

    kind: Kind = "live"
    minutes: float = 60.0
    batch: int = 8
    seconds: float = 3.0
    peak_rate: float = 1.5e-3
    warm_up: float = 0.04
    """Share of the budget."""
    ema_decay: float = 0.998
    seed: int = 0
    save_every_s: float = 60.0
    stock: int = 1000
    """Sounds that each process keeps ready (`mixing`)."""
    processes: int = 1
    """They share each batch."""


class Heard(NamedTuple):
    """What a network makes of one mix.

    Attributes:
        spectra: ``(channels, T, bins)``.
        power: ``(T, bands)``.
        masks: ``(T, bands, Q)``.
    """

    spectra: Tensor
    power: Tensor
    masks: Tensor


class LiveTask(nn.Module):
    """query-live: stereo, trained on the levels of bands, played through the engine's own transform."""

    kind: Kind = "live"
    rate = RATE
    pooling: Tensor
    of_bin: Tensor

    def __init__(self, size: Size | None = None) -> None:
        super().__init__()
        self.network = LiveQuery(size)
        self.stft = Stft(WINDOWS)
        self.register_buffer("pooling", LIVE_BANDS.pooling(), persistent=False)
        self.register_buffer("of_bin", torch.tensor(LIVE_BANDS.of_bin()), persistent=False)

    def heard(self, mix: Tensor, embedding: Tensor) -> Heard:
        """What is heard of ``(2, samples)``, asked ``(Q, D)``."""
        spectra = self.stft.analyse(mix)  # (2, T, bins)
        measured = self.measured(mid_and_side(spectra[None]))
        masks = self.network.every_hop(measured, self.network.condition(embedding))
        return Heard(spectra, power_of(measured)[0], masks[0])

    def analyse(self, waves: Tensor) -> Tensor:
        """``(N, 2, samples)`` to the frames of every `LAG`-th hop that a training reads, ``(N, 2, T, bins)``."""
        return self.stft.analyse(waves, LAG, LAG - 1)

    def measured(self, mid_side: Tensor) -> Tensor:
        """Of spectra of mid and side ``(M, 2, T, bins)``, as the network hears them ``(M, T, MEASURED, bands)``."""
        return measured(product(mid_side, mid_side), self.pooling, self.of_bin)

    def separate(self, mix: Tensor, embedding: Tensor) -> Tensor:
        """``(2, samples)`` and ``(Q, D)`` to ``(Q, 2, samples less a hop)``."""
        spectra, _, masks = self.heard(mix, embedding)
        return self.stft.synthesise(spectra * masks.permute(2, 0, 1)[:, None, :, self.of_bin])

    def loss(self, batch: Batch, absent: float) -> Tensor:
        """Of the mixtures' newest frame of every look."""
        with torch.no_grad(), torch.autocast(batch.sounds.device.type, enabled=False):
            mixed = mid_and_side(batch.mixed(batch.sounds))
            now = mixed[:, :, LOOK - 1 :: LOOK]
            before = mixed[:, :, LOOK - 2 :: LOOK][:, :, : now.shape[2]]
            frames = self.measured(now)
            seen = described_after(product(before, before).sum(1) @ self.pooling, frames)
            sounds = mid_and_side(batch.sounds[:, :, LOOK - 1 :: LOOK])
            wanted = product(sounds, sounds).sum((1, 2)) @ self.pooling.sum(1)
            common = product(now[batch.owner], sounds).sum(1) @ self.pooling  # (N, T, bands)
            levels = Levels(power_of(frames), wanted, common)
        return loss_of_bands(self.network, seen, levels, batch, absent)


class StudioTask(nn.Module):
    """query-studio: one channel at 32 kHz, frames as torch.stft has them."""

    kind: Kind = "studio"
    rate = STUDIO_RATE
    window: Tensor
    pooling: Tensor
    of_bin: Tensor

    def __init__(self, size: Size | None = None) -> None:
        super().__init__()
        self.network = StudioQuery(size)
        self.register_buffer("window", torch.hann_window(STUDIO_FFT), persistent=False)
        self.register_buffer("pooling", STUDIO_BANDS.pooling(), persistent=False)
        self.register_buffer("of_bin", torch.tensor(STUDIO_BANDS.of_bin()), persistent=False)

    def analyse(self, waves: Tensor) -> Tensor:
        """``(N, channels, samples)`` to the frames of their mean, ``(N, 1, T, bins)``."""
        spectra: Tensor = torch.stft(waves.mean(1), STUDIO_FFT, STUDIO_HOP, window=self.window, return_complex=True)
        return spectra.transpose(1, 2)[:, None]

    def heard(self, mix: Tensor, embedding: Tensor) -> Heard:
        """What is heard of ``(samples,)``, asked ``(Q, D)``."""
        spectra = self.analyse(mix[None, None])[:, 0]
        power = self.power(spectra)
        masks = self.network.every_hop(power, self.network.condition(embedding))
        return Heard(spectra, power[0], masks[0])

    def power(self, spectra: Tensor) -> Tensor:
        """``(N, T, bins)`` as the network hears it ``(N, T, bands)``."""
        return product(spectra, spectra) @ self.pooling

    def separate(self, mix: Tensor, embedding: Tensor) -> Tensor:
        """``(samples,)`` and ``(Q, D)`` to ``(Q, samples)``."""
        spectra, _, masks = self.heard(mix, embedding)
        kept = (spectra * masks.permute(2, 0, 1)[:, :, self.of_bin]).transpose(1, 2)
        return torch.istft(kept, STUDIO_FFT, STUDIO_HOP, window=self.window, length=len(mix))

    def loss(self, batch: Batch, absent: float) -> Tensor:
        """Of the mixtures' frames, every `STUDIO_SPREAD`-th from one of the first on."""
        with torch.no_grad(), torch.autocast(batch.sounds.device.type, enabled=False):
            first = int(torch.randint(STUDIO_SPREAD, (1,)))
            mixed = batch.mixed(batch.sounds)[:, 0]
            power = self.power(mixed)
            seen = described_both_ways(power)[:, first::STUDIO_SPREAD]
            sounds = batch.sounds[:, 0, first::STUDIO_SPREAD]
            common = product(mixed[batch.owner, first::STUDIO_SPREAD], sounds) @ self.pooling
            levels = Levels(power[:, first::STUDIO_SPREAD], self.power(sounds).sum((1, 2)), common)
        return loss_of_bands(self.network, seen, levels, batch, absent)


def product(one: Tensor, other: Tensor) -> Tensor:
    """What two complex tensors have in common, number by number: the real part of one times the other's conjugate."""
    return torch.addcmul(one.real * other.real, one.imag, other.imag)


class Levels(NamedTuple):
    """All that a loss on waveforms needs to know of them, for a mask of bands.

    Attributes:
        mix: ``(M, T, bands)``: power of the mixtures.
        wanted: ``(N,)``: energy of each sound.
        common: ``(N, T, bands)``: what each sound and its mixture have in common, their product.
    """

    mix: Tensor
    wanted: Tensor
    common: Tensor


def loss_of_bands(network: BandQuery, seen: Tensor, levels: Levels, batch: Batch, absent: float) -> Tensor:
    """Each mixture asked for all that is there and much that is not; the mean over the listeners.

    What the loss on waveforms needs of an output are three energies, and a mask of bands has them from the bands' own:
    that of the mix, of each sound, and of what the two have in common.
    """
    asked, kind = _asked(batch)
    whole, elsewhere = levels.mix.sum((1, 2)), batch.absent[:, asked]
    losses = []
    for compared in network.apart(seen, network.condition(batch.words[asked])):
        masks = torch.sigmoid(compared)
        flat = masks.flatten(1, 2)
        kept = torch.bmm(levels.mix.flatten(1)[:, None].to(flat.dtype), flat.square())[:, 0].float()  # (M, asked)
        ours = masks[batch.owner, ..., kind].float()
        common = (ours * levels.common).sum((1, 2))
        heard = heard_loss(kept[batch.owner, kind], common, levels.wanted, whole[batch.owner])
        leaks = leak_loss(kept, whole[:, None])[elsewhere]
        losses.append(heard.mean() + absent * leaks.sum() / max(1, len(leaks)))
    return torch.stack(losses).mean()


def _asked(batch: Batch) -> tuple[Tensor, Tensor]:
    """Classes to ask for ``(Q,)``, and where each sound's is among them ``(N,)``."""
    there, kind = torch.unique(batch.kind, return_inverse=True)
    order = torch.randperm(len(batch.words), device=there.device)
    others = order[~torch.isin(order, there)][: max(0, ASKED - len(there))]
    return torch.cat([there, others]), kind


Task = LiveTask | StudioTask


def make_task(kind: Kind, size: Size | None = None) -> Task:
    return LiveTask(size) if kind == "live" else StudioTask(size)


def with_known(task: Task, known: int) -> Task:
    """The same network with a context of so many classes, still empty, or without one."""
    remade = make_task(task.kind, replace(task.network.size, known=known))
    weights = {name: value for name, value in task.network.state_dict().items() if not name.startswith("context.")}
    remade.network.load_state_dict(weights, strict=False)
    return remade.train(task.training)


def pool_at(root: Path, split: str, rate: int) -> tuple[NDArray[np.int16], list[Place], list[Source]]:
    """A pool's samples and places at another rate, kept beside it once made."""
    pool = Pool(root, split)
    if rate == RATE:
        return pool.samples, pool.places, pool.sources
    path = root / f"{split}-{rate}.npy"
    places = [
        Place(p.kind, p.start * rate // RATE, max(8, p.length * rate // RATE), p.source, p.unit) for p in pool.places
    ]
    if not path.is_file():
        step = 60 * RATE * 10
        parts = [
            (soxr.resample(pool.samples[a : a + step].astype(np.float32) / 32768, RATE, rate) * 32767).astype(np.int16)
            for a in range(0, len(pool.samples), step)
        ]
        aside = path.with_name(f".{path.stem}.part.npy")
        np.save(aside, np.concatenate(parts))
        os.replace(aside, path)
    return np.load(path, mmap_mode="r"), places, pool.sources


def train(
    pool: Path,
    captions: Captions,
    out: Path,
    settings: Settings,
    resume: Path | None = None,
    known: Vocabulary | None = None,
    report: Callable[[str], None] = print,
) -> Path:
    """Run the budget; the last checkpoint's path.

    Raises:
        AudioError: there is no pool.
        ModelError: the checkpoint to go on from cannot be read.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"query-{settings.kind}.ckpt"
    settings = replace(settings, processes=min(settings.processes, settings.batch))
    told = _Told(pool, captions, path, settings, resume, known)
    if settings.processes == 1:
        _train(0, told, report)
        return path
    meet = _meeting(path)
    meet.unlink(missing_ok=True)
    threads = torch.get_num_threads()
    others = start_processes(_follow, (told,), settings.processes - 1, join=False, daemon=True, start_method="spawn")
    try:
        _meet(0, told)
        _train(0, told, report)
        others.join()
    finally:
        dist.destroy_process_group()
        torch.set_num_threads(threads)
        meet.unlink(missing_ok=True)
    return path


class _Told(NamedTuple):
    """What every process is told of a run; ``path`` is the checkpoint to write."""

    pool: Path
    captions: Captions
    path: Path
    settings: Settings
    resume: Path | None
    known: Vocabulary | None


def _follow(index: int, told: _Told) -> None:
    """What the processes beside the first do."""
    _meet(index + 1, told)
    _train(index + 1, told, _nothing)
    dist.destroy_process_group()


def _nothing(_: str) -> None:
    """The first process reports for all."""


def _meeting(path: Path) -> Path:
    """The file by which processes find each other."""
    return path.with_name(f".{path.stem}.meet").absolute()


def _meet(rank: int, told: _Told) -> None:
    processes = told.settings.processes
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
    dist.init_process_group("gloo", f"file://{_meeting(told.path)}", rank=rank, world_size=processes)


@no_denormals()
def _train(rank: int, told: _Told, report: Callable[[str], None]) -> None:
    pool, captions, path, settings, resume, known = told
    keep_memory()
    torch.manual_seed(settings.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    task = make_task(settings.kind)
    if resume is not None:
        base = load_trained(resume).task
        if type(base) is not type(task):
            raise ModelError(f"{resume}: no checkpoint of query-{settings.kind}")
        task = with_known(base, 0)  # what a context knows of a network is no longer true of what it becomes
    task = task.to(device)
    bf16 = fast_in_bf16(device)
    if bf16:
        task.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.manual_seed(settings.seed + rank + 1)
    samples, places, sources = pool_at(pool, "train", task.rate)
    on_device = torch.from_numpy(np.array(samples)).to(device)
    seed = (settings.seed, rank)
    mixer = Mixer(on_device, places, captions, task.rate, settings.seconds, task.analyse, settings.stock, seed, known)
    optimiser = torch.optim.AdamW(
        task.parameters(), settings.peak_rate, weight_decay=WEIGHT_DECAY, fused=device.type == "cuda"
    )
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    state = task.network.state_dict()
    average = {name: value.detach().clone() for name, value in state.items()}
    floating = [name for name, value in state.items() if value.dtype.is_floating_point]
    averaged, learned = [average[name] for name in floating], [state[name] for name in floating]
    started = saved = reported = time.monotonic()
    step, running, share = 0, 0.0, 0.0
    while share < 1:
        with torch.no_grad():
            batch = mixer.batch(settings.batch // settings.processes)
        task.train()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss = task.loss(batch, ABSENT * share)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        share = averaged_over_processes(task.parameters(), (time.monotonic() - started) / (60 * settings.minutes))
        nn.utils.clip_grad_norm_(task.parameters(), 5.0)
        rate = settings.peak_rate * schedule(share, settings.warm_up)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        step += 1
        decay = min(settings.ema_decay, 1 - 1 / (step + 1))
        torch._foreach_lerp_(averaged, learned, 1 - decay)
        if step % 10 == 0:
            running = loss.item() if step == 10 else running + 0.05 * (loss.item() - running)
        now = time.monotonic()
        if now - reported > 10:
            report(json.dumps({"step": step, "s": round(now - started), "loss": round(running, 3), "rate": rate}))
            reported = now
        if rank == 0 and (now - saved > settings.save_every_s or share >= 1):
            save(path, settings, task.network.size, average, sources, step)
            saved = now
    report(json.dumps({"step": step, "s": round(time.monotonic() - started), "loss": round(running, 3)}))


def averaged_over_processes(parameters: Iterable[nn.Parameter], share: float) -> float:
    """Make the gradients, and a number that all must agree on, the means of those of all processes."""
    if not dist.is_initialized():
        return share
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([*(gradient.flatten() for gradient in gradients), gradients[0].new_tensor([share])])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = flat[:-1].split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
    return float(flat[-1])


def schedule(share: float, warm_up: float) -> float:
    """Of the peak rate, after ``share`` of the budget: a rise, then half a cosine."""
    if share < warm_up:
        return max(0.02, share / warm_up)
    return 0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, (share - warm_up) / (1 - warm_up)))))


def save(
    path: Path, settings: Settings, size: Size, state: dict[str, Tensor], sources: Sequence[Source], steps: int
) -> None:
    """Weights are kept as float16, what has few numbers as it is."""
    packed = {
        name: value.to("cpu", torch.float16) if value.dim() > 1 else value.to("cpu") for name, value in state.items()
    }
    data = {
        "kind": settings.kind,
        "settings": asdict(settings),
        "size": asdict(size),
        "state": packed,
        "sources": [asdict(source) for source in sources],
        "steps": steps,
    }
    write_checkpoint(path, data)


class Trained(NamedTuple):
    """What `save` wrote: the task is ready to separate."""

    task: Task
    sources: tuple[Source, ...]
    settings: Settings
    steps: int


def load_trained(path: Path) -> Trained:
    """Raises `ModelError`."""
    with checkpoint(path, "a query model") as held:
        task = make_task(held["kind"], Size(**held["size"]))
        task.network.load_state_dict(held["state"])
        sources = tuple(Source(**source) for source in held["sources"])
        return Trained(task.eval(), sources, Settings(**held["settings"]), held["steps"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["live", "studio"])
    parser.add_argument("pool", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--captions", type=Path, help="embeddings made before (.npz); default POOL/captions.npz")
    parser.add_argument("--resume", type=Path)
    for name in ("minutes", "seconds", "peak-rate"):
        parser.add_argument(f"--{name}", type=float)
    for name in ("batch", "stock", "processes", "seed"):
        parser.add_argument(f"--{name}", type=int)
    options = vars(parser.parse_args())
    pool, out, resume = options.pop("pool"), options.pop("out"), options.pop("resume")
    captions = options.pop("captions") or pool / "captions.npz"
    settings = Settings(**{name: value for name, value in options.items() if value is not None})
    print(train(pool, load(captions), out, settings, resume))


if __name__ == "__main__":
    main()
