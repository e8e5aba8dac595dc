"""The engine process: inference and nothing else, ``python -m streaming.process LANE [MODEL]``, and its supervisor.

With ``--chops MODEL`` it also listens for chops and posts them as events, while the lane's ``chops_on`` says so, and
with ``--flags MODEL`` for what does not belong, while ``flags_on`` does: from the same hops, after their output is
published, so that what is heard never waits for it.

It is a process of its own because a busy Python thread beside it would hold the interpreter for milliseconds. It takes
one ORT thread that does not spin, warms up with 30 runs, settles (`streaming.realtime`) and then polls the lane. It
ends when its parent does, and then removes the lane that nobody owns any more.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .engine import BATCH_HOPS, HopEngine
from .errors import EngineError, SidechopError
from .lane import EngineState, EventKind, Lane, read_ring, write_ring
from .realtime import ENGINE_PRIORITY, settle
from .separator import open_model, open_processor
from .spawn import spawn
from .statistics import HopStatistics

if TYPE_CHECKING:
    from .flags import Flag
    from .live_chops import LiveChop, LiveChops
    from .live_flags import LiveFlags

POLL_S = 0.0005
IDLE_POLL_S = 0.002
IDLE_AFTER_S = 1.0
PARENT_LOOK_S = 0.2
WARM_UP_RUNS = 30
STALL_S = 0.25
"""A backlog longer than this is dropped; a shorter one is caught up with, many times faster than it came."""
PRIME_S = 0.1
"""How much of what was dropped is heard again, unplayed, so that windows and states are warm when wet returns."""
SHADOW_S = 1.0
"""How long a new engine may take to draw level with the one that it takes over from."""
CHOPS_APART_S = 0.03
"""Two engines place one chop a little differently; nearer than this it is the same."""
FLAGS_APART_S = 0.5
"""Flags of one kind nearer than this are one passage, told by two engines."""
METER_FALL = 0.9
HOP_MAX_S = 0.1
"""A network that takes longer hops (a whole clip) runs too long at a stretch for a realtime class."""
START_TIMEOUT_S = 20.0


class Listeners(NamedTuple):
    """The files of what listens beside the separation; None listens for none.

    ``fine`` is where the user's word is kept that something was fine; it need not be there.
    """

    chops: Path | None = None
    flags: Path | None = None
    fine: Path | None = None


class LaneEngine:
    """Runs a `HopEngine` over a lane: takes hops as they come, publishes them at their absolute positions."""

    def __init__(self, lane: Lane, model: Path | None, listeners: "Listeners", epoch: int) -> None:
        self._lane, self._counters, self._header = lane, lane.counters, lane.header
        opened = open_model(model)
        processor = open_processor(opened, lane.rate, lane.channels, BATCH_HOPS, lane.queries)
        engine = self._engine = HopEngine(processor, lane.rate, lane.channels, lane.controls, HopStatistics())
        hop = self._hop = engine.hop_samples
        self.hop_s = hop / lane.rate
        self._epoch = epoch
        self._most = engine.max_hops
        self._stall = max(int(STALL_S * lane.rate), 2 * lane.block, 4 * hop)
        self._prime = -(-int(PRIME_S * lane.rate) // hop) * hop
        if self._stall + lane.block + hop + engine.delay_samples > lane.ring_frames:
            raise EngineError(f"{processor.hop_samples} samples a hop are too many for a lane at {lane.rate} Hz")
        self._batch = np.zeros((lane.channels, self._most * hop), np.float32)
        self._peaks = np.zeros(1 + len(engine.outputs), np.float32)
        self._last = np.zeros((1 + len(engine.outputs), lane.channels, hop), np.float32)
        self._position = 0
        self._begun = int(lane.counters["host_origin"])
        """Where the host began anew last, and the hop that this is in: silence until there."""
        self._origin = self._begun // hop * hop
        self._residual = processor.residual is not None
        self._name = opened.card.name if opened else "pass-through"
        self._chops = open_chops(listeners.chops, lane) if listeners.chops else None
        self._chops_next = -1
        """Where those who listen for chops go on; elsewhere they begin anew."""
        self._chops_from = 0
        """Earlier ones follow on nothing that was heard."""
        self._chops_found: list[LiveChop] = []
        """What was found and not told yet: the former owner may have been about to."""
        self._flags = open_flags(listeners.flags, lane) if listeners.flags else None
        self._fine = listeners.fine
        self._fine_version = -1
        self._flags_next = -1
        self._flags_from = 0
        self._flags_found: list[Flag] = []
        self._taken_over = 0
        """Where this engine became the owner: what another flagged before is not told again."""
        self._warm_up(hop)

    def _warm_up(self, hop: int) -> None:
        noise = np.random.default_rng(0).standard_normal((self._lane.channels, hop)).astype(np.float32) * 0.1
        for _ in range(WARM_UP_RUNS if hop < self._lane.rate // 4 else 1):
            self._engine.process_hops(noise)
            if self._chops:
                self._chops.process(noise, 0)
        if self._flags:
            second = np.resize(noise, (self._lane.channels, 2 * self._lane.rate))
            self._flags.process(second, 0)
            self._flags.reset()
            self._learn_what_is_fine()
        self._engine.reset()
        if self._chops:
            self._chops.reset()

    def take_over(self) -> None:
        """Become the one that writes the lane's output: where another engine does, from one hop to the next, else from
        a little before now on."""
        counters, header, engine = self._counters, self._header, self._engine
        heir = self._shadow()
        engine.statistics = self._lane.hop_times  # warming up and shadowing are nobody's hops
        header["owner"] = self._epoch
        self._taken_over = self._position
        if not heir:
            counters["out_valid_from"] = np.iinfo(np.int64).max
        self._lane.set_outputs(engine.outputs)
        header["has_residual"] = int(self._residual)
        header["hop_samples"] = self._hop
        header["window_latency"] = engine.delay_samples + self._hop
        header["model"] = self._name.encode()[:256]
        # A host that waits has not played what it wrote last: it still wants that.
        waiting = int(header["host_latency"]) + 2 * self._lane.block if header["host_offline"] else 0
        if heir:
            self._publish_over(self._last)
        else:
            self._jump(int(counters["in_written"]) - waiting)
        header["engine_pid"] = os.getpid()
        header["engine_state"] = EngineState.READY
        self._lane.post_event(EventKind.READY, self._position)

    def _shadow(self) -> bool:
        """Hear, unheard, what the present owner hears, until as far as it is. ``_last`` is then the last hop's output.

        Returns:
            Whether there is an owner whose output can go on from one hop to the next.
        """
        counters, delay, hop = self._counters, self._engine.delay_samples, self._hop
        same = int(self._header["window_latency"]) == delay + hop
        if self._lane.engine_state is not EngineState.READY or not same or not counters["in_written"]:
            return False
        self._engine.reset()
        self._position = max(self._origin, (int(counters["out_written"]) + delay - self._prime) // hop * hop)
        limit = time.monotonic() + SHADOW_S
        done = False
        while time.monotonic() < limit:
            behind = int(counters["out_written"]) + delay - self._position
            hops = min(-(-behind // hop), (int(counters["in_written"]) - self._position) // hop, self._most)
            if behind <= 0 and done:
                return True
            if hops < 1:
                time.sleep(POLL_S)
                continue
            batch = self._batch[:, : hops * hop]
            read_ring(self._lane.input, self._position, batch)
            self._last[:] = self._engine.process_hops(batch)[:, :, -hop:]
            self._listen(batch)
            self._position += hops * hop
            done = True
        return False

    def _publish_over(self, last: NDArray[np.float32]) -> None:
        """Blend this engine's last hop over the former owner's, which has not been played yet."""
        first = self._position - self._hop - self._engine.delay_samples
        if first < 0:
            return
        ring = self._lane.output[: len(last)]
        former = np.empty_like(last)
        read_ring(ring, first, former)
        former += (last - former) * np.linspace(0.0, 1.0, self._hop, dtype=np.float32)
        write_ring(ring, first, former)
        self._counters["out_written"] = first + self._hop

    def _begin_anew(self) -> None:
        """The host did: from its origin on, as if the lane had just been made."""
        self._begun = int(self._counters["host_origin"])
        self._origin = self._begun // self._hop * self._hop
        self._counters["out_valid_from"] = np.iinfo(np.int64).max
        self._jump(self._origin)

    def _jump(self, written: int) -> None:
        """Go on from just before ``written``, with nothing remembered."""
        self._engine.reset()
        counters, origin = self._counters, self._origin
        self._position = max(origin, (written - self._prime) // self._hop * self._hop)
        # The first frame after a reset lacks its predecessors, so what is heard starts after the priming.
        clean_from = origin if self._position == origin else self._position + self._prime - self._hop
        counters["out_written"] = max(0, self._position - self._engine.delay_samples)
        counters["out_valid_from"] = clean_from

    @property
    def owns(self) -> bool:
        return int(self._header["owner"]) == self._epoch

    def step(self) -> bool:
        """Process what is waiting. Returns whether there was anything."""
        counters, hop = self._counters, self._hop
        if int(counters["host_origin"]) != self._begun:
            self._begin_anew()
        written = int(counters["in_written"])
        backlog = written - self._position
        if backlog > self._stall and not self._header["host_offline"]:
            dropped = backlog // hop
            self._lane.hop_times.block["dropped_hops"] += dropped
            self._lane.post_event(EventKind.STALL, self._position, float(dropped))
            self._jump(written)
            backlog = written - self._position
        hops = min(backlog // hop, self._most)
        if hops < 1:
            return False
        batch = self._batch[:, : hops * hop]
        read_ring(self._lane.input, self._position, batch)
        out = self._engine.process_hops(batch)
        if not np.isfinite(out[0]).all():
            self._lane.post_event(EventKind.BAD_OUTPUT, self._position)
            self._engine.reset()
            out[:] = 0.0
            counters["out_valid_from"] = self._position + hops * hop - self._engine.delay_samples  # dry until then
        if not self.owns:
            return False
        self._publish(out)
        self._listen(batch)
        self._position += hops * hop
        return True

    def _listen(self, batch: NDArray[np.float32]) -> None:
        """For chops and flags, as far as they are asked for; may write into ``batch``."""
        for_chops = self._chops is not None and self._header["chops_on"]
        for_flags = self._flags is not None and self._header["flags_on"]
        if not (for_chops or for_flags):
            return
        if not np.isfinite(batch).all():
            np.nan_to_num(batch, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        if for_chops:
            self._listen_for_chops(batch)
        if for_flags:
            self._listen_for_flags(batch)

    def _listen_for_chops(self, batch: NDArray[np.float32]) -> None:
        chops, position = self._chops, self._position
        assert chops is not None
        if position != self._chops_next:  # they begin anew
            self._chops_from = position + max(0, self._prime - chops.latency_samples) if position else 0
        self._chops_next = position + batch.shape[1]
        self._chops_found += chops.process(batch, position)
        if not self._chops_found or not self.owns:
            return
        for chop in self._chops_found:
            told = self._lane.last_event(EventKind.CHOP)  # by whichever engine
            if chop.position >= self._chops_from and (
                told < 0 or chop.position > told + CHOPS_APART_S * self._lane.rate
            ):
                self._lane.post_event(EventKind.CHOP, chop.position, label=chop.kind, score=chop.score)
        self._chops_found.clear()

    def _listen_for_flags(self, batch: NDArray[np.float32]) -> None:
        flags, position, lane = self._flags, self._position, self._lane
        assert flags is not None
        if position != self._flags_next:  # they begin anew: the first moments have no past to be judged by
            self._flags_from = position
        self._flags_next = position + batch.shape[1]
        threshold = float(self._header["flags_threshold"])
        if threshold != flags.threshold:
            flags.threshold = threshold
        self._flags_found += flags.process(batch, position)
        if not self._flags_found or not self.owns:
            return
        apart = FLAGS_APART_S * lane.rate
        for flag in self._flags_found:
            told = (
                event.label == flag.kind and event.start <= flag.end + apart and event.end >= flag.start - apart
                for event in lane.posted(EventKind.FLAG)
                if event.end < self._taken_over  # by the owner before
            )
            if flag.start >= self._flags_from and not any(told):
                lane.post_flag(flag)
        self._flags_found.clear()

    def _learn_what_is_fine(self) -> None:
        """Read what the user said was fine, where that has changed."""
        version = int(self._header["fine_version"])
        if self._flags is None or self._fine is None or version == self._fine_version:
            return
        from .live_flags import read_fine

        self._fine_version = version
        try:
            self._flags.teach(read_fine(self._fine))
        except SidechopError as error:
            print(error, file=sys.stderr)

    def _publish(self, out: NDArray[np.float32]) -> None:
        n = out.shape[2]
        first = self._position - self._engine.delay_samples
        skip = max(0, self._origin - first)
        if skip < n:
            write_ring(self._lane.output[: len(out)], first + skip, out[:, :, skip:])
        self._counters["out_written"] = max(self._origin, first + n)
        peaks = np.maximum(out.max(axis=(1, 2)), -out.min(axis=(1, 2)))
        self._peaks *= METER_FALL
        np.maximum(self._peaks, peaks, out=self._peaks)
        self._counters["meters"][: len(peaks)] = self._peaks

    def run(self, stop: threading.Event, parent: int) -> None:
        """Until told to stop, another engine owns the lane, or the parent is gone (then the lane is removed)."""
        last_work = last_look = time.monotonic()
        while self.owns and not stop.is_set():
            now = time.monotonic()
            self._counters["heartbeat_ns"] = int(now * 1e9)
            if now - last_look > PARENT_LOOK_S:
                last_look = now
                if os.getppid() != parent:
                    if int(self._header["daemon_pid"]) == parent:  # a plugin's lane is the plugin's
                        self._lane.unlink()
                        return
                    break
            if self.step():
                last_work = now
            else:
                self._learn_what_is_fine()
                time.sleep(IDLE_POLL_S if now - last_work > IDLE_AFTER_S else POLL_S)
        if self.owns:
            self._header["engine_state"] = EngineState.ABSENT


def open_chops(path: Path, lane: Lane) -> "LiveChops":
    """The network that marks chops in what a lane hears. Raises `ModelError` where it does not fit."""
    from .live_chops import LiveChops

    chops = LiveChops(path)
    chops.prepare(lane.rate, lane.channels)
    return chops


def open_flags(path: Path, lane: Lane) -> "LiveFlags":
    """What flags what a lane hears. Raises `ModelError` where the network does not fit."""
    from .live_flags import LiveFlags

    flags = LiveFlags(path, float(lane.header["flags_threshold"]))
    flags.prepare(lane.rate, lane.channels)
    return flags


def main(arguments: list[str] | None = None) -> int:
    """The engine process."""
    parser = argparse.ArgumentParser(prog="streaming.process")
    parser.add_argument("lane")
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--chops", type=Path)
    parser.add_argument("--flags", type=Path)
    parser.add_argument("--fine", type=Path)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--epoch", type=int, required=True)
    options = parser.parse_args(arguments)
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        lane = Lane.attach(options.lane)
    except SidechopError as error:
        print(error, file=sys.stderr)
        return 1
    first = lane.engine_state is not EngineState.READY
    if first:
        lane.header["engine_state"] = EngineState.LOADING
    try:
        listeners = Listeners(options.chops, options.flags, options.fine)
        engine = LaneEngine(lane, options.model, listeners, options.epoch)
    except SidechopError as error:
        lane.header["error"] = str(error).encode()[:1024]
        if first:
            lane.header["engine_state"] = EngineState.FAILED
        print(error, file=sys.stderr)
        return 1
    if engine.hop_s < HOP_MAX_S:
        settle(ENGINE_PRIORITY)
    engine.take_over()
    engine.run(stop, options.parent)
    return 0


class EngineProcess:
    """Starts, watches and stops the engine process of a lane. Used by the daemon; nothing here is realtime."""

    def __init__(self, lane: Lane, model: Path | None, listeners: Listeners | None = None) -> None:
        self._lane = lane
        self.model, self.listeners = model, listeners or Listeners()
        self._process: subprocess.Popen[str] | None = None

    @property
    def alive(self) -> bool:
        """Whether the process runs. One that was killed could not say so: its lane is marked ABSENT here."""
        process = self._process
        if process is None:
            return False
        header, ended = self._lane.header, process.poll() is not None
        if ended and int(header["engine_pid"]) == process.pid:
            header["engine_pid"] = 0
            header["engine_state"] = EngineState.ABSENT
        return not ended

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Spawn, and wait until it is ready. A lane that another engine serves is taken over without a gap in it.

        Raises:
            EngineError: it failed, with its own words, or took longer than ``timeout_s``.
        """
        self.stop()
        header = self._lane.header
        epoch = int(header["engine_epoch"]) + 1
        header["engine_epoch"] = epoch
        model = [str(self.model)] if self.model else []
        listening = [f"--{name}={path}" for name, path in self.listeners._asdict().items() if path]
        arguments = [self._lane.name, *model, *listening, "--parent", str(os.getpid()), "--epoch", str(epoch)]
        nowhere = subprocess.DEVNULL
        self._process = spawn(
            "-m", "streaming.process", *arguments, stdin=nowhere, stdout=nowhere, stderr=subprocess.PIPE
        )
        limit = time.monotonic() + timeout_s
        while int(header["owner"]) != epoch or self._lane.engine_state is not EngineState.READY:
            if not self.alive:
                assert self._process is not None
                words = self._last_words()
                self.stop()
                raise EngineError(words or f"the engine process ended with code {self._process.returncode}")
            if time.monotonic() > limit:
                self.stop()
                raise EngineError(f"the engine was not ready after {timeout_s:g} s")
            time.sleep(0.005)

    def _last_words(self) -> str:
        assert self._process is not None
        assert self._process.stderr is not None
        lines = self._process.stderr.read().strip().splitlines()
        return lines[-1] if lines else ""

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the process; by force when it does not answer (a stopped one cannot)."""
        process = self._process
        if process is None:
            return
        if self.alive:
            process.terminate()
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert not self.alive
        if process.stderr:
            process.stderr.close()


if __name__ == "__main__":
    sys.exit(main())
