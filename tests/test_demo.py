"""`sidechop demo` end to end: its stems sum to the clip, and what OSC asked for on the way is heard in its mix."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image
from tiny_models import tiny_live4

from bridge.demo import CLIP

RATE = 44100
STEMS = ("vocals", "drums", "bass", "other")


def demo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "bridge.cli", "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def read(path: Path) -> NDArray[np.float64]:
    audio: NDArray[np.float64] = soundfile.read(path, always_2d=True)[0].T
    return audio


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "noise.wav"
    noise = np.random.default_rng(3).uniform(-0.4, 0.4, (12 * RATE + 77, 2))
    soundfile.write(path, noise, RATE, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def played(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("played") / "out"
    model = tiny_live4(tmp_path_factory.mktemp("model") / "tiny.onnx")
    done = demo("-o", str(folder), "--clip", str(clip), "--model", str(model), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return folder, json.loads(done.stdout)


def test_stems_sum_to_the_clip(played: tuple[Path, dict[str, Any]], clip: Path) -> None:
    folder, _ = played
    total = np.sum([read(folder / f"{stem}.wav") for stem in STEMS], axis=0)
    assert total.shape == read(clip).shape
    np.testing.assert_allclose(total, read(clip), atol=1e-6)  # float32 rounds to 6e-8; other takes up the rest


def test_the_faders_are_heard_in_the_mix(played: tuple[Path, dict[str, Any]], clip: Path) -> None:
    """Each part of the mix, 50 ms long, is one of three things (or a 10 ms ramp between two of them)."""
    folder, _ = played
    mix, whole, vocals, drums = (read(path) for path in (folder / "mix.wav", clip, *_stems(folder)[:2]))
    down = whole - (1 - 10 ** (-12 / 20)) * drums
    heard = {"all": 0, "vocals": 0, "drums down": 0}
    n = RATE // 20
    for start in range(0, mix.shape[1] - n, n):
        part = np.s_[:, start : start + n]
        for name, wanted in (("all", whole), ("vocals", vocals), ("drums down", down)):
            heard[name] += bool(np.abs(mix[part] - wanted[part]).max() < 1e-5)
    parts = mix.shape[1] // n
    assert sum(heard.values()) >= parts - 8, heard  # four moves, each touching at most two parts
    assert min(heard.values()) >= 4, heard


def _stems(folder: Path) -> list[Path]:
    return [folder / f"{stem}.wav" for stem in STEMS]


def test_the_report(played: tuple[Path, dict[str, Any]], clip: Path) -> None:
    folder, report = played
    assert (report["source"], report["rate"], report["model"]) == (str(clip), RATE, "tiny")
    assert report["duration_s"] == pytest.approx((12 * RATE + 77) / RATE)
    stems = {item["label"]: item for item in report["items"] if item["kind"] == "stem"}
    assert list(stems) == ["input", "mix", *STEMS]
    for name in ("mix", *STEMS):
        audio = read(folder / f"{name}.wav")
        assert stems[name]["path"] == str(folder / f"{name}.wav")
        assert stems[name]["peak_db"] == pytest.approx(20 * np.log10(np.abs(audio).max()), abs=0.01)
        assert stems[name]["rms_db"] == pytest.approx(10 * np.log10(np.mean(audio**2)), abs=0.01)
    moves = [item["label"] for item in report["items"] if item["kind"] == "osc"]
    assert moves == [
        "/sidechop/stem/solo vocals 1",
        "/sidechop/stem/solo vocals 0",
        "/sidechop/stem/gain drums -12.0",
        "/sidechop/stem/gain drums 0.0",
    ]
    assert report["latency"]["samples"] == sum(part["samples"] for part in report["latency"]["parts"])
    assert report["statistics"]["misses"] == 0
    assert report["statistics"]["hops"] >= 12 * RATE // 256


def test_the_picture(played: tuple[Path, dict[str, Any]]) -> None:
    with Image.open(played[1]["picture"]) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[0] > 600
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100, "something was drawn"


def test_nothing_else_is_left(played: tuple[Path, dict[str, Any]]) -> None:
    wanted = {f"{name}.wav" for name in ("mix", *STEMS)} | {"spectrogram.png"}
    assert {path.name for path in played[0].iterdir()} == wanted


def test_out_of_the_box(tmp_path: Path) -> None:
    """As the README has it: the built-in clip, the shipped model, a table for people."""
    done = demo("-o", str(tmp_path / "demo"))
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("vocals.wav", "stem/solo vocals 1", "from input to output, exactly", "p99", "with live4"):
        assert words in done.stdout
    stems = [read(path) for path in _stems(tmp_path / "demo")]
    clip = read(CLIP)
    np.testing.assert_allclose(np.sum(stems, axis=0), clip, atol=1e-6)
    mix_power = np.mean(clip**2)
    for stem in stems:  # a sung song with drums and bass: none is silent, none is all of it
        assert 1e-3 * mix_power < np.mean(stem**2) < mix_power


def test_missing_clip_and_model_end_in_one_line(tmp_path: Path, clip: Path) -> None:
    for arguments, words in (
        (("--clip", str(tmp_path / "none.wav")), "no such file"),
        (("--clip", str(clip), "--model", "lvie4"), "no model is named 'lvie4'"),
    ):
        done = demo("-o", str(tmp_path / "out"), *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert words in done.stderr
    assert not (tmp_path / "out").exists()
