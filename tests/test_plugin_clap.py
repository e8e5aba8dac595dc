"""The plugin in a host, with real engine processes: exact when waited for, dry when not, back by itself, and clean."""

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from benchmarks.clap_host import finish, play, playing
from bridge.daemon import Daemon
from bridge.osc_client import OscClient
from streaming.errors import RequestError
from streaming.host import CROSSFADE_SAMPLES
from streaming.lane import EngineState, Lane
from streaming.mixer import RAMP_S
from tests.conftest import wait_for
from tests.plugin_session import daemon_for, delayed, lanes, noise, rendered, serving
from tests.tiny_models import MASKS, tiny_live4

RATE = 48000
WET, GAIN_1, GAIN_2, SLOT, BYPASS = 1, 2, 3, 6, 0
HALF_DB = 20 * math.log10(0.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_live4(tmp_path_factory.mktemp("models") / "tiny.onnx", counting=True)


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_live4(tmp_path_factory.mktemp("models") / "steady.onnx")


@pytest.fixture(scope="module")
def daemon(model: Path) -> Iterator[Daemon]:
    with serving(model) as daemon:
        yield daemon


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the module's daemon does not look."""
    monkeypatch.setenv("SIDECHOP_GROUP", f"alone-{os.getpid()}")


@pytest.mark.parametrize(
    ("rate", "block", "seed"), [(48000, 512, 0), (44100, 64, 0), (48000, 1000, 7), (96000, 333, 3), (44100, 20000, 5)]
)
def test_a_bounce_equals_the_offline_render_to_the_bit(
    clap_host: Path, tmp_path: Path, daemon: Daemon, model: Path, rate: int, block: int, seed: int
) -> None:
    audio = noise(60000)
    report, (out,) = play(clap_host, tmp_path, audio, rate=rate, block=block, seed=seed)
    (late,) = report["latency"]
    assert report["misses"] == [0]
    np.testing.assert_array_equal(out[0], delayed(audio, late))
    stems = rendered(model, audio, rate)
    np.testing.assert_array_equal(out[1:, :, late:], stems[:, :, : audio.shape[1] - late])
    assert not out[:, :, :late].any()


@pytest.mark.parametrize(
    ("rate", "block"), list(itertools.product((22050, 44100, 48000, 96000, 192000), (2, 64, 333, 8192)))
)
def test_latency_is_told_right_without_any_daemon(
    clap_host: Path, tmp_path: Path, alone: None, rate: int, block: int
) -> None:
    """An impulse comes out where the host was told, at every rate and block size."""
    audio = np.zeros((2, 24000), np.float32)
    audio[:, 1000] = 1.0, -0.5
    report, (out,) = play(clap_host, tmp_path, audio, rate=rate, block=block, mode="free")
    (late,) = report["latency"]
    np.testing.assert_array_equal(out[0], delayed(audio, late))
    window = 512 if rate <= 48000 else 1024
    assert late == window + block * math.ceil(window / 2 / block)


def test_without_a_daemon_an_offline_render_is_dry_and_soon_over(clap_host: Path, tmp_path: Path, alone: None) -> None:
    audio, began = noise(48000), time.monotonic()
    report, (out,) = play(clap_host, tmp_path, audio)
    np.testing.assert_array_equal(out[0], delayed(audio, report["latency"][0]))
    assert not out[1:].any()
    assert time.monotonic() - began < 15.0
    assert not lanes()


@pytest.mark.parametrize(("block", "seed"), [(64, 0), (2048, 1)])
def test_the_process_function_allocates_nothing_and_never_waits(
    clap_host: Path, tmp_path: Path, daemon: Daemon, block: int, seed: int
) -> None:
    """As fast as it goes, so by turns wet, late and back, while parameters move."""
    changes = [f"{GAIN_2}:{-k}@{1000 * k}" for k in range(1, 50)]
    options = {"mode": "free", "ready": 20, "block": block, "seed": seed, "set": changes}
    report, _ = play(clap_host, tmp_path, noise(100000), **options)
    assert report["blocks"] > 90
    assert (report["allocations"], report["waits"]) == (0, 0)


def test_four_at_once_have_lanes_of_their_own(clap_host: Path, tmp_path: Path, daemon: Daemon, model: Path) -> None:
    audio = noise(30000, seed=4)
    with playing(clap_host, tmp_path, audio, instances=4, block=256, seed=2) as process:
        wait_for(lambda: len(daemon.plugins.instances) == 4, 15.0)
        report, outputs = finish(process, tmp_path)
    (late,) = set(report["latency"])
    stems = rendered(model, audio, RATE)
    for out in outputs:
        np.testing.assert_array_equal(out[1:, :, late:], stems[:, :, : audio.shape[1] - late])


def test_a_gain_that_moves_lands_on_its_sample(clap_host: Path, tmp_path: Path, daemon: Daemon, model: Path) -> None:
    """The host set it with the block at frame 24000: it is heard from that frame of the audio on, ramped."""
    audio, at = noise(48000), 24000
    changes = [f"{GAIN_2}:{HALF_DB}@{at}", f"{GAIN_1}:-60@0"]
    report, (out,) = play(clap_host, tmp_path, audio, block=480, set=changes)
    (late,) = report["latency"]
    vocals, drums, _, _ = rendered(model, audio, RATE)
    ramp = np.clip(np.arange(audio.shape[1]) - at + 1, 0, RAMP_S * RATE) / (RAMP_S * RATE)
    wanted = audio - vocals - drums * (0.5 * ramp).astype(np.float32)
    np.testing.assert_allclose(out[0][:, late:], wanted[:, : audio.shape[1] - late], atol=2e-6)
    np.testing.assert_array_equal(out[1][:, late:], vocals[:, : audio.shape[1] - late])  # stems are before faders


def test_wet_and_bypass(clap_host: Path, tmp_path: Path, daemon: Daemon, model: Path) -> None:
    audio = noise(30000)
    vocals = rendered(model, audio, RATE)[0]
    for changes, share in (([f"{WET}:25@0"], 0.25), ([f"{BYPASS}:1@0"], 0.0)):
        report, (out,) = play(clap_host, tmp_path, audio, set=[f"{GAIN_1}:-60@0", *changes])
        (late,) = report["latency"]
        wanted = audio - np.float32(share) * vocals
        np.testing.assert_allclose(out[0][:, late:], wanted[:, : audio.shape[1] - late], atol=2e-6)


def test_state_is_saved_and_loaded(clap_host: Path, tmp_path: Path, daemon: Daemon, model: Path) -> None:
    audio, state = noise(30000), tmp_path / "state"
    first = play(clap_host, tmp_path, audio, set=[f"{GAIN_1}:-60@0", f"{WET}:50@0"], save=state)
    again = play(clap_host, tmp_path, audio, load=state)
    np.testing.assert_array_equal(again.outputs[0], first.outputs[0])
    assert np.abs(first.outputs[0][0] - delayed(audio, first.report["latency"][0])).max() > 0.01


def test_faders_of_osc_move_the_plugin_in_focus(clap_host: Path, tmp_path: Path, alone: None, steady: Path) -> None:
    audio = noise(4 * RATE)
    with (
        serving(steady) as daemon,
        OscClient(*daemon.server.address, timeout_s=20.0) as client,
        playing(clap_host, tmp_path, audio, mode="paced", ready=20, block=256) as process,
    ):
        (status,) = json.loads(client.request("/sidechop/plugins")[0])
        assert (status["model"], status["engine"], status["focus"]) == (str(steady), "ready", True)
        assert json.loads(client.request("/sidechop/status")[0])["lane"] == status["name"]
        client.request("/sidechop/stem/solo", "drums", True)
        with pytest.raises(RequestError, match="no plugins are called 'piano'; there is sidechop-plugin-"):
            client.request("/sidechop/plugin/focus", "piano")
        client.request("/sidechop/plugin/focus", status["name"][-8:])
        report, (out,) = finish(process, tmp_path)
    (late,) = report["latency"]
    np.testing.assert_allclose(out[0][:, -RATE:], MASKS[1] * audio[:, -late - RATE : -late], atol=1e-5)


def test_the_slot_chooses_the_model(clap_host: Path, tmp_path: Path, alone: None, model: Path, steady: Path) -> None:
    audio = noise(40000)
    with serving("pass-through", slots=(str(model), str(steady))) as daemon:
        for slot, file in ((0, None), (1, model), (2, steady)):
            report, (out,) = play(clap_host, tmp_path, audio, load=saved_slot(clap_host, tmp_path, slot))
            (late,) = report["latency"]
            stems = rendered(file, audio, RATE)
            wanted = stems[:, :, : audio.shape[1] - late]
            np.testing.assert_array_equal(out[1 : 1 + len(stems), :, late:], wanted)
        report, (out,) = play(clap_host, tmp_path, audio, load=saved_slot(clap_host, tmp_path, 5))
        np.testing.assert_array_equal(out[0], delayed(audio, report["latency"][0]))
        assert any("slot 5 of the plugin is empty" in notice.text for notice in daemon.notices)


def saved_slot(clap_host: Path, folder: Path, slot: int) -> Path:
    path = folder / f"slot{slot}"
    play(clap_host, folder, noise(64), mode="free", set=[f"{SLOT}:{slot}@0"], save=path)
    return path


def test_killed_mid_run_it_is_dry_without_a_step_and_back(
    clap_host: Path, tmp_path: Path, alone: None, steady: Path
) -> None:
    """A slow sine with a stem taken out: what is heard is smooth, by turns wet and dry."""
    seconds = 7
    sine = 0.5 * np.sin(2 * np.pi * 50 * np.arange(seconds * RATE) / RATE)
    audio = np.stack([sine, sine]).astype(np.float32)
    options = {"mode": "paced", "ready": 20, "block": 256, "set": [f"{GAIN_1}:-60@0"]}
    with serving(steady) as daemon:
        with playing(clap_host, tmp_path, audio, **options) as process:
            (instance,) = daemon.plugins.instances
            time.sleep(1.0)
            os.kill(instance.engine.pid or 0, signal.SIGKILL)
            report, (out,) = finish(process, tmp_path)
        assert instance.engine.restarts == 1
    mix, heard = out[0, 0], delayed(audio, report["latency"][0])[0]
    # As steep as the sine itself, or a crossfade over what the stem was: nothing steeper.
    steepest = 2 * np.pi * 50 / RATE * 0.5 + 0.5 * MASKS[0] / CROSSFADE_SAMPLES
    assert np.abs(np.diff(mix[2000:])).max() < 1.2 * steepest
    loud = np.abs(heard) > 0.05
    dry, wet = np.abs(mix - heard) < 1e-6, np.abs(mix - (1 - MASKS[0]) * heard) < 1e-4
    assert (wet | ~loud)[-RATE // 2 :].all()
    assert 0 < (dry & loud).sum() < 5 * RATE


def test_what_a_killed_host_left_is_removed(clap_host: Path, tmp_path: Path, daemon: Daemon) -> None:
    with playing(clap_host, tmp_path, noise(60 * RATE), mode="paced", ready=20):
        (instance,) = daemon.plugins.instances
        pid = instance.engine.pid
    wait_for(lambda: not lanes() and not daemon.plugins.instances, 15.0)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 15.0)


def test_another_daemon_goes_on_where_one_ended(clap_host: Path, tmp_path: Path, alone: None, model: Path) -> None:
    audio = noise(60 * RATE)
    with daemon_for(model) as first, daemon_for(model) as second:
        with playing(clap_host, tmp_path, audio, mode="paced", ready=20):
            assert len(first.plugins.instances) + len(second.plugins.instances) == 1
            owner, other = (first, second) if first.plugins.instances else (second, first)
            owner.stop()
            (name,) = lanes()
            lane = wait_for(lambda: other.plugins.instances, 15.0)[0].lane
            assert lane.name == name
            wait_for(lambda: lane.statistics()["engine"] == "ready", 15.0)
        wait_for(lambda: not lanes(), 15.0)


def test_a_killed_daemon_leaves_the_lane_to_the_plugin_and_to_the_next(
    clap_host: Path, tmp_path: Path, alone: None, model: Path
) -> None:
    """Nobody could tell its engine to end: it sees that its parent is gone, and does not take the memory along."""
    command = [sys.executable, "-m", "bridge.cli", "live", "--plugin", "--osc-port", "0", "--json", "--model", model]
    daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    with ExitStack() as stack:
        stack.callback(daemon.wait)
        stack.callback(daemon.kill)
        with playing(clap_host, tmp_path, noise(60 * RATE), mode="paced", ready=20):
            (name,) = lanes()
            daemon.kill()
            daemon.wait()
            lane = Lane.attach(name)
            stack.callback(lane.close)
            wait_for(lambda: lane.engine_state is EngineState.ABSENT, 15.0)
            pid = int(lane.header["engine_pid"])
            wait_for(lambda: not Path(f"/proc/{pid}").exists(), 15.0)
            assert lanes() == [name]
            stack.enter_context(daemon_for(model))
            wait_for(lambda: lane.engine_state is EngineState.READY, 15.0)
        wait_for(lambda: not lanes(), 15.0)
