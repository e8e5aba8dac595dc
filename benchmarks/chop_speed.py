"""How long `sidechop chop` takes for a song, from the command to its markers, and how long a re-roll takes.

    python benchmarks/chop_speed.py [--model chopper] [--seconds 240] [--rounds 5] [--file SONG]

The command runs as a user runs it, imports included, on one core; without --file on a made-up song of 4 minutes (FLAC,
stereo). A re-roll is another seed over what was heard, a seed a round, and gives all its chops at once. Run it on a
quiet machine; beside other work the processor's time tells more than the clock.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from bridge.chops.analysis import analyse
from bridge.chops.chopping import chop
from bridge.chops.listening import open_network
from bridge.chops.settings import ChopSettings

FILE_LIMIT_S = 4.0
REROLL_LIMIT_S = 0.05
RATE = 44100


def write_song(path: Path, seconds: int) -> None:
    """Sixteenths at 120 bpm, every one another mix of a drum and chords: many onsets, many sounds."""
    rng = np.random.default_rng(0)
    step = RATE // 8
    t = np.arange(step) / RATE
    with soundfile.SoundFile(path, "w", RATE, 2) as file:
        for number in range(seconds * RATE // step):
            chord = sum(np.sin(2 * np.pi * 110 * 2 ** (rng.integers(0, 36) / 12) * t) for _ in range(3))
            drum = rng.standard_normal((step, 2)) * np.exp(-t * rng.uniform(10, 80))[:, None]
            loud = 1.0 if number % 4 == 0 else 0.3 * rng.random()
            file.write(0.3 * loud * drum + 0.05 * chord[:, None])


def spread(times_s: Sequence[float], limit_s: float) -> str:
    middle = statistics.median(times_s)
    return (
        f"{middle:.3f} s (median of {len(times_s)}, {min(times_s):.3f} to {max(times_s):.3f}; "
        f"limit {limit_s:g} s, {middle / limit_s:.0%} of it)"
    )


def time_command(song: Path, model: str) -> tuple[float, float]:
    """Seconds by the clock and of the processor, start-up included."""
    before, started = os.times(), time.perf_counter()
    command = [sys.executable, "-m", "bridge.cli", "chop", str(song), "--model", model, "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    busy_s = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started, busy_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="chopper")
    parser.add_argument("--seconds", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    with tempfile.TemporaryDirectory() as folder:
        song = options.file or Path(folder) / "song.flac"
        if not options.file:
            write_song(song, options.seconds)
        runs = [time_command(song, options.model) for _ in range(options.rounds)]
        print(f"file to markers, by the clock: {spread([clock for clock, _ in runs], FILE_LIMIT_S)}")
        print(f"file to markers, processor:    {spread([busy for _, busy in runs], FILE_LIMIT_S)}")
        analysis = analyse(song, open_network(options.model))
    times = []
    for seed in range(1, options.rounds + 1):
        started = time.perf_counter()
        chops = chop(analysis, ChopSettings(count=16, seed=seed))
        times.append(time.perf_counter() - started)
    print(f"re-roll, {len(analysis.onsets.positions)} onsets, 16 chops: {spread(times, REROLL_LIMIT_S)}")
    assert len(chops.chops) == 16


if __name__ == "__main__":
    main()
