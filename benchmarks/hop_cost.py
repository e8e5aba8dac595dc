"""What a hop costs without the network: rings, STFT, inverse STFT, residual, mix. And whether memory grows.

    python benchmarks/hop_cost.py [--hops 1000000]

Prints the engine's own percentiles beside a bare numpy transform pair of the same size in the same run, as the
machine's yardstick, then what was allocated between the first tenth and the end.
"""

import argparse
import resource
import sys
import time

import numpy as np

from streaming.engine import HopEngine
from streaming.mixer import Controls
from streaming.ring import Ring
from streaming.separator import PassThrough, SpectralSeparator
from streaming.statistics import HopStatistics
from streaming.windows import DEFAULT

RATE = 44100
STEMS = ("vocals", "drums", "bass")


def yardstick(runs: int = 2000) -> float:
    """Median ms of one rfft of 2 and one irfft of 6 rows of N samples."""
    rows = np.random.default_rng(0).standard_normal((6, DEFAULT.analysis_samples)).astype(np.float32)
    spectra = np.fft.rfft(rows, axis=-1)
    times = []
    for _ in range(runs):
        started = time.perf_counter_ns()
        np.fft.rfft(rows[:2], axis=-1)
        np.fft.irfft(spectra, axis=-1)
        times.append(time.perf_counter_ns() - started)
    return float(np.median(times)) / 1e6


def memory() -> tuple[int, int]:
    """Python's allocated blocks, and the peak resident size in kB."""
    return sys.getallocatedblocks(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hops", type=int, default=1_000_000)
    hops = parser.parse_args().hops
    hop = DEFAULT.hop_samples
    statistics = HopStatistics()
    separator = SpectralSeparator(PassThrough(STEMS), DEFAULT, 2)
    engine = HopEngine(separator, RATE, 2, Controls((*STEMS, "other")), statistics)
    ring_in, ring_out = Ring((2,), 4 * hop), Ring((5, 2), 4 * hop)
    block = (np.random.default_rng(0).standard_normal((2, hop)) * 0.1).astype(np.float32)
    taken, played = np.empty_like(block), np.empty((5, 2, hop), np.float32)
    times = np.full(hops, -1, np.int64)  # its pages are touched now, not counted as growth
    early = (0, 0)
    for k in range(hops):
        started = time.perf_counter_ns()
        ring_in.write(block)
        ring_in.read(taken)
        ring_out.write(engine.process_hops(taken))
        ring_out.read(played)
        times[k] = time.perf_counter_ns() - started
        if k == hops // 10:
            early = memory()
    late = memory()
    p50, p95, p99 = np.percentile(times, [50, 95, 99]) / 1e6
    print(
        f"hops {hops}: p50 {p50:.3f} ms, p95 {p95:.3f}, p99 {p99:.3f}, max {times.max() / 1e6:.3f} (limit p50 0.15 ms)"
    )
    bare = yardstick()
    print(f"bare transforms of the same size: p50 {bare:.3f} ms; the whole is {p50 / bare:.2f} times that")
    print(
        f"from hop {hops // 10} to the end: {late[0] - early[0]:+d} Python blocks, "
        f"{late[1] - early[1]:+d} kB peak memory"
    )


if __name__ == "__main__":
    main()
