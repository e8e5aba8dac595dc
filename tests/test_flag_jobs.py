"""Flag jobs over OSC: files and what was just played, fine and its undo, export, cancel; chops in the same worker."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import tiny_curves, tiny_flagger, tiny_live4

from bridge.config import Audio, Config, Osc
from bridge.daemon import Daemon
from bridge.flags.settings import FlagSettings
from bridge.jobs.requests import read_options
from bridge.osc_client import NoAnswerError, OscClient
from bridge.osc_packet import write_message
from bridge.osc_table import BY_ADDRESS, SECONDS_MAX
from streaming.errors import RequestError

RATE = 44100
ODD = ((6.0, 9.0), (14.0, 15.0))
"""Where the take hisses, in seconds."""
NEAR = round(0.35 * RATE)
FOREVER_S = 1200


def audio(seconds: float, odd: tuple[tuple[float, float], ...] = ODD) -> np.ndarray:
    """A trembling low tone, with hiss over it here and there."""
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * RATE)) / RATE
    sound = 0.2 * np.sin(2 * np.pi * 220 * t) * (1 + 0.3 * np.sin(4 * np.pi * t))
    for start, end in odd:
        inside = (t >= start) & (t < end)
        sound[inside] += 0.1 * rng.standard_normal(np.count_nonzero(inside))
    return sound.astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flags")
    soundfile.write(folder / "take.wav", audio(20), RATE, subtype="FLOAT")
    soundfile.write(folder / "loop.wav", audio(4, ((1.0, 2.0),)), RATE, subtype="FLOAT")
    soundfile.write(folder / "long.wav", np.tile(audio(60), FOREVER_S // 60), RATE, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A user of this worker's own, who never said that anything was fine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
            patch.setenv(name, str(tmp_path_factory.getbasetemp() / "home"))
        yield tmp_path_factory.getbasetemp() / "home"


@pytest.fixture(scope="module")
def options(folder: Path) -> Callable[..., str]:
    model = tiny_flagger(folder / "tiny-flags.onnx")

    def write(**more: Any) -> str:
        return json.dumps({"model": str(model), **more})

    return write


@pytest.fixture(scope="module")
def daemon(folder: Path, home: Path) -> Iterator[Daemon]:
    separator = tiny_live4(folder / "tiny.onnx")
    source = Audio(file=folder / "loop.wav", loop=True, block=256, channels=1)
    with Daemon(Config(model=str(separator), history_s=20, audio=source, osc=Osc(port=0))) as daemon:
        yield daemon


class Client(OscClient):
    """Remembers the flags, the parts and the progress of the last request."""

    def ask(self, address: str, *values: Any) -> list[Any]:
        self.flags: list[list[Any]] = []
        self.parts: list[list[Any]] = []
        self.progress: list[tuple[float, str]] = []

        def take(item: Any) -> None:
            (self.flags if len(item) == 8 else self.parts).append(list(item))

        return list(self.request(address, *values, on_progress=lambda f, t: self.progress.append((f, t)), on_item=take))

    @property
    def noise(self) -> list[list[Any]]:
        return [flag for flag in self.flags if flag[5] == "noise"]


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with Client(*daemon.server.address, timeout_s=30.0) as client:
        yield client


def flag_take(client: Client, folder: Path, options: str, start_s: float = 0.0, end_s: float = 0.0) -> list[Any]:
    return client.ask("/sidechop/flag/file", str(folder / "take.wav"), start_s, end_s, options)


def test_a_file_is_flagged(client: Client, folder: Path, options: Callable[..., str]) -> None:
    job, count, parts, rate = flag_take(client, folder, options())
    assert (count, parts, rate) == (len(client.flags), len(client.parts), RATE)
    assert [flag[0] for flag in client.flags] == list(range(count))
    assert [part[0] for part in client.parts] == list(range(parts))
    for flag, (start, end) in zip(client.noise, ODD, strict=True):
        assert abs(flag[1] - start * RATE) < NEAR
        assert abs(flag[2] - end * RATE) < NEAR
        assert 0.5 <= flag[3] <= 1
        assert 0 < flag[4] < 0.05
        assert 0 <= flag[6] < flag[7] <= RATE / 2
    assert (client.parts[0][1], client.parts[-1][2]) == (0, 20 * RATE)
    assert client.progress[-1][0] == 1.0
    again, _, parts, _ = flag_take(client, folder, options(keep=0.9, snap="none"), 4.0, 12.0)
    assert again > job
    assert client.parts[0][1] == 4 * RATE
    assert client.parts[-1][2] <= 12 * RATE
    assert abs(sum(part[2] - part[1] for part in client.parts) / (8 * RATE) - 0.9) < 0.05
    assert "too short to show how it usually sounds" in client.progress[-1][1]


def test_what_was_just_played_is_flagged_in_the_sessions_time(
    daemon: Daemon, client: Client, options: Callable[..., str], tmp_path: Path
) -> None:
    """The loop of 4 s hisses in its second second; where it begins again is heard as it may."""
    end = time.monotonic() + 30
    while daemon.lane.counters["in_written"] < 13 * RATE:
        assert time.monotonic() < end
        time.sleep(0.05)
    job, count, _, rate = client.ask("/sidechop/flag/recent", 12.0, options())
    assert (rate, count) == (RATE, len(client.flags))
    begin, stop = client.parts[0][1], client.parts[-1][2]
    assert stop - begin <= 12 * RATE + 256
    wanted = [k * 4 * RATE + RATE for k in range(stop // (4 * RATE) + 1)]
    wanted = [start for start in wanted if begin + RATE < start < stop - 2 * RATE]
    assert len(wanted) >= 2
    for start in wanted:
        flag = min(client.noise, key=lambda flag: abs(flag[1] - start))
        assert abs(flag[1] - start) < NEAR
        assert abs(flag[2] - start - RATE) < NEAR
    (files,) = client.ask("/sidechop/flag/export", job, "reaper, cut", str(tmp_path / "take"))
    names = {path.name.partition("-")[2].partition("-")[2] for path in (tmp_path / "take").iterdir()}
    assert (files, names) == (4, {"flags.rpp", "flags-reaper.csv", "cut.wav", "take.wav"})


def test_fine_is_remembered_and_taken_back(
    client: Client, folder: Path, options: Callable[..., str], home: Path, tmp_path: Path
) -> None:
    job, count, _, _ = flag_take(client, folder, options())
    before = client.flags
    index = client.noise[0][0]
    assert client.ask("/sidechop/flag/fine", job, index, True) == [count - 1]
    assert len(list(home.rglob("*.fine.npz"))) == 1
    with pytest.raises(RequestError, match=f"flag {index} was called fine already"):
        client.ask("/sidechop/flag/fine", job, index, True)
    client.ask("/sidechop/flag/export", job, "csv", str(tmp_path / "less"))
    table = (tmp_path / "less" / "take-flags.csv").read_text().splitlines()
    assert len(table) == count  # with its heading
    flag_take(client, folder, options())
    assert not any(flag[1] < 7.5 * RATE < flag[2] for flag in client.noise)
    assert client.ask("/sidechop/flag/fine", job, index, False) == [count]
    with pytest.raises(RequestError, match=f"flag {index} was never called fine"):
        client.ask("/sidechop/flag/fine", job, index, False)
    flag_take(client, folder, options())
    assert client.flags == before
    assert not list(home.rglob("*.fine.npz"))


def test_another_share_is_decided_without_listening_again(
    client: Client, folder: Path, options: Callable[..., str]
) -> None:
    job, _, _, _ = flag_take(client, folder, options())
    first = client.flags
    for ratio in (0.95, 0.8):
        again, count, parts, rate = client.ask("/sidechop/flag/again", job, json.dumps({"keep": ratio, "snap": "none"}))
        assert (again, count, parts, rate) == (job, len(client.flags), len(client.parts), RATE)
        assert abs(sum(part[2] - part[1] for part in client.parts) / (20 * RATE) - ratio) < 0.05
        assert "listening" not in [text for _, text in client.progress]
    client.ask("/sidechop/flag/again", job, "{}")
    assert client.flags == first
    index = client.noise[0][0]
    client.ask("/sidechop/flag/fine", job, index, True)
    client.ask("/sidechop/flag/again", job, json.dumps({"threshold": 0.1}))
    assert not any(flag[1] < 7.5 * RATE < flag[2] for flag in client.noise)
    assert len(client.noise) == 1
    for wish, words in (
        ({"snap": "beat"}, "no beat was listened for in this job"),
        ({"model": "chopper"}, "model belongs to the hearing"),
        ({"keep": 2}, "less than or equal to 1"),
    ):
        with pytest.raises(RequestError, match=words):
            client.ask("/sidechop/flag/again", job, json.dumps(wish))
    subprocess.run(
        [sys.executable, "-m", "bridge.cli", "flag", "--undo-fine", "--model", str(folder / "tiny-flags.onnx")],
        check=True,
    )
    flag_take(client, folder, options())
    assert client.flags == first


def test_exports_are_written_and_only_there(
    client: Client, folder: Path, tmp_path: Path, options: Callable[..., str]
) -> None:
    job = flag_take(client, folder, options(keep=0.8))[0]
    home = tmp_path / "take"
    (files,) = client.ask("/sidechop/flag/export", job, "csv, json,otio", str(home))
    assert files == len([path for path in home.rglob("*") if path.is_file()]) == 4
    there = sorted(tmp_path.rglob("*"))
    for formats, into, words in (
        ("csv,tape", home, "no export is called 'tape'"),
        ("", home, "no export is called ''"),
        ("csv", "", "folder is empty"),
        ("csv", folder / "take.wav" / "x", "cannot be written"),
    ):
        with pytest.raises(RequestError, match=words):
            client.ask("/sidechop/flag/export", job, formats, str(into))
    assert sorted(tmp_path.rglob("*")) == there


def test_mistakes_are_one_clear_line(client: Client, folder: Path, options: Callable[..., str]) -> None:
    take = str(folder / "take.wav")
    job, count, _, _ = flag_take(client, folder, options())
    soundfile.write(folder / "silence.wav", np.zeros(RATE * 3), RATE)
    for address, values, words in (
        ("file", (str(folder / "none.wav"), 0.0, 0.0, "{}"), r"none\.wav: no such file|no model is named"),
        ("file", (str(folder / "silence.wav"), 0.0, 0.0, options()), r"silence\.wav: is silent"),
        ("file", (take, 0.0, 0.0, "{keep: 3}"), "options are not JSON"),
        ("file", (take, 0.0, 0.0, "[1]"), r"options are \[1\], expected a JSON object"),
        ("file", (take, 0.0, 0.0, '{"kepe": 0.3}'), "kepe: Extra inputs are not permitted"),
        ("file", (take, 0.0, 0.0, '{"keep": 1.2}'), "keep: .*less than or equal to 1"),
        ("file", (take, 0.0, 0.0, '{"keep": 0.2, "threshold": 0.1}'), "one of them decides"),
        ("file", (take, 0.0, 0.0, '{"end_s": 1}'), "end_s is an argument of its own"),
        ("file", (take, 0.0, 0.0, '{"model": "nothing"}'), "no model is named 'nothing'"),
        ("file", (take, 0.0, 0.0, '{"model": "chopper"}'), "flags nothing; a segments model does"),
        ("file", (take, 7.0, 3.0, options()), "ends at 3 s, before it starts at 7 s"),
        ("file", (take, 21.0, 0.0, options()), r"take\.wav: lasts 20.000 s; .* 21 s lies outside"),
        ("file", (take, 1.0, 1.1, options()), "too short to be judged"),
        ("fine", (job, count, True), f"no flag {count} is in this job; it has flags 0 to {count - 1}"),
        ("fine", (job + 1000, 0, True), f"no job {job + 1000} is kept; .*: flag it again"),
        ("export", (job + 1000, "csv", "x"), f"no job {job + 1000} is kept"),
    ):
        with pytest.raises(RequestError, match=words) as refused:
            client.ask(f"/sidechop/flag/{address}", *values)
        assert "internal" not in str(refused.value)


def test_chops_and_flags_share_a_worker(
    daemon: Daemon, client: Client, folder: Path, options: Callable[..., str]
) -> None:
    """One process, one count of jobs; a job of the one kind is none of the other."""
    chopper = tiny_curves(folder / "tiny-chops.onnx")
    job = flag_take(client, folder, options())[0]
    worker = daemon.jobs.pid
    wish = json.dumps({"model": str(chopper), "mode": "equal", "count": 4})
    chopped = client.request("/sidechop/chop/file", str(folder / "take.wav"), 0.0, 0.0, wish)
    assert (chopped[0] > job, chopped[1], daemon.jobs.pid) == (True, 4, worker)
    with pytest.raises(RequestError, match=r"is kept; .*: chop it again"):
        client.ask("/sidechop/chop/reroll", job, 1)
    with pytest.raises(RequestError, match=r"is kept; .*: flag it again"):
        client.ask("/sidechop/flag/fine", chopped[0], 0, True)


def test_a_job_is_cancelled_and_another_goes_on(
    daemon: Daemon, client: Client, folder: Path, options: Callable[..., str]
) -> None:
    values = (str(folder / "long.wav"), 0.0, 0.0, options())
    client.send(write_message("/sidechop/flag/file", values, id=1001))
    while (event := client.event(20)) != ("/sidechop/progress", [1001, 0.0, "listening"]):
        assert event is not None
    with Client(*daemon.server.address, timeout_s=30.0) as other:
        assert flag_take(other, folder, options())[1] >= 2
    client.ask("/sidechop/cancel", 1001)
    while event := client.event(20):
        if event[0] in ("/sidechop/done", "/sidechop/error"):
            break
    assert event == ("/sidechop/error", [1001, "cancelled"])


def test_the_command_shows_flags_and_parts(daemon: Daemon, folder: Path, options: Callable[..., str]) -> None:
    command = [sys.executable, "-m", "bridge.cli", "osc", "--port", str(daemon.server.address[1])]
    done = subprocess.run(
        [*command, "flag/file", str(folder / "take.wav"), "0", "0", options()], capture_output=True, text=True
    )
    *items, job, count, parts, rate = done.stdout.splitlines()
    assert (len(items), rate) == (int(count) + int(parts), str(RATE))
    assert sum("noise" in line.split() for line in items) == 2
    assert "100% listening" in done.stderr
    assert int(job) > 0


@given(
    st.one_of(
        st.text(max_size=60),
        st.dictionaries(
            st.sampled_from(list(FlagSettings.model_fields)),
            st.none()
            | st.integers()
            | st.floats(allow_subnormal=False)
            | st.sampled_from(["beat", "zero", "x"])
            | st.just([0.5]),
            max_size=4,
        ).map(json.dumps),
    )
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_options_are_settings_or_refused(text: str) -> None:
    try:
        assert isinstance(read_options(FlagSettings, text), FlagSettings)
    except RequestError as error:
        lines = str(error).count("\n") + 1
        assert lines == 1


@given(data=st.data())
@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_is_answered_and_never_with_a_fault(
    data: st.DataObject, client: Client, folder: Path, options: Callable[..., str]
) -> None:
    words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
    texts = st.sampled_from([str(folder / "loop.wav"), str(folder), options(), options(keep=0.3), "csv"]) | words
    by_tag = {
        "i": st.integers(-(2**31), 2**31 - 1) | st.integers(0, 20),
        "d": st.floats(allow_subnormal=False)
        | st.floats(0, 10, allow_subnormal=False)
        | st.sampled_from([1e300, SECONDS_MAX]),
        "s": texts,
        "T": st.booleans(),
    }
    message = BY_ADDRESS[f"/sidechop/flag/{data.draw(st.sampled_from(('file', 'recent', 'fine')))}"]
    values = [data.draw(by_tag[argument.tag]) for argument in message.arguments]
    try:
        client.ask(message.address, *values)
    except NoAnswerError:
        raise
    except RequestError as error:
        assert "internal" not in str(error)  # noqa: PT017
