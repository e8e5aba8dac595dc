"""`sidechop separate`, the command itself: exact lengths, stems that sum to the file, and every kind of bad file."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from command_line import run
from tiny_models import MASKS, STEMS, tiny_live4

from bridge.separate import FileSeparator, folder_names

ROOT = Path(__file__).parent.parent
OUTPUTS = (*STEMS, "other")

Audio = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_live4(tmp_path_factory.mktemp("model") / "tiny.onnx")


def write(path: Path, frames: int, channels: int = 2, rate: int = 44100, subtype: str = "FLOAT") -> Audio:
    """A seeded file of noise, and its samples ``(frames, channels)``."""
    audio = np.random.default_rng(frames + channels).uniform(-0.9, 0.9, (frames, channels)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate, subtype=subtype)
    return audio


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bridge.cli", "separate", *map(str, arguments)]


def read(folder: Path, ending: str = "wav", names: tuple[str, ...] = OUTPUTS) -> tuple[Audio, int]:
    """Every stem ``(stems, frames, channels)`` and the rate."""
    files = [soundfile.read(folder / f"{name}.{ending}", dtype="float32", always_2d=True) for name in names]
    assert len({rate for _, rate in files}) == 1
    return np.stack([audio for audio, _ in files]), files[0][1]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [1, 255, 256, 257, 511, 513, 44099, 44101])
def test_stems_lie_under_the_file_sample_by_sample(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, frames: int, channels: int
) -> None:
    audio = write(tmp_path / "song.wav", frames, channels)
    assert run(monkeypatch, "separate", tmp_path / "song.wav", "-o", tmp_path / "out", "--model", model) == 0
    stems, rate = read(tmp_path / "out" / "song")
    assert (stems.shape, rate) == ((4, frames, channels), 44100)
    assert np.max(np.abs(stems.sum(axis=0) - audio)) < 1e-6
    for stem, gain in zip(stems, MASKS, strict=False):
        assert np.max(np.abs(stem - gain * audio)) < 1e-6


@pytest.mark.parametrize(
    ("rate", "frames", "channels"),
    [(8000, 12345, 1), (16000, 16001, 2), (22050, 9999, 2), (48000, 30001, 2), (88200, 30001, 1), (96000, 50001, 2),
     (192000, 100003, 2)],
)  # fmt: skip
def test_any_rate_comes_back_as_it_was(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, rate: int, frames: int, channels: int
) -> None:
    """A file at a strange rate is resampled there and back; its stems still sum to it, to the sample."""
    audio = write(tmp_path / "song.wav", frames, channels, rate)
    assert run(monkeypatch, "separate", tmp_path / "song.wav", "-o", tmp_path / "out", "--model", model) == 0
    stems, written = read(tmp_path / "out" / "song")
    assert (stems.shape, written) == ((4, frames, channels), rate)
    assert np.max(np.abs(stems.sum(axis=0) - audio)) < 1e-6


@pytest.mark.parametrize("rate", [8000, 192000])
def test_a_tone_at_a_strange_rate_keeps_place_and_level(tmp_path: Path, model: Path, rate: int) -> None:
    """Half of a 440 Hz tone is half of that tone, in phase: the resamplers' and the engine's delays are taken out."""
    seconds = np.arange(rate) / rate
    tone = (0.5 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)
    soundfile.write(tmp_path / "tone.wav", tone, rate, subtype="FLOAT")
    FileSeparator(model).separate(tmp_path / "tone.wav", tmp_path / "out")
    stems, _ = read(tmp_path / "out")
    inner = slice(rate // 10, -rate // 10)  # the ends ring: the tone starts and stops there
    assert np.max(np.abs(stems[0, inner, 0] - tone[inner] / 2)) < 1e-4


def test_flac_is_24_bit_and_as_long(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = write(tmp_path / "song.wav", 20000)
    arguments = (tmp_path / "song.wav", "-o", tmp_path / "out", "--model", model, "--format", "flac")
    assert run(monkeypatch, "separate", *arguments) == 0
    assert soundfile.info(tmp_path / "out" / "song" / "bass.flac").subtype == "PCM_24"
    stems, _ = read(tmp_path / "out" / "song", "flac")
    assert np.max(np.abs(stems.sum(axis=0) - audio)) < 4 * 2**-23  # four roundings to 24 bits


def test_only_the_stems_asked_for(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "song.wav", 3000)
    arguments = (tmp_path / "song.wav", "-o", tmp_path / "out", "--model", model, "--stems", "other, drums")
    assert run(monkeypatch, "separate", *arguments) == 0
    assert sorted(path.name for path in (tmp_path / "out" / "song").iterdir()) == ["drums.wav", "other.wav"]


def test_json_is_one_object_a_file(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [tmp_path / "a" / "take.wav", tmp_path / "b" / "take.wav"]
    for source in sources:
        write(source, 44100)
    assert run(monkeypatch, "separate", *sources, "-o", tmp_path / "out", "--model", model, "--json") == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [o["source"] for o in objects] == [str(source) for source in sources]
    for i, data in enumerate(objects, 1):
        assert (data["rate"], data["duration_s"]) == (44100, 1.0)
        assert [item["label"] for item in data["items"]] == list(OUTPUTS)
        first = data["items"][0]
        assert (first["kind"], first["start_s"], first["end_s"]) == ("stem", 0.0, 1.0)
        assert Path(first["file"]) == tmp_path / "out" / f"take-{i}" / "vocals.wav"
        assert first["peak_db"] == pytest.approx(20 * np.log10(0.9 / 2), abs=0.05)


def test_files_of_one_name_get_folders_that_sort() -> None:
    names = folder_names([Path(f"{i}/Take.wav") for i in range(10)] + [Path("solo.wav"), Path("take.flac")])
    assert names[0] == "Take-01"
    assert names[9] == "Take-10"
    assert names[10:] == ["solo", "take-11"]
    clash = folder_names([Path("a/x.wav"), Path("b/x.wav"), Path("c/x-1.wav")])
    assert len({name.casefold() for name in clash}) == 3


def test_settings_come_from_a_file_and_flags_win(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "song.wav", 3000)
    config = tmp_path / "settings.toml"
    config.write_text(f'model = "{model}"\nstems = ["bass"]\nformat = "flac"\n')
    assert (
        run(
            monkeypatch,
            "separate",
            tmp_path / "song.wav",
            "-o",
            tmp_path / "out",
            "--config",
            config,
            "--stems",
            "drums",
        )
        == 0
    )
    assert [path.name for path in (tmp_path / "out" / "song").iterdir()] == ["drums.flac"]


def _bad_files(folder: Path) -> Iterator[tuple[Path, str]]:
    yield folder / "missing.wav", "no such file"
    (folder / "empty.wav").touch()
    yield folder / "empty.wav", "is empty"
    (folder / "text.wav").write_text("not audio " * 100)
    yield folder / "text.wav", "not audio"
    write(folder / "eight.wav", 1000, channels=8)
    yield folder / "eight.wav", "8 channels"
    audio = np.zeros((20000, 2), np.float32)
    audio[15000, 1] = np.nan
    soundfile.write(folder / "nan.wav", audio, 44100, subtype="FLOAT")
    yield folder / "nan.wav", r"not a number .* at 0\.340 s"
    soundfile.write(folder / "none.wav", audio[:0], 44100)
    yield folder / "none.wav", "no audio"
    yield folder, "is a folder"


@pytest.mark.parametrize("which", range(7))
def test_a_bad_file_is_one_line_and_leaves_nothing(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], which: int
) -> None:
    source, message = list(_bad_files(tmp_path))[which]
    assert run(monkeypatch, "separate", source, "-o", tmp_path / "out", "--model", model) == 1
    error = capfd.readouterr().err.strip()
    assert re.fullmatch(rf"sidechop: {re.escape(str(source))}: .*{message}.*", error), error
    assert not (tmp_path / "out").exists()


def test_a_truncated_file_gives_what_there_is_with_a_warning(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    audio = write(tmp_path / "song.wav", 40000, subtype="PCM_16")
    content = (tmp_path / "song.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) // 2])
    assert run(monkeypatch, "separate", tmp_path / "cut.wav", "-o", tmp_path / "out", "--model", model) == 0
    assert "is truncated" in capfd.readouterr().err
    stems, _ = read(tmp_path / "out" / "cut")
    assert 19000 < stems.shape[1] <= 20000
    assert np.max(np.abs(stems.sum(axis=0) - audio[: stems.shape[1]])) < 2**-14  # a step of 16 bits


def test_one_bad_file_of_several_does_not_stop_the_others(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.wav", tmp_path / "bad.wav"
    write(good, 3000)
    soundfile.write(bad, np.full((3000, 2), np.inf, np.float32), 44100, subtype="FLOAT")
    assert run(monkeypatch, "separate", bad, good, "-o", tmp_path / "out", "--model", model) == 1
    assert "not a number" in capfd.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stems", "voice"], "has no stem 'voice'; it gives vocals, drums, bass, other"),
        (["--stems", ","], "--stems names none"),
        (["--model", "liv4"], "no model is named 'liv4'"),
        (["--model", "/nowhere/live4.onnx"], "/nowhere/live4.onnx: no such model file"),
    ],
)
def test_wrong_wishes_are_one_line(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    write(tmp_path / "song.wav", 3000)
    chosen = [] if "--model" in arguments else ["--model", model]
    assert run(monkeypatch, "separate", tmp_path / "song.wav", "-o", tmp_path / "out", *chosen, *arguments) == 1
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_unknown_format_is_wrong_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "separate", tmp_path / "song.wav", "-o", tmp_path / "out", "--format", "mp3") == 2
    error = capfd.readouterr().err
    assert "mp3" in error
    assert "flac" in error


def test_a_stem_does_not_write_over_its_own_source(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "vocals" / "vocals.wav"
    audio = write(source, 3000)
    assert run(monkeypatch, "separate", source, "-o", tmp_path, "--model", model) == 1
    assert "written over" in capfd.readouterr().err
    assert np.array_equal(soundfile.read(source, dtype="float32")[0], audio)


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes that take no disk: a header, then a hole."""
    path = tmp_path_factory.mktemp("long") / "long.wav"
    write(path, 1, subtype="PCM_16")
    frames = 600 * 44100
    header = bytearray(path.read_bytes()[:44])
    header[4:8] = (36 + 4 * frames).to_bytes(4, "little")
    header[40:44] = (4 * frames).to_bytes(4, "little")
    path.write_bytes(header)
    os.truncate(path, 44 + 4 * frames)
    return path


