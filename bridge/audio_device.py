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
from .devices import Device, check_channels, choose_device, list_devices, load_sounddevice

JACK = "JACK Audio Connection Kit"
SILENT_S = 2.0  # without a callback for this long the device is gone
LOOK_S = 0.1
PROBE_S = 0.1  # how long a driver shows its block sizes where it may choose them


class DeviceCallback:
    """What PortAudio calls; silent until it has a `host`. ``calls`` proves that the device lives.

    PortAudio's audio is interleaved ``(frames, device channels)``; the lane's is ``(channels, frames)``.
    """

    def __init__(self, lane: Lane, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> None:
        self.calls = 0
        self.largest = 0
        self.host: LaneHost | None = None
        self._block = lane.block
        # One device channel feeds both sides of a stereo lane.
        self._inputs = [inputs[min(channel, len(inputs) - 1)] for channel in range(lane.channels)]
        self._outputs = outputs
        self._heard: NDArray[np.float32] = np.zeros((lane.channels, lane.block), np.float32)
        self._played: NDArray[np.float32] = np.zeros((lane.channels, lane.block), np.float32)

    def __call__(
        self, heard: NDArray[np.float32], played: NDArray[np.float32], frames: int, _time: object, _flags: object
    ) -> None:
        self.calls += 1
        played.fill(0.0)
        host = self.host
        if host is None:
            self.largest = max(self.largest, frames)
            return
        for start in range(0, frames, self._block):
            end = min(start + self._block, frames)
            self._piece(host, heard[start:end], played[start:end])

    def _piece(self, host: LaneHost, heard: NDArray[np.float32], played: NDArray[np.float32]) -> None:
        n = len(heard)
        into, out = self._heard[:, :n], self._played[:, :n]
        for channel, device_channel in enumerate(self._inputs):
            into[channel] = heard[:, device_channel]
        host.process(into, out)
        if len(self._outputs) == 1 and len(out) == 2:  # a mono output hears both sides
            out[0] += out[1]
            out[0] *= 0.5
        for channel, device_channel in enumerate(self._outputs):
            played[:, device_channel] = out[min(channel, len(out) - 1)]


def play_device(
    lane: Lane, source: DeviceSource, report: Report, stop: threading.Event, settle: Callable[[], None]
) -> str:
    """Play until `stop`, or until the device is gone: then return why, with the stream left as it is.

    Raises:
        AudioError: no such device, channels or rate.
    """
    devices = list_devices()
    into = choose_device(devices, "input", source.input, source.host_api)
    out = choose_device(devices, "output", source.output, source.host_api)
    inputs = source.input_channels or tuple(range(min(lane.channels, into.inputs)))
    outputs = source.output_channels or tuple(range(min(lane.channels, out.outputs)))
    check_channels(into, "input", inputs)
    check_channels(out, "output", outputs)
    callback = DeviceCallback(lane, inputs, outputs)
    finished = threading.Event()
    settle()
    # JACK's blocks are its own anyway; asked for a size, PortAudio adds a block of latency, even if it is the same.
    blocksize = 0 if into.host_api == JACK else source.block_samples
    stream = _open(lane.rate, into, out, (max(inputs) + 1, max(outputs) + 1), blocksize, callback, finished)
    period = blocksize or _probe(callback, into.name)
    callback.host = host = LaneHost(lane, period, source.budget_samples)
    uncounted = period if into.host_api == JACK else 0  # PortAudio leaves one period out there
    latency_in, latency_out = (latency_samples(seconds, lane.rate, uncounted) for seconds in stream.latency)
    parts = {"input_device": latency_in, **host_latency(host), "output_device": latency_out}
    names = {"input": into.name, "output": out.name, "host_api": into.host_api}
    report("ready", latency=parts, block_samples=period, **names)
    lost = _watch(callback, finished, stop)
    if not lost:
        stream.close()
        return ""
    return f"{into.name}: {lost}; trying again every second"


def _open(
    rate: int,
    into: Device,
    out: Device,
    channels: tuple[int, int],
    blocksize: int,
    callback: DeviceCallback,
    finished: threading.Event,
) -> Any:
    """A running sounddevice stream."""
    sounddevice = load_sounddevice()
    try:
        stream = sounddevice.Stream(
            samplerate=rate,
            blocksize=blocksize,
            device=(into.index, out.index),
            channels=channels,
            dtype="float32",
            latency="low",
            callback=callback,
            finished_callback=finished.set,
        )
        stream.start()
    except sounddevice.PortAudioError as error:
        reason = str(error.args[0]) if error.args else str(error)
        both = into.name if into.name == out.name else f"{into.name} → {out.name}"
        raise AudioError(f"{both} ({into.host_api}) cannot run at {rate} Hz: {reason}") from None
    return stream


def _probe(callback: DeviceCallback, name: str) -> int:
    """The largest block that the driver gives of itself."""
    end = time.monotonic() + SILENT_S
    while callback.calls == 0:
        if time.monotonic() > end:
            raise AudioError(f"{name}: the device gave no audio for {SILENT_S:g} s")
        time.sleep(0.01)
    time.sleep(PROBE_S)
    return callback.largest


def latency_samples(seconds: float, rate: int, uncounted: int) -> int:
    """PortAudio's latency in samples. With JACK its unsigned difference can fall below 0, and shows as 2^32 less it."""
    samples = round(seconds * rate)
    return max(0, samples - (1 << 32 if samples >= 1 << 31 else 0) + uncounted)


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
