"""The Remote Script in a fake Live that ticks, with the real daemon: chops, flags and stems of the selected clip."""

import ast
import importlib
import json
import socket
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import tool_is_missing
from hypothesis import given
from hypothesis import strategies as st
from live_fake import Clip, Song
from live_host import PACKAGE, LiveHost, live_modules, live_with_script
from tiny_models import tiny_curves, tiny_flagger, tiny_live4

from bridge.chops.analysis import analyse
from bridge.chops.chopping import chop
from bridge.chops.listening import open_network
from bridge.chops.settings import ChopSettings
from bridge.config import Audio, Config, Osc
from bridge.daemon import Daemon
from bridge.osc_packet import read_packet, write_message
from bridge.osc_table import BY_ADDRESS

with live_modules():
    script_osc = importlib.import_module(f"{PACKAGE}.osc")
    script_settings = importlib.import_module(f"{PACKAGE}.settings")
DEFAULTS = script_settings.DEFAULTS
ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "ableton_scripts" / "Sidechop"
RATE = 44100
CLICKS = (0.1, 0.35, 0.5, 0.8)
SOON_S = 0.01
"""Where Live waits for the daemon and nothing runs by the clock, ticks may follow each other faster."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A take of 4 s with four clicks a second, and one that hisses from 6 to 9 s."""
    folder = tmp_path_factory.mktemp("live")
    one = np.random.default_rng(0).standard_normal(RATE) * 1e-5
    for k, second in enumerate(CLICKS):
        one[round(second * RATE)] += 0.2 + 0.2 * k
    soundfile.write(folder / "take.wav", np.tile(one, 4).astype(np.float32), RATE, subtype="FLOAT")
    t = np.arange(12 * RATE) / RATE
    odd = 0.2 * np.sin(2 * np.pi * 220 * t) * (1 + 0.3 * np.sin(4 * np.pi * t))
    odd[6 * RATE : 9 * RATE] += 0.1 * np.random.default_rng(1).standard_normal(3 * RATE)
    soundfile.write(folder / "hiss.wav", odd.astype(np.float32), RATE, subtype="FLOAT")
    tiny_live4(folder / "tiny.onnx")
    tiny_curves(folder / "tiny-chops.onnx")
    tiny_flagger(folder / "tiny-flags.onnx")
    return folder


@pytest.fixture(scope="module")
def daemon(folder: Path) -> Iterator[Daemon]:
    source = Audio(file=folder / "take.wav", loop=True, block=256, channels=1)
    with Daemon(Config(model=str(folder / "tiny.onnx"), audio=source, osc=Osc(port=0))) as daemon:
        yield daemon


@pytest.fixture
def settings(daemon: Daemon, folder: Path) -> dict[str, Any]:
    return {
        "port": daemon.server.address[1],
        "listen_port": free_port(),
        "chop": {"model": str(folder / "tiny-chops.onnx"), "mode": "transient"},
        "flag": {"model": str(folder / "tiny-flags.onnx")},
        "separate": {"model": str(folder / "tiny.onnx")},
    }


@pytest.fixture
def song() -> Song:
    return Song()


@pytest.fixture
def live(song: Song, settings: dict[str, Any]) -> Iterator[LiveHost]:
    with live_with_script(song, **settings) as live:
        yield live


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def select(song: Song, clip: Clip) -> Clip:
    if clip.is_arrangement_clip:
        song.tracks[0].arrangement_clips.append(clip)
    else:
        song.tracks[0].clip_slots[1].clip = clip
    song.view.detail_clip = clip
    return clip


def chops_of(folder: Path, start_s: float = 0.0, end_s: float | None = None) -> list[int]:
    """What `sidechop chop` finds: frames of the file."""
    network = open_network(folder / "tiny-chops.onnx")
    found = chop(analyse(folder / "take.wav", network, start_s, end_s), ChopSettings(mode="transient"))
    return [c.position for c in found.chops]


def test_chops_become_the_slices_of_a_simpler(live: LiveHost, song: Song, folder: Path) -> None:
    select(song, Clip(song, str(folder / "take.wav")))
    assert live.act("chop", seconds=SOON_S) == "16 slices in take.wav"
    simpler = song.tracks[-1].devices[0]
    assert list(simpler.sample.slices) == chops_of(folder)
    assert (simpler.playback_mode, simpler.sample.slicing_style) == (2, 3)
    song.undo()
    assert len(song.tracks) == 1, "all of it was one step"
    assert not song._steps


