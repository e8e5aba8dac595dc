"""A tape machine on JACK, ``python -m benchmarks.jack_tape SERVER IN.npy OUT.npy``: plays and records sample-exactly.

Two clients, so that nothing runs in a circle (a circle would cost a period)::

    sidechop-player ──► audio process ──► sidechop-recorder        one cycle of a synchronous server

They index by JACK's frame time: what is recorded at i was heard in the cycle that played i. It rolls when the name of
a lane comes on standard input. Within a cycle the recorder comes last, so what the lane has counted by then is exact,
and tells at which absolute position of the lane the tape began: printed at the end as JSON. It is a process of its own,
away from whatever keeps the measured ones busy.
"""

import gc
import json
import sys
import threading
from typing import Any

import jack
import numpy as np
from numpy.typing import NDArray

from streaming.lane import Lane

PLAYER, RECORDER = "sidechop-player", "sidechop-recorder"


class Tape:
    """``played`` and ``recorded`` are ``(2, samples)``."""

    def __init__(self, server: str, played: NDArray[np.float32]) -> None:
        self.position = -1
        self.done = threading.Event()
        self._played = played
        self._lane: Lane | None = None
        self.recorded: NDArray[np.float32] = np.zeros_like(played)
        self._start = -1
        self._player = jack.Client(PLAYER, servername=server, no_start_server=True)
        self._recorder = jack.Client(RECORDER, servername=server, no_start_server=True)
        self._outs: list[Any] = [self._player.outports.register(f"out_{i}") for i in (1, 2)]
        self._ins: list[Any] = [self._recorder.inports.register(f"in_{i}") for i in (1, 2)]
        self._player.set_process_callback(self._play)
        self._recorder.set_process_callback(self._record)
        self._player.activate()
        self._recorder.activate()

    def roll(self, lane: Lane) -> None:
        self._lane = lane

    def close(self) -> None:
        for client in (self._recorder, self._player):
            client.deactivate()
            client.close()

    def _play(self, frames: int) -> None:
        now = self._player.last_frame_time
        if self._lane is not None and self._start < 0:
            self._start = now
        at = now - self._start if self._start >= 0 else self._played.shape[1]
        for port, track in zip(self._outs, self._played, strict=True):
            out = port.get_array()
            piece = track[at : at + frames]
            out[: len(piece)] = piece
            out[len(piece) :] = 0.0

    def _record(self, frames: int) -> None:
        if self._lane is None or self._start < 0:
            return
        at = self._recorder.last_frame_time - self._start
        if self.position < 0:
            self.position = int(self._lane.counters["in_written"]) - frames - at
        left = self.recorded.shape[1] - at
        if left <= 0:
            self.done.set()
            return
        for port, track in zip(self._ins, self.recorded, strict=True):
            track[at : at + frames] = port.get_array()[:left]


def main(server: str, played_path: str, recorded_path: str) -> None:
    tape = Tape(server, np.load(played_path))
    gc.collect()
    gc.freeze()
    gc.disable()
    print("ready", flush=True)
    lane = Lane.attach(sys.stdin.readline().strip())
    misses = int(lane.counters["host_misses"])
    tape.roll(lane)
    finished = tape.done.wait(3 * tape.recorded.shape[1] / lane.rate + 10)
    result = {
        "finished": finished,
        "position": tape.position,
        "misses": int(lane.counters["host_misses"]) - misses,
        "latency": int(lane.header["host_latency"]),
    }
    tape.close()
    np.save(recorded_path, tape.recorded)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:4])
