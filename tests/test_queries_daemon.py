"""Queries in a session with its real processes: typed while the music plays, swapped without a click, never dry."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import wait_for
from test_daemon import level, stays_wet
from tiny_models import UNKNOWN_GAIN, tiny_live4, tiny_query, tiny_text

from bridge import registry
from bridge.config import Audio, Config, Osc, Query, read_config
from bridge.daemon import Daemon
from bridge.osc_client import OscClient
from streaming.errors import ModelError, RequestError

RATE, BLOCK = 44100, 256
LOW, MID, HIGH = 0.1, 0.2, 0.3
"""Amplitudes of the three tones, one in each third of the spectrum."""


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tones that loop without a seam."""
    path = tmp_path_factory.mktemp("audio") / "tones.wav"
    t = np.arange(RATE) / RATE
    tones = sum(a * np.sin(2 * np.pi * f * t) for a, f in ((LOW, 882), (MID, 11025), (HIGH, 17640)))
    soundfile.write(path, np.stack([tones, tones], axis=1), RATE, subtype="FLOAT")
    return path


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny_text(tmp_path / "tiny-text.onnx")
    tiny_query(tmp_path / "query-live.onnx")
    tiny_live4(tmp_path / "live4.onnx")
    monkeypatch.setattr(registry, "shipped_folder", lambda: tmp_path)
    monkeypatch.setattr(registry, "models_folder", lambda: tmp_path / "none")
    return tmp_path


def config(song: Path, **more: Any) -> Config:
    return Config(audio=Audio(file=song, loop=True, block=BLOCK), osc=Osc(port=0), **more)


@pytest.fixture
def daemon(song: Path, models: Path) -> Iterator[Daemon]:
    presets = {"hats": Query.model_validate({"query": "high", "not": "mid", "strength": 0.5})}
    with Daemon(config(song, query=("low",), queries=presets)) as daemon:
        yield daemon


@pytest.fixture
def client(daemon: Daemon) -> Iterator[OscClient]:
    with OscClient(*daemon.server.address, timeout_s=10.0) as client:
        yield client


def status(client: OscClient) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(client.request("/sidechop/status")[0])
    return data


def dry_but_for_misses(daemon: Daemon) -> int:
    """Samples played dry while there was no engine to wait for: none that a busy machine's late block costs."""
    counters = daemon.lane.counters
    return int(counters["host_dry_frames"]) - BLOCK * int(counters["host_misses"])


def test_typed_while_the_music_plays(daemon: Daemon, client: OscClient) -> None:
    """The peak of one tone is its amplitude, so the meters tell which is heard."""
    told = status(client)
    assert told["model"] == "query-live"
    assert [stem["name"] for stem in told["stems"]] == ["query", "query 2", "rest"]
    wait_for(level(daemon, "query", LOW))
    wait_for(level(daemon, "query 2", 0))
    dry = dry_but_for_misses(daemon)
    assert client.request("/sidechop/query", 1, "high", "") == [daemon.lane.header["host_latency"]]
    wait_for(level(daemon, "query", HIGH))
    client.request("/sidechop/query", 2, "  LOW ", "")
    wait_for(level(daemon, "query 2", LOW))
    wait_for(level(daemon, "rest", MID))
    client.request("/sidechop/stem/solo", "query 2", True)
    wait_for(level(daemon, "mix", LOW))
    client.request("/sidechop/query", 2, "mid", "mid")
    wait_for(level(daemon, "query 2", MID / 2))
    client.request("/sidechop/query/clear", 2)
    wait_for(level(daemon, "query 2", 0))
    queries = status(client)["queries"]
    assert queries[0] == {"query": 1, "stem": "query", "text": "high", "not": "", "on": True, "strength": 1.0}
    assert (queries[1]["text"], queries[1]["on"]) == ("", False)
    wait_for(lambda: dry_but_for_misses(daemon) == dry)  # a block is counted in two steps
    wait_for(lambda: stays_wet(daemon))
    assert daemon.engine.restarts == 0


