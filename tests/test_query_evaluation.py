"""What `sidechop evaluate query` says of a model whose every output is known: three classes, each a tone in a third of
the band, and a model that lets through the third that it is asked for."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_models import UNKNOWN_GAIN, WORDS, tiny_query, tiny_text

from models.flagger.recordings import RATE
from models.query.classes import classes
from models.query.evaluation import Score, by_class, evaluate, summarise
from models.query.pool import Place, Pool
from streaming.session import read_card
from tests.command_line import run

TONES_HZ = {"dog": 1000, "rain": 11000, "speech": 19000}
"""One in the third that each word of `WORDS` but the first lets through."""
OF_UNKNOWN_DB = 20 * np.log10(UNKNOWN_GAIN)
MIXTURES, UNSEEN = 6, 2
CAPTIONS = {
    caption: key for key, sound in classes().items() for heard in (True, False) for caption in sound.captions(heard)
}


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    time_s = np.arange(5 * RATE) / RATE
    tones = [0.3 * np.sin(2 * np.pi * hz * time_s) for hz in TONES_HZ.values()]
    places = [Place(key, i * len(time_s), len(time_s), "here", key) for i, key in enumerate(TONES_HZ)]
    np.save(tmp_path / "test.npy", np.round(np.concatenate(tones) * 32767).astype(np.int16))
    source = {"name": "here", "licence": "CC0", "credit": "nobody"}
    (tmp_path / "test.json").write_text(json.dumps({"places": [vars(p) for p in places], "sources": [source]}))
    return tmp_path


def scores_of(pool: Path, *known: str) -> list[Score]:
    """Of a model that knows so many of the classes by name, and of any other gives a quarter of everything."""

    def encode(caption: str) -> np.ndarray:
        key = CAPTIONS[caption]
        return np.eye(len(WORDS), dtype=np.float32)[list(TONES_HZ).index(key) + 1 if key in known else 0]

    return list(evaluate(tiny_query(pool / "query.onnx"), encode, Pool(pool, "test"), MIXTURES, UNSEEN))


def test_who_knows_all_classes_gains_by_each_but_not_at_random(pool: Path) -> None:
    scores = scores_of(pool, *TONES_HZ)
    figures = {figure.name: figure for figure in summarise(scores)}
    for way in ("heard", "negative", "unheard"):
        assert figures[f"SI-SDRi, {way}"].value > 30
        assert figures[f"SI-SDRi, {way}"].mixtures == MIXTURES
    assert figures["SI-SDRi, running"].value > 20  # but for the hop in which the question before fades
    assert figures["SI-SDRi, running"].mixtures == MIXTURES
    assert figures["SI-SDRi, random"].value < -20
    assert figures["absent sound, level against the mix"].value < -40
    assert set(by_class(scores)) == set(TONES_HZ)
    assert not any("unseen" in name for name in figures)  # the pool has none


def test_a_negative_tells_what_is_not_meant(pool: Path) -> None:
    scores = scores_of(pool, "rain", "speech")
    of_dog = {score.way: score for score in scores if score.kind == "dog"}
    assert of_dog["heard"].si_sdri == pytest.approx(0, abs=0.1)
    assert of_dog["heard"].level == pytest.approx(OF_UNKNOWN_DB, abs=0.1)
    share = UNKNOWN_GAIN**2 / (1 + UNKNOWN_GAIN**2)  # Wiener's, of a third that the other has
    assert of_dog["negative"].si_sdri == pytest.approx(20 * np.log10(UNKNOWN_GAIN / share), abs=0.5)


def test_the_command_prints_them_and_writes_the_card(
    pool: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, text = tiny_query(pool / "query.onnx"), tiny_text(pool / "text.onnx")
    command = ("evaluate", "query", model, pool, "--mixtures", MIXTURES, "--encoder", text, "--json", "--into-card")
    assert run(monkeypatch, *command) == 0
    items = {item["label"]: item["value"] for item in json.loads(capsys.readouterr().out)["items"]}
    assert items["absent sound, level against the mix"] == pytest.approx(OF_UNKNOWN_DB, abs=1)
    metrics = {metric.name: metric for metric in read_card(model).metrics}
    assert set(metrics) == set(items)
    assert metrics["SDRi, negative"].baseline == metrics["SDRi, heard"].baseline == items["SDRi, random"]
    assert metrics["SDRi, running"].baseline == items["SDRi, random"]
    assert metrics["SDRi, random"].baseline is None
    assert {metric.command for metric in metrics.values()} == {
        f"sidechop evaluate query {read_card(model).name} POOL --split test --mixtures {MIXTURES}"
    }
    again = ("evaluate", "query", model, pool, "--mixtures", MIXTURES + 1, "--encoder", text, "--into-card")
    assert run(monkeypatch, *again) == 0
    assert [metric.name for metric in read_card(model).metrics] == list(metrics)
