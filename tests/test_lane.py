"""The shared layout: its offsets are a contract with the plugin, so they are written out here."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from streaming.errors import EngineError
from streaming.host import LaneHost
from streaming.lane import (
    AUDIO_OFFSET,
    CONTROL_OFFSET,
    COUNTERS_DTYPE,
    EVENT_DTYPE,
    EVENTS,
    EVENTS_OFFSET,
    HEADER_DTYPE,
    LAYOUT_VERSION,
    STATISTICS_OFFSET,
    Lane,
    history_frames_for,
    ring_frames_for,
)
from streaming.mixer import CONTROL_DTYPE
from streaming.queries import QUERY_DTYPE


@pytest.fixture
def lane():
    made = Lane.create(48000, 2, 512, ("vocals", "drums", "bass", "other"), 512)
    yield made
    made.close()
    made.unlink()


def test_layout_is_the_documented_one() -> None:
    """Changing any of these needs a new LAYOUT_VERSION, the plugin's header and docs/shared-memory.md."""
    assert LAYOUT_VERSION == 4
    assert (CONTROL_OFFSET, STATISTICS_OFFSET, EVENTS_OFFSET, AUDIO_OFFSET) == (8192, 12288, 16384, 81920)
    assert (HEADER_DTYPE.itemsize, COUNTERS_DTYPE.itemsize, EVENT_DTYPE.itemsize) == (4096, 4096, 64)
    offsets = {name: dtype.fields[name][1] for dtype in (HEADER_DTYPE, COUNTERS_DTYPE) for name in dtype.names}
    assert offsets == {
        "magic": 0, "layout_version": 8, "rate": 12, "channels": 16, "block": 20, "ring_frames": 24,
        "outputs_max": 28, "daemon_pid": 32, "history_frames": 36, "chops_on": 40, "flags_on": 44,
        "flags_threshold": 48, "fine_version": 52, "engine_state": 64, "engine_pid": 68,
        "outputs": 72, "has_residual": 76, "hop_samples": 80, "window_latency": 84, "engine_epoch": 88, "owner": 92,
        "names": 128, "model": 1024, "error": 1536, "host_latency": 3072, "host_offline": 3076, "host_pid": 3080,
        "host_slot": 3084,
        "in_written": 0, "host_blocks": 8, "host_misses": 16, "host_dry_frames": 24, "host_origin": 32,
        "out_valid_from": 64,
        "out_written": 72, "heartbeat_ns": 80, "events_written": 88, "meters": 128,
    }  # fmt: skip
    controls = {name: CONTROL_DTYPE.fields[name][1] for name in CONTROL_DTYPE.names}
    assert controls == {"gain": 0, "mute": 64, "solo": 128, "wet": 192, "bypass": 196}
    queries = {name: QUERY_DTYPE.fields[name][1] for name in QUERY_DTYPE.names}
    assert queries == {
        "sequence": 0, "on": 4, "negated": 8, "numbers": 12, "strength": 16, "text": 64, "negative_text": 320,
        "positive": 1024, "negative": 5120,
    }  # fmt: skip
    assert QUERY_DTYPE.itemsize == 12288


@pytest.mark.parametrize(("rate", "block", "frames"), [(44100, 64, 65536), (96000, 8192, 131072), (8000, 8192, 32768)])
def test_ring_length_is_a_power_of_two(rate: int, block: int, frames: int) -> None:
    assert ring_frames_for(rate, block) == frames


@pytest.mark.parametrize(
    ("rate", "block", "seconds", "frames"),
    [(48000, 1024, 60, 2**22), (44100, 8192, 0, 65536), (8192, 1, 0.5, 8192), (8192, 64, 2, 32768)],
)
def test_the_input_ring_holds_the_history_and_a_block(rate: int, block: int, seconds: float, frames: int) -> None:
    assert history_frames_for(rate, block, seconds) == frames
    lane = Lane.create(rate, 1, block, history_s=seconds)
    try:
        other = Lane.attach(lane.name)
        assert other.input.shape == (1, frames)
        assert other.output.shape == (9, 1, ring_frames_for(rate, block))
        other.output[0, 0, 0] = other.input[0, -1] = 1.0
        assert (lane.output[0, 0, 0], lane.input[0, -1], lane.output.sum(), lane.input.sum()) == (1, 1, 1, 1)
        other.close()
    finally:
        lane.close()
        lane.unlink()