def test_strength_and_presets(daemon: Daemon, client: OscClient) -> None:
    client.request("/sidechop/query/strength", 1, 0.0)
    client.request("/sidechop/query", 1, "low", "")
    wait_for(level(daemon, "rest", 0))
    client.request("/sidechop/query", 1, "hats", "")
    row = status(client)["queries"][0]
    assert (row["text"], row["not"], row["strength"]) == ("high", "mid", 0.5)
    client.request("/sidechop/query/strength", 1, 1.0)
    wait_for(level(daemon, "query", HIGH))


def test_what_cannot_be_asked_changes_nothing(daemon: Daemon, client: OscClient) -> None:
    wait_for(level(daemon, "query", LOW))
    dry = dry_but_for_misses(daemon)
    for arguments, words in (((1, "?!", ""), "holds no word"), ((1, "low", "-"), "holds no word")):
        with pytest.raises(RequestError, match=words):
            client.request("/sidechop/query", *arguments)
    with pytest.raises(RequestError, match="query is 3, expected an integer from 1 to 2"):
        client.request("/sidechop/query", 3, "low", "")
    assert status(client)["queries"][0]["text"] == "low"
    wait_for(lambda: dry_but_for_misses(daemon) == dry)
    wait_for(lambda: stays_wet(daemon))


def test_another_model_is_asked_the_same(daemon: Daemon, client: OscClient, models: Path) -> None:
    """Even one with another text encoder; and one without queries comes and goes."""
    client.request("/sidechop/query", 1, "mid", "")
    tiny_text(models / "other-text.onnx")
    tiny_query(models / "other.onnx", text_encoder="other-text")
    client.request("/sidechop/model", "other")
    wait_for(level(daemon, "query", MID))
    client.request("/sidechop/model", "live4")
    told = status(client)
    assert (told["queries"], next(stem["name"] for stem in told["stems"])) == ([], "vocals")
    client.request("/sidechop/query", 2, "whatever", "")
    told = status(client)
    assert (told["model"], told["queries"][0]["text"]) == ("query-live", "mid")
    wait_for(level(daemon, "query", MID / (1 + UNKNOWN_GAIN)))  # each has its share of what both claim
    assert daemon.engine.restarts == 0


def test_an_engine_that_died_goes_on_with_the_query(daemon: Daemon, client: OscClient) -> None:
    wait_for(level(daemon, "query", LOW))
    pid = daemon.engine.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: daemon.engine.restarts == 1 and daemon.engine.pid != pid)
    wait_for(level(daemon, "query", LOW))


def test_a_session_that_cannot_begin_leaves_nothing(song: Path, models: Path) -> None:
    before = set(Path("/dev/shm").iterdir())
    with pytest.raises(RequestError, match="3 queries; 2 can be played at once"):
        Daemon(config(song, query=("low", "mid", "high"))).start()
    with pytest.raises(ModelError, match="live4 takes no queries: leave the model out"):
        Daemon(config(song, query=("low",), model="live4")).start()
    (models / "tiny-text.onnx").unlink()
    with pytest.raises(ModelError, match="reads queries with the text encoder 'tiny-text': no model is named"):
        Daemon(config(song, query=("low",))).start()
    (models / "query-live.onnx").unlink()
    with pytest.raises(ModelError, match=r"no model here takes queries \(query-live\)"):
        Daemon(config(song, query=("low",))).start()
    assert set(Path("/dev/shm").iterdir()) <= before


def test_settings_name_queries_and_presets(tmp_path: Path) -> None:
    path = tmp_path / "live.toml"
    path.write_text('query = ["crowd"]\nnot = ["wind"]\n[queries.crowd]\nquery = "a crowd"\nnot = "vocals"\n')
    read = read_config(Config, path, {"query": None, "not": None})
    assert (read.query, read.negative, read.queries["crowd"].negative) == (("crowd",), ("wind",), "vocals")
    assert read_config(Config, path, {"query": ["rain"]}).query == ("rain",)
    path.write_text('[queries.crowd]\nquery = "a"\nstrength = 2\n')
    with pytest.raises(RequestError, match=r"line 3: queries\.crowd\.strength: .*1 \(got 2\)"):
        read_config(Config, path, {})
