"""The daemon with its real processes: controlled over OSC; whatever is killed, audio goes on and nothing is left."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
from conftest import wait_for
from tiny_models import MASKS, live4_card, tiny_live4

from bridge import engine_supervisor
from bridge.config import Audio, Config, Fader, Osc
from bridge.daemon import Daemon
from bridge.osc_client import OscClient
from streaming.errors import ModelError, RequestError, SidechopError

RATE = 44100
PEAK = 0.5
VOCALS, DRUMS, BASS = MASKS


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sine that loops without a seam, so that every meter stands still."""
    path = tmp_path_factory.mktemp("audio") / "tone.wav"
    sine = PEAK * np.sin(2 * np.pi * 441 * np.arange(RATE) / RATE)
    soundfile.write(path, np.stack([sine, sine], axis=1), RATE, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_live4(tmp_path_factory.mktemp("models") / "tiny.onnx")


def config(tone: Path, model: Path, **more: Any) -> Config:
    audio = Audio(file=tone, loop=True, block=256)
    return Config(model=str(model), audio=audio, osc=Osc(port=0), **more)


@pytest.fixture
def daemon(tone: Path, model: Path) -> Iterator[Daemon]:
    with Daemon(config(tone, model)) as daemon:
        yield daemon


@pytest.fixture
def client(daemon: Daemon) -> Iterator[OscClient]:
    with OscClient(*daemon.server.address, timeout_s=10.0) as client:
        yield client


def level(daemon: Daemon, name: str, amplitude: float) -> Callable[[], bool]:
    """Whether an output's meter stands at ``amplitude``, to within what a hop's own ripple moves it (5%)."""
    return lambda: abs(daemon.lane.meters()[name] - amplitude) <= 0.05 * amplitude + 1e-4


def assert_gone(family: list[psutil.Process], seconds: float = 2.0) -> None:
    """Python's own resource trackers end a moment after those they track."""
    wait_for(lambda: not any(process.is_running() for process in family), seconds)


def stays_wet(daemon: Daemon) -> bool:
    before = daemon.lane.statistics()["dry_s"]
    time.sleep(0.3)
    return bool(daemon.lane.statistics()["dry_s"] == before)


def lane_is_there(name: str) -> bool:
    return (Path("/dev/shm") / name).exists()


def test_osc_moves_what_is_heard(daemon: Daemon, client: OscClient) -> None:
    status = json.loads(client.request("/sidechop/status")[0])
    assert [stem["name"] for stem in status["stems"]] == ["vocals", "drums", "bass", "other"]
    assert (status["model"], status["engine"]["state"], status["audio"]["state"]) == ("tiny", "ready", "ready")
    wait_for(level(daemon, "mix", PEAK))
    client.request("/sidechop/stem/solo", "drums", True)
    wait_for(level(daemon, "mix", PEAK * DRUMS))
    client.request("/sidechop/stem/gain", "drums", -6.0206)
    wait_for(level(daemon, "mix", PEAK * DRUMS / 2))
    client.request("/sidechop/stem/solo", "drums", False)
    client.request("/sidechop/stem/mute", "vocals", True)
    wait_for(level(daemon, "mix", PEAK * (1 - VOCALS - DRUMS / 2)))
    client.request("/sidechop/mix/wet", 0.5)
    wait_for(level(daemon, "mix", PEAK * (1 - (VOCALS + DRUMS / 2) / 2)))
    client.request("/sidechop/mix/bypass", True)
    wait_for(level(daemon, "mix", PEAK))
    wait_for(level(daemon, "vocals", PEAK * VOCALS))  # stems are before their faders
    with pytest.raises(RequestError, match="no stem 'piano'; there is vocals, drums, bass, other"):
        client.request("/sidechop/stem/mute", "piano", True)
    status = json.loads(client.request("/sidechop/status")[0])
    assert status["stems"][1] == {"name": "drums", "gain_db": pytest.approx(-6.021), "mute": False, "solo": False}
    assert (status["wet"], status["bypass"]) == (0.5, True)


def test_statistics_and_latency_are_told(daemon: Daemon, client: OscClient) -> None:
    wait_for(lambda: daemon.lane.statistics()["hops"] > 50)
    statistics = json.loads(client.request("/sidechop/statistics")[0])
    assert statistics["hops"] > 50
    assert statistics["p50_ms"] <= statistics["p99_ms"] <= statistics["max_ms"]
    latency = json.loads(client.request("/sidechop/latency")[0])
    assert [part["name"] for part in latency["parts"]] == ["hop", "window", "margin"]
    assert latency["samples"] == sum(part["samples"] for part in latency["parts"]) == daemon.lane.header["host_latency"]
    client.request("/sidechop/statistics/reset")
    assert json.loads(client.request("/sidechop/statistics")[0])["hops"] < 50


def test_models_are_listed_and_taken_by_name(
    client: OscClient, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.registry.models_folder", lambda: tmp_path)
    shutil.copy(model, tmp_path / "mine.onnx")
    entries = {entry["name"]: entry for entry in json.loads(client.request("/sidechop/models")[0])}
    assert entries["mine"]["stems"] == ["vocals", "drums", "bass", "other"]
    assert (entries["mine"]["source"], entries["mine"]["problem"]) == ("user", "")
    client.request("/sidechop/model", "mine")


def test_levels_and_statistics_are_pushed(daemon: Daemon, client: OscClient) -> None:
    wait_for(lambda: daemon.lane.counters["in_written"])
    client.request("/sidechop/subscribe", "all", 60.0)
    seen: dict[str, list[Any]] = {}

    def both_seen() -> bool:
        daemon.run(seconds=0.06)
        while event := client.event(0.01):
            seen[event[0]] = event[1]
        return {"/sidechop/event/levels", "/sidechop/event/statistics"} <= set(seen)

    wait_for(both_seen)
    position, rate, *levels = seen["/sidechop/event/levels"]
    assert (position > 0, rate) == (True, RATE)
    assert levels[::2] == ["mix", "vocals", "drums", "bass", "other"]
    assert json.loads(seen["/sidechop/event/statistics"][0])["rate"] == RATE


def test_faders_of_the_settings_stand_from_the_start(tone: Path, model: Path) -> None:
    with Daemon(config(tone, model, stems={"vocals": Fader(mute=True), "bass": Fader(gain_db=-120)})) as daemon:
        wait_for(level(daemon, "mix", PEAK * (1 - VOCALS - BASS)))
    wrong = Daemon(config(tone, model, stems={"banjo": Fader()}))
    with pytest.raises(RequestError, match="no stem 'banjo'"):
        wrong.start()
    assert not lane_is_there(wrong.lane.name)


def test_engine_killed_goes_dry_and_comes_back(daemon: Daemon, client: OscClient) -> None:
    client.request("/sidechop/stem/solo", "bass", True)
    client.request("/sidechop/subscribe", "events", 60.0)
    wait_for(level(daemon, "mix", PEAK * BASS))
    audio_pid, first = daemon.audio.pid, daemon.engine.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    event = client.event(5)
    assert event is not None
    assert event[1][0] == "lost"
    position = int(daemon.lane.counters["in_written"])
    event = client.event(10)
    assert event is not None
    assert event[1][0] == "back"
    assert daemon.lane.counters["in_written"] > position, "the audio went on meanwhile"
    assert daemon.lane.statistics()["dry_s"] > 0
    wait_for(level(daemon, "mix", PEAK * BASS))  # the faders stand as they stood
    wait_for(lambda: stays_wet(daemon), 3)
    assert (daemon.audio.pid, daemon.engine.restarts) == (audio_pid, 1)
    assert daemon.engine.pid != first


def test_engine_that_hangs_is_replaced(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_supervisor, "HANG_S", 0.5)
    hung = daemon.engine.pid
    assert hung is not None
    os.kill(hung, signal.SIGSTOP)
    wait_for(lambda: any(notice.state == "back" for notice in daemon.notices), 12)
    assert not psutil.pid_exists(hung)
    wait_for(level(daemon, "vocals", PEAK * VOCALS))


def test_model_is_switched_while_audio_runs(daemon: Daemon, client: OscClient, tmp_path: Path) -> None:
    other = tiny_live4(tmp_path / "second.onnx", (0.25, 0.5, 0.125))
    client.request("/sidechop/stem/solo", "drums", True)
    wait_for(level(daemon, "mix", PEAK * DRUMS))
    blocks, progress = int(daemon.lane.counters["host_blocks"]), []
    (latency,) = client.request("/sidechop/model", str(other), on_progress=lambda f, text: progress.append(text))
    assert latency == daemon.lane.header["host_latency"]
    assert progress
    wait_for(level(daemon, "mix", PEAK * 0.5))
    assert daemon.lane.counters["host_blocks"] > blocks
    assert json.loads(client.request("/sidechop/status")[0])["model"] == "second"
    with pytest.raises(RequestError, match="no model is named 'nothing'"):
        client.request("/sidechop/model", "nothing")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(RequestError, match=r"broken\.onnx"):
        client.request("/sidechop/model", str(broken))
    time.sleep(0.2)
    wait_for(level(daemon, "mix", PEAK * 0.5))
    assert daemon.engine.restarts == 0


def rendered(model: Path, folder: Path, disturb: Callable[[Daemon], None]) -> tuple[Any, Any]:
    """A minute of noise as fast as it goes, vocals muted, disturbed on the way: what it should be, and is."""
    noise = np.random.default_rng(2).uniform(-0.5, 0.5, (60 * RATE, 2)).astype(np.float32)
    soundfile.write(folder / "noise.wav", noise, RATE, subtype="FLOAT")
    audio = Audio(file=folder / "noise.wav", folder=folder / "out", paced=False, block=256)
    muted = {"vocals": Fader(mute=True)}
    with Daemon(Config(model=str(model), audio=audio, osc=Osc(port=0), stems=muted)) as daemon:
        wait_for(lambda: daemon.lane.counters["in_written"] > RATE)
        disturb(daemon)
        daemon.run()
    return (1 - VOCALS) * noise, soundfile.read(folder / "out" / "mix.wav", dtype="float32")[0]


@pytest.mark.parametrize("what", ["switch", "kill"])
def test_an_offline_render_is_whole_whatever_happens_to_the_engine(what: str, model: Path, tmp_path: Path) -> None:
    def disturb(daemon: Daemon) -> None:
        if what == "switch":
            daemon.switch_model(str(model))
        else:
            os.kill(int(daemon.engine.pid or 0), signal.SIGKILL)

    wanted, got = rendered(model, tmp_path, disturb)
    np.testing.assert_allclose(got, wanted, atol=1e-6)  # float32 transforms of noise at -6 dB


def test_faders_follow_names_to_a_model_with_other_stems(daemon: Daemon, client: OscClient) -> None:
    client.request("/sidechop/stem/gain", "other", -20.0)
    client.request("/sidechop/stem/mute", "vocals", True)
    client.request("/sidechop/model", "pass-through")
    stems = json.loads(client.request("/sidechop/status")[0])["stems"]
    assert [(stem["name"], stem["gain_db"], stem["mute"]) for stem in stems] == [
        ("through", 0.0, False),
        ("other", pytest.approx(-20.0, abs=0.01), False),
    ]


def test_reset_starts_the_engine_afresh(daemon: Daemon, client: OscClient) -> None:
    before = daemon.engine.pid
    client.request("/sidechop/reset")
    assert daemon.engine.pid != before
    wait_for(level(daemon, "vocals", PEAK * VOCALS))


def test_nothing_is_left_when_the_start_fails(tone: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model file"):
        Daemon(config(tone, tmp_path / "none.onnx")).start()
    with pytest.raises(SidechopError, match=r"none\.wav"):
        Daemon(config(tmp_path / "none.wav", model)).start()
    (tmp_path / "empty.onnx").write_bytes(b"\x08\x0a")  # a version and nothing else: only the engine process finds out
    (tmp_path / "empty.card.json").write_text(live4_card().to_json())
    daemon = Daemon(config(tone, tmp_path / "empty.onnx"))
    with pytest.raises(SidechopError, match=r"empty\.onnx: not an ONNX model"):
        daemon.start()
    assert not lane_is_there(daemon.lane.name)
    children = psutil.Process().children(recursive=True)
    assert [child for child in children if "resource_tracker" not in " ".join(child.cmdline())] == []


# The rest runs `sidechop live` as users do, in a process of its own.


class Session:
    """``sidechop live`` as a process; ``lines`` of JSON as they come."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "bridge.cli", "live", "--json", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self.lane = ""
        self.lines: list[dict[str, Any]] = []

    def until(self, kind: str, state: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self.lines.append(json.loads(text))
            if (self.lines[-1]["kind"], self.lines[-1].get("state")) == (kind, state):
                return self.lines[-1]
        raise AssertionError(f"ended before {kind} was {state}: {self.process.communicate()[1]}")

    def ready(self) -> int:
        """Wait until audio runs; the OSC port."""
        self.until("audio", "ready")
        osc = next(line for line in self.lines if line["kind"] == "osc")
        port = int(osc["text"].rpartition(":")[2])
        with OscClient("127.0.0.1", port) as client, contextlib.suppress(RequestError):
            self.lane = str(json.loads(client.request("/sidechop/status")[0])["lane"])
        return port

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> tuple[int, str]:
        """Exit code and standard error."""
        _, errors = self.process.communicate(timeout=15)
        return self.process.returncode, errors


@pytest.fixture
def live(tone: Path, model: Path) -> Iterator[Callable[..., Session]]:
    sessions: list[Session] = []

    def start(*arguments: str) -> Session:
        common = ("--file", str(tone), "--loop", "--model", str(model))
        sessions.append(Session(*common, *(arguments or ("--osc-port", "0"))))
        return sessions[-1]

    yield start
    for session in sessions:
        session.process.kill()
        session.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_cleanly(live: Callable[..., Session], number: int) -> None:
    session = live()
    session.ready()
    family = session.family()
    assert len(family) >= 2
    session.process.send_signal(number)
    assert session.end() == (0, "")
    assert not lane_is_there(session.lane)
    assert_gone(family)


def test_ctrl_c_in_a_terminal_reaches_every_process_and_ends_it_cleanly(live: Callable[..., Session]) -> None:
    session = live()
    session.ready()
    os.killpg(session.process.pid, signal.SIGINT)
    assert session.end() == (0, "")
    assert not lane_is_there(session.lane)


def test_ctrl_c_while_starting_leaves_nothing(live: Callable[..., Session]) -> None:
    session = live()
    family = wait_for(session.family)  # the first child: it has begun to start
    session.process.send_signal(signal.SIGINT)
    assert session.end() == (0, "")
    assert_gone(family)


def test_quit_over_osc(live: Callable[..., Session]) -> None:
    session = live()
    with OscClient("127.0.0.1", session.ready()) as client:
        client.request("/sidechop/quit")
    assert session.end() == (0, "")


def test_daemon_killed_leaves_no_orphan_and_no_memory(live: Callable[..., Session]) -> None:
    session = live()
    session.ready()
    family = session.family()
    assert lane_is_there(session.lane)
    session.process.kill()
    session.process.wait()
    assert_gone(family, 6)
    wait_for(lambda: not lane_is_there(session.lane), 3)


def test_second_daemon_and_other_programs_on_the_port(live: Callable[..., Session]) -> None:
    first = live()
    port = first.ready()
    code, errors = live("--osc-port", str(port)).end()
    assert code == 1
    assert errors.startswith(f"sidechop: a Sidechop daemon listens on port {port} already: ")
    assert errors.count("\n") == 1
    with OscClient("127.0.0.1", port) as client:
        assert client.request("/sidechop/ping"), "the first one lives on"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        port = stranger.getsockname()[1]
        code, errors = live("--osc-port", str(port)).end()
    assert (code, errors) == (1, f"sidechop: UDP port {port} is taken by another program: choose one with --osc-port\n")


def test_second_daemon_knows_one_that_wants_a_token(live: Callable[..., Session]) -> None:
    first = live("--osc-port", "0", "--token", "sesame")
    code, errors = live("--osc-port", str(first.ready())).end()
    assert code == 1
    assert "a Sidechop daemon listens" in errors


def test_listening_to_the_world_needs_a_token(live: Callable[..., Session]) -> None:
    code, errors = live("--listen", "0.0.0.0").end()
    assert (code, errors.count("\n")) == (1, 1)
    assert "--token" in errors


def test_audio_that_fails_ends_it_with_one_line(live: Callable[..., Session], tmp_path: Path) -> None:
    broken = tmp_path / "nan.wav"
    samples = np.zeros((RATE, 2), np.float32)
    samples[RATE // 2] = np.nan
    soundfile.write(broken, samples, RATE, subtype="FLOAT")
    session = live("--osc-port", "0", "--file", str(broken), "-o", str(tmp_path / "out"))
    code, errors = session.end()
    assert (code, errors.count("\n")) == (1, 1)
    assert "nan.wav: holds a sample that is not a number" in errors
    assert list((tmp_path / "out").iterdir()) == [], "nothing half-written"


def test_devices_give_the_rate_and_the_block(jack: str, model: Path) -> None:
    session = Session("--input", "system", "--output", "system", "--model", str(model), "--osc-port", "0")
    try:
        with OscClient("127.0.0.1", session.ready()) as client:
            status = json.loads(client.request("/sidechop/status")[0])
            latency = json.loads(client.request("/sidechop/latency")[0])
        assert (status["audio"]["rate"], status["audio"]["block"]) == (48000, 128)
        assert [part["name"] for part in latency["devices"]] == ["input_device", "output_device"]
        assert latency["samples"] == 512 + 256
        session.process.terminate()
        assert session.end()[0] == 0
    finally:
        session.process.kill()
        session.process.communicate()