def test_recent_is_what_was_written_last() -> None:
    lane = Lane.create(8000, 2, 100, history_s=2.0)
    host = LaneHost(lane, 100)
    heard, out = np.zeros((2, 0), np.float32), np.empty((2, 100), np.float32)
    rng = np.random.default_rng(0)
    try:
        assert [part.shape for part in lane.recent(1.0)[1:]] == [(2, 0)]
        for k, n in enumerate(rng.integers(1, 101, 1500)):
            block = rng.standard_normal((2, n)).astype(np.float32)
            heard = np.concatenate([heard, block], axis=1)[:, -lane.history_frames :]
            host.process(block, out[:, :n])
            if k in (0, 1, 160, 800, 1499):
                written = int(lane.counters["in_written"])
                for seconds in (0.0, 1 / 8000, 0.5, 2.0, 1e6):
                    position, audio = lane.recent(seconds)
                    wanted = min(int(seconds * 8000), written, lane.history_frames - 100)
                    assert (position, audio.shape) == (written - wanted, (2, wanted))
                    np.testing.assert_array_equal(audio, heard[:, heard.shape[1] - wanted :])
        assert written > 2 * lane.history_frames
    finally:
        lane.close()
        lane.unlink()


def numbers(first: int, count: int) -> np.ndarray:
    """Positions as samples, as far as float32 counts."""
    return (np.arange(first, first + count) % 2**24).astype(np.float32)


def test_recent_is_whole_while_the_host_writes() -> None:
    """Samples that say where they belong: whatever was overwritten during the copy would not."""
    lane = Lane.create(44100, 1, 512, history_s=1.0)
    stop = threading.Event()

    def play() -> None:
        host, out = LaneHost(lane, 512), np.empty((1, 512), np.float32)
        while not stop.is_set():
            first = int(lane.counters["in_written"])
            host.process(numbers(first, 512)[None], out)

    player = threading.Thread(target=play)
    player.start()
    try:
        while lane.counters["in_written"] < lane.history_frames:
            pass
        for _ in range(300):
            position, audio = lane.recent(60.0)
            np.testing.assert_array_equal(audio[0], numbers(position, audio.shape[1]))
    finally:
        stop.set()
        player.join()
        lane.close()
        lane.unlink()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="only here memory is asked for at once")
def test_too_little_shared_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "of-this-test")
    with pytest.raises(EngineError, match=r"MB is to be had .* with history_s, which is 1e\+07"):
        Lane.create(48000, 2, 512, history_s=1e7)
    assert not Path("/dev/shm/sidechop-of-this-test").exists()


def test_two_sides_see_the_same(lane: Lane) -> None:
    other = Lane.attach(lane.name)
    try:
        assert (other.rate, other.channels, other.block, other.outputs) == (48000, 2, 512, lane.outputs)
        lane.controls.set_gain_db("bass", -6)
        assert other.controls.gain_db("bass") == pytest.approx(-6)
        other.output[4, 1, 77] = 0.25
        assert lane.output[4, 1, 77] == 0.25
        lane.counters["meters"][2] = 0.5
        assert other.meters() == {"mix": 0, "vocals": 0, "drums": 0.5, "bass": 0, "other": 0}
    finally:
        other.close()


def test_detaching_does_not_unlink(lane: Lane) -> None:
    Lane.attach(lane.name).close()
    Lane.attach(lane.name).close()


def test_events_wrap_and_the_newest_are_kept(lane: Lane) -> None:
    reader = Lane.attach(lane.name)
    try:
        for k in range(5):
            lane.post_event(2, 1000 + k, value=float(k), label="früh")
        events = reader.read_events()
        assert [(e.kind, e.start, e.value, e.label) for e in events] == [(2, 1000 + k, k, "früh") for k in range(5)]
        assert reader.read_events() == []
        for k in range(EVENTS + 10):
            lane.post_event(1, 2**40 + k)
        assert [e.start for e in reader.read_events()] == [2**40 + k for k in range(10, EVENTS + 10)]
    finally:
        reader.close()


def test_statistics_before_anything_ran(lane: Lane) -> None:
    statistics = lane.statistics()
    assert (statistics["hops"], statistics["misses"], statistics["engine"]) == (0, 0, "absent")
    assert lane.heartbeat_age_s() == float("inf")


def test_unlinked_and_strange_segments_are_refused(lane: Lane) -> None:
    gone = Lane.create(44100, 1, 64)
    name = gone.name
    gone.close()
    gone.unlink()
    gone.unlink()
    with pytest.raises(EngineError, match=f"no lane {name}"):
        Lane.attach(name)
    lane.header["layout_version"] = 99
    with pytest.raises(EngineError, match="has layout 99, this program speaks 4: update"):
        Lane.attach(lane.name)
    lane.header["magic"] = 0
    with pytest.raises(EngineError, match="not a Sidechop lane"):
        Lane.attach(lane.name)


def test_too_many_stems_are_refused(lane: Lane) -> None:
    with pytest.raises(EngineError, match="9 stems do not fit a lane of 8"):
        lane.set_outputs([f"stem {i}" for i in range(9)])
    assert np.all(lane.input == 0)
