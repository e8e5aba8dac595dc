"""Chunked against one-shot, pass-through, and reported against measured latency, for a model at every session rate.

    python benchmarks/chunking.py [MODEL ...]        (default: the shipped live4 and live4-int8)

Prints the largest difference over 20 random chunkings each; the tests hold the same, this shows the numbers.
"""

import argparse
from pathlib import Path

import numpy as np

from bridge.latency import lag_of
from bridge.registry import find_model
from streaming.engine import MAX_BLOCK, Engine

RATES = (44100, 48000, 88200, 96000)
FRAMES = 60_000
CHUNKINGS = 20


def play(engine: Engine, signal: np.ndarray, rng: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray]:
    mixes, stems, at = [], [], 0
    while at < signal.shape[1]:
        size = int(rng.integers(1, MAX_BLOCK + 1) ** rng.random()) if rng else MAX_BLOCK
        mix, out = engine.process(signal[:, at : at + size])
        mixes.append(mix.copy())
        stems.append(out.copy())
        at += size
    return np.concatenate(mixes, 1), np.concatenate(stems, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["live4", "live4-int8"])
    rng = np.random.default_rng(0)
    for name in parser.parse_args().models:
        engine = Engine(Path(find_model(name)))
        for rate in RATES:
            signal = (rng.standard_normal((2, FRAMES)) * 0.2).astype(np.float32)
            engine.prepare(rate, MAX_BLOCK, 2)
            mix, stems = play(engine, signal, None)
            late = engine.latency_samples
            null = float(np.abs(mix[:, late:] - signal[:, : FRAMES - late]).max())
            sums = float(np.abs(stems.sum(0)[:, late:] - signal[:, : FRAMES - late]).max())
            worst = 0.0
            for _ in range(CHUNKINGS):
                engine.reset()
                worst = max(worst, float(np.abs(play(engine, signal, rng)[1] - stems).max()))
            print(
                f"{name} {rate} Hz: chunked against one-shot {worst:.1e} (limit 1e-5), mix nulls to {null:.1e}, "
                f"stems sum to {sums:.1e}, latency {late} reported, {lag_of(mix[0], signal[0])[0]} measured"
            )


if __name__ == "__main__":
    main()
