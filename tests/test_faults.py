"""Detectors of technical faults: each fault at its place, nothing where there is none, however the audio is cut up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streaming.errors import AudioError
from streaming.fault_curve import SURE
from streaming.faults.dc_steps import DcSteps
from streaming.faults.detector import Detector, strength_of
from streaming.faults.faults import DETECTORS, HINTS, KINDS, Faults
from streaming.faults.hops import HopBlock, Hops
from streaming.faults.howl import Howl
from streaming.faults.image import Image
from streaming.faults.log_bands import BAND_STEP_HOPS, BAND_WINDOW_HOPS, log_bands
from streaming.faults.rarity import LARGER, p_value
from streaming.faults.rumble import Rumble
from streaming.faults.steady import two_levels
from streaming.faults.tape_stop import TapeStop
from streaming.faults.tuning import Tuning
from streaming.faults.usual import Usual
from streaming.flags import Flag

Audio = NDArray[np.float32]
RATE = 44100
BY_KIND = {detector.KIND: detector for detector in DETECTORS}


def partials(hz: float, t: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """A tone of ``count`` partials, the n-th an n-th as loud as the first."""
    numbers = np.arange(1, count + 1)[:, None]
    tone: NDArray[np.float64] = (np.sin(2 * np.pi * hz * numbers * t + numbers) / numbers).sum(axis=0)
    return tone


def curve(detector: Detector, audio: Audio) -> Audio:
    """All strengths of audio, by a detector that is prepared and has heard nothing yet."""
    detector.process(audio, 0)
    first = detector.strengths.values
    detector.flush()
    return np.concatenate([first, detector.strengths.values])


def band(seconds: float, rate: int = RATE, channels: int = 2, seed: int = 0) -> Audio:
    """Notes with attacks and decays, a bass, a drum, and a room's noise: what a rehearsal may sound like."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    out = rng.standard_normal((channels, n)) * 0.002
    ramp = np.arange(round(0.4 * rate)) / rate
    smooth = np.clip(ramp / 0.004, 0, 1)
    for beat in np.arange(0, seconds - 0.45, 0.25):
        at = round(beat * rate)
        hz = 110 * 2 ** (rng.integers(0, 24) / 12)
        note = partials(hz, ramp, 5) * np.exp(-ramp * 6)
        gains = 0.5 + 0.5 * rng.random(channels)
        out[:, at : at + len(ramp)] += 0.08 * gains[:, None] * note * smooth
        if round(beat * 4) % 2 == 0:
            drum = rng.standard_normal(len(ramp)) * np.exp(-ramp * 30) * 0.15
            out[:, at : at + len(ramp)] += drum + 0.3 * np.sin(2 * np.pi * 62.3 * ramp) * np.exp(-ramp * 12) * smooth
    edge = np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.05 * rate), 0, 1)
    return (out * edge).astype(np.float32)


def with_fault(kind: str, audio: Audio, rate: int = RATE) -> tuple[Audio, float, float]:
    """``audio`` with one fault, and where that starts and ends (s)."""
    out = audio.copy()
    start, end = {"dropout": (4.1, 4.14), "click": (4.2, 4.2 + 3 / rate), "silence": (4.0, 5.5)}.get(kind, (4.1, 7.1))
    a, b = round(start * rate), round(end * rate)
    part, t = out[:, a:b], np.arange(b - a) / rate
    if kind == "clipping":
        np.clip(part, -0.12, 0.12, out=part)
    elif kind in ("dropout", "silence"):
        part[:] = 0
    elif kind == "click":
        part += 0.5
    elif kind == "hum":
        part += (0.04 * partials(50.02, t, 7)).astype(np.float32)
    elif kind == "dc":
        part += 0.06
    elif kind == "phase":
        part[1] *= -1
    elif kind == "bandlimit":
        spectra = np.fft.rfft(part)
        spectra[:, round(3400 * (end - start)) :] = 0
        part[:] = np.fft.irfft(spectra, n=b - a)
    return out, start, end


