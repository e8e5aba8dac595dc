"""Learn where one user cuts: a fifth curve, ``chop``, for a network that knows music already.

Hand-made chops are few, so training goes on from a network that ships (its ONNX file holds the very weights) and takes
minutes. The whole network moves, and what it said of onsets, beats, bars and phrases before is what it shall go on
saying: on every example the network at the start is its teacher for those. As sampleChop did, frames next to a chop
count as chops, and recordings are heard up to three semitones higher and lower.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from rich.console import Console

from models.processor import keep_memory
from models.separator.songs import RATE, split_of
from streaming.card import Source
from streaming.errors import AudioError, ModelError
from streaming.session import read_card

from .dataset import Item, cached_frames, in_frames
from .labels import Labelled, find_labelled
from .network import CHOP, Chopper, Size
from .training import Run, Settings, follow, ready

PREFIX = "network."
"""Of the weights' names in an exported file."""


def train_own(
    labels: Path, base: Path, folder: Path, settings: Settings, resume: bool = False, quiet: bool = False
) -> Path:
    """Train ``base``, a chopper's ONNX file, on the labelled audio of a folder; returns ``folder/last.ckpt``.

    Raises:
        RequestError: when there is no labelled audio, the run exists already, or there is none to resume.
        ModelError: when ``base`` is no chopper of ours.
    """
    last = ready(folder, resume)
    found = find_labelled(labels)
    teacher, sources = load_onnx(base)
    items = [load_own(one, folder / "cache") for one in found]
    judges = [item for item in items if split_of(item.name) == "validation"]
    learners = [item for item in items if split_of(item.name) != "validation"]
    if not learners:  # all there is
        learners, judges = items, []
    keep_memory()
    known = tuple(curve for curve in teacher.size.curves if curve != CHOP)
    run = Run(replace(teacher.size, curves=(*known, CHOP)), settings, teacher)
    inherit(run.network, teacher)
    inherit(run.averaged, teacher)
    if resume:
        run.load(last)
    own = Source(labels.name, "unstated", "a user's own chops")
    follow(run, learners, judges, folder, (*sources, own), Console(stderr=True, quiet=quiet))
    return last


def inherit(network: Chopper, teacher: Chopper) -> None:
    """Give a network all that its teacher has: everything but what reads off a curve that the teacher lacks."""
    weights = teacher.state_dict()
    for name in ("heads.weight", "heads.bias"):
        whole = network.state_dict()[name].clone()
        for i, curve in enumerate(network.size.curves):
            if curve in teacher.size.curves:
                whole[i] = weights[name][teacher.size.curves.index(curve)]
        weights[name] = whole
    network.load_state_dict(weights)


def load_own(labelled: Labelled, cache: Path) -> Item:
    """A recording and its chops. Raises `AudioError`."""
    path = labelled.audio
    frames = cached_frames(path.stem, [path], cache, lambda: [read_mono(path)])
    chops = in_frames(labelled.times_s)
    assert chops is not None
    return Item(path.stem, frames, (None,), {CHOP: chops})


def read_mono(path: Path) -> NDArray[np.float32]:
    """The mean of a file's channels at 44.1 kHz. Raises `AudioError`."""
    try:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: not readable as audio ({error})") from None
    mono: NDArray[np.float32] = wave.mean(1)
    return mono if rate == RATE else soxr.resample(mono, rate, RATE)


def load_onnx(path: Path) -> tuple[Chopper, tuple[Source, ...]]:
    """The network that was exported to a file, and what it learned from. Raises `ModelError`."""
    card, weights = read_card(path), read_weights(path)
    try:
        blocks = sum(name.endswith("mix.weight") for name in weights)
        size = Size(weights["join.weight"].shape[0], blocks, card.kind == "frame-hop", card.curves)
        network = Chopper(size)
        network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})
    except (KeyError, RuntimeError):
        raise ModelError(f"{path}: not a chopper of this project; `sidechop models list` shows those") from None
    return network.eval(), card.training


def read_weights(path: Path) -> Mapping[str, NDArray[np.float32]]:
    """An exported network's weights by name."""
    tensors: Sequence[onnx.TensorProto] = onnx.load(path).graph.initializer
    return {t.name.removeprefix(PREFIX): onnx.numpy_helper.to_array(t) for t in tensors if t.name.startswith(PREFIX)}
