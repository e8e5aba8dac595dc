"""Whole chains in this process: each that we ship runs, and what comes out is what it says."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from batch_audio import RATE, all_files, good, noise, paths, read, run_file, stages, write, zam
from tiny_models import MASKS, tiny_curves, tiny_flagger, tiny_live4

from bridge.batch.description import Chain, read_chain
from bridge.batch.job import Job, Workbench
from bridge.batch.loudness import LoudnessMeter, PeakMeter

ROOT = Path(__file__).parents[1]
CHAINS = sorted((ROOT / "examples" / "chains").glob("*.toml"))
OUTPUTS = ("vocals", "drums", "bass", "other")


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some seconds of real music."""
    audio, rate = soundfile.read(ROOT / "bridge" / "assets" / "demo.ogg", dtype="float32", frames=4 * RATE, start=RATE)
    assert rate == RATE
    return write(tmp_path_factory.mktemp("song") / "song.wav", audio.T, subtype="PCM_24")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_live4(tmp_path_factory.mktemp("model") / "tiny.onnx"))


@pytest.mark.parametrize("path", CHAINS, ids=lambda path: path.stem)
def test_every_chain_we_ship_runs(path: Path, song: Path, tmp_path: Path) -> None:
    if path.stem == "maximise":
        zam("ZaMaximX2")
    chain = read_chain(path)
    outcome = good(run_file(chain, song, tmp_path, path.parent))
    files = paths(outcome, tmp_path)
    audio = [file for file in files if file.suffix == f".{chain.output.format}" and "beside" not in file.parts]
    assert audio
    assert set(all_files(tmp_path)) == {file.relative_to(tmp_path).as_posix() for file in files}, "nothing else is left"
    for file in audio:
        assert np.isfinite(read(file)).all()
        assert np.abs(read(file)).max() > 1e-3
    expected = {
        "stems": {"song/vocals.flac", "song/drums.flac", "song/bass.flac", "song/other.flac"},
        "master": {"song.flac"},
        "remix-balance": {"song.wav"},
    }.get(path.stem)
    if expected:
        assert {file.relative_to(tmp_path).as_posix() for file in files} == expected
    if path.stem == "master":
        loudness, peak = LoudnessMeter(RATE, 2), PeakMeter(RATE, 2)
        for meter in (loudness, peak):
            meter.add(read(audio[0]))
            meter.finish()
        assert loudness.lufs == pytest.approx(-14, abs=0.1) or 20 * np.log10(peak.peak) == pytest.approx(-1, abs=0.1)
    if path.stem == "breaks":
        assert {".sfz", ".mid", ".rpp"} <= {file.suffix.lower() for file in files}
    if path.stem == "keep-the-good":
        assert any("labels" in file.name for file in files)


@pytest.mark.parametrize("rate", [44100, 48000, 88200, 22050, 32000])
@pytest.mark.parametrize("channels", [1, 2])
def test_stems_are_gained_and_summed(tiny: str, tmp_path: Path, rate: int, channels: int) -> None:
    """Any rate, also those that the model has to be resampled for; the stems lie under the file to the sample."""
    audio = noise(30_011, channels)
    source = write(tmp_path / "in.wav", audio, rate)
    untouched = stages({"type": "separate", "model": tiny})
    [out] = paths(good(run_file(untouched, source, tmp_path / "a")), tmp_path / "a")
    np.testing.assert_allclose(read(out), audio, atol=1e-6)
    stems = {"vocals": {"mute": True}, "drums": {"stage": [{"type": "Invert"}]}}
    changed = stages({"type": "separate", "model": tiny, "stems": stems})
    [out] = paths(good(run_file(changed, source, tmp_path / "b")), tmp_path / "b")
    if rate in (44100, 48000):  # at others the model hears less than all of the band
        np.testing.assert_allclose(read(out), (1 - MASKS[0] - 2 * MASKS[1]) * audio, atol=2e-6)
    assert read(out).shape == audio.shape


def test_stems_become_files_and_the_rest_of_the_chain_is_done_to_each(tiny: str, tmp_path: Path) -> None:
    audio = noise(50_000)
    source = write(tmp_path / "in.wav", audio)
    chain = stages(
        {"type": "separate", "model": tiny, "output": "files", "only": ["vocals", "other"],
         "stems": {"vocals": {"gain_db": -20, "stage": [{"type": "Invert"}]}}},
        {"type": "Gain", "gain_db": 6.0206},
    )  # fmt: skip
    outcome = good(run_file(chain, source, tmp_path / "out"))
    assert {entry["stem"]: entry["path"] for entry in outcome.outputs} == {
        "vocals": "in/vocals.wav", "other": "in/other.wav",
    }  # fmt: skip
    np.testing.assert_allclose(read(tmp_path / "out/in/vocals.wav"), -0.2 * MASKS[0] * audio, atol=1e-6)
    np.testing.assert_allclose(read(tmp_path / "out/in/other.wav"), 2 * (1 - sum(MASKS)) * audio, atol=2e-6)


