"""`sidechop flag`, the command itself: what it prints and writes, and every kind of bad file and wrong wish."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import soundfile
from command_line import Command
from numpy.typing import NDArray
from tiny_models import tiny_curves, tiny_flagger

from bridge.chops.analysis import analyse
from bridge.chops.listening import open_network
from bridge.command_flag import DEFAULT_EXPORTS, FlagCommandSettings, band, rarity
from bridge.flags.exports import EXPORTS
from bridge.flags.settings import Snap
from streaming.features import Features

ROOT = Path(__file__).parent.parent
RATE = 44100
ODD = ((6.0, 9.0), (14.0, 15.0))
"""Where the take hisses, in seconds."""
NEAR_S = 0.35
"""A step of 0.16 s, blurred by half a segment of 0.64 s."""

Audio = NDArray[np.float64]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_flagger(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who never said that anything was fine."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setattr("bridge.flags.fine.models_folder", lambda: folder)
    return folder


def take(seconds: float = 20.0, rate: int = RATE, channels: int = 2) -> Audio:
    """A trembling low tone, with hiss over it in two places ``(frames, channels)``."""
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * rate)) / rate
    audio = 0.2 * np.sin(2 * np.pi * 220 * t) * (1 + 0.3 * np.sin(4 * np.pi * t))
    for (start, end), level in zip(ODD, (0.1, 0.05), strict=True):
        inside = (t >= start) & (t < end)
        audio[inside] += level * rng.standard_normal(np.count_nonzero(inside))
    return np.repeat(audio[:, None], channels, axis=1)


def write(path: Path, seconds: float = 20.0, rate: int = RATE, channels: int = 2, subtype: str = "PCM_16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, take(seconds, rate, channels), rate, subtype=subtype)
    return path


@pytest.fixture
def flag(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], model: Path) -> Command:
    return Command("flag", monkeypatch, capfd, model)


def learned(data: dict[str, Any]) -> list[dict[str, Any]]:
    """What the network flagged: the tiny one knows hiss and distortion."""
    return [item for item in data["items"] if item["label"] in ("noise", "distortion")]


@pytest.mark.parametrize("rate", [16000, 37800, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2])
def test_json_is_exact_and_finds_the_hiss(tmp_path: Path, flag: Command, rate: int, channels: int) -> None:
    source = write(tmp_path / "take.wav", 20.0, rate, channels)
    data = flag.json(source)
    assert (data["source"], data["rate"], data["start_s"], data["duration_s"]) == (str(source), rate, 0.0, 20.0)
    assert data["files"] == []
    curve = data["curve"]
    assert curve["hop_s"] == pytest.approx(0.16)
    assert len(curve["scores"]) == len(curve["p_values"]) == 125
    for item in data["items"]:
        assert item["kind"] == "flag"
        assert (item["start_s"], item["end_s"]) == (item["start"] / rate, item["end"] / rate)
        assert 0 <= item["score"] <= 1
        assert 0 < item["p_value"] <= 1
        assert 0 <= item["low_hz"] < item["high_hz"] <= rate / 2
    if rate == 16000:  # hiss that ends at 8 kHz does not reach the bands in which the tiny model looks for it
        return
    noise = [item for item in data["items"] if item["label"] == "noise"]
    for item, (start, end) in zip(noise, ODD, strict=True):
        assert abs(item["start_s"] - start) < NEAR_S
        assert abs(item["end_s"] - end) < NEAR_S
        assert item["low_hz"] < 1000
    places = np.arange(125) * curve["hop_s"]
    odd = sum(((places > start + 0.4) & (places < end - 0.4)).astype(int) for start, end in ODD) > 0
    calm = (places < ODD[0][0] - 0.4) | (places > ODD[1][1] + 0.4)
    scores = np.array(curve["scores"])
    assert scores[odd].min() > 0.9
    assert np.median(scores[calm]) < 0.05


def test_parts_and_cuts_are_the_file_again(tmp_path: Path, flag: Command) -> None:
    data = flag.json(write(tmp_path / "take.wav"))
    noise, parts = learned(data), data["keep"]
    for item in noise:
        assert all(part["end"] <= item["start"] or part["start"] >= item["end"] for part in parts)
    assert data["kept_s"] == pytest.approx(sum(part["end_s"] - part["start_s"] for part in parts))
    assert parts[0]["start"] == 0
    assert parts[-1]["end"] == 20 * RATE


@pytest.mark.parametrize("ratio", [0.5, 0.75, 0.9])
def test_the_share_to_keep_is_met(tmp_path: Path, flag: Command, ratio: float) -> None:
    source = write(tmp_path / "take.wav")
    data = flag.json(source, "--keep", ratio, "--snap", "none")
    assert abs(data["kept_s"] / 20 - ratio) < 0.06
    assert data["threshold"] is None
    kept = [(part["start_s"], part["end_s"]) for part in data["keep"]]
    if ratio >= 0.75:  # the calm of a tone is all alike: which of it goes when a half must go is anybody's guess
        assert not any(start < 7.5 < end for start, end in kept)
    assert flag.json(source, "--keep", ratio, "--snap", "none") == data
    everything = flag.json(source, "--keep", 1)
    assert [(part["start_s"], part["end_s"]) for part in everything["keep"]] == [(0.0, 20.0)]
    assert learned(everything) == []
    assert flag.json(source, "--keep", 0)["keep"] == []


def test_a_threshold_is_a_share_of_good_audio(tmp_path: Path, flag: Command) -> None:
    """The tiny model's calibration is even from -3 to 0: a p-value of P lies at the score of -3 P, nearly."""
    source = write(tmp_path / "take.wav")
    for p_value in (0.9, 0.3, 0.02):
        data = flag.json(source, "--threshold", p_value)
        assert data["threshold"] == pytest.approx(1 / (1 + np.exp(3 * p_value)), abs=0.02)
        assert all(item["p_value"] <= p_value for item in data["items"])
    code, _, error = flag(source, "--threshold", "0.001")
    assert code == 1
    assert "finer than this model was calibrated: its least p-value is 0.0099" in error