def heard(detector: Detector | Faults, audio: Audio, rate: int = RATE, sizes: list[int] | None = None) -> list[Flag]:
    """All flags of audio in blocks of these sizes, in one if there are none."""
    detector.prepare(rate, len(audio))
    flags, at, k = [], 0, 0
    while at < audio.shape[1]:
        size = sizes[k % len(sizes)] if sizes else audio.shape[1]
        flags += detector.process(audio[:, at : at + size], at)
        at, k = at + size, k + 1
    return sorted(flags + detector.flush())


@pytest.mark.parametrize("rate", [16000, 44100, 48000, 96000])
@pytest.mark.parametrize("kind", KINDS)
def test_one_fault_is_one_flag_at_its_place(kind: str, rate: int) -> None:
    audio, start, end = with_fault(kind, band(11, rate), rate)
    (flag,) = heard(BY_KIND[kind](), audio, rate)
    assert flag.kind == kind
    roughly = {"hum": 0.15, "dc": 0.03, "phase": 0.05, "clipping": 0.2, "bandlimit": 0.03}  # clipped where it is loud
    near = roughly.get(kind, 0.001)
    assert abs(flag.start / rate - start) <= near
    assert abs(flag.end / rate - end) <= near
    assert 0.5 <= flag.score <= 1
    assert 0 < flag.p_value < 0.05
    assert 0 <= flag.low_hz < flag.high_hz <= rate / 2


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 192000])
@pytest.mark.parametrize("channels", [1, 2])
def test_good_audio_has_none(rate: int, channels: int) -> None:
    assert heard(Faults(), band(6 if rate > 96000 else 12, rate, channels), rate) == []


