"""Chops while audio plays: one event for each click, where it sounds; what is heard is the same with or without."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tiny_models import tiny_curves, tiny_live4

from bridge.config import Audio, Config, Osc
from bridge.daemon import Daemon
from bridge.osc_client import OscClient
from streaming.engine import Engine
from streaming.errors import EngineError, RequestError
from streaming.features import MEL
from streaming.host import LaneHost
from streaming.lane import Event, EventKind, Lane
from streaming.process import EngineProcess, Listeners

RATE = 44100
OUTPUTS = ("vocals", "drums", "bass", "other")
NEAR = MEL.window_samples // 2 + MEL.hop_samples
"""The tiny model marks the frame whose window a click enters: half a window early, and a frame has its own length."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def separator(folder: Path) -> Path:
    return tiny_live4(folder / "tiny.onnx", counting=True)


@pytest.fixture(scope="module")
def chopper(folder: Path) -> Path:
    return tiny_curves(folder / "tiny-chops.onnx", "frame-hop")


@pytest.fixture
def lane() -> Iterator[Lane]:
    made = Lane.create(RATE, 2, 8192, OUTPUTS, 512)
    made.header["chops_on"] = 1
    yield made
    made.close()
    made.unlink()


def clicks(positions: list[int], length: int) -> np.ndarray:
    audio = np.zeros((2, length), np.float32)
    audio[:, positions] = 0.8
    return audio


def play(lane: Lane, audio: np.ndarray, sizes: list[int], host: LaneHost | None = None) -> np.ndarray:
    """All of it, waited for; the stems. The engine soon tells what it heard."""
    host = host or LaneHost(lane, max(sizes))
    stems, at, k = [], 0, 0
    while at < audio.shape[1]:
        block = audio[:, at : at + sizes[k % len(sizes)]]
        out = np.empty((len(lane.outputs), *block.shape), np.float32)
        host.process(block, np.empty_like(block), out, wait=True)
        stems.append(out)
        at, k = at + block.shape[1], k + 1
    return np.concatenate(stems, 2)


def heard(lane: Lane) -> list[Event]:
    """The chops so far, when the engine has come round often enough to have heard all that was played."""
    for _ in range(5):
        last, limit = int(lane.counters["heartbeat_ns"]), time.monotonic() + 10
        while lane.counters["heartbeat_ns"] == last:
            assert time.monotonic() < limit
            time.sleep(0.001)
    return [event for event in lane.read_events() if event.kind == EventKind.CHOP]


def assert_one_each(found: list[int], wanted: list[int]) -> None:
    assert len(found) == len(wanted), f"{found}, expected {wanted}"
    assert np.abs(np.subtract(found, wanted)).max() <= NEAR


@pytest.mark.parametrize("sizes", [[512], [64], [1, 8192, 3, 700], [480, 441]], ids=str)
@pytest.mark.parametrize("rate", [44100, 48000])
def test_each_click_is_one_event_and_the_output_stays_to_the_bit(
    separator: Path, chopper: Path, sizes: list[int], rate: int
) -> None:
    positions = [3000, 9999, 40000, 44000, 90001, 130000]
    audio = clicks(positions, 150000)
    lane = Lane.create(rate, 2, 8192, OUTPUTS, 512)
    lane.header["chops_on"] = 1
    engine = EngineProcess(lane, separator, Listeners(chops=chopper))
    try:
        engine.start()
        stems = play(lane, audio, sizes)
        chops = heard(lane)
        assert_one_each([chop.start for chop in chops], positions)
        assert {chop.label for chop in chops} <= {"onset", "beat", "downbeat", "phrase"}
        assert all(0.5 <= chop.score <= 1 for chop in chops)
        assert lane.statistics()["misses"] == 0
        host_latency = int(lane.header["host_latency"])
    finally:
        engine.stop()
        lane.close()
        lane.unlink()
    reference = Engine(separator)
    reference.prepare(rate, 8192, 2)
    wanted = np.concatenate([reference.process(audio[:, i : i + 8192])[1].copy() for i in range(0, 150000, 8192)], 2)
    wanted = wanted[:, :, reference.latency_samples :]
    length = 150000 - host_latency
    np.testing.assert_array_equal(stems[:, :, host_latency:], wanted[:, :, :length])


