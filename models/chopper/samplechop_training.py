"""Train sampleChop's networks as it was trained: one by one the frames of songs, positive where a producer would cut.

What it did against there being so few positives is done here: a positive frame makes its neighbours positive, and is
heard at seven pitches, 3 semitones down to 3 up. On a CQT of 12 bins an octave another pitch is the same bins, one
further up or down; so songs are kept with three bins more at either end. It added the retuned positives to the rest;
here every example has one of the seven pitches, and positives weigh seven times as much. Its author's chops were denser
than bars are: what is rarer than onsets weighs more again (`POSITIVE`), or nothing would pass its threshold of 0.7.

There are no hand-made chops for the rendered songs: ``chop`` is taken to be a downbeat on which something begins.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from models.checkpoint import checkpoint, write_checkpoint
from models.separator.songs import Song, find_songs, read_sources
from streaming.card import Source
from streaming.cqt import CQT, CqtFrames, bin_weights
from streaming.errors import RequestError
from streaming.features import MEL

from .annotations import Truth, load_truth
from .dataset import in_frames, merge, song_waves
from .samplechop import Kind, SampleChop, SampleChopConv, build

SEMITONES = 3
PITCHES = 2 * SEMITONES + 1
POSITIVE = {"onset": PITCHES, "downbeat": 3 * PITCHES, "phrase": 15 * PITCHES, "chop": 3 * PITCHES}
"""What a frame where something begins weighs beside one where nothing does."""

WIDE = replace(
    CQT,
    bands=CQT.bands + 2 * SEMITONES,
    low_hz=CQT.low_hz * 2 ** (-SEMITONES / 12),
    window_samples=round(CQT.window_samples * 2 ** (SEMITONES / 12)) + 1,
)
"""The CQT with room for other pitches."""

CHOP_S = 0.05
"""A downbeat is a chop when an onset lies this near."""


@dataclass(frozen=True)
class Settings:
    """What a run is made of. ``steps`` or ``minutes`` is its budget. Rate and decay are scikit-learn's defaults, which
    sampleChop used."""

    kind: Kind = field(default_factory=Kind)
    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    batch: int = 16
    length: int = 256
    """Frames of an example whose curves are learned: 1.5 s."""
    rate: float = 1e-3
    decay: float = 1e-4
    steps_a_report: int = 500


class Example(NamedTuple):
    """A song to learn from: frames ``(T, 54)`` without the weights of the bins, which depend on where a bin lies once
    the pitch is chosen; and the frames at which something begins, by curve."""

    frames: NDArray[np.float16]
    times: Mapping[str, NDArray[np.int64]]


def load_example(song: Song) -> Example:
    """Raises `AudioError` where its stems or annotations cannot be read."""
    source = CqtFrames(WIDE, WIDE.rate)
    frames = np.concatenate([source.process(song_waves(song)[-1]), source.flush()])
    return Example(
        (frames / bin_weights(WIDE.bands)).astype(np.float16), cut_times(load_truth(song.folder), song.files())
    )


def at_pitch(frames: NDArray[np.float16], pitch: int) -> NDArray[np.float32]:
    """What the network would hear, 0 to 6: three semitones up to three down."""
    return (frames[:, pitch : pitch + CQT.bands] * bin_weights(CQT.bands)).astype(np.float32)


def cut_times(truth: Truth, stems: Iterable[str]) -> dict[str, NDArray[np.int64]]:
    """Where each curve begins something, in CQT frames; a curve that is missing is unknown, as are the onsets where
    those of any of the stems are."""
    ratio = CQT.frame_rate / MEL.frame_rate
    onsets = [in_frames(truth.onsets.get(stem)) for stem in stems]
    known = {
        "onset": None if any(times is None for times in onsets) else merge(onsets),
        "downbeat": in_frames(truth.downbeats),
        "phrase": in_frames(truth.phrases),
    }
    if known["onset"] is not None and known["downbeat"] is not None:
        apart = np.abs(known["downbeat"][:, None] - known["onset"]).min(axis=1, initial=np.inf)
        known["chop"] = known["downbeat"][apart <= CHOP_S * MEL.frame_rate]
    return {curve: np.rint(times * ratio).astype(np.int64) for curve, times in known.items() if times is not None}


def draw(
    rng: np.random.Generator, examples: Sequence[Example], settings: Settings, context: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Frames ``(length + 2 context, 48)``, targets and weights ``(length, curves)`` of a stretch of any song."""
    example = examples[int(rng.integers(len(examples)))]
    length, curves = settings.length, settings.kind.curves
    start = int(rng.integers(0, max(1, len(example.frames) - length + 1)))
    frames = np.zeros((length + 2 * context, CQT.bands), np.float32)
    first = start - context
    piece = at_pitch(example.frames[max(0, first) : first + len(frames)], int(rng.integers(PITCHES)))
    frames[max(0, -first) : max(0, -first) + len(piece)] = piece
    targets, weights = np.zeros((length, len(curves)), np.float32), np.zeros((length, len(curves)), np.float32)
    for i, curve in enumerate(curves):
        if curve in example.times:
            near = example.times[curve][:, None] - start + np.arange(-1, 2)
            targets[near[(near >= 0) & (near < length)], i] = 1
            weights[:, i] = np.where(targets[:, i] > 0, POSITIVE[curve], 1)
    return frames, targets, weights


