"""The flag actions in a project, with the real daemon: regions on their samples, the cut list, flags while playing."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import wait_for
from reaper_api import Api
from reaper_project import Item
from reaper_script import Script, run
from reaper_session import Session, picture, session, write_clip
from tiny_models import tiny_flagger, tiny_live4

from bridge.config import Audio, Config, Osc
from bridge.daemon import Daemon
from bridge.osc_client import OscClient

RATE = 44100
GAP = (6 * RATE, 6 * RATE + 9261)
"""Where the take is cut off, in samples: a dropout of 0.21 s."""
FLAG, LIVE = "Flag selected items", "Flags while recording"
LOOP_S = 4.0
HISS = (1.0, 2.0)
"""What the session plays over and over hisses here, in seconds."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    clip = write_clip(folder / "take.wav")
    audio, _ = soundfile.read(clip)
    audio[GAP[0] : GAP[1]] = 0.0
    soundfile.write(clip, audio, RATE, subtype="PCM_16")
    t = np.arange(round(LOOP_S * RATE)) / RATE
    sound = 0.2 * np.sin(2 * np.pi * 220 * t) * (1 + 0.3 * np.sin(4 * np.pi * t))
    inside = (t >= HISS[0]) & (t < HISS[1])
    sound[inside] += 0.1 * np.random.default_rng(0).standard_normal(np.count_nonzero(inside))
    soundfile.write(folder / "loop.wav", sound.astype(np.float32), RATE, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def daemon(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp("home")))
        source = Audio(file=folder / "loop.wav", loop=True, block=1024, channels=1)
        models = {"model": str(tiny_live4(folder / "tiny.onnx")), "flags": str(tiny_flagger(folder / "flags.onnx"))}
        with Daemon(Config(**models, history_s=0, audio=source, osc=Osc(port=0))) as daemon:
            daemon.listen_for_flags(False)
            running = threading.Thread(target=daemon.run)  # which tells levels, and so how far the session is
            running.start()
            yield daemon
            daemon.request_stop()
            running.join()


@pytest.fixture(scope="module")
def reaper(tmp_path_factory: pytest.TempPathFactory, daemon: Daemon) -> Iterator[Session]:
    with session(tmp_path_factory.mktemp("reaper"), daemon.server.address[1]) as opened:
        yield opened


@pytest.fixture(scope="module")
def told(daemon: Daemon, folder: Path) -> tuple[list[Any], list[Any]]:
    """The flags and the parts that the daemon tells a client of its own."""
    flags, parts = [], []
    with OscClient(*daemon.server.address, timeout_s=60) as client:
        client.request(
            "/sidechop/flag/file", str(folder / "take.wav"), 0.0, 12.0, "{}",
            on_item=lambda item: (flags if len(item) == 8 else parts).append(list(item)),
        )  # fmt: skip
    return flags, parts


def take(api: Api, folder: Path, position: float = 20.0, rate: float = 1.0) -> Item:
    item = api.project.add_item(
        api.project.add_track("take"), folder / "take.wav", position, 12.0 / rate, 0.0, rate, loops=False
    )
    api.project.settle()
    return item


@pytest.mark.parametrize("rate", [1.0, 1.25])
def test_regions_lie_on_the_samples_with_their_scores(
    reaper: Session, folder: Path, told: tuple[list[Any], list[Any]], rate: float
) -> None:
    api = reaper.project()
    take(api, folder, 20.0, rate)
    before = picture(api.project.state)
    run(api, FLAG)
    assert api.messages == []
    wanted = [(flag[1], flag[2], f"{flag[5]} {flag[3]:.2f}") for flag in told[0]]
    found = [
        ((m.position - 20.0) * rate * RATE, (m.end - 20.0) * rate * RATE, m.name) for m in api.project.state.markers
    ]
    assert all(m.region for m in api.project.state.markers)
    assert np.allclose([f[:2] for f in found], [w[:2] for w in wanted], atol=1e-3)
    assert [f[2] for f in found] == [w[2] for w in wanted]
    assert any(abs(start - GAP[0]) < 50 and abs(end - GAP[1]) < 50 and "dropout" in name for start, end, name in found)
    assert [name for name, _ in api.project.undo_steps] == ["Sidechop: flag selected items"]
    assert api.project.edits_outside == 0
    api.project.undo()
    assert picture(api.project.state) == before


def test_take_markers_instead(reaper: Session, folder: Path, told: tuple[list[Any], list[Any]]) -> None:
    api = reaper.project(flag_as="take markers")
    item = take(api, folder)
    run(api, FLAG)
    assert item.take is not None
    assert np.allclose([m[0] * RATE for m in item.take.markers], [flag[1] for flag in told[0]], atol=1e-3)
    assert api.project.state.markers == []