def test_padding_and_least_lengths(tmp_path: Path, flag: Command) -> None:
    source = write(tmp_path / "take.wav")
    plain = flag.json(source, "--snap", "none")
    more = flag.json(source, "--snap", "none", "--pad", 0.25)
    assert learned(plain) == learned(more)
    assert more["kept_s"] == pytest.approx(plain["kept_s"] + 4 * 0.25, abs=0.01)
    assert [item["label"] for item in learned(flag.json(source, "--min-length", 2))] == ["noise"]  # the longer one


def test_edges_lie_on_zero_crossings(tmp_path: Path, flag: Command) -> None:
    source = write(tmp_path / "take.wav")
    mono = soundfile.read(source)[0].mean(axis=1)
    edges = [edge for part in flag.json(source, "--keep", 0.75)["keep"] for edge in (part["start"], part["end"])]
    for edge in edges:
        if 0 < edge < len(mono):
            assert mono[edge - 1] <= 0 <= mono[edge]


def test_edges_lie_on_beats(tmp_path: Path, flag: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    chopper = tiny_curves(tmp_path / "chopper.onnx")
    monkeypatch.setattr("bridge.flags.analysis.BEATS_MODEL", str(chopper))
    audio = take()
    for beat in np.arange(0.1, 19.9, 0.5):
        start = round(beat * RATE)
        audio[start : start + 60] += 0.7 * np.exp(-np.arange(60) / 15)[:, None]
    soundfile.write(tmp_path / "take.wav", audio, RATE)
    data = flag.json(tmp_path / "take.wav", "--snap", "beat", "--keep", "0.7")
    beats = analyse(tmp_path / "take.wav", open_network(chopper)).beats.positions.tolist()
    edges = {edge for part in data["keep"] for edge in (part["start"], part["end"])}
    assert len(edges) > 2
    assert edges <= {0, *beats, 20 * RATE}


def test_without_a_beat_zero_crossings_serve(tmp_path: Path, flag: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    chopper = tiny_curves(tmp_path / "chopper.onnx", curves=("onset",))
    monkeypatch.setattr("bridge.flags.analysis.BEATS_MODEL", str(chopper))
    source = write(tmp_path / "take.wav")
    code, out, error = flag(source, "--snap", "beat", "--json")
    assert code == 0
    assert "has no beat that could be found; cut on zero crossings instead" in error
    assert json.loads(out)["keep"] == flag.json(source)["keep"]


def test_a_part_of_a_file_keeps_the_file_s_time(tmp_path: Path, flag: Command) -> None:
    data = flag.json(write(tmp_path / "take.wav"), "--start", 4, "--end", 12)
    assert (data["start_s"], data["duration_s"]) == (4.0, 8.0)
    (noise,) = [item for item in data["items"] if item["label"] == "noise"]
    assert abs(noise["start_s"] - 6) < NEAR_S
    assert (data["keep"][0]["start"], data["keep"][-1]["end"]) == (4 * RATE, 12 * RATE)


def test_the_table_tells_what_the_json_tells(tmp_path: Path, flag: Command) -> None:
    source = write(tmp_path / "take.wav")
    data = flag.json(source)
    code, out, _ = flag(source)
    first, head, *rows = out.strip().splitlines()
    count, kept = len(data["items"]), data["kept_s"]
    assert code == 0
    assert first == f"{source}: {count} flags in 20.0 s; {kept:.1f} s kept ({kept / 20:.0%})"
    assert head.split() == ["flag", "time", "length", "kind", "score", "p", "band"]
    for number, (row, item) in enumerate(zip(rows, data["items"], strict=True), 1):
        assert row.split()[:3] == [str(number), f"{item['start_s']:.3f}", "s"]
        assert item["label"] in row
        assert rarity(item["p_value"]) in row.split()
    assert [rarity(p) for p in (0.5, 0.0001, 0.00003)] == ["0.5000", "0.0001", "<0.0001"]
    assert band(0, 24000, 48000) == "all"
    assert band(2100, 8000, 48000) == "2.1-8.0 kHz"
    assert band(0, 20.4, 48000) == "0-20 Hz"


def test_every_export_and_only_those_asked_for(tmp_path: Path, flag: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "My Take.wav")
    code, out, _ = flag(source, "-o", tmp_path / "out", "--cut")
    assert code == 0
    folder = tmp_path / "out" / "My Take"
    assert {path.name.removeprefix("My Take") for path in folder.iterdir()} == {
        "-flags.rpp", "-flags-reaper.csv", "-flags-labels.txt", "-keep-labels.txt", "-cut.otio", "-flags.csv",
        "-keep.csv", "-flags.json", "-flags.png", "-cut.wav",
    }  # fmt: skip
    assert f"→ {folder}" in out
    assert (folder / "My Take-flags.png").read_bytes().startswith(b"\x89PNG")
    kept = flag.json(source)["kept_s"]
    assert abs(soundfile.info(folder / "My Take-cut.wav").frames / RATE - kept) < 0.05
    assert flag(source, "-o", tmp_path / "few", "--export", " csv , otio ")[0] == 0
    assert {path.suffix for path in (tmp_path / "few" / "My Take").iterdir()} == {".csv", ".otio"}
    assert set(DEFAULT_EXPORTS) | {"cut"} == set(EXPORTS)
    monkeypatch.chdir(tmp_path)
    code, out, _ = flag("My Take.wav", "-o", "here", "--export", "json")
    assert (code, out.splitlines()[-1]) == (0, f"→ {Path('here') / 'My Take'}: My Take-flags.json")
    assert flag.json("My Take.wav", "-o", "here", "--export", "json")["files"] == [
        str(Path("here") / "My Take" / "My Take-flags.json")
    ]


def test_what_is_heavy_is_loaded_only_when_asked_for(tmp_path: Path, model: Path) -> None:
    source = write(tmp_path / "take.wav", 3.0)
    script = (
        "import sys\n"
        f"sys.argv = ['sidechop', 'flag', {str(source)!r}, '--model', {str(model)!r}, *sys.argv[1:]]\n"
        "import bridge.cli\n"
        "try:\n    bridge.cli.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print([name in sys.modules for name in ('matplotlib', 'opentimelineio', 'torch', 'scipy')])\n"
    )
    for extra, loaded in (
        ([], [False, False, False, False]),
        (["-o", str(tmp_path), "--export", "reaper,csv,json,cut"], [False, False, False, False]),
        (["-o", str(tmp_path), "--export", "otio"], [False, True, False, False]),
        (["-o", str(tmp_path)], [True, True, False, False]),
    ):
        command = [sys.executable, "-c", script, *extra]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == str(loaded)


def test_the_source_is_never_written_over(tmp_path: Path, flag: Command) -> None:
    """Not even where the cut would have its name."""
    source = write(tmp_path / "out" / "take" / "take-cut.wav")
    before = source.read_bytes()
    os.link(source, tmp_path / "take.wav")
    code, _, error = flag(tmp_path / "take.wav", "-o", tmp_path / "out", "--cut")
    assert code == 1
    assert "would be written over by its own export" in error
    assert source.read_bytes() == before
    assert [path.name for path in source.parent.iterdir()] == [source.name]


def test_settings_come_from_a_file_and_flags_win(tmp_path: Path, flag: Command, model: Path) -> None:
    source, config = write(tmp_path / "take.wav"), tmp_path / "flags.toml"
    config.write_text(f'model = "{model}"\nkeep = 0.5\nsnap = "none"\nfade_s = 0.02\nexport = ["csv"]\n')
    data = flag.json(source, "--config", config, "--keep", "0.8", "-o", tmp_path / "out")
    assert abs(data["kept_s"] / 20 - 0.8) < 0.06
    assert [Path(file).suffix for file in data["files"]] == [".csv", ".csv"]
    config.write_text("pad_s = -2\n")
    code, _, error = flag(source, "--config", config)
    assert (code, error.count("\n")) == (1, 1)
    assert f"{config}: line 1: pad_s: " in error


def test_what_was_fine_is_learned_and_taken_back(tmp_path: Path, flag: Command, home: Path) -> None:
    source = write(tmp_path / "take.wav")
    before = flag.json(source)
    assert len(learned(before)) == 2
    code, _, error = flag(source, "--fine", "6-9")
    assert (code, "learned; passages known as fine to" in error) == (0, True)
    assert len(list(home.glob("tiny-*.fine.npz"))) == 1
    after = flag.json(source)
    assert not any(item["start_s"] < 7.5 < item["end_s"] for item in learned(after))
    assert flag(source, "--fine", "14-15")[0] == 0
    assert learned(flag.json(source)) == []
    assert flag("--undo-fine")[0] == 0
    assert flag.json(source) == after
    assert flag.json(source, "--undo-fine") == before
    code, _, error = flag("--undo-fine")
    assert (code, error) == (1, "sidechop: nothing was learned as fine: there is nothing to take back\n")
    assert list(home.iterdir()) == []


def test_what_was_fine_belongs_to_one_model(tmp_path: Path, flag: Command, home: Path) -> None:
    source = write(tmp_path / "take.wav")
    assert flag(source, "--fine", "6-9")[0] == 0
    other = tiny_flagger(tmp_path / "tiny.onnx", scales=(1, 2))
    assert len(learned(flag.json(source, "--model", other))) == 2
    (store,) = home.iterdir()
    store.write_bytes(b"no archive")
    code, _, error = flag(source)
    assert code == 1
    assert re.fullmatch(r"sidechop: .*fine\.npz: cannot be read \(.*\); remove it to start anew\n", error)


def test_files_of_one_name_get_folders_of_their_own(tmp_path: Path, flag: Command) -> None:
    sources = [write(tmp_path / folder / "take.wav", 3.0) for folder in ("a", "b")]
    code, out, _ = flag(*sources, "-o", tmp_path / "out", "--export", "json", "--json")
    assert code == 0
    assert [json.loads(line)["source"] for line in out.splitlines()] == [str(source) for source in sources]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["take-1", "take-2"]


def _bad_files(folder: Path) -> Iterator[tuple[Path, str]]:
    yield folder / "missing.wav", "no such file"
    (folder / "empty.wav").touch()
    yield folder / "empty.wav", "is empty"
    (folder / "text.wav").write_text("not audio " * 100)
    yield folder / "text.wav", "not audio"
    yield write(folder / "three.wav", 1.0, channels=3), "3 channels"
    audio = take(2.0)
    audio[15000, 1] = np.nan
    soundfile.write(folder / "nan.wav", audio, RATE, subtype="FLOAT")
    yield folder / "nan.wav", r"not a number .* at 0\.340 s"
    soundfile.write(folder / "none.wav", audio[:0], RATE)
    yield folder / "none.wav", "no audio"
    soundfile.write(folder / "silence.wav", 0 * take(3.0), RATE)
    yield folder / "silence.wav", "is silent .*: there is nothing to flag"
    soundfile.write(folder / "short.wav", take(0.3), RATE)
    yield folder / "short.wav", r"lasts 0\.30 s, too short to be judged; give at least 0\.64 s"
    soundfile.write(folder / "low.wav", take(3.0, 4000), 4000)
    yield folder / "low.wav", "4000 Hz, expected 8000 to 192000; convert it"
    yield folder, "is a folder"


@pytest.mark.parametrize("which", range(10))
def test_a_bad_file_is_one_line_and_leaves_nothing(tmp_path: Path, flag: Command, which: int) -> None:
    source, message = list(_bad_files(tmp_path))[which]
    code, out, error = flag(source, "-o", tmp_path / "out", "--cut")
    assert (code, out) == (1, "")
    assert re.fullmatch(rf"sidechop: {re.escape(str(source))}: .*{message}.*\n", error), error
    assert not (tmp_path / "out").exists()


def test_bad_files_among_good_ones_are_named_and_the_rest_goes_on(tmp_path: Path, flag: Command) -> None:
    good = [write(tmp_path / "good.wav", 12.0), write(tmp_path / "fine.wav", 12.0)]
    bad = list(_bad_files(tmp_path))
    code, _, error = flag(good[0], *(path for path, _ in bad), good[1], "-o", tmp_path / "out", "--export", "json")
    assert code == 1
    for line, (path, message) in zip(error.splitlines(), bad, strict=True):
        assert re.fullmatch(rf"sidechop: {re.escape(str(path))}: .*{message}.*", line)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["fine", "good"]


def test_an_hour_of_silence_is_one_line(tmp_path: Path, flag: Command) -> None:
    path = tmp_path / "hour.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
        for _ in range(60):
            file.write(np.zeros(60 * 8000))
    code, out, error = flag(path, "-o", tmp_path / "out")
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert "is silent" in error
    assert not (tmp_path / "out").exists()


def test_two_seconds_are_judged_with_a_word_of_warning(tmp_path: Path, flag: Command) -> None:
    source = write(tmp_path / "two.wav", 2.0)
    code, out, error = flag(source, "-o", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(out)["keep"] == [{"start_s": 0.0, "end_s": 2.0, "start": 0, "end": 2 * RATE}]
    assert error.count("\n") == 1
    assert f"{source}: lasts 2.0 s, too short to show how it usually sounds" in error


def test_a_low_rate_is_judged_with_a_word_of_warning(tmp_path: Path, flag: Command) -> None:
    _, _, error = flag(write(tmp_path / "call.wav", 12.0, 8000, 1))
    assert "ends at 4 kHz, and the model learned from audio up to 16 kHz: what lacks above may be flagged" in error


def test_a_model_of_another_rate_hears_the_file_at_its_own(tmp_path: Path, flag: Command) -> None:
    features = Features(rate=22050, hop_samples=220, window_samples=512, high_hz=8000.0)
    other = tiny_flagger(tmp_path / "half.onnx", features)
    data = flag.json(write(tmp_path / "take.wav"), "--model", other)
    assert data["rate"] == RATE
    (first, _) = learned(data)
    assert abs(first["start_s"] - 6) < NEAR_S


def test_a_truncated_file_gives_what_there_is_with_a_warning(tmp_path: Path, flag: Command) -> None:
    content = write(tmp_path / "take.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) * 3 // 5])
    for output in ((), ("-o", tmp_path / "out", "--cut")):
        code, out, error = flag(tmp_path / "cut.wav", "--json", *output)
        assert (code, len(learned(json.loads(out)))) == (0, 1)
        assert error.count("is truncated") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--keep", "1.5"], "keep: Input should be less than or equal to 1"),
        (["--keep", "-0.1"], "keep: Input should be greater than or equal to 0"),
        (["--keep", "nan"], "keep: "),
        (["--keep", "0.5", "--threshold", "0.1"], "give a share to keep, or a threshold: one of them"),
        (["--threshold", "0"], "threshold: Input should be greater than 0"),
        (["--threshold", "1"], "threshold: Input should be less than 1"),
        (["--min-length", "-1"], "min_length_s: "),
        (["--pad", "inf"], "pad_s: "),
        (["--start", "20"], "the passage's start at 20 s lies outside"),
        (["--start", "3", "--end", "2"], "before it starts"),
        (["--cut"], "--cut needs a folder to write into: -o DIR"),
        (["--export", "csv"], "--export needs a folder to write into: -o DIR"),
        (["--export", "tape", "-o", "out"], "no export is called 'tape'; choose from reaper, audacity, otio"),
        (["--export", ",", "-o", "out"], "--export names none"),
        (["--keep", "0", "--cut", "-o", "out"], "nothing is left to keep, so there is no cut"),
        (["--fine", "soon"], "--fine is 'soon', expected two times"),
        (["--fine", "5-3"], "--fine is '5-3', expected two times"),
        (["--fine", "25-26"], "the passage from 25.000 to 26.000 s lies outside: expected 0.000 to 20.000 s"),
        (["--fine", "1-2", "-o", "out"], "--fine only learns"),
        (["--model", "nothing"], "no model is named 'nothing'"),
        (["--model", "chopper"], "chopper is of kind frames and flags nothing; a segments model does"),
        (["--model", "live4"], "live4 is of kind stft-hop and flags nothing"),
    ],
)
def test_a_wrong_wish_is_one_line(tmp_path: Path, flag: Command, arguments: list[str], message: str) -> None:
    source = write(tmp_path / "take.wav")
    arguments = [str(tmp_path / "out") if word == "out" else word for word in arguments]
    code, out, error = flag(source, *arguments)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert message in error
    assert not (tmp_path / "out").exists()


def test_no_file_and_too_many(tmp_path: Path, flag: Command) -> None:
    assert flag()[2] == "sidechop: no file is named: give one or more audio files\n"
    sources = [write(tmp_path / f"{name}.wav", 1.0) for name in "ab"]
    assert "--fine names a passage of one file, and 2 are given" in flag(*sources, "--fine", "0-1")[2]


def test_the_shipped_flagger_passes_the_demo_and_hears_what_is_wrong_with_it(tmp_path: Path, flag: Command) -> None:
    """The clip three times over is fine; with a gap and hiss as loud as itself in it, just those are flagged."""
    clip, rate = soundfile.read(ROOT / "bridge" / "assets" / "demo.ogg", always_2d=True)
    audio = np.tile(clip, (3, 1))
    soundfile.write(tmp_path / "fine.wav", audio, rate)
    assert flag.json(tmp_path / "fine.wav", "--model", "flagger")["items"] == []
    hiss = np.random.default_rng(0).standard_normal((4 * rate, audio.shape[1]))
    audio[20 * rate : 24 * rate] += np.sqrt(np.mean(audio**2)) * hiss
    audio[8 * rate : 8 * rate + rate // 20] = 0
    soundfile.write(tmp_path / "odd.wav", audio, rate)
    items = flag.json(tmp_path / "odd.wav", "--model", "flagger")["items"]
    gap, noise = items
    assert (gap["label"], noise["label"]) == ("dropout", "noise")
    assert (abs(gap["start_s"] - 8) < 0.002, abs(gap["end_s"] - 8.05) < 0.002) == (True, True)
    assert abs(noise["start_s"] - 20) < 1.4  # a bar of 2.4 s is heard as one: half of it, and a step
    assert abs(noise["end_s"] - 24) < 1.4
    assert max(item["p_value"] for item in items) < 0.01


def test_the_guide_knows_every_export_and_setting() -> None:
    guide = (ROOT / "docs" / "flags.md").read_text(encoding="utf-8")
    for word in {*get_args(Snap), *EXPORTS, *set(FlagCommandSettings.model_fields) - {"start_s", "end_s"}}:
        assert re.search(rf"`{re.escape(word)}`|^{word} = ", guide, re.MULTILINE), word
