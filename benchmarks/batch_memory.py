"""What a long file costs in memory: an hour at 96 kHz through five stages, one of which has to hear all of it first.

    python benchmarks/batch_memory.py [--seconds 3600] [--rate 96000] [--separate] [--folder DIR]

High pass, compressor, a plugin with look-ahead (ZaMaximX2, or else the brick-wall limiter), a parallel reverb,
loudness; with --separate the separator takes the compressor's place. Prints the worker's peak, for this length and for
a minute. The disk has to hold about 7 GB for an hour.
"""

import argparse
import contextlib
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile

from bridge.batch.attendant import Setup
from bridge.batch.description import Chain
from bridge.batch.job import Job
from bridge.batch.pool import Pool

PLUGIN = Path("/usr/lib/vst3/ZaMaximX2.vst3")
LIMIT_MB = 500


def stages(separate: bool) -> list[dict[str, object]]:
    second = {"type": "separate", "model": "live4-int8"} if separate else {"type": "Compressor", "threshold_db": -18}
    plugin = {"type": "plugin", "path": str(PLUGIN)} if PLUGIN.exists() else {"type": "BrickwallLimiter"}
    reverb = {"type": "mix", "branch": [{}, {"gain_db": -12, "stage": [{"type": "Reverb"}]}]}
    return [{"type": "HighpassFilter"}, second, plugin, reverb, {"type": "normalise", "lufs": -16}]


def write_long(path: Path, seconds: float, rate: int) -> Path:
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", rate, 2, subtype="PCM_24") as file:
        left = round(seconds * rate)
        while left:
            count = min(left, rate)
            file.write(rng.uniform(-0.2, 0.2, (count, 2)).astype(np.float32))
            left -= count
    return path


def peak_mb(folder: Path, seconds: float, rate: int, separate: bool) -> tuple[float, float]:
    """The worker's peak in MB, and how long the file took."""
    source = write_long(folder / f"{seconds:.0f}.wav", seconds, rate)
    chain = Chain.model_validate({"stage": stages(separate), "output": {"bits": "24"}})
    pool = Pool(Setup(chain.model_dump(mode="json", by_alias=True), ".", str(folder / "out"), True), 1)
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            for pid in pool.pids:
                with contextlib.suppress(psutil.NoSuchProcess):
                    peak[0] = max(peak[0], psutil.Process(pid).memory_info().rss / 2**20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        [outcome] = pool.run([Job(0, str(source), "")])
    finally:
        ended.set()
        watcher.join()
        pool.close()
    took_s = time.perf_counter() - started
    assert outcome.status == "done", outcome
    for path in (source, folder / "out" / source.name):
        os.unlink(path)
    return peak[0], took_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--rate", type=int, default=96_000)
    parser.add_argument("--separate", action="store_true")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        short, _ = peak_mb(Path(name), 60, options.rate, options.separate)
        long, took_s = peak_mb(Path(name), options.seconds, options.rate, options.separate)
    print(
        f"{options.seconds:.0f} s at {options.rate} Hz through 5 stages: peak {long:.0f} MB (limit {LIMIT_MB}), "
        f"a minute {short:.0f} MB; {options.seconds / took_s:.1f} times real time"
    )


if __name__ == "__main__":
    main()
