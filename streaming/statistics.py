"""Hop times as a histogram of fixed size: tail latency without allocation, in shared memory where need be."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BINS = 512
LOWEST_NS = 1_000
DECADES = 7
STATISTICS_DTYPE = np.dtype(
    [
        ("count", "<u8"),
        ("sum_ns", "<u8"),
        ("max_ns", "<u8"),
        ("dropped_hops", "<u8"),
        ("bad_samples", "<u8"),
        ("histogram", "<u4", BINS),
    ]
)
"""As it lies in shared memory: log-spaced bins, 1 us to 10 s, each 3.2% wide."""

_SCALE = BINS / DECADES
_LOG_LOWEST = math.log10(LOWEST_NS)


class HopTimes(NamedTuple):
    """Times a hop in milliseconds."""

    hops: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class HopStatistics:
    """Counts and times of hops over a statistics block. One process records, any may read."""

    def __init__(self, block: NDArray[Any] | None = None) -> None:
        self.block: NDArray[Any] = np.zeros((), STATISTICS_DTYPE) if block is None else block
        self._histogram = self.block["histogram"]

    def reset(self) -> None:
        for name in ("count", "sum_ns", "max_ns", "dropped_hops", "bad_samples", "histogram"):
            self.block[name] = 0

    def record(self, elapsed_ns: int, hops: int = 1) -> None:
        """``hops`` hops took ``elapsed_ns`` together."""
        each = elapsed_ns // hops
        index = int((math.log10(max(each, LOWEST_NS)) - _LOG_LOWEST) * _SCALE)
        self._histogram[min(index, BINS - 1)] += hops
        self.block["count"] += hops
        self.block["sum_ns"] += elapsed_ns
        if each > self.block["max_ns"]:
            self.block["max_ns"] = each

    def times(self) -> HopTimes:
        """Percentiles to within a bin's width (3.2%); the maximum is exact."""
        count = int(self.block["count"])
        if count == 0:
            return HopTimes(0, 0.0, 0.0, 0.0, 0.0, 0.0)
        cumulative = np.cumsum(self._histogram, dtype=np.int64)
        longest = float(self.block["max_ns"]) / 1e6

        def percentile(p: float) -> float:
            index = int(np.searchsorted(cumulative, p * cumulative[-1]))
            return float(min(10 ** (_LOG_LOWEST + (index + 1) / _SCALE) / 1e6, longest))

        mean = float(self.block["sum_ns"]) / count / 1e6
        return HopTimes(count, mean, percentile(0.5), percentile(0.95), percentile(0.99), longest)