def test_chops_become_a_drum_rack(live: LiveHost, song: Song, folder: Path) -> None:
    select(song, Clip(song, str(folder / "take.wav")))
    assert live.act("chop", "rack", seconds=SOON_S) == "16 pads"
    assert list(song.tracks[-1].devices[0].pads) == chops_of(folder)
    song.undo()
    assert len(song.tracks) == 1


def test_only_what_the_clip_plays_is_chopped(live: LiveHost, song: Song, folder: Path) -> None:
    clip = select(song, Clip(song, str(folder / "take.wav")))
    clip.start_marker, clip.end_marker = 1.0, 2.25
    assert live.act("chop", seconds=SOON_S) == "5 slices in take.wav"
    assert list(song.tracks[-1].devices[0].sample.slices) == chops_of(folder, 1.0, 2.25)


WARPS = ([(0.0, 0.0), (1.0, 2.0)], [(0.0, 0.0), (1.0, 1.7), (2.5, 4.9), (3.0, 6.2)], [(0.2, -1.0), (3.9, 8.5)])


@pytest.mark.parametrize("markers", WARPS)
def test_warp_markers_move_nothing(
    live: LiveHost, song: Song, folder: Path, markers: list[tuple[float, float]]
) -> None:
    """Each lies on its chop, at the beat at which it sounded before."""
    clip = select(song, Clip(song, str(folder / "take.wav"), markers))
    clip.start_marker = clip.sample_to_beat_time(0)
    frames = np.linspace(0, clip.sample_length, 333)
    before = [clip.sample_to_beat_time(frame) for frame in frames]
    assert live.act("chop", "warp", seconds=SOON_S) == "16 warp markers"
    assert np.allclose([clip.sample_to_beat_time(frame) for frame in frames], before, atol=1e-9)
    seconds = [marker.sample_time for marker in clip.warp_markers]
    assert {round(s * RATE, 6) for s in seconds} >= {float(c) for c in chops_of(folder)}
    assert live.act("chop", "warp", seconds=SOON_S) == "0 warp markers"
    song.undo()
    assert len(clip.warp_markers) == len(markers) + 1


@pytest.mark.parametrize("version", [11, 12])
def test_cue_points_lie_where_chops_are_heard(settings: dict[str, Any], folder: Path, version: int) -> None:
    """Around a cue of the user's that stays, and with the playhead back where it was."""
    song = Song(version)
    clip = select(song, Clip(song, str(folder / "take.wav"), WARPS[1], start_time=32.0))
    clip.start_marker, clip.end_marker = clip.sample_to_beat_time(RATE), clip.sample_to_beat_time(2 * RATE)
    frames = chops_of(folder, 1.0, 2.0)
    wanted = [32.0 + clip.sample_to_beat_time(frame) - clip.start_marker for frame in frames]
    song._time = wanted[2]
    song.set_or_delete_cue()
    song._time = 5.0
    with live_with_script(song, **settings) as live:
        assert live.act("chop", "cues", seconds=SOON_S) == "3 cue points"
        live.tick(SOON_S)
    assert np.allclose(sorted(cue.time for cue in song.cue_points), wanted, atol=1e-9)
    assert song.current_song_time == 5.0
    names = [cue.name for cue in sorted(song.cue_points, key=lambda cue: cue.time)]
    assert names == (["1 onset", "2 onset", "1", "4 onset"] if version == 12 else ["2", "3", "1", "4"])
    song.undo()
    assert [cue.time for cue in song.cue_points] == [wanted[2]]


def test_a_looped_clip_has_a_cue_for_each_turn(live: LiveHost, song: Song, folder: Path) -> None:
    clip = select(song, Clip(song, str(folder / "take.wav"), WARPS[0], start_time=8.0))
    clip.looping, clip.start_marker, clip.loop_start, clip.loop_end = True, 0.0, 2.0, 4.0
    clip.length_in_arrangement = 7.0
    assert live.act("chop", "cues", seconds=SOON_S).endswith("cue points")
    beats = [frame / RATE * 2 for frame in chops_of(folder, 0.0, 2.0)]
    wanted = [8 + b for b in beats] + [12 + b - 2 for b in beats if b >= 2] + [14 + b - 2 for b in beats if 2 <= b < 3]
    assert np.allclose(sorted(cue.time for cue in song.cue_points), sorted(wanted), atol=1e-9)


