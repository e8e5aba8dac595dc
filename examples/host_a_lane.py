"""What a plugin does, in Python: make a lane, start the engine process, play blocks through it in real time.

python examples/host_a_lane.py MODEL.onnx
"""

import sys
import time
from pathlib import Path

import numpy as np

from streaming.host import LaneHost
from streaming.lane import Lane
from streaming.process import EngineProcess
from streaming.session import read_card

RATE, BLOCK, SECONDS = 44100, 256, 3

model = Path(sys.argv[1])
card = read_card(model)
lane = Lane.create(RATE, 2, BLOCK, card.outputs_heard, card.latency_samples)
engine = EngineProcess(lane, model)
try:
    engine.start()
    lane.controls.set_solo(card.stems[0], True)
    host = LaneHost(lane, BLOCK)
    print(f"{host.latency_samples} samples = {card.latency_samples} of window + {host.margin_samples} of margin")
    rng = np.random.default_rng(0)
    mix = np.empty((2, BLOCK), np.float32)
    started = time.perf_counter()
    for k in range(SECONDS * RATE // BLOCK):
        time.sleep(max(0.0, started + k * BLOCK / RATE - time.perf_counter()))
        host.process((rng.standard_normal((2, BLOCK)) * 0.1).astype(np.float32), mix)
    for name, value in lane.statistics().items():
        print(f"{name:12} {value}")
finally:
    engine.stop()
    lane.close()
    lane.unlink()