def loss_of(network: SampleChop | SampleChopConv, frames: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy over the frames in the middle, whose context is there."""
    logits = network(frames)[:, network.context : network.context + targets.shape[1]]
    return F.binary_cross_entropy_with_logits(logits, targets, weights, reduction="sum") / weights.sum().clamp_min(1)


def train(corpora: Sequence[Path], folder: Path, settings: Settings, quiet: bool = False) -> Path:
    """Train; returns the checkpoint, ``folder/last.ckpt``, written at every report.

    Raises:
        RequestError: when a corpus holds no songs, or the run exists already.
    """
    last, console = folder / "last.ckpt", Console(stderr=True, quiet=quiet)
    if last.exists():
        raise RequestError(f"{folder}: holds a run already; name another folder (a whole run takes minutes)")
    songs = [song for corpus in corpora for song in find_songs(corpus, "train")]
    if not songs:
        raise RequestError(f"{', '.join(map(str, corpora))}: no song to train on")
    examples = [load_example(s) for s in track(songs, "listening", console=console, transient=True)]
    judges = [load_example(s) for corpus in corpora for s in find_songs(corpus, "validation")] or examples
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    network = build(settings.kind)
    optimiser = torch.optim.Adam(network.parameters(), settings.rate, weight_decay=settings.decay)
    began, step, losses = time.monotonic(), 0, 0.0
    while not _over(settings, step, began):
        loss = loss_of(network, *_batch(examples, settings, network.context, step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses += float(loss.detach())
        step += 1
        if step % settings.steps_a_report == 0 or _over(settings, step, began):
            with torch.no_grad():
                judged = float(loss_of(network, *_batch(judges, replace(settings, batch=128), network.context, -1)))
            steps = (step - 1) % settings.steps_a_report + 1
            console.print(f"step {step}  loss {losses / steps:.4f}  validation {judged:.4f}")
            losses = 0.0
            _save(last, network, step, read_sources(songs))
    return last


def _over(settings: Settings, step: int, began: float) -> bool:
    return step >= settings.steps if settings.steps else time.monotonic() - began > 60 * (settings.minutes or 1)


def _batch(examples: Sequence[Example], settings: Settings, context: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Drawn from seed, step and item alone; step -1 is for validation."""
    seeds = [np.random.default_rng((settings.seed, step + 1, item)) for item in range(settings.batch)]
    frames, targets, weights = zip(*(draw(rng, examples, settings, context) for rng in seeds), strict=True)
    return tuple(torch.from_numpy(np.stack(part)) for part in (frames, targets, weights))  # type: ignore[return-value]


def _save(path: Path, network: SampleChop | SampleChopConv, step: int, sources: Sequence[Source]) -> None:
    data = {
        "samplechop": asdict(network.kind),
        "weights": network.state_dict(),
        "step": step,
        "sources": [asdict(s) for s in sources],
    }
    write_checkpoint(path, data)


def load_network(path: Path) -> tuple[SampleChop | SampleChopConv, tuple[Source, ...]]:
    """The network of a checkpoint and what it learned from. Raises `ModelError`."""
    with checkpoint(path, "sampleChop") as data:
        kind = Kind(**{**data["samplechop"], "curves": tuple(data["samplechop"]["curves"])})
        network = build(kind)
        network.load_state_dict(data["weights"])
        return network.eval(), tuple(Source(**s) for s in data["sources"])
