"""How late a loop that only sleeps wakes: the machine's own noise, to be seen beside any figure measured on it.

Run as a process of its own, ``python -m bridge.idle_loop SECONDS PERIOD_MS``, for it should share nothing with what is
measured but the machine. It asks for SCHED_FIFO as the engine does.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np

from streaming.realtime import ENGINE_PRIORITY, settle
from streaming.spawn import spawn


def idle_lateness(seconds: float, period_s: float) -> dict[str, float]:
    """Sleep ``period_s`` again and again; milliseconds late at p50, p95, p99 and at worst."""
    late = []
    wake = time.perf_counter()
    end = wake + seconds
    while wake < end:
        wake += period_s
        time.sleep(max(0.0, wake - time.perf_counter()))
        late.append(1000.0 * (time.perf_counter() - wake))
    p50, p95, p99 = (float(p) for p in np.percentile(late, (50, 95, 99)))
    return {"count": len(late), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": max(late)}


def start_idle_loop(seconds: float, period_s: float) -> "subprocess.Popen[str]":
    """Start it in the background; read it with `finish_idle_loop`."""
    arguments = (str(seconds), str(1000.0 * period_s))
    return spawn("-m", "bridge.idle_loop", *arguments, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)


def finish_idle_loop(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for its end and return what it measured."""
    out, _ = process.communicate()
    result: dict[str, Any] = json.loads(out)
    return result


if __name__ == "__main__":
    fifo = settle(ENGINE_PRIORITY) == "fifo"
    measured = idle_lateness(float(sys.argv[1]), float(sys.argv[2]) / 1000.0)
    print(json.dumps({**measured, "realtime": fifo, "pid": os.getpid()}))