def test_flags_become_cue_points_at_their_ends(live: LiveHost, song: Song, folder: Path) -> None:
    """The clip is not warped: seconds of the file are beats by the song's tempo."""
    song.tempo = 90.0
    select(song, Clip(song, str(folder / "hiss.wav"), start_time=16.0))
    assert live.act("flag", seconds=SOON_S) == "2 cue points"
    start, end = sorted(song.cue_points, key=lambda cue: cue.time)
    assert abs((start.time - 16) * 60 / 90 - 6.0) < 0.4
    assert abs((end.time - 16) * 60 / 90 - 9.0) < 0.4
    assert start.name.startswith("noise ")
    assert end.name == "noise end"


def stems_told(daemon: Daemon) -> None:
    if "/sidechop/separate/file" not in BY_ADDRESS:
        tool_is_missing("this daemon has no job for stems yet")


@pytest.mark.parametrize("warped", [False, True])
def test_stems_become_clips_on_new_tracks_in_time_with_the_clip(
    daemon: Daemon, live: LiveHost, song: Song, folder: Path, tmp_path: Path, warped: bool
) -> None:
    stems_told(daemon)
    song.auto_warp = [(0.0, 0.0), (0.9, 1.0), (1.3, 2.0)] if warped else None
    song.file_path = str(tmp_path / "set.als")
    song.create_audio_track(-1)
    song._steps.clear()
    clip = select(song, Clip(song, str(folder / "take.wav"), WARPS[1] if warped else None, start_time=12.0))
    start, end = (clip.sample_to_beat_time(s * RATE) if warped else s for s in (1.0, 3.0))
    clip.start_marker, clip.end_marker = start, end
    assert live.act("stems", seconds=SOON_S) == "4 stems"
    names = [track.name for track in song.tracks]
    assert names == ["1-Audio", *(f"take ({stem})" for stem in ("vocals", "drums", "bass", "other")), "Audio"]
    for track in song.tracks[1:5]:
        (stem,) = track.arrangement_clips
        assert stem.start_time == 12.0
        assert stem.warping == warped
        assert Path(stem.file_path).parent == tmp_path / "Samples" / "Sidechop" / "take"
        assert soundfile.info(stem.file_path).frames == 2 * RATE
        for frame in range(0, 2 * RATE, 1000):
            there = stem.sample_to_beat_time(frame) if warped else frame / RATE
            here = clip.sample_to_beat_time(RATE + frame) if warped else 1.0 + frame / RATE
            assert abs((there - stem.start_marker) - (here - start)) < 1e-6
    song.undo()
    assert [track.name for track in song.tracks] == ["1-Audio", "Audio"]


def test_stems_of_a_session_clip_go_beside_it(
    daemon: Daemon, live: LiveHost, song: Song, folder: Path, tmp_path: Path
) -> None:
    stems_told(daemon)
    song.file_path = str(tmp_path / "set.als")
    select(song, Clip(song, str(folder / "take.wav")))
    assert live.act("stems", seconds=SOON_S) == "4 stems"
    assert all(track.clip_slots[1].has_clip for track in song.tracks[1:])


def test_a_message_starts_an_action_and_is_answered(
    live: LiveHost, song: Song, folder: Path, settings: dict[str, Any]
) -> None:
    select(song, Clip(song, str(folder / "take.wav")))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as remote:
        remote.setblocking(False)

        def answer() -> list[Any]:
            try:
                return list(read_packet(remote.recv(4096))[0])
            except BlockingIOError:
                return []

        def send(address: str, *values: Any) -> None:
            remote.sendto(write_message(address, values), ("127.0.0.1", settings["listen_port"]))

        remote.sendto(b"nonsense", ("127.0.0.1", settings["listen_port"]))
        send("/somebody/else")
        send("/sidechop/live/chop", "slices")
        send("/sidechop/live/flag")
        assert live.until(answer) == ["/sidechop/live/error", ["still at work: wait until it is done"]]
        assert live.until(answer, seconds=SOON_S) == ["/sidechop/live/done", ["16 slices in take.wav"]]
        send("/sidechop/live/dance")
        assert live.until(answer)[1] == ["dance is no action; there is chop, flag, stems, follow"]
        send("/sidechop/live/chop", "confetti")
        assert live.until(answer)[1] == ["chops become slices or rack or warp or cues, not confetti"]
    assert "Sidechop: 16 slices in take.wav" in live.shown


