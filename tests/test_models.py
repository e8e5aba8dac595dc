"""Models by name, and `sidechop models`: what is listed, shown and added, and cards that lie in every field."""

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny_models import MASKS, build, live4_card, save, tiny_live4

from bridge import registry
from bridge.cli import main
from bridge.latency import lag_of
from bridge.model_check import check_model, noise, vowel
from streaming.card import (
    METADATA_KEY,
    Condition,
    Metric,
    ModelCard,
    Source,
    State,
    Tensor,
    card_text,
    digest,
    side_card,
)
from streaming.errors import CardError, ModelError


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A shipped folder with live4 and live4-int8 stand-ins, and a user's folder that does not exist yet."""
    shipped, user = tmp_path / "shipped", tmp_path / "home"
    shipped.mkdir()
    tiny_live4(shipped / "live4.onnx")
    tiny_live4(shipped / "live4-int8.onnx")
    monkeypatch.setattr(registry, "shipped_folder", lambda: shipped)
    monkeypatch.setattr("bridge.command_models.shipped_folder", lambda: shipped)
    monkeypatch.setattr(registry, "user_folder", lambda kind="data": user / kind)
    return {"shipped": shipped, "user": user / "data" / "models", "cache": user / "cache"}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int | str:
    """The command line in this process: its exit code, or the line that it ends with."""
    monkeypatch.setattr(sys, "argv", ["sidechop", "models", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


def test_the_shipped_folder_is_found_without_torch() -> None:
    script = (
        "import sys; from bridge.registry import shipped_folder; print(shipped_folder()); "
        "assert not {'torch', 'models'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()) == Path(__file__).parent.parent / "models" / "pretrained"


def test_names_and_paths(folders: dict[str, Path], tmp_path: Path) -> None:
    assert registry.find_model("live4") == folders["shipped"] / "live4.onnx"
    own = tiny_live4(tmp_path / "own.onnx")
    assert registry.find_model(own) == own
    with pytest.raises(ModelError, match=r"no model is named 'live5'; did you mean live4 or live4-int8\?"):
        registry.find_model("live5")
    with pytest.raises(ModelError, match=r"gone\.onnx: no such model file"):
        registry.find_model(tmp_path / "gone.onnx")


def test_the_users_own_comes_before_the_shipped(folders: dict[str, Path]) -> None:
    folders["user"].mkdir(parents=True)
    own = tiny_live4(folders["user"] / "live4.onnx")
    assert registry.find_model("live4") == own
    assert [(entry.name, entry.source) for entry in registry.list_models()] == [
        ("live4", "user"),
        ("live4-int8", "shipped"),
    ]


@pytest.mark.parametrize(
    ("fp32_ms", "int8_ms", "chosen"), [(1.0, 0.5, "live4-int8"), (1.0, 0.95, "live4"), (1.0, 2.0, "live4")]
)
def test_auto_is_measured_once(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, fp32_ms: float, int8_ms: float, chosen: str
) -> None:
    measured = []

    def hop_time_s(path: Path) -> float:
        measured.append(path.stem)
        return (int8_ms if path.stem == "live4-int8" else fp32_ms) / 1000

    monkeypatch.setattr(registry, "hop_time_s", hop_time_s)
    for _ in range(2):
        assert registry.find_model("auto").stem == chosen
    assert sorted(measured) == ["live4", "live4-int8"]
    (folders["cache"] / "choice.json").write_text("[broken")
    assert registry.find_model("auto").stem == chosen
    assert len(measured) == 4


def test_a_hop_time_is_measured(folders: dict[str, Path]) -> None:
    assert 0 < registry.hop_time_s(folders["shipped"] / "live4.onnx", runs=5) < 1


def test_the_card_is_read_without_opening_the_network(folders: dict[str, Path]) -> None:
    content = (folders["shipped"] / "live4.onnx").read_bytes()
    text = card_text(content)
    assert text is not None
    assert ModelCard.from_json(text).name == "live4"
    props = {p.key: p.value for p in onnx.load_from_string(content).metadata_props}
    assert text == props[METADATA_KEY]
    with pytest.raises(ModelError, match="cut short"):
        card_text(content[: len(content) // 2])


def test_list(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (folders["shipped"] / "broken.onnx").write_bytes(b"")
    assert run(monkeypatch, "list", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    broken, live4, int8 = data["models"]
    assert (live4["name"], live4["latency_samples"], live4["latency_ms"], live4["source"]) == (
        "live4", 512, 11.61, "shipped",
    )  # fmt: skip
    assert live4["outputs"] == ["vocals", "drums", "bass", "other"]
    assert int8["name"] == "live4-int8"
    assert "is empty" in broken["problem"]
    assert run(monkeypatch, "list") == 0
    text = capsys.readouterr().out
    assert "live4-int8" in text
    assert "broken.onnx: is empty" in text


def test_show_prints_the_whole_card(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(monkeypatch, "show", "live4") == 0
    text = capsys.readouterr().out
    for part in (
        "512 samples, 11.6 ms",
        "vocals, drums, bass",
        "other",
        "stft-hop",
        "spectrum [1, 2, 1025, 2]",
        "state →",
    ):
        assert part in text
    assert run(monkeypatch, "show", "live4", "--json") == 0
    card = json.loads(capsys.readouterr().out)["card"]
    assert ModelCard.from_json(json.dumps(card)).name == "live4"


def test_check_tells_what_it_found(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "check", "live4", "--json") == 0
    found = {f["what"]: f["found"] for f in json.loads(capsys.readouterr().out)["findings"]}
    assert list(found) == ["card", "tensors", "sha256", "sound", "latency"]
    assert found["latency"].startswith("512 samples, measured")


def test_add_copies_under_the_cards_name(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiny_live4(tmp_path / "download.onnx", name="mine")
    assert run(monkeypatch, "add", source) == 0
    assert registry.find_model("mine") == folders["user"] / "mine.onnx"
    assert [path.name for path in folders["user"].iterdir()] == ["mine.onnx"]
    assert "there already" in str(run(monkeypatch, "add", source))
    assert run(monkeypatch, "add", source, "--replace") == 0
    assert "there already" in str(run(monkeypatch, "add", folders["shipped"] / "live4.onnx"))


def test_add_takes_the_side_card_along(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = with_side_card(tmp_path / "foreign.onnx", replace(live4_card(), name="foreign-net"))
    assert run(monkeypatch, "add", source) == 0
    assert sorted(path.name for path in folders["user"].iterdir()) == ["foreign-net.card.json", "foreign-net.onnx"]
    assert registry.find_model("foreign-net").is_file()


def test_add_refuses_what_does_not_hold(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiny_live4(tmp_path / "bad.onnx")
    gain = np.float32(MASKS[0]).tobytes()
    source.write_bytes(source.read_bytes().replace(gain, np.float32(0.6).tobytes(), 1))
    assert "model card: sha256" in str(run(monkeypatch, "add", source))
    assert not list(folders["user"].iterdir())


def test_add_refuses_weights_that_would_stay_behind(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose weights lie in a file beside it runs where it is, but not where its copy would lie."""
    model = onnx.load(str(tiny_live4(tmp_path / "split.onnx")))
    onnx.save(model, str(tmp_path / "split.onnx"), save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert "not an ONNX model" in str(run(monkeypatch, "add", tmp_path / "split.onnx"))
    assert not list(folders["user"].iterdir())


def with_side_card(path: Path, card: ModelCard | dict[str, Any]) -> Path:
    """A tiny model without a card in it, and ``card`` beside it."""
    save(onnx.load(str(tiny_live4(path))), None, path)
    data = asdict(card) if isinstance(card, ModelCard) else card
    side_card(path).write_text(json.dumps(data))
    return path


def field_set(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda card: card.update(changes)


def tensor_set(side: str, index: int, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda card: card[side][index].update(changes)


LIES = [
    ("name", field_set(name="a/b")),
    ("name", field_set(name="..")),
    ("name", field_set(name="")),
    ("stems", field_set(stems=["vocals", "drums", "../../bass"])),
    ("residual", field_set(residual="a\\b")),
    ("version", field_set(version=1)),
    ("task", field_set(task="cooking")),
    ("kind", field_set(kind="stft")),
    ("description", lambda card: card.pop("description")),
    ("licence", field_set(licence=None)),
    ("sample_rates", field_set(sample_rates=[])),
    ("sample_rates", field_set(sample_rates=[44])),
    ("sample_rates[1]", field_set(sample_rates=[44100, "48k"])),
    ("channels", field_set(channels=3)),
    ("inputs[0].shape", field_set(channels=1)),
    ("hop_samples", field_set(hop_samples=0)),
    ("latency_samples", field_set(hop_samples=128)),
    ("latency_samples", field_set(latency_samples=256)),
    ("stems", field_set(stems=[])),
    ("stems", field_set(residual="bass")),
    ("outputs[0].shape", field_set(stems=["vocals", "drums"])),
    ("analysis_samples", field_set(analysis_samples=None)),
    ("inputs[0].shape", field_set(analysis_samples=1024)),
    ("analysis_samples", field_set(analysis_samples=511)),
    ("inputs", field_set(inputs=[])),
    ("inputs", tensor_set("inputs", 0, name="spectra")),
    ("inputs[0].constant", tensor_set("inputs", 0, constant=1.0)),
    ("inputs[1]", field_set(states=[])),
    ("inputs[0].shape", tensor_set("inputs", 0, shape=[1, 2, 513, 2])),
    ("inputs.spectrum.dtype", tensor_set("inputs", 0, dtype="int64")),
    ("inputs[0].dtype", tensor_set("inputs", 0, dtype="float16")),
    ("inputs[0].size", tensor_set("inputs", 0, size=3)),
    ("outputs", tensor_set("outputs", 0, name="masks")),
    ("states[0].shape", tensor_set("outputs", 1, shape=[1, 5])),
    ("outputs[0].shape", tensor_set("outputs", 0, shape=[1, 3, 2, -1, 2])),
    ("states[0].shape", tensor_set("states", 0, shape=[1, 5])),
    ("outputs", tensor_set("states", 0, output="lost")),
    ("states[0]", tensor_set("states", 0, input="spectrum")),
    ("states[0].turns", tensor_set("states", 0, turns=0)),
    ("states[0].turns", tensor_set("states", 0, turns=9)),
    ("precision", field_set(precision="int8")),
    ("precision", field_set(precision="fp16")),
    ("sha256", field_set(sha256="0" * 64)),
    ("card_version", field_set(card_version=2)),
    ("colour", field_set(colour="red")),
    ("training[0].licence", field_set(training=[{"name": "x", "credit": "y"}])),
    (
        "metrics[0].value",
        field_set(metrics=[{"name": "x", "value": "high", "unit": "dB", "data": "d", "command": "c"}]),
    ),
]


@pytest.mark.parametrize(("field", "lie"), LIES, ids=[f"{i}-{field}" for i, (field, _) in enumerate(LIES)])
def test_a_card_that_lies_is_told_which_field(
    tmp_path: Path, field: str, lie: Callable[[dict[str, Any]], None]
) -> None:
    data = json.loads(live4_card().to_json())
    lie(data)
    with pytest.raises(CardError) as caught:
        list(check_model(with_side_card(tmp_path / "liar.onnx", data)))
    assert caught.value.field == field
    assert str(caught.value).startswith(f"model card: {field}: ")


JUNK = [None, True, -1, 0, 3, 0.5, 1e300, float("nan"), "", "x", "/", [], [[]], {}, {"name": 1}]


def test_junk_anywhere_in_a_card_is_a_card_error() -> None:
    """Replace one value, however deep, by something else: the card passes or is a `CardError`, never a traceback."""
    place = random.Random(0)
    refused = 0
    for _ in range(1000):
        data = json.loads(live4_card().to_json())
        at: Any = data
        while True:
            key = place.choice(list(at) if isinstance(at, dict) else range(len(at)))
            if not isinstance(at[key], dict | list) or not at[key] or place.random() < 0.2:
                break
            at = at[key]
        at[key] = place.choice(JUNK)
        try:
            ModelCard.from_json(json.dumps(data))
        except CardError:
            refused += 1
    assert refused > 500


def test_a_true_side_card_passes(tmp_path: Path) -> None:
    path = with_side_card(tmp_path / "true.onnx", live4_card())
    assert [finding.what for finding in check_model(path)] == ["card", "tensors", "sha256", "sound", "latency"]


def test_a_file_without_a_card_is_told_where_one_goes(tmp_path: Path) -> None:
    path = with_side_card(tmp_path / "bare.onnx", live4_card())
    side_card(path).unlink()
    for read in (registry.peek_card, lambda p: list(check_model(p))):
        with pytest.raises(CardError, match=r"bare\.onnx carries no card.*bare\.card\.json"):
            read(path)


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    path = tiny_live4(tmp_path / "model.onnx")
    other = onnx.load(str(tiny_live4(tmp_path / "other.onnx", masks=[0.1, 0.2, 0.3])))
    text = card_text(path.read_bytes())
    assert text is not None
    save(other, ModelCard.from_json(text), path)
    with pytest.raises(CardError, match=r"sha256: is \w+…, but the file's is \w+: another or a changed file"):
        list(check_model(path))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x0a" * 100, bytes(range(256)) * 20])
def test_what_is_no_model_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "junk.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        list(check_model(path))
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError):
        registry.peek_card(path)


def hop_model(path: Path, lag: int, claimed: int) -> Path:
    """A mono network that delays by ``lag`` of its own, and a card that claims another latency."""
    hop = 256
    state = State("line", "next_line", (1, lag))
    card = ModelCard(
        name=path.stem, version="1", task="enhancement", kind="wave-hop", description="", licence="Apache-2.0",
        sample_rates=(44100,), channels=1, hop_samples=hop, latency_samples=claimed, stems=("late",), residual="rest",
        inputs=(Tensor("audio", (1, hop)),), outputs=(Tensor("out", (1, hop)),), states=(state,),
    )  # fmt: skip
    nodes = [
        helper.make_node("Concat", ["line", "audio"], ["all"], axis=1),
        helper.make_node("Slice", ["all", "zero", "hop", "axis"], ["out"]),
        helper.make_node("Slice", ["all", "hop", "end", "axis"], ["next_line"]),
    ]
    return save(build(card, nodes, zero=[0], hop=[hop], end=[hop + lag], axis=[1]), card, path)


@pytest.mark.parametrize("lag", [1, 100, 256, 1000])
def test_latency_is_measured_and_a_wrong_claim_named(tmp_path: Path, lag: int) -> None:
    true = hop_model(tmp_path / "true.onnx", lag, 256 + lag)
    assert list(check_model(true))[-1].found.startswith(f"{256 + lag} samples, measured")
    liar = hop_model(tmp_path / "liar.onnx", lag, 256)
    with pytest.raises(CardError, match=f"is 256, but sound comes out {256 + lag} samples late"):
        list(check_model(liar))


def test_a_network_that_gives_nan_is_refused(tmp_path: Path) -> None:
    path = tiny_live4(tmp_path / "nan.onnx", masks=[*MASKS[:2], np.nan])
    with pytest.raises(ModelError, match="not numbers"):
        list(check_model(path))


@pytest.mark.parametrize("lag", [0, 1, 777])
def test_lag_of_finds_the_lag(lag: int) -> None:
    for audio in (vowel(44100, 44100), noise(44100)):
        found, alike = lag_of(np.concatenate([np.zeros(lag, np.float32), -0.3 * audio]), audio)
        assert found == lag
        assert alike == pytest.approx(1, abs=1e-3)


def test_a_quantised_file_must_say_so(tmp_path: Path) -> None:
    path = tiny_live4(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    model.graph.node.append(helper.make_node("DynamicQuantizeLinear", ["state"], ["q", "scale", "zero"]))
    for name, kind in (("q", TensorProto.UINT8), ("scale", TensorProto.FLOAT), ("zero", TensorProto.UINT8)):
        model.graph.value_info.append(helper.make_tensor_value_info(name, kind, None))
    save(model, live4_card(), path)
    with pytest.raises(CardError, match="precision: is fp32, but the file has quantised operators"):
        list(check_model(path))


def test_digest_leaves_the_metadata_out(tmp_path: Path) -> None:
    path = tiny_live4(tmp_path / "model.onnx")
    before = digest(path.read_bytes())
    model = onnx.load(str(path))
    model.metadata_props.add(key="note", value="hello")
    assert digest(model.SerializeToString()) == before
    model.graph.name = "changed"
    assert digest(model.SerializeToString()) != before


@pytest.mark.parametrize("page", ["model-card.md", "foreign-models.md"])
def test_the_cards_in_the_docs_are_valid(page: str) -> None:
    text = (Path(__file__).parent.parent / "docs" / page).read_text(encoding="utf-8")
    cards = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert cards
    for card in cards:
        ModelCard.from_json(card)


def test_every_field_of_the_card_is_documented() -> None:
    text = (Path(__file__).parent.parent / "docs" / "model-card.md").read_text(encoding="utf-8")
    table = text.partition("## Fields")[2].partition("## A worked")[0]
    for kind in (ModelCard, Tensor, State, Source, Metric, Condition):
        for field in fields(kind):
            if not field.name.startswith("baseline_"):
                assert f"`{field.name}`" in table, field.name
