"""The audio side of a lane: what a callback, or the DAW plugin, does with each block.

It copies and counts. It never waits (but offline), never allocates, and always has something to play: the engine's
output where it is ready, else the delayed dry mix, entered without a step and left by a crossfade.

Latency is the window's plus a margin for the engine to work in::

    latency = window (M) + margin,   margin = whole blocks, at least one, that hold the budget
"""

import math
import os
import time

import numpy as np
from numpy.typing import NDArray

from .lane import EngineState, Lane, read_ring, write_ring

CROSSFADE_SAMPLES = 256
WAIT_SLEEP_S = 0.0001
WAIT_LIMIT_S = 30.0


class LaneHost:
    """Drives one lane. Not thread-safe: one callback owns it."""

    def __init__(self, lane: Lane, block: int, budget_samples: int | None = None) -> None:
        """``budget_samples`` is how long the engine may take over a hop; one hop's time by default (5.8 ms)."""
        self._lane = lane
        self._header, self._counters = lane.header, lane.counters
        self._input, self._output = lane.input, lane.output
        channels, most = lane.channels, lane.block
        outputs = self._output.shape[0]
        self._block = block
        self._budget = budget_samples
        self._dry: NDArray[np.float32] = np.zeros((channels, most), np.float32)
        self._wet: NDArray[np.float32] = np.zeros((outputs, channels, most), np.float32)
        self._plain: NDArray[np.float32] = np.zeros((outputs, channels, most), np.float32)
        self._gap: NDArray[np.float32] = np.zeros((outputs, channels, 1), np.float32)
        self._last: NDArray[np.float32] = np.zeros((outputs, channels, 1), np.float32)
        self._last_plain: NDArray[np.float32] = np.zeros((outputs, channels, 1), np.float32)
        self._steps = np.arange(1, most + 1, dtype=np.float32) / np.float32(CROSSFADE_SAMPLES)
        self._ramp: NDArray[np.float32] = np.zeros(most, np.float32)
        self._wetness = 1.0
        """0 dry, 1 wet; it rises over a crossfade and falls at once, the step taken up by ``_gap``."""
        self._gap_left = 0.0
        self._window = -1
        self._position = int(self._counters["in_written"])
        self._header["host_pid"] = os.getpid()
        self._set_latency()

    def _set_latency(self) -> None:
        self._window = int(self._header["window_latency"])
        budget = self._budget if self._budget is not None else max(1, self._window // 2)
        self.margin_samples = self._block * max(1, math.ceil(budget / self._block))
        self.latency_samples = self._window + self.margin_samples
        self._header["host_latency"] = self.latency_samples

    @property
    def outputs(self) -> int:
        return int(self._header["outputs"])

    def process(
        self,
        block: NDArray[np.float32],
        mix_out: NDArray[np.float32],
        stems_out: NDArray[np.float32] | None = None,
        wait: bool = False,
    ) -> bool:
        """Write ``block (channels, n)``; play what came ``latency_samples`` ago.

        It goes into ``mix_out (channels, n)`` and ``stems_out (S, channels, n)``. Where the engine is late the mix is
        the delayed dry one; of the stems, the residual is, and the others fall silent, so that they go on summing to
        it. ``wait`` is for offline rendering: it waits for the engine, and nothing is missed. Realtime-safe
        otherwise, as far as Python can be.

        Returns:
            Whether the block was the engine's own work.
        """
        n = block.shape[1]
        if int(self._header["window_latency"]) != self._window:
            self._set_latency()
        counters = self._counters
        self._header["host_offline"] = int(wait)
        write_ring(self._input, self._position, block)
        self._position += n
        counters["in_written"] = self._position
        start = self._position - n - self.latency_samples
        used = 1 + (self.outputs if stems_out is not None else 0)
        ready = self._wait(start, n) if wait else self._ready(start, n)
        self._play(start, n, used, ready)
        mix_out[:] = self._wet[0, :, :n]
        if stems_out is not None:
            stems_out[: used - 1] = self._wet[1:used, :, :n]
            stems_out[used - 1 :] = 0.0
        counters["host_blocks"] += 1
        if not ready and int(self._header["engine_state"]) == EngineState.READY:
            counters["host_misses"] += 1
        if not ready:
            counters["host_dry_frames"] += n
        return ready

    def _ready(self, start: int, n: int) -> bool:
        if start + n <= 0:
            return int(self._header["engine_state"]) == EngineState.READY
        counters = self._counters
        return int(counters["out_valid_from"]) <= max(start, 0) and int(counters["out_written"]) >= start + n

    def _wait(self, start: int, n: int) -> bool:
        limit = time.monotonic() + WAIT_LIMIT_S
        while not self._ready(start, n):
            never = int(self._counters["out_written"]) >= start + n  # it went on from a later position
            if never or int(self._header["engine_state"]) == EngineState.FAILED or time.monotonic() > limit:
                return self._ready(start, n)
            time.sleep(WAIT_SLEEP_S)
        return True

    def _play(self, start: int, n: int, used: int, ready: bool) -> None:
        """Leave the block in ``_wet[:used, :, :n]``: engine's, dry, or between."""
        wet = self._wet[:used, :, :n]
        settled = ready and self._wetness >= 1.0 and self._gap_left <= 0.0
        if not settled:
            self._read_plain(start, n, used)
        if ready:
            read_ring(self._output[:used], start, wet)
        else:
            if self._wetness > 0.0:
                np.subtract(self._last[:used], self._last_plain[:used], out=self._gap[:used])
                self._gap_left, self._wetness = 1.0, 0.0
            wet[:] = self._plain[:used, :, :n]
        if not settled:
            self._crossfade(wet, n, used, ready)
            self._last_plain[:used] = self._plain[:used, :, n - 1 : n]
        else:
            # What dry was at the last sample, should the next block be dry: one frame instead of a block a callback.
            self._read_plain(start + n - 1, 1, used)
            self._last_plain[:used] = self._plain[:used, :, :1]
        self._last[:used] = wet[:, :, n - 1 : n]

    def _read_plain(self, start: int, n: int, used: int) -> None:
        dry, plain = self._dry[:, :n], self._plain[:used, :, :n]
        read_ring(self._input, start, dry)
        plain[0] = dry
        plain[1:] = 0.0
        if used > 1 and self._header["has_residual"]:
            plain[-1] = dry

    def _crossfade(self, wet: NDArray[np.float32], n: int, used: int, ready: bool) -> None:
        """Raise the wet part, and let the step that a miss left decay."""
        plain, ramp = self._plain[:used, :, :n], self._ramp[:n]
        if ready and self._wetness < 1.0:
            np.minimum(self._steps[:n] + np.float32(self._wetness), 1.0, out=ramp)
            wet -= plain
            wet *= ramp
            wet += plain
            self._wetness = float(ramp[-1])
        if self._gap_left > 0.0:
            np.maximum(np.float32(self._gap_left) - self._steps[:n], 0.0, out=ramp)
            wet += self._gap[:used] * ramp
            self._gap_left = float(ramp[-1])
