"""How long `sidechop flag` takes for an hour of audio, on one core, and how much memory it needs.

    python benchmarks/flag_speed.py [--model flagger] [--seconds 3600] [--rounds 1] [--snap zero] [--file RECORDING]

The command runs as a user runs it, imports and exports (all but the picture) included; without --file on a made-up
recording (FLAC, stereo, 44.1 kHz) of drums and chords with hiss here and there. Run it on a quiet machine; beside other
work the processor's time tells more than the clock. A second run on a tenth of it shows what memory hangs on length.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

LIMIT_S = 60.0
RATE = 44100


class Run(NamedTuple):
    """Seconds by the clock and of the processor, and the most memory held (MB)."""

    clock_s: float
    busy_s: float
    peak_mb: float


def write_recording(path: Path, seconds: int) -> None:
    """Sixteenths at 120 bpm, every one another mix of a drum and chords; ten seconds of hiss in each ten minutes."""
    rng = np.random.default_rng(0)
    step = RATE // 8
    t = np.arange(step) / RATE
    with soundfile.SoundFile(path, "w", RATE, 2) as file:
        for number in range(seconds * RATE // step):
            chord = sum(np.sin(2 * np.pi * 110 * 2 ** (rng.integers(0, 36) / 12) * t) for _ in range(3))
            drum = rng.standard_normal((step, 2)) * np.exp(-t * rng.uniform(10, 80))[:, None]
            block = 0.2 * rng.random() * drum + 0.05 * chord[:, None]
            if number // 8 % 600 >= 590:
                block += 0.05 * rng.standard_normal((step, 2))
            file.write(block)


def time_command(recording: Path, model: str, snap: str, output: Path) -> Run:
    """Start-up included."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "bridge.cli", "flag", str(recording), "--model", model, "--snap", snap, "--json"]
    command += ["-o", str(output), "--export", "reaper,audacity,otio,csv,json,cut"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"the command failed with status {status}")
    return Run(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="flagger")
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--snap", default="zero")
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recording = options.file or folder / "recording.flac"
        short = folder / "short.flac"
        if not options.file:
            write_recording(recording, options.seconds)
        write_recording(short, max(20, options.seconds // 10))
        length_s = soundfile.info(recording).duration
        runs = [time_command(recording, options.model, options.snap, folder / "out") for _ in range(options.rounds)]
        brief = time_command(short, options.model, options.snap, folder / "brief")
        clock, busy = (statistics.median(times) for times in ([r.clock_s for r in runs], [r.busy_s for r in runs]))
        share = 3600 / length_s
        print(f"{length_s:.0f} s of audio, by the clock: {clock:.1f} s; an hour: {share * clock:.1f} s")
        print(f"{length_s:.0f} s of audio, processor:    {busy:.1f} s; an hour: {share * busy:.1f} s", end="")
        print(f" (limit {LIMIT_S:g} s, {share * busy / LIMIT_S:.0%} of it)")
        peak, less = max(run.peak_mb for run in runs), brief.peak_mb
        print(f"most memory: {peak:.0f} MB, of a tenth of the length {less:.0f} MB")


if __name__ == "__main__":
    main()
