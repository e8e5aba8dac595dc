"""`sidechop batch`, the command: folders, names, every kind of bad file, manifest, resume, checks before a run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from batch_audio import RATE, all_files, noise, read, write, zam
from command_line import run

from bridge.batch.chains import chains_folder
from bridge.batch.inputs import find_sources
from bridge.batch.manifest import NAME, read_manifest
from bridge.batch.plan import make_plan
from bridge.batch.run import locked
from bridge.batch.sizing import Sizing, candidates, choose
from streaming.errors import AudioError, RequestError

GAIN = '[[stage]]\ntype = "Gain"\ngain_db = -6\n'
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    path = tmp_path / "chain.toml"
    path.write_text(GAIN)
    return path


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The command takes them over; the tests want them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def entries(output: Path) -> dict[str, dict[str, Any]]:
    """The manifest's last word on each file."""
    return {line["file"]: line for line in read_manifest(output / NAME) if "file" in line}


def below(folder: Path) -> list[Path]:
    """All that is there, but for what libraries remember in the user's cache."""
    return sorted(path for path in folder.rglob("*") if "cache" not in path.relative_to(folder).parts)


def test_a_folder_with_everything_in_it(
    tmp_path: Path, chain: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    top, out = tmp_path / "samples", tmp_path / "out"
    good = {
        "kick.wav": noise(2000), "sub/snare.wav": noise(3000, 1), "sub/üñï/ö ö.wav": noise(10), "a b'c.wav": noise(500),
        "long/" + "n" * 200 + ".wav": noise(20), "UPPER.WAV": noise(30),
    }  # fmt: skip
    for name, audio in good.items():
        write(top / name, audio)
    write(top / "with.flac", noise(4000), subtype="PCM_16")
    write(tmp_path / "elsewhere" / "linked.wav", noise(700))
    (top / "link").symlink_to(tmp_path / "elsewhere")
    (top / "loop").symlink_to(top)
    (top / "file-link.wav").symlink_to(tmp_path / "elsewhere" / "linked.wav")
    (top / "dangling.wav").symlink_to(tmp_path / "nowhere.wav")
    (top / "empty.wav").touch()
    (top / "text.wav").write_text("not audio")
    (top / "notes.txt").write_text("notes")
    (top / "._hidden.wav").write_text("a Mac's")
    (top / "five.wav").write_bytes(b"")
    write(top / "five.wav", np.concatenate([noise(50), noise(50), noise(50, 1)]))
    nan = noise(5000)
    nan[0, 4000] = np.nan
    write(top / "nan.wav", nan)
    truncated = write(top / "short.wav", noise(9000))
    truncated.write_bytes(truncated.read_bytes()[:40_000])
    before = {path: path.read_bytes() for path in sorted(top.rglob("*.wav")) if path.is_file()}

    assert run(monkeypatch, "batch", chain, top, "-o", out, "--workers", 2, "--json") == 1
    printed, said = capfd.readouterr()
    for name, audio in good.items():
        target = (out / name).with_suffix(".wav")
        np.testing.assert_allclose(read(target), audio * 10 ** (-6 / 20), atol=1e-7)
    assert (out / "with.wav").exists()
    assert read(out / "link" / "linked.wav").shape == read(out / "file-link.wav").shape == (2, 700)
    assert read(out / "short.wav").shape[1] < 9000
    status = {file: entry["status"] for file, entry in entries(out).items()}
    bad = {"empty.wav", "text.wav", "five.wav", "nan.wav", "dangling.wav"}
    assert {file for file, it in status.items() if it == "failed"} == bad
    assert {file for file, it in status.items() if it == "done"} == {
        *good,
        "with.flac",
        "link/linked.wav",
        "file-link.wav",
        "short.wav",
    }
    for words in (
        "empty.wav: is empty (0 bytes)", "text.wav: not audio that can be read", "five.wav: has 5 channels",
        "nan.wav: holds a sample that is not a number", "dangling.wav: no such file", "short.wav: is truncated",
        "1 not audio by their names",
    ):  # fmt: skip
        assert words in said
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [line["kind"] for line in lines] == ["file"] * len(status) + ["summary"]
    assert (lines[-1]["done"], lines[-1]["failed"], lines[-1]["ignored"]) == (len(good) + 4, 5, 1)
    assert {path: path.read_bytes() for path in before} == before, "sources are as they were"
    assert not (out / ".sidechop-batch").exists()
    assert next(read_manifest(out / NAME))["ignored"] == [str(top / "notes.txt")]


def test_resume_does_what_is_missing_and_nothing_else(
    tmp_path: Path, chain: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    top, out = tmp_path / "in", tmp_path / "out"
    for i in range(4):
        write(top / f"{i}.wav", noise(1000 + i, seed=i))
    assert run(monkeypatch, "batch", chain, top, "-o", out, "--workers", 1) == 0
    first, stamps = all_files(out), {path: path.stat().st_mtime_ns for path in out.glob("*.wav")}
    assert run(monkeypatch, "batch", chain, top, "-o", out, "--workers", 1) == 1
    assert "0.wav and 3 more is there already: --resume goes on with a run" in capfd.readouterr().err

    (out / "1.wav").unlink()
    (out / "2.wav").write_bytes(first["2.wav"][:-4])
    write(top / "3.wav", noise(1003, seed=9))
    write(top / "4.wav", noise(500))
    assert run(monkeypatch, "batch", chain, top, "-o", out, "--workers", 1, "--resume") == 1
    assert "2.wav: is there already, and is another; --overwrite replaces it" in capfd.readouterr().err
    assert run(monkeypatch, "batch", chain, top, "-o", out, "--workers", 1, "--resume", "--overwrite") == 0
    second = all_files(out)
    assert {name: second[name] for name in ("0.wav", "1.wav", "2.wav")} == {
        n: first[n] for n in ("0.wav", "1.wav", "2.wav")
    }
    assert (out / "0.wav").stat().st_mtime_ns == stamps[out / "0.wav"], "not touched again"
    np.testing.assert_allclose(read(out / "3.wav"), noise(1003, seed=9) * 10 ** (-6 / 20), atol=1e-7)

    chain.write_text(GAIN.replace("-6", "-12"))
    assert run(monkeypatch, "batch", chain, top, "-o", out, "--workers", 1, "--resume") == 0
    np.testing.assert_allclose(read(out / "0.wav"), noise(1000) * 10 ** (-12 / 20), atol=1e-7)
    capfd.readouterr()
    assert run(monkeypatch, "batch", chain, top, "-o", out, "--workers", 1, "--resume") == 0
    assert "0 done, 5 done before" in capfd.readouterr().out


def test_a_manifest_that_was_cut_off_is_no_trouble(
    tmp_path: Path, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top, out = tmp_path / "in", tmp_path / "out"
    for i in range(3):
        write(top / f"{i}.wav", noise(100 + i))
    assert run(monkeypatch, "batch", chain, top, "-o", out, "--workers", 1) == 0
    first, manifest = all_files(out), out / NAME
    manifest.write_bytes(manifest.read_bytes()[:-40] + b"\xff\xfe")
    assert run(monkeypatch, "batch", chain, top, "-o", out, "--workers", 1, "--resume") == 0
    assert all_files(out) == first
    assert sum(1 for line in read_manifest(manifest) if line.get("status") == "done") == 3


def test_names_that_would_be_one_are_refused(tmp_path: Path, chain: Path) -> None:
    write(tmp_path / "a.wav", noise(10))
    write(tmp_path / "a.flac", noise(10), subtype="PCM_16")
    with pytest.raises(
        RequestError, match=r"a\.wav and .*a\.flac would both become|a\.flac and .*a\.wav would both become"
    ):
        make_plan(chain, [str(tmp_path / "a.wav"), str(tmp_path / "a.flac")], str(tmp_path / "out"))
    chain.write_text(GAIN + '[output]\nname = "{path}/{name}-{ext}"')
    plan = make_plan(chain, [str(tmp_path / "a.wav"), str(tmp_path / "a.flac")], str(tmp_path / "out"))
    assert [Path(target).name for _, target in plan.names()] == ["a-wav.wav", "a-flac.wav"]


def test_the_output_folder_is_no_input(tmp_path: Path, chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in" / "a.wav", noise(10))
    out = tmp_path / "in" / "out"
    assert run(monkeypatch, "batch", chain, tmp_path / "in", "-o", out, "--workers", 1) == 0
    assert run(monkeypatch, "batch", chain, tmp_path / "in", "-o", out, "--workers", 1, "--resume") == 0
    assert list(all_files(out)) == ["a.wav"]
    found = find_sources([str(tmp_path / "in")], str(out))
    assert [source.file for source in found.sources] == ["a.wav"]


def test_a_source_in_the_output_folder_is_safe(
    tmp_path: Path, chain: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another source's output could have its name."""
    chain.write_text(GAIN + '[output]\nname = "x-{name}"')
    files = [write(tmp_path / f"{name}.wav", noise(10)) for name in ("a", "x-a")]
    before = all_files(tmp_path)
    assert run(monkeypatch, "batch", chain, *files, "-o", tmp_path, "--overwrite") == 1
    assert "lies in the output folder" in capfd.readouterr().err
    assert run(monkeypatch, "batch", chain, *files, "-o", tmp_path) == 1
    assert "is there already" in capfd.readouterr().err
    assert run(monkeypatch, "batch", chain, *files, "-o", tmp_path, "--resume", "--workers", 1) == 1
    assert "x-a.wav: is there already, and is another" in capfd.readouterr().err
    assert before.items() <= all_files(tmp_path).items()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no chain is named"),
        (("nothing",), "no chain is named 'nothing'"),
        (("none.toml",), "none.toml: no such chain"),
        (("{chain}",), "no input is named"),
        (("{chain}", "{in}"), "no folder is named to write into"),
        (("{chain}", "{tmp}/void", "-o", "{tmp}/out"), "void: no such file or folder"),
        (("{chain}", "{tmp}/empty", "-o", "{tmp}/out"), "no audio was found"),
        (("{chain}", "{in}", "-o", "{chain}"), "cannot be written"),
        (("{chain}", "{in}", "-o", "/proc/nowhere"), "cannot be written"),
        (("{bad}", "{in}", "-o", "{tmp}/out"), "bad.toml: line 2: stage 1: no stage is called 'Tuba'"),
        (("{missing}", "{in}", "-o", "{tmp}/out"), "stage 1 separate: no model is named 'tuba'"),
        (("{missing}", "--check"), "stage 1 separate: no model is named 'tuba'"),
        (("{query}", "--check"), "live4 is for separation and takes no query"),
        (("{filter}", "--check"), "MP3Compressor"),
    ],
)
def test_wrong_use_is_one_line_and_nothing_is_written(
    tmp_path: Path,
    chain: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    write(tmp_path / "in" / "a.wav", noise(10))
    (tmp_path / "empty").mkdir()
    texts = {
        "bad": '[[stage]]\ntype = "Tuba"',
        "missing": '[[stage]]\ntype = "separate"\nmodel = "tuba"',
        "query": '[[stage]]\ntype = "query"\nmodel = "live4"\nqueries = ["a dog"]',
        "filter": '[[stage]]\ntype = "resample"\nrate = 96000\n[[stage]]\ntype = "MP3Compressor"',
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.toml").write_text(text)
    names = {name: tmp_path / f"{name}.toml" for name in texts} | {
        "chain": chain,
        "in": tmp_path / "in",
        "tmp": tmp_path,
    }
    before = below(tmp_path)
    assert run(monkeypatch, "batch", *(argument.format(**names) for argument in arguments)) == 1
    said = capfd.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert said.startswith("sidechop: ")
    assert below(tmp_path) == before


def test_check_and_dry_run_write_nothing(
    tmp_path: Path, chain: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "in" / "sub" / "a.wav", noise(10))
    (tmp_path / "in" / "x.txt").touch()
    (chains_folder()).mkdir(parents=True)
    (chains_folder() / "mine.toml").write_text('[[stage]]\ntype = "separate"\nmodel = "live4-int8"\noutput = "files"\n')
    before = below(tmp_path)
    assert run(monkeypatch, "batch", chain, "--check") == 0
    assert "chain.toml: good: 1 Gain; one file for each" in capfd.readouterr().out
    assert run(monkeypatch, "batch", "mine", tmp_path / "in", "-o", tmp_path / "out", "--dry-run") == 0
    out, said = capfd.readouterr()
    assert out.endswith(f"a.wav → {tmp_path}/out/sub/a/(stem).wav\n")
    assert "x.txt: not audio by its name" in said
    assert run(monkeypatch, "batch", "mine", tmp_path / "in", "-o", tmp_path / "out", "--dry-run", "--json") == 0
    assert json.loads(capfd.readouterr().out)["exists"] is False
    assert run(monkeypatch, "batch", "mien", tmp_path / "in", "-o", tmp_path / "out") == 1
    assert "no chain is named 'mien'; did you mean mine?" in capfd.readouterr().err
    assert below(tmp_path) == before


def test_the_parameters_of_a_plugin_are_listed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = zam("ZaMaximX2")
    assert run(monkeypatch, "batch", "--list-stages", "--plugin", path, "--json") == 0
    settings = {it["name"]: it for it in json.loads(capfd.readouterr().out)[0]["settings"]}
    assert settings["threshold_db"] == {"name": "threshold_db", "default": 0.0, "low": -30.0, "high": 0.0, "unit": "dB"}


def test_two_runs_do_not_collide(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "out"),
        pytest.raises(RequestError, match="another run is writing there"),
        locked(tmp_path / "out"),
    ):
        pass
    with locked(tmp_path / "out"):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(AudioError, match="cannot be written"), locked(tmp_path / "file" / "below"):
        pass


def test_ctrl_c_loses_nothing(tmp_path: Path, chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top, out = tmp_path / "in", tmp_path / "out"
    chain.write_text('[[stage]]\ntype = "Reverb"\n' * 6)
    for i in range(12):
        write(top / f"{i:02}.wav", noise(8 * RATE, seed=i), subtype="PCM_16")
    command = [sys.executable, "-m", "bridge.cli", "batch", chain, top, "-o", out, "--workers", "2"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        while not (out / NAME).exists() or len(entries(out)) < 3:
            assert process.poll() is None
            time.sleep(0.01)
        workers = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        said, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; --resume goes on" in error
    assert "not begun" in said
    for worker in workers:
        assert not worker.is_running()
    done = {f"{Path(file).stem}.wav" for file, entry in entries(out).items() if entry["status"] == "done"}
    assert 3 <= len(done) < 12
    assert set(all_files(out)) == done, "each is complete or absent, and nothing else is there"
    stamps = {name: (out / name).stat().st_mtime_ns for name in done}
    assert run(monkeypatch, "batch", chain, top, "-o", out, "--workers", 2, "--resume") == 0
    resumed = all_files(out)
    assert {name: (out / name).stat().st_mtime_ns for name in done} == stamps
    assert run(monkeypatch, "batch", chain, top, "-o", tmp_path / "again", "--workers", 2) == 0
    assert all_files(tmp_path / "again") == resumed


def test_a_full_disk_is_one_line(tmp_path: Path, chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is too long for the room there is fails; what fits is done."""
    if os.geteuid() != 0:
        pytest.skip("needs a small disk, which only root can make")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", small], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        write(tmp_path / "in" / "big.wav", noise(20 * RATE))
        write(tmp_path / "in" / "ok.wav", noise(1000))
        assert run(monkeypatch, "batch", chain, tmp_path / "in", "-o", small, "--workers", 1) == 1
        assert "disk is full" in entries(small)["big.wav"]["error"]
        assert list(all_files(small)) == ["ok.wav"]
    finally:
        subprocess.run(["umount", small], check=True)


def test_how_many_workers_is_measured_once(tmp_path: Path, chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.wav", noise(10))
    plan = make_plan(chain, [str(tmp_path / "a.wav")], str(tmp_path / "out"))
    measured: list[Sizing] = []

    def measure(setup: object, sizing: Sizing) -> Sizing:
        measured.append(sizing)
        return replace(sizing, speed=5.0 if sizing.workers == 2 else 50.0)

    monkeypatch.setattr("bridge.batch.sizing.measure", measure)
    monkeypatch.setattr("bridge.batch.sizing.cores", lambda: 4)
    monkeypatch.setattr("bridge.batch.sizing._memory_bytes", lambda: None)
    setup = plan.setup(False, 1, 60)
    assert choose(setup, plan.chain, plan.digest, tmp_path / "memory.json").workers == 4
    assert measured == [Sizing(4, 1), Sizing(2, 1)]
    assert choose(setup, plan.chain, plan.digest, tmp_path / "memory.json").workers == 4
    assert len(measured) == 2, "remembered"
    (tmp_path / "memory.json").write_text("nonsense")
    assert choose(setup, plan.chain, "another", tmp_path / "memory.json").workers == 4


def test_what_is_tried() -> None:
    from bridge.batch.description import Chain

    neural = Chain.model_validate({"stage": [{"type": "separate"}]})
    plain = Chain.model_validate({"stage": [{"type": "Gain"}]})
    assert candidates(neural, 4) == [Sizing(4, 1), Sizing(2, 2), Sizing(1, 4)]
    assert candidates(neural, 4, gpu=True)[-1] == Sizing(2, 1, gpu=True)
    assert candidates(plain, 4, gpu=True) == [Sizing(4, 1), Sizing(2, 1)]
    assert candidates(plain, 1) == [Sizing(1, 1)]
    assert candidates(neural, 8, 1250 << 20)[0] == Sizing(2, 1), "no more than fit in memory"


def test_a_real_measurement(tmp_path: Path, chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.batch.sizing.cores", lambda: 2)  # on one there is nothing to choose
    write(tmp_path / "a.wav", noise(10))
    plan = make_plan(chain, [str(tmp_path / "a.wav")], str(tmp_path / "out"))
    sizing = choose(plan.setup(False, 1, 60), plan.chain, plan.digest, tmp_path / "memory.json")
    assert sizing.speed > 1
    assert len(json.loads((tmp_path / "memory.json").read_text())) == 1
    assert not (tmp_path / "out").exists()
