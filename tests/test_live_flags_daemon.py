"""Flags while audio plays: one event for each passage, where it sounds; what was fine is flagged no more."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from test_live_chops_daemon import OUTPUTS, play
from test_live_flags import dropped, hiss, music
from tiny_models import tiny_flagger, tiny_live4

from bridge.config import Audio, Config, Osc
from bridge.daemon import Daemon
from bridge.osc_client import OscClient
from streaming.engine import Engine
from streaming.errors import EngineError, RequestError
from streaming.host import LaneHost
from streaming.lane import Event, EventKind, Lane
from streaming.process import EngineProcess, Listeners

RATE = 44100
NEAR_S = 0.4
"""A segment of the tiny model hears 0.64 s."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def separator(folder: Path) -> Path:
    return tiny_live4(folder / "tiny.onnx", counting=True)


@pytest.fixture(scope="module")
def flagger(folder: Path) -> Path:
    return tiny_flagger(folder / "tiny-flags.onnx")


@pytest.fixture
def lane() -> Iterator[Lane]:
    made = Lane.create(RATE, 2, 8192, OUTPUTS, 512)
    made.header["flags_on"] = 1
    yield made
    made.close()
    made.unlink()


def heard(lane: Lane) -> list[Event]:
    """The flags so far, when the engine has come round often enough to have heard all that was played."""
    for _ in range(5):
        last, limit = int(lane.counters["heartbeat_ns"]), time.monotonic() + 10
        while lane.counters["heartbeat_ns"] == last:
            assert time.monotonic() < limit
            time.sleep(0.001)
    return [event for event in lane.read_events() if event.kind == EventKind.FLAG]


def assert_flags(found: list[Event], *wanted: tuple[str, float, float]) -> None:
    assert [flag.label for flag in found] == [kind for kind, *_ in wanted]
    for flag, (kind, start, end) in zip(found, wanted, strict=True):
        near = 0.002 if kind == "dropout" else NEAR_S
        assert abs(flag.start / RATE - start) <= near
        assert abs(flag.end / RATE - end) <= near


@pytest.mark.parametrize("sizes", [[512], [1, 8192, 3, 700]], ids=str)
def test_each_passage_is_one_event_and_the_output_stays_to_the_bit(
    lane: Lane, separator: Path, flagger: Path, sizes: list[int]
) -> None:
    audio = dropped(hiss(music(9), 2.0, 3.5), 6.0, 6.03)
    engine = EngineProcess(lane, separator, Listeners(flags=flagger))
    try:
        engine.start()
        stems = play(lane, audio, sizes)
        flags = heard(lane)
        assert_flags(flags, ("noise", 2.0, 3.5), ("dropout", 6.0, 6.03))
        assert all(0.5 <= flag.score <= 1 and 0 <= flag.value <= 0.5 for flag in flags)
        assert all(0 <= flag.low_hz < flag.high_hz <= RATE / 2 for flag in flags)
        assert lane.statistics()["misses"] == 0
        host_latency = int(lane.header["host_latency"])
    finally:
        engine.stop()
    reference = Engine(separator)
    reference.prepare(RATE, 8192, 2)
    length = audio.shape[1]
    wanted = np.concatenate([reference.process(audio[:, i : i + 8192])[1].copy() for i in range(0, length, 8192)], 2)
    wanted = wanted[:, :, reference.latency_samples :]
    np.testing.assert_array_equal(stems[:, :, host_latency:], wanted[:, :, : length - host_latency])


def test_switched_off_and_on_and_the_threshold_and_what_is_not_a_number(lane: Lane, flagger: Path) -> None:
    engine = EngineProcess(lane, None, Listeners(flags=flagger))
    odd, broken = hiss(music(5), 1.0, 2.5), np.zeros((2, 4 * RATE), np.float32)
    broken[:, 100] = np.nan
    broken[0, 20000] = np.inf
    try:
        engine.start()
        host = LaneHost(lane, 512)
        lane.header["flags_on"] = 0
        play(lane, odd, [512], host)
        assert heard(lane) == []
        lane.header["flags_on"] = 1
        play(lane, broken, [512], host)
        assert heard(lane) == []
        play(lane, odd, [512], host)
        assert_flags(heard(lane), ("noise", 10.0, 11.5))
        faint = hiss(music(5), 1.0, 3.0, gain=0.009)
        play(lane, faint, [512], host)
        assert heard(lane) == []
        lane.header["flags_threshold"] = 0.5
        play(lane, faint, [512], host)
        assert [flag.label for flag in heard(lane)] == ["noise"]
    finally:
        engine.stop()


def test_what_was_fine_is_read_when_it_changes(lane: Lane, flagger: Path, tmp_path: Path) -> None:
    from streaming.flagger import Flagger

    fine = tmp_path / "tiny.fine.npz"
    engine = EngineProcess(lane, None, Listeners(flags=flagger, fine=fine))
    odd = hiss(music(5), 1.0, 2.5)
    listener = Flagger(flagger)
    listener.prepare(RATE, 2)
    embeddings = np.stack([step.embedding for step in listener.process(odd, 0)])
    try:
        engine.start()
        host = LaneHost(lane, 512)
        play(lane, odd, [512], host)
        assert len(heard(lane)) == 1
        np.savez(fine, embeddings=embeddings, passages=np.ones(len(embeddings)))
        lane.header["fine_version"] = 1
        heard(lane)
        play(lane, odd, [512], host)
        assert heard(lane) == []
        fine.unlink()
        lane.header["fine_version"] = 2
        heard(lane)
        play(lane, odd, [512], host)
        assert len(heard(lane)) == 1
    finally:
        engine.stop()


