"""A lane: the shared memory between an audio host and the engine process. The DAW plugin speaks this layout too.

Everything lies at fixed offsets in one segment, little-endian; docs/shared-memory.md shows the table and
`layout_table` prints it. Sample counters are absolute: position p is the p-th frame since the lane was made, in the
*input's* time. The output ring holds at p what the engine made of input frame p, so that nothing is ever played late
or early::

    host writes input      ────────────────────────────────►│ in_written
    engine has finished              ├──── valid ────►│ out_written
    host plays            [in_written - latency - n, in_written - latency)

The input ring is longer than the others: it is also the memory of what was played (`Lane.recent`).

One writer for every field (named beside it). Counters are written after what they announce. Python's stores are plain
ones: on x86 they are seen in order; elsewhere a plugin must use acquire and release as docs/shared-memory.md says.
"""

import errno
import math
import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from enum import IntEnum
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import EngineError
from .flags import Flag
from .mixer import CONTROL_DTYPE, OUTPUTS_MAX, Controls
from .queries import LIVE_NAMES, QUERY_DTYPE, Queries
from .statistics import STATISTICS_DTYPE, HopStatistics

MAGIC = int.from_bytes(b"SIDECHOP", "little")
LAYOUT_VERSION = 4
NAME_BYTES = 32
LABEL_BYTES = 16
PLUGIN_LANE = "sidechop-plugin-"
"""How the names of lanes begin that plugins made; the daemon looks for them."""
EVENTS = 1024
PAGE = 4096


class EngineState(IntEnum):
    ABSENT = 0
    LOADING = 1
    READY = 2
    FAILED = 3


class EventKind(IntEnum):
    READY = 1
    STALL = 2
    """The engine fell so far behind that it dropped its queue; ``value`` hops were dropped."""
    BAD_OUTPUT = 3
    """The network gave NaN and was reset."""
    CHOP = 4
    """Something begins at ``start`` with ``score`` 0 to 1; ``label`` says what."""
    FLAG = 5
    """What is heard from ``start`` to ``end`` does not belong: ``score``, p-value as ``value``, ``label`` the kind."""


def _fixed(fields: Sequence[tuple[str, Any, int]], size: int) -> np.dtype[Any]:
    return np.dtype(
        {
            "names": [name for name, _, _ in fields],
            "formats": [kind for _, kind, _ in fields],
            "offsets": [offset for _, _, offset in fields],
            "itemsize": size,
        }
    )


HEADER_DTYPE = _fixed(
    [
        # who made the lane, once
        ("magic", "<u8", 0),
        ("layout_version", "<u4", 8),
        ("rate", "<u4", 12),
        ("channels", "<u4", 16),
        ("block", "<u4", 20),
        ("ring_frames", "<u4", 24),
        ("outputs_max", "<u4", 28),
        ("daemon_pid", "<u4", 32),
        ("history_frames", "<u4", 36),
        # the daemon, at any time
        ("chops_on", "<u4", 40),
        ("flags_on", "<u4", 44),
        ("flags_threshold", "<f4", 48),
        ("fine_version", "<u4", 52),
        # the engine, before it is READY
        ("engine_state", "<u4", 64),
        ("engine_pid", "<u4", 68),
        ("outputs", "<u4", 72),
        ("has_residual", "<u4", 76),
        ("hop_samples", "<u4", 80),
        ("window_latency", "<u4", 84),
        ("engine_epoch", "<u4", 88),
        ("owner", "<u4", 92),
        ("names", f"S{NAME_BYTES}", 128),
        ("model", "S256", 1024),
        ("error", "S1024", 1536),
        # the host
        ("host_latency", "<u4", 3072),
        ("host_offline", "<u4", 3076),
        ("host_pid", "<u4", 3080),
        ("host_slot", "<u4", 3084),
    ],
    PAGE,
)
_NAMES_OFFSET = 128

COUNTERS_DTYPE = _fixed(
    [
        ("in_written", "<u8", 0),  # host
        ("host_blocks", "<u8", 8),  # host
        ("host_misses", "<u8", 16),  # host: blocks that fell back to dry while the engine was READY
        ("host_dry_frames", "<u8", 24),  # host
        ("host_origin", "<u8", 32),  # host: what lies before is forgotten, a whole number of hops
        ("out_valid_from", "<u8", 64),  # engine
        ("out_written", "<u8", 72),  # engine
        ("heartbeat_ns", "<u8", 80),  # engine, CLOCK_MONOTONIC
        ("events_written", "<u8", 88),  # engine
        ("meters", ("<f4", 1 + OUTPUTS_MAX), 128),  # engine: falling peaks of the mix and of each output
    ],
    PAGE,
)
"""Each writer has cache lines of its own."""

