"""What detectors add to the network's odds, and what a whole file shows of its faults."""

import numpy as np
import pytest

from models.flagger.fault_evidence import KINDS, Judged, chosen
from streaming.fault_curve import BEGUN, EVIDENCE, GRADES, FaultCurve, evidence_of
from streaming.faults.detector import Strengths
from streaming.faults.faults import HINTS
from streaming.faults.faults import KINDS as TOLD
from streaming.faults.whole_file import COMMON, COMMON_STEPS, joined, settled
from streaming.flags import Flag

RATE, STEP = 8000, 1280.0


def flag(start_s: float, end_s: float, kind: str, score: float = 0.6) -> Flag:
    return Flag(round(start_s * RATE), round(end_s * RATE), score, 0.01, kind, 0.0, RATE / 2)


def curve_of(kind: str, strengths: dict[int, float], count: int = 1000) -> FaultCurve:
    """Strengths by step."""
    values = np.zeros(16 * count, np.float32)
    for step, strength in strengths.items():
        values[16 * step] = strength
    curve = FaultCurve(STEP)
    curve.add({kind: Strengths(0, 80, values)})
    return curve


def test_evidence_rises_with_strength_and_is_never_against_a_fault() -> None:
    assert set(EVIDENCE) == {*TOLD, *(hint.KIND for hint in HINTS), "crackle"}
    grades = np.linspace(0, 1, 101)
    for kind in KINDS:
        found = evidence_of(kind, grades)
        assert found[0] == 0
        assert (np.diff(found) >= 0).all()
        assert found[50] >= (2 if kind in TOLD else 1)  # where a fault begins it is worth something


@pytest.mark.parametrize("size", [7, 160, 100_000])
def test_a_curve_holds_the_strongest_of_every_step_in_any_pieces(size: int) -> None:
    rng = np.random.default_rng(0)
    values = rng.random(1600).astype(np.float32)
    curve = FaultCurve(STEP)
    for i in range(0, len(values), size):
        curve.add({"click": Strengths(i * 80, 80, values[i : i + size])})
    got = curve.strengths("click", 110)
    for step in range(1, 99):
        inside = values[16 * step - 8 : 16 * step + 8]
        assert got[step] == inside.max()
    assert got[105] == 0
    total = sum(evidence_of(kind, curve.strengths(kind, 100)) for kind in ("click", "crackle"))
    np.testing.assert_allclose(curve.evidence(100), total)
    assert not curve.evidence(100, without=("click",)).any()
    assert not curve.strengths("hum", 5).any()


@pytest.mark.parametrize("size", [7, 160, 100_000])
def test_where_a_fault_that_grows_begins_is_known_in_any_pieces(size: int) -> None:
    values = np.zeros(1600, np.float32)
    values[400:700] = np.linspace(0.1, 0.8, 300)
    values[900:910] = 0.3
    values[1200:1300] = 0.6
    curve = FaultCurve(STEP)
    for i in range(0, len(values), size):
        curve.add({kind: Strengths(i * 80, 80, values[i : i + size]) for kind in ("howl", "hum")})
    first = 400 + int(np.argmax(values[400:] >= BEGUN))
    assert curve.beginnings == pytest.approx([first / 16, 1200 / 16])


def test_small_clicks_that_come_on_are_a_crackle_and_one_is_none() -> None:
    curve = curve_of("click", {20: 0.4, **dict.fromkeys(range(60, 90), 0.4)})
    crackle = curve.strengths("crackle", 100)
    assert crackle[:40].max() < 0.05
    np.testing.assert_allclose(crackle[64:86], 0.4, rtol=1e-5)


def test_hum_that_comes_and_goes_is_one() -> None:
    hums = [flag(10, 20, "hum", 0.6), flag(25, 30, "hum", 0.8), flag(80, 90, "hum", 0.7)]
    told = settled([*hums, flag(12, 12.5, "silence")], FaultCurve(STEP), 1000, STEP, RATE)
    assert [(f.kind, f.start / RATE, f.end / RATE, f.score) for f in told] == [
        ("hum", 10, 30, 0.8),
        ("silence", 12, 12.5, 0.6),
        ("hum", 80, 90, 0.7),
    ]
    assert joined([], 10) == []


def test_common_clicks_are_how_a_piece_sounds_but_for_those_that_stand_out() -> None:
    clicks = [flag(40, 40.001, "click", 0.55), flag(41, 41.001, "click", 0.9), flag(150, 150.001, "click", 0.55)]
    common = curve_of("click", dict.fromkeys(range(200, 200 + 10 * (COMMON_STEPS + 1), 10), COMMON + 0.05))
    assert [f.start // RATE for f in settled(clicks, common, 1000, STEP, RATE)] == [41, 150]
    few = curve_of("click", dict.fromkeys(range(200, 200 + 10 * COMMON_STEPS, 10), COMMON + 0.05))
    assert len(settled(clicks, few, 1000, STEP, RATE)) == 3


def test_the_table_is_chosen_for_what_ranks_faults_first() -> None:
    """Hum tells of hum, clicks of nothing: they are everywhere. Hum is worth much from where it is."""
    rng = np.random.default_rng(1)
    takes = []
    for _ in range(4):
        labels = (np.arange(300) > 250).astype(np.int8)
        strengths = np.zeros((300, len(KINDS)), np.float32)
        strengths[:, KINDS.index("hum")] = 0.3 * labels
        strengths[:, KINDS.index("click")] = rng.random(300)
        takes.append(Judged("hum", rng.normal(0, 2, 300), strengths, labels))
    table = chosen(takes)
    hum, click = (np.array(table[kind]) for kind in ("hum", "click"))
    assert hum[GRADES.index(0.3)] > 4
    assert click[-1] < hum[-1] / 2
    for row in table.values():
        assert row[0] == 0
        assert (np.diff(row) >= 0).all()
