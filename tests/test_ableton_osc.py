"""AbletonOSC's protocol, answered ten times a second by a fake Live: cue points, and every trap on the way to them."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run
from live_fake import TICK_S, Song

from bridge.daws import ableton_osc
from bridge.daws.ableton_osc import AbletonOsc
from bridge.daws.daw import DawError, Marker
from bridge.osc_packet import read_packet, write_message


class AbletonOscFake:
    """The script's own server: looks at its socket at each tick, answers floats as float32 to one fixed port."""

    def __init__(self, song: Song, reply_port: int, old: bool = False) -> None:
        self.song, self._reply_port = song, reply_port
        self.received: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._handlers: dict[str, Callable[..., tuple[Any, ...] | None]] = {
            "/live/test": lambda: ("ok",),
            "/live/song/get/tempo": lambda: (song.tempo,),
            "/live/song/get/is_playing": lambda: (song.is_playing,),
            "/live/song/get/current_song_time": lambda: (song.current_song_time,),
            "/live/song/set/current_song_time": lambda beats: setattr(song, "current_song_time", beats),
            "/live/song/get/cue_points": lambda: tuple(v for cue in song.cue_points for v in (cue.name, cue.time)),
            "/live/song/cue_point/add_or_delete": lambda: None if old else song.set_or_delete_cue(),
            "/live/song/cue_point/set/name": self._name,
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _name(self, index: int, name: str) -> None:
        self.song.cue_points[index].name = name

    def _run(self) -> None:
        while not self._stop.wait(TICK_S / 4):  # four times as fast as Live, in all: the test need not take as long
            self.song.tick()
            while True:
                try:
                    data, sender = self._socket.recvfrom(65536)
                except BlockingIOError:
                    break
                ((address, values),) = read_packet(data, 65536)
                self.received.append(address)
                try:
                    answer = self._handlers[address](*values)
                except (AttributeError, IndexError):
                    continue  # it writes them to its log
                if answer is not None:
                    self._socket.sendto(write_message(address, answer), (sender[0], self._reply_port))


@contextmanager
def serving(song: Song, reply_port: int, old: bool = False) -> Iterator[AbletonOscFake]:
    server = AbletonOscFake(song, reply_port, old)
    server._thread.start()
    try:
        yield server
    finally:
        server._stop.set()
        server._thread.join()
        server._socket.close()


@pytest.fixture
def reply_port(monkeypatch: pytest.MonkeyPatch) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    monkeypatch.setattr(ableton_osc, "REPLY_PORT", port)
    return port


def float32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


@pytest.mark.parametrize("version", [11, 12])
def test_cue_points_lie_at_their_beats_round_those_that_are_there(reply_port: int, version: int) -> None:
    song = Song(version)
    song.tempo = 93.0
    for beats in (40.0, 3.1):  # made in this order, which is Live's
        song._time = beats
        song.set_or_delete_cue()
    song._time = 7.5
    seconds = [2.1, 0.25, 40.0 * 60 / 93, 11.123456]
    with serving(song, reply_port) as server, AbletonOsc(port=server.port) as live:
        assert live.place([Marker(s, f"{i} é") for i, s in enumerate(seconds)]) == 3
        assert live.place([Marker(3.1, "there", "beats")]) == 0
        head = live.playhead()
    song.tick()
    assert (head.position, head.unit, head.rolling, head.tempo) == (7.5, "beats", False, 93.0)
    assert song.current_song_time == 7.5
    wanted = sorted([40.0, 3.1, *(s * 93 / 60 for s in seconds if s != seconds[2])])
    assert np.allclose(sorted(cue.time for cue in song.cue_points), wanted, rtol=0, atol=1e-12), "not as float32"
    names = {round(cue.time, 6): cue.name for cue in song.cue_points}
    assert names[round(2.1 * 93 / 60, 6)] == ("0 é" if version == 12 else "3")
    assert names[40.0] == "1"


def test_a_playing_live_is_left_alone(reply_port: int) -> None:
    song = Song()
    song.is_playing = True
    with serving(song, reply_port) as server, AbletonOsc(port=server.port) as live:
        with pytest.raises(DawError, match="Live is playing"):
            live.place([Marker(1.0, "no")])
        assert live.playhead().rolling
        assert not any("set" in address for address in server.received)
    assert song.cue_points == []


def test_what_it_cannot_do_is_said(reply_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ableton_osc, "SETTLE_S", 0.3)
    song = Song()
    song._time = 5.0
    with serving(song, reply_port, old=True) as server, AbletonOsc(port=server.port) as live:
        with pytest.raises(DawError, match="begins at 0"):
            live.place([Marker(-1.0, "before")])
        with pytest.raises(DawError, match="has not set the cue point; it may be too old"):
            live.place([Marker(1.0, "never")])
        with pytest.raises(DawError, match=f"answers to UDP port {reply_port}, which is taken"):
            AbletonOsc(port=server.port)
    with serving(song, reply_port) as server, AbletonOsc(port=server.port) as live:
        for address, answer in (
            ("tempo", ("fast",)),
            ("tempo", ()),
            ("cue_points", ("a", 1.0, "b")),
            ("cue_points", (1, "a")),
        ):
            server._handlers[f"/live/song/get/{address}"] = lambda answer=answer: answer
            with pytest.raises(DawError, match="expected"):
                live.place([Marker(1.0, "no")])
            server._handlers["/live/song/get/tempo"] = lambda: (120.0,)
    monkeypatch.setattr("bridge.daws.osc_link.TIMEOUT_S", 0.2)
    with pytest.raises(DawError, match=r"AbletonOSC does not answer at 127\.0\.0\.1:9: is it open"):
        AbletonOsc(port=9)
    song.tick()
    assert song.current_song_time == 5.0


def test_results_are_placed_from_where_the_playhead_stands(
    reply_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """``sidechop markers`` without an offset."""
    song = Song()
    song._time = 16.0
    results = tmp_path / "results.json"
    results.write_text('{"items": [{"kind": "chop", "start_s": 0.5, "label": "onset"}]}')
    with serving(song, reply_port) as server:
        assert run(monkeypatch, "markers", results, "--to", f"ableton-osc:{server.port}") == 0
    assert capfd.readouterr().out == "→ Ableton Live: 1 marker\n"
    assert [(cue.time, cue.name) for cue in song.cue_points] == [(17.0, "1 onset")]


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "is empty"), ("{", "is not JSON"), ("[1]", "these are no results"), ('{"items": [{"kind": "chop"}]}', "no")],
)
def test_what_is_no_result_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    results = tmp_path / "results.json"
    results.write_text(text)
    assert run(monkeypatch, "markers", results, "--to", "ableton-osc:9", "--offset", 0) == 1
    error = capfd.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert run(monkeypatch, "markers", results) == 1
    assert "name a DAW with --to" in capfd.readouterr().err
