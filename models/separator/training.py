"""Train the separator: resumable, seeded, keyed to a budget of steps or of minutes.

Every example is drawn from (seed, step, item) alone, so that a run of N steps and one that was stopped and resumed
see the same music. New songs that appear in the corpus are picked up at the next epoch.
"""

import logging
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from models.checkpoint import checkpoint
from models.processor import keep_memory
from streaming.card import Source
from streaming.errors import RequestError
from streaming.windows import DEFAULT

from .augment import draw_example
from .evaluation import mean_sdr, sdr_of_stems
from .loss import separation_loss
from .masking import separate, to_mid_side, to_planar
from .network import Separator, Size
from .songs import Song, find_songs, read_sources
from .stft import Stft


@dataclass(frozen=True)
class Settings:
    """What a run is made of. ``steps`` or ``minutes`` is its budget; the learning rate follows it."""

    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    width: int = 384
    layers: int = 2
    batch: int = 12
    seconds: float = 1.5
    listen_seconds: float = 0.5
    """Heard at the start of an example, before the loss counts: masks and their transform cost most of a step, and
    another example teaches more than another second of the same."""
    peak_rate: float = 6e-4
    warm_up_steps: int = 100
    decay_from: float = 0.3
    steps_an_epoch: int = 150
    validation_songs: int = 8
    ema_decay: float = 0.99
    workers: int = 1
    processes: int = 1
    """Each works on a share of every batch: on a CPU faster than one process with as many threads."""
    bf16: bool = False
    """Products in bfloat16: a quarter less time on a CPU that has them, no worse."""

    @property
    def samples(self) -> int:
        """Samples of an example: whole hops."""
        return int(self.seconds * 44100) // DEFAULT.hop_samples * DEFAULT.hop_samples


class TrainingBatches(IterableDataset[Tensor]):
    """The batches of one epoch, each ``(batch, 4, 2, samples)``."""

    def __init__(self, corpus: Path, cache: Path, settings: Settings, first_step: int, rank: int = 0) -> None:
        self.corpus, self.cache, self.settings, self.first_step = corpus, cache, settings, first_step
        self.items = range(rank, settings.batch, settings.processes)

    def __iter__(self) -> Iterator[Tensor]:
        worker = torch.utils.data.get_worker_info()
        start, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        songs, s = find_songs(self.corpus, "train"), self.settings
        for step in range(self.first_step + start, self.first_step + s.steps_an_epoch, stride):
            seeds = [np.random.default_rng((s.seed, step, item)) for item in self.items]
            yield torch.from_numpy(np.stack([draw_example(rng, songs, self.cache, s.samples) for rng in seeds]))


class WholeSongs(torch.utils.data.Dataset[Tensor]):
    """Validation songs, each ``(4, 2, samples)``."""

    def __init__(self, songs: list[Song], cache: Path) -> None:
        self.songs, self.cache = songs, cache

    def __len__(self) -> int:
        return len(self.songs)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(self.songs[index].cached(self.cache) / np.float32(32768))


