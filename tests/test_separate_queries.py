"""`sidechop separate --query`: files named after what was asked, that sum to their source, and words that teach."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import Command
from numpy.typing import NDArray
from tiny_models import tiny_live4, tiny_query, tiny_query_clip, tiny_text

from bridge import registry, text_encoder
from bridge.file_queries import names_for
from bridge.separate import FileSeparator, file_threads
from bridge.text_encoder import REMEMBERED, TextEncoder, encoder_of
from streaming.card import TOKENIZER_KEY
from streaming.errors import CardError, ModelError
from streaming.queries import Queries
from streaming.session import OnnxModel, read_card

Audio = NDArray[np.float32]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-ins for all that is shipped: both query models and their text encoder."""
    folder = tmp_path_factory.mktemp("models")
    tiny_text(folder / "tiny-text.onnx")
    tiny_query(folder / "query-live.onnx")
    tiny_query_clip(folder / "query-studio.onnx")
    tiny_live4(folder / "live4.onnx")
    return folder


@pytest.fixture
def models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(registry, "shipped_folder", lambda: folder)
    monkeypatch.setattr(registry, "models_folder", lambda: folder / "none")
    return folder


@pytest.fixture
def separate(models: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return Command("separate", monkeypatch, capfd, Path("auto"))


def tones(path: Path, hertz: tuple[float, ...] = (1000, 8000, 14500), rate: int = 44100, seconds: float = 3) -> Audio:
    """A stereo file of tones, one in each third of either model's band; ``(tones, frames)``."""
    t = np.arange(int(seconds * rate)) / rate
    each = np.asarray([0.25 * np.sin(2 * np.pi * f * t) for f in hertz], np.float32)
    soundfile.write(path, np.stack([each.sum(0), -0.5 * each.sum(0)], axis=1), rate, subtype="FLOAT")
    return each


def left(path: Path) -> Audio:
    audio, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(audio[:, 0])


INSIDE = slice(20000, -20000)


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 192000])
def test_files_are_named_after_what_was_asked(tmp_path: Path, separate: Command, rate: int) -> None:
    low, _, high = tones(tmp_path / "take.wav", rate=rate, hertz=(1000, 8000, min(14500, 0.46 * rate)))
    code, _, error = separate(tmp_path / "take.wav", "--query", "low", "--query", "HIGH", "-o", tmp_path / "out")
    assert code == 0, error
    out = tmp_path / "out" / "take"
    assert sorted(path.name for path in out.iterdir()) == ["HIGH.wav", "low.wav", "rest.wav"]
    stems = {name: left(out / f"{name}.wav") for name in ("low", "HIGH", "rest")}
    assert {len(stem) for stem in stems.values()} == {3 * rate}
    inside = slice(rate // 2, -rate // 2)
    assert np.abs(stems["low"] - low)[inside].max() < 5e-3
    if rate >= 44100:
        assert np.abs(stems["HIGH"] - high)[inside].max() < 5e-3
    assert np.abs(sum(stems.values()) - left(tmp_path / "take.wav")).max() < 1e-6


def test_not_and_strength_and_the_live_model(tmp_path: Path, separate: Command) -> None:
    low, mid, high = tones(tmp_path / "take.wav", (1000, 11000, 19000))
    data = separate.json(
        tmp_path / "take.wav", "--query", "whatever", "--not", "mid", "--strength", 0.5, "--model", "query-live",
        "-o", tmp_path / "out",
    )  # fmt: skip
    assert [(item["label"], Path(item["file"]).name) for item in data["items"]] == [
        ("whatever", "whatever.wav"),
        ("rest", "rest.wav"),
    ]
    kept = 0.25 * (low + high) + mid / 17
    got = left(tmp_path / "out" / "take" / "whatever.wav")
    assert np.abs(got - (0.5 * kept + 0.5 * (low + mid + high)))[INSIDE].max() < 5e-3


def test_a_config_asks_too(tmp_path: Path, separate: Command) -> None:
    low, *_ = tones(tmp_path / "take.wav")
    (tmp_path / "ask.toml").write_text('query = ["low"]\nnot = ["high"]\nmodel = "query-live"\nstems = ["low"]\n')
    code, _, error = separate(tmp_path / "take.wav", "--config", tmp_path / "ask.toml", "-o", tmp_path / "out")
    assert code == 0, error
    assert [path.name for path in (tmp_path / "out" / "take").iterdir()] == ["low.wav"]
    assert np.abs(left(tmp_path / "out" / "take" / "low.wav") - low)[INSIDE].max() < 5e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--query", "..."), "holds no word"),
        (("--query", ""), "holds no word"),
        (("--query", "low", "--model", "live4"), "live4 is for separation and takes no query; `sidechop models list`"),
        (("--model", "query-live"), "query-live gives what you describe: say what with --query"),
        (("--not", "low", "--model", "query-live"), "say what with --query"),
        (("--query", "low", "--stems", "vocals"), "no stem 'vocals'; it gives low, rest"),
        (tuple(word for i in range(16) for word in ("--query", f"low {i}")), "16 queries; 15 fit into one pass"),
    ],
)
def test_what_cannot_be_asked(tmp_path: Path, separate: Command, arguments: tuple[str, ...], message: str) -> None:
    tones(tmp_path / "take.wav")
    code, _, error = separate(tmp_path / "take.wav", *arguments, "-o", tmp_path / "out")
    assert (code, error.count("\n")) == (1, 1)
    assert message in error
    assert not (tmp_path / "out").exists()