EVENT_DTYPE = _fixed(
    [
        ("kind", "<u4", 0),
        ("index", "<u4", 4),
        ("start", "<i8", 8),
        ("end", "<i8", 16),
        ("score", "<f8", 24),
        ("value", "<f8", 32),
        ("label", f"S{LABEL_BYTES}", 40),
        ("low_hz", "<f4", 56),
        ("high_hz", "<f4", 60),
    ],
    64,
)

CONTROL_OFFSET = 2 * PAGE
STATISTICS_OFFSET = 3 * PAGE
EVENTS_OFFSET = 4 * PAGE
AUDIO_OFFSET = EVENTS_OFFSET + EVENTS * EVENT_DTYPE.itemsize


class Event(NamedTuple):
    """Something the engine noticed, at absolute input positions in samples."""

    kind: int
    start: int
    end: int
    score: float
    value: float
    label: str
    low_hz: float = 0.0
    high_hz: float = 0.0


def ring_frames_for(rate: int, block: int) -> int:
    """Frames of output a lane keeps: a power of two, at least a second and four blocks."""
    return 1 << (max(rate, 4 * block) - 1).bit_length()


def history_frames_for(rate: int, block: int, seconds: float) -> int:
    """Frames of input a lane keeps: a power of two that holds ``seconds`` beside the block that is being written."""
    wanted = math.ceil(seconds * rate) + block
    return max(ring_frames_for(rate, block), 1 << (wanted - 1).bit_length())


