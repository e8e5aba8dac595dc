"""The judge: what it is told, that it learns what no sum of evidence can, and that its file does what it does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_models import tiny_curves

from bridge.flags.analysis import open_flagger
from bridge.model_check import check_model
from bridge.registry import find_model
from export.judge import export_judge
from models.flagger.judge import CONTEXT, JudgeNetwork
from models.flagger.judging import Judged, figures, read_judge, shortened, train_judge, unseen, write_judge
from streaming.errors import ModelError
from streaming.fault_curve import TOLD_ODDS, FaultCurve
from streaming.faults.detector import Strengths
from streaming.features import open_features
from streaming.flagger import Flagger
from streaming.flags import Flag
from streaming.judge import DETECTED, INPUTS, KNOWLEDGE, Judge, knowledge
from streaming.reviewer import Review

HOP_S = 0.16


def take(kind: str, seed: int, count: int = 200) -> Judged:
    """Twenty steps are faulty: there both of two signs are up, and one or the other now and then elsewhere."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(count, np.int8)
    start = int(rng.integers(60, count - 80))
    labels[start : start + 20] = 1
    known = rng.normal(0, 0.05, (count, len(INPUTS))).astype(np.float32)
    either = rng.random(count // 10).repeat(10) < 0.5
    for which, input_ in enumerate(("click", "tuning")):
        known[:, INPUTS.index(input_)] += np.where((labels == 1) | (either == bool(which)), 1.0, 0.0)
    odds = 3 * known[:, INPUTS.index("click")] + 3 * known[:, INPUTS.index("tuning")]
    odds[labels == 0] += 3 * (rng.random(int((labels == 0).sum())) < 0.3)  # a sum is wrong now and then
    return Judged(kind, known, odds.astype(np.float32), labels)


def test_it_learns_what_a_sum_cannot_know_and_of_kinds_that_it_never_met() -> None:
    takes = [take(kind, 10 * i + j) for i, kind in enumerate(("hum", "codec", "wind")) for j in range(6)]
    fresh = [take("codec", 100 + i) for i in range(8)]
    before = figures(JudgeNetwork().eval(), fresh)["codec"]
    network = train_judge(takes, steps=80)
    after = figures(network, fresh)["codec"]
    assert after[0] > before[0] + 0.02
    assert after[1] > before[1] + 0.05
    again = train_judge(takes, steps=80)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    found = {kind: whole for kind, whole, _ in unseen(takes, fresh, steps=80)}
    assert list(found) == ["codec"]  # of hum no judge is asked, of wind there is no test take
    assert found["codec"] > before[0] + 0.02


@given(st.integers(0, 10_000), st.integers(1, 400), st.integers(0, 5))
def test_a_shortened_take_keeps_its_order_and_both_sorts_of_steps(seed: int, count: int, faults: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.zeros(count, np.int8)
    for _ in range(faults):
        start = int(rng.integers(0, count))
        labels[max(0, start - 2) : start + 12] = -1
        labels[start : start + 10] = 1
    left = shortened(rng, labels)
    assert (np.diff(left) > 0).all()
    assert len(left) <= count
    for label in (0, 1):
        assert (labels[left] == label).any() or not (labels == label).any() or len(left) == count


def review(count: int) -> Review:
    """Odd from step 40 to 60, with an edge at either end."""
    frames = round(count * HOP_S * 100)
    odd, edge = np.full(frames, 0.02, np.float32), np.zeros(frames, np.float32)
    odd[640:960] = 0.98
    edge[[640, 960]] = 0.9
    return Review(odd, edge, 0.01)


def curve_of(kind: str, values: NDArray[np.float32]) -> FaultCurve:
    curve = FaultCurve(1600)
    curve.add({kind: Strengths(0, 1600, values)})
    return curve


def test_it_is_told_what_all_know_of_a_step() -> None:
    count = 100
    values = np.linspace(0, 1, count).astype(np.float32)
    rows = knowledge(np.linspace(-3, 3, count), review(count), curve_of("hum", values))
    assert rows.shape == (count, KNOWLEDGE.bands)
    by_name = dict(zip(INPUTS, rows.T, strict=True))
    np.testing.assert_allclose(by_name["odds"], np.linspace(-3, 3, count), rtol=1e-5)
    assert by_name["review"][41:59].min() > 3 > -3 > by_name["review"][:39].max()
    assert {int(at) for at in np.flatnonzero(by_name["edge"] > 0)} <= {40, 41, 60, 61}
    assert by_name["hum"][-2] > 0.9
    without = knowledge(np.zeros(count), review(count), curve_of("hum", values), ("hum",))
    assert not without[:, INPUTS.index("hum")].any()
    nothing = Review(np.zeros(0, np.float32), np.zeros(0, np.float32), 0.01)
    assert knowledge(np.zeros(0), nothing, FaultCurve(1600)).shape == (0, len(INPUTS))


def trained() -> JudgeNetwork:
    """Weights that say something."""
    torch.manual_seed(1)
    network = JudgeNetwork().eval()
    torch.nn.init.normal_(network.leave.weight, 0, 0.5)
    network.scale.mul_(0.4)
    return network


def test_its_file_does_what_it_does_however_long_and_in_pieces(tmp_path: Path) -> None:
    path = write_judge(trained(), tmp_path / "judge.ckpt")
    rows = export_judge(path, tmp_path, "judge")
    assert all(row.holds for row in rows)
    judge = Judge(tmp_path / "judge.onnx")
    network = read_judge(path)
    rng = np.random.default_rng(0)
    for count in (1, CONTEXT, 7000):  # the last is heard in two pieces
        known = rng.normal(size=(count, len(INPUTS))).astype(np.float32)
        with torch.no_grad():
            truth = network(torch.from_numpy(known)[None])[0].numpy()
        np.testing.assert_allclose(judge.adds(known), truth, atol=2e-4)
    assert not len(judge.adds(np.zeros((0, len(INPUTS)), np.float32)))


def test_it_sees_so_many_steps_and_no_more() -> None:
    network, rng = trained(), np.random.default_rng(0)
    known = torch.from_numpy(rng.normal(size=(1, 600, len(INPUTS))).astype(np.float32))
    moved = known.clone()
    moved[0, 300] += 1
    with torch.no_grad():
        changed = np.flatnonzero((network(known) != network(moved))[0].numpy())
    assert changed.min() >= 300 - CONTEXT
    assert changed.max() <= 300 + CONTEXT
    assert changed.max() - changed.min() > CONTEXT


def test_what_is_no_judge_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no judge"):
        Judge(tiny_curves(tmp_path / "chops.onnx"))
    with pytest.raises(ModelError, match="hears no audio"):
        open_features(KNOWLEDGE, 44100)
    (tmp_path / "bad.ckpt").write_bytes(b"rubbish")
    with pytest.raises(ModelError, match="not a checkpoint of a judge"):
        read_judge(tmp_path / "bad.ckpt")
    assert "crackle" not in DETECTED  # it hears the clicks themselves


def test_a_file_is_judged_where_there_was_a_reviewer_and_live_never(tmp_path: Path) -> None:
    export_judge(write_judge(trained(), tmp_path / "judge.ckpt"), tmp_path, "judge")
    flagger = Flagger(find_model("flagger"))
    curve = curve_of("hum", np.full(50, 0.7, np.float32))
    odds = np.linspace(-2, 2, 50)
    flagger.judge = Judge(tmp_path / "judge.onnx")
    np.testing.assert_array_equal(flagger.added_odds(odds, curve), curve.evidence(50))
    flagger.reviewed = review(70)
    rows = knowledge(odds, flagger.reviewed, curve)
    np.testing.assert_array_equal(flagger.added_odds(odds, curve), curve.evidence(50) + flagger.judge.adds(rows))
    without = knowledge(odds, flagger.reviewed, curve, ("hum",))
    np.testing.assert_array_equal(flagger.added_odds(odds, curve, ("hum",)), flagger.judge.adds(without))
    curve.add({}, [Flag(16000, 32000, 0.7, 0.01, "hum", 0.0, 400.0), Flag(0, 9000, 0.5, 0.1, "dc", 0.0, 20.0)])
    added = flagger.added_odds(odds, curve) - curve.evidence(50) - flagger.judge.adds(rows)
    np.testing.assert_allclose(added, np.where((np.arange(50) >= 10) & (np.arange(50) <= 20), TOLD_ODDS, 0), atol=1e-9)
    np.testing.assert_array_equal(flagger.added_odds(odds, curve, ("hum",)), flagger.judge.adds(without))
    assert open_flagger("flagger")[0].judge is not None
    assert [finding.what for finding in check_model(tmp_path / "judge.onnx")][-2:] == ["curves", "context"]
