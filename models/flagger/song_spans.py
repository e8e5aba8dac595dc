"""Faults made in the samples of good recordings, kept as frames: what whole passages are made of for the reviewer.

A song is its frames and a hundred spans, each the frames of a place in it that went wrong::

    song   ▁▂▃▂▁▂▃▅▃▂▁▂▃▂▁▂▃▅▃▂▁▂▃▂▁
    spans      ▇▇▆▇      ▂▂▂▂▂          each knows where it belongs, and its family
                  ▅▁▅▁▅     ▇▇

`scenes` puts some of them back, cut short, inserted or mixed with what was there, so that few spans make many passages.
Frames are bytes, `QUANTUM` a step: a third of a decibel.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.features import MEL

from .clips import inaudible, mel
from .corruptions import FAMILIES, Pools, spliced
from .recordings import RATE, Audio

QUANTUM = 1 / 32
SHORTEST_S, LONGEST_S = 0.4, 7.0
TWICE_SHARE = 0.25
"""Of the spans, those in which a second thing goes wrong on top."""
_MARGIN = 4
"""Frames of a span's surroundings that are computed with it, so that its edges are true."""
Rng = np.random.Generator
Bytes = NDArray[np.uint8]
Maker = Callable[[Rng, Audio, Pools], Audio]


class Song(NamedTuple):
    """``frames (T, bands)``; ``spans (n, 3)``: the first frame, how many, the family's number; ``worse`` their frames,
    one after the other."""

    frames: Bytes
    spans: NDArray[np.int32]
    worse: Bytes


def to_bytes(frames: NDArray[np.floating]) -> Bytes:
    """Features 0 … 8 as bytes."""
    return np.clip(np.round(frames.astype(np.float32) / QUANTUM), 0, 255).astype(np.uint8)


def draw_song(
    rng: Rng, x: Audio, pools: Pools, count: int, speech: bool, families: Mapping[str, Maker] = FAMILIES
) -> Song:
    """``count`` spans of faults made in ``x (n,)``, less those that nobody hears."""
    hop, names = MEL.hop_samples, list(families)
    places, worse = [], []
    for _ in range(count):
        family = int(rng.integers(len(names)))
        if speech and names[family] in ("speech", "talk"):
            continue
        length = int(np.exp(rng.uniform(np.log(SHORTEST_S), np.log(LONGEST_S))) * RATE) // hop
        first = int(rng.integers(_MARGIN, max(_MARGIN + 1, len(x) // hop - length - _MARGIN)))
        start, stop = first * hop, (first + length) * hop
        if stop + _MARGIN * hop > len(x):
            continue
        made = families[names[family]](rng, x[start:stop].copy(), pools)
        if rng.random() < TWICE_SHARE and len(made):
            made = families[names[int(rng.integers(len(names)))]](rng, made, pools)
        if len(made) != stop - start or not np.isfinite(made).all() or inaudible(x[start:stop], made):
            continue
        around = x[start - _MARGIN * hop : stop + _MARGIN * hop].copy()
        spliced(rng, around, _MARGIN * hop, made.astype(np.float32))
        frames = mel(around)[_MARGIN : _MARGIN + length]
        places.append((first, len(frames), family))
        worse.append(to_bytes(frames))
    bands = np.zeros((0, MEL.bands), np.uint8)
    return Song(to_bytes(mel(x)), np.array(places, np.int32).reshape(-1, 3), np.concatenate([bands, *worse]))


def write_song(song: Song, path: Path) -> None:
    """Write it aside and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    np.savez(aside, **song._asdict())
    os.replace(aside, path)


def read_song(path: Path) -> Song:
    file = np.load(path)
    return Song(*(file[name] for name in Song._fields))
