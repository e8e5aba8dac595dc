"""An engine process for each plugin, or one that serves all: memory, and how far behind the lanes the output is.

    python -m benchmarks.plugin_engines [--lanes 4] [--seconds 20] [--model live4-int8] [--block 256]

Some lanes are fed together, a block at the pace of a sound card, as a DAW feeds the plugins of its tracks, first with
an engine process each, then with one process that runs the same engines in turn, twice. Told is how long after a block
was written the hops that it completed were there, to this program's own pause of 0.1 ms.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil

from bridge.registry import find_model
from streaming.lane import EngineState, Lane
from streaming.process import EngineProcess, LaneEngine, Listeners
from streaming.realtime import AUDIO_PRIORITY, ENGINE_PRIORITY, settle
from streaming.spawn import spawn

RATE, HOP = 48000, 256
POLL_S = 0.0005
PAUSE_S = 0.0001


@contextmanager
def each(lanes: list[Lane], model: Path) -> Iterator[list[int]]:
    with ExitStack() as stack:
        engines = [EngineProcess(lane, model) for lane in lanes]
        for engine in engines:
            stack.callback(engine.stop)
            engine.start()
        yield [engine.pid or 0 for engine in engines]


@contextmanager
def shared(lanes: list[Lane], model: Path) -> Iterator[list[int]]:
    words = ["-m", "benchmarks.plugin_engines", "--serve", str(model), *(lane.name for lane in lanes)]
    with spawn(*words, stdin=subprocess.PIPE) as process:
        while not all(lane.engine_state is EngineState.READY for lane in lanes):
            time.sleep(0.01)
        yield [process.pid]
        process.kill()


def serve(model: Path, names: list[str]) -> None:
    """One process for all lanes, until it is killed."""
    engines = []
    for name in names:
        lane = Lane.attach(name)
        lane.header["engine_epoch"] = 1
        engines.append(LaneEngine(lane, model, Listeners(), 1))
    settle(ENGINE_PRIORITY)
    for engine in engines:
        engine.take_over()
    while True:
        worked = [engine.step() for engine in engines]  # every one in turn, whatever the others did
        if not any(worked):
            time.sleep(POLL_S)


def measure(
    serving: Callable[[list[Lane], Path], AbstractContextManager[list[int]]],
    model: Path,
    count: int,
    block: int,
    seconds: float,
) -> None:
    lanes = [Lane.create(RATE, 2, 1024, ("vocals", "drums", "bass", "other"), 512) for _ in range(count)]
    noise = (np.random.default_rng(0).standard_normal((2, lanes[0].history_frames)) * 0.1).astype(np.float32)
    try:
        for lane in lanes:
            lane.input[:] = noise  # the ring goes round and round
        with serving(lanes, model) as pids:
            delays = play(lanes, block, seconds)
            memory = sum(psutil.Process(pid).memory_full_info().pss for pid in pids)
    finally:
        for lane in lanes:
            lane.close()
            lane.unlink()
    p50, p99, p999 = np.percentile(delays, (50, 99, 99.9))
    missed = np.mean(delays > 1000.0 * max(block, HOP) / RATE)
    print(f"{serving.__name__:6}: {memory / 1e6:4.0f} MB; done after p50 {p50:.2f}, p99 {p99:.2f}, p99.9 {p999:.2f}, "
          f"max {delays.max():.1f} ms; later than {max(block, HOP)} frames: {missed:.3%}", flush=True)  # fmt: skip


def play(lanes: list[Lane], block: int, seconds: float) -> np.ndarray:
    """Milliseconds from a block to its hops, for every block of every lane that completed one."""
    waiting: list[tuple[Lane, int, float]] = []
    delays: list[float] = []
    started = time.perf_counter()
    for k in range(1, int(seconds * RATE / block)):
        now = time.perf_counter()
        for lane in lanes:
            before = int(lane.counters["in_written"])
            lane.counters["in_written"] = before + block
            if (before + block) // HOP > before // HOP and before > HOP:
                waiting.append((lane, (before + block) // HOP * HOP - HOP, now))
        while (now := time.perf_counter()) < started + k * block / RATE:
            done = [int(lane.counters["out_written"]) >= due for lane, due, _ in waiting]
            delays += [1000.0 * (now - at) for (_, _, at), is_done in zip(waiting, done, strict=True) if is_done]
            waiting = [each for each, is_done in zip(waiting, done, strict=True) if not is_done]
            time.sleep(PAUSE_S)
    return np.array(delays[len(delays) // 10 :])


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]), sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--model", default="live4-int8")
    parser.add_argument("--block", type=int, default=256)
    options = parser.parse_args()
    model = find_model(options.model)
    settle(AUDIO_PRIORITY)
    for serving in (each, shared, each, shared):
        measure(serving, model, options.lanes, options.block, options.seconds)


if __name__ == "__main__":
    main()