class Lane:
    """One shared segment, created by the daemon (or plugin) and attached by host and engine."""

    def __init__(self, memory: SharedMemory, owner: bool) -> None:
        self._memory = memory
        self._owner = owner
        buffer: Any = memory.buf
        self.name = memory.name
        self.header: NDArray[Any] = np.ndarray((), HEADER_DTYPE, buffer, 0)
        self.counters: NDArray[Any] = np.ndarray((), COUNTERS_DTYPE, buffer, PAGE)
        if int(self.header["magic"]) != MAGIC:
            raise EngineError(f"{memory.name} is not a Sidechop lane")
        if int(self.header["layout_version"]) != LAYOUT_VERSION:
            raise EngineError(
                f"{memory.name} has layout {self.header['layout_version']}, this program speaks {LAYOUT_VERSION}: "
                "update Sidechop and its plugin together"
            )
        self.rate = int(self.header["rate"])
        self.channels = int(self.header["channels"])
        self.block = int(self.header["block"])
        self.ring_frames = int(self.header["ring_frames"])
        self.history_frames = int(self.header["history_frames"])
        outputs = 1 + int(self.header["outputs_max"])
        self.input: NDArray[np.float32] = np.ndarray(
            (self.channels, self.history_frames), np.float32, buffer, AUDIO_OFFSET
        )
        self.output: NDArray[np.float32] = np.ndarray(
            (outputs, self.channels, self.ring_frames), np.float32, buffer, AUDIO_OFFSET + self.input.nbytes
        )
        """The faders' mix, then each stem."""
        after = AUDIO_OFFSET + self.input.nbytes + self.output.nbytes
        self._queries: NDArray[Any] = np.ndarray((len(LIVE_NAMES),), QUERY_DTYPE, buffer, after)
        self._events: NDArray[Any] = np.ndarray((EVENTS,), EVENT_DTYPE, buffer, EVENTS_OFFSET)
        self._events_read = int(self.counters["events_written"])
        self._names: NDArray[Any] = np.ndarray((OUTPUTS_MAX,), f"S{NAME_BYTES}", buffer, _NAMES_OFFSET)
        self._control: NDArray[Any] = np.ndarray((), CONTROL_DTYPE, buffer, CONTROL_OFFSET)
        self.hop_times = HopStatistics(np.ndarray((), STATISTICS_DTYPE, buffer, STATISTICS_OFFSET))

    @classmethod
    def create(
        cls,
        rate: int,
        channels: int,
        block: int,
        outputs: Sequence[str] = (),
        window_latency: int = 0,
        outputs_max: int = 8,
        history_s: float = 0.0,
    ) -> "Lane":
        """Make a lane for a session. ``outputs`` and ``window_latency`` (samples) are the model's, from its card, so
        that host and faders are right before the engine has loaded it. It remembers ``history_s`` of input at least.

        Raises:
            EngineError: there is not enough shared memory for it.
        """
        ring, history = ring_frames_for(rate, block), history_frames_for(rate, block, history_s)
        size = AUDIO_OFFSET + (history + (1 + outputs_max) * ring) * channels * 4
        size += len(LIVE_NAMES) * QUERY_DTYPE.itemsize
        memory = _allocate(size, history_s)
        header: NDArray[Any] = np.ndarray((), HEADER_DTYPE, memory.buf, 0)
        header["layout_version"] = LAYOUT_VERSION
        header["rate"], header["channels"], header["block"] = rate, channels, block
        header["ring_frames"], header["history_frames"], header["outputs_max"] = ring, history, outputs_max
        header["window_latency"] = window_latency
        header["daemon_pid"] = os.getpid()
        header["magic"] = MAGIC
        del header
        lane = cls(memory, owner=True)
        lane.set_outputs(outputs)
        lane.controls.reset()
        for slot in range(len(LIVE_NAMES)):
            lane.queries.set_strength(slot, 1.0)
        return lane

    @classmethod
    def attach(cls, name: str) -> "Lane":
        """Map a lane that exists. Raises `EngineError` when it does not, or speaks another layout."""
        try:
            return cls(_attach_untracked(name), owner=False)
        except FileNotFoundError:
            raise EngineError(f"no lane {name}: has the daemon that made it ended?") from None

    def set_outputs(self, outputs: Sequence[str]) -> None:
        """Name the outputs (the engine, or the lane's maker before there is one)."""
        if len(outputs) > int(self.header["outputs_max"]):
            raise EngineError(f"{len(outputs)} stems do not fit a lane of {self.header['outputs_max']}")
        for i in range(OUTPUTS_MAX):
            self._names[i] = outputs[i].encode()[:NAME_BYTES] if i < len(outputs) else b""
        self.header["outputs"] = len(outputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(bytes(n).decode("utf-8", "replace") for n in self._names[: int(self.header["outputs"])])

    @property
    def controls(self) -> Controls:
        """The faders, by the names of the outputs as they are now."""
        return Controls(self.outputs, self._control)

    @property
    def queries(self) -> Queries:
        """What a query model is asked for."""
        return Queries(LIVE_NAMES, self._queries)

    @property
    def engine_state(self) -> EngineState:
        return EngineState(int(self.header["engine_state"]))

    @property
    def model(self) -> str:
        """Name of the model that the engine runs, as its card has it."""
        return self._text("model")

    @property
    def error(self) -> str:
        """Why the engine failed."""
        return self._text("error")

    def _text(self, field: str) -> str:
        text: bytes = self.header[field].item()  # `item` leaves the padding out
        return text.decode("utf-8", "replace")

    def meters(self) -> dict[str, float]:
        """Falling peaks (linear) of ``mix`` and every output."""
        peaks = self.counters["meters"]
        return {name: float(peaks[i]) for i, name in enumerate(("mix", *self.outputs))}

    def statistics(self) -> dict[str, Any]:
        """Hop times (ms), misses and drops since the lane was made or `reset_statistics`."""
        counters, block = self.counters, self.hop_times.block
        hop = int(self.header["hop_samples"])
        return {
            **self.hop_times.times()._asdict(),
            "hop_ms": 1000.0 * hop / self.rate,
            "blocks": int(counters["host_blocks"]),
            "misses": int(counters["host_misses"]),
            "dry_s": int(counters["host_dry_frames"]) / self.rate,
            "dropped_hops": int(block["dropped_hops"]),
            "bad_samples": int(block["bad_samples"]),
            "position": int(counters["in_written"]),
            "rate": self.rate,
            "engine": self.engine_state.name.lower(),
        }

    def reset_statistics(self) -> None:
        self.hop_times.reset()
        for name in ("host_blocks", "host_misses", "host_dry_frames"):
            self.counters[name] = 0

    def heartbeat_age_s(self) -> float:
        """Seconds since the engine last came round its loop; infinity before it has."""
        last = int(self.counters["heartbeat_ns"])
        return (time.monotonic_ns() - last) / 1e9 if last else float("inf")

    def recent(self, seconds: float) -> tuple[int, NDArray[np.float32]]:
        """A copy of the last ``seconds`` of input ``(channels, n)``, and the position of its first frame.

        Shorter where less was played, or less is remembered. The host may write meanwhile: what it overwrote, or may
        be overwriting, is left out.
        """
        written = int(self.counters["in_written"])
        n = min(math.ceil(seconds * self.rate), self.history_frames, written)
        audio: NDArray[np.float32] = np.empty((self.channels, n), np.float32)
        read_ring(self.input, written - n, audio)
        kept_from = int(self.counters["in_written"]) + self.block - self.history_frames
        start = min(max(written - n, kept_from), written)
        return start, audio[:, start - (written - n) :]

    def post_event(self, kind: int, start: int, value: float = 0.0, label: str = "", score: float = 0.0) -> None:
        """Engine side. The oldest events are overwritten when nobody reads."""
        self._post((kind, 0, start, start, score, value, label.encode()[:LABEL_BYTES], 0.0, 0.0))

    def post_flag(self, flag: Flag) -> None:
        """As `post_event`."""
        label = flag.kind.encode()[:LABEL_BYTES]
        where = (flag.start, flag.end, flag.score, flag.p_value)
        self._post((int(EventKind.FLAG), 0, *where, label, flag.low_hz, flag.high_hz))

    def _post(self, record: tuple[Any, ...]) -> None:
        written = int(self.counters["events_written"])
        self._events[written % EVENTS] = record
        self.counters["events_written"] = written + 1

    def last_event(self, kind: int) -> int:
        """Where the latest event of this kind that is still there starts; -1 where there is none."""
        return next((event.start for event in self.posted(kind)), -1)

    def posted(self, kind: int) -> Iterator[Event]:
        """The events of a kind that are still there, the latest first, by whichever engine."""
        written = int(self.counters["events_written"])
        for i in range(written - 1, max(0, written - EVENTS) - 1, -1):
            if int(self._events["kind"][i % EVENTS]) == kind:
                yield _event(self._events[i % EVENTS])

    def read_events(self) -> list[Event]:
        """What was posted since the last call of this process; at most the newest `EVENTS`."""
        written = int(self.counters["events_written"])
        first = max(self._events_read, written - EVENTS)
        self._events_read = written
        return [_event(self._events[i % EVENTS].copy()) for i in range(first, written)]

    def close(self) -> None:
        """Unmap. Every view of this lane must be gone; what still holds one keeps the memory mapped until exit."""
        for name in ("header", "counters", "input", "output", "_events", "_names", "_control", "_queries", "hop_times"):
            self.__dict__.pop(name, None)
        try:
            self._memory.close()
        except BufferError:
            # A view is alive somewhere: let the process's end unmap it rather than pull it from under a callback.
            self._memory._mmap = None  # type: ignore[attr-defined]
            self._memory._buf = None  # type: ignore[attr-defined]

    def unlink(self) -> None:
        """Remove the segment's name; it lives on until the last process unmaps it. Safe to call twice."""
        try:
            if not self._owner and sys.version_info < (3, 13):
                resource_tracker.register(self._memory._name, "shared_memory")  # type: ignore[attr-defined]
            self._memory.unlink()
        except FileNotFoundError:
            pass


def _event(record: Any) -> Event:
    kind, _, start, end, score, value, label, low_hz, high_hz = record.item()
    return Event(kind, start, end, score, value, label.decode("utf-8", "replace"), low_hz, high_hz)


def _allocate(size: int, history_s: float) -> SharedMemory:
    """A new segment, all of it there: memory that runs out later would kill whoever touches it (SIGBUS)."""
    try:
        memory = SharedMemory(f"sidechop-{secrets.token_hex(4)}", create=True, size=size)
        if not hasattr(os, "posix_fallocate"):
            return memory
        try:
            os.posix_fallocate(memory._fd, 0, size)  # type: ignore[attr-defined]
        except OSError:
            memory.close()
            memory.unlink()
            raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.ENOMEM, errno.EFBIG):
            raise
        raise EngineError(
            f"no shared memory of {size / 1e6:.0f} MB is to be had ({error.strerror}): make /dev/shm larger, "
            f"or remember less with history_s, which is {history_s:g}"
        ) from None
    return memory


