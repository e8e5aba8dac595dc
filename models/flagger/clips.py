"""Clips to learn from: half a minute of a good recording, with a fault or two put in, as frames and what they are.

Drawn from (seed, number) alone. Whole clips are varied as productions vary (level, tone, bandwidth), so that these are
not taken for faults; the context then tells the network what is usual here.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.features import MEL, MelFrames
from streaming.segments import Segmenter

from .corruptions import CLASSES, FAMILIES, Pools, db, shaped, spliced
from .network import SEGMENT_FRAMES, STEP_FRAMES
from .recordings import RATE, Audio

CLIP_S = 24.0
SHARD = 32
"""Clips in one file of the cache."""
Rng = np.random.Generator


class Clip(NamedTuple):
    """``frames (T, bands)``, float16, the class of each, and the context of each step ``(steps, 2, bands)``."""

    frames: NDArray[np.float16]
    kinds: NDArray[np.uint8]
    context: NDArray[np.float16]


def draw_clip(rng: Rng, pools: Pools, speech_share: float = 0.15, clean_share: float = 0.25) -> Clip:
    """One clip of recordings in ``pools``."""
    samples = int(CLIP_S * RATE)
    spoken = pools.speech is not None and rng.random() < speech_share
    source = pools.speech if spoken and pools.speech else pools.music
    x = produced(rng, source.draw(rng, samples))
    frame_kinds = np.zeros(int(CLIP_S * MEL.frame_rate) + 1, np.uint8)
    for start, stop in spans(rng, samples, 0 if rng.random() < clean_share else int(rng.integers(1, 4))):
        names = [name for name in FAMILIES if not (spoken and name == "speech")]
        name = names[int(rng.integers(len(names)))]
        worse = FAMILIES[name](rng, x[start:stop].copy(), pools)
        if not np.isfinite(worse).all() or inaudible(x[start:stop], worse):
            continue
        spliced(rng, x, start, worse)
        hop = MEL.hop_samples
        frame_kinds[-(-start // hop) : stop // hop + 1] = CLASSES.index(name)
    frames = mel(x)
    return Clip(frames, frame_kinds, contexts(frames))


def contexts(frames: NDArray[np.float16]) -> NDArray[np.float16]:
    """The context of every step, as the engine will have it."""
    segments = Segmenter(MEL, SEGMENT_FRAMES, STEP_FRAMES).process(frames.astype(np.float32))
    return segments.context.astype(np.float16)


def mel(x: Audio) -> NDArray[np.float16]:
    source = MelFrames(MEL, RATE)
    frames = np.concatenate([source.process(np.clip(x, -1.5, 1.5).astype(np.float32)), source.flush()])
    half: NDArray[np.float16] = frames.astype(np.float16)
    return half


def inaudible(before: Audio, after: Audio) -> bool:
    """So little of a change that calling it a fault would teach nonsense: silence made worse, 34 dB down."""
    level = float(np.square(before).mean())
    return level < 1e-7 or float(np.square(after - before).mean()) < 4e-4 * level


def spans(rng: Rng, samples: int, count: int) -> list[tuple[int, int]]:
    """Up to ``count`` places that do not touch, 0.3 to 8 seconds long."""
    found: list[tuple[int, int]] = []
    for _ in range(count):
        length = int(np.exp(rng.uniform(np.log(0.3), np.log(8))) * RATE)
        start = int(rng.integers(0, samples - length))
        if all(start > b + RATE or start + length + RATE < a for a, b in found):
            found.append((start, start + length))
    return sorted(found)


def produced(rng: Rng, x: Audio) -> Audio:
    """As another studio would have it: level, tilt, and sometimes narrow."""
    tilt = rng.normal(0, 0.15)
    x = shaped(x, lambda hz: (np.maximum(hz, 60) / 1000) ** tilt)
    if rng.random() < 0.2:
        top = np.exp(rng.uniform(np.log(3500), np.log(14000)))
        x = shaped(x, lambda hz: 1 / (1 + (hz / top) ** 16))
    if rng.random() < 0.2:
        x = x + rng.normal(size=len(x)).astype(np.float32) * np.float32(db(rng.uniform(-85, -55)))
    peak = float(np.abs(x).max()) + 1e-6
    return x * np.float32(db(rng.uniform(-16, 0)) / max(peak, 1e-4))


def write_shard(seed: int, number: int, pools: Pools, folder: Path) -> Path:
    """`SHARD` clips in ``folder/SEED-NUMBER.npz``, unless they are there."""
    path = folder / f"{seed}-{number:04d}.npz"
    if not path.exists():
        clips = [draw_clip(np.random.default_rng((seed, number, i)), pools) for i in range(SHARD)]
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f".{path.name}.{os.getpid()}.npz"
        frames, kinds, context = (np.stack(parts) for parts in zip(*clips, strict=True))
        np.savez(aside, frames=frames, kinds=kinds, context=context)
        os.replace(aside, path)
    return path


def read_shards(paths: Sequence[Path]) -> Clip:
    """All clips of these files, stacked."""
    files = [np.load(path) for path in paths]
    return Clip(*(np.concatenate([file[name] for file in files]) for name in Clip._fields))
