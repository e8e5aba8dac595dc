"""Proof of the latency: noise through a real engine process without a network comes back as it went in, when said."""

from typing import Any

import numpy as np

from streaming.host import LaneHost
from streaming.lane import Lane
from streaming.process import EngineProcess

from .latency import lag_of, latency_report

SECONDS = 2.0
FLOOR_DB = -200.0


def null_test(rate: int = 44100, block: int = 256) -> dict[str, Any]:
    """Latency as reported and as found by correlation, and what is left when the input is taken from the output (dB).

    Raises:
        EngineError: the engine process did not start.
    """
    lane = Lane.create(rate, 2, block)
    engine = EngineProcess(lane, None)
    try:
        engine.start()
        host = LaneHost(lane, block)
        blocks = int(SECONDS * rate) // block
        sent = np.random.default_rng(0).uniform(-0.5, 0.5, (2, blocks * block)).astype(np.float32)
        heard = np.zeros_like(sent)
        # The separated path, not the mix fader: at unity that is the delayed input to the bit, whatever the windows do.
        stems = np.zeros((lane.output.shape[0] - 1, 2, block), np.float32)
        mix = np.zeros((2, block), np.float32)
        for start in range(0, sent.shape[1], block):
            span = slice(start, start + block)
            host.process(sent[:, span], mix, stems, wait=True)
            heard[:, span] = stems[0]
        report = latency_report(lane)
        del host
    finally:
        engine.stop()
        lane.close()
        lane.unlink()
    measured, _ = lag_of(heard[0], sent[0])
    residual = heard[:, measured:] - sent[:, : sent.shape[1] - measured]
    power = float(np.mean(np.square(residual, dtype=np.float64)) / np.mean(np.square(sent, dtype=np.float64)))
    residual_db = max(FLOOR_DB, 10 * np.log10(power)) if power > 0 else FLOOR_DB
    return {
        "reported_samples": report["samples"],
        "measured_samples": measured,
        "residual_db": float(residual_db),
        "passed": bool(measured == report["samples"] and residual_db < -100.0),
        "latency": report,
    }
