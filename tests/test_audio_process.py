"""The audio process with a real engine process: files, ReaStream, and how it starts, ends and comes back."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from conftest import wait_for
from numpy.typing import NDArray
from tiny_models import MASKS, tiny_live4

from bridge.audio_source import DeviceSource, FileSource, ReaStreamSource, Source, decode_source, encode_source
from bridge.audio_supervisor import AudioProcess
from bridge.reastream import ReaStreamSocket
from streaming.engine import Engine
from streaming.errors import AudioError
from streaming.lane import Lane
from streaming.process import EngineProcess

RATE = 44100
Session = Callable[..., Lane]


@pytest.fixture
def session() -> Iterator[Session]:
    """Makes a lane with an engine process behind it (the windows without a network, unless given a model)."""
    made: list[tuple[Lane, EngineProcess]] = []

    def make(rate: int = RATE, channels: int = 2, block: int = 1024, model: Path | None = None) -> Lane:
        lane = Lane.create(rate, channels, block)
        engine = EngineProcess(lane, model)
        made.append((lane, engine))
        engine.start()
        return lane

    yield make
    for lane, engine in made:
        engine.stop()
        lane.unlink()
        lane.close()


def noise(frames: int, channels: int = 2) -> NDArray[np.float32]:
    return np.random.default_rng(5).uniform(-0.5, 0.5, (channels, frames)).astype(np.float32)


def read(path: Path) -> NDArray[np.float32]:
    audio: NDArray[np.float32] = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    return audio


def render(model: Path, audio: NDArray[np.float32]) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Names of the outputs, and mix and outputs in time with ``audio``: ``(1 + outputs, channels, samples)``."""
    engine = Engine(model)
    engine.prepare(RATE, 1000, audio.shape[0])
    rendered = []
    for start in range(0, audio.shape[1], 1000):
        mix, stems = engine.process(audio[:, start : start + 1000])
        rendered.append(np.concatenate((mix[None], stems)))
    mix, stems = engine.flush()
    rendered.append(np.concatenate((mix[None], stems)))
    return engine.outputs, np.concatenate(rendered, axis=2)[:, :, engine.latency_samples :]


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    "source",
    [
        DeviceSource("in", "out", "jack", 128, (0, 3), (1,)),
        FileSource("a b/ü.wav", paced=False, stems="x"),
        ReaStreamSource(("127.0.0.3", 1), budget_samples=64),
    ],
)
def test_a_source_survives_its_journey(source: Source) -> None:
    assert decode_source(encode_source(source)) == source


@pytest.mark.parametrize("block", [100, 256, 1024])
def test_an_unpaced_file_comes_out_as_the_offline_engine_renders_it(
    session: Session, tmp_path: Path, block: int
) -> None:
    """The model fades in by counting hops: a hop lost, doubled or misplaced would be heard."""
    model = tiny_live4(tmp_path / "counting.onnx", counting=True)
    audio = noise(100_003)
    soundfile.write(tmp_path / "in.wav", audio.T, RATE, subtype="FLOAT")
    source = FileSource(
        str(tmp_path / "in.wav"), paced=False, output=str(tmp_path / "mix.wav"), stems=str(tmp_path / "stems"),
        block_samples=block,
    )  # fmt: skip
    process = AudioProcess(session(model=model), source)
    process.start()
    assert process.wait(30)
    assert [event["event"] for event in process.events] == ["ready", "done"]

    outputs, offline = render(model, audio)
    names = ["mix.wav", *(f"stems/{name}.wav" for name in outputs)]
    assert len(names) == 5
    for name, expected in zip(names, offline, strict=True):
        # Hops of one chunk are batched differently in the two, so that float32 rounds differently.
        np.testing.assert_allclose(read(tmp_path / name), expected, atol=1e-6)
    np.testing.assert_allclose(read(tmp_path / "mix.wav"), audio, atol=1e-6)
    assert MASKS[0] * 0.9 < np.abs(offline[1, :, -1000:]).max() / np.abs(audio[:, -1000:]).max() < MASKS[0] * 1.1


