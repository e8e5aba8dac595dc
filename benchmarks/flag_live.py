"""What flags cost while audio plays, and how late they are told.

    python benchmarks/flag_live.py [--flags flagger] [--model live4-int8] [--seconds 60]

First in this process: the detectors and the flagger on an engine's hops, as a share of a core and for the slowest hop.
Then a whole daemon that plays a loop with a dropout and a burst of noise: when events come after what they tell of is
over, misses, and the load of its processes with flags and without.
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
from numpy.typing import NDArray

from bridge.osc_client import OscClient
from bridge.registry import find_model
from streaming.faults.faults import Faults
from streaming.lane import Lane
from streaming.live_flags import GATHERED_S, LiveFlags

RATE = 44100
HOP = 256
LOOP_S = 12
DROPOUT_S = (4.0, 4.03)
NOISE_S = (7.0, 8.2)
LIMIT = 5.0

Audio = NDArray[np.float32]


def music(seconds: float) -> Audio:
    """Chords over a drum, ``(2, n)``, silent at both ends, so that a loop of it has no seam."""
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * RATE)) / RATE
    out = rng.standard_normal((2, len(t))) * 0.001
    for beat in np.arange(0, seconds - 0.5, 0.5):
        age = np.clip(t - beat, 0, None)
        on = np.clip(age / 0.004, 0, 1) * np.exp(-age * 5)
        for hz in 110 * 2 ** (rng.integers(0, 24, 3) / 12):
            out += 0.08 * on * np.sin(2 * np.pi * hz * age)
        out += 0.1 * np.clip(age / 0.002, 0, 1) * np.exp(-age * 30) * rng.standard_normal(len(t))
    faded: Audio = (out * np.clip(np.minimum(t, t[-1] - t) * 20, 0, 1)).astype(np.float32)
    return faded


def costs(flags: Path, audio: Audio) -> None:
    """Of the detectors alone, and of all."""
    listeners: dict[str, Faults | LiveFlags] = {
        "detectors": Faults(live=True),
        "detectors and flagger": LiveFlags(flags),
    }
    for name, listener in listeners.items():
        listener.prepare(RATE, 2)
        size = round(GATHERED_S * RATE) if name == "detectors" else HOP  # as they get it
        times = []
        for at in range(0, audio.shape[1] - size, size):
            started = time.perf_counter()
            listener.process(audio[:, at : at + size], at)
            times.append(time.perf_counter() - started)
        share = 100 * sum(times) / (len(times) * size / RATE)
        p99, most = 1000 * np.percentile(times, 99), 1000 * max(times)
        print(f"{name}: {share:.2f}% of a core; {size} samples take p99 {p99:.2f} ms, max {most:.2f} ms")


def load(process: psutil.Process, seconds: float) -> float:
    """Percent of a core that a process and its children take."""
    family = [process, *process.children(recursive=True)]
    before = sum(sum(p.cpu_times()[:2]) for p in family)
    time.sleep(seconds)
    return 100 * (sum(sum(p.cpu_times()[:2]) for p in family) - before) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flags", default="flagger")
    parser.add_argument("--model", default="live4-int8")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    flags = find_model(options.flags)
    audio = music(LOOP_S)
    costs(flags, np.tile(audio, 5))
    audio[:, round(DROPOUT_S[0] * RATE) : round(DROPOUT_S[1] * RATE)] = 0
    noise = audio[:, round(NOISE_S[0] * RATE) : round(NOISE_S[1] * RATE)]
    noise += 0.3 * np.random.default_rng(1).standard_normal(noise.shape[1], np.float32)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "loop.wav"
        soundfile.write(file, audio.T, RATE, subtype="FLOAT")
        daemon_of(file, options.model, flags, options.seconds)


def daemon_of(file: Path, model: str, flags: Path, seconds: float) -> None:
    command = ["--file", str(file), "--loop", "--osc-port", "0", "--block", "256", "--model", model]
    daemon = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "bridge.cli",
            "live",
            "--json",
            *command,
            "--flags",
            str(flags),
            "--flags-threshold",
            "0.01",
        ],
        stdout=subprocess.PIPE,
        text=True,
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
    try:
        with OscClient("127.0.0.1", port, timeout_s=20.0) as client:
            lane = Lane.attach(json.loads(client.request("/sidechop/status")[0])["lane"])
            client.request("/sidechop/subscribe", "flags", 3600.0)
            late: dict[str, list[float]] = {}
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                event = client.event(0.5)
                if event and event[0] == "/sidechop/event/flag":
                    late.setdefault(event[1][5], []).append((int(lane.counters["in_written"]) - event[1][1]) / RATE)
            for kind, delays in sorted(late.items()):
                print(
                    f"{kind}: {len(delays)} events, {np.median(delays):.2f} s after their end, max {max(delays):.2f} s"
                )
            process = psutil.Process(daemon.pid)
            statistics = json.loads(client.request("/sidechop/statistics")[0])
            on = load(process, 10.0)
            client.request("/sidechop/flag/live", False)
            off = load(process, 10.0)
    finally:
        daemon.terminate()
        daemon.wait()
    print(f"{statistics['misses']} misses of {statistics['blocks']} blocks, hops p99 {statistics['p99_ms']:.2f} ms")
    print(f"all processes take {on:.1f}% of a core with flags, {off:.1f}% without: {on - off:.1f}% (limit {LIMIT:g}%)")


if __name__ == "__main__":
    main()
