"""Ardour's action scripts with small models, in a real Ardour: selected regions go to the daemon, markers come back."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import run
from conftest import tool_is_missing, wait_for
from tiny_models import tiny_curves, tiny_flagger, tiny_live4

from benchmarks.ardour_host import ArdourHost, Clip, missing_tool, running
from bridge.chops.analysis import analyse
from bridge.chops.chopping import chop
from bridge.chops.listening import open_network
from bridge.chops.settings import ChopSettings
from bridge.config import Audio, Config, DawFollow, Osc
from bridge.daemon import Daemon
from bridge.daws.ardour import Ardour
from bridge.osc_client import OscClient
from streaming.errors import RequestError

SCRIPTS = Path(__file__).parents[1] / "ardour_scripts"
RATE = 48000
CLIPS = (Clip(96001, 24011, 3 * RATE), Clip(30 * RATE + 7, 6 * RATE, 5 * RATE))
HARNESS = """
local ours, regions = ARDOUR, {{}}
ARDOUR = setmetatable({{ LuaOSC = {{
  Address = function (url) return ours.LuaOSC.Address ((url:gsub ("9190", "{port}"))) end
}} }}, {{ __index = ours }})
for route in Session:get_routes ():iter () do
  local track = route:to_track ()
  if not track:isnil () then
    for region in track:playlist ():region_list ():iter () do regions[#regions + 1] = region end
  end
end
local list = {{ iter = function ()
  local k = 0
  return function () k = k + 1 return regions[k] end
end }}
Editor = {{ get_selection = function () return {{ regions = {{ regionlist = function () return list end }} }} end }}
ardour = function (about) assert (about.type == "EditorAction" and about.name and about.description) end
dofile ("{script}")
factory () ()
ARDOUR = ours
"""
"""Stands in for the editor, which is not there without a screen: all regions are selected. 9190 is the script's."""


def take() -> np.ndarray:
    """Clicks, and hiss from 7 to 10 s."""
    rng = np.random.default_rng(0)
    audio = rng.standard_normal(12 * RATE) * 1e-5
    for second in range(12):
        for k, hit in enumerate((0.1, 0.35, 0.5, 0.8)):
            audio[round((second + hit) * RATE)] += 0.2 + 0.2 * k
    audio[7 * RATE : 10 * RATE] += 0.1 * rng.standard_normal(3 * RATE)
    return audio[None].astype(np.float32)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> ArdourHost:
    if missing := missing_tool():
        tool_is_missing(missing)
    return ArdourHost(tmp_path_factory.mktemp("ardour"), take(), RATE, CLIPS)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's own models, under the names that the scripts take by default."""
    folder = tmp_path_factory.mktemp("models")
    tiny_curves(folder / "chopper.onnx")
    tiny_flagger(folder / "flagger.onnx")
    tiny_live4(folder / "tiny.onnx")
    soundfile.write(folder / "silence.wav", np.zeros(RATE), RATE)
    return folder


@pytest.fixture(scope="module")
def setup(host: ArdourHost, models: Path) -> Iterator[tuple[Daemon, int]]:
    source = Audio(file=models / "silence.wav", loop=True)
    with running(host) as port:
        config = Config(
            model=str(models / "tiny.onnx"), audio=source, osc=Osc(port=0), daw=DawFollow(follow="ardour", port=port)
        )
        with Daemon(config) as daemon:
            thread = threading.Thread(target=daemon.run)
            thread.start()
            yield daemon, port
            daemon.request_stop()
            thread.join()


def kept(daemon: Daemon) -> int:
    """Markers that wait for Ardour."""
    assert daemon.markers.keep is not None
    return len(getattr(daemon.markers.keep, "__self__"))  # noqa: B009


def saved(host: ArdourHost, port: int) -> list[tuple[int, str]]:
    before = host.file.stat().st_mtime_ns
    with Ardour(port=port) as ardour:
        ardour.save()
        wait_for(lambda: host.file.stat().st_mtime_ns != before, 30.0)
        ardour.sample()
    return sorted(host.saved().markers)


def test_selected_regions_are_chopped_and_flagged_in_place(
    host: ArdourHost, setup: tuple[Daemon, int], models: Path
) -> None:
    """From Ardour's action to Ardour's saved session: 0 samples off."""
    daemon, port = setup
    for name in ("chop", "flag"):
        script = (SCRIPTS / f"sidechop_{name}.lua").read_text()
        options = json.dumps({"model": str(models / {"chop": "chopper.onnx", "flag": "flagger.onnx"}[name])})
        copy = host.file.parent / f"{name}.lua"
        copy.write_text(script.replace("OPTIONS = '{}'", f"OPTIONS = '{options}'"))
        before = daemon.server.received
        host.run_lua(HARNESS.format(port=daemon.server.address[1], script=copy))
        wait_for(lambda before=before: daemon.server.received == before + len(CLIPS), 30.0)
        wait_for(lambda: not daemon.server._jobs, 30.0)
        wait_for(lambda: not kept(daemon), 30.0)
    markers = saved(host, port)
    network = open_network(models / "chopper.onnx")
    expected = set()
    for clip in CLIPS:
        passage = analyse(host.audio[0], network, clip.start / RATE, (clip.start + clip.length) / RATE)
        expected |= {clip.position + c.position - clip.start for c in chop(passage, ChopSettings()).chops}
    chops = {sample for sample, name in markers if name[0].isdigit()}
    assert chops == expected
    flags = [sample for sample, name in markers if name.startswith("noise")]
    assert len(flags) == 2
    second = CLIPS[1]
    for sample, at_s in zip(flags, (7.0, 10.0), strict=True):
        assert abs(sample - (second.position + at_s * RATE - second.start)) < 0.4 * RATE


def test_without_a_daw_it_is_refused_and_told(models: Path) -> None:
    source = Audio(file=models / "silence.wav", loop=True)
    with Daemon(Config(model=str(models / "tiny.onnx"), audio=source, osc=Osc(port=0))) as daemon:
        with OscClient(*daemon.server.address, timeout_s=10) as client, pytest.raises(RequestError, match="no DAW"):
            client.request("/sidechop/chop/place", "x.wav", 0.0, 0.0, "{}", 0.0)
        assert [n.state for n in daemon.notices_since(0)[0] if n.source == "daw"] == ["refused"]


def test_they_are_installed_for_each_ardour(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert run(monkeypatch, "install", "ardour") == 1
    assert "no settings of Ardour 7 or later. Start Ardour once" in capfd.readouterr().err
    for name in ("ardour6", "ardour7", "ardour8"):
        (tmp_path / name).mkdir()
    assert run(monkeypatch, "install", "ardour") == 0
    names = sorted(path.name for path in SCRIPTS.iterdir())
    for name in ("ardour7", "ardour8"):
        assert sorted(path.name for path in (tmp_path / name / "scripts").iterdir()) == names
    assert list((tmp_path / "ardour6").iterdir()) == []
    assert run(monkeypatch, "install", "ardour", "--to", tmp_path / "nowhere") == 1
