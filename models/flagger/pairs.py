"""Raw takes and their edits: which of a folder's recordings are good, and what an edit left out of its raw take.

Two ways to lay a folder out::

    DIR/edited/NAME.wav   DIR/raw/NAME.wav          DIR/NAME.edited.wav   DIR/NAME.raw.wav

Only edited audio is learned from. What of a raw take its edit kept is found by sound: a segment whose mel frames come
almost the same anywhere in the edit was kept.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.errors import RequestError

from .clips import mel
from .network import SEGMENT_FRAMES, STEP_FRAMES
from .recordings import Audio, find_audio

ALIKE = 0.97
"""Correlation of the mel frames above which two segments are the same sound."""
POOL_FRAMES, POOL_BANDS = 4, 4
"""Frames and bands averaged before they are compared."""
_AT_ONCE = 512


class Pair(NamedTuple):
    """A raw take and its edit."""

    raw: Path
    edited: Path


class Folder(NamedTuple):
    """What a user gave: good recordings, and raw takes to judge by, if any."""

    good: list[Path]
    pairs: list[Pair]


def read_folder(folder: Path) -> Folder:
    """Sort a folder's files. Raises `RequestError` where there is none that is good."""
    files = find_audio(folder)
    good, raw = [], []
    for path in files:
        parts = {part.lower() for part in path.relative_to(folder).parts[:-1]}
        name = path.stem.lower()
        if "raw" in parts or name.endswith(".raw"):
            raw.append(path)
        else:
            good.append(path)
    if not good:
        raise RequestError(f"{folder}: holds raw takes alone; what is good has to be there too, in edited/")
    by_name = {_name(path): path for path in good}
    pairs = [Pair(path, by_name[_name(path)]) for path in raw if _name(path) in by_name]
    return Folder(good, pairs)


def _name(path: Path) -> str:
    return path.stem.lower().removesuffix(".raw").removesuffix(".edited")


def kept_steps(raw: Audio, edited: Audio) -> NDArray[np.bool_]:
    """Which steps of a raw take its edit has: mono ``(n,)`` and ``(m,)`` at 44.1 kHz to one truth a step."""
    length = SEGMENT_FRAMES // POOL_FRAMES
    takes, edits = (_windows(_pooled(audio), length) for audio in (raw, edited))
    takes = takes[:: STEP_FRAMES // POOL_FRAMES]
    best = np.full(len(takes), -1.0, np.float32)
    for i in range(0, len(edits), _AT_ONCE):
        best = np.maximum(best, (takes @ edits[i : i + _AT_ONCE].T).max(axis=1))
    return best >= ALIKE


def _pooled(audio: Audio) -> NDArray[np.float32]:
    frames = mel(audio).astype(np.float32)
    frames = frames[: len(frames) // POOL_FRAMES * POOL_FRAMES]
    shape = len(frames) // POOL_FRAMES, POOL_FRAMES, frames.shape[1] // POOL_BANDS, POOL_BANDS
    pooled: NDArray[np.float32] = frames.reshape(shape).mean(axis=(1, 3))
    return pooled


def _windows(frames: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Every window as a vector of unit length, its mean taken away."""
    windows = np.lib.stride_tricks.sliding_window_view(frames, length, axis=0)
    flat = windows.reshape(len(windows), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    unit: NDArray[np.float32] = flat / (np.linalg.norm(flat, axis=1, keepdims=True) + np.float32(1e-6))
    return unit