@pytest.mark.parametrize(
    ("press", "release"), [((0x9F, 36, 100), (0x9F, 36, 0)), ((0xBF, 20, 127), (0xBF, 20, 0))], ids=["key", "button"]
)
def test_a_key_or_a_button_starts_an_action(
    song: Song, settings: dict[str, Any], folder: Path, press: tuple[int, int, int], release: tuple[int, int, int]
) -> None:
    select(song, Clip(song, str(folder / "take.wav")))
    with live_with_script(song, **settings, midi_ccs={"chop": 20, "flag": None}) as live:
        for message in ((0x90, 36, 100), (0x9F, 99, 100), (0xBF, 21, 127), release):
            live.midi(*message)
        live.tick()
        assert live.shown == []
        live.midi(*press)
        live.midi(*release)
        live.until(lambda: "Sidechop: 16 slices in take.wav" in live.shown, seconds=SOON_S)
    assert len(song.tracks) == 2


def test_what_cannot_be_done_is_told_and_changes_nothing(live: LiveHost, song: Song, folder: Path) -> None:
    assert live.act("chop") == "! select an audio clip first"
    clip = select(song, Clip(song, str(folder / "take.wav")))
    assert live.act("chop", "cues", seconds=SOON_S) == "! cue points lie in the arrangement: select a clip there"
    assert live.act("flag") == "! cue points lie in the arrangement: select a clip there"
    assert live.act("chop", "warp", seconds=SOON_S) == "! switch Warp on in the clip first"
    clip.file_path = str(folder / "gone.wav")
    assert "gone.wav" in live.act("chop", seconds=SOON_S)
    clip.file_path = str(folder / "take.wav")
    clip.is_arrangement_clip = True
    song.is_playing = True
    assert live.act("chop", "cues", seconds=SOON_S) == "! stop Live first: a cue point needs its playhead"
    song.is_playing = False
    assert not song._steps
    assert song.cue_points == []
    assert live.act("chop", "cues", seconds=SOON_S).endswith("cue points"), "and it still works"


def test_without_a_daemon_the_user_is_told_what_to_start(song: Song, settings: dict[str, Any], folder: Path) -> None:
    select(song, Clip(song, str(folder / "take.wav")))
    port = free_port()
    with live_with_script(song, **{**settings, "port": port}) as live:
        for _ in range(2):
            assert live.act("chop") == f"! no daemon at 127.0.0.1:{port}: start it with 'sidechop live'"


def test_a_daemon_that_falls_silent_is_given_up(song: Song, settings: dict[str, Any], folder: Path) -> None:
    select(song, Clip(song, str(folder / "take.wav")))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with live_with_script(song, **{**settings, "port": port}) as live:
            sys.modules[f"{PACKAGE}.daemon_link"].__dict__["SILENT_S"] = 0.3
            assert live.act("chop", seconds=SOON_S) == f"! the daemon at 127.0.0.1:{port} has gone silent"


def test_a_token_is_shown_first(song: Song, settings: dict[str, Any], folder: Path) -> None:
    source = Audio(file=folder / "take.wav", loop=True, block=256, channels=1)
    config = Config(model=str(folder / "tiny.onnx"), audio=source, osc=Osc(port=0, token="secret"))
    with Daemon(config) as daemon:
        for token, text in (("secret", "chops and flags of what is played"), ("guess", "! wrong token")):
            with live_with_script(song, **{**settings, "port": daemon.server.address[1], "token": token}) as live:
                assert live.act("follow", 1, seconds=SOON_S).startswith(text)