@pytest.mark.parametrize(("rate", "channels", "session_channels"), [(8000, 1, 2), (22050, 2, 1), (192000, 2, 2)])
def test_odd_rates_and_mono_reach_the_session(
    session: Session, tmp_path: Path, rate: int, channels: int, session_channels: int
) -> None:
    seconds = 1.5
    tone = 0.4 * np.sin(2 * np.pi * 500 * np.arange(int(seconds * rate)) / rate) * np.hanning(int(seconds * rate))
    soundfile.write(tmp_path / "in.wav", np.tile(tone[:, None], (1, channels)), rate, subtype="FLOAT")
    source = FileSource(str(tmp_path / "in.wav"), paced=False, output=str(tmp_path / "out.flac"))
    process = AudioProcess(session(channels=session_channels), source)
    process.start()
    assert process.wait(30)
    frames = int(seconds * RATE)
    expected = 0.4 * np.sin(2 * np.pi * 500 * np.arange(frames) / RATE) * np.hanning(frames)
    out = read(tmp_path / "out.flac")
    assert out.shape == (session_channels, frames)
    assert np.abs(out - expected).max() < 1e-4  # the two Hann windows differ by a sample's width at the ends


def test_a_paced_file_keeps_its_pace_and_loses_nothing(session: Session, tmp_path: Path) -> None:
    audio = noise(RATE)
    soundfile.write(tmp_path / "in.wav", audio.T, RATE, subtype="FLOAT")
    process = AudioProcess(session(), FileSource(str(tmp_path / "in.wav"), output=str(tmp_path / "out.wav")))
    process.start()
    start = time.monotonic()
    assert process.wait(10)
    assert 0.95 < time.monotonic() - start < 3.0
    # Faders at 0 dB: engine's work and dry fallback are the same audio, so this holds on a machine that stalls, too.
    np.testing.assert_allclose(read(tmp_path / "out.wav"), audio, atol=1e-6)


