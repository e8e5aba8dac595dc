"""Chop jobs over OSC: files and what was just played, lock, re-roll, export, cancel; live audio never notices."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
from conftest import wait_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import MASKS, tiny_curves, tiny_live4

from bridge.chops.settings import ChopSettings
from bridge.config import Audio, Config, Fader, Osc
from bridge.daemon import Daemon
from bridge.jobs import jobs as jobs_module
from bridge.jobs.jobs import Jobs
from bridge.jobs.requests import read_options
from bridge.osc_client import NoAnswerError, OscClient
from bridge.osc_packet import write_message
from bridge.osc_table import BY_ADDRESS, SECONDS_MAX
from streaming.errors import RequestError
from streaming.lane import Lane

RATE = 44100
CLICKS = (0.1, 0.35, 0.5, 0.8)
"""Seconds, in a second of audio."""
NEAR = RATE // 200
"""A snap looks for the attack within 15 ms and for a zero crossing 2 ms before; on a click it is much nearer."""
FOREVER_S = 600


def audio(seconds: int) -> np.ndarray:
    """Clicks of several levels over noise that is too soft to matter."""
    rng = np.random.default_rng(0)
    one = rng.standard_normal(RATE) * 1e-5
    for k, second in enumerate(CLICKS):
        one[round(second * RATE)] += 0.2 + 0.2 * k
    return np.tile(one, seconds).astype(np.float32)


def click_positions(seconds: int) -> list[int]:
    return [round((s + click) * RATE) for s in range(seconds) for click in CLICKS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chops")
    soundfile.write(folder / "loop.wav", audio(1), RATE, subtype="FLOAT")
    soundfile.write(folder / "song.wav", audio(8), RATE, subtype="FLOAT")
    soundfile.write(folder / "long.wav", audio(FOREVER_S), RATE, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def options(folder: Path) -> Callable[..., str]:
    model = tiny_curves(folder / "tiny-chops.onnx")

    def write(**more: Any) -> str:
        return json.dumps({"model": str(model), "mode": "transient", **more})

    return write


@pytest.fixture(scope="module")
def daemon(folder: Path) -> Iterator[Daemon]:
    separator = tiny_live4(folder / "tiny.onnx")
    source = Audio(file=folder / "loop.wav", loop=True, block=256, channels=1)
    with Daemon(Config(model=str(separator), history_s=10, audio=source, osc=Osc(port=0))) as daemon:
        yield daemon


class Client(OscClient):
    """Remembers the items and the progress of the last request."""

    def ask(self, address: str, *values: Any) -> list[Any]:
        self.items: list[list[Any]] = []
        self.progress: list[tuple[float, str]] = []
        report = lambda fraction, text: self.progress.append((fraction, text))  # noqa: E731
        return list(self.request(address, *values, on_progress=report, on_item=lambda i: self.items.append(list(i))))

    @property
    def positions(self) -> list[int]:
        return [item[1] for item in self.items]


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with Client(*daemon.server.address, timeout_s=30.0) as client:
        yield client


def test_a_file_is_chopped_and_chopped_again(client: Client, folder: Path, options: Callable[..., str]) -> None:
    job, count, rate = client.ask("/sidechop/chop/file", str(folder / "song.wav"), 0.0, 0.0, options())
    wanted = click_positions(8)
    assert (count, rate, len(client.items)) == (len(wanted), RATE, len(wanted))
    assert np.abs(np.subtract(client.positions, wanted)).max() <= NEAR
    assert [item[0] for item in client.items] == list(range(count))
    assert [item[2] for item in client.items] == [*client.positions[1:], 8 * RATE]
    assert {(item[4], item[5]) for item in client.items} == {("onset", False)}
    assert client.progress[-1][0] == 1.0
    again, count, _ = client.ask("/sidechop/chop/file", str(folder / "song.wav"), 2.0, 4.05, options())
    assert (again > job, count) == (True, 8)
    assert np.abs(np.subtract(client.positions, [p for p in wanted if 2 * RATE <= p < 4.05 * RATE])).max() <= NEAR
    assert client.items[-1][2] == round(4.05 * RATE)


def test_what_was_just_played_is_chopped_in_the_sessions_time(
    daemon: Daemon, client: Client, options: Callable[..., str]
) -> None:
    wait_for(lambda: daemon.lane.counters["in_written"] > 4 * RATE, 20.0)
    before = int(daemon.lane.counters["in_written"])
    job, count, rate = client.ask("/sidechop/chop/recent", 3.0, options())
    after = int(daemon.lane.counters["in_written"])
    assert (rate, count) == (RATE, len(client.items))
    end = client.items[-1][2]
    assert before <= end <= after
    inside = [p for p in click_positions(end // RATE + 1) if end - 3 * RATE + 2 * NEAR < p < end - 2 * NEAR]
    near = [min(client.positions, key=lambda there: abs(there - p)) for p in inside]
    assert np.abs(np.subtract(near, inside)).max() <= NEAR
    assert len(inside) <= count <= len(inside) + 2, "one more at either edge"
    kept = client.positions
    client.ask("/sidechop/chop/lock", job, kept[3], True)
    client.ask("/sidechop/chop/reroll", job, 7)
    assert kept[3] in [item[1] for item in client.items if item[5]]
    whole = client.ask("/sidechop/chop/recent", 1e6, options())
    assert whole[1] > count


def test_locked_chops_stay_and_a_seed_is_a_seed(client: Client, folder: Path, options: Callable[..., str]) -> None:
    job, count, _ = client.ask("/sidechop/chop/file", str(folder / "song.wav"), 0.0, 0.0, options(count=5))
    assert (count, len(client.items)) == (5, 5)
    kept = client.positions[1:3]
    for position in kept:
        assert client.ask("/sidechop/chop/lock", job, position, True) == []
    seen = set()
    for seed in range(12):
        assert client.ask("/sidechop/chop/reroll", job, seed) == [job, 5, RATE]
        assert set(kept) <= set(client.positions)
        assert {item[1] for item in client.items if item[5]} == set(kept)
        seen.add(tuple(client.positions))
    assert len(seen) > 3
    last = client.positions
    client.ask("/sidechop/chop/reroll", job, 11)
    assert client.positions == last
    client.ask("/sidechop/chop/lock", job, kept[0], False)
    for seed in range(12):
        client.ask("/sidechop/chop/reroll", job, seed)
        assert kept[1] in client.positions
        if kept[0] not in client.positions:
            return
    raise AssertionError("what is not locked any more never gave way")


def test_exports_are_written_and_only_there(
    client: Client, folder: Path, tmp_path: Path, options: Callable[..., str]
) -> None:
    job, count, _ = client.ask("/sidechop/chop/recent", 2.0, options())
    home = tmp_path / "take"
    (files,) = client.ask("/sidechop/chop/export", job, "slices, csv", str(home))
    assert files == len([path for path in home.rglob("*") if path.is_file()])
    assert len(list(home.rglob("*.wav"))) in (count, count + 1), "a slice for each, and one for what comes before"
    there = sorted(tmp_path.rglob("*"))
    for formats, into, words in (
        ("slices,tape", home, "no export is called 'tape'"),
        ("", home, "no export is called ''"),
        ("csv", "", "folder is empty"),
        ("csv", folder / "song.wav" / "x", "cannot be written"),
    ):
        with pytest.raises(RequestError, match=words):
            client.ask("/sidechop/chop/export", job, formats, str(into))
    assert sorted(tmp_path.rglob("*")) == there


def test_mistakes_are_one_clear_line(client: Client, folder: Path, options: Callable[..., str]) -> None:
    song = str(folder / "song.wav")
    job, _, _ = client.ask("/sidechop/chop/file", song, 0.0, 0.0, options())
    for address, values, words in (
        ("file", (str(folder / "none.wav"), 0.0, 0.0, "{}"), r"none\.wav: no such file"),
        ("file", (song, 0.0, 0.0, "{count: 3}"), "options are not JSON"),
        ("file", (song, 0.0, 0.0, "[1]"), r"options are \[1\], expected a JSON object"),
        ("file", (song, 0.0, 0.0, "[" * 4000), "options are not JSON|expected a JSON object"),
        ("file", (song, 0.0, 0.0, '{"cuont": 3}'), "cuont: Extra inputs are not permitted"),
        ("file", (song, 0.0, 0.0, '{"count": 0}'), "count: .*greater than or equal to 1"),
        ("file", (song, 0.0, 0.0, '{"start_s": 1}'), "start_s is an argument of its own"),
        ("file", (song, 0.0, 0.0, '{"model": "nothing"}'), "no model is named 'nothing'"),
        ("file", (song, 0.0, 0.0, options(lock=[100.0])), "lock at 100.000 s lies outside"),
        ("file", (song, 0.0, 0.0, options(lock=[1e300])), "lock at .* lies outside"),
        ("file", (song, 7.0, 3.0, options()), "ends at 3 s, before it starts at 7 s"),
        ("file", (song, 9.0, 0.0, options()), r"song\.wav: lasts 8.000 s; .* 9 s lies outside"),
        ("recent", (0.0, options()), "nothing has been played yet"),
        ("lock", (job, 17, True), "no chop is at 17; the nearest is at"),
        ("lock", (job + 1000, 17, True), f"no job {job + 1000} is kept; there is"),
        ("reroll", (job + 1000, 17), f"no job {job + 1000} is kept; there is"),
        ("export", (job + 1000, "csv", "x"), f"no job {job + 1000} is kept; there is"),
    ):
        with pytest.raises(RequestError, match=words) as caught:
            client.ask(f"/sidechop/chop/{address}", *values)
        assert "\n" not in str(caught.value)
    with pytest.raises(RequestError, match="no job of this client runs with id 12345"):
        client.ask("/sidechop/cancel", 12345)


@given(
    st.one_of(
        st.text(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_subnormal=False) | st.text(max_size=8),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=8,
        ).map(json.dumps),
        st.dictionaries(
            st.sampled_from([*ChopSettings.model_fields, "lambda"]),
            st.none()
            | st.integers()
            | st.floats(allow_subnormal=False)
            | st.sampled_from(["beat", "bar", "onset", "x"])
            | st.just([0.5]),
            max_size=4,
        ).map(json.dumps),
    )
)
@settings(max_examples=500, deadline=None, derandomize=True)
def test_any_options_are_settings_or_refused(text: str) -> None:
    try:
        assert isinstance(read_options(ChopSettings, text), ChopSettings)
    except RequestError as error:
        lines = str(error).count("\n") + 1
        assert lines == 1


_WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(data=st.data())
@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_asked_is_answered_and_never_with_a_fault(
    data: st.DataObject, client: Client, folder: Path, options: Callable[..., str]
) -> None:
    texts = (
        st.sampled_from(
            [str(folder / "song.wav"), str(folder), options(), options(count=3), options(lock=[1e300]), "csv"]
        )
        | _WORDS
    )
    by_tag = {
        "i": st.integers(-(2**31), 2**31 - 1) | st.integers(0, 20),
        "h": st.integers(-(2**63), 2**63 - 1) | st.integers(0, 400000),
        "d": st.floats(allow_subnormal=False)
        | st.floats(0, 10, allow_subnormal=False)
        | st.sampled_from([1e300, SECONDS_MAX]),
        "s": texts,
        "T": st.booleans(),
    }
    names = ("file", "recent", "lock", "reroll")
    message = BY_ADDRESS[f"/sidechop/chop/{data.draw(st.sampled_from(names))}"]
    values = [data.draw(by_tag[argument.tag]) for argument in message.arguments]
    try:
        client.ask(message.address, *values)
    except NoAnswerError:
        raise
    except RequestError as error:
        words = str(error)
        assert "internal" not in words


def start_long_job(client: Client, folder: Path, options: Callable[..., str], id: int) -> None:
    """Returns when it has begun to listen."""
    values = (str(folder / "long.wav"), 0.0, 0.0, options())
    client.send(write_message("/sidechop/chop/file", values, id=id))
    while (event := client.event(20)) != ("/sidechop/progress", [id, 0.0, "listening"]):
        assert event is not None


def answer_to(client: Client, id: int) -> tuple[str, list[Any]]:
    while event := client.event(20):
        if event[0] in ("/sidechop/done", "/sidechop/error") and event[1][0] == id:
            return event
    raise AssertionError("no answer came")


def test_a_job_is_cancelled_while_others_go_on(
    daemon: Daemon, client: Client, folder: Path, options: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start_long_job(client, folder, options, 1001)
    with Client(*daemon.server.address, timeout_s=30.0) as other:
        assert other.ask("/sidechop/chop/file", str(folder / "song.wav"), 0.0, 0.0, options())[1] == 32
        other.ask("/sidechop/model", daemon.model_name)
        with pytest.raises(RequestError, match="no job of this client runs with id 1001"):
            other.ask("/sidechop/cancel", 1001)
    worker = daemon.jobs.pid
    client.ask("/sidechop/cancel", 1001)
    assert answer_to(client, 1001) == ("/sidechop/error", [1001, "cancelled"])
    for id in (1002, 1003):
        start_long_job(client, folder, options, id)
    values = (str(folder / "song.wav"), 0.0, 0.0, options())
    client.send(write_message("/sidechop/chop/file", values, id=1004))  # there is room for two at a time
    while client.event(20) != ("/sidechop/progress", [1004, 0.0, "waiting"]):
        pass
    monkeypatch.setattr(jobs_module, "CANCEL_S", 0.5)
    client.send(write_message("/sidechop/cancel", (1004,), id=3004))
    assert answer_to(client, 1004) == ("/sidechop/error", [1004, "cancelled"])
    time.sleep(1.0)
    assert daemon.jobs.pid == worker, "what waits for its turn does not hang"
    monkeypatch.undo()
    for id in (1002, 1003):
        client.send(write_message("/sidechop/cancel", (id,), id=2000 + id))
        assert answer_to(client, id) == ("/sidechop/error", [id, "cancelled"])
    assert client.ask("/sidechop/chop/file", *values)[1] == 32
    assert daemon.jobs.pid == worker


def test_a_worker_that_dies_or_hangs_is_replaced(
    daemon: Daemon, client: Client, folder: Path, options: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = (str(folder / "song.wav"), 0.0, 0.0, options())
    job, _, _ = client.ask("/sidechop/chop/file", *values)
    start_long_job(client, folder, options, 1001)
    first = daemon.jobs.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    address, (_, text) = answer_to(client, 1001)
    assert (address, text) == (
        "/sidechop/error",
        "the worker ended with code -9, and what it kept is lost: ask again",
    )
    with pytest.raises(RequestError, match=f"no job {job} is kept; there is none: chop it again"):
        client.ask("/sidechop/chop/reroll", job, 1)
    assert client.ask("/sidechop/chop/file", *values)[0] > job
    monkeypatch.setattr(jobs_module, "CANCEL_S", 0.2)
    start_long_job(client, folder, options, 1002)
    second = daemon.jobs.pid
    assert second not in (None, first)
    os.kill(int(second or 0), signal.SIGSTOP)
    client.ask("/sidechop/cancel", 1002)
    wait_for(lambda: daemon.jobs.pid is None, 20.0)
    assert client.ask("/sidechop/chop/file", *values)[1] == 32


def test_the_command_shows_items_and_progress(daemon: Daemon, folder: Path, options: Callable[..., str]) -> None:
    command = [sys.executable, "-m", "bridge.cli", "osc", "--port", str(daemon.server.address[1])]
    done = subprocess.run(
        [*command, "chop/file", str(folder / "song.wav"), "1", "2", options()], capture_output=True, text=True
    )
    *items, job, count, rate = done.stdout.splitlines()
    assert (len(items), count, rate) == (4, "4", str(RATE))
    assert [line.split()[0] for line in items] == ["0", "1", "2", "3"]
    assert [line.split()[4:] for line in items] == [["onset", "False"]] * 4
    assert "100% listening" in done.stderr
    assert int(job) > 0


def test_nothing_played_yet_and_nothing_to_find(options: Callable[..., str]) -> None:
    lane = Lane.create(RATE, 2, 512)
    jobs = Jobs()

    class Silent:
        """What a server gives a job, of a client that hears nothing."""

        cancelled = threading.Event()
        items = staticmethod(lambda address, items: None)

        def __call__(self, fraction: float, text: str) -> None: ...

    try:
        with pytest.raises(RequestError, match="nothing has been played yet: there is no audio to listen to"):
            jobs.run(Silent(), "chop/recent", lane=lane.name, seconds=5.0, options=options())
        lane.counters["in_written"] = RATE
        with pytest.raises(RequestError, match="the recording: is silent; "):
            jobs.run(Silent(), "chop/recent", lane=lane.name, seconds=5.0, options=options())
        lane.input[:, 5] = np.nan
        with pytest.raises(RequestError, match="not numbers"):
            jobs.run(Silent(), "chop/recent", lane=lane.name, seconds=5.0, options=options())
        worker = psutil.Process(jobs.pid)
        assert worker.nice() >= 10
        assert "torch" not in "".join(m.path for m in worker.memory_maps())
    finally:
        jobs.close()
        lane.close()
        lane.unlink()
    assert not worker.is_running()
    with pytest.raises(RequestError, match="the daemon is ending"):
        jobs.run(Silent(), "chop/lock", job=1, position=1, on=True)


def test_a_render_does_not_notice_a_job(folder: Path, options: Callable[..., str], tmp_path: Path) -> None:
    """As fast as it goes, so that the two compete for the machine all the time."""
    noise = np.random.default_rng(2).uniform(-0.5, 0.5, (30 * RATE, 2)).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", noise, RATE, subtype="FLOAT")
    source = Audio(file=tmp_path / "noise.wav", folder=tmp_path / "out", paced=False, block=256)
    model, muted = str(folder / "tiny.onnx"), {"vocals": Fader(mute=True)}
    with (
        Daemon(Config(model=model, history_s=2, audio=source, osc=Osc(port=0), stems=muted)) as daemon,
        Client(*daemon.server.address, timeout_s=30.0) as client,
    ):
        wait_for(lambda: daemon.lane.counters["in_written"] > RATE, 20.0)
        values = (str(folder / "long.wav"), 0.0, 0.0, options())
        client.send(write_message("/sidechop/chop/file", values, id=1))
        client.send(write_message("/sidechop/chop/recent", (1.0, options()), id=2))
        daemon.run()
        assert daemon.lane.statistics()["misses"] == 0
    mix, _ = soundfile.read(tmp_path / "out" / "mix.wav", dtype="float32")
    np.testing.assert_allclose(mix, (1 - MASKS[0]) * noise, atol=1e-6)  # float32 transforms of noise at -6 dB


def test_the_worker_ends_with_its_daemon(folder: Path) -> None:
    script = """
        import time
        from bridge.jobs.jobs import Jobs
        from bridge.osc_server import JobAnswer
        jobs = Jobs()
        try:
            jobs.run(JobAnswer(lambda datagram: None, 1), "chop/lock", job=1, position=1, on=True)
        except Exception as error:
            print(jobs.pid, flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        worker = psutil.Process(int(daemon.stdout.readline()))
        daemon.kill()
    with contextlib.suppress(psutil.NoSuchProcess):
        worker.wait(10)
