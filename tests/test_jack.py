"""A real device: the audio process on a private synchronous JACK server, through PortAudio, with a real engine process.

Synchronous JACK loses nothing, so the demand is equality, not a count of xruns.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import wait_for
from tiny_models import tiny_live4

from benchmarks.jack_null import PERIOD, RATE, compare, noise, set_faders, tape_machine
from benchmarks.jack_server import start_jack, stop_jack
from benchmarks.jack_tape import PLAYER, RECORDER
from bridge.audio_source import DeviceSource
from bridge.audio_supervisor import AudioProcess
from streaming.errors import AudioError
from streaming.lane import Lane
from streaming.process import EngineProcess


@contextmanager
def lane_at(rate: int, channels: int) -> Iterator[Lane]:
    lane = Lane.create(rate, channels, 1024)
    try:
        yield lane
    finally:
        lane.unlink()
        lane.close()


@contextmanager
def engine_of(lane: Lane, model: Path | None) -> Iterator[None]:
    engine = EngineProcess(lane, model)
    try:
        engine.start()
        yield
    finally:
        engine.stop()


@contextmanager
def playing(lane: Lane, source: DeviceSource) -> Iterator[AudioProcess]:
    audio = AudioProcess(lane, source)
    try:
        audio.start()
        yield audio
    finally:
        audio.stop()


@pytest.fixture
def lane() -> Iterator[Lane]:
    with lane_at(RATE, 2) as lane:
        yield lane


@pytest.fixture
def busy() -> Iterator[None]:
    """A thread of the parent process that never rests."""
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(1000))

    thread = threading.Thread(target=spin)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.mark.parametrize("block", [0, 128, 512])
@pytest.mark.usefixtures("busy")
def test_what_is_played_is_the_offline_render_after_the_reported_latency(
    jack: str, lane: Lane, tmp_path: Path, block: int
) -> None:
    """A mask of its own for every bin: hops out of step with the offline engine's would sound different.

    The engine gets 85 ms, so that a machine shared with others does not fall back to dry.
    """
    masks = np.random.default_rng(1).uniform(0.0, 0.3, (3, 1025))
    model = tiny_live4(tmp_path / "masks.onnx", masks=masks)
    with tape_machine(jack, noise(3.0)) as machine, engine_of(lane, model):
        set_faders(lane.controls)
        with playing(lane, DeviceSource(PLAYER, RECORDER, "jack", block, budget_samples=4096)) as audio:
            time.sleep(0.5)
            result = compare(machine, lane.name, model)
    assert audio.latency == {"input_device": 0, "window": 512, "margin": 4096, "output_device": 0}
    assert result.latency_samples == sum(audio.latency.values())
    assert result.seconds > 2.5
    assert result.level > 0.3
    assert result.misses == 0
    assert result.difference <= 1e-6


def test_channels_are_mapped(jack: str) -> None:
    """The player's second channel into a mono session, and out of it to both."""
    source = DeviceSource(PLAYER, RECORDER, input_channels=(1,), output_channels=(0, 1))
    with (
        lane_at(RATE, 1) as lane,
        engine_of(lane, None),
        tape_machine(jack, noise(1.5)) as machine,
        playing(lane, source),
    ):
        recorded, info = machine.roll(lane.name)
    latency = info["latency"]
    # At unity the mix is the input whether wet or dry.
    for track in recorded:
        np.testing.assert_allclose(track[latency:], machine.audio[1, :-latency], atol=1e-6)


def test_a_device_that_is_not_there_or_cannot_run_says_so(jack: str, lane: Lane) -> None:
    with pytest.raises(AudioError, match="no input device is called 'scarlett'; there is: system"):
        AudioProcess(lane, DeviceSource("scarlett")).start()
    with pytest.raises(AudioError, match="has 2 input channels; channel 4"):
        AudioProcess(lane, DeviceSource("system", "system", input_channels=(2, 3))).start()
    with lane_at(44100, 2) as slow, pytest.raises(AudioError, match="cannot run at 44100 Hz"):
        AudioProcess(slow, DeviceSource("system", "system")).start()


def test_a_device_that_vanishes_is_reported_once_and_comes_back(
    jack: str, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{jack}-flaky"
    monkeypatch.setenv("JACK_DEFAULT_SERVER", name)
    server = start_jack(name, RATE, PERIOD)
    audio = AudioProcess(lane, DeviceSource("system", "system"))
    try:
        audio.start()
        wait_for(lambda: int(lane.counters["in_written"]) > RATE // 10, 5.0)
        server.kill()
        server.wait()
        wait_for(lambda: audio.events[-1]["event"] == "lost", 5.0)
        text = audio.events[-1]["text"]
        assert text.startswith("system: ")
        assert "trying again every second" in text
        time.sleep(2.5)  # two vain attempts, of which nothing is said
        server = start_jack(name, RATE, PERIOD)
        wait_for(lambda: audio.events[-1]["event"] == "back", 10.0)
        position = int(lane.counters["in_written"])
        wait_for(lambda: int(lane.counters["in_written"]) > position + RATE // 10, 5.0)
        assert [event["event"] for event in audio.events] == ["ready", "lost", "back"]
        assert audio.alive
    finally:
        audio.stop()
        stop_jack(server)
    assert not audio.alive
