"""Every mode offers the places that it says, on the sample; and what sounds the same is described the same."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.chops.analysis import Analysis
from bridge.chops.candidates import DIVISIONS, PARTS, WORTH, describe, find_places, usual_count
from bridge.chops.marks import NO_MARKS, Marks
from bridge.chops.selection import ALIKE, Candidates, Choice, select
from bridge.chops.settings import Grid, Mode
from bridge.passage import ArrayPassage
from streaming.errors import RequestError
from streaming.features import MEL, MelFrames

RATE = 44100
MERGE = round(0.03 * RATE)


def marks(seconds: NDArray[np.float64] | list[float], strength: float = 1.0) -> Marks:
    positions = np.round(np.array(seconds) * RATE).astype(np.int64)
    count = len(positions)
    return Marks(positions, np.full(count, strength, np.float32), np.zeros(count, np.bool_), positions)


def texture(mono: NDArray[np.float64]) -> NDArray[np.float16]:
    source = MelFrames(MEL, RATE)
    frames = np.concatenate([source.process(mono.astype(np.float32)), source.flush()])
    whole = len(frames) // 10 * 10
    return frames[:whole].reshape(-1, 10, MEL.bands).mean(1).astype(np.float16)


def song(
    seconds: float = 16.0,
    beat_s: float = 0.5,
    per_bar: int = 4,
    drift: float = 0.0,
    audio: NDArray[np.float64] | None = None,
) -> Analysis:
    """Beats that slow down by ``drift`` a beat, a phrase every four bars, onsets on eighths."""
    steps = np.cumsum(np.concatenate([[0.0], beat_s * (1 + drift) ** np.arange(400)]))
    beats = steps[steps < seconds]
    numbers = np.arange(len(beats)) % per_bar + 1
    eighths = np.interp(np.arange(2 * len(beats) - 1) / 2, np.arange(len(beats)), beats)
    mono = np.random.default_rng(0).normal(size=int(seconds * RATE)) * 0.1 if audio is None else audio
    return Analysis(
        passage=ArrayPassage(mono[None].astype(np.float32), RATE),
        rate=RATE,
        frames=len(mono),
        start=0,
        features=MEL,
        frame_rate=100.0,
        curves={},
        texture=texture(mono),
        onsets=marks(eighths, 0.8),
        beats=marks(beats, 0.9),
        downbeats=marks(beats[numbers == 1], 0.9),
        phrases=marks(beats[:: 4 * per_bar], 0.7),
        chops=NO_MARKS,
        beat_numbers=numbers.astype(np.int64),
        beats_per_bar=per_bar,
        tempo=60 / beat_s,
    )


def without(analysis: Analysis, *kinds: str) -> Analysis:
    fields = {**vars(analysis), **dict.fromkeys(kinds, NO_MARKS)}
    return Analysis(**{**fields, "beat_numbers": np.zeros(0, np.int64)} if "beats" in kinds else fields)


def gather(
    analysis: Analysis,
    mode: Mode,
    grid: Grid = "bar",
    parts: int | None = None,
    at: Sequence[int] = (),
    locked: Sequence[int] = (),
) -> Candidates:
    return describe(analysis, mode, find_places(analysis, mode, grid, parts, at), locked)


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("seconds", [0.7, 16.0])
def test_every_mode_keeps_the_contract(mode: Mode, seconds: float) -> None:
    analysis = song(seconds)
    locked = (1000, 1000 + 3 * MERGE)
    found = gather(analysis, mode, at=[5, RATE // 2], locked=locked)
    count = len(found.positions)
    assert found.positions.dtype == np.int64
    assert (np.diff(found.positions) > 0).all()
    assert ((found.positions >= 0) & (found.positions < analysis.frames)).all()
    assert set(locked) <= set(found.positions.tolist())
    assert found.relevance.shape == (count,)
    assert len(found.kinds) == count
    assert found.descriptors.shape == (count, 2 * MEL.bands)
    assert found.frames.shape == (count, MEL.bands)
    for values in (found.relevance, found.descriptors, found.frames):
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
    assert ((found.relevance >= 0) & (found.relevance <= 1)).all()


def test_marks_of_a_kind_are_all_there() -> None:
    analysis = song()
    for mode, expected in (
        ("transient", analysis.onsets),
        ("beat", analysis.beats),
        ("downbeat", analysis.downbeats),
        ("phrase", analysis.phrases),
    ):
        found = gather(analysis, mode)  # type: ignore[arg-type]
        assert found.positions.tolist() == expected.positions.tolist()
        assert set(found.kinds) == {"onset" if mode == "transient" else mode}
        assert usual_count(mode, None) == "all"  # type: ignore[arg-type]
        chosen = select(found, Choice(count="all"), analysis.frames).indices
        assert len(chosen) == len(expected.positions)


def test_relevance_is_what_meets_there() -> None:
    found = gather(song(), "chop")
    worth = dict(zip(found.kinds, found.relevance.tolist(), strict=True))
    onset, beat, downbeat = 0.8 * WORTH["onset"], 0.9 * WORTH["beat"], 0.9 * WORTH["downbeat"]
    assert worth["onset"] == pytest.approx(onset)
    assert worth["beat"] == pytest.approx(onset + beat)
    assert worth["downbeat"] == pytest.approx(onset + beat + downbeat)
    assert worth["phrase"] == pytest.approx(onset + beat + downbeat + 0.7 * WORTH["phrase"])
    assert sum(WORTH.values()) == pytest.approx(1)


def test_one_moment_is_one_candidate_on_the_attack() -> None:
    """A beat 20 ms beside an onset is that onset; 40 ms beside, it is a place of its own."""
    analysis = song()
    onsets = marks([2.02, 4.04])
    found = gather(Analysis(**{**vars(analysis), "onsets": onsets}), "chop")
    seconds = found.positions / RATE
    assert found.kinds[int(np.flatnonzero(np.isclose(seconds, 2.02))[0])] == "downbeat"
    assert not np.isclose(seconds, 2.0).any()
    assert np.isclose(seconds, 4.0).any()
    assert np.isclose(seconds, 4.04).any()
    assert np.diff(found.positions).min() >= MERGE


def test_a_network_of_ones_own_chops_wins() -> None:
    chops = marks([1.0, 3.3], 0.6)
    found = gather(Analysis(**{**vars(song()), "chops": chops, "curves": {"chop": np.zeros(1600, np.float32)}}), "chop")
    assert found.positions.tolist() == chops.positions.tolist()
    assert found.relevance.tolist() == pytest.approx([0.6, 0.6])
    assert found.kinds == ("chop", "chop")


@pytest.mark.parametrize("drift", [0.0, 0.01, -0.01])
@pytest.mark.parametrize("grid", DIVISIONS)
def test_grid_follows_the_beats(grid: Grid, drift: float) -> None:
    """Each beat is a line, and what lies between two beats is even between those two."""
    analysis = song(drift=drift)
    parts = DIVISIONS[grid]
    lines = gather(analysis, "grid", grid).positions
    beats = analysis.beats.positions
    assert lines[::parts].tolist() == beats.tolist()
    for beat, following in zip(range(len(beats)), beats[1:], strict=False):
        even = beats[beat] + (following - beats[beat]) * np.arange(parts) / parts
        assert np.abs(lines[beat * parts : (beat + 1) * parts] - even).max() <= 0.5


@pytest.mark.parametrize("per_bar", [2, 3, 4])
@pytest.mark.parametrize(("grid", "bars"), [("bar", 1), ("2bar", 2), ("4bar", 4)])
def test_lines_of_bars(grid: Grid, bars: int, per_bar: int) -> None:
    analysis = song(32.0, per_bar=per_bar)
    assert gather(analysis, "grid", grid).positions.tolist() == analysis.downbeats.positions[::bars].tolist()
    # phrases that begin a bar late pull the lines along
    late = analysis.downbeats.positions[1::4]
    shifted = Analysis(**{**vars(analysis), "phrases": marks(late / RATE)})
    expected = analysis.downbeats.positions if bars == 1 else analysis.downbeats.positions[1::bars]
    assert gather(shifted, "grid", grid).positions.tolist() == expected.tolist()


@pytest.mark.parametrize(("per_bar", "numbers"), [(2, [1]), (3, [1, 3]), (4, [1, 3])])
def test_half_notes_start_anew_with_each_bar(per_bar: int, numbers: list[int]) -> None:
    analysis = song(per_bar=per_bar)
    expected = analysis.beats.positions[np.isin(analysis.beat_numbers, numbers)]
    assert gather(analysis, "grid", "1/2").positions.tolist() == expected.tolist()


@pytest.mark.parametrize("parts", [None, 1, 7, 16])
def test_equal_parts(parts: int | None) -> None:
    analysis = song(1.3)
    positions = gather(analysis, "equal", parts=parts).positions
    assert len(positions) == (parts or PARTS)
    assert positions[0] == 0
    assert np.ptp(np.diff(np.append(positions, analysis.frames))) <= 1
    assert usual_count("equal", parts) == (parts or PARTS)


def test_more_parts_than_samples() -> None:
    tiny = song(3 / RATE, audio=np.array([0.1, 0.2, 0.3]))
    found = gather(tiny, "equal")
    assert found.positions.tolist() == [0, 1, 2]
    indices, note = select(found, Choice(count=16), 3)
    assert len(indices) == 3
    assert "16 chops asked for, 3 fit" in note


def test_a_lock_takes_the_place_of_its_neighbours() -> None:
    analysis = song()
    onset = int(analysis.onsets.positions[3])
    found = gather(analysis, "transient", locked=[onset + 100, 5 * RATE + 7000])
    assert onset not in found.positions
    kinds = dict(zip(found.positions.tolist(), found.kinds, strict=True))
    assert kinds[onset + 100] == kinds[5 * RATE + 7000] == "manual"
    same = gather(analysis, "transient", locked=[onset])
    assert same.positions.tolist() == analysis.onsets.positions.tolist()
    assert set(same.kinds) == {"onset"}


@pytest.mark.parametrize("mode", ["beat", "downbeat", "phrase", "grid"])
def test_no_beat_is_said(mode: Mode) -> None:
    with pytest.raises(RequestError, match="try --mode transient"):
        gather(without(song(), "beats", "downbeats", "phrases"), mode)


@pytest.mark.parametrize("mode", ["chop", "transient"])
def test_silence_offers_nothing(mode: Mode) -> None:
    silent = without(song(audio=np.zeros(RATE)), "onsets", "beats", "downbeats", "phrases")
    found = gather(silent, mode)
    assert not len(found.positions)
    indices, note = select(found, Choice(), silent.frames)
    assert not len(indices)
    assert "found no place" in note


@pytest.mark.parametrize("point", [-1, 16 * RATE])
def test_a_point_outside_is_refused(point: int) -> None:
    with pytest.raises(RequestError, match="lies outside"):
        gather(song(), "manual", at=[100, point])


def test_loudness_is_no_other_sound_but_timbre_is() -> None:
    """Four half seconds: noise, the same 30 dB softer, hummed, silent."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=RATE // 2) * 0.3
    hum = 0.3 * np.sin(2 * np.pi * 110 * np.arange(RATE // 2) / RATE)
    audio = np.concatenate([noise, noise * 10**-1.5, hum, np.zeros(RATE // 2)])
    sounds = gather(song(audio=audio, seconds=2.0), "manual", at=[0, RATE // 2, RATE, 3 * RATE // 2]).descriptors
    apart = np.linalg.norm(sounds[:, None] - sounds, axis=2)
    # The windows at the seams hear both sides, and the texture has 11 bits: some of a decibel.
    assert apart[0, 1] < 2 * ALIKE
    assert apart[0, 2] > 5 * ALIKE
    assert apart[2, 3] > 5 * ALIKE


@pytest.mark.parametrize("beat_s", [0.5, 0.4837, 0.3571])
def test_a_repeated_bar_is_the_same_sounds(beat_s: float) -> None:
    """Wherever rows of the texture fall in it: four beats of falling pitch, sixteen times."""
    time = np.arange(round(beat_s * RATE)) / RATE
    hits = [np.sin(2 * np.pi * hz * time) * np.exp(-8 * time) for hz in (3200, 1600, 400, 100)]
    bar = 0.3 * np.concatenate(hits)
    audio = np.tile(bar, 16)
    analysis = song(len(audio) / RATE, len(time) / RATE, audio=audio)
    sounds = gather(analysis, "beat").descriptors[4:-4]
    apart = np.linalg.norm(sounds[:, None] - sounds, axis=2)
    beat = np.arange(len(sounds)) % 4
    same = beat[:, None] == beat
    assert apart[same].max() < ALIKE
    assert apart[~same].min() > ALIKE
    first = gather(analysis, "downbeat")
    indices, note = select(first, Choice(), analysis.frames)
    assert len(indices) == 1
    assert "little variety" in note
