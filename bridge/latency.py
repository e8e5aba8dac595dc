"""The delay from input to output: as a sum of named parts, and as it is measured."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.lane import Lane


class Part(NamedTuple):
    """One part of the delay, and what it is spent on."""

    name: str
    samples: int
    why: str


def latency_parts(lane: Lane) -> list[Part]:
    """What lies between a sample's arrival at the host and its departure, exactly.

    A device's own buffers come on top; they are the driver's, and only it knows them.
    """
    header = lane.header
    window, host, hop = int(header["window_latency"]), int(header["host_latency"]), int(header["hop_samples"])
    return [
        Part("hop", hop, "a hop is gathered"),
        Part("window", window - hop, "the synthesis window overlaps the next hop"),
        Part("margin", max(0, host - window), "whole blocks in which the engine does its work"),
    ]


def latency_report(lane: Lane, devices: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The parts and their sum in samples and milliseconds, as JSON carries them.

    ``devices`` are the buffers that a driver claims to add (``input_device``, ``output_device``): listed beside the
    sum, not in it.
    """
    parts = latency_parts(lane)
    total = sum(part.samples for part in parts)
    claimed = {name: samples for name, samples in (devices or {}).items() if name.endswith("_device")}
    return {
        "rate": lane.rate,
        "samples": total,
        "ms": 1000.0 * total / lane.rate,
        "parts": [{**part._asdict(), "ms": 1000.0 * part.samples / lane.rate} for part in parts],
        "devices": [{"name": n, "samples": s, "ms": 1000.0 * s / lane.rate} for n, s in claimed.items()],
    }


def lag_of(late: NDArray[np.float32], early: NDArray[np.float32]) -> tuple[int, float]:
    """How many samples ``late`` lags ``early``, and the correlation there (0 to 1)."""
    size = 1 << (len(late) + len(early)).bit_length()
    product = np.fft.irfft(np.fft.rfft(late, size) * np.conj(np.fft.rfft(early, size)), size)
    lag = int(np.argmax(np.abs(product)))
    power = np.sqrt(np.sum(np.square(late, dtype=np.float64)) * np.sum(np.square(early, dtype=np.float64)))
    return lag, float(np.abs(product[lag]) / max(power, 1e-12))
