"""Separate an array: the engine in twenty lines, chunk by chunk as it would run live.

python examples/separate_array.py MODEL.onnx
"""

import sys

import numpy as np

from streaming.engine import Engine

RATE, BLOCK = 44100, 480

engine = Engine(sys.argv[1])
engine.prepare(RATE, BLOCK, channels=2)
print(f"{', '.join(engine.outputs)}; latency {engine.latency_samples} samples")

seconds = np.arange(2 * RATE) / RATE
song = (0.3 * np.sin(2 * np.pi * 110 * seconds) * np.ones((2, 1))).astype(np.float32)
parts = []
for start in range(0, song.shape[1], BLOCK):
    mix, stems = engine.process(song[:, start : start + BLOCK])
    parts.append(stems.copy())  # views of the engine's buffers: valid until the next call
parts.append(engine.flush()[1])

stems = np.concatenate(parts, axis=2)[:, :, engine.latency_samples :]
for name, stem in zip(engine.outputs, stems, strict=True):
    print(f"{name:8} {20 * np.log10(np.sqrt((stem**2).mean()) + 1e-9):6.1f} dBFS")
print(f"sum of stems less mix: {np.abs(stems.sum(0) - song).max():.1e}")
