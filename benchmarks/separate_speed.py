"""How much faster than real time `sidechop separate` is, on one stereo file with all stems written.

    python benchmarks/separate_speed.py [--model NAME] [--seconds 120] [--format wav] [--cores 2]
    python benchmarks/separate_speed.py --model query-studio --query drums --query "a dog barking"

Prints the factor (wall clock, reading, writing and the tail included; opening the model apart), the cores it kept busy
and the peak of memory. Run it on a quiet machine.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from bridge.registry import find_model
from bridge.separate import FileSeparator, file_threads


def write_song(path: Path, seconds: int, rate: int = 44100) -> None:
    """Chords and a beat under noise, in 16 bits: the network's work does not depend on what it hears."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", rate, 2, subtype="PCM_16") as file:
        for second in range(seconds):
            t = np.arange(rate) / rate
            chord = sum(np.sin(2 * np.pi * f * (1 + second % 4 / 12) * t) for f in (110, 165, 220, 277))
            beat = rng.standard_normal((rate, 2)) * np.exp(-20 * (4 * t % 1))[:, None]
            file.write(0.1 * chord[:, None] + 0.1 * beat)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="auto")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--format", choices=("wav", "flac"), default="wav")
    parser.add_argument("--query", action="append", default=[], help="of a query model; more than once for more")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    model = find_model(options.model)
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / "song.wav"
        write_song(song, options.seconds)
        started = time.perf_counter()
        separator = FileSeparator(model, threads=file_threads(model), queries=options.query)
        opened_s = time.perf_counter() - started
        busy = time.process_time()
        done = separator.separate(song, Path(folder) / "out", options.format)
        busy = time.process_time() - busy
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    asked = f", {len(options.query)} queries" if options.query else ""
    print(
        f"{model.stem}{asked} {options.format}: {done.duration_s / done.took_s:.1f} times real time "
        f"on {options.cores} cores (target 15): {done.duration_s:.0f} s in {done.took_s:.1f} s, "
        f"{busy / done.took_s:.2f} cores busy, opened in {opened_s:.2f} s, peak {peak_mb:.0f} MB"
    )


if __name__ == "__main__":
    main()
