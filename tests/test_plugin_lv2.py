"""The LV2: its Turtle files are valid, and in jalv on a JACK server it plays the offline render."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.jack_null import compare, noise, set_faders, tape_machine
from benchmarks.jack_tape import PLAYER, RECORDER
from bridge.installs.plugin import BUNDLES, place
from tests.conftest import tool_is_missing, wait_for
from tests.plugin_session import serving
from tests.tiny_models import tiny_live4

URI = "urn:sidechop:plugin"
CLIENT = "sidechop-jalv"


@pytest.fixture
def lv2_path(monkeypatch: pytest.MonkeyPatch, plugin_bundles: Path, tmp_path: Path) -> Path:
    place(plugin_bundles / BUNDLES["lv2"], tmp_path / "lv2")
    monkeypatch.setenv("LV2_PATH", f"{tmp_path / 'lv2'}:/usr/lib/lv2")
    return tmp_path / "lv2"


def test_what_it_says_of_itself(lv2_path: Path) -> None:
    if shutil.which("lv2info") is None:
        tool_is_missing("lv2info is not installed (apt-get install lilv-utils)")
    run = subprocess.run(["lv2info", URI], check=True, capture_output=True, text=True)
    assert "Latency" in run.stdout
    assert run.stdout.count("AudioPort") == 12
    assert "freeWheeling" in (lv2_path / "sidechop.lv2" / "sidechop.ttl").read_text()


def test_in_jalv_it_plays_the_offline_render(jack: str, lv2_path: Path, tmp_path: Path) -> None:
    """A mask of its own for every bin: hops out of step with the offline engine's would sound different.

    It waits for the engine, as it does where a host freewheels, so that a busy machine does not fall back to dry.
    """
    import jack as jack_client

    if shutil.which("jalv") is None:
        tool_is_missing("jalv is not installed (apt-get install jalv)")
    masks = np.random.default_rng(1).uniform(0.0, 0.3, (3, 1025))
    model = tiny_live4(tmp_path / "masks.onnx", masks=masks)
    command = ["jalv", "-i", "-x", "-n", CLIENT, "-c", "offline=1", URI]
    with tape_machine(jack, noise(3.0)) as machine, serving(model) as daemon:
        host = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            (instance,) = wait_for(lambda: daemon.plugins.instances, 15.0)
            wait_for(lambda: instance.lane.statistics()["engine"] == "ready", 15.0)
            set_faders(instance.lane.controls)
            with jack_client.Client("patch-bay", servername=jack, no_start_server=True) as bay:
                for i in (1, 2):
                    bay.connect(f"{PLAYER}:out_{i}", f"{CLIENT}:lv2_audio_in_{i}")
                    bay.connect(f"{CLIENT}:lv2_audio_out_{i}", f"{RECORDER}:in_{i}")
            result = compare(machine, instance.name, model)
        finally:
            host.terminate()
            host.wait()
    assert result.latency_samples == 768
    assert result.level > 0.3
    assert result.misses == 0
    assert result.difference <= 1e-6
