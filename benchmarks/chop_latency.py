"""How long after a hit has sounded an OSC client knows of it, while audio plays at its pace.

    python benchmarks/chop_latency.py [--chops chopper-live] [--model live4-int8] [--seconds 60] [--block 256] [--busy]

The daemon is `sidechop live` on a paced file of drum-like hits at known places, which meet blocks, hops and frames
wherever they fall. Beside it this program watches the lane's counter of written frames, so it knows when each hit was
written (to its own pause of 0.2 ms), and hears the events over a socket. A device hands over a block when it is full:
a hit was heard up to a block before it was written, and that wait is in the figures. `--busy` has the daemon chop a
file meanwhile.

Then what listening for chops adds to a hop, and how much of a core the daemon takes with and without.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile

from bridge.osc_client import OscClient
from bridge.registry import find_model
from streaming.lane import Lane
from streaming.live_chops import LiveChops

RATE = 48000
HOP = 256
LIMIT_MS = 60.0
NEAR_S = 0.04
TRACK_S = 30


def track(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Half a minute of bursts of noise that die away, of many levels, over soft noise; and where they begin."""
    positions = np.cumsum(rng.uniform(0.2, 0.6, 60) * RATE).astype(int)
    positions = positions[positions < (TRACK_S - 0.5) * RATE]
    audio = rng.standard_normal(TRACK_S * RATE) * 1e-4
    shape = np.exp(-np.arange(RATE // 4) / (0.03 * RATE))
    for position in positions:
        audio[position : position + len(shape)] += rng.standard_normal(len(shape)) * shape * rng.uniform(0.1, 0.3)
    return audio.astype(np.float32), positions


class Watch(threading.Thread):
    """Remembers when the lane's input had grown to where."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(daemon=True)
        self._lane = lane
        self.done = threading.Event()
        self.times: list[float] = []
        self.written: list[int] = []

    def run(self) -> None:
        last = 0
        while not self.done.is_set():
            written = int(self._lane.counters["in_written"])
            if written != last:
                self.times.append(time.monotonic())
                self.written.append(written)
                last = written
            time.sleep(0.0002)


def start(command: list[str]) -> tuple["subprocess.Popen[str]", int]:
    """A daemon whose audio runs, and its port."""
    daemon = subprocess.Popen(
        [sys.executable, "-m", "bridge.cli", "live", "--json", *command], stdout=subprocess.PIPE, text=True
    )
    assert daemon.stdout is not None
    port = 0
    for line in daemon.stdout:
        event = json.loads(line)
        if event["kind"] == "osc":
            port = int(event["text"].rpartition(":")[2])
        if (event["kind"], event.get("state")) == ("audio", "ready"):
            break
    threading.Thread(target=daemon.stdout.read, daemon=True).start()
    return daemon, port


def cpu(process: psutil.Process, seconds: float) -> float:
    process.cpu_percent()
    time.sleep(seconds)
    return process.cpu_percent()


def hop_cost(path: Path, hops: int = 5000) -> str:
    chops = LiveChops(path)
    chops.prepare(RATE, 2)
    block = np.random.default_rng(0).uniform(-0.3, 0.3, (2, HOP)).astype(np.float32)
    times = np.zeros(hops)
    for i in range(hops):
        started = time.perf_counter()
        chops.process(block, i * HOP)
        times[i] = 1000.0 * (time.perf_counter() - started)
    p50, p95, p99 = np.percentile(times, (50, 95, 99))
    return f"mean {times.mean():.3f} ms, p50 {p50:.3f} ms, p95 {p95:.3f} ms, p99 {p99:.3f} ms, max {times.max():.3f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chops", default="chopper-live")
    parser.add_argument("--model", default="live4-int8")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--block", type=int, default=256)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--chopper", default="chopper", help="the model of --busy")
    options = parser.parse_args()
    network = find_model(options.chops)
    audio, places = track(np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "hits.wav"
        soundfile.write(file, audio, RATE, subtype="FLOAT")
        long = Path(folder) / "long.wav"
        soundfile.write(long, np.tile(audio, 20), RATE)
        command = [
            "--file",
            str(file),
            "--loop",
            "--osc-port",
            "0",
            "--block",
            str(options.block),
            "--model",
            options.model,
        ]
        daemon, port = start([*command, "--chops", str(network)])
        try:
            with OscClient("127.0.0.1", port, timeout_s=10.0) as client, OscClient("127.0.0.1", port, 60.0) as other:
                lane = Lane.attach(json.loads(client.request("/sidechop/status")[0])["lane"])
                watch = Watch(lane)
                watch.start()
                client.request("/sidechop/subscribe", "chops", 3600.0)
                first = int(lane.counters["in_written"])
                jobs = threading.Thread(target=keep_busy, args=(other, long, options.chopper, watch.done))
                if options.busy:
                    jobs.start()
                arrivals: list[tuple[float, int]] = []
                end = time.monotonic() + options.seconds
                while time.monotonic() < end:
                    event = client.event(0.5)
                    if event and event[0] == "/sidechop/event/chop":
                        arrivals.append((time.monotonic(), event[1][0]))
                last = int(lane.counters["in_written"]) - RATE // 4
                watch.done.set()
                if options.busy:
                    jobs.join()
                process = psutil.Process(daemon.pid)
                on = cpu(process, 5.0)
                statistics = json.loads(client.request("/sidechop/statistics")[0])
                client.request("/sidechop/chop/live", False)
                off = cpu(process, 5.0)
        finally:
            daemon.terminate()
            daemon.wait()
    report(arrivals, watch, places, first, last, options.block)
    print(
        f"separation: p99 {statistics['p99_ms']:.2f} ms a hop, {statistics['misses']} misses of {statistics['blocks']}"
    )
    print(f"listening for chops, a hop of {HOP}: {hop_cost(network)}")
    print(f"the daemon takes {on:.1f}% of a core with chops, {off:.1f}% without")


def keep_busy(client: OscClient, file: Path, model: str, done: threading.Event) -> None:
    """Chops of a long file, one job after the other."""
    model = str(find_model(model).resolve())
    while not done.is_set():
        client.request("/sidechop/chop/file", str(file), 0.0, 0.0, json.dumps({"model": model, "mode": "transient"}))


def report(
    arrivals: list[tuple[float, int]], watch: Watch, places: np.ndarray, first: int, last: int, block: int
) -> None:
    hits = np.concatenate([places + k * TRACK_S * RATE for k in range(last // (TRACK_S * RATE) + 1)])
    hits = hits[(hits > first) & (hits < last)]
    written, times = np.array(watch.written), np.array(watch.times)
    delays, off, extra, found = [], [], 0, set()
    for arrived, position in arrivals:
        nearest = int(np.argmin(np.abs(hits - position)))
        hit = hits[nearest]
        if abs(hit - position) > NEAR_S * RATE:
            extra += first < position < last
            continue
        found.add(nearest)
        block_at = int(np.searchsorted(written, hit, "right"))
        sounded = times[block_at] - (written[block_at] - hit) / RATE
        delays.append(1000.0 * (arrived - sounded))
        off.append(1000.0 * abs(position - hit) / RATE)
    if not delays:
        raise SystemExit(f"no event came near any of the {len(hits)} hits")
    p50, p95 = np.percentile(delays, (50, 95))
    print(f"{len(found)} of {len(hits)} hits were told, {extra} events beside them; blocks of {block} at {RATE} Hz")
    print(f"known after p50 {p50:.1f} ms, p95 {p95:.1f} ms, max {max(delays):.1f} ms (limit: {LIMIT_MS:g} ms)")
    print(f"positions are off by p50 {np.median(off):.2f} ms, max {max(off):.2f} ms")


if __name__ == "__main__":
    main()