def test_a_loop_has_no_seam_and_stop_keeps_what_was_recorded(session: Session, tmp_path: Path) -> None:
    audio = noise(7777)
    soundfile.write(tmp_path / "in.wav", audio.T, RATE, subtype="FLOAT")
    source = FileSource(str(tmp_path / "in.wav"), loop=True, output=str(tmp_path / "out.wav"))
    process = AudioProcess(session(), source)
    process.start()
    time.sleep(1.0)
    assert process.alive
    process.stop()
    assert not process.alive
    out = read(tmp_path / "out.wav")
    assert out.shape[1] > 0.5 * RATE
    np.testing.assert_allclose(out, np.tile(audio, (1, 20))[:, : out.shape[1]], atol=1e-6)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (FileSource("/missing.wav"), "/missing.wav: no such file"),
        (FileSource("/missing.wav", paced=False, loop=True), "would never end"),
        (FileSource("/missing.wav", block_samples=2048), "2048 frames does not fit"),
        (ReaStreamSource(block_samples=4096), "4096 frames do not fit"),
        (ReaStreamSource(listen=("192.0.2.1", 1)), "cannot listen on 192.0.2.1:1"),
        (ReaStreamSource(send_identifier="x" * 40), "identifier"),
        (DeviceSource("no such device"), "device"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(source: Source, words: str) -> None:
    lane = Lane.create(RATE, 2, 1024)
    process = AudioProcess(lane, source)
    try:
        with pytest.raises(AudioError) as caught:
            process.start()
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not process.alive
        process.stop()
    finally:
        lane.unlink()
        lane.close()


def test_a_file_that_turns_bad_on_the_way_ends_in_an_error_and_leaves_nothing(session: Session, tmp_path: Path) -> None:
    audio = noise(200_000)
    audio[0, 150_000] = np.nan
    soundfile.write(tmp_path / "in.wav", audio.T, RATE, subtype="FLOAT")
    source = FileSource(str(tmp_path / "in.wav"), paced=False, output=str(tmp_path / "out.wav"))
    process = AudioProcess(session(), source)
    process.start()
    assert process.wait(20)
    assert process.events[-1]["event"] == "error"
    assert "at 3.401 s" in process.events[-1]["text"]
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


def test_interrupts_are_the_parents_business(session: Session, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", noise(RATE).T, RATE)
    process = AudioProcess(session(), FileSource(str(tmp_path / "in.wav"), loop=True))
    process.start()
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGINT)
    time.sleep(0.3)
    assert process.alive
    os.kill(pid, signal.SIGTERM)
    assert process.wait(5)
    assert process.events[-1]["event"] == "done"


def test_it_dies_with_its_parent(session: Session, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", noise(RATE).T, RATE)
    script = """
import sys, time
from bridge.audio_source import FileSource
from bridge.audio_supervisor import AudioProcess
from streaming.lane import Lane
process = AudioProcess(Lane.attach(sys.argv[1]), FileSource(sys.argv[2], loop=True))
process.start()
print(process.pid, flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", script, session().name, str(tmp_path / "in.wav")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    wait_for(lambda: gone(pid), 3.0)


class Reaper:
    """The other end of ReaStream: sends blocks in time and keeps what comes back."""

    def __init__(self, to: tuple[str, int]) -> None:
        self.socket = ReaStreamSocket(("127.0.0.1", 0), "sidechop")
        self.to = to
        self.heard: list[NDArray[np.float32]] = []

    def play(self, audio: NDArray[np.float32], rate: int = RATE, block: int = 512) -> None:
        next_s = time.perf_counter()
        for start in range(0, audio.shape[1], block):
            self.socket.send(audio[:, start : start + block], rate, "default", self.to)
            next_s += block / RATE
            while (left_s := next_s - time.perf_counter()) > 0:
                if packet := self.socket.receive(left_s):
                    self.heard.append(packet.audio)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def echo(session: Session) -> Iterator[tuple[Lane, AudioProcess, Reaper]]:
    lane = session()
    listen = ("127.0.0.1", free_port())
    reaper = Reaper(listen)
    source = ReaStreamSource(listen, reaper.socket.address, block_samples=512)
    process = AudioProcess(lane, source)
    process.start()
    yield lane, process, reaper
    process.stop()
    reaper.socket.close()


def test_reastream_comes_back_delayed_by_what_was_reported(echo: tuple[Lane, AudioProcess, Reaper]) -> None:
    _, process, reaper = echo
    audio = noise(2 * RATE)
    reaper.play(audio)
    heard = np.concatenate(reaper.heard, axis=1)
    latency = sum(process.latency.values())
    assert heard.shape[1] > 1.5 * RATE
    assert not heard[:, :latency].any()
    np.testing.assert_allclose(heard[:, latency:], audio[:, : heard.shape[1] - latency], atol=1e-6)


def test_reastream_at_another_rate_is_said_once_and_then_recovers(echo: tuple[Lane, AudioProcess, Reaper]) -> None:
    _, process, reaper = echo
    reaper.play(noise(RATE // 4), rate=48000)
    wait_for(lambda: process.events[-1]["event"] == "lost", 10.0)
    assert "sends 48000 Hz, the session runs at 44100 Hz" in process.events[-1]["text"]
    assert not reaper.heard
    reaper.play(noise(RATE // 4))
    wait_for(lambda: process.events[-1]["event"] == "back", 10.0)
    assert [event["event"] for event in process.events] == ["ready", "lost", "back"]
    wait_for(lambda: process.events[-1]["event"] == "lost", 4.0)
    assert "no ReaStream 'default'" in process.events[-1]["text"]


def test_a_crashed_audio_process_is_started_anew(echo: tuple[Lane, AudioProcess, Reaper]) -> None:
    _, process, reaper = echo
    reaper.play(noise(RATE // 4))
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: process.events[-1]["event"] == "back", 5.0)
    lost = process.events[-2]
    assert lost["event"] == "lost"
    assert "trying again" in lost["text"]
    reaper.heard.clear()
    audio = noise(RATE)
    reaper.play(audio)
    heard = np.concatenate(reaper.heard, axis=1)
    latency = sum(process.latency.values())
    np.testing.assert_allclose(heard[:, latency:], audio[:, : heard.shape[1] - latency], atol=1e-6)