def test_names_differ_and_leave_the_rest_its_own() -> None:
    asked = ["a  dog", "A dog", "rest", "a/b:c", "…", "x" * 300, "rest 2"]
    names = names_for(asked, "rest")
    assert names[:4] == ("a dog", "A dog 2", "rest 2", "a_b_c")
    assert len({name.casefold() for name in names}) == len(names)
    assert all(0 < len(f"{name}.wav".encode()) < 255 and "/" not in name for name in names)


def test_words_are_read_once(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = TextEncoder(models / "tiny-text.onnx")
    runs: list[object] = []
    run = OnnxModel.run_many
    monkeypatch.setattr(OnnxModel, "run_many", lambda *a: (runs.append(a), run(*a))[1])
    first = encoder.embed("low mid mid")
    np.testing.assert_allclose(first, np.asarray([0, 1, 2, 0]) / 5**0.5, atol=1e-6)
    assert encoder.embed("  low mid \n mid") is first
    assert len(runs) == 1
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1
    for i in range(REMEMBERED):
        encoder.embed(f"word {i}")
    encoder.embed("low mid mid")
    assert len(runs) == REMEMBERED + 2  # it was forgotten for the others


def test_a_long_text_is_cut_not_refused(models: Path) -> None:
    np.testing.assert_allclose(TextEncoder(models / "tiny-text.onnx").embed("low " * 500), [0, 1, 0, 0], atol=1e-6)


def test_encoders_that_do_not_fit(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="live4 is for separation and reads no text"):
        TextEncoder(models / "live4.onnx")
    missing = read_card(tiny_query(tmp_path / "a.onnx", text_encoder="clap"))
    with pytest.raises(ModelError, match=r"a reads queries with the text encoder 'clap': no model is named 'clap'"):
        encoder_of(missing)
    other = read_card(tiny_query(tmp_path / "b.onnx", text_encoder="minilm"))
    with pytest.raises(ModelError, match="'minilm'"):
        encoder_of(other)
    import onnx

    proto = onnx.load(models / "tiny-text.onnx")
    for entry in proto.metadata_props:
        if entry.key == TOKENIZER_KEY:
            entry.value = entry.value.replace("low", "LOW")
    (tmp_path / "c.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(CardError, match="is not that of the tokenizer in"):
        TextEncoder(tmp_path / "c.onnx")


def test_the_encoder_that_ships_knows_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit length, no padding's influence, and what means the same lies near: the nearest of each is its paraphrase."""
    encoder = TextEncoder(registry.shipped_folder() / "minilm.onnx")
    pairs = [
        ("a dog barking", "barks of a dog in the distance"),
        ("the singing voice", "vocals"),
        ("rain on the roof", "heavy rainfall"),
        ("an electric guitar solo", "distorted guitar"),
        ("a drum kit", "drums"),
    ]
    sentences = [sentence for pair in pairs for sentence in pair]
    vectors = np.stack([encoder.embed(sentence) for sentence in sentences])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    near = vectors @ vectors.T - 2 * np.eye(len(vectors))
    assert [int(i) for i in near.argmax(1)] == [i ^ 1 for i in range(len(sentences))]


def test_nothing_is_loaded_from_anywhere_else(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, no network: any socket would fail."""
    import socket

    def refuse(*_: object) -> None:
        raise AssertionError("a query must not need a network")

    monkeypatch.setattr(socket, "socket", refuse)
    assert text_encoder.TextEncoder(models / "tiny-text.onnx").embed("low") is not None


Check = Callable[[Path], None]


@pytest.mark.parametrize("name", ["query-live", "query-studio", "tiny-text"])
def test_models_check_knows_them(models: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.model_check import check_model

    found = {finding.what for finding in check_model(models / f"{name}.onnx")}
    assert found >= ({"text"} if name == "tiny-text" else {"query", "sound", "latency"})


@pytest.mark.parametrize(("write", "threads"), [(tiny_query_clip, [3]), (tiny_query, [1])])
def test_whole_clips_take_all_cores_and_hops_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], Path], threads: list[int]
) -> None:
    opened: list[int] = []
    open_model = OnnxModel.open

    def noted(path: Path, count: int = 1) -> OnnxModel:
        opened.append(count)
        return open_model(path, count)

    monkeypatch.setattr(OnnxModel, "open", noted)
    monkeypatch.setattr("bridge.separate.ask_all", lambda *_: Queries(("low",)))
    monkeypatch.setattr("bridge.separate.cores", lambda: 3)
    model = write(tmp_path / "tiny.onnx")
    FileSeparator(model, threads=file_threads(model), queries=["low"])
    assert opened == threads
