"""Export: what is written equals what was trained, by an independent reference; the card is sealed and true."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from bridge.cli import app  # noqa: E402
from export import reference  # noqa: E402
from export.cards import add_metrics, write_card  # noqa: E402
from export.parity import FP32_LIMIT, check_parity  # noqa: E402
from export.separator import card_of, export_graph, export_separator  # noqa: E402
from models.separator.evaluation import Figure  # noqa: E402
from models.separator.network import Separator, Size  # noqa: E402
from streaming.card import METADATA_KEY, ModelCard, digest  # noqa: E402
from streaming.engine import Engine  # noqa: E402
from streaming.errors import CardError, ModelError  # noqa: E402
from streaming.session import read_card  # noqa: E402
from streaming.windows import DEFAULT  # noqa: E402

torch.set_num_threads(1)  # these networks are small: threads would only wait for each other


def random_network(seed: int = 0) -> Separator:
    """Small, untrained, with every weight away from its neutral start, so that none can be left out unseen."""
    torch.manual_seed(seed)
    network = Separator(Size(24))
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(0.02 * torch.randn_like(value))
    return network.eval()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run leaves behind, without the run."""
    path = tmp_path_factory.mktemp("run") / "last.ckpt"
    weights = {f"network.{name}": value for name, value in random_network().state_dict().items()}
    source = {"name": "synthetic", "licence": "CC0 1.0", "credit": "none required", "hours": 0.5}
    data = {"state_dict": weights, "hyper_parameters": {"settings": {"width": 24, "layers": 2}}, "sources": [source]}
    torch.save(data, path)
    return path


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    rows = export_separator(checkpoint, folder)
    assert len(rows) == 8
    assert all(row.holds for row in rows)
    return folder


def test_reference_reconstructs() -> None:
    """The reference's own transform, before anything is held against it."""
    wave = np.random.default_rng(0).standard_normal(5000)
    np.testing.assert_allclose(reference.synthesise(reference.analyse(wave), 5000), wave, atol=1e-12)


def test_reference_shares_no_code() -> None:
    source = Path(reference.__file__).read_text()
    assert "import models" not in source
    assert "from models" not in source
    assert "streaming" not in source.split('"""', 2)[2]


def test_both_files_are_written_with_full_cards(exported: Path) -> None:
    assert {p.name for p in exported.iterdir()} == {"live4.onnx", "live4-int8.onnx"}
    for name, precision in (("live4", "fp32"), ("live4-int8", "int8")):
        path = exported / f"{name}.onnx"
        card = read_card(path)
        assert (card.name, card.precision, card.latency_samples) == (name, precision, DEFAULT.latency_samples)
        assert card.sha256 == digest(path.read_bytes())
        assert [s.hours for s in card.training] == [0.5]
        operators = {node.op_type for node in onnx.load(path).graph.node}
        assert ("MatMul" in operators, bool(operators & {"MatMulInteger", "DynamicQuantizeMatMul"})) == (
            precision == "fp32",
            precision == "int8",
        )


def test_the_graph_names_no_path_of_this_machine(exported: Path) -> None:
    for path in exported.iterdir():
        assert b"/export/" not in path.read_bytes()


@pytest.mark.parametrize("rate", [44100, 48000, 88200])
def test_every_rate_runs(exported: Path, rate: int) -> None:
    engine = Engine(exported / "live4.onnx")
    engine.prepare(rate, 4096, 2)
    block = np.random.default_rng(0).standard_normal((2, 4096)).astype(np.float32) * 0.1
    _, stems = engine.process(block)
    assert np.isfinite(stems).all()
    assert stems.any()


def test_a_network_that_is_not_the_file_stops_the_export(exported: Path) -> None:
    """The check must be able to fail: the same files against a network whose weights are a little different."""
    other = random_network()
    with torch.no_grad():
        other.recur.bias_hh_l1[5] += 0.01
    with pytest.raises(ModelError, match=r"parity: onnxruntime.*limit is 1e-05"):
        check_parity(other, exported / "live4.onnx", exported / "live4-int8.onnx")
    assert FP32_LIMIT == 1e-5


def test_a_failed_check_leaves_nothing(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.separator.export_graph", lambda network, path: export_graph(random_network(1), path))
    with pytest.raises(ModelError, match="parity"):
        export_separator(checkpoint, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_digest_does_not_change_with_the_card(exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes((exported / "live4.onnx").read_bytes())
    before = read_card(path)
    figures = [Figure("vocals", 5.0, -3.0, 4), Figure("drums", 4.0, -5.0, 6)]
    first = add_metrics(path, figures, "corpus", "test", 44100)
    again = add_metrics(path, [figures[0]._replace(sdr=6.0)], "corpus", "test", 44100)
    other = add_metrics(path, figures, "corpus", "test", 48000)
    assert before.sha256 == first.sha256 == other.sha256 == digest(path.read_bytes())
    assert [m.value for m in again.metrics] == [6.0]
    assert [m.command.endswith("--rate 48000") for m in other.metrics] == [False, True, True]
    assert read_card(path) == other


def test_a_lying_card_is_not_written(exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes((exported / "live4.onnx").read_bytes())
    card = read_card(path)
    with pytest.raises(CardError, match="latency_samples"):
        write_card(path, replace(card, latency_samples=256))
    assert read_card(path) == card
    wider = card_of(Separator(Size(25)), "live4", ())
    proto = onnx.load(path)
    for prop in proto.metadata_props:
        if prop.key == METADATA_KEY:
            prop.value = wider.to_json()
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(CardError, match="state"):
        read_card(path)


def test_command_prints_the_table_and_json(checkpoint: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export", "separator", str(checkpoint), "-o", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    assert '"what": "engine, random blocks"' in result.stdout
    assert ModelCard.from_json(read_card(tmp_path / "live4.onnx").to_json()).name == "live4"