@pytest.mark.parametrize("how", ["muted", "removed", "closed up"])
def test_the_cut_list_keeps_the_parts_to_the_sample(
    reaper: Session, folder: Path, told: tuple[list[Any], list[Any]], how: str
) -> None:
    api = reaper.project(flag_cut=how)
    take(api, folder)
    run(api, FLAG)
    assert api.messages == []
    kept = [item for item in api.project.items if not item.values["B_MUTE"]]
    parts = [(start, end) for _, start, end in told[1]]
    assert len(parts) >= 2
    shown = []
    for item in kept:
        assert item.take is not None
        offset = item.take.values["D_STARTOFFS"]
        shown.append((offset * RATE, (offset + item.length) * RATE))
    assert np.allclose(shown, parts, atol=1e-3)
    muted = [item for item in api.project.items if item.values["B_MUTE"]]
    assert bool(muted) == (how == "muted")
    assert bool(api.project.state.markers) == (how != "closed up")
    if how == "closed up":
        assert np.allclose([item.start for item in kept[1:]], [item.end for item in kept[:-1]], atol=1e-9)
    else:
        assert np.allclose([(item.start - 20.0) * RATE for item in kept], [start for start, _ in parts], atol=1e-3)
    assert len(api.project.undo_steps) == 1


def test_a_share_to_keep_is_asked_for_and_silence_is_refused(reaper: Session, folder: Path, tmp_path: Path) -> None:
    api = reaper.project(flag_keep="0.6", flag_cut="removed")
    take(api, folder)
    run(api, FLAG)
    assert abs(sum(item.length for item in api.project.items) / 12.0 - 0.6) < 0.05
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(RATE * 12), RATE)
    api = reaper.project()
    api.project.add_item(api.project.add_track(), silent, 0.0, 12.0)
    run(api, FLAG)
    assert "is silent" in api.messages[0]
    assert api.project.state.markers == []
    assert api.project.undo_steps == []


@pytest.mark.parametrize("phase", [2.5, 1.2], ids=["begun-before-it-hisses", "begun-while-it-hisses"])
def test_flags_while_playing_land_where_they_were_heard(reaper: Session, daemon: Daemon, phase: float) -> None:
    """The cursor runs with the session: what hisses once in four seconds becomes a region there, and one undo step.
    What hissed before anybody listened is not in it."""
    api = reaper.project()
    ahead = 100.0  # the timeline is so far from the session's time

    def session_s() -> float:
        return float(daemon.lane.counters["in_written"]) / RATE

    api.play = (5, lambda: ahead + session_s())  # playing and recording
    wait_for(lambda: abs(session_s() % LOOP_S - phase) < 0.1, 30.0)
    script = Script(api, LIVE)
    assert api.toggles == {(0, 53000): 1}
    script.wait(until=lambda: daemon.listens_for_flags, limit_s=40)
    begun_s = session_s()
    script.wait(until=lambda: len(api.project.state.markers) >= 2, limit_s=40)
    assert script.options & 1  # run again, it ends
    script.end()
    assert api.toggles == {(0, 53000): 0}
    assert api.messages == []
    for marker in api.project.state.markers:
        assert marker.region
        assert "noise" in marker.name
        round_s = (marker.end - ahead) // LOOP_S * LOOP_S
        heard_s = max(round_s + HISS[0], begun_s)
        assert abs(marker.position - ahead - heard_s) < 0.4  # the network's own step, and the clock to within a message
        assert abs(marker.end - ahead - round_s - HISS[1]) < 0.4
    assert [name for name, _ in api.project.undo_steps][-1] == "Sidechop: flags while recording"
    daemon.listen_for_flags(False)


def test_nothing_is_drawn_while_the_transport_stands(reaper: Session, daemon: Daemon) -> None:
    api = reaper.project()
    script = Script(api, LIVE)
    heard = daemon.flags.count
    script.wait(until=lambda: daemon.flags.count > heard + 1, limit_s=40)
    script.end()
    assert (api.project.state.markers, api.project.undo_steps, api.messages) == ([], [], [])
    daemon.listen_for_flags(False)


def test_gaps_are_what_no_part_covers() -> None:
    from reaper_script import SCRIPTS, lua54

    lua = lua54.LuaRuntime(unpack_returned_tuples=True)
    lua.execute(f'package.path = "{SCRIPTS}/lib/?.lua"; reaper = {{}}')
    gaps = lua.eval('function(view, parts, a, b) return require("flag_actions").gaps(view, parts, a, b) end')
    view = {"position": 1.0, "length": 9.0, "offset": 0.0, "rate": 1.0, "source_length": 3.0, "section_start": 0.0}
    view["loops"] = True  # type: ignore[assignment]
    parts = lua.table_from([lua.table_from([0.5, 1.0]), lua.table_from([1.0, 2.0])])
    found = [(g[1], g[2]) for g in gaps(lua.table_from(view), parts, 1.0, 8.0).values()]
    assert found == [(1.0, 1.5), (3.0, 4.5), (6.0, 7.5)]
