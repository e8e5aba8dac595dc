"""How long it takes from the action to markers in a real Ardour, on an item of 30 s, and how far off they are.

    python -m benchmarks.ardour_markers [--rounds 9] [--seconds 30]

The item is a clip on a track of a session (``ardour7-lua``, dummy backend, real OSC), which begins inside its file and
lies off the beginning. Two ways: the command as a user runs it, start of Python included, and the daemon's job, asked
over OSC as a button would, with the markers placed as its items come in. Then the session is saved and its markers are
read back: the error is each one's distance from the sample where its chop sounds. Beside them, a bare ``/locate`` with
``/add_marker`` shows what is Ardour's own share.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from bridge.config import Audio, Config, Osc
from bridge.daemon import Daemon
from bridge.daws.ardour import Ardour
from bridge.daws.daw import Marker
from bridge.daws.markers import chop_name, in_regions
from bridge.osc_client import OscClient

from .ardour_host import ArdourHost, Clip, missing_tool, running

LIMIT_S = 1.5
RATE = 48000
LEAD_S = 2
POSITION = 10 * RATE + 77
COUNT = 16


def music(seconds: int) -> np.ndarray:
    """Sixteenths at 120 bpm, each another sound ``(2, samples)``."""
    rng = np.random.default_rng(0)
    step = RATE // 8
    t = np.arange(step) / RATE
    parts = []
    for number in range(seconds * 8):
        drum = rng.standard_normal((2, step)) * np.exp(-t * rng.uniform(10, 80))
        chord = sum(np.sin(2 * np.pi * 110 * 2 ** (rng.integers(0, 36) / 12) * t) for _ in range(3))
        parts.append(0.3 * (1.0 if number % 4 == 0 else 0.3 * rng.random()) * drum + 0.05 * chord)
    return np.concatenate(parts, axis=1).astype(np.float32)


def spread(times_s: Sequence[float]) -> str:
    middle = statistics.median(times_s)
    return f"{middle:.3f} s (median of {len(times_s)}, {min(times_s):.3f} to {max(times_s):.3f})"


def by_command(host: ArdourHost, port: int, seed: int) -> float:
    """Seconds from the command to its end, when the last marker is in Ardour."""
    passage = ("--start", str(LEAD_S), "--count", str(COUNT), "--seed", str(seed))
    to = ("--to", f"ardour:{port}", "--session", str(host.file))
    command = [sys.executable, "-m", "bridge.cli", "chop", str(host.audio[0]), *passage, *to]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def by_daemon(host: ArdourHost, port: int, client: OscClient, end_s: float, seed: int) -> tuple[float, list[int]]:
    """Seconds from the request until the last marker is in Ardour, and where the chops sound."""
    started = time.perf_counter()
    found: list[Marker] = []
    options = f'{{"count": {COUNT}, "seed": {seed}}}'
    client.request(
        "/sidechop/chop/file",
        str(host.audio[0]),
        float(LEAD_S),
        end_s,
        options,
        on_item=lambda item: found.append(Marker(item[1] / RATE, chop_name(item[0] + 1, item[4]))),
    )
    session = host.saved()
    markers = in_regions(found, session.regions_of(host.audio[0]), RATE)
    with Ardour(port=port, rate=RATE, known=session.markers) as ardour:
        ardour.place(markers)
    taken = time.perf_counter() - started
    return taken, [POSITION + round(marker.position * RATE) - LEAD_S * RATE for marker in found]


def bare(port: int) -> float:
    """Seconds for one marker, Ardour alone."""
    with Ardour(port=port, rate=RATE) as ardour:
        started = time.perf_counter()
        ardour.place([Marker(300 + k / 7, f"bare {k}") for k in range(50)])
        return (time.perf_counter() - started) / 50


def save(host: ArdourHost, port: int) -> set[int]:
    before = host.file.stat().st_mtime_ns
    with Ardour(port=port) as ardour:
        ardour.save()
        while host.file.stat().st_mtime_ns == before:
            time.sleep(0.02)
    time.sleep(0.2)
    return {sample for sample, _ in host.saved().markers}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=30)
    arguments = parser.parse_args()
    if missing := missing_tool():
        sys.exit(missing)
    length = arguments.seconds * RATE
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        host = ArdourHost(folder, music(LEAD_S + arguments.seconds), RATE, [Clip(POSITION, LEAD_S * RATE, length)])
        soundfile.write(folder / "silence.wav", np.zeros(RATE), RATE)
        source = Audio(file=folder / "silence.wav", loop=True)
        config = Config(model="pass-through", audio=source, osc=Osc(port=0))
        with running(host) as port, Daemon(config) as daemon, OscClient(*daemon.server.address, timeout_s=60) as client:
            end_s = float(LEAD_S + arguments.seconds)
            by_daemon(host, port, client, end_s, 999)  # starts the worker
            commands, jobs, wanted = [], [], set()
            for seed in range(arguments.rounds):
                commands.append(by_command(host, port, seed))
                taken, positions = by_daemon(host, port, client, end_s, 100 + seed)
                jobs.append(taken)
                wanted |= set(positions)
            marker_s = bare(port)
            there = np.array(sorted(save(host, port)))
    errors = [int(np.abs(there - position).min()) for position in sorted(wanted)]
    print(f"command to {COUNT} markers, {arguments.seconds} s: {spread(commands)}, limit {LIMIT_S:g} s")
    print(f"daemon's job to {COUNT} markers: {spread(jobs)}, {statistics.median(jobs) / LIMIT_S:.0%} of the limit")
    print(f"a bare marker in Ardour: {1000 * marker_s:.1f} ms; load of the machine {os.getloadavg()[0]:.1f}")
    print(f"position of {len(errors)} markers in the saved session: at most {max(errors)} samples off")
    return 0 if statistics.median(jobs) <= LIMIT_S and max(errors) == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
