"""Peaks of curves that are known exactly, whole and frame by frame."""

import numpy as np
import pytest
from numpy.typing import NDArray

from streaming.onsets import LivePeak, LivePicker, Peaks, pick_onsets

RATE = 100.0


def bumps(times: list[float], heights: list[float], frames: int, width: float = 1.2) -> NDArray[np.float32]:
    """Parabolas on the frame grid, so that the place between frames is known exactly."""
    grid = np.arange(frames)
    curve = np.zeros(frames)
    for time, height in zip(times, heights, strict=True):
        curve = np.maximum(curve, height * (1 - ((grid - time) / (2 * width)) ** 2))
    return curve.astype(np.float32)


def live(curve: NDArray[np.float32], threshold: float = 0.5) -> list[LivePeak]:
    picker = LivePicker(RATE, threshold)
    return [peak for value in curve if (peak := picker.push(float(value))) is not None]


def plainly(curve: NDArray[np.float32], threshold: float, within: float) -> tuple[list[float], list[float]]:
    """The definition, one peak at a time."""
    peaks = []
    for t, top in enumerate(curve.tolist()):
        left = curve[t - 1] if t else -1.0
        right = curve[t + 1] if t + 1 < len(curve) else -1.0
        if top >= threshold and left < top > right:
            inside = 0 < t < len(curve) - 1
            shift = 0.5 * (left - right) / (left - 2 * top + right) if inside else 0.0
            peaks.append((t + float(shift), top))
    kept: list[tuple[float, float]] = []
    for frame, top in sorted(peaks, key=lambda peak: (-peak[1], peak[0])):
        if all(abs(frame - other) >= within for other, _ in kept):
            kept.append((frame, top))
    kept.sort()
    return [frame for frame, _ in kept], [top for _, top in kept]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 64, 65, 8193])
def test_picks_by_the_definition(length: int) -> None:
    curve = np.random.default_rng(length).random(length).astype(np.float32)
    picked = pick_onsets(curve, RATE, threshold=0.3)
    frames, strengths = plainly(curve, 0.3, 3.0)
    np.testing.assert_allclose(picked.frames, frames, atol=1e-5)  # float32 neighbours in the reference's parabola
    np.testing.assert_array_equal(picked.strengths, np.array(strengths, np.float32))


@pytest.mark.parametrize("place", [10.0, 10.3, 10.49, 20.8])
def test_peaks_lie_between_frames(place: float) -> None:
    curve = bumps([place], [0.9], 40)
    # three points determine a parabola: only float32 is left
    assert pick_onsets(curve, RATE).frames == pytest.approx([place], abs=1e-4)
    (peak,) = live(curve)
    assert peak.frame == pytest.approx(place, abs=1e-4)
    assert peak.strength == pytest.approx(curve.max())


def test_both_ends_can_be_onsets() -> None:
    curve = np.array([0.9, 0.1, 0.1, 0.1, 0.1, 0.8], np.float32)
    np.testing.assert_array_equal(pick_onsets(curve, RATE).frames, [0, 5])
    assert live(curve)[0].frame < 1


def test_a_flat_top_is_one_peak_in_its_middle() -> None:
    curve = np.array([0, 0.2, 1, 1, 1, 0.4, 0, 0, 0.7, 0.7, 0], np.float32)
    np.testing.assert_array_equal(pick_onsets(curve, RATE).frames, [3, 8.5])
    assert len(live(curve)) == 2


def test_of_peaks_within_30_ms_the_strongest_stays() -> None:
    curve = np.zeros(60, np.float32)
    curve[[10, 12, 14]] = [0.7, 0.9, 0.8]  # the middle silences both
    curve[[30, 32, 34, 36]] = [0.9, 0.8, 0.7, 0.95]  # a silenced one silences nobody
    curve[[50, 53]] = 0.6  # 30 ms apart: two
    np.testing.assert_array_equal(pick_onsets(curve, RATE).frames, [12, 30, 36, 50, 53])


def test_nan_is_nothing() -> None:
    curve = bumps([10, 30], [0.9, 0.8], 50)
    curve[[9, 30]] = np.nan
    assert np.isfinite(pick_onsets(curve, RATE).frames).all()
    np.testing.assert_array_equal(pick_onsets(np.full(9, np.nan, np.float32), RATE).frames, [])
    assert all(np.isfinite(peak).all() for peak in live(curve))
    assert live(np.full(9, np.nan, np.float32)) == []


def test_ten_hours_of_equal_peaks() -> None:
    """The worst case of merging: everything is close to something, and nothing is stronger."""
    curve = np.tile(np.array([0.1, 0.9], np.float32), 1_800_000)
    picked = pick_onsets(curve, RATE)
    np.testing.assert_array_equal(picked.frames, np.arange(1, len(curve), 4))


@pytest.mark.parametrize("seed", range(5))
def test_live_finds_what_the_whole_curve_shows(seed: int) -> None:
    """Hits far enough apart: the same moments both ways, and each known one frame after its peak frame."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(6, 40, 50))
    curve = bumps(times.tolist(), rng.uniform(0.6, 1, 50).tolist(), int(times[-1]) + 10)
    whole: Peaks = pick_onsets(curve, RATE)
    picker = LivePicker(RATE)
    found = []
    for now, value in enumerate(curve):
        peak = picker.push(float(value))
        if peak is not None:
            assert now - np.rint(peak.frame) <= picker.delay_frames
            found.append(peak)
    np.testing.assert_allclose([p.frame for p in found], whole.frames, atol=1e-4)
    np.testing.assert_array_equal(np.array([p.strength for p in found], np.float32), whole.strengths)


def test_live_one_event_for_one_passage() -> None:
    """A curve that stays up and trembles is one onset; once it has fallen by half, the next one counts."""
    trembling = np.array([0, 0.9, *[0.7, 0.8] * 30, 0.3, 0.8, 0], np.float32)
    assert [round(p.frame) for p in live(trembling)] == [1, 63]


def test_live_keeps_the_refractory_time() -> None:
    curve = np.array([0, 0.9, 0, 0.95, 0, 0.9, 0, 0], np.float32)
    assert [round(p.frame) for p in live(curve)] == [1, 5]


def test_live_reset_is_a_fresh_start() -> None:
    curve = np.random.default_rng(7).random(300).astype(np.float32)
    picker = LivePicker(RATE)
    first = [picker.push(float(v)) for v in curve]
    picker.reset()
    assert [picker.push(float(v)) for v in curve] == first
