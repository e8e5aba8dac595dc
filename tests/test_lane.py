"""The shared layout: its offsets are a contract with the plugin, so they are written out here."""

import numpy as np
import pytest

from streaming.errors import EngineError
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
    ring_frames_for,
)
from streaming.mixer import CONTROL_DTYPE


@pytest.fixture
def lane():
    made = Lane.create(48000, 2, 512, ("vocals", "drums", "bass", "other"), 512)
    yield made
    made.close()
    made.unlink()


def test_layout_is_the_documented_one() -> None:
    """Changing any of these needs a new LAYOUT_VERSION, the plugin's header and docs/shared-memory.md."""
    assert LAYOUT_VERSION == 1
    assert (CONTROL_OFFSET, STATISTICS_OFFSET, EVENTS_OFFSET, AUDIO_OFFSET) == (8192, 12288, 16384, 81920)
    assert (HEADER_DTYPE.itemsize, COUNTERS_DTYPE.itemsize, EVENT_DTYPE.itemsize) == (4096, 4096, 64)
    offsets = {name: dtype.fields[name][1] for dtype in (HEADER_DTYPE, COUNTERS_DTYPE) for name in dtype.names}
    assert offsets == {
        "magic": 0, "layout_version": 8, "rate": 12, "channels": 16, "block": 20, "ring_frames": 24,
        "outputs_max": 28, "daemon_pid": 32, "engine_state": 64, "engine_pid": 68, "outputs": 72, "has_residual": 76,
        "hop_samples": 80, "window_latency": 84, "engine_epoch": 88, "owner": 92, "names": 128, "model": 1024,
        "error": 1536, "host_latency": 3072, "host_offline": 3076, "host_pid": 3080,
        "in_written": 0, "host_blocks": 8, "host_misses": 16, "host_dry_frames": 24, "out_valid_from": 64,
        "out_written": 72, "heartbeat_ns": 80, "events_written": 88, "meters": 128,
    }  # fmt: skip
    controls = {name: CONTROL_DTYPE.fields[name][1] for name in CONTROL_DTYPE.names}
    assert controls == {"gain": 0, "mute": 64, "solo": 128, "wet": 192, "bypass": 196}


@pytest.mark.parametrize(("rate", "block", "frames"), [(44100, 64, 65536), (96000, 8192, 131072), (8000, 8192, 32768)])
def test_ring_length_is_a_power_of_two(rate: int, block: int, frames: int) -> None:
    assert ring_frames_for(rate, block) == frames


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
    with pytest.raises(EngineError, match="has layout 99, this program speaks 1: update"):
        Lane.attach(lane.name)
    lane.header["magic"] = 0
    with pytest.raises(EngineError, match="not a Sidechop lane"):
        Lane.attach(lane.name)


def test_too_many_stems_are_refused(lane: Lane) -> None:
    with pytest.raises(EngineError, match="9 stems do not fit a lane of 8"):
        lane.set_outputs([f"stem {i}" for i in range(9)])
    assert np.all(lane.input == 0)
