"""A duplex device through a lane. The callback copies and counts; it does not log, lock, allocate or wait."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming.errors import AudioError
from streaming.host import LaneHost
from streaming.lane import Lane

from .audio_report import Report, host_latency
from .audio_source import DeviceSource
from .devices import check_channels, choose_device, list_devices, load_sounddevice

SILENT_S = 2.0  # without a callback for this long the device is gone
LOOK_S = 0.1


class DeviceCallback:
    """What PortAudio calls. ``calls`` proves that the device lives, ``flagged`` counts what it reported late.

    PortAudio's audio is interleaved ``(frames, device channels)``; the lane's is ``(channels, frames)``.
    """

    def __init__(self, host: LaneHost, lane: Lane, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> None:
        self.calls = 0
        self.flagged = 0
        self._host = host
        self._block = lane.block
        # One device channel feeds both sides of a stereo lane.
        self._inputs = [inputs[min(channel, len(inputs) - 1)] for channel in range(lane.channels)]
        self._outputs = outputs
        self._heard: NDArray[np.float32] = np.zeros((lane.channels, lane.block), np.float32)
        self._played: NDArray[np.float32] = np.zeros((lane.channels, lane.block), np.float32)

    def __call__(
        self, heard: NDArray[np.float32], played: NDArray[np.float32], frames: int, _time: Any, status: Any
    ) -> None:
        self.calls += 1
        if status:
            self.flagged += 1
        played.fill(0.0)
        for start in range(0, frames, self._block):
            end = min(start + self._block, frames)
            self._piece(heard[start:end], played[start:end])

    def _piece(self, heard: NDArray[np.float32], played: NDArray[np.float32]) -> None:
        n = len(heard)
        into, out = self._heard[:, :n], self._played[:, :n]
        for channel, device_channel in enumerate(self._inputs):
            into[channel] = heard[:, device_channel]
        self._host.process(into, out)
        if len(self._outputs) == 1 and len(out) == 2:  # a mono output hears both sides
            out[0] += out[1]
            out[0] *= 0.5
        for channel, device_channel in enumerate(self._outputs):
            played[:, device_channel] = out[min(channel, len(out) - 1)]


def play_device(
    lane: Lane,
    source: DeviceSource,
    report: Report,
    stop: threading.Event,
    settle: Callable[[], None],
) -> str:
    """Play until `stop`, or until the device is gone: then return why, with the stream left as it is.

    Raises:
        AudioError: no such device, channels or rate.
    """
    sounddevice = load_sounddevice()
    devices = list_devices()
    into = choose_device(devices, "input", source.input, source.host_api)
    out = choose_device(devices, "output", source.output, source.host_api)
    inputs = source.input_channels or tuple(range(min(lane.channels, into.inputs)))
    outputs = source.output_channels or tuple(range(min(lane.channels, out.outputs)))
    check_channels(into, "input", inputs)
    check_channels(out, "output", outputs)
    if source.block_samples > lane.block:
        raise AudioError(f"a block of {source.block_samples} frames does not fit a session of {lane.block}")
    host = LaneHost(lane, source.block_samples or lane.block, source.budget_samples)
    callback = DeviceCallback(host, lane, inputs, outputs)
    finished = threading.Event()
    settle()
    try:
        stream = sounddevice.Stream(
            samplerate=lane.rate,
            blocksize=source.block_samples,
            device=(into.index, out.index),
            channels=(max(inputs) + 1, max(outputs) + 1),
            dtype="float32",
            latency="low",
            callback=callback,
            finished_callback=finished.set,
        )
        stream.start()
    except sounddevice.PortAudioError as error:
        reason = str(error.args[0]) if error.args else str(error)
        both = into.name if into.name == out.name else f"{into.name} → {out.name}"
        raise AudioError(f"{both} ({into.host_api}) cannot run at {lane.rate} Hz: {reason}") from None
    latency_in, latency_out = (round(seconds * lane.rate) for seconds in stream.latency)
    parts = {"input_device": latency_in, **host_latency(host), "output_device": latency_out}
    report("ready", latency=parts, input=into.name, output=out.name, host_api=into.host_api)
    lost = _watch(callback, finished, stop)
    if not lost:
        stream.close()
        return ""
    return f"{into.name}: {lost}; trying again every second"


def _watch(callback: DeviceCallback, finished: threading.Event, stop: threading.Event) -> str:
    """Wait. Returns how the device went, or nothing when asked to stop."""
    seen, seen_at = -1, time.monotonic()
    while not stop.wait(LOOK_S):
        now = time.monotonic()
        if finished.is_set():
            return "the device stopped"
        if callback.calls != seen:
            seen, seen_at = callback.calls, now
        elif now - seen_at > SILENT_S:
            return f"the device gave no audio for {SILENT_S:g} s"
    return ""