def test_a_pass_through_lane_hears_chops_too(lane: Lane, chopper: Path) -> None:
    engine = EngineProcess(lane, None, Listeners(chops=chopper))
    try:
        engine.start()
        play(lane, clicks([20000, 50000], 70000), [512])
        assert_one_each([chop.start for chop in heard(lane)], [20000, 50000])
    finally:
        engine.stop()


def test_switched_off_and_on_and_what_is_not_a_number(lane: Lane, chopper: Path) -> None:
    """Off is silence; on again starts afresh, without an event for the start; NaN counts as silence."""
    engine = EngineProcess(lane, None, Listeners(chops=chopper))
    try:
        engine.start()
        host = LaneHost(lane, 512)
        tone = np.full((2, 30000), 0.3, np.float32) * np.sin(np.arange(30000) * 0.3, dtype=np.float32)
        lane.header["chops_on"] = 0
        play(lane, clicks([20000], 30000), [512], host)
        assert heard(lane) == []
        play(lane, tone, [512], host)
        lane.header["chops_on"] = 1
        play(lane, tone * np.linspace(1, 0, 30000, dtype=np.float32), [512], host)
        assert heard(lane) == []
        silence = clicks([], 30000)
        silence[:, 100] = np.nan
        silence[0, 101] = np.inf
        play(lane, silence, [512], host)
        play(lane, clicks([15000], 30000), [512], host)
        assert_one_each([chop.start for chop in heard(lane)], [4 * 30000 + 15000])
    finally:
        engine.stop()


def test_a_take_over_loses_no_click_and_tells_none_twice(lane: Lane, separator: Path, chopper: Path) -> None:
    first, second = (
        EngineProcess(lane, separator, Listeners(chops=chopper)),
        EngineProcess(lane, separator, Listeners(chops=chopper)),
    )
    spacing = 6000
    try:
        first.start()
        host = LaneHost(lane, 512)
        taking_over = threading.Thread(target=second.start)
        found, played, left = [], 0, 5
        while left:
            play(lane, clicks([2000], spacing), [512], host)
            found += [event.start for event in lane.read_events() if event.kind == EventKind.CHOP]
            played += 1
            if played == 5:
                taking_over.start()
            left -= lane.header["owner"] == 2
        taking_over.join()
        found += [chop.start for chop in heard(lane)]
        assert_one_each(found, [k * spacing + 2000 for k in range(played)])
    finally:
        second.stop()
        first.stop()


def test_after_a_stall_clicks_are_found_where_they_are(lane: Lane, chopper: Path) -> None:
    engine = EngineProcess(lane, None, Listeners(chops=chopper))
    try:
        engine.start()
        host = LaneHost(lane, 512)
        play(lane, clicks([20000], 40 * 1024), [512], host)
        assert_one_each([chop.start for chop in heard(lane)], [20000])
        os.kill(int(engine.pid or 0), signal.SIGSTOP)
        for _ in range(80):  # nobody waits: as a device would, all in a moment
            host.process(clicks([100], 512), np.empty((2, 512), np.float32))
        lane.header["host_offline"] = 0
        os.kill(int(engine.pid or 0), signal.SIGCONT)
        limit = time.monotonic() + 10
        while not lane.statistics()["dropped_hops"]:
            assert time.monotonic() < limit
        resumed = int(lane.counters["in_written"])
        heard(lane)  # how much of what came during the stall is heard hangs on when it was noticed
        play(lane, clicks([20000], 40 * 1024), [512], host)
        assert_one_each([chop.start for chop in heard(lane)], [resumed + 20000])
    finally:
        engine.stop()


# The rest asks a whole daemon over OSC.

BEATS = (11025, 30870)
"""In a second of audio that is played over and over."""


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "loop.wav"
    soundfile.write(path, clicks(list(BEATS), RATE).T, RATE, subtype="FLOAT")
    return path


