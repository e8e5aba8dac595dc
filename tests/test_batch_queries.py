"""A chain's ``query`` stage: what is described becomes files of its own, that sum to their source with the rest."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from batch_audio import read, write
from command_line import run
from tiny_models import tiny_query, tiny_text

from bridge.registry import models_folder

CHAIN = """
[[stage]]
type = "query"
model = "asked"
queries = ["low", "HIGH"]
{more}
"""


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the user's own folder, where workers look as well."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    models_folder().mkdir(parents=True)
    tiny_text(models_folder() / "tiny-text.onnx")
    tiny_query(models_folder() / "asked.onnx")


def tones(path: Path) -> None:
    t = np.arange(3 * 44100) / 44100
    each = [0.2 * np.sin(2 * np.pi * hertz * t) for hertz in (1000, 8000, 18000)]
    write(path, np.stack([sum(each), -0.5 * sum(each)]).astype(np.float32))


def test_words_become_files_that_sum_to_their_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tones(tmp_path / "in" / "a.wav")
    (tmp_path / "chain.toml").write_text(CHAIN.format(more=""))
    assert run(monkeypatch, "batch", tmp_path / "chain.toml", tmp_path / "in", "-o", tmp_path / "out") == 0
    files = sorted((tmp_path / "out").rglob("*.wav"))
    assert [file.stem for file in files] == ["HIGH", "low", "rest"]
    stems = [read(file) for file in files]
    source = read(tmp_path / "in" / "a.wav")
    assert np.abs(sum(stems) - source).max() < 1e-4  # three roundings to 24 bits at most
    inside = slice(20000, -20000)
    powers = [np.abs(np.fft.rfft(stem[0, inside])) for stem in stems]
    peaks = [round(float(np.argmax(power)) * 44100 / (source.shape[1] - 40000)) for power in powers]
    assert peaks == pytest.approx([18000, 1000, 8000], abs=3)


def test_a_stem_of_words_goes_through_stages_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tones(tmp_path / "in" / "a.wav")
    more = 'output = "sum"\n[stage.stems.low]\nmute = true\n'
    (tmp_path / "chain.toml").write_text(CHAIN.format(more=more))
    assert run(monkeypatch, "batch", tmp_path / "chain.toml", tmp_path / "in", "-o", tmp_path / "out") == 0
    (file,) = (tmp_path / "out").rglob("*.wav")
    audio, rate = soundfile.read(file, dtype="float32", always_2d=True)
    power = np.abs(np.fft.rfft(audio[20000:-20000, 0]))
    low, high = (power[round(hertz * (len(audio) - 40000) / rate)] for hertz in (1000, 18000))
    assert low < 0.02 * high
