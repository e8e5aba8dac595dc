"""From what was heard to chops: in every mode, whatever is locked and however it is snapped."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_models import tiny_curves

from bridge.chops import chopping
from bridge.chops.analysis import Analysis, analyse_audio
from bridge.chops.chopping import LOCK_S, chop
from bridge.chops.listening import open_network
from bridge.chops.marks import JOIN_S
from bridge.chops.settings import ChopSettings, Grid, Method, Mode, Snap
from streaming.errors import RequestError
from streaming.snap import snap

RATE = 44100
START = 7 * RATE + 11
"""Where the song begins in its source."""
AT = (7.5, 9.123, 15.0)


def song() -> NDArray[np.float32]:
    """12 s at 120 bpm: bars of a loud and three softer hits, eighths between, every hit another colour."""
    rng = np.random.default_rng(3)
    audio = np.zeros(12 * RATE)
    for eighth in range(46):
        start = round((0.1 + eighth * 0.25) * RATE)
        level = 0.6 if eighth % 8 == 0 else 0.012 if eighth % 2 == 0 else 0.008
        t = np.arange(RATE // 10) / RATE
        tone = np.sin(2 * np.pi * rng.uniform(80, 4000) * t)
        hit = level * (rng.uniform(-1, 1, len(t)) + tone) * np.exp(-t * rng.uniform(20, 60))
        audio[start : start + len(t)] += hit
    return np.stack([audio, 0.7 * audio]).astype(np.float32)


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    network = open_network(tiny_curves(tmp_path_factory.mktemp("model") / "tiny.onnx"))
    return analyse_audio(song(), RATE, network, START)


def settings(mode: Mode = "chop", **options: Any) -> ChopSettings:
    return ChopSettings(**{"mode": mode, **({"at": AT} if mode == "manual" else {}), **options})


def positions(analysis: Analysis, mode: Mode = "chop", **options: Any) -> list[int]:
    return [found.position for found in chop(analysis, settings(mode, **options)).chops]


def test_the_song_is_heard_as_it_was_made(analysis: Analysis) -> None:
    """What the other tests stand on."""
    assert len(analysis.onsets.positions) == 46
    assert len(analysis.beats.positions) == 23
    assert len(analysis.downbeats.positions) == 6
    assert (analysis.beats_per_bar, round(analysis.tempo)) == (4, 120)


@pytest.mark.parametrize("snapping", get_args(Snap))
@pytest.mark.parametrize("mode", get_args(Mode))
def test_chops_fill_the_passage_from_the_first_on(analysis: Analysis, mode: Mode, snapping: Snap) -> None:
    found = chop(analysis, settings(mode, snap=snapping))
    assert (found.start, found.end, found.rate, found.channels) == (START, START + 12 * RATE, RATE, 2)
    starts = [c.position for c in found.chops]
    assert starts[0] >= START
    assert starts == sorted(set(starts))
    assert [c.end for c in found.chops] == [*starts[1:], found.end]
    assert all(0 <= c.score <= 1 for c in found.chops)
    assert not any(c.locked for c in found.chops)
    assert chop(analysis, settings(mode, snap=snapping)) == found


def test_without_a_count_every_transient_beat_bar_and_line(analysis: Analysis) -> None:
    assert positions(analysis, "transient") == (START + analysis.onsets.positions).tolist()
    assert positions(analysis, "beat") == (START + analysis.beats.positions).tolist()
    assert positions(analysis, "downbeat") == (START + analysis.downbeats.positions).tolist()
    assert positions(analysis, "grid") == positions(analysis, "downbeat")
    assert [len(positions(analysis, "grid", grid=grid)) for grid in get_args(Grid)] == [2, 3, 6, 12, 23, 46, 92, 184]
    assert len(positions(analysis, "equal")) == 16


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_a_count_is_kept(analysis: Analysis, count: int, method: Method) -> None:
    for mode in ("chop", "transient", "beat", "equal"):
        assert len(positions(analysis, mode, count=count, method=method)) == count


def test_unsnapped_is_where_it_was_heard_or_asked_for(analysis: Analysis) -> None:
    assert positions(analysis, "transient", snap="none") == (START + analysis.onsets.heard).tolist()
    assert positions(analysis, "manual", snap="none") == [round(second * RATE) for second in AT]
    equal = [START + part * 12 * RATE // 7 for part in range(7)]
    assert positions(analysis, "equal", count=7, snap="none") == equal


def test_points_go_to_the_onset_near_by_or_to_a_zero_crossing(analysis: Analysis) -> None:
    audio, onsets = song(), START + analysis.onsets.positions
    near, far = int(onsets[3]) + 400, int(onsets[20]) + round(0.04 * RATE)
    found = chop(analysis, settings("manual", at=(near / RATE, far / RATE)))
    expected = snap(audio, RATE, far - START, "zero")
    assert [c.position for c in found.chops] == [int(onsets[3]), START + expected.position]
    assert found.chops[1].fade == expected.fade
    zero = chop(analysis, settings("manual", at=(near / RATE,), snap="zero"))
    assert zero.chops[0].position == START + snap(audio, RATE, near - START, "zero").position


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("snapping", get_args(Snap))
def test_a_chop_that_is_locked_stays_to_the_sample_whatever_the_seed(
    analysis: Analysis, mode: Mode, snapping: Snap
) -> None:
    """Locks come back as float64 seconds, from a table or over OSC."""
    options: dict[str, Any] = {"count": 3, "snap": snapping, "grid": "1/16"}
    first = positions(analysis, mode, **options)
    for kept in (first[:1], first[1:]):
        for seed in (1, 2, 3):
            found = chop(analysis, settings(mode, lock=[p / RATE for p in kept], seed=seed, **options))
            assert [c.position for c in found.chops if c.locked] == kept
            assert len(found.chops) == 3


def test_a_lock_of_three_digits_means_the_chop(analysis: Analysis) -> None:
    first = positions(analysis, count=4)
    lock = [round(p / RATE, 3) for p in first]
    assert [c.position for c in chop(analysis, settings(lock=lock, count=4)).chops] == first
    assert LOCK_S > 0.0005


def test_a_lock_where_nothing_was_found_is_cut_there_with_a_fade(analysis: Analysis) -> None:
    at = START + int(analysis.onsets.positions[10]) + round(0.1 * RATE)
    found = chop(analysis, settings(lock=[at / RATE], count=5))
    locked = [c for c in found.chops if c.locked]
    assert [(c.position, c.kind, c.fade) for c in locked] == [(at, "manual", True)]
    again = chop(analysis, settings(lock=[at / RATE], count=5, seed=4))
    assert next(c for c in again.chops if c.locked).position == at


def test_another_seed_chooses_anew(analysis: Analysis) -> None:
    assert len({tuple(positions(analysis, count=5, seed=seed)) for seed in range(6)}) > 1


def test_no_chop_is_shorter_than_the_minimum(analysis: Analysis) -> None:
    for mode in ("chop", "transient", "grid", "equal"):
        found = chop(analysis, settings(mode, min_length_s=0.6, grid="1/32", count=8))
        assert min(c.end - c.position for c in found.chops) >= round(0.6 * RATE)


def test_the_audio_is_read_once_for_points_that_no_curve_marks(
    analysis: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never for the marks: a re-roll reads nothing."""
    reads: list[int] = []

    def counting(passage: Any, points: Any, modes: Any) -> Any:
        reads.append(len(points))
        return real(passage, points, modes)

    real = chopping.snap_points
    monkeypatch.setattr(chopping, "snap_points", counting)
    fresh = replace(analysis, crossings={})
    for mode in ("chop", "transient", "beat", "downbeat"):
        chop(fresh, settings(mode, seed=1))
    assert sum(reads) == 0
    chop(fresh, settings("grid", grid="1/32"))
    assert sum(reads) > 50
    before = sum(reads)
    chop(fresh, settings("grid", grid="1/32", seed=1))
    assert sum(reads) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lock": [6.9]}, r"the lock at 6\.900 s lies outside: expected 7\.000 to 19\.000 s"),
        ({"lock": [19.001]}, r"the lock at 19\.001 s lies outside"),
        ({"mode": "manual", "at": [1e9]}, "the point at 1000000000.000 s lies outside"),
        ({"lock": [8.0, 9.0, 10.0], "count": 2}, "3 chops are locked, but 2 asked for"),
        ({"lock": [8.0, 8.1], "min_length_s": 0.5}, r"the locks at 8\.\d+ s and 8\.\d+ s are closer than the minimum"),
        ({"lock": [18.9], "min_length_s": 0.5}, r"the lock at 18\.\d+ s is closer to the end \(19\.000 s\) than"),
        ({"min_length_s": 100.0}, "found no place"),
    ],
)
def test_what_cannot_be_is_said(analysis: Analysis, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        chop(analysis, ChopSettings(**options))


def test_silence_is_said(tmp_path: Path) -> None:
    network = open_network(tiny_curves(tmp_path / "tiny.onnx"))
    silent = analyse_audio(np.zeros((1, 3 * RATE), np.float32), RATE, network)
    for mode in ("chop", "transient"):
        with pytest.raises(RequestError, match="is silent"):
            chop(silent, settings(mode))
    for mode in ("beat", "downbeat", "phrase", "grid"):
        with pytest.raises(RequestError, match="was found in this passage"):
            chop(silent, settings(mode))
    assert len(chop(silent, settings("equal", count=4)).chops) == 4


def test_bars_that_are_all_alike_are_chopped_and_said(tmp_path: Path) -> None:
    bar = song()[:, : 2 * RATE]
    network = open_network(tiny_curves(tmp_path / "tiny.onnx"))
    alike = analyse_audio(np.tile(bar, 6), RATE, network)
    found = chop(alike, settings("downbeat", count=4))
    assert len(found.chops) == 4
    assert "little variety" in found.note


def test_a_mode_that_the_network_cannot_serve_is_said(analysis: Analysis) -> None:
    deaf = replace(analysis, curves={"chop": analysis.curves["onset"]}, chops=analysis.onsets)
    for mode in ("beat", "downbeat", "phrase", "grid"):
        with pytest.raises(RequestError, match=f"marks chop; mode {mode} needs beat: try --model chopper"):
            chop(deaf, settings(mode))
    with pytest.raises(RequestError, match="mode transient needs onset"):
        chop(deaf, settings("transient"))
    assert {c.kind for c in chop(deaf, settings()).chops} == {"chop"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "manual"}, "needs points"),
        ({"at": [1.0]}, "points are for mode manual"),
        ({"start_s": 2.0, "end_s": 1.0}, "before it starts"),
        ({"count": 0}, "greater than or equal to 1"),
        ({"lambda": 1.5}, "less than or equal to 1"),
        ({"lock": [float("nan")]}, "greater than or equal|finite"),
        ({"lock": [float("inf")]}, "finite"),
        ({"min_length_s": -1}, "greater than or equal to 0"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ChopSettings(**options)


def test_joining_never_skips_a_line_of_the_finest_grid() -> None:
    """At 215 bpm, the fastest that is heard, a 1/32 is 35 ms: two of them are never nearer to one onset than `JOIN_S`
    on the same side."""
    assert JOIN_S < 60 / 215 / 8
