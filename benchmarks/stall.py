"""How soon the engine is wet again after it was stopped for five seconds, and that nothing stale is heard.

    python benchmarks/stall.py [--model live4-int8] [--rounds 5]

A paced host plays noise; tests/test_engine_process.py holds that every sample after the return stands where it belongs.
"""

import argparse
import os
import signal
import time
from pathlib import Path

import numpy as np

from bridge.registry import find_model
from streaming.host import LaneHost
from streaming.lane import Lane
from streaming.process import EngineProcess
from streaming.session import read_card

RATE, BLOCK, STALL_S = 44100, 256, 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="live4-int8")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    path = Path(find_model(options.model))
    card = read_card(path)
    lane = Lane.create(RATE, 2, BLOCK, card.outputs_heard, card.latency_samples)
    engine = EngineProcess(lane, path)
    engine.start()
    try:
        host = LaneHost(lane, BLOCK)
        rng = np.random.default_rng(0)
        mix = np.empty((2, BLOCK), np.float32)

        def play(seconds: float) -> list[bool]:
            started, ready = time.perf_counter(), []
            for k in range(int(seconds * RATE / BLOCK)):
                time.sleep(max(0.0, started + k * BLOCK / RATE - time.perf_counter()))
                block = (rng.standard_normal((2, BLOCK)) * 0.1).astype(np.float32)
                ready.append(host.process(block, mix))
            return ready

        play(1.0)
        returns = []
        for _ in range(options.rounds):
            assert engine.pid is not None
            os.kill(engine.pid, signal.SIGSTOP)
            play(STALL_S)
            os.kill(engine.pid, signal.SIGCONT)
            after = play(1.5)
            returns.append(after.index(True) * BLOCK / RATE if True in after else float("inf"))
        print(f"wet again after {STALL_S:g} s stalls: " + ", ".join(f"{1000 * r:.0f} ms" for r in returns))
        print(f"hops dropped, not played late: {lane.statistics()['dropped_hops']} (limit for the return: 1000 ms)")
    finally:
        engine.stop()
        lane.close()
        lane.unlink()


if __name__ == "__main__":
    main()
