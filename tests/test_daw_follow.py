"""Chops of what is being played on a DAW's timeline: told by the DAW, or asked of a real Ardour."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import tool_is_missing, wait_for
from tiny_models import tiny_curves, tiny_live4

from benchmarks.ardour_host import OSC_PORTS, ArdourHost, missing_tool
from bridge.config import Audio, Config, DawFollow, Osc
from bridge.daemon import Daemon
from bridge.daws.ardour import Ardour
from bridge.daws.daw import DawError
from bridge.daws.follower import ArdourThatMayStart
from bridge.daws.osc_link import is_listening
from bridge.daws.reaper_osc import ReaperFollower
from bridge.osc_client import OscClient
from bridge.osc_packet import write_message
from bridge.transport import Playhead
from streaming.errors import RequestError

RATE = 44100
BLOCK = 256
ARDOUR_BLOCK = 1024
"""Its playhead moves in steps of these, on a clock of its own."""
BEATS = (11025, 30870)
"""Clicks in a second of audio that is played over and over."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("follow")
    clicks = np.zeros((RATE, 2), np.float32)
    clicks[list(BEATS)] = 0.8
    soundfile.write(folder / "loop.wav", clicks, RATE, subtype="FLOAT")
    tiny_live4(folder / "tiny.onnx", counting=True)
    tiny_curves(folder / "tiny-chops.onnx", "frame-hop")
    return folder


def config(folder: Path, **daw: Any) -> Config:
    return Config(
        model=str(folder / "tiny.onnx"),
        chops=str(folder / "tiny-chops.onnx"),
        history_s=5,
        audio=Audio(file=folder / "loop.wav", loop=True, block=BLOCK),
        osc=Osc(port=0),
        daw=DawFollow(**daw),
    )


@pytest.fixture
def daemon(folder: Path) -> Iterator[Daemon]:
    with Daemon(config(folder)) as daemon:
        running = threading.Thread(target=daemon.run)
        running.start()
        yield daemon
        daemon.request_stop()
        running.join()


@pytest.fixture
def client(daemon: Daemon) -> Iterator[OscClient]:
    with OscClient(*daemon.server.address, timeout_s=10.0) as client:
        yield client


def tell(client: OscClient, daemon: Daemon, origin: int, start: float, rolling: bool, tempo: float = 0.0) -> None:
    """A DAW on the session's own clock: at ``start`` when the session had heard ``origin`` samples."""
    gone_s = (int(daemon.lane.counters["in_written"]) - origin) / RATE if rolling else 0.0
    position = start + gone_s * (tempo / 60 if tempo else 1.0)
    unit = "beats" if tempo else "seconds"
    client.request("/sidechop/transport", position, unit, rolling, tempo, 0.0, 0.0)


def markers(client: OscClient, timeout_s: float = 0.05) -> list[list[Any]]:
    found = []
    while event := client.event(timeout_s):
        if event[0] == "/sidechop/event/marker":
            found.append(event[1])
    return found


@pytest.mark.parametrize("tempo", [0.0, 126.5])
def test_chops_are_told_on_the_timeline_of_a_daw_that_tells_its_playhead(
    daemon: Daemon, client: OscClient, tempo: float
) -> None:
    """In seconds, or in beats: where the DAW was when the chop was heard, to the block that one counter is late."""
    client.request("/sidechop/subscribe", "markers", 60.0)
    tell(client, daemon, 0, 100.0, False, tempo)
    time.sleep(1.2)
    assert markers(client) == [], "it does not roll"
    origin, found = int(daemon.lane.counters["in_written"]), []
    end = time.monotonic() + 20
    while len(found) < 5:
        assert time.monotonic() < end
        tell(client, daemon, origin, 100.0, True, tempo)
        found += markers(client)
    per_s = tempo / 60 if tempo else 1.0
    for start, stop, unit, error_s, kind, label, score, position in found:
        assert (unit, kind, stop) == ("beats" if tempo else "seconds", "chop", start)
        assert abs(start - (100.0 + (position - origin) / RATE * per_s)) / per_s <= error_s
        assert error_s <= 1.5 * BLOCK / RATE
        assert label
        assert 0 <= score <= 1
    assert wait_for(lambda: daemon.markers.nowhere, 20.0) >= 1
    assert daemon.markers.status()["placed"] >= 5


def test_a_playhead_that_makes_no_sense_is_refused(client: OscClient) -> None:
    for values, text in (
        ((1.0, "bars", True, 120.0, 0.0, 0.0), "expected seconds or beats"),
        ((1.0, "beats", True, 0.0, 0.0, 0.0), "tempo is 0: beats need one"),
        ((1e99, "seconds", True, 0.0, 0.0, 0.0), "position is 1e\\+99"),
        ((1.0, "seconds", True), "got 3 arguments"),
    ):
        with pytest.raises(RequestError, match=text):
            client.request("/sidechop/transport", *values)


