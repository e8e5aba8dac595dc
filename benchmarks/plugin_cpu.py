"""What the plugin takes of a core, and whether its round trip through the engine stays what it says.

    python -m benchmarks.plugin_cpu [--seconds 60] [--block 64] [--model live4-int8] [--instances 1]
                                    [--engine-time-ms 0]

A CLAP host plays noise through the plugin at the pace of a sound card, with the daemon beside it and every fader at
unity, so that the mix has to be the input, to the bit, later by what the host was told: over the whole time. The
function is timed by the CPU clock of its thread. The same blocks copied by numpy, and a loop that only sleeps, run
beside as yardsticks of the machine.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.clap_host import build_host, finish, playing
from bridge.config import Audio, Config, Osc
from bridge.daemon import Daemon
from bridge.idle_loop import finish_idle_loop, start_idle_loop

RATE = 48000
NOISE_S = 10
LIMIT = 0.01
ENGINE_TIME = 7
"""Number of the plugin's parameter."""


def copy_ns(block: int) -> float:
    """What numpy takes to copy a block into twelve buffers, as a yardstick (median)."""
    source, target = np.zeros((2, block), np.float32), np.zeros((6, 2, block), np.float32)
    times = []
    for _ in range(2000):
        started = time.perf_counter_ns()
        np.copyto(target, source)
        times.append(time.perf_counter_ns() - started)
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--block", type=int, default=64)
    parser.add_argument("--model", default="live4-int8")
    parser.add_argument("--instances", type=int, default=1)
    parser.add_argument("--engine-time-ms", type=float, default=0.0)
    options = parser.parse_args()
    os.environ["SIDECHOP_GROUP"] = f"benchmark-{os.getpid()}"
    noise = (np.random.default_rng(0).standard_normal((2, NOISE_S * RATE)) * 0.1).astype(np.float32)
    loops = max(1, options.seconds // NOISE_S)
    config = Config(model=options.model, audio=Audio(plugin=True), osc=Osc(port=0))
    with tempfile.TemporaryDirectory() as name, Daemon(config) as daemon:
        folder = Path(name)
        host = build_host(folder)
        state = folder / "state"
        words = {"block": options.block, "mode": "free", "set": [f"{ENGINE_TIME}:{options.engine_time_ms}@0"]}
        with playing(host, folder, noise[:, :1024], save=state, **words) as process:
            finish(process, folder)
        idle = start_idle_loop(loops * NOISE_S, 256 / RATE)
        with playing(
            host, folder, noise, mode="paced", ready=60, block=options.block, instances=options.instances,
            loops=loops, channels=2, load=state,
        ) as process:  # fmt: skip
            report, outputs = finish(process, folder, timeout_s=options.seconds + 120, ports=1)
        beside = finish_idle_loop(idle)
        daemon.request_stop()
    share = report["cpu_ns"]["sum"] / 1e9 / report["audio_s"] / options.instances
    late = report["latency"][0]
    worst = 0.0
    for out in outputs:
        played = out[0]
        for start in range(0, played.shape[1] - late, noise.shape[1]):
            heard = played[:, start + late : start + late + noise.shape[1]]
            worst = max(worst, float(np.abs(heard - noise[:, : heard.shape[1]]).max()))
    times = report["cpu_ns"]
    print(f"{report['audio_s']:.0f} s in blocks of {options.block}, {options.instances} instances, {options.model}")
    print(f"process(): {share:.3%} of a core each, {share / LIMIT:.2f} of the limit of {LIMIT:.0%}")
    p50, p99, longest = (times[key] / 1000 for key in ("p50", "p99", "max"))
    ratio = times["p50"] / copy_ns(options.block)
    print(f"a block: p50 {p50:.1f} us, p99 {p99:.1f} us, max {longest:.0f} us; {ratio:.1f} times numpy's copying")
    print(f"latency {report['latency']} frames; misses {report['misses']} of {report['blocks']} blocks")
    print(f"mix less input, later by that: {worst:g}")
    print(f"a loop that only sleeps, beside it: {beside}")


if __name__ == "__main__":
    main()
