"""How long an OSC command waits for its acknowledgement on loopback, while audio runs and a table is drawn.

    python benchmarks/osc_latency.py [--model live4-int8] [--requests 5000]

The daemon is `sidechop live` on a paced file, with a pseudo-terminal to draw its table on. Requests are sent one after
the other, with random pauses, so that they meet the daemon in every state. The same is done against a bare UDP echo in
a process of its own, which is what the machine itself takes.
"""

import argparse
import os
import pty
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from bridge.osc_client import NoAnswerError, OscClient

RATE = 44100
ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
while True:
    data, sender = s.recvfrom(8192)
    s.sendto(data, sender)
"""


def drain(file: int) -> None:
    """Read a terminal's other end, so that what draws on it never waits."""
    try:
        while os.read(file, 65536):
            pass
    except OSError:
        return


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure(ask: Callable[[int], object], requests: int) -> str:
    rng = np.random.default_rng(0)
    times = np.zeros(requests)
    for i in range(requests):
        time.sleep(float(rng.uniform(0, 0.004)))
        started = time.perf_counter()
        ask(i)
        times[i] = 1000.0 * (time.perf_counter() - started)
    p50, p95, p99 = np.percentile(times, (50, 95, 99))
    return f"p50 {p50:.3f} ms, p95 {p95:.3f} ms, p99 {p99:.3f} ms, max {times.max():.3f} ms"


def measure_echo(requests: int) -> str:
    with (
        subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True) as echo,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        assert echo.stdout is not None
        client.connect(("127.0.0.1", int(echo.stdout.readline())))

        def ask(_: int) -> None:
            client.send(b"x" * 40)
            client.recv(8192)

        result = measure(ask, requests)
        echo.kill()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="live4-int8")
    parser.add_argument("--requests", type=int, default=5000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file, port = Path(folder) / "noise.wav", free_port()
        soundfile.write(file, np.random.default_rng(0).uniform(-0.3, 0.3, (4 * RATE, 2)), RATE)
        terminal, side = pty.openpty()
        threading.Thread(target=drain, args=(terminal,), daemon=True).start()
        command = [sys.executable, "-m", "bridge.cli", "live", "--file", str(file), "--loop", "--osc-port", str(port)]
        daemon = subprocess.Popen([*command, "--model", options.model], stdout=side)
        try:
            with OscClient("127.0.0.1", port, timeout_s=1.0) as client:
                for _ in range(100):
                    try:
                        client.request("/sidechop/ping")
                        break
                    except NoAnswerError:
                        time.sleep(0.1)
                gain = measure(
                    lambda i: client.request("/sidechop/stem/gain", "vocals", -float(i % 12)), options.requests
                )
                status = measure(lambda _: client.request("/sidechop/status"), options.requests // 5)
        finally:
            daemon.terminate()
            daemon.wait()
    print(f"/sidechop/stem/gain: {gain} ({options.requests} requests; limit for p99: 5 ms)")
    print(f"/sidechop/status:    {status}")
    print(f"bare UDP echo:       {measure_echo(options.requests // 5)}")


if __name__ == "__main__":
    main()
