"""How scripts reach the daemon: the helper and its files, a daemon started, or ended; settings, monitor."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from reaper_api import Api
from reaper_script import SCRIPTS, Script, lua54, run
from reaper_session import Session, free_port, session, write_clip
from tiny_models import tiny_live4

from bridge.config import Audio, Config, Osc
from bridge.daemon import Daemon
from bridge.osc_client import NoAnswerError, OscClient
from bridge.osc_packet import read_packet, write_message
from bridge.osc_server import OscServer
from bridge.osc_table import REQUESTS
from bridge.relay import relay as relay_module
from bridge.relay.daemon_start import without_audio
from bridge.relay.mailbox import Mailbox, frame, held, unframe
from bridge.relay.relay import Relay, serve

CHECK, MONITOR, SETTINGS, CHOP = "Check connection", "Stem monitor", "Settings", "Chop selected items"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("media") / "a clip.wav")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Iterator[Daemon]:
    model = tiny_live4(tmp_path_factory.mktemp("model") / "tiny.onnx")
    source = Audio(file=clip, loop=True, block=1024)
    with Daemon(Config(model=str(model), history_s=0, audio=source, osc=Osc(port=0))) as daemon:
        running = threading.Thread(target=daemon.run)
        running.start()
        yield daemon
        daemon.request_stop()
        running.join()


@pytest.fixture(scope="module")
def reaper(tmp_path_factory: pytest.TempPathFactory, daemon: Daemon) -> Iterator[Session]:
    with session(tmp_path_factory.mktemp("reaper"), daemon.server.address[1]) as opened:
        yield opened


class Post:
    """A client of a mailbox, in Python."""

    def __init__(self, folder: Path, name: str = "tester") -> None:
        self.folder, self.name, self.sent, self.heard = folder, name, 0, 0
        folder.mkdir(parents=True, exist_ok=True)

    def send(self, *packets: bytes) -> None:
        self.sent += 1
        path = self.folder / f"{self.name}-{self.sent}.out"
        (aside := path.with_suffix(".part")).write_bytes(frame(packets))
        aside.replace(path)

    def read(self, count: int, limit_s: float = 30.0) -> list[tuple[str, list[object]]]:
        messages: list[tuple[str, list[object]]] = []
        end = time.monotonic() + limit_s
        while len(messages) < count:
            assert time.monotonic() < end, messages
            path = self.folder / f"{self.name}-{self.heard + 1}.in"
            if path.exists():
                self.heard += 1
                messages += [message for packet in unframe(path.read_bytes()) for message in read_packet(packet)]
                path.unlink()
            time.sleep(0.002)
        return messages


@pytest.fixture
def post(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    """A mailbox of its own with a relay in this process."""
    monkeypatch.setattr(relay_module, "IDLE_S", 0.2)
    folder = tmp_path / "mail"
    thread = threading.Thread(target=serve, args=(folder, *daemon.server.address, None))
    client = Post(folder)
    client.send(write_message("/sidechop/ping", (), id=1))
    thread.start()
    assert client.read(1)[0][0] == "/sidechop/done"
    yield client
    (folder / "tester.end").touch()
    (folder / "other.end").touch()
    thread.join(20)
    assert not thread.is_alive()
    assert {path.name for path in folder.iterdir()} == {"lock"}  # nothing is left but the lock


def test_a_relay_passes_datagrams_on_in_their_order(post: Post) -> None:
    for start in (10, 20, 30):
        post.send(*(write_message("/sidechop/ping", (), id=start + i) for i in range(5)))
    answers = post.read(15)
    assert [arguments[0] for _, arguments in answers] == [start + i for start in (10, 20, 30) for i in range(5)]
    other = Post(post.folder, "other")
    other.send(write_message("/sidechop/subscribe", ("levels", 5.0), id=1))
    kinds = {address for address, _ in other.read(4)}
    assert kinds == {"/sidechop/done", "/sidechop/event/levels"}
    post.send(b"not OSC", write_message("/sidechop/ping", (), id=99))
    assert [arguments[0] for _, arguments in post.read(1)] == [99]


def test_one_relay_serves_a_folder(post: Post, daemon: Daemon) -> None:
    assert serve(post.folder, *daemon.server.address, None) is False
    command = [sys.executable, "-m", "bridge.cli", "osc", "--relay", str(post.folder)]
    assert subprocess.run(command, timeout=60, check=True).returncode == 0
    with held(post.folder / "other lock") as first, held(post.folder / "other lock") as second:
        assert (first, second) == (True, False)
    (post.folder / "other lock").unlink()


def test_a_relay_says_that_there_is_no_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "IDLE_S", 0.1)
    client, port = Post(tmp_path / "mail"), free_port()
    thread = threading.Thread(target=serve, args=(client.folder, "127.0.0.1", port, None))
    thread.start()
    for _ in range(2):  # it looks again whenever it is asked
        client.send(write_message("/sidechop/status", (), id=7))
        ((address, arguments),) = client.read(1)
        assert (address, arguments[0]) == ("/sidechop/error", 7)
        assert f"no daemon on port {port}" in str(arguments[1])
    (client.folder / "tester.end").touch()
    thread.join(20)


def test_a_daemon_that_cannot_start_is_told_in_its_own_words(tmp_path: Path) -> None:
    client, port = Post(tmp_path / "mail"), free_port()
    relay = Relay(client.folder, "127.0.0.1", port, "--reastream --model none-such")
    client.send(write_message("/sidechop/status", (), id=7))
    messages: list[tuple[str, list[object]]] = []
    end = time.monotonic() + 60
    while not messages or messages[-1][0] != "/sidechop/error":  # after the progress of the start
        assert time.monotonic() < end
        relay.turn()
        if (client.folder / f"tester-{client.heard + 1}.in").exists():
            messages += client.read(1)
    relay.close()
    assert "the daemon did not start" in str(messages[-1][1][1])
    assert "no model is named 'none-such'" in str(messages[-1][1][1])


def test_without_live_audio_files_are_worked_on_all_the_same(tmp_path: Path, clip: Path) -> None:
    """The address that ReaStream needs may be taken, or not be there, as on macOS."""
    port = free_port()
    with session(tmp_path, port, f"--file '{tmp_path}/none.wav' --model pass-through --history-s 0") as opened:
        api = opened.project()
        api.project.add_item(api.project.add_track(), clip, 0.0, 5.0)
        try:
            run(api, CHECK)
            assert f"answers on port {port}" in api.messages[0]
            assert "no live audio: " in api.messages[0]
            assert "none.wav: no such file" in api.messages[0]
            run(api, CHOP)
            assert len(api.project.state.markers) >= 2
        finally:
            with OscClient("127.0.0.1", port, timeout_s=10) as client:
                client.request("/sidechop/quit")


def test_words_of_audio_are_left_out() -> None:
    words = ["--reastream", "--rate", "48000", "--block=64", "--token", "a", "--file", "x y", "--model=m", "--loop"]
    assert without_audio(words) == ["--token", "a", "--model=m"]


def test_what_clients_of_long_ago_left_is_swept(tmp_path: Path) -> None:
    import os

    for name in ("old-1.out", "old-2.in", "old.end", "other.txt", "new-1.in"):
        (tmp_path / name).touch()
    for name in ("old-1.out", "old-2.in", "old.end", "other.txt"):
        os.utime(tmp_path / name, (0, 0))
    Mailbox(tmp_path).sweep()
    assert {path.name for path in tmp_path.iterdir()} == {"other.txt", "new-1.in"}


def wait_until_gone(client: OscClient) -> None:
    for _ in range(200):
        try:
            client.request("/sidechop/ping")
        except NoAnswerError:
            return
        time.sleep(0.1)
    pytest.fail("the daemon is still there")


@pytest.mark.parametrize("sockets", [False, True], ids=["files", "sockets"])
def test_a_daemon_is_started_where_none_runs(tmp_path: Path, clip: Path, sockets: bool) -> None:
    """From nothing to markers; the next action finds it running, and it is asked to quit like any other."""
    port = free_port()
    with session(tmp_path, port, f"--file '{clip}' --loop --model pass-through --history-s 0") as opened:
        api = opened.project()
        api.project.add_item(api.project.add_track(), clip, 0.0, 5.0)
        try:
            run(api, CHOP, sockets=sockets)
            assert api.messages == []
            assert len(api.project.state.markers) >= 2
            (line,) = set(api.commands)  # a slow machine may be asked twice
            assert line.startswith(f'"{tmp_path}/a program/sidechop" "osc" "--relay" ')
            run(api, CHECK, sockets=sockets)
            assert set(api.commands) == {line}
            assert f"answers on port {port}, by {'a socket' if sockets else 'files'}" in api.messages[0]
        finally:
            with OscClient("127.0.0.1", port, timeout_s=10) as client:
                client.request("/sidechop/quit")
        with OscClient("127.0.0.1", port, timeout_s=0.5) as client:
            wait_until_gone(client)


def test_a_program_that_is_not_there_is_named(tmp_path: Path, clip: Path) -> None:
    with session(tmp_path, free_port()) as opened:
        api = opened.project(command="/nowhere/sidechop")
        api.project.add_item(api.project.add_track(), clip, 0.0, 5.0)
        for name in (CHOP, CHECK, MONITOR):
            run(api, name)
            assert "/nowhere/sidechop cannot be started. Run 'sidechop install reaper'" in api.messages[-1]
        assert api.project.undo_steps == []


def test_a_port_that_another_program_has_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with session(tmp_path, port, f"--file '{tmp_path}/none.wav' --model pass-through") as opened:
            api = opened.project()
            run(api, CHECK, sockets=True)  # which says nothing: then the helper is asked
            assert f"UDP port {port} is taken by another program" in api.messages[0]


def test_what_is_lost_on_the_way_is_missed(tmp_path: Path, clip: Path) -> None:
    """A server that promises more than it sends, as UDP may lose some."""
    own = ("subscribe", "unsubscribe", "authorise", "cancel")
    answers: dict[str, tuple[Any, ...]] = {"/sidechop/status": ('{"lane": "a"}',), "/sidechop/chop/file": (1, 3, 44100)}

    def answer(address: str, *_: object) -> tuple[Any, ...]:
        return answers.get(address, ())

    names = [message.address for message in REQUESTS if message.address[10:] not in own]
    handlers = {name: partial(answer, name) for name in names}
    server = OscServer(handlers, "127.0.0.1", 0)
    server.start()
    try:
        with session(tmp_path, server.address[1]) as opened:
            api = opened.project()
            api.project.add_item(api.project.add_track(), clip, 0.0, 5.0)
            api.project.settle()
            run(api, CHOP, sockets=True)
    finally:
        server.close()
    assert "lost on the way; run it again" in api.messages[0]
    assert api.project.undo_steps == []


def test_a_daemon_gets_the_rate_and_the_buffer_of_the_device(tmp_path: Path) -> None:
    with session(tmp_path, free_port()) as opened:
        api = opened.project(command="/nowhere/sidechop")
        for device, words, wanted in (
            ({}, "--reastream", "--reastream"),
            ({"SRATE": "44100", "BSIZE": "128"}, "--reastream", "--reastream --rate 44100 --block 128"),
            ({"SRATE": "192000", "BSIZE": "512"}, "--reastream --block 64", "--reastream --block 64"),
            ({"SRATE": "44100", "BSIZE": "128"}, "--input Scarlett", "--input Scarlett"),
        ):
            api.device, api.ext["Sidechop", "daemon"] = device, words
            run(api, CHECK)
            assert api.commands[-1].endswith(f'"--start={wanted}"')


def test_a_token_is_shown_and_a_wrong_one_told(reaper: Session, clip: Path, tmp_path: Path) -> None:
    model = tiny_live4(tmp_path / "tiny.onnx")
    osc = Osc(port=0, token="sesame")
    with Daemon(Config(model=str(model), history_s=0, audio=Audio(file=clip, loop=True), osc=osc)) as guarded:
        port = str(guarded.server.address[1])
        for sockets in (True, False):
            folder = tmp_path / str(sockets)
            with session(folder, int(port)) as opened:
                api = opened.project(token="sesame")
                run(api, CHECK, sockets=sockets)
                assert "answers on port" in api.messages[-1]
                api.ext["Sidechop", "token"] = "please"
                run(api, CHECK, sockets=sockets)
                assert "token" in api.messages[-1]


def test_settings_are_asked_for_until_they_fit(reaper: Session) -> None:
    api = reaper.project()
    api.answers = [None]
    run(api, SETTINGS)
    _, captions, values = api.asked[0]
    fields = values.split("\n")
    assert len(fields) == captions.count(",") - 1  # less the two extras, plus one
    labels = captions.split(",")

    def put(label: str, text: str) -> None:
        fields[next(i for i, name in enumerate(labels) if name.startswith(label))] = text

    put("Chops become", "confetti")
    put("Number of chops", "many")
    put("Port", "0")
    wrong = "\n".join(fields)
    put("Chops become", "splits ")
    put("Number of chops", "8")
    put("Port", "9191")
    api.answers = [wrong, "\n".join(fields)]
    run(api, SETTINGS)
    (problems,) = api.messages
    assert len(problems.splitlines()) == 3
    assert 'got "confetti", expected one of markers, take markers, splits, regions' in problems
    assert api.asked[-1][2].startswith("confetti\nmany\n")  # what was typed is there again
    assert api.ext["Sidechop", "chop_as"] == "splits"
    assert (api.ext["Sidechop", "chop_count"], api.ext["Sidechop", "port"]) == ("8", "9191")


def pure_faders() -> Any:
    """`faders.lua`, for where things lie."""
    lua = lua54.LuaRuntime(unpack_returned_tuples=True)
    lua.execute(f'package.path = "{SCRIPTS}/lib/?.lua"')
    return lua.eval('(require("faders"))')


def test_faders_move_the_engines(reaper: Session, daemon: Daemon) -> None:
    """Drag, double-click, mute, solo, close; levels come in."""
    api = reaper.project()
    script = Script(api, MONITOR)
    controls = daemon.lane.controls
    script.wait(until=lambda: "vocals" in script.drawn, limit_s=30)
    faders = pure_faders()
    strips = faders.layout(4, script.gfx.w, script.gfx.h)
    drums = strips[2].fader
    script.press(drums[1] + 3, drums[2] + 100, True)
    script.press(drums[1] + 3, faders.y_of(drums, -20.0), True)
    script.press(drums[1] + 3, faders.y_of(drums, -20.0), False)
    script.wait(until=lambda: abs(controls.gain_db("drums") + 20.0) < 0.01, limit_s=30)
    assert "-20.0" in script.drawn
    for _ in range(20):  # a busy machine may be too slow for one
        time.sleep(0.4)
        for _ in range(2):
            script.click(drums[1] + 3, drums[2] + 100)
        end = time.monotonic() + 1.0
        script.wait(until=lambda end=end: controls.gain_db("drums") == 0.0 or time.monotonic() > end)
        if controls.gain_db("drums") == 0.0:
            break
    assert controls.gain_db("drums") == 0.0
    for part, state in (("mute", controls.mute), ("solo", controls.solo)):
        box = strips[3][part]
        for wanted in (True, False):
            script.click(box[1] + 3, box[2] + 3)
            script.wait(until=lambda state=state, wanted=wanted: state("bass") == wanted, limit_s=30)
    assert script.running
    script.key = 27
    script.wait(limit_s=5)
    assert api.messages == []


def test_a_status_asked_before_a_click_does_not_undo_it(tmp_path: Path) -> None:
    """A server that takes long to say how things were before a click: the next click takes the first one back."""
    muted, statuses = [False], 0
    asked, free = threading.Event(), threading.Event()

    def status() -> tuple[str]:
        nonlocal statuses
        statuses += 1
        told = json.dumps({"stems": [{"name": "bass", "gain_db": 0.0, "mute": muted[-1], "solo": False}]})
        if statuses == 2:
            asked.set()
            free.wait(30)
        return (told,)

    def mute(_: str, on: bool) -> tuple[()]:
        muted.append(on)
        return ()

    own = ("subscribe", "unsubscribe", "authorise", "cancel")
    handlers: dict[str, Any] = {
        message.address: lambda *_: () for message in REQUESTS if message.address[10:] not in own
    }
    server = OscServer({**handlers, "/sidechop/status": status, "/sidechop/stem/mute": mute}, "127.0.0.1", 0)
    server.start()
    try:
        with session(tmp_path, server.address[1]) as opened:
            script = Script(opened.project(), MONITOR, sockets=True)
            script.wait(until=lambda: "bass" in script.drawn and asked.is_set(), limit_s=30)
            box = pure_faders().layout(1, script.gfx.w, script.gfx.h)[1].mute
            script.click(box[1] + 3, box[2] + 3)
            free.set()
            script.wait(until=lambda: len(muted) == 2, limit_s=30)
            script.turn()  # the status was sent before: it is heard now
            script.click(box[1] + 3, box[2] + 3)
            script.wait(until=lambda: len(muted) == 3, limit_s=30)
            script.end()
    finally:
        free.set()
        server.close()
    assert muted == [False, True, False]


def test_a_daemon_that_ends_is_told_by_the_monitor(tmp_path: Path, clip: Path) -> None:
    model = tiny_live4(tmp_path / "tiny.onnx")
    osc = Osc(port=0)
    with Daemon(Config(model=str(model), history_s=0, audio=Audio(file=clip, loop=True), osc=osc)) as short_lived:
        opened = session(tmp_path / "reaper", short_lived.server.address[1])
        with opened as reaper:
            api: Api = reaper.project()
            script = Script(api, MONITOR, sockets=True)
            script.wait(until=lambda: "vocals" in script.drawn, limit_s=30)
            short_lived.stop()
            script.wait(limit_s=30)
            assert "the daemon ended" in api.messages[0]