def config(loop: Path, separator: Path, chops: Path | str) -> Config:
    return Config(
        model=str(separator),
        chops=str(chops),
        history_s=5,
        audio=Audio(file=loop, loop=True, block=256),
        osc=Osc(port=0),
    )


def collect(client: OscClient, count: int, seconds: float = 20.0) -> list[list[Any]]:
    end, chops = time.monotonic() + seconds, []
    while len(chops) < count:
        assert time.monotonic() < end, f"only {len(chops)} came"
        event = client.event(0.5)
        if event and event[0] == "/sidechop/event/chop":
            chops.append(event[1])
    return chops


def assert_on_beats(positions: list[int]) -> None:
    """Increasing, and each where a click is in the loop."""
    assert positions == sorted(set(positions))
    offsets = [min(abs(position % RATE - beat) for beat in BEATS) for position in positions]
    assert max(offsets) <= NEAR, positions


def test_chops_are_pushed_as_they_are_played(loop: Path, separator: Path, chopper: Path) -> None:
    with (
        Daemon(config(loop, separator, chopper)) as daemon,
        OscClient(*daemon.server.address, timeout_s=10) as client,
    ):
        client.request("/sidechop/subscribe", "chops", 60.0)
        chops = collect(client, 6)
        assert_on_beats([position for position, *_ in chops])
        assert {rate for _, rate, *_ in chops} == {RATE}
        assert {kind for *_, kind in chops} <= {"onset", "beat", "downbeat", "phrase"}
        assert daemon.chops_heard >= 6
        assert daemon.last_chop is not None
        os.kill(int(daemon.engine.pid or 0), signal.SIGKILL)
        limit = time.monotonic() + 20
        while not daemon.engine.restarts:
            assert time.monotonic() < limit
            time.sleep(0.01)
        assert_on_beats([position for position, *_ in collect(client, 6)])


def test_live_chops_are_switched_on_and_off(
    loop: Path, separator: Path, chopper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.registry.models_folder", lambda: tmp_path)
    with (
        Daemon(config(loop, separator, "off")) as daemon,
        OscClient(*daemon.server.address, timeout_s=10) as client,
    ):
        first = daemon.engine.pid
        (tmp_path / "chopper-live.onnx").write_bytes(separator.read_bytes())  # of the wrong kind
        with pytest.raises(RequestError, match="tiny is of kind stft-hop and marks nothing"):
            client.request("/sidechop/chop/live", True)
        assert (daemon.engine.pid, daemon.engine.restarts, daemon.listens_for_chops) == (first, 0, False)
        (tmp_path / "chopper-live.onnx").write_bytes(chopper.read_bytes())
        client.request("/sidechop/subscribe", "chops", 60.0)
        client.request("/sidechop/chop/live", True)
        second = daemon.engine.pid
        assert second != first
        assert_on_beats([position for position, *_ in collect(client, 4)])
        client.request("/sidechop/chop/live", False)
        while client.event(0.5):
            pass
        assert client.event(2.5) is None, "several clicks were played meanwhile"
        client.request("/sidechop/chop/live", True)
        assert_on_beats([position for position, *_ in collect(client, 2)])
        client.request("/sidechop/model", "pass-through")
        collect(client, 4)
        assert daemon.engine.restarts == 0


def test_a_model_for_chops_that_does_not_fit_ends_the_start(loop: Path, separator: Path) -> None:
    with pytest.raises(EngineError, match="tiny is of kind stft-hop and marks nothing"):
        Daemon(config(loop, separator, separator)).start()


def test_a_model_for_chops_that_does_not_fit_the_rate_says_so(tmp_path: Path) -> None:
    path = tiny_curves(tmp_path / "other-hop.onnx", "frame-hop", replace(MEL, hop_samples=512))
    lane = Lane.create(48000, 2, 512)
    try:
        with pytest.raises(EngineError, match="frames of 512 samples at 44100 Hz do not fall on samples at 48000"):
            EngineProcess(lane, None, Listeners(chops=path)).start()
    finally:
        lane.close()
        lane.unlink()
