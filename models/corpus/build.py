"""Makes a corpus folder: ``ROOT/{train,validation,test}/SONG/`` with four FLAC stems and ``song.json``.

A song depends on the seed, its split and its number alone, so a corpus can be made by several processes, stopped
and resumed: finished songs are skipped, and a song is written aside and then renamed.
"""

import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.progress import Progress

from .annotate import annotations
from .compose import compose
from .performance import perform
from .pools import POOLS, SPLITS
from .render import Studio, write_stems
from .sources import Sources

HELD_OUT_SHARE = 0.08


@dataclass(frozen=True)
class Order:
    """What to make.

    Attributes:
        songs: training songs; validation and test get 8% of that each, at least one.
        seconds: length of a song; songs vary by a fifth.
        chops: songs for the chopper: played by people, with sampled breaks, most of them unsung.
        cache, data, download: where the sounds are, as in ``Sources``.
    """

    root: Path
    songs: int = 300
    seconds: float = 32.0
    seed: int = 0
    cache: Path | None = None
    data: Path | None = None
    download: bool = True
    chops: bool = False

    def count(self, split: str) -> int:
        return self.songs if split == "train" else max(1, round(self.songs * HELD_OUT_SHARE))


def build(order: Order, jobs: int = 1) -> dict[str, int]:
    """Make what is missing of a corpus and return the number of songs of each split."""
    sources = Sources(order.cache, order.data, order.download)
    for name in sources.missing:
        print(f"missing {name}: going on without it")
    # interleaved, so that a build stopped early has something in every split
    wanted = sorted((n / order.count(split), split, n) for split in SPLITS for n in range(order.count(split)))
    todo = [(split, n) for _, split, n in wanted if not (song_folder(order, split, n) / "song.json").is_file()]
    with Progress() as progress, ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        task = progress.add_task("songs", total=len(todo))
        for future in as_completed([pool.submit(make_song, order, split, n) for split, n in todo]):
            future.result()
            progress.advance(task)
    return {split: len(list((order.root / split).glob("*/song.json"))) for split in SPLITS}


def song_folder(order: Order, split: str, number: int) -> Path:
    """Where a song goes."""
    return order.root / split / f"song{number:04d}"


_studios: dict[tuple[str, Path | None, Path | None], Studio] = {}


def make_song(order: Order, split: str, number: int) -> Path:
    """Compose, render and write one song."""
    key = (split, order.cache, order.data)
    if key not in _studios:
        _studios[key] = Studio(Sources(order.cache, order.data, download=False), POOLS[split])
    rng = np.random.default_rng([order.seed, SPLITS.index(split), number])
    song = compose(rng, order.seconds * float(rng.uniform(0.85, 1.2)))
    if order.chops:
        song = perform(np.random.default_rng([order.seed, SPLITS.index(split), number, 1]), song)
    rendering = _studios[key].render(rng, song)
    folder = song_folder(order, split, number)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    write_stems(aside, rendering.stems)
    facts = {
        "seed": [order.seed, split, number],
        "style": song.style,
        "tempo": round(song.tempo, 2),
        "key": song.key,
        "minor": song.minor,
        "beats_per_bar": song.beats_per_bar,
        **rendering.facts,
        **annotations(song, rendering),
    }
    (aside / "song.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    return folder