def test_a_take_over_tells_nothing_twice(lane: Lane, separator: Path, flagger: Path) -> None:
    first, second = (EngineProcess(lane, separator, Listeners(flags=flagger)) for _ in range(2))
    period, found, played, left = 4.0, [], 0, 3
    audio = hiss(music(period), 1.0, 2.0)
    try:
        first.start()
        host = LaneHost(lane, 512)
        taking_over = threading.Thread(target=second.start)
        while left:
            play(lane, audio, [512], host)
            played += 1
            if played == 2:
                taking_over.start()
                time.sleep(0.2)
            left -= lane.header["owner"] == 2
            found += [event for event in lane.read_events() if event.kind == EventKind.FLAG]
        taking_over.join()
        play(lane, music(2.0), [512], host)
        found += heard(lane)
    finally:
        second.stop()
        first.stop()
    places = [round((flag.start / RATE - 1.0) / period) for flag in found]
    assert len(places) == len(set(places)), f"told twice: {places}"
    assert set(places) >= {0, played - 1}
    for place, flag in zip(places, found, strict=True):
        late = flag.start / RATE - 1.0 - period * place
        # The second engine knows nothing from before it took over, which may have been amid a passage of a second.
        amid = place not in (0, played - 1)
        assert -NEAR_S <= late <= NEAR_S + amid * 1.0


# The rest asks a whole daemon over OSC.

LOOP_S = 5.0
HISS = (1.0, 2.2)
DROPOUT = (3.5, 3.52)


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "loop.wav"
    soundfile.write(path, dropped(hiss(music(LOOP_S), *HISS), *DROPOUT).T, RATE, subtype="FLOAT")
    return path


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the daemon and its worker keep what was fine."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


def config(loop: Path, separator: Path, flags: Path | str) -> Config:
    return Config(
        model=str(separator),
        flags=str(flags),
        history_s=30,
        audio=Audio(file=loop, loop=True, block=256),
        osc=Osc(port=0),
    )


def collect(client: OscClient, count: int, seconds: float = 30.0, kind: str = "") -> list[list[Any]]:
    end, flags = time.monotonic() + seconds, []
    while len(flags) < count:
        assert time.monotonic() < end, f"only {len(flags)} came"
        event = client.event(0.5)
        if event and event[0] == "/sidechop/event/flag" and kind in ("", event[1][5]):
            flags.append(event[1])
    return flags


def assert_in_loop(flags: list[list[Any]]) -> None:
    for position, end, rate, score, p_value, kind, low_hz, high_hz in flags:
        assert rate == RATE
        start_s, end_s = HISS if kind == "noise" else DROPOUT
        near = NEAR_S if kind == "noise" else 0.002
        assert abs(position / RATE % LOOP_S - start_s) <= near
        assert abs((end - position) / RATE - (end_s - start_s)) <= 2 * near
        assert 0.5 <= score <= 1
        assert 0 < p_value <= 0.5
        assert 0 <= low_hz < high_hz <= RATE / 2


def test_flags_are_pushed_and_what_was_fine_is_not(loop: Path, separator: Path, flagger: Path) -> None:
    with (
        Daemon(config(loop, separator, flagger)) as daemon,
        OscClient(*daemon.server.address, timeout_s=20) as client,
    ):
        client.request("/sidechop/subscribe", "flags", 60.0)
        flags = collect(client, 4)
        assert_in_loop(flags)
        assert {flag[5] for flag in flags} == {"noise", "dropout"}
        assert daemon.flags.count >= 4
        assert daemon.flags.last is not None
        noise = collect(client, 1, kind="noise")[0]
        dropout = next(flag for flag in flags if flag[5] == "dropout")
        client.request("/sidechop/flag/live/fine", noise[0], True)
        time.sleep(LOOP_S + 3)  # what was under way
        while client.event(0.01):
            pass
        assert {flag[5] for flag in collect(client, 2)} == {"dropout"}
        client.request("/sidechop/flag/live/fine", noise[0], False)
        assert collect(client, 1, kind="noise")
        for position, on, words in (
            (dropout[0], True, "a dropout is measured, not learned"),
            (noise[0], False, "was not called fine"),
            (2**50, True, "no flag was told"),
        ):
            with pytest.raises(RequestError, match=words):
                client.request("/sidechop/flag/live/fine", position, on)
        os.kill(int(daemon.engine.pid or 0), signal.SIGKILL)
        assert_in_loop(collect(client, 2))


def test_live_flags_are_switched_on_and_off(
    loop: Path, separator: Path, flagger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.daemon.LIVE_FLAGGER", str(flagger))
    with (
        Daemon(config(loop, separator, "off")) as daemon,
        OscClient(*daemon.server.address, timeout_s=20) as client,
    ):
        first = daemon.engine.pid
        client.request("/sidechop/subscribe", "flags", 60.0)
        client.request("/sidechop/flag/live", True)
        assert daemon.engine.pid != first
        assert daemon.listens_for_flags
        assert_in_loop(collect(client, 2))
        client.request("/sidechop/flag/live", False)
        while client.event(0.5):
            pass
        assert client.event(LOOP_S + 1) is None
        client.request("/sidechop/flag/threshold", 0.001)
        assert daemon.flags.threshold == pytest.approx(0.001)
        with pytest.raises(RequestError, match=r"from 0 to 0\.5"):
            client.request("/sidechop/flag/threshold", 0.7)
        assert daemon.engine.restarts == 0


def test_a_model_for_flags_that_does_not_fit_ends_the_start(loop: Path, separator: Path) -> None:
    with pytest.raises(EngineError, match="stft-hop"):
        Daemon(config(loop, separator, separator)).start()