class Training(lightning.LightningModule):
    """The network with its loss, optimiser and validation."""

    def __init__(self, settings: Settings, corpus: Path, cache: Path) -> None:
        super().__init__()
        self.settings, self.corpus, self.cache = settings, corpus, cache
        self.save_hyperparameters({"settings": asdict(settings)})
        self.network = Separator(Size(settings.width, settings.layers))
        self.stft = Stft(DEFAULT)
        self.elapsed_s = 0.0
        self._last_time: float | None = None
        self._songs: list[dict[str, float]] = []

    def training_step(self, stems: Tensor, batch_idx: int) -> Tensor:
        first = int(self.settings.listen_seconds * 44100) // DEFAULT.hop_samples
        estimates = separate(self.network, self.stft, stems.sum(1), first)
        start = first * DEFAULT.hop_samples
        loss = separation_loss(estimates, stems[..., start : start + estimates.shape[-1]])
        self.log("loss", loss, prog_bar=True, on_step=True, on_epoch=False)
        return loss

    def on_train_start(self) -> None:
        if self.global_step == 0:
            batch = next(iter(TrainingBatches(self.corpus, self.cache, self.settings, 0)))
            self.network.standardise(to_planar(to_mid_side(self.stft, batch.sum(1))))
        self._last_time = time.monotonic()

    def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> None:
        now = time.monotonic()
        elapsed_s: float = self.trainer.strategy.broadcast(self.elapsed_s + now - (self._last_time or now))
        self.elapsed_s = elapsed_s  # of the first process: all must agree on the learning rate and on the end
        self._last_time = now
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.settings.peak_rate * self.rate_factor()

    def progress(self) -> float:
        """How much of the budget is spent, 0 to 1."""
        s = self.settings
        if s.steps:
            return min(1.0, self.global_step / s.steps)
        return min(1.0, self.elapsed_s / (60 * (s.minutes or 1)))

    def rate_factor(self) -> float:
        """Warm up, stay, then fall along a straight line to nothing."""
        s = self.settings
        return min((self.global_step + 1) / s.warm_up_steps, (1 - self.progress()) / (1 - s.decay_from), 1.0)

    def validation_step(self, stems: Tensor, batch_idx: int) -> None:
        estimates = separate(self.network, self.stft, stems.sum(1))[0]
        stems = stems[0, ..., : estimates.shape[-1]]
        estimates = torch.cat([estimates, (stems.sum(0) - estimates.sum(0))[None]])
        self._songs.append(sdr_of_stems(stems.cpu().numpy(), estimates.cpu().numpy()))

    def on_validation_epoch_end(self) -> None:
        means = mean_sdr(self._songs)
        self._songs = []
        for stem, value in means.items():
            self.log(f"sdr_{stem}", value, sync_dist=True)
        self.log("sdr", sum(means.values()) / max(1, len(means)), prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), self.settings.peak_rate, betas=(0.9, 0.98), weight_decay=0.01)

    def train_dataloader(self) -> DataLoader[Tensor]:
        first = self.current_epoch * self.settings.steps_an_epoch
        batches = TrainingBatches(self.corpus, self.cache, self.settings, first, self.global_rank)
        return DataLoader(batches, batch_size=None, num_workers=self.settings.workers)

    def val_dataloader(self) -> DataLoader[Tensor]:
        songs = find_songs(self.corpus, "validation")
        spaced = songs[:: max(1, len(songs) // self.settings.validation_songs)][: self.settings.validation_songs]
        return DataLoader(WholeSongs(spaced, self.cache), batch_size=1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["elapsed_s"] = self.elapsed_s
        checkpoint["sources"] = [asdict(s) for s in read_sources(find_songs(self.corpus, "train"))]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.elapsed_s = checkpoint["elapsed_s"]


class Budget(lightning.Callback):
    """Stop at the end of the epoch in which the minutes run out."""

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if isinstance(module, Training) and module.progress() >= 1:
            trainer.should_stop = True


def train(corpus: Path, run: Path, settings: Settings, resume: bool = False, quiet: bool = False) -> Path:
    """Train, or go on with the run in ``run``; returns the last checkpoint, ``run/last.ckpt``.

    Raises:
        RequestError: when the corpus holds no songs, the run exists already, or there is none to resume.
    """
    last = run / "last.ckpt"
    if resume and not last.exists():
        raise RequestError(f"{run}: no run to resume; leave out --resume to begin one")
    if last.exists() and not resume:
        raise RequestError(f"{run}: holds a run already; add --resume to go on with it, or name another folder")
    if not find_songs(corpus, "train"):
        raise RequestError(f"{corpus}: no song to train on")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on how to use Lightning, nothing that a user could act on
        _fit(corpus, run, settings, last if resume else None, quiet)
    return last


def _fit(corpus: Path, run: Path, settings: Settings, resume_from: Path | None, quiet: bool) -> None:
    keep_memory()
    lightning.seed_everything(settings.seed, verbose=False)
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=settings.processes,
        strategy="ddp" if settings.processes > 1 else "auto",
        precision="bf16-mixed" if settings.bf16 else "32-true",
        max_steps=settings.steps or -1,
        max_epochs=-1,
        gradient_clip_val=1.0,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        enable_model_summary=False,
        enable_progress_bar=not quiet,
        logger=CSVLogger(run, name="metrics"),
        callbacks=[
            EMAWeightAveraging(decay=settings.ema_decay),
            ModelCheckpoint(run, filename="last", enable_version_counter=False, save_on_train_epoch_end=False),
            Budget(),
            *([] if quiet else [TQDMProgressBar(refresh_rate=5)]),
        ],
    )
    trainer.fit(Training(settings, corpus, run / "cache"), ckpt_path=resume_from, weights_only=True)


def load_network(path: Path) -> tuple[Separator, tuple[Source, ...]]:
    """The averaged network of a checkpoint and what it learned from.

    Raises:
        ModelError: when the file is not a separator's checkpoint.
    """
    with checkpoint(path, "a separator") as data:
        settings = data["hyper_parameters"]["settings"]
        weights = {k.removeprefix("network."): v for k, v in data["state_dict"].items() if k.startswith("network.")}
        network = Separator(Size(settings["width"], settings["layers"]))
        network.load_state_dict(weights)
        return network.eval(), tuple(Source(**s) for s in data["sources"])