def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path, model: Path, long_file: Path) -> None:
    process = subprocess.Popen(
        command(long_file, "-o", tmp_path / "out", "--model", model), cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    part = tmp_path / "out" / "long" / "vocals.wav.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 1e6) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode in (1, 130)
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) <= 1
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_no_room_is_one_line_and_leaves_nothing(tmp_path: Path, model: Path, long_file: Path) -> None:
    """The disk refuses to go on in the middle of the first megabyte."""
    arguments = ["sidechop", "separate", str(long_file), "-o", str(tmp_path / "out"), "--model", str(model)]
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)); "
        f"import bridge.cli; sys.argv = {arguments!r}; bridge.cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert re.fullmatch(r"sidechop: \S+\.wav: cannot be written \(.*\)", done.stderr.strip()), done.stderr
    assert not (tmp_path / "out").exists()


PEAK = """
import resource, sys
from pathlib import Path
from bridge.separate import FileSeparator
separator = FileSeparator(Path(sys.argv[1]))
peaks = []
separator.separate(Path(sys.argv[2]), Path(sys.argv[3]), "flac",
                   lambda done, total: peaks.append((done, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)))
early = next(peak for done, peak in peaks if done > 10 * 44100)
print(early, peaks[-1][1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="measures with getrusage")
def test_memory_does_not_grow_with_the_file(tmp_path: Path, model: Path) -> None:
    """From the tenth second to the hundredth the peak grows by less than 4 MB; the audio itself would be 127 MB."""
    write(tmp_path / "song.wav", 100 * 44100, subtype="PCM_16")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, model, tmp_path / "song.wav", tmp_path / "out"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    early, late = map(int, done.stdout.split())
    unit = 1024 if sys.platform == "linux" else 1
    assert (late - early) * unit < 4e6