def _attach_untracked(name: str) -> SharedMemory:
    """Attach without Python's tracker, which would remove at this process's end what its maker still uses.

    Source: https://github.com/python/cpython/issues/82300
    """
    if sys.version_info >= (3, 13):
        return SharedMemory(name, track=False)
    register = resource_tracker.register
    resource_tracker.register = lambda *_: None
    try:
        return SharedMemory(name)
    finally:
        resource_tracker.register = register


def read_ring(ring: NDArray[np.float32], position: int, out: NDArray[np.float32]) -> None:
    """Copy ``out.shape[-1]`` frames that start at absolute ``position`` out of a ring of power-of-two length."""
    frames, n = ring.shape[-1], out.shape[-1]
    start = position & (frames - 1)
    first = min(n, frames - start)
    out[..., :first] = ring[..., start : start + first]
    if first < n:
        out[..., first:] = ring[..., : n - first]


def write_ring(ring: NDArray[np.float32], position: int, block: NDArray[np.float32]) -> None:
    """Copy a block into a ring at absolute ``position``. The mirror of `read_ring`."""
    frames, n = ring.shape[-1], block.shape[-1]
    start = position & (frames - 1)
    first = min(n, frames - start)
    ring[..., start : start + first] = block[..., :first]
    if first < n:
        ring[..., : n - first] = block[..., first:]
