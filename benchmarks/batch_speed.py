"""How fast `sidechop batch` is: against plain pedalboard, two workers against one, and short files.

    python benchmarks/batch_speed.py [--rounds 5] [--seconds 240] [--short 1000] [--only plain,workers,short]

- plain: four of pedalboard's effects on a stereo file, by one worker that is up, against the loop that pedalboard's own
  guide gives (read a chunk, process, write) in this process; both read and write 24-bit WAV.
- workers: the same chain on 8 files, one worker and two that are up.
- short: files of 2 s through a light chain (a high pass and a gain), from the command on, workers' start and all.

Every round measures both sides one after the other; the medians of the rounds' ratios are printed, with their spread.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pedalboard
import psutil
import soundfile
from pedalboard.io import AudioFile

from bridge.batch.attendant import Setup
from bridge.batch.description import Chain
from bridge.batch.job import Job
from bridge.batch.pool import Pool

RATE = 44100
STAGES = [
    {"type": "HighpassFilter", "cutoff_frequency_hz": 60.0},
    {"type": "Compressor", "threshold_db": -18.0, "ratio": 3.0},
    {"type": "Reverb", "room_size": 0.4},
    {"type": "Limiter", "threshold_db": -1.0},
]
LIGHT = '[[stage]]\ntype = "HighpassFilter"\ncutoff_frequency_hz = 30\n[[stage]]\ntype = "Gain"\ngain_db = -3\n'


def write_noise(path: Path, seconds: float, seed: int) -> Path:
    noise = np.random.default_rng(seed).uniform(-0.3, 0.3, (round(seconds * RATE), 2)).astype(np.float32)
    soundfile.write(path, noise, RATE, subtype="PCM_24")
    return path


def plain(source: Path, target: Path) -> None:
    """pedalboard's own loop."""
    effects = [getattr(pedalboard, str(s["type"]))(**{k: v for k, v in s.items() if k != "type"}) for s in STAGES]
    board = pedalboard.Pedalboard(effects)
    with AudioFile(str(source)) as reader, AudioFile(str(target), "w", RATE, 2, bit_depth=24) as writer:
        while reader.tell() < reader.frames:
            writer.write(board(reader.read(RATE), RATE, reset=False))


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def against_plain(folder: Path, seconds: float, rounds: int) -> None:
    source = write_noise(folder / "long.wav", seconds, 0)
    pool = opened(folder / "out", 1)
    try:
        pairs = []
        for _ in range(rounds):
            theirs = timed(lambda: plain(source, folder / "plain.wav"))
            ours = timed(lambda: list(pool.run([Job(0, str(source), "")])))
            pairs.append((ours, theirs))
    finally:
        pool.close()
    ratios = [ours / theirs for ours, theirs in pairs]
    best = min(ours for ours, _ in pairs) / min(theirs for _, theirs in pairs)
    print(
        f"{seconds:.0f} s through {len(STAGES)} effects, times plain pedalboard's time: median {spread(ratios)}, "
        f"best against best {best:.2f} (limit 1.1); ours {min(o for o, _ in pairs):.2f} s, plain "
        f"{min(t for _, t in pairs):.2f} s"
    )


def two_workers(folder: Path, seconds: float, rounds: int) -> None:
    sources = [write_noise(folder / f"{i}.wav", seconds / 8, i) for i in range(8)]
    jobs = [Job(i, str(source), "") for i, source in enumerate(sources)]
    ratios, cpu = [], []
    pools = {count: opened(folder / f"out{count}", count) for count in (1, 2)}
    try:
        for pool in pools.values():
            list(pool.run(jobs[:2]))  # every worker is up
        for _ in range(rounds):
            (one, one_cpu), (two, two_cpu) = (both_times(pools[count], jobs) for count in (1, 2))
            ratios.append(one / two)
            cpu.append(2 * one_cpu / two_cpu)
    finally:
        for pool in pools.values():
            pool.close()
    print(
        f"2 workers against 1, 8 files of {seconds / 8:.0f} s: {spread(ratios)} times as fast, "
        f"best {max(ratios):.2f} (target 1.8); by the processor's time {spread(cpu)}"
    )


def both_times(pool: Pool, jobs: list[Job]) -> tuple[float, float]:
    """By the clock, and what the workers had of the processors: beside other work only that tells."""

    def used() -> float:
        times = [psutil.Process(pid).cpu_times() for pid in pool.pids]
        return sum(each.user + each.system for each in times)

    before = used()
    clock = timed(lambda: list(pool.run(jobs)))
    return clock, used() - before


def short_files(folder: Path, count: int) -> None:
    sources = folder / "short"
    sources.mkdir()
    for i in range(count):
        write_noise(sources / f"{i:04}.wav", 2.0, i)
    (folder / "light.toml").write_text(LIGHT)
    command = [sys.executable, "-m", "bridge.cli", "batch", str(folder / "light.toml"), str(sources), "-o"]
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    before, started = children.ru_utime + children.ru_stime, time.perf_counter()
    done = subprocess.run(
        [*command, str(folder / "done"), "--workers", "2", "--json"], check=True, stdout=subprocess.PIPE, text=True
    )
    took_s = time.perf_counter() - started
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = children.ru_utime + children.ru_stime - before
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["done"] == count
    print(
        f"{count} files of 2 s: {count / took_s:.0f} files/s from the command on (target 40), {took_s:.1f} s; "
        f"{1000 * cpu_s / count:.1f} ms of the processor for each"
    )


def opened(output: Path, workers: int) -> Pool:
    chain = Chain.model_validate({"stage": STAGES, "output": {"bits": "24"}})
    return Pool(Setup(chain.model_dump(mode="json", by_alias=True), ".", str(output), overwrite=True), workers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--short", type=int, default=1000)
    parser.add_argument("--only", default="plain,workers,short")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "plain" in options.only:
            against_plain(folder, options.seconds, options.rounds)
        if "workers" in options.only:
            two_workers(folder, options.seconds, options.rounds)
        if "short" in options.only:
            short_files(folder, options.short)


if __name__ == "__main__":
    main()