def test_faults_of_all_kinds_side_by_side() -> None:
    """One after the other, and each is told by its own name; gaps are no clicks."""
    pieces = [with_fault(kind, band(9, seed=i))[0] for i, kind in enumerate(KINDS)]
    flags = heard(Faults(), np.concatenate(pieces, axis=1))
    found = [(flag.kind, flag.start // (9 * RATE)) for flag in flags]
    for number, kind in enumerate(KINDS):
        assert (kind, number) in found
    gaps = [number for number, kind in enumerate(KINDS) if kind in ("dropout", "silence")]
    assert not [place for kind, place in found if kind == "click" and place in gaps]


@pytest.mark.parametrize("kind", KINDS)
def test_chunked_equals_one_shot_and_reset_equals_fresh(kind: str) -> None:
    audio, _, _ = with_fault(kind, band(9))
    detector = BY_KIND[kind]()
    whole = heard(detector, audio)
    assert whole
    for seed in range(3):
        sizes = np.random.default_rng(seed).integers(1, 30_000, 200).tolist()
        assert heard(BY_KIND[kind](), audio, sizes=sizes) == whole
    detector.prepare(RATE, 2)
    detector.process(audio[:, :100_000], 0)
    detector.reset()
    assert sorted(detector.process(audio, 0) + detector.flush()) == whole


@pytest.mark.parametrize("kind", KINDS)
def test_strengths_are_one_a_hop_and_rise_in_the_fault(kind: str) -> None:
    audio, start, end = with_fault(kind, band(11))
    detector = BY_KIND[kind]()
    detector.prepare(RATE, 2)
    values: list[Audio] = []
    position = 0
    for at in range(0, audio.shape[1], 7001):
        detector.process(audio[:, at : at + 7001], at)
        assert detector.strengths.position == position
        values.append(detector.strengths.values)
        position += len(values[-1]) * detector.strengths.hop_samples
    detector.flush()
    curve = np.concatenate([*values, detector.strengths.values])
    assert len(curve) == audio.shape[1] // 441
    assert curve.min() >= 0
    assert curve.max() < 1
    first, last = round(start * 100), max(round(start * 100) + 1, round(end * 100))
    outside = np.concatenate([curve[: first - 150], curve[last + 300 :]])
    assert curve[first:last].max() >= 0.5 > outside.max()


def test_positions_count_on_and_a_gap_in_the_audio_begins_anew() -> None:
    audio, _, _ = with_fault("dropout", band(8))
    plain = heard(Faults(), audio)
    later = Faults()
    later.prepare(RATE, 2)
    flags = later.process(audio, 2**40) + later.flush()
    assert flags == [flag._replace(start=flag.start + 2**40, end=flag.end + 2**40) for flag in plain]
    jump = Faults()
    jump.prepare(RATE, 2)
    told = jump.process(audio[:, :50_000], 0)
    told += jump.process(audio, 900_000) + jump.flush()
    assert [(f.start - 900_000, f.kind) for f in told] == [(f.start, f.kind) for f in plain]


def test_what_is_not_a_number_is_a_gap() -> None:
    audio = band(6)
    start = 3 * RATE + 4000
    audio[:, start : start + 900] = np.nan
    audio[0, start + 5] = np.inf
    (flag,) = heard(Faults(), audio)
    assert (flag.kind, flag.start, flag.end) == ("dropout", start, start + 900)


def test_live_what_lasts_is_told_early_and_once() -> None:
    audio = band(12)
    audio[:, 4 * RATE :] += 0.06
    faults = Faults(live=True)
    faults.prepare(RATE, 2)
    told = [
        (at / RATE, flag)
        for at in range(0, audio.shape[1], 4410)
        for flag in faults.process(audio[:, at : at + 4410], at)
        if flag.kind == "dc"
    ]
    ((when, flag),) = told
    assert abs(flag.start / RATE - 4) < 0.15
    assert when < 9


# Each fault's neighbours: what looks like it and is none.


def test_a_limiter_at_full_scale_is_no_clipping() -> None:
    """It touches 1.0 at every peak and never rests there."""
    audio = band(6)
    peak = np.abs(audio).max(axis=0)
    near = np.lib.stride_tricks.sliding_window_view(np.pad(peak, 256, mode="edge"), 513).max(axis=1)
    limited = audio / np.maximum(near, 0.05)
    assert np.abs(limited).max() == pytest.approx(1.0)
    assert [flag for flag in heard(Faults(), limited.astype(np.float32)) if flag.kind == "clipping"] == []


def test_a_square_wave_is_no_clipping() -> None:
    t = np.arange(4 * RATE) / RATE
    square = np.sign(np.sin(2 * np.pi * 221 * t + 0.1)).astype(np.float32) * 0.3
    assert heard(BY_KIND["clipping"](), square[None]) == []


@pytest.mark.parametrize("level", [0.05, 0.9])
def test_clipping_at_any_level_and_after_16_bits(level: float) -> None:
    audio, _, _ = with_fault("clipping", band(11))
    scaled = np.round(audio * level / 0.12 * 32767) / 32768
    (flag,) = heard(BY_KIND["clipping"](), scaled.astype(np.float32))
    assert abs(flag.start / RATE - 4.1) < 0.2


def test_eight_bits_are_no_clipping_but_can_be_clipped() -> None:
    audio, clipped = band(8), with_fault("clipping", band(11))[0]
    for sound, kinds in ((audio, set()), (clipped * 4, {"clipping"})):
        coarse = (np.round(sound * 127) / 128).astype(np.float32)
        assert {flag.kind for flag in heard(BY_KIND["clipping"](), coarse)} == kinds


def test_a_note_that_ends_before_the_next_is_no_dropout() -> None:
    t = np.arange(RATE // 2) / RATE
    note = np.sin(2 * np.pi * 440 * t) * np.clip((0.3 - t) / 0.2, 0, 1) * np.clip(t / 0.005, 0, 1) * 0.3
    assert heard(Faults(), np.tile(note, 12)[None].astype(np.float32)) == []


@pytest.mark.parametrize("length", [200, 512, 4096])
def test_a_block_that_comes_twice_is_a_dropout_on_the_sample(length: int) -> None:
    audio = band(6)
    at = 3 * RATE + 77
    audio[:, at : at + length] = audio[:, at - length : at].copy()
    flags = [flag for flag in heard(Faults(), audio) if flag.kind == "dropout"]
    assert [(flag.start, flag.end) for flag in flags] == [(at, at + length)]


def test_a_tone_that_repeats_to_the_bit_is_no_dropout() -> None:
    period = (np.sin(2 * np.pi * np.arange(100) / 100) * 0.3).astype(np.float32)
    assert heard(BY_KIND["dropout"](), np.tile(period, 2000)[None]) == []


def test_drums_and_pulses_are_no_clicks() -> None:
    rng = np.random.default_rng(2)
    t = np.arange(8 * RATE) / RATE
    drums = rng.standard_normal(len(t)) * np.exp(-((t % 0.3) * 40)) * 0.3
    saw = ((t * 97.3) % 1 - 0.5) * 0.4
    for sound in (drums, saw):
        assert heard(BY_KIND["click"](), (sound + rng.standard_normal(len(t)) * 1e-4).astype(np.float32)[None]) == []


def test_of_clicks_that_come_on_and_on_the_first_few_are_told() -> None:
    rng = np.random.default_rng(3)
    seconds = np.array([*range(2, 22), 60])
    audio = (rng.standard_normal((1, 64 * RATE)) * 0.01).astype(np.float32)
    audio[:, seconds * RATE] += 0.5
    told = [round(flag.start / RATE) for flag in heard(BY_KIND["click"](), audio)]
    assert told == [2, 3, 4, 5, 6, 60]  # and again when they had stopped for long
    for block in (997, 30 * RATE + 1):
        assert [round(flag.start / RATE) for flag in heard(BY_KIND["click"](), audio, sizes=[block])] == told


@pytest.mark.parametrize("hz", [49.0, 51.91, 58.27, 61.74, 98.0])
def test_a_bass_note_is_no_hum(hz: float) -> None:
    t = np.arange(8 * RATE) / RATE
    note = 0.1 * partials(hz, t, 7)
    assert heard(BY_KIND["hum"](), (band(8, channels=1)[0] + note).astype(np.float32)[None]) == []


@pytest.mark.parametrize("mains", [49.97, 50.0, 60.03])
def test_hum_of_mains_that_drift(mains: float) -> None:
    t = np.arange(8 * RATE) / RATE
    hum = 0.02 * partials(mains, t, 7)
    (flag,) = heard(BY_KIND["hum"](), band(8) + hum.astype(np.float32))
    assert flag.low_hz < mains < flag.high_hz


def offset_strengths(audio: Audio) -> NDArray[np.float32]:
    """What the detector of offsets makes known, a value every hundredth of a second."""
    detector = BY_KIND["dc"]()
    detector.prepare(RATE, len(audio))
    detector.process(audio, 0)
    first = detector.strengths.values
    detector.flush()
    return np.concatenate([first, detector.strengths.values])


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_lopsided_waves_are_no_offset(turn: float) -> None:
    """Pulses lie off zero as far as they are loud: what moves with the music is how it sounds."""
    t = np.arange(12 * RATE) / RATE
    loud = 0.6 + 0.4 * np.sin(2 * np.pi * t / 3)
    pulses = turn * 0.4 * loud * ((t * 220) % 1 < 0.25)
    assert heard(BY_KIND["dc"](), band(12) + pulses.astype(np.float32)) == []
    still = turn * 0.1 + 0.4 * loud * np.sin(2 * np.pi * 220 * t)
    (flag,) = heard(BY_KIND["dc"](), band(12) + still.astype(np.float32))
    assert flag.end - flag.start > 10 * RATE


def test_an_offset_is_evidence_where_it_is_not_the_usual_one() -> None:
    usual = band(20) + np.float32(0.06)
    usual[:, 12 * RATE : 15 * RATE] += 0.06
    strengths = offset_strengths(usual)
    assert strengths[1250:1450].min() > 0.5
    assert strengths[300:1100].max() < 0.3
    assert strengths[1650:1900].max() < 0.3


def shaped(audio: Audio, gains: NDArray[np.float64]) -> Audio:
    """``audio (channels, n)`` with a gain for each of its ``n // 2 + 1`` frequencies."""
    out: Audio = np.fft.irfft(np.fft.rfft(audio) * gains, n=audio.shape[1]).astype(np.float32)
    return out


def test_a_duller_passage_and_a_recording_dull_throughout_have_no_band_limit() -> None:
    audio = band(12)
    hz = np.fft.rfftfreq(4 * RATE, 1 / RATE)
    dull = audio.copy()
    dull[:, 5 * RATE : 9 * RATE] = shaped(audio[:, 5 * RATE : 9 * RATE], 1 / (1 + (hz / 1500) ** 2))
    assert heard(BY_KIND["bandlimit"](), dull) == []
    hz = np.fft.rfftfreq(audio.shape[1], 1 / RATE)
    assert heard(BY_KIND["bandlimit"](), shaped(audio, 1.0 * (hz < 3400))) == []


@pytest.mark.parametrize("hz", [3400.0, 5500.0, 8000.0])
def test_a_band_limit_says_from_where_on_nothing_is_left(hz: float) -> None:
    audio = band(12)
    gains = 1.0 * (np.fft.rfftfreq(3 * RATE, 1 / RATE) < hz)
    audio[:, 5 * RATE : 8 * RATE] = shaped(audio[:, 5 * RATE : 8 * RATE], gains)
    (flag,) = heard(BY_KIND["bandlimit"](), audio)
    assert hz / 1.3 < flag.low_hz < hz * 1.7
    assert flag.high_hz == RATE / 2


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_rumble_is_evidence_and_a_bass_is_less_of_it(rate: int) -> None:
    rng = np.random.default_rng(5)
    t = np.arange(12 * rate) / rate
    quiet = band(12, rate)
    here = ((t > 6) & (t < 9)).astype(np.float32)
    hz = np.fft.rfftfreq(len(t), 1 / rate)
    noise = shaped(rng.standard_normal((1, len(t))).astype(np.float32), 1.0 * ((hz > 20) & (hz < 150)))[0]
    rumble = 0.3 * noise / noise.std() * here
    bass = 0.3 * np.sin(2 * np.pi * 55 * t) * here
    found = []
    for added in (rumble, bass):
        detector = Rumble()
        audio = (quiet + added).astype(np.float32)
        assert heard(detector, audio, rate) == []
        values = curve(detector, audio)
        assert len(values) == 1200
        assert values[200:550].max() < 0.35
        found.append(values[650:850].mean())
    assert found[0] > 0.35, found
    assert found[1] < 0.6 * found[0], found


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_what_leaves_the_grid_of_semitones_is_evidence_and_another_chord_is_none(rate: int) -> None:
    t = np.arange(24 * rate) / rate

    def chords(off: float) -> Audio:
        """Triads on a grid 17 cents above the usual one, each for half a second."""
        roots = np.random.default_rng(3).integers(-12, 4, 48)[(t * 2).astype(int)]
        hz = [440 * 2 ** ((roots + third + 0.17 + off) / 12) for third in (0, 4, 7)]
        return np.stack([sum(0.1 * np.sin(2 * np.pi * np.cumsum(one) / rate) for one in hz)]).astype(np.float32)

    there = (t > 12) & (t < 16)
    audio = np.where(there, chords(-1.4), chords(0)).astype(np.float32)
    detector = Tuning()
    assert heard(detector, audio, rate) == []
    values = curve(detector, audio)
    assert len(values) == 2400
    assert values[1300:1500].min() > 0.5
    assert max(values[200:1050].max(), values[1750:2200].max()) < 0.3


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_another_image_is_evidence_and_more_of_the_same_is_none(rate: int) -> None:
    """Two voices left and right; then both in the middle for three seconds; then the left one louder than ever."""
    t = np.arange(30 * rate) / rate
    rng = np.random.default_rng(0)
    swell = np.interp(t, np.arange(31), rng.uniform(0.6, 1.0, 31))
    left, right = (0.1 * swell * partials(hz, t, 8) + 0.01 * rng.standard_normal(len(t)) for hz in (220.0, 277.2))
    audio = np.stack([left + 0.3 * right, right + 0.3 * left])
    there = (t > 14) & (t < 17)
    audio[:, there] = audio[:, there].mean(axis=0)
    audio[:, t > 22] *= 1.5
    audio = audio.astype(np.float32)
    detector = Image()
    assert heard(detector, audio, rate) == []
    values = curve(detector, audio)
    assert len(values) == 3000
    assert values[1420:1680].min() > 0.5
    assert max(values[50:1360].max(), values[1740:].max()) < 0.35
    one = Image()
    assert heard(one, audio[:1], rate) == []
    assert not curve(one, audio[:1]).any()
    same = Image()
    assert heard(same, np.stack([audio[0], audio[0]]), rate) == []
    assert curve(same, np.stack([audio[0], audio[0]])).max() < 0.1


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
@pytest.mark.parametrize("lasts", [1.2, 2.0, 4.0])
def test_what_slows_down_is_evidence_from_the_start_and_a_melody_is_none(rate: int, lasts: float) -> None:
    """A melody over a chord; from 10 s on it is played ever slower, until it stands still."""
    t = np.arange(20 * rate) / rate
    slower = 10 + lasts * (1 - (1 - np.clip((t - 10) / lasts, 0, 1)) ** 2) / 2  # the speed falls evenly to 0
    played = np.where(t < 10, t, np.where(t < 10 + lasts, slower, t))
    notes = 220 * 2 ** (np.random.default_rng(0).integers(-5, 12, 64)[(played * 3).astype(int)] / 12)
    steady = sum(partials(hz, played, 6) for hz in (196.0, 246.9, 293.7))
    turns = np.cumsum(notes * np.diff(played, prepend=0.0))
    audio = (0.05 * steady + 0.1 * sum(np.sin(2 * np.pi * k * turns) / k for k in range(1, 6)))[None].astype(np.float32)
    audio += 0.001 * np.random.default_rng(1).standard_normal(audio.shape).astype(np.float32)
    detector = TapeStop()
    assert heard(detector, audio, rate) == []
    values = curve(detector, audio)
    assert len(values) == 2000
    assert np.flatnonzero(values > 0.35)[0] == pytest.approx(1000, abs=18)
    assert values[1030 : 1000 + round(40 * lasts)].min() > 0.35
    assert max(values[:950].max(), values[round(1000 + 100 * lasts) + 40 :].max()) < 0.35


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
@pytest.mark.parametrize("hz", [310.0, 1234.0, 3100.0])
def test_a_line_that_grows_and_stays_is_evidence_and_notes_are_none(rate: int, hz: float) -> None:
    """A melody with swelling notes; from 10 s on a tone grows by 30 dB a second, and stays for two seconds."""
    t = np.arange(20 * rate) / rate
    rng = np.random.default_rng(0)
    notes = 220 * 2 ** (rng.integers(-5, 12, 64)[(t * 2).astype(int)] / 12)
    swell = np.sin(np.pi * (t * 2 % 1)) ** 2
    audio = 0.1 * swell * sum(np.sin(2 * np.pi * k * np.cumsum(notes) / rate) / k for k in range(1, 8))
    audio += 0.003 * rng.standard_normal(len(t))
    level = 0.15 * np.minimum(1, 10 ** (1.5 * (t - 11.2)))
    audio += np.where((t > 10) & (t < 13.2), level, 0) * np.sin(2 * np.pi * hz * t)
    detector = Howl()
    assert heard(detector, audio[None].astype(np.float32), rate) == []
    values = curve(detector, audio[None].astype(np.float32))
    assert len(values) == 2000
    assert values[1120:1280].min() > 0.5
    assert 980 <= np.flatnonzero(values > 0.35)[0] <= 1070
    assert max(values[:950].max(), values[1400:].max()) < 0.35


@pytest.mark.parametrize("rate", [16000, 44100, 96000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("lasts", [0.5, 3.0, 7.5])
def test_an_offset_switched_on_and_off_is_told_to_the_sample_where_waves_are_lopsided(
    rate: int, channels: int, lasts: float
) -> None:
    audio = band(16, rate, channels)
    t = np.arange(audio.shape[1]) / rate
    audio += (0.01 * (np.sin(2 * np.pi * 0.3 * t) + np.sin(2 * np.pi * 1.1 * t))).astype(np.float32)
    first, last = round(3.27 * rate), round((3.27 + lasts) * rate)
    faulty = audio.copy()
    faulty[:, first:last] += 0.06
    detector = DcSteps()
    assert heard(detector, audio, rate) == []
    (flag,) = heard(detector, faulty, rate)
    assert (flag.kind, flag.start, flag.end) == ("dc", first, last)
    assert flag.score > SURE
    assert heard(detector, faulty, rate, [1, 977, 70_000]) == [flag]
    if channels == 2:  # one side alone is something else
        audio[0, first:last] += 0.06
        assert heard(detector, audio, rate) == []


def test_two_clicks_are_no_offset() -> None:
    audio = band(12)
    for second, size in ((3, 0.3), (5, -0.3)):
        audio[:, second * RATE : second * RATE + 30] += np.float32(size) * 0.9 ** np.arange(30, dtype=np.float32)
    detector = DcSteps()
    assert heard(detector, audio) == []


@pytest.mark.parametrize("size", [7, 80, 1000, 12_345])
def test_frames_of_the_log_spectrum_hang_on_no_block_size(size: int) -> None:
    audio = np.random.default_rng(0).standard_normal((2, 30_000)).astype(np.float32)
    whole, pieces = Hops(8000, 2), Hops(8000, 2)
    one_shot = [block.log_bands for block in whole.process(audio)]
    chunked = [b.log_bands for i in range(0, 30_000, size) for b in pieces.process(audio[:, i : i + size])]
    truth = np.concatenate(one_shot)
    assert len(truth) == (30_000 // 80 - BAND_WINDOW_HOPS) // BAND_STEP_HOPS + 1
    np.testing.assert_allclose(np.concatenate(chunked), truth, atol=1e-4)
    frame = audio.mean(axis=0)[3 * BAND_STEP_HOPS * 80 :][: BAND_WINDOW_HOPS * 80]
    np.testing.assert_allclose(truth[3], log_bands(frame[None])[0], atol=1e-4)


@pytest.mark.parametrize("size", [1, 441, 70_000])
@pytest.mark.parametrize("hint", HINTS, ids=lambda hint: hint.KIND)
def test_hints_hang_on_no_block_size(hint: type[Detector], size: int) -> None:
    audio = band(8 if size > 1 else 0.6)
    whole, pieces = hint(), hint()
    for detector in (whole, pieces):
        detector.prepare(RATE, 2)
    truth, found = curve(whole, audio), []
    for at in range(0, audio.shape[1], size):
        pieces.process(audio[:, at : at + size], at)
        found.append(pieces.strengths.values)
    pieces.flush()
    found.append(pieces.strengths.values)
    # its spectra are products with a matrix, which some processors round otherwise for other numbers of rows
    loose = 3e-7 if hint.KIND == "tape stop" else 0
    np.testing.assert_allclose(np.concatenate(found), truth, rtol=loose, atol=0)


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1), st.integers(1, 9))
def test_the_usual_is_the_median_of_the_last_values(values: list[float], count: int) -> None:
    usual = Usual(count)
    for i, value in enumerate(values):
        assert usual.add(value) == pytest.approx(float(np.median(values[max(0, i + 1 - count) : i + 1])))


def test_silence_before_and_after_is_none_and_a_rest_is_none() -> None:
    quiet = np.zeros((2, 3 * RATE), np.float32)
    rest = np.zeros((2, RATE // 3), np.float32)
    assert heard(Faults(), np.concatenate([quiet, band(4), rest, band(4, seed=1), quiet], axis=1)) == []
    assert heard(Faults(), np.zeros((1, 5 * RATE), np.float32)) == []


def test_one_signal_against_itself_is_flipped_without_an_edge() -> None:
    mono = band(6, channels=1)
    (flag,) = heard(BY_KIND["phase"](), np.concatenate([mono, -mono]))
    assert flag.end - flag.start > 4 * RATE
    assert heard(BY_KIND["phase"](), np.concatenate([mono, mono])) == []
    assert heard(BY_KIND["phase"](), mono) == []


# The parts.


@pytest.mark.parametrize("channels", [1, 2])
def test_what_detectors_share_of_hops_is_what_each_would_compute(channels: int) -> None:
    rng, size = np.random.default_rng(0), 441
    samples = rng.standard_normal((3, channels, size)).astype(np.float32)
    hops, mono = HopBlock(samples), samples.mean(axis=1, dtype=np.float64)
    window = np.hanning(size + 2)[1:-1] / size
    assert len(hops) == 3
    np.testing.assert_allclose(hops.mono, mono, atol=1e-6)
    np.testing.assert_array_equal(hops.magnitudes, np.abs(samples))
    np.testing.assert_allclose(hops.spectra, np.fft.rfft(samples * window), atol=1e-6)
    np.testing.assert_allclose(hops.mono_spectra, np.fft.rfft(mono * window), atol=1e-6)
    sine = np.sin(2 * np.pi * 20 * np.arange(size) / size).astype(np.float32)
    assert abs(HopBlock(sine[None, None]).spectra[0, 0, 20]) == pytest.approx(0.25, rel=0.01)


def test_a_strength_is_half_at_its_limit_and_p_values_fall() -> None:
    np.testing.assert_allclose(strength_of(np.array([0.0, 2.0, 6.0]), 2.0), [0, 0.5, 0.75])
    for kind in KINDS:
        assert list(LARGER[kind]) == sorted(LARGER[kind], reverse=True)
        values = [p_value(kind, strength) for strength in np.linspace(0, 1, 50)]
        assert values == sorted(values, reverse=True)
        assert values[0] == pytest.approx(1, abs=1e-3)
        assert values[-1] > 0


@pytest.mark.parametrize("place", [5, 20, 33])
def test_two_levels_meet_where_they_meet(place: int) -> None:
    rows = np.random.default_rng(place).standard_normal((40, 3)) * 0.1
    rows[place:] += 1
    assert two_levels(rows, rising=True) == place
    assert two_levels(rows[::-1], rising=False) == 40 - place
    assert two_levels(rows[:3], rising=True) == 0


def test_what_cannot_be_heard_is_said() -> None:
    for rate, channels, words in ((7999, 1, "7999 Hz"), (192001, 1, "192001 Hz"), (44100, 3, "3 channels")):
        with pytest.raises(AudioError, match=words):
            Faults().prepare(rate, channels)
    faults = Faults()
    faults.prepare(RATE, 2)
    with pytest.raises(AudioError, match=r"block of shape \(1, 10\)"):
        faults.process(np.zeros((1, 10), np.float32), 0)
    assert faults.process(np.zeros((2, 0), np.float32), 0) == []
