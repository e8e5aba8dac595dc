"""A 48 kHz (or 96 kHz) session: resample to the rate the model was trained at, or run it at the neighbouring rate?

    python benchmarks/rates.py CORPUS [--model live4] [--songs 12] [--split test]

For each song, resampled once to the session's rate, the stems are made both ways and compared with the true ones at
that rate: SDR per stem, mean over songs; then the delay that each way adds. The decision stands in docs/streaming.md.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile
import soxr

from bridge.registry import find_model
from models.separator.evaluation import sdr
from streaming.engine import MAX_BLOCK, Engine

TRAINED = 44100
STEMS = ("vocals", "drums", "bass", "other")


def separate(engine: Engine, mix: np.ndarray, rate: int) -> np.ndarray:
    engine.prepare(rate, MAX_BLOCK, 2)
    padded = np.pad(mix, ((0, 0), (0, engine.latency_samples)))
    out = [engine.process(padded[:, i : i + MAX_BLOCK])[1].copy() for i in range(0, padded.shape[1], MAX_BLOCK)]
    return np.concatenate(out, 2)[:, :, engine.latency_samples :]


def resample(audio: np.ndarray, source: int, target: int) -> np.ndarray:
    """``(..., channels, samples)`` at the highest quality."""
    flat = audio.reshape(-1, audio.shape[-1])
    out = soxr.resample(flat.T, source, target, quality="VHQ").T
    return np.ascontiguousarray(out.reshape(*audio.shape[:-1], -1), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", default="live4")
    parser.add_argument("--songs", type=int, default=12)
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    engine = Engine(Path(find_model(options.model)))
    songs = sorted(p for p in (options.corpus / options.split).iterdir() if p.is_dir())[: options.songs]
    for rate in (48000, 96000):
        rows: dict[str, list[list[float]]] = {"neighbour": [], "resampled": []}
        for song in songs:
            read = [soundfile.read(song / f"{s}.flac", dtype="float32", always_2d=True)[0].T for s in STEMS]
            stems = np.stack(read)
            heard = [k for k in range(4) if (stems[k] ** 2).mean() > 1e-7]
            truth = resample(stems, TRAINED, rate)
            mix = truth.sum(0)
            direct = separate(engine, mix, rate)
            around = resample(separate(engine, resample(mix, rate, TRAINED), TRAINED), TRAINED, rate)
            for name, made in (("neighbour", direct), ("resampled", around)):
                n = min(truth.shape[-1], made.shape[-1])
                rows[name].append([sdr(truth[k, :, :n], made[k, :, :n]) if k in heard else np.nan for k in range(4)])
        window = engine.latency_samples / TRAINED
        for name, values in rows.items():
            mean = np.nanmean(values, axis=0)
            each = ", ".join(f"{s} {v:.2f}" for s, v in zip(STEMS, mean, strict=True))
            print(f"{rate} Hz {name:9}: {each}; mean {mean.mean():.2f} dB SDR over {len(songs)} songs")
        there = soxr.ResampleStream(rate, TRAINED, 1, quality="HQ")
        fed = 0
        while not len(there.resample_chunk(np.zeros(64, np.float32))):
            fed += 64
        print(f"{rate} Hz: windows {1000 * window:.1f} ms; each resampler adds about {1000 * fed / rate:.1f} ms")


if __name__ == "__main__":
    main()
