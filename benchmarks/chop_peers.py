"""Ours beside its peers: F of onsets, beats, downbeats and phrases in songs whose own are known.

    python benchmarks/chop_peers.py CORPUS [--split test] [--model chopper --model samplechop]
        [--peer librosa=python --peer madmom=/path/to/its/python --peer essentia=/path/to/its/python]

With neither, ``chopper`` is held against librosa. A peer is heard in the Python that it is installed in (chop_peer.py).
Every one hears the same mono waves and is scored as `sidechop evaluate chopper` scores (models/chopper/evaluation.py).
RTF is seconds of work for a second of audio, on one core where the peer keeps to one.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bridge.registry import find_model
from models.chopper.evaluation import Found, Sound, find_sounds, open_ears, score, summarise
from models.separator.songs import RATE

Heard = Iterable[tuple[Found, float]]
"""What was found in each sound, and the seconds it took."""

PEER = Path(__file__).with_name("chop_peer.py")


def ours(model: str, sounds: Sequence[Sound]) -> Iterator[tuple[Found, float]]:
    hear = open_ears(Path(find_model(model)))
    for sound in sounds:
        start = time.perf_counter()
        found = hear(sound.mono)
        yield found, time.perf_counter() - start


def theirs(peer: str, python: str, waves: Sequence[Path]) -> Iterator[tuple[Found, float]]:
    command = [python, str(PEER), peer, *map(str, waves)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            heard = json.loads(line)
            took = heard.pop("took")
            yield {kind: np.array(times) for kind, times in heard.items()}, took
    if process.returncode:
        raise SystemExit(f"{peer}: {python} ended with {process.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    options = parser.parse_args()
    console = Console(stderr=True)
    sounds = list(find_sounds(options.corpus, options.split))
    if not options.model and not options.peer:
        options.model, options.peer = ["chopper"], [f"librosa={sys.executable}"]
    peers = dict(p.split("=", 1) for p in options.peer)
    with TemporaryDirectory() as folder:
        waves = [Path(folder) / f"{i}.npy" for i in range(len(sounds))]
        for wave, sound in zip(waves, sounds, strict=True):
            np.save(wave, sound.mono)
        systems: dict[str, Heard] = {model: ours(model, sounds) for model in options.model}
        systems |= {peer: theirs(peer, python, waves) for peer, python in peers.items()}
        rows = {name: measure(name, heard, sounds, console) for name, heard in systems.items()}
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = Table("", *rows)
    for name in names:
        table.add_row(name, *(f"{row[name]:.3f}" if name in row else "–" for row in rows.values()))
    Console().print(table)


def measure(name: str, heard: Heard, sounds: Sequence[Sound], console: Console) -> dict[str, float]:
    """Every figure of one system, by name; printed at once, since the next may take long."""
    scores, took = [], 0.0
    pairs = zip(sounds, heard, strict=True)
    for sound, (found, seconds) in track(pairs, name, len(sounds), console=console, transient=True):
        scores.append(score(sound, found))
        took += seconds
    figures = {figure.name: figure.value for figure in summarise(scores)}
    figures["RTF"] = took / (sum(len(sound.mono) for sound in sounds) / RATE)
    console.print(f"{name}: {', '.join(f'{what} {value:.3f}' for what, value in figures.items())}", soft_wrap=True)
    return figures


if __name__ == "__main__":
    main()
