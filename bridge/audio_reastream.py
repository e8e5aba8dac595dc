"""ReaStream through a lane: the sender's packets are the clock; each goes back as it comes."""

import threading
import time
from collections.abc import Callable

import numpy as np

from streaming.errors import AudioError
from streaming.host import LaneHost
from streaming.lane import Lane

from .audio_report import Report, host_latency
from .audio_source import ReaStreamSource
from .reastream import AUDIO_BYTES_MAX, ReaStreamSocket, encode_identifier, fit_channels

SILENT_S = 2.0
LOOK_S = 0.2


def play_reastream(
    lane: Lane, source: ReaStreamSource, report: Report, stop: threading.Event, settle: Callable[[], None]
) -> None:
    """Echo through the lane until `stop`.

    Raises:
        AudioError: the address is taken, or an identifier does not fit.
    """
    encode_identifier(source.send_identifier)
    if source.block_samples > lane.block or lane.block < AUDIO_BYTES_MAX // 4:
        raise AudioError(f"ReaStream blocks of {source.block_samples} frames do not fit a session of {lane.block}")
    if source.listen == source.send_to and source.identifier == source.send_identifier:
        raise AudioError("ReaStream would hear itself: send to another address, or with another identifier")
    host = LaneHost(lane, source.block_samples, source.budget_samples)
    mix = np.zeros((lane.channels, lane.block), np.float32)
    socket = ReaStreamSocket(source.listen, source.identifier)
    watch = _Watch(report, f"no ReaStream {source.identifier!r} on {socket.address[0]}:{socket.address[1]}")
    report("ready", latency=host_latency(host), input=f"{socket.address[0]}:{socket.address[1]}")
    settle()
    try:
        while not stop.is_set():
            packet = socket.receive(LOOK_S)
            if packet is None:
                watch.nothing()
            elif packet.rate != lane.rate:
                watch.wrong(f"ReaStream sends {packet.rate} Hz, the session runs at {lane.rate} Hz: make them equal")
            else:
                watch.good()
                block = fit_channels(packet.audio, lane.channels)
                n = block.shape[1]
                host.process(block, mix[:, :n])
                socket.send(mix[:, :n], lane.rate, source.send_identifier, source.send_to)
    finally:
        socket.close()


class _Watch:
    """Says once that audio is missing or unusable, and once that it is back."""

    def __init__(self, report: Report, missing: str) -> None:
        self._report, self._missing = report, missing
        self._last_s = time.monotonic()
        self._told = False

    def good(self) -> None:
        self._last_s = time.monotonic()
        if self._told:
            self._told = False
            self._report("back")

    def nothing(self) -> None:
        if time.monotonic() - self._last_s > SILENT_S:
            self.wrong(self._missing)

    def wrong(self, text: str) -> None:
        if not self._told:
            self._told = True
            self._report("lost", text=text)
