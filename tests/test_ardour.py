"""Ardour itself, on its dummy backend: chops of a clip on a track become markers, read back from the saved session."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import Command, run
from conftest import tool_is_missing
from tiny_models import tiny_curves

from benchmarks.ardour_host import ArdourHost, Clip, missing_tool, running
from bridge.daws.ardour import Ardour, rate_of
from bridge.daws.ardour_session import read_session
from bridge.daws.daw import DawError, Marker
from streaming.errors import RequestError

RATE = 48000
HITS = (0.1, 0.35, 0.5, 0.8)
SECONDS = 10
CLIPS = (Clip(96001, 24000, 3 * RATE), Clip(20 * RATE + 7, 5 * RATE + 11, RATE))
"""The second begins inside a second of audio, so that no hit lies on its edge."""


def take() -> np.ndarray:
    audio = np.zeros((2, SECONDS * RATE), np.float32)
    rng = np.random.default_rng(0)
    audio += rng.standard_normal(audio.shape[1]).astype(np.float32) * 1e-5
    for second in range(SECONDS):
        for k, hit in enumerate(HITS):
            audio[:, round((second + hit) * RATE)] += 0.2 + 0.2 * k
    return audio


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> ArdourHost:
    if missing := missing_tool():
        tool_is_missing(missing)
    return ArdourHost(tmp_path_factory.mktemp("ardour"), take(), RATE, CLIPS)


@pytest.fixture(scope="module")
def port(host: ArdourHost) -> Iterator[int]:
    with running(host) as port:
        yield port


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_curves(tmp_path_factory.mktemp("models") / "tiny-chops.onnx")


@pytest.fixture
def chop(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], model: Path) -> Command:
    return Command("chop", monkeypatch, capfd, model)


def saved(host: ArdourHost, port: int) -> list[tuple[int, str]]:
    """The markers of the session, after it was told to save itself."""
    before = host.file.stat().st_mtime_ns
    with Ardour(port=port) as ardour:
        ardour.save()
        end = time.monotonic() + 10
        while host.file.stat().st_mtime_ns == before:
            assert time.monotonic() < end, "Ardour did not save"
            time.sleep(0.02)
        ardour.sample()
    return sorted(host.saved().markers)


def test_markers_lie_on_their_samples_and_the_playhead_where_it_was(host: ArdourHost, port: int) -> None:
    rng = np.random.default_rng(3)
    wanted = sorted((int(sample), f"m{i} é→") for i, sample in enumerate(rng.integers(0, 10**8, 12)))
    before = saved(host, port)
    with Ardour(port=port) as ardour:
        ardour._locate(4321)
        assert ardour.place([Marker(sample / RATE, name) for sample, name in wanted]) == 12
        assert ardour.rate == RATE, "found, not told"
        assert ardour.sample() == 4321
        assert ardour.place([Marker(wanted[0][0] / RATE, wanted[0][1])]) == 0, "it is there already"
    assert sorted({*saved(host, port)} - {*before}) == wanted


def test_chops_of_a_clip_land_where_the_clip_lies_and_only_once(host: ArdourHost, port: int, chop: Command) -> None:
    """What `sidechop chop --to ardour` does, from the file on the track to the saved session: 0 samples off."""
    before = saved(host, port)
    file = host.audio[0]
    found = chop.json(file, "--mode", "transient")["items"]
    positions = [item["position"] for item in found]
    assert len(positions) == SECONDS * len(HITS)
    wanted = sorted(
        clip.position + position - clip.start
        for clip in CLIPS
        for position in positions
        if clip.start <= position < clip.start + clip.length
    )
    assert len(wanted) == 12 + 4
    to = ("--mode", "transient", "--to", f"ardour:{port}", "--session", host.file)
    code, _, error = chop(file, *to)
    assert code == 0
    assert error == "sidechop: → Ardour: 16 markers\n"
    new = sorted({*saved(host, port)} - {*before})
    assert [sample for sample, _ in new] == wanted
    assert {name.split()[1] for _, name in new} == {"onset"}
    assert chop(file, *to)[2] == "sidechop: → Ardour: 0 markers, 16 were there already\n"
    assert len(saved(host, port)) == len(before) + 16


def test_results_of_any_command_are_placed_by_one(
    host: ArdourHost,
    port: int,
    chop: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    before = saved(host, port)
    results = chop.json(host.audio[1], "--mode", "transient", "--start", 1, "--end", 2)
    flag = {"kind": "flag", "start_s": 1.5, "end_s": 1.75, "score": 0.98, "label": "noise"}
    results["items"] += [flag, {"kind": "part", "start_s": 0, "end_s": 1}]
    (tmp_path / "results.json").write_text(json.dumps(results) + "\n")
    assert run(monkeypatch, "markers", tmp_path / "results.json", "--offset", 100, "--to", f"ardour:{port}") == 0
    new = sorted({*saved(host, port)} - {*before})
    chops = [(100 * RATE + item["position"], f"{n} onset") for n, item in enumerate(results["items"][:4], 1)]
    assert new == sorted([*chops, (round(101.5 * RATE), "noise 0.98"), (round(101.75 * RATE), "noise end")])


def test_a_rolling_ardour_is_left_alone(port: int) -> None:
    with Ardour(port=port, rate=RATE) as ardour:
        ardour._link.send("/locate", 48000, 1)  # and roll
        end = time.monotonic() + 5
        while not ardour.playhead().rolling:
            assert time.monotonic() < end
        with pytest.raises(DawError, match="Ardour is rolling"):
            ardour.place([Marker(1.0, "no")])
        first = ardour.playhead()
        time.sleep(0.3)
        second = ardour.playhead()
        assert 0.2 < second.position - first.position < 1.0
        ardour._link.send("/transport_stop")
        while ardour.playhead().rolling:
            assert time.monotonic() < end
        assert ardour.playhead().speed == 1.0


def test_what_ardour_cannot_do_is_said(host: ArdourHost, port: int, chop: Command, tmp_path: Path) -> None:
    with Ardour(port=port, rate=RATE) as ardour:
        before = ardour.sample()
        for marker in (Marker(-1.0, "before"), Marker(1e6, "after"), Marker(1.0, "beat", "beats")):
            assert not ardour.takes(marker)
            with pytest.raises(DawError, match="has no place at"):
                ardour.place([Marker(2.0, "nor this"), marker])
        assert ardour.sample() == before
    other = tmp_path / "other.wav"
    other.write_bytes(host.audio[0].read_bytes())
    cases = {
        ("--to", "ardour", "--session", host.file): "no region plays other.wav; there is take%L.wav, take%R.wav",
        ("--to", "cubase"): "no DAW is called 'cubase' here; choose from ardour, ableton-osc",
        ("--to", "ardour", "--session", host.file, "--offset", 1): "leave out --offset",
        ("--to", "ableton-osc", "--session", host.file): "is a session file of Ardour",
        ("--to", "ardour", "--session", host.audio[0]): "cannot be read",
        ("--to", "ardour:9", "--offset", 0): "Ardour does not answer at 127.0.0.1:9: is it open, with OSC switched on",
        ("--offset", 3): "--offset is for --to",
    }
    for arguments, text in cases.items():
        code, _, error = chop(other, *arguments)
        assert code == 1
        assert text in error
        assert error.count("\n") == 1


def test_a_session_is_read(host: ArdourHost, tmp_path: Path) -> None:
    session = read_session(host.file)
    assert session.rate == RATE
    assert [(r.position, r.start, r.length) for r in session.regions] == [tuple(clip) for clip in CLIPS]
    assert session.regions[0].track == "take"
    assert set(session.regions[0].files) == set(host.audio)
    imported = tmp_path / "take.wav"
    imported.touch()
    assert len(session.regions_of(imported)) == 2, "the file that was imported is known by its name"
    text = host.file.read_text()
    for wrong in (text[: len(text) // 2], text.replace('version="7', 'version="3'), "<Session/>", "<a/>"):
        (tmp_path / "wrong.ardour").write_text(wrong)
        with pytest.raises(RequestError, match=r"wrong\.ardour"):
            read_session(tmp_path / "wrong.ardour")
    glued = text.replace("@a", "@b", 1)
    (tmp_path / "glued.ardour").write_text(glued)
    assert read_session(tmp_path / "glued.ardour").regions is not None


@pytest.mark.parametrize("rate", [44100, 48000, 88200, 96000])
def test_the_rate_follows_from_samples_and_milliseconds(rate: int) -> None:
    rng = np.random.default_rng(rate)
    for samples in rng.integers(9600, 10**9, 200):
        milliseconds = int(samples * 1000 // rate)
        assert rate_of(int(samples), milliseconds / 1000) == rate
    assert rate_of(0, 0.0) is None
    assert rate_of(48000, None) is None
