"""From steps and faults to flags and parts: by a threshold and by a share, with faults among them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bridge.flags.analysis import FlagAnalysis
from bridge.flags.fine import FineStore
from bridge.flags.flag_set import FlagSet, Part
from bridge.flags.learning import embeddings_in
from bridge.flags.regions import between, curves_of, find_flags
from bridge.flags.settings import FlagSettings
from bridge.flags.snapping import snap_edges
from bridge.passage import ArrayPassage
from streaming.errors import RequestError
from streaming.evidence import p_values, score_at, score_of
from streaming.fault_curve import EVIDENCE, GRADES, evidence_of
from streaming.flagger import Step
from streaming.flags import Flag

RATE, HOP_S = 8000, 0.16
HOP = round(RATE * HOP_S)
COUNT = 100
CALIBRATION = np.linspace(-6, 2, 999).astype(np.float32)


def analysis_of(odd: dict[tuple[int, int], tuple[float, str]], *faults: Flag, start: int = 0) -> FlagAnalysis:
    """Steps that score 0.05, and what ``odd`` says from one step to another. The first segment ends at step 4."""
    scores, kinds = np.full(COUNT, 0.05), ["noise"] * COUNT
    for (first, end), (score, kind) in odd.items():
        scores[first:end] = score
        kinds[first:end] = [kind] * (end - first)
    steps = tuple(
        Step(i * HOP, float(scores[i]), 0.5 if scores[i] < 0.5 else 0.001, kinds[i], 100.0, 200.0 + i, 0.0, np.ones(4))
        for i in range(2, COUNT - 1)
    )
    passage = ArrayPassage(np.zeros((1, COUNT * HOP), np.float32) + 0.1, RATE, start)
    odds, cut_odds = np.zeros(COUNT), np.zeros(COUNT)
    for fault in faults:
        inside = slice(fault.start // HOP, -(-fault.end // HOP))
        odds[inside] = np.maximum(odds[inside], evidence_of(fault.kind, np.array(fault.score)))
        if fault.kind not in ("hum", "dc", "phase"):
            cut_odds[inside] = odds[inside]
    return FlagAnalysis(
        passage, RATE, COUNT * HOP, start, steps, None, faults, odds, cut_odds, HOP_S, CALIBRATION, None, ("a word",)
    )


def settings(**values: Any) -> FlagSettings:
    return FlagSettings(**{"snap": "none", **values})


def kinds(flags: FlagSet) -> list[str]:
    return [flag.kind for flag in flags.flags]


def test_flags_and_what_they_leave() -> None:
    analysis = analysis_of({(20, 30): (0.9, "noise"), (60, 62): (0.7, "speech")}, start=500)
    flags = find_flags(analysis, settings())
    half = HOP // 2
    assert [(f.start, f.end, f.kind, f.score) for f in flags.flags] == [
        (500 + 20 * HOP - half, 500 + 29 * HOP + half, "noise", 0.9),
        (500 + 60 * HOP - half, 500 + 61 * HOP + half, "speech", 0.7),
    ]
    assert flags.parts[0] == Part(500, flags.flags[0].start)
    assert flags.parts[1] == Part(flags.flags[0].end, flags.flags[1].start)
    assert flags.parts[2] == Part(flags.flags[1].end, 500 + COUNT * HOP)
    assert (flags.threshold, flags.notes, len(flags.scores)) == (0.5, ("a word",), COUNT)
    assert kinds(find_flags(analysis, settings(min_length_s=0.5))) == ["noise"]
    assert flags.kept_s == pytest.approx((COUNT - 12) * HOP_S)


def test_parts_shorter_than_the_least_length_go() -> None:
    analysis = analysis_of({(20, 30): (0.9, "noise"), (35, 50): (0.9, "noise")})
    assert len(find_flags(analysis, settings()).parts) == 3
    flags = find_flags(analysis, settings(min_length_s=1.0))
    assert (len(flags.flags), len(flags.parts)) == (2, 2)
    assert [part.end for part in flags.parts] == [20 * HOP - HOP // 2, COUNT * HOP]


def test_faults_stand_beside_flags_and_are_cut_but_for_those_that_are_repaired() -> None:
    click = Flag(10_000, 10_016, 0.8, 0.01, "click", 0.0, RATE / 2)
    hum = Flag(0, COUNT * HOP, 0.9, 0.01, "hum", 40.0, 60.0)
    flags = find_flags(analysis_of({(20, 30): (0.9, "noise")}, click, hum), settings())
    assert kinds(flags) == ["hum", "click", "noise"]
    assert [part for part in flags.parts if part.end == click.start] == [Part(0, 10_000)]
    assert [part.start for part in flags.parts] == [0, 10_016, flags.flags[2].end]
    padded = find_flags(analysis_of({}, click), settings(pad_s=0.01))
    assert (kinds(padded), padded.parts) == (["click"], (Part(0, COUNT * HOP),))  # no cut is left of 2 ms


def test_a_share_takes_faults_into_account() -> None:
    dropout = Flag(50 * HOP, 60 * HOP, 0.95, 0.01, "dropout", 0.0, RATE / 2)
    dc = Flag(0, COUNT * HOP, 1.0, 0.001, "dc", 0.0, 20.0)
    analysis = analysis_of({(20, 30): (0.8, "speech")}, dropout, dc)
    flags = find_flags(analysis, settings(keep=0.9))
    assert flags.threshold is None
    assert set(kinds(flags)) == {"dropout", "dc"} or set(kinds(flags)) == {"speech", "dc"}
    flags = find_flags(analysis, settings(keep=0.79))
    assert [(flag.kind, flag.start // HOP) for flag in flags.flags if flag.kind != "dc"] == [
        ("speech", 19),
        ("dropout", 49),
    ]
    assert abs(flags.kept_s / (COUNT * HOP_S) - 0.79) < 0.02
    for first, second in zip(flags.parts, flags.parts[1:], strict=False):
        assert first.end < second.start
    short = Flag(25 * HOP, 25 * HOP + 50, 0.95, 0.01, "clipping", 0.0, RATE / 2)
    assert kinds(find_flags(analysis_of({(20, 30): (0.8, "speech")}, short), settings(keep=0.9))) == ["speech"]
    assert kinds(find_flags(analysis_of({(20, 30): (0.4, "speech")}, short), settings(keep=0.9))) == ["clipping"]
    click = Flag(80 * HOP, 80 * HOP + 9, 0.6, 0.01, "click", 0.0, RATE / 2)
    kept = find_flags(analysis_of({(20, 30): (0.8, "speech")}, click), settings(keep=0.9))
    assert "click" in kinds(kept)  # it is told, though it stays


def test_fine_flags_are_none() -> None:
    click = Flag(80 * HOP, 80 * HOP + 9, 0.6, 0.01, "click", 0.0, RATE / 2)
    analysis = analysis_of({(20, 30): (0.9, "noise"), (60, 70): (0.9, "noise")}, click, start=77)
    flags = find_flags(analysis, settings())
    for wish in (settings(), settings(keep=0.9)):
        left = find_flags(analysis, wish, [flags.flags[0], flags.flags[2]])
        assert kinds(left) == ["noise"]
        assert abs(left.flags[0].start - flags.flags[1].start) <= HOP
    assert find_flags(analysis, settings(), flags.flags).parts == (Part(77, 77 + COUNT * HOP),)


def test_the_curve_covers_the_passage_and_holds_faults() -> None:
    click = Flag(40 * HOP, 40 * HOP + 5, 0.8, 0.02, "click", 0.0, RATE / 2)
    curves = curves_of(analysis_of({(2, 10): (0.3, "noise")}, click))
    assert len(curves.scores) == COUNT
    np.testing.assert_allclose(curves.scores[:10], 0.3)  # before the first step it is as there
    assert (curves.p_values[40], curves.scores[42]) == (0.02, pytest.approx(0.05))
    together = np.log(0.05 / 0.95) + EVIDENCE["click"][GRADES.index(0.8)]
    assert curves.scores[40] == curves.to_cut[40] == pytest.approx(1 / (1 + np.exp(-together)))
    hum = Flag(0, COUNT * HOP, 0.9, 0.01, "hum", 40.0, 60.0)
    curves = curves_of(analysis_of({}, hum))
    assert (curves.scores > 0.9).all()
    np.testing.assert_allclose(curves.to_cut, 0.05)
    calm = curves_of(analysis_of({(20, 30): (0.9, "noise")}, hum), [(19 * HOP, 30 * HOP)])
    assert calm.scores[20:30].tolist() == [0.0] * 10
    assert calm.scores[31] > 0.9


@pytest.mark.parametrize("p_value", [0.9, 0.5, 0.1, 0.01, 0.0011])
def test_a_threshold_is_the_least_score_with_that_p_value(p_value: float) -> None:
    limit = score_at(p_value, CALIBRATION)
    odd = np.linspace(-8, 4, 20001)
    scores, values = score_of(odd), p_values(odd, CALIBRATION)
    assert values[scores >= limit].max() <= p_value
    assert values[scores < limit - 1e-3].min() > p_value


def test_a_threshold_beyond_the_calibration_is_told() -> None:
    with pytest.raises(RequestError, match=r"its least p-value is 0\.001"):
        score_at(0.0005, CALIBRATION)
    faint = Flag(0, 9, 0.6, 0.3, "click", 0.0, RATE / 2)
    assert kinds(find_flags(analysis_of({}, faint), settings(threshold=0.1))) == []
    assert kinds(find_flags(analysis_of({}, faint), settings(threshold=0.4))) == ["click"]


def test_edges_on_beats_never_vanish() -> None:
    analysis = replace(analysis_of({}), beats=np.arange(1000, COUNT * HOP, 4000))
    frames = COUNT * HOP
    assert snap_edges(analysis, [(0, 2900), (8000, 13500)], "beat") == [(0, 1000), (9000, 13000)]
    assert snap_edges(analysis, [(5100, 5200)], "beat") == [(5000, 9000)]
    assert snap_edges(analysis, [(100, 200)], "beat") == [(0, 1000)]
    assert snap_edges(analysis, [(frames - 50, frames)], "beat")[0][1] == frames
    assert snap_edges(analysis, [(frames - 60, frames - 50)], "beat")[0][0] < frames
    for start in range(0, frames - 10, 997):
        ((first, end),) = snap_edges(analysis, [(start, start + 10)], "beat")
        assert 0 <= first < end <= frames


def test_edges_on_crossings_stay_in_order() -> None:
    t = np.arange(COUNT * HOP) / RATE
    audio = np.sin(2 * np.pi * 100 * t - 0.02).astype(np.float32)[None]
    analysis = replace(analysis_of({}), passage=ArrayPassage(audio, RATE))
    (span,) = snap_edges(analysis, [(1030, 9050)], "zero")
    assert span == (1041, 9041)  # rising every 80 samples
    assert snap_edges(analysis, [(1030, 1035)], "zero") == [(1030, 1035)]
    assert snap_edges(analysis, [(0, COUNT * HOP)], "zero") == [(0, COUNT * HOP)]
    assert snap_edges(analysis, [(1030, 9050)], "none") == [(1030, 9050)]


def test_between() -> None:
    assert between([], 10) == [(0, 10)]
    assert between([(0, 10)], 10) == []
    assert between([(4, 6), (2, 5), (8, 10)], 10) == [(0, 2), (6, 8)]


def test_what_is_learned_of_a_stretch() -> None:
    analysis = analysis_of({})
    assert embeddings_in(analysis, 10 * HOP, 20 * HOP).shape == (10, 4)
    assert embeddings_in(analysis, 10 * HOP + 1, 10 * HOP + 5).shape == (1, 4)
    with pytest.raises(RequestError, match="lies outside"):
        embeddings_in(analysis, COUNT * HOP, COUNT * HOP + 5)


def test_the_store_spreads_and_takes_back_any(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiny_models import tiny_flagger

    monkeypatch.setattr("bridge.flags.fine.models_folder", lambda: tmp_path / "user")
    store = FineStore(tiny_flagger(tmp_path / "tiny.onnx"))
    assert (len(store.load()), store.count) == (0, 0)
    long = np.arange(100, dtype=np.float32)[:, None] * np.ones(8, np.float32)
    first, second = store.add(long), store.add(long[:3])
    assert store.load()[:, 0].tolist()[:1] == [0.0]
    assert (store.load()[15, 0], len(store.load()), store.count) == (99.0, 19, 2)
    store.undo(first)
    assert store.load()[:, 0].tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(RequestError, match="taken back already"):
        store.undo(first)
    store.undo(second)
    assert not store.path.exists()
    with pytest.raises(RequestError, match="too short"):
        store.add(long[:0])
