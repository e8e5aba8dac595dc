"""`sidechop chop`, the command itself: what it prints and writes, and every kind of bad file and wrong wish."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import soundfile
from command_line import Command, run
from numpy.typing import NDArray
from tiny_models import tiny_curves, tiny_live4

from bridge.chops.analysis import analyse
from bridge.chops.exports import EXPORTS
from bridge.chops.listening import open_network
from bridge.chops.settings import Grid, Mode, Snap
from bridge.command_chop import DEFAULT_EXPORTS, ChopCommandSettings, bar_beat
from bridge.registry import list_models, shipped_folder

ROOT = Path(__file__).parent.parent
RATE = 44100
TASK = ("chops", "frames")
CHOPPER = shipped_folder() / "chopper.onnx"

Audio = NDArray[np.float32]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_curves(tmp_path_factory.mktemp("model") / "tiny.onnx")


def hits(seconds: float, rate: int = RATE, channels: int = 2) -> Audio:
    """Hits every half second from 0.1 s on, of many colours, every fourth louder ``(frames, channels)``."""
    rng = np.random.default_rng(4)
    audio = np.zeros((round(seconds * rate), channels), np.float32)
    for number, at_s in enumerate(np.arange(0.1, seconds - 0.05, 0.5)):
        t = np.arange(rate // 20) / rate
        tone = np.sin(2 * np.pi * rng.uniform(80, 3000) * t) + rng.uniform(-1, 1, len(t))
        start = round(at_s * rate)
        hit = (0.5 if number % 4 == 0 else 0.011) * tone * np.exp(-t * rng.uniform(30, 90))
        audio[start : start + len(t)] += hit[: len(audio) - start, None]
    return audio


def write(path: Path, seconds: float = 8.0, rate: int = RATE, channels: int = 2, subtype: str = "FLOAT") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, hits(seconds, rate, channels), rate, subtype=subtype)
    return path


@pytest.fixture
def chop(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], model: Path) -> Command:
    return Command("chop", monkeypatch, capfd, model)


def starts(data: dict[str, Any]) -> list[int]:
    return [item["position"] for item in data["items"]]


@pytest.mark.parametrize("rate", [8000, 11025, 37800, 44100, 192000])
@pytest.mark.parametrize("channels", [1, 2])
def test_json_is_exact(tmp_path: Path, chop: Command, rate: int, channels: int) -> None:
    source = write(tmp_path / "song.wav", 4.0, rate, channels)
    data = chop.json(source, "--mode", "transient")
    assert (data["source"], data["rate"], data["start_s"], data["duration_s"]) == (str(source), rate, 0.0, 4.0)
    assert data["files"] == []
    items = data["items"]
    assert len(items) == 8
    assert [item["start_s"] for item in items] == [item["position"] / rate for item in items]
    assert [item["end_s"] for item in items] == [*(item["start_s"] for item in items[1:]), 4.0]
    assert {(item["kind"], item["label"], item["locked"]) for item in items} == {("chop", "onset", False)}
    assert np.abs(np.array([item["start_s"] for item in items]) - np.arange(0.1, 4, 0.5)).max() < 0.003


def test_the_table_tells_what_the_json_tells(tmp_path: Path, chop: Command) -> None:
    source = write(tmp_path / "song.wav")
    data = chop.json(source, "--count", "4", "--lock", "0.6")
    code, out, _ = chop(source, "--count", "4", "--lock", "0.6")
    first, head, *rows = out.strip().splitlines()
    assert code == 0
    assert first == f"{source}: 4 chops in 8.0 s, {data['tempo']:.1f} bpm, 4 beats a bar"
    assert head.split() == ["chop", "time", "bar.beat", "length", "score", "kind"]
    assert len(rows) == 4
    for number, (row, item) in enumerate(zip(rows, data["items"], strict=True), 1):
        words = row.split()
        assert words[:3] == [str(number), f"{item['start_s']:.3f}", "s"]
        assert ("locked" in row) == item["locked"]
        assert item["label"] in row
    assert sum("locked" in row for row in rows) == 1
    assert "1.2.00" in out  # the locked second beat


def test_bars_and_beats_count_as_a_daw_counts(tmp_path: Path, model: Path) -> None:
    analysis = analyse(write(tmp_path / "song.wav"), open_network(model))
    beats = analysis.beats.positions.tolist()
    assert [bar_beat(analysis, beat) for beat in beats[:6]] == [
        "1.1.00",
        "1.2.00",
        "1.3.00",
        "1.4.00",
        "2.1.00",
        "2.2.00",
    ]
    half = (beats[4] + beats[5]) // 2
    assert bar_beat(analysis, half) in ("2.1.49", "2.1.50")
    assert bar_beat(analysis, 0) == ""  # before the first beat
    length = beats[-1] - beats[-2]
    assert (analysis.beat_numbers[-1], bar_beat(analysis, beats[-1] + length)) == (4, "5.1.00")  # beyond the last


def test_the_same_again_and_another_seed_keeps_the_locks(tmp_path: Path, chop: Command) -> None:
    source = write(tmp_path / "song.wav")
    first = chop.json(source, "--count", "5")
    assert chop.json(source, "--count", "5") == first
    lock = first["items"][1]
    for seed in range(1, 6):
        again = chop.json(source, "--count", "5", "--seed", seed, "--lock", lock["start_s"])
        assert [item["position"] for item in again["items"] if item["locked"]] == [lock["position"]]
        assert len(again["items"]) == 5


def test_a_part_of_a_file_keeps_the_file_s_time(tmp_path: Path, chop: Command) -> None:
    source = write(tmp_path / "song.wav")
    data = chop.json(source, "--mode", "transient", "--start", "2.05", "--end", "5")
    assert (data["start_s"], data["duration_s"]) == (round(2.05 * RATE) / RATE, (5 * RATE - round(2.05 * RATE)) / RATE)
    whole = starts(chop.json(source, "--mode", "transient"))
    assert np.abs(np.array(starts(data)) - [p for p in whole if 2.05 * RATE <= p < 5 * RATE]).max() <= 0.002 * RATE
    assert starts(chop.json(source, "--mode", "manual", "--at", "4,2.5", "--snap", "none", "--start", "2")) == [
        round(2.5 * RATE), 4 * RATE
    ]  # fmt: skip


def test_a_producer_gets_slices_markers_and_a_picture(tmp_path: Path, chop: Command) -> None:
    source = write(tmp_path / "My Song.wav")
    code, out, _ = chop(source, "--count", "6", "-o", tmp_path / "out")
    assert code == 0
    folder = tmp_path / "out" / "My Song"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    names = {f"My Song-chops{ending}" for ending in ("-reaper.csv", ".rpp", ".json", ".png")}
    assert names <= files
    assert len(files - names) in (6, 7)  # what comes before the first chop is a slice too
    assert f"→ {folder}" in out
    picture = (folder / "My Song-chops.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    data = chop.json(source, "--count", "6", "-o", tmp_path / "again")
    assert sorted(data["files"]) == sorted(str(path) for path in (tmp_path / "again").rglob("*") if path.is_file())


def test_a_folder_is_named_as_users_name_folders(
    tmp_path: Path, chop: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "song.wav")
    monkeypatch.chdir(tmp_path)
    for folder in ("chops", "./some/../more"):
        code, out, _ = chop("song.wav", "-o", folder, "--export", "csv,slices")
        assert code == 0
        assert out.strip().endswith(f"→ {Path(folder) / 'song'}: song-chops.csv, song-slices/")


def test_the_picture_is_drawn_only_when_asked_for(tmp_path: Path, model: Path) -> None:
    """matplotlib takes most of a second to load."""
    source = write(tmp_path / "song.wav")
    script = (
        "import sys\n"
        f"sys.argv = ['sidechop', 'chop', {str(source)!r}, '--model', {str(model)!r}, *sys.argv[1:]]\n"
        "import bridge.cli\n"
        "try:\n    bridge.cli.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('matplotlib' in sys.modules)\n"
    )
    for extra, drawn in (
        ([], False),
        (["-o", str(tmp_path), "--export", "json"], False),
        (["-o", str(tmp_path)], True),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, *extra], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == str(drawn)


def test_every_export_and_only_those_asked_for(tmp_path: Path, chop: Command) -> None:
    source = write(tmp_path / "song.wav")
    assert chop(source, "-o", tmp_path / "out", "--export", ",".join(EXPORTS))[0] == 0
    assert chop(source, "-o", tmp_path / "few", "--export", " csv , midi ")[0] == 0
    assert {path.suffix for path in (tmp_path / "few" / "song").iterdir()} == {".csv", ".mid"}
    assert set(DEFAULT_EXPORTS) <= set(EXPORTS)


def test_the_guide_knows_every_mode_export_and_setting() -> None:
    guide = (ROOT / "docs" / "chops.md").read_text(encoding="utf-8")
    settings = {field.alias or name for name, field in ChopCommandSettings.model_fields.items()}
    for word in {*get_args(Mode), *get_args(Grid), *get_args(Snap), *EXPORTS, *settings - {"at", "start_s", "end_s"}}:
        assert re.search(rf"`{re.escape(word)}`|^{word} = ", guide, re.MULTILINE), word


def test_files_of_one_name_get_folders_of_their_own(tmp_path: Path, chop: Command) -> None:
    sources = [write(tmp_path / folder / "take.wav") for folder in ("a", "b")]
    code, out, _ = chop(*sources, "-o", tmp_path / "out", "--export", "json", "--json")
    assert code == 0
    assert [json.loads(line)["source"] for line in out.splitlines()] == [str(source) for source in sources]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["take-1", "take-2"]


def test_settings_come_from_a_file_and_flags_win(tmp_path: Path, chop: Command, model: Path) -> None:
    source, config = write(tmp_path / "song.wav"), tmp_path / "chops.toml"
    config.write_text(f'model = "{model}"\nmode = "equal"\ncount = 8\nlambda = 0.2\nexport = ["csv"]\nlock = [1.0]\n')
    data = chop.json(source, "--config", config, "--count", "4", "-o", tmp_path / "out")
    assert {item["label"] for item in data["items"]} <= {"equal", "manual"}
    assert len(data["items"]) == 4
    assert [Path(file).suffix for file in data["files"]] == [".csv"]
    config.write_text("lambda = 2\n")
    code, _, error = chop(source, "--config", config)
    assert (code, error.count("\n")) == (1, 1)
    assert f"{config}: line 1: lambda: " in error


def _bad_files(folder: Path) -> Iterator[tuple[Path, str]]:
    yield folder / "missing.wav", "no such file"
    (folder / "empty.wav").touch()
    yield folder / "empty.wav", "is empty"
    (folder / "text.wav").write_text("not audio " * 100)
    yield folder / "text.wav", "not audio"
    yield write(folder / "surround.wav", 1.0, channels=6), "6 channels"
    audio = hits(2.0)
    audio[15000, 1] = np.nan
    soundfile.write(folder / "nan.wav", audio, RATE, subtype="FLOAT")
    yield folder / "nan.wav", r"not a number .* at 0\.340 s"
    soundfile.write(folder / "none.wav", audio[:0], RATE)
    yield folder / "none.wav", "no audio"
    soundfile.write(folder / "silence.wav", 0 * hits(3.0), RATE)
    yield folder / "silence.wav", "is silent"
    soundfile.write(folder / "three.wav", hits(1.0)[:3], RATE)
    yield folder / "three.wav", "is silent; found no place"
    yield folder, "is a folder"


@pytest.mark.parametrize("which", range(9))
def test_a_bad_file_is_one_line_and_leaves_nothing(tmp_path: Path, chop: Command, which: int) -> None:
    source, message = list(_bad_files(tmp_path))[which]
    code, out, error = chop(source, "-o", tmp_path / "out")
    assert (code, out) == (1, "")
    assert re.fullmatch(rf"sidechop: {re.escape(str(source))}: .*{message}.*\n", error), error
    assert not (tmp_path / "out").exists()


def test_bad_files_among_good_ones_are_named_and_the_rest_goes_on(tmp_path: Path, chop: Command) -> None:
    good = [write(tmp_path / "good.wav"), write(tmp_path / "fine.wav")]
    bad = list(_bad_files(tmp_path))
    code, _, error = chop(good[0], *(path for path, _ in bad), good[1], "-o", tmp_path / "out", "--export", "json")
    lines = [line for line in error.splitlines() if "little variety" not in line]
    assert code == 1
    assert len(lines) == len(bad)
    for line, (path, message) in zip(lines, bad, strict=True):
        assert re.fullmatch(rf"sidechop: {re.escape(str(path))}: .*{message}.*", line)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["fine", "good"]


def test_three_samples_and_a_click_are_chopped_where_that_makes_sense(tmp_path: Path, chop: Command) -> None:
    soundfile.write(tmp_path / "three.wav", hits(1.0)[:3], RATE)
    assert starts(chop.json(tmp_path / "three.wav", "--mode", "equal", "--count", "3", "--snap", "none")) == [0, 1, 2]
    click = np.zeros(RATE)
    click[20000] = 0.9
    soundfile.write(tmp_path / "click.wav", click, RATE)
    data = chop.json(tmp_path / "click.wav", "-o", tmp_path / "out")
    assert len(data["items"]) == 1
    assert abs(data["items"][0]["position"] - 20000) <= 0.003 * RATE


def test_a_truncated_file_gives_what_there_is_with_a_warning(tmp_path: Path, chop: Command) -> None:
    source = write(tmp_path / "song.wav", subtype="PCM_16")
    content = source.read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) // 2])
    for output in ((), ("-o", tmp_path / "out")):
        code, out, error = chop(tmp_path / "cut.wav", "--mode", "transient", "--json", *output)
        assert (code, len(json.loads(out)["items"])) == (0, 8)
        assert error.count("is truncated") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lock", "9"], "the lock at 9.000 s lies outside: expected 0.000 to 8.000 s"),
        (["--lock", "1,2,3", "--count", "2"], "3 chops are locked, but 2 asked for"),
        (["--lock", "soon"], "--lock is 'soon', expected seconds"),
        (["--mode", "manual"], "needs points"),
        (["--at", "1"], "points are for mode manual"),
        (["--mode", "manual", "--at", "1,88"], "the point at 88.000 s lies outside"),
        (["--start", "8"], "lasts 8.000 s; the passage's start at 8 s lies outside"),
        (["--end", "8.5"], "the passage's end at 8.5 s lies outside"),
        (["--start", "3", "--end", "2"], "before it starts"),
        (["--count", "0"], "count: Input should be greater than or equal to 1 (got 0)"),
        (["--lambda", "2"], "lambda: Input should be less than or equal to 1"),
        (["--min-length", "20"], "found no place"),
        (["--export", "wav"], "no export is called 'wav'; choose from slices, "),
        (["--export", ","], "--export names none"),
        (["--model", "choper"], "no model is named 'choper'"),
        (["--model", "/nowhere/chopper.onnx"], "/nowhere/chopper.onnx: no such model file"),
    ],
)  # fmt: skip
def test_wrong_wishes_are_one_line_and_leave_nothing(
    tmp_path: Path, chop: Command, arguments: list[str], message: str
) -> None:
    code, out, error = chop(write(tmp_path / "song.wav"), "-o", tmp_path / "out", *arguments)
    assert (code, out, error.count("\n")) == (1, "", 1), error
    assert message in error
    assert not (tmp_path / "out").exists()


def test_exports_need_a_folder(tmp_path: Path, chop: Command) -> None:
    code, _, error = chop(write(tmp_path / "song.wav"), "--export", "sfz")
    assert (code, error) == (1, "sidechop: --export needs a folder to write into: -o DIR\n")


def test_a_model_that_separates_is_no_chopper(tmp_path: Path, chop: Command) -> None:
    live4 = tiny_live4(tmp_path / "live4.onnx")
    code, _, error = chop(write(tmp_path / "song.wav"), "--model", live4)
    assert (code, error.count("\n")) == (1, 1)
    assert "of kind stft-hop and marks nothing over time" in error


@pytest.mark.parametrize("arguments", [["--mode", "bars"], ["--grid", "1/3"], ["--count", "many"], []])
def test_wrong_use_is_2(tmp_path: Path, chop: Command, arguments: list[str]) -> None:
    assert chop(*([tmp_path / "song.wav", *arguments] if arguments else []))[0] == 2


def test_ctrl_c_leaves_nothing(tmp_path: Path, model: Path) -> None:
    """In the middle of the exports, when there is most to tidy up."""
    source = write(tmp_path / "song.wav", 90.0)
    arguments = (source, "-o", tmp_path / "out", "--model", model, "--export", "slices,mpc,picture")
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge.cli", "chop", *map(str, arguments)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").glob("song/.sidechop-*/new/*")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error.strip().splitlines()[1:] == []  # at most the note on variety
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_no_room_is_one_line_and_leaves_nothing(tmp_path: Path, model: Path) -> None:
    source = write(tmp_path / "song.wav", 20.0)
    arguments = ["sidechop", "chop", str(source), "-o", str(tmp_path / "out"), "--model", str(model), "--count", "2"]
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)); "
        f"import bridge.cli; sys.argv = {arguments!r}; bridge.cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_may_not_be_written_is_one_line(tmp_path: Path, chop: Command) -> None:
    (tmp_path / "file").write_text("in the way")
    code, _, error = chop(write(tmp_path / "song.wav"), "-o", tmp_path / "file")
    assert code == 1
    assert str(tmp_path / "file") in error.splitlines()[-1]
    assert {path.name for path in tmp_path.iterdir()} == {"file", "song.wav"}


SHIPPED = [e.name for e in list_models() if e.source == "shipped" and e.card and (e.card.task, e.card.kind) == TASK]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_chopper_chops_the_demo(tmp_path: Path, chop: Command, name: str) -> None:
    """Also the one that needs a rate of its own: positions are the file's all the same."""
    clip = ROOT / "bridge" / "assets" / "demo.ogg"
    data = chop.json(clip, "--model", name, "--count", "3")
    assert len(data["items"]) == 3
    assert data["rate"] == soundfile.info(clip).samplerate
    assert data["items"][-1]["end_s"] == soundfile.info(clip).frames / data["rate"]


trained = pytest.mark.skipif(not CHOPPER.is_file(), reason="models/pretrained/chopper.onnx is not there yet")


@trained
def test_the_shipped_network_is_the_default_and_hears_the_demo(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The demo clip has drums: hits, a beat, and more than one sound."""
    clip = ROOT / "bridge" / "assets" / "demo.ogg"
    assert run(monkeypatch, "chop", clip, "--json") == 0
    data = json.loads(capfd.readouterr().out)
    assert len(data["items"]) >= 4
    assert 50 <= data["tempo"] <= 215


@trained
def test_the_shipped_network_hears_every_clear_hit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Hits on silence that a child would find: nine of ten within 10 ms, and few others."""
    assert run(monkeypatch, "chop", write(tmp_path / "song.wav", 20.0), "--mode", "transient", "--json") == 0
    found = np.array([item["start_s"] for item in json.loads(capfd.readouterr().out)["items"]])
    true = np.arange(0.1, 19.95, 0.5)
    assert (np.abs(found[:, None] - true).min(axis=0) < 0.01).mean() >= 0.9
    assert (np.abs(found[:, None] - true).min(axis=1) < 0.01).mean() >= 0.8
