"""A file through a lane, as if it were a device (paced by the clock), or as fast as the engine goes."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streaming.errors import AudioError, EngineError
from streaming.host import LaneHost
from streaming.lane import Lane

from .audio_files import AudioReader, AudioWriter
from .audio_report import Report, host_latency
from .audio_source import FileSource
from .reastream import fit_channels

Block = NDArray[np.float32]


def play_file(
    lane: Lane, source: FileSource, report: Report, stop: threading.Event, settle: Callable[[], None]
) -> None:
    """Play until the file ends (and its tail is out) or `stop`; what was written until then is kept.

    Raises:
        AudioError: the file cannot be read, or an output not written; then no output stays.
        EngineError: an unpaced engine that does not answer.
    """
    if source.loop and not source.paced:
        raise AudioError("an unpaced loop would never end; take one of the two away")
    if source.block_samples > lane.block:
        raise AudioError(f"a block of {source.block_samples} frames does not fit a session of {lane.block}")
    host = LaneHost(lane, source.block_samples, source.budget_samples)
    with contextlib.ExitStack() as files:
        reader = files.enter_context(AudioReader(Path(source.path), lane.rate))
        recorder = files.enter_context(Recorder(lane, source))
        report("ready", latency=host_latency(host), input=source.path, output=source.output)
        if source.paced:
            settle()
        _play(host, lane, source, _blocks(reader, source, lane.channels), recorder, stop)
        if reader.warning:
            report("warning", text=reader.warning)


def _blocks(reader: AudioReader, source: FileSource, channels: int) -> Iterator[Block]:
    """The file's blocks, over and over if asked; a loop's seam falls inside a block, so that every block is full."""
    if not source.loop:
        yield from (fit_channels(block, channels) for block in reader.blocks(source.block_samples))
        return
    rest = np.empty((channels, 0), np.float32)
    while True:
        with AudioReader(Path(source.path), reader.rate) as again:
            for block in again.blocks(source.block_samples):
                joined = np.concatenate((rest, fit_channels(block, channels)), axis=1)
                full = joined.shape[1] // source.block_samples * source.block_samples
                if full:
                    yield joined[:, :full]
                rest = joined[:, full:]


def _play(
    host: LaneHost, lane: Lane, source: FileSource, blocks: Iterator[Block], recorder: "Recorder", stop: threading.Event
) -> None:
    mix = np.zeros((lane.channels, source.block_samples), np.float32)
    stems = np.zeros((host.outputs, lane.channels, source.block_samples), np.float32) if source.stems else None
    clock = Clock(lane.rate) if source.paced else None

    def play(block: Block) -> None:
        n = block.shape[1]
        stems_out = stems[:, :, :n] if stems is not None else None
        wet = host.process(block, mix[:, :n], stems_out, wait=not source.paced)
        if not wet and not source.paced:
            raise EngineError("the engine stopped answering; what was rendered is thrown away")
        recorder.write(mix[:, :n], stems_out, host.latency_samples)
        if clock:
            clock.wait(n)

    for block in blocks:
        if stop.is_set():
            return
        play(block)
    silence = np.zeros((lane.channels, source.block_samples), np.float32)
    left = host.latency_samples
    while left > 0 and not stop.is_set():
        n = min(left, source.block_samples)
        play(silence[:, :n])
        left -= n


class Clock:
    """The pace of a device: `wait` returns when the frames so far would have been played."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._start_s = time.perf_counter()
        self._frames = 0

    def wait(self, frames: int) -> None:
        self._frames += frames
        ahead_s = self._start_s + self._frames / self._rate - time.perf_counter()
        if ahead_s > 0:
            time.sleep(ahead_s)


class Recorder:
    """Writes the mix and the stems in time with what was played: without the latency at the front."""

    def __init__(self, lane: Lane, source: FileSource) -> None:
        paths = [Path(source.output)] if source.output else []
        self._mix = bool(source.output)
        if source.stems:
            paths += [Path(source.stems) / f"{name}.wav" for name in lane.outputs]
        self._skipped = 0
        self._files = contextlib.ExitStack()
        self._writers: list[AudioWriter] = []
        with contextlib.ExitStack() as opened:
            for path in paths:
                subtype = "24" if path.suffix.lower() == ".flac" else "float"
                writer = AudioWriter(path, lane.rate, lane.channels, subtype=subtype)
                self._writers.append(opened.enter_context(writer))
            self._files = opened.pop_all()

    def write(self, mix: Block, stems: NDArray[np.float32] | None, latency_samples: int) -> None:
        if not self._writers:
            return
        skip = min(latency_samples - self._skipped, mix.shape[1])
        self._skipped += skip
        tracks: list[Block] = [mix] if self._mix else []
        if stems is not None:
            tracks.extend(stems)
        for writer, track in zip(self._writers, tracks, strict=True):
            writer.write(track[:, skip:])

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *error: object) -> None:
        self._files.__exit__(*error)  # type: ignore[arg-type]
