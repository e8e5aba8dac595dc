"""Hearing a passage: its samples to frames, and those to a network's curves, block by block."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.curves import CurveNetwork
from streaming.errors import AudioError
from streaming.features import Features, open_features
from streaming.session import OnnxModel

from ..passage import Passage, Progress, mono_blocks
from ..registry import find_model
from ..resampler import Resampler, hearing_rate


class Heard(NamedTuple):
    """Curves by name, ``(T,)``; the texture ``(rows, bands)``; how many samples there really were."""

    curves: dict[str, NDArray[np.float32]]
    texture: NDArray[np.float16]
    samples: int


def texture_frames(features: Features) -> int:
    """How many frames a row of the texture averages."""
    return max(1, round(features.frame_rate / 10))


def open_network(name_or_path: str | Path) -> CurveNetwork:
    """A network that marks chops in files. Raises `ModelError`."""
    return CurveNetwork(OnnxModel.open(find_model(name_or_path)))


def listen(passage: Passage, network: CurveNetwork, report: Progress) -> Heard:
    """Hear it once, front to back. Raises `AudioError`."""
    rate = hearing_rate(network.features, passage.rate)
    source = open_features(network.features, rate)
    resampler = Resampler(passage.rate, rate, 1) if rate != passage.rate else None
    network.reset()
    texture = _Texture(network.features)
    pieces = [np.zeros((0, len(network.curves)), np.float32)]
    samples = 0

    def hear(frames: NDArray[np.float32]) -> None:
        texture.add(frames)
        pieces.extend(network.process(frames))

    for mono in mono_blocks(passage):
        samples += len(mono)
        hear(source.process(resampler.process(mono[None])[0] if resampler else mono))
        report(min(1.0, samples / passage.frames))
    if not samples:
        raise AudioError(f"{passage.source}: no audio can be read from {passage.start / passage.rate:.3f} s on")
    if resampler:
        hear(source.process(resampler.flush()[0]))
    hear(source.flush())
    pieces.extend(network.flush())
    curves = np.ascontiguousarray(np.concatenate(pieces).T)
    return Heard(dict(zip(network.curves, curves, strict=True)), texture.rows(), samples)


class _Texture:
    """Frames averaged over a tenth of a second, the last ones over what there is."""

    def __init__(self, features: Features) -> None:
        self._count = texture_frames(features)
        self._left = np.zeros((0, features.bands), np.float32)
        self._rows = [np.zeros((0, features.bands), np.float16)]

    def add(self, frames: NDArray[np.float32]) -> None:
        frames = np.concatenate([self._left, frames])
        whole = len(frames) - len(frames) % self._count
        self._left = frames[whole:]
        means = frames[:whole].reshape(-1, self._count, frames.shape[1]).mean(axis=1)
        self._rows.append(means.astype(np.float16))

    def rows(self) -> NDArray[np.float16]:
        last = [self._left.mean(axis=0, keepdims=True).astype(np.float16)] if len(self._left) else []
        return np.concatenate([*self._rows, *last])
