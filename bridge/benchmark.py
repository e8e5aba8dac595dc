"""Hop times, measured: the engine alone at full speed, and all processes together at the pace of audio."""

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from streaming.engine import Engine

from .config import Config, read_config
from .daemon import Daemon, model_path
from .idle_loop import finish_idle_loop, start_idle_loop

WARM_UP_S = 1.0
NOISE_S = 4.0
BLOCK = 256
"""No more than a hop, so that each is timed by itself."""


def bench_unpaced(model: str, rate: int, seconds: float) -> dict[str, Any]:
    """The engine in this process, one hop after the other. Times a hop in milliseconds.

    Raises:
        ModelError: no such model, or not at this rate.
    """
    engine = Engine(model_path(model))
    engine.prepare(rate, BLOCK, 2)
    block = np.random.default_rng(0).uniform(-0.3, 0.3, (2, BLOCK)).astype(np.float32)
    for _ in range(50):
        engine.process(block)
    engine.hop_times.reset()
    blocks, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        engine.process(block)
        blocks += 1
    times = engine.hop_times.times()
    audio_s = blocks * BLOCK / rate
    return {**times._asdict(), "hop_ms": 1000.0 * audio_s / times.hops, "times_realtime": audio_s / elapsed}


def bench_paced(
    model: str, rate: int, block: int, seconds: float, busy: bool, budget_ms: float | None = None
) -> dict[str, Any]:
    """A whole session on a paced file, and an idle loop beside it: ``{"paced": …, "idle": …, "latency": …}``.

    Raises:
        SidechopError: the session does not start.
    """
    import soundfile

    with tempfile.TemporaryDirectory(prefix="sidechop-") as folder:
        file = Path(folder) / "noise.wav"
        noise = np.random.default_rng(0).uniform(-0.3, 0.3, (int(NOISE_S * rate), 2))
        soundfile.write(file, noise, rate)
        flags = {"model": model, "audio.file": file, "audio.loop": True, "audio.block": block, "audio.rate": rate}
        flags["budget_ms"] = budget_ms
        flags["plugin.serve"] = False
        with Daemon(read_config(Config, None, {**flags, "osc.port": 0})) as daemon, _Busy(busy):
            daemon.run(seconds=WARM_UP_S)
            daemon.lane.reset_statistics()
            hop_s = daemon.lane.statistics()["hop_ms"] / 1000.0
            idle = start_idle_loop(seconds, hop_s)
            daemon.run(seconds=seconds)
            paced = daemon.remote.statistics()
            return {"paced": paced, "idle": finish_idle_loop(idle), "latency": daemon.remote.latency()}


class _Busy:
    """A thread that computes in Python without a rest, as a daemon with much to do would."""

    def __init__(self, on: bool) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._compute, daemon=True) if on else None

    def _compute(self) -> None:
        while not self._stop.is_set():
            sum(i * i for i in range(10_000))

    def __enter__(self) -> None:
        if self._thread:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()