class Watch:
    """What a second look at the same Ardour sees: where it was when the session had heard so many samples."""

    def __init__(self, daemon: Daemon, ardour: Ardour) -> None:
        self._daemon, self._ardour = daemon, ardour
        self.seen: list[tuple[int, int]] = []

    def look(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            before = int(self._daemon.lane.counters["in_written"])
            sample = self._ardour.sample()
            if before == int(self._daemon.lane.counters["in_written"]):
                self.seen.append((before, sample))
            time.sleep(0.01)

    def between(self, heard: int) -> tuple[int, int]:
        """Where Ardour was then, by the look before and by the one after: they differ where one of the two halted."""
        after = next(i for i, (session, _) in enumerate(self.seen) if session >= heard)
        places = [sample + heard - session for session, sample in self.seen[max(0, after - 3) : after + 3]]
        return min(places), max(places)


def test_a_real_ardour_is_followed_and_gets_its_markers_when_it_stops(folder: Path, tmp_path: Path) -> None:
    """It rolls for two seconds. What was heard meanwhile lies where a second look saw it, and in the saved session."""
    if missing := missing_tool():
        tool_is_missing(missing)
    host = ArdourHost(tmp_path, np.zeros((1, RATE), np.float32), RATE, [])
    port = host.start()
    try:
        with Daemon(config(folder, follow="ardour", port=port)) as daemon, Ardour(port=port, rate=RATE) as ardour:
            running = threading.Thread(target=daemon.run)
            running.start()
            watch = Watch(daemon, ardour)
            with OscClient(*daemon.server.address, timeout_s=10.0) as client:
                client.request("/sidechop/subscribe", "markers", 60.0)
                wait_for(lambda: daemon.transport.last, 20.0)
                ardour._link.send("/locate", 10 * RATE, 1)
                watch.look(2.5)
                ardour._link.send("/transport_stop")
                wait_for(lambda: not ardour.playhead().rolling, 20.0)
                stopped = ardour.sample()
                wait_for(lambda: [n for n in daemon.notices_since(0)[0] if n.state == "placed"], 20.0)
                time.sleep(1.2)
                found = markers(client, 0.2)
            wait_for(lambda: ardour.sample() == stopped, 5)
            notices = [f"{n.source} {n.state} {n.text}" for n in daemon.notices_since(0)[0]]
            daemon.request_stop()
            running.join()
    finally:
        host.stop()
    assert "daw ready following Ardour" in notices
    assert len(found) >= 2
    places = sorted(sample for sample, _ in host.saved().markers)
    assert places == sorted(round(start * RATE) for start, *_ in found)
    assert 10 * RATE <= places[0] <= places[-1] <= stopped
    for start, _, _, error_s, *_, position in found:
        low, high = watch.between(position)
        near = error_s * RATE + BLOCK + ARDOUR_BLOCK
        assert low - near <= start * RATE <= high + near
    assert {name for _, name in host.saved().markers} <= {"onset", "beat", "downbeat", "phrase"}


def test_an_ardour_that_starts_is_not_asked_before_it_has_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its OSC would fall silent for good. It is looked for all the time while it starts."""
    if missing := missing_tool():
        tool_is_missing(missing)
    monkeypatch.setattr("bridge.daws.follower.LOADING_S", 6.0)
    host = ArdourHost(tmp_path, np.zeros((1, RATE), np.float32), RATE, [])
    port = next(port for port in OSC_PORTS if not is_listening("127.0.0.1", port))
    connect, said, stop = ArdourThatMayStart(port), set(), threading.Event()

    def look() -> None:
        while not stop.wait(0.01):
            try:
                connect().close()
            except DawError as error:
                said.add(str(error).split(":")[0])
            else:
                break

    looking = threading.Thread(target=look)
    looking.start()
    try:
        assert host.start() == port
        looking.join(20)
        assert not looking.is_alive(), said
    finally:
        stop.set()
        host.stop()
    assert said == {
        "Ardour does not answer at 127.0.0.1",
        "Ardour has just been started, and may still load its session",
    }


def test_a_daw_that_is_not_there_is_looked_for_and_said_once(folder: Path) -> None:
    with Daemon(config(folder, follow="ardour", port=9)) as daemon:
        wait_for(lambda: [n for n in daemon.notices_since(0)[0] if n.source == "daw"], 20.0)
        time.sleep(2.5)
        said = [n for n in daemon.notices_since(0)[0] if n.source == "daw"]
        assert [n.state for n in said] == ["lost"]
        assert "Ardour does not answer at 127.0.0.1:9" in said[0].text


def test_reapers_surface_tells_time_play_and_tempo() -> None:
    heard: list[Playhead] = []
    notes: list[tuple[str, str]] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    follower = ReaperFollower(port, heard.append, lambda state, text: notes.append((state, text)))
    follower.start()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reaper:
            end = time.monotonic() + 10
            while not (heard and heard[-1].tempo):  # what comes before the port is open is lost
                assert time.monotonic() < end
                for address, value in (("/tempo/raw", 97.5), ("/play", 1.0), ("/time", 600.1)):
                    reaper.sendto(write_message(address, (value,)), ("127.0.0.1", port))
                reaper.sendto(os.urandom(32), ("127.0.0.1", port))
                reaper.sendto(write_message("/time/str", ("10:00.1",)), ("127.0.0.1", port))
                time.sleep(0.02)
            wait_for(lambda: heard[-1].position > 600, 20.0)
    finally:
        follower.stop()
    last = heard[-1]
    assert last.rolling
    assert last.tempo == 97.5
    assert 0 < abs(last.position - 600.1) <= last.error_s < 5e-5
    assert notes == [("ready", "following REAPER")]