def clicks(seconds: int = 2) -> np.ndarray:
    audio = np.random.default_rng(0).standard_normal((2, seconds * RATE)).astype(np.float32) * np.float32(1e-5)
    audio[:, RATE // 4 :: RATE // 2] += 0.5
    return audio


def test_slices_are_the_file_again(tmp_path: Path) -> None:
    audio = clicks()
    source = write(tmp_path / "loop.wav", audio)
    model = str(tiny_curves(tmp_path / "tiny-chops.onnx"))
    chop = {"type": "chop", "model": model, "mode": "transient"}
    outcome = good(run_file(stages(chop), source, tmp_path / "out"))
    names = [entry["path"] for entry in outcome.outputs]
    assert names == [f"loop/loop-{i:02}.wav" for i in range(5)]
    assert [entry["slice"] for entry in outcome.outputs] == [f"{i:02}" for i in range(5)]
    together = np.concatenate([read(path) for path in paths(outcome, tmp_path / "out")], axis=1)
    if together.shape == audio.shape:  # no crossfades: every cut lies on a zero crossing
        np.testing.assert_array_equal(together, audio)
    faded = good(run_file(stages(chop, {"type": "Gain", "gain_db": -6}), source, tmp_path / "b"))
    assert [entry["frames"] for entry in faded.outputs] == [entry["frames"] for entry in outcome.outputs]
    marked = stages({**chop, "output": "pass", "export": ["csv", "sfz"]})
    outcome = good(run_file(marked, source, tmp_path / "c"))
    np.testing.assert_array_equal(read(tmp_path / "c" / "loop.wav"), audio)
    assert {Path(entry["path"]).suffix for entry in outcome.outputs} == {".wav", ".csv", ".sfz"}


def test_stems_are_sliced_each_by_itself(tiny: str, tmp_path: Path) -> None:
    source = write(tmp_path / "loop.wav", clicks())
    model = str(tiny_curves(tmp_path / "tiny-chops.onnx"))
    chain = stages(
        {"type": "separate", "model": tiny, "output": "files", "only": ["drums", "bass"]},
        {"type": "chop", "model": model, "mode": "transient", "export": ["json"]},
    )
    outcome = good(run_file(chain, source, tmp_path / "out"))
    slices = [entry for entry in outcome.outputs if "slice" in entry]
    assert {entry["stem"] for entry in slices} == {"drums", "bass"}
    assert {entry["path"] for entry in slices} == {f"loop/{s}-{i:02}.wav" for s in ("drums", "bass") for i in range(5)}
    lists = [path for path in paths(outcome, tmp_path / "out") if path.suffix == ".json"]
    assert {path.name for path in lists} == {"loop-drums-chops.json", "loop-bass-chops.json"}
    assert all(len(json.loads(path.read_text())["chops"]) == 4 for path in lists)


def test_what_is_flagged_is_cut_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    source = write(tmp_path / "take.wav", noise(12 * RATE, 1))
    flag = {"type": "flag", "model": str(tiny_flagger(tmp_path / "tiny-flags.onnx")), "keep": 0.5, "snap": "none"}
    outcome = good(run_file(stages({**flag, "export": ["csv", "audacity"]}), source, tmp_path / "out"))
    assert 0.3 < outcome.outputs[0]["frames"] / (12 * RATE) < 0.7
    assert {path.parent.name for path in paths(outcome, tmp_path / "out")[1:]} == {"take"}
    passed = good(run_file(stages({**flag, "output": "pass"}), source, tmp_path / "b"))
    np.testing.assert_array_equal(read(paths(passed, tmp_path / "b")[0]), read(source))


@pytest.mark.parametrize(
    ("bits", "subtype"), [("float", "FLOAT"), ("24", "PCM_24"), ("16", "PCM_16"), ("source", "PCM_16")]
)
def test_bits_are_as_asked(bits: str, subtype: str, tmp_path: Path) -> None:
    source = write(tmp_path / "in.wav", noise(10_000), subtype="PCM_16")
    chain = stages({"type": "trim", "threshold_db": None}, output={"bits": bits})
    [out] = paths(good(run_file(chain, source, tmp_path / "out")), tmp_path / "out")
    assert soundfile.info(out).subtype == subtype
    np.testing.assert_array_equal(read(out), read(source)), "a trim changes no sample, so nothing is dithered"


def test_sixteen_bits_are_dithered_where_samples_were_changed(tmp_path: Path) -> None:
    """The error of rounding is noise of a known power, whatever is rounded, and the same each time."""
    audio = (0.25 * np.sin(2 * np.pi * 100 * np.arange(RATE * 2) / RATE) * 1e-3).astype(np.float32)[None]
    source = write(tmp_path / "in.wav", audio)
    gain = {"type": "Gain", "gain_db": 0.0}
    dithered = stages(gain, output={"bits": "16"})
    [out] = paths(good(run_file(dithered, source, tmp_path / "a")), tmp_path / "a")
    steps = (read(out) - audio) * 32768
    assert float(steps.std()) == pytest.approx(0.5, rel=0.02)  # of 1/6 and 1/12
    assert abs(np.corrcoef(steps[0], audio[0])[0, 1]) < 0.02
    again = paths(good(run_file(dithered, source, tmp_path / "b")), tmp_path / "b")[0]
    assert again.read_bytes() == out.read_bytes()
    plain = stages(gain, output={"bits": "16", "dither": False})
    [out] = paths(good(run_file(plain, source, tmp_path / "c")), tmp_path / "c")
    assert np.abs(read(out) - audio).max() <= 0.5 / 32768 + 1e-9


def test_the_same_file_gives_the_same_bytes_after_others(tiny: str, tmp_path: Path) -> None:
    """A worker works on many files: none hears another."""
    zam_path = str(zam("ZaMaximX2"))
    chain = stages(
        {"type": "separate", "model": tiny}, {"type": "plugin", "path": zam_path, "parameters": {"threshold_db": -12}},
        {"type": "Reverb"}, {"type": "normalise"}, tail="keep", output={"bits": "16"},
    )  # fmt: skip
    sources = [write(tmp_path / f"{i}.wav", noise(20_000 + i, 1 + i % 2, i)) for i in range(4)]
    bench = Workbench(chain, tmp_path, tmp_path / "one")
    for i, source in enumerate(sources):
        good(bench.carry_out(Job(i, str(source), "")))
    for i in (3, 1):
        good(Workbench(chain, tmp_path, tmp_path / "two").carry_out(Job(i, str(sources[i]), "")))
        assert (tmp_path / "one" / f"{i}.wav").read_bytes() == (tmp_path / "two" / f"{i}.wav").read_bytes()


def test_a_chain_without_stages_converts(tmp_path: Path) -> None:
    audio = noise(1000, 1)
    source = write(tmp_path / "in.wav", audio, subtype="PCM_24")
    outcome = good(run_file(Chain.model_validate({"output": {"format": "flac"}}), source, tmp_path / "out"))
    assert outcome.outputs[0]["path"] == "in.flac"
    np.testing.assert_array_equal(read(tmp_path / "out" / "in.flac"), read(source))


def test_sources_are_never_written_over(tmp_path: Path) -> None:
    source = write(tmp_path / "in.wav", noise(100))
    before = source.read_bytes()
    outcome = run_file(stages({"type": "Gain"}), source, tmp_path, overwrite=True)
    assert outcome.status == "failed"
    assert "is the source itself" in outcome.error
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "in.wav").symlink_to(source)
    outcome = run_file(stages({"type": "Gain"}), source, tmp_path / "out", overwrite=True)
    assert "is the source itself" in outcome.error
    assert source.read_bytes() == before


def test_what_fails_leaves_nothing(tmp_path: Path, tiny: str) -> None:
    loud = noise(100_000)
    loud[0, 70_000] = np.nan
    cases = {
        "nan.wav": (loud, stages({"type": "separate", "model": tiny, "output": "files"}), "not a number"),
        "silent.wav": (np.zeros((1, 5000), np.float32), stages({"type": "trim"}), "nothing reaches -60 dB"),
        "low.wav": (noise(100), stages({"type": "LowpassFilter", "cutoff_frequency_hz": 23000}), "ends at 22050 Hz"),
    }
    for name, (audio, chain, words) in cases.items():
        outcome = run_file(chain, write(tmp_path / name, audio), tmp_path / "out")
        assert outcome.status == "failed"
        assert words in outcome.error
        assert all_files(tmp_path / "out") == {}
