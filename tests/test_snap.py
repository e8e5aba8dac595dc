"""Cuts on sounds whose attacks are known to the sample: clicks, struck and swelling tones, and one-shots of drums."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from streaming.snap import ZERO_REACH_S, find_attack, snap

RATE = 44100
BREAKS = Path(__file__).parents[2] / "shared" / "data" / "breaks"
Sound = NDArray[np.float32]


def struck(rng: np.random.Generator, samples: int, hz: float, noise: float) -> Sound:
    """A tone and noise that are there at once and die away, as drums do; the first sample is the attack."""
    t = np.arange(samples) / RATE
    tone = np.cos(2 * np.pi * hz * t) * (1 - noise) + rng.standard_normal(samples) * noise
    return (tone * np.exp(-t / 0.08) * 0.5).astype(np.float32)


def bed(rng: np.random.Generator, samples: int) -> Sound:
    """What goes on beside: a bass note, a chord and a little noise."""
    t = np.arange(samples) / RATE
    tones = sum(np.sin(2 * np.pi * hz * t + rng.uniform(0, 6)) * 0.05 for hz in (55, 220, 277.2, 330, 1100))
    return (tones + 0.003 * rng.standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("beside", [False, True])
def test_attacks_are_found_from_15_ms_away(beside: bool) -> None:
    rng = np.random.default_rng(1)
    errors = []
    for hz in (60, 200, 900):
        for noise in (0.05, 0.5, 0.95):
            sound = bed(rng, RATE) if beside else np.zeros(RATE, np.float32)
            start = int(rng.integers(8000, 30000))
            hit = struck(rng, 8000, hz, noise)
            sound[start : start + 8000] += hit
            for away in (-650, -300, 0, 300, 650):
                assert abs(find_attack(sound, RATE, start + away) - start) <= 3e-3 * RATE
                errors.append(abs(snap(sound, RATE, start + away).position - start) / RATE)
    assert np.median(errors) <= 3e-3  # the figure of the project, on both kinds


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000, 192000])
def test_any_rate(rate: int) -> None:
    rng = np.random.default_rng(rate)
    start = rate // 3
    sound = 0.001 * rng.standard_normal(rate)
    sound[start:] += np.exp(-np.arange(rate - start) / rate / 0.05) * rng.standard_normal(rate - start) * 0.3
    for away_s in (-0.014, 0.009):
        assert abs(find_attack(sound.astype(np.float32), rate, start + int(away_s * rate)) - start) <= 2e-3 * rate


def test_of_two_attacks_the_one_within_reach() -> None:
    rng = np.random.default_rng(3)
    sound = np.zeros(RATE, np.float32)
    for start in (10000, 10900):
        sound[start : start + 400] += struck(rng, 400, 300, 0.5)
    for near, start in ((10100, 10000), (10750, 10900)):
        assert abs(find_attack(sound, RATE, near) - start) <= 3e-3 * RATE


@pytest.mark.parametrize("sound", ["silence", "sine", "bass", "noise", "constant"])
def test_where_nothing_begins_the_place_stays(sound: str) -> None:
    t = np.arange(RATE) / RATE
    signal = {
        "silence": np.zeros(RATE),
        "sine": 0.5 * np.sin(2 * np.pi * 440 * t),
        "bass": 0.5 * np.sin(2 * np.pi * 41 * t),
        "noise": 0.1 * np.random.default_rng(5).standard_normal(RATE),
        "constant": np.full(RATE, 0.3),
    }[sound].astype(np.float32)
    for around in (5000, 20000, 39999):
        assert find_attack(signal, RATE, around) == around
        cut = snap(signal, RATE, around)
        assert not cut.exact
        assert abs(cut.position - around) <= ZERO_REACH_S * RATE
        assert cut.fade == (sound == "constant" or not rises_near(signal, cut.position))


def rises_near(signal: Sound, position: int) -> bool:
    return bool(signal[position - 1] <= 0 <= signal[position])


@pytest.mark.parametrize("channels", [0, 1, 2])
def test_a_cut_that_asks_for_no_fade_makes_no_click(channels: int) -> None:
    """On a rising crossing of the sum, and no channel beyond a tenth of the loudest near it."""
    rng = np.random.default_rng(channels)
    shape = (RATE,) if channels == 0 else (channels, RATE)
    sound = np.zeros(shape, np.float32)
    starts = np.arange(2000, 40000, 2500)
    for start in starts:
        for row in np.atleast_2d(sound):
            row[start : start + 2400] += struck(rng, 2400, float(rng.uniform(50, 2000)), 0.3) * rng.uniform(0.3, 1)
    sound += (0.01 * rng.standard_normal(shape)).astype(np.float32)
    smooth = 0
    for start, mode in ((s, m) for s in starts.tolist() for m in ("onset", "zero")):
        cut = snap(sound, RATE, start + int(rng.integers(-400, 400)), mode)
        if cut.fade:
            continue
        smooth += 1
        mono = np.atleast_2d(sound).mean(axis=0)
        assert mono[cut.position - 1] <= 0 <= mono[cut.position]
        steps = np.abs(np.atleast_2d(sound)[:, cut.position])
        around = np.atleast_2d(sound)[:, cut.position - RATE // 50 : cut.position + RATE // 50]
        assert steps.max() <= 0.1 * np.abs(around).max()
    assert smooth > len(starts)  # most are


def test_a_crossing_of_the_sum_alone_is_none() -> None:
    """Left and right far from zero with opposite signs: their sum crosses it, and a cut there would click twice."""
    t = np.arange(RATE) / RATE
    sum_wave = 0.01 * np.sin(2 * np.pi * 300 * t)
    stereo = np.stack([sum_wave + 0.5, sum_wave - 0.5]).astype(np.float32)
    cut = snap(stereo, RATE, 20000, "zero")
    assert cut.fade
    assert cut.position == 20000
    assert not snap(stereo.mean(axis=0), RATE, 20000, "zero").fade


def test_zero_goes_to_the_nearest_rising_crossing() -> None:
    sine = np.sin(2 * np.pi * 100 * (np.arange(RATE) + 0.5) / RATE).astype(np.float32)
    for around in (882, 900, 1100, 1102, 1200, 1300):
        cut = snap(sine, RATE, around, "zero")
        assert cut.position in (882, 1323)  # a period is 441; between 882 and 1323 the nearer
        assert abs(cut.position - around) <= 221
        assert not cut.exact
        assert not cut.fade
    slow = np.cos(2 * np.pi * 5 * np.arange(RATE) / RATE).astype(np.float32)
    assert snap(slow, RATE, 8820, "zero") == (8820, False, True)  # the crossing is 50 ms away


def test_none_stays() -> None:
    sound = np.random.default_rng(6).standard_normal(1000).astype(np.float32)
    assert snap(sound, RATE, 400, "none") == (400, False, False)


@pytest.mark.parametrize("samples", [0, 1, 2, 3, 64, 1000])
@pytest.mark.parametrize("mode", ["onset", "zero", "none"])
def test_short_and_strange_signals(samples: int, mode: str) -> None:
    rng = np.random.default_rng(samples)
    holes = rng.standard_normal(samples).astype(np.float32)
    holes[::3] = np.nan
    holes[1::7] = np.inf
    for sound in (np.zeros(samples, np.float32), np.full(samples, 0.7, np.float32), holes, np.stack([holes, holes])):
        for around in (-(10**6), -1, 0, 1, samples, 10**9):
            cut = snap(sound, RATE, around, mode)  # type: ignore[arg-type]
            assert 0 <= cut.position <= max(0, samples - 1)
            if sound.ndim == 1:
                assert 0 <= find_attack(sound, RATE, around) <= max(0, samples - 1)


def test_a_window_is_as_good_as_the_whole() -> None:
    """50 ms on either side are all that a snap hears: files need not be held."""
    rng = np.random.default_rng(8)
    sound = bed(rng, RATE)
    sound[20000:26000] += struck(rng, 6000, 180, 0.4)
    reach = round(0.05 * RATE)
    for around in (19500, 20000, 20400, 24000):
        for mode in ("onset", "zero"):
            whole = snap(sound, RATE, around, mode)
            part = snap(sound[around - reach : around + reach], RATE, reach, mode)
            assert part._replace(position=part.position + around - reach) == whole


def test_level_does_not_matter() -> None:
    rng = np.random.default_rng(9)
    sound = bed(rng, RATE)
    sound[20000:26000] += struck(rng, 6000, 180, 0.4)
    for around in (19600, 20300):
        assert len({snap(sound * np.float32(gain), RATE, around) for gain in (1.0, 2.0**-6, 8.0)}) == 1


def one_shots() -> list[Path]:
    manifest = BREAKS / "manifest.json"
    if not manifest.is_file():
        return []
    items = json.loads(manifest.read_text())["items"]
    return [BREAKS / item["file"] for item in items if "uzu" in item["file"] and item["seconds"] < 2]


@pytest.mark.skipif(not one_shots(), reason=f"needs the drum one-shots of {BREAKS}")
def test_real_drums_over_a_bed() -> None:
    """One-shots begin within 40 dB of their peak at a known sample; they are set over a bed, 12 dB louder."""
    soundfile = pytest.importorskip("soundfile")
    rng = np.random.default_rng(10)
    errors = []
    for path in one_shots():
        shot, rate = soundfile.read(path, dtype="float32", always_2d=True)
        shot = shot.mean(axis=1)
        attack = int(np.argmax(np.abs(shot) > 0.01 * np.abs(shot).max()))
        sound = bed(rng, rate)
        hit = shot[attack : attack + rate // 4]
        start = rate // 2
        sound[start : start + len(hit)] += hit / np.abs(hit).max() * 4 * np.sqrt(np.mean(sound**2))
        for away in rng.uniform(-0.015, 0.015, 6):
            errors.append(abs(snap(sound, rate, start + int(away * rate)).position - start) / rate)
    assert np.median(errors) <= 3e-3