def test_live_that_is_followed_gets_cue_points_when_it_stops(
    song: Song, settings: dict[str, Any], folder: Path
) -> None:
    """Live plays; the session hears clicks; each is a cue point at the beat that Live was at, to a tick."""
    source = Audio(file=folder / "take.wav", loop=True, block=256, channels=1)
    chopper = tiny_curves(folder / "tiny-live-chops.onnx", "frame-hop")
    config = Config(model=str(folder / "tiny.onnx"), chops=str(chopper), audio=source, osc=Osc(port=0))
    with Daemon(config) as daemon:
        running = threading.Thread(target=daemon.run)
        running.start()
        with live_with_script(song, **{**settings, "port": daemon.server.address[1]}) as live:
            assert live.act("follow", 1).startswith("chops and flags of what is played")
            song._time, song.is_playing = 64.0, True
            for _ in range(20):
                live.tick()
            song.is_playing = False
            live.until(lambda: any("cue points" in text and text[10:11].isdigit() for text in live.shown))
            assert live.act("follow", 0) == "follows no longer"
        daemon.request_stop()
        running.join()
    times = sorted(cue.time for cue in song.cue_points)
    assert len(times) >= 4
    assert 63.9 <= times[0] <= times[-1] <= 64 + 2.2 * 2
    apart = sorted({round(b - a, 1) for a, b in pairwise(times)})
    assert set(apart) <= {round(2 * gap + wrong, 1) for gap in (0.25, 0.15, 0.3) for wrong in (-0.1, 0.0, 0.1)}


def test_a_port_that_is_taken_and_settings_that_are_wrong_are_told(
    song: Song, settings: dict[str, Any], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with live_with_script(song, **{**settings, "listen_port": port}) as live:
            assert live.shown == [
                f"Sidechop: UDP port {port} is taken by another program: set listen_port in settings.json"
            ]
            assert live.act("chop") == "! select an audio clip first", "the rest works on"
    wrong = {
        "{": "is not JSON",
        "[]": "holds no object",
        '{"prot": 1}': "prot is no setting",
        '{"port": "x"}': "port is 'x'",
        '{"port": true}': "port is True",
        '{"port": 99999}': "expected a UDP port",
        '{"chops": "dust"}': "chops is 'dust'",
        '{"midi_channel": 0}': "midi_channel is 0",
        '{"midi_notes": {"chop": 128}}': "midi_notes: chop is 128",
        '{"midi_ccs": {"flag": "x"}}': "midi_ccs: flag is 'x'",
    }
    for text, words in wrong.items():
        (tmp_path / "settings.json").write_text(text)
        with pytest.raises(script_settings.SettingsError, match=r"settings\.json") as refused:
            script_settings.read_settings(str(tmp_path))
        assert words in str(refused.value)
    (tmp_path / "settings.json").write_text('{"chops": "cues", "midi_notes": {"chop": null}}')
    assert script_settings.read_settings(str(tmp_path)) == {**DEFAULTS, "chops": "cues", "midi_notes": {"chop": None}}
    assert script_settings.read_settings(str(tmp_path / "nowhere")) == DEFAULTS


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_subnormal=False),
    st.text(st.characters(codec="utf-8", exclude_characters="\0")),
)


@given(st.lists(VALUES, max_size=8))
def test_its_osc_is_the_bridges(values: list[Any]) -> None:
    datagram = script_osc.encode("/sidechop/x", *values)
    assert read_packet(datagram, limit=10**6) == [("/sidechop/x", values)]
    assert script_osc.decode(datagram) == ("/sidechop/x", values)
    assert script_osc.decode(write_message("/y", [v for v in values if not isinstance(v, float)]))[0] == "/y"


@given(st.binary(max_size=64))
def test_bytes_that_are_no_osc_are_refused_in_one_way(data: bytes) -> None:
    for start in (b"", b"/a\0\0,", b"/a\0\0,ifs\0\0\0\0"):
        try:
            script_osc.decode(start + data)
        except script_osc.Malformed:
            continue


def sources() -> list[Path]:
    return sorted(SCRIPT.glob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_it_runs_on_live_11(path: Path) -> None:
    """Python 3.7, nothing but its library, Live and the framework."""
    tree = ast.parse(path.read_text(), feature_version=(3, 7))
    allowed = {*sys.stdlib_module_names, "Live", "ableton"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {name.name.split(".")[0] for name in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert (node.module or "").split(".")[0] in allowed
    assert "threading" not in path.read_text()
    assert json.dumps(DEFAULTS)
