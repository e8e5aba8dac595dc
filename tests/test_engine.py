"""The engine's invariants, swept over rates, channels and awkward blocks.

The reference is independent: stems straight from the definition of the windows in float64, one shot, no state.
"""

from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from streaming.engine import MAX_BLOCK, Engine
from streaming.errors import AudioError, ModelError
from streaming.windows import DEFAULT
from tests.tiny_models import MASKS, tiny_live4

RATES = [44100, 48000, 88200, 96000]
BLOCKS = [[1], [64], [65], [255, 256, 257], [512], [1, 8192, 3, 1000], [8193 - 1], [441, 480, 2]]


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose masks differ by bin and change with every hop: lost or doubled state is heard."""
    masks = np.random.default_rng(5).uniform(0, 0.4, (3, DEFAULT.bins))
    return tiny_live4(tmp_path_factory.mktemp("models") / "counting.onnx", masks, counting=True)


def noise(channels: int, frames: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((channels, frames)) * 0.2).astype(np.float32)


def run(engine: Engine, signal: np.ndarray, blocks: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The whole stream, tail included, with the latency taken off."""
    sizes, at = cycle(blocks), 0
    mixes, stems = [], []
    while at < signal.shape[1]:
        size = next(sizes)
        mix, out = engine.process(signal[:, at : at + size])
        mixes.append(mix.copy())
        stems.append(out.copy())
        at += size
    mix, out = engine.flush()
    whole_mix, whole_stems = np.concatenate([*mixes, mix], 1), np.concatenate([*stems, out], 2)
    assert whole_mix.shape[1] == signal.shape[1] + engine.latency_samples
    return whole_mix[:, engine.latency_samples :], whole_stems[:, :, engine.latency_samples :]


def reference_stem(signal: np.ndarray, rate: int, masks: np.ndarray) -> np.ndarray:
    """One stem of the ``counting`` model in float64: frames, masks, overlap-add, from the windows' definition."""
    factor = 2 if rate > 50000 else 1
    windows = DEFAULT.scaled(factor)
    n, h, m = windows.analysis_samples, windows.hop_samples, windows.synthesis_samples
    hops = -(-signal.shape[1] // h) + 1
    padded = np.pad(signal.astype(np.float64), ((0, 0), (n - h, hops * h - signal.shape[1])))
    gains = np.zeros(windows.bins)
    gains[: DEFAULT.bins] = masks.astype(np.float32)
    out = np.zeros_like(padded)
    for t in range(hops):
        spectrum = np.fft.rfft(padded[:, t * h : t * h + n] * windows.analysis) * gains * (t / (t + 1))
        out[:, t * h + n - m : t * h + n] += np.fft.irfft(spectrum)[:, -m:] * windows.synthesis
    return out[:, n - h : n - h + signal.shape[1]]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
def test_stems_are_the_definition_s(counting: Path, rate: int, channels: int) -> None:
    signal = noise(channels, 20011)
    engine = Engine(counting)
    engine.prepare(rate, MAX_BLOCK, channels)
    _, stems = run(engine, signal, [1000])
    masks = np.random.default_rng(5).uniform(0, 0.4, (3, DEFAULT.bins))
    for k in range(3):
        np.testing.assert_allclose(stems[k], reference_stem(signal, rate, masks[k]), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
def test_chunked_is_one_shot(counting: Path, rate: int, channels: int, blocks: list[int]) -> None:
    signal = noise(channels, 8000 if blocks == [1] else 30000)
    engine = Engine(counting)
    engine.prepare(rate, MAX_BLOCK, channels)
    whole_mix, whole_stems = run(engine, signal, [MAX_BLOCK])
    engine.reset()
    mix, stems = run(engine, signal, blocks)
    np.testing.assert_array_equal(mix, whole_mix)
    np.testing.assert_array_equal(stems, whole_stems)
    np.testing.assert_array_equal(mix, signal)  # faders untouched: the delayed mix, to the bit
    np.testing.assert_allclose(stems.sum(0), signal, atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_reported_latency_is_measured_latency(tmp_path: Path, rate: int) -> None:
    model = tiny_live4(tmp_path / "tiny.onnx")
    for block in (1, 64, 100, 8192):
        engine = Engine(model)
        engine.prepare(rate, block, 1)
        impulse = np.zeros((1, 12000), np.float32)
        impulse[0, 1234] = 1.0
        out = []
        for start in range(0, 12000, block):
            _, stems = engine.process(impulse[:, start : start + block])
            out.append(stems[0, 0].copy())
        peak = int(np.abs(np.concatenate(out)).argmax())
        assert peak - 1234 == engine.latency_samples == 512 * (2 if rate > 50000 else 1)
        assert np.concatenate(out)[peak] == pytest.approx(MASKS[0] if rate < 50000 else MASKS[0] / 2, abs=2e-3)


def test_reset_equals_fresh(counting: Path) -> None:
    signal = noise(2, 10000)
    engine = Engine(counting)
    engine.prepare(48000, 512, 2)
    run(engine, noise(2, 7777, seed=9), [512])
    engine.reset()
    again = run(engine, signal, [512])
    fresh = Engine(counting)
    fresh.prepare(48000, 512, 2)
    for one, other in zip(again, run(fresh, signal, [512]), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rate", RATES)
def test_pass_through_nulls(rate: int) -> None:
    signal = noise(2, 30000)
    engine = Engine(None)
    engine.prepare(rate, 1000, 2)
    mix, stems = run(engine, signal, [1000])
    np.testing.assert_array_equal(mix, signal)
    np.testing.assert_allclose(stems[0], signal, atol=1e-6)


def test_mono_is_the_middle_of_stereo(counting: Path) -> None:
    signal = noise(1, 9000)
    mono, stereo = Engine(counting), Engine(counting)
    mono.prepare(44100, 512, 1)
    stereo.prepare(44100, 512, 2)
    one = run(mono, signal, [512])[1]
    two = run(stereo, np.repeat(signal, 2, 0), [512])[1]
    np.testing.assert_allclose(np.repeat(one, 2, 1), two, atol=1e-7)


def test_nan_is_silence_and_leaves_no_trace(counting: Path) -> None:
    signal = noise(2, 20000)
    broken = signal.copy()
    broken[0, 5000:5005] = np.nan
    broken[1, 5003] = np.inf
    silenced = np.where(np.isfinite(broken), broken, 0).astype(np.float32)
    engine = Engine(counting)
    engine.prepare(44100, 512, 2)
    _, stems = run(engine, broken, [512])
    assert int(engine.hop_times.block["bad_samples"]) == 6
    engine.reset()
    np.testing.assert_array_equal(stems, run(engine, silenced, [512])[1])


def test_hop_times_are_kept(counting: Path) -> None:
    engine = Engine(counting)
    engine.prepare(44100, 512, 2)
    run(engine, noise(2, 256 * 100), [512])
    times = engine.hop_times.times()
    assert times.hops == 102
    assert 0 < times.p50_ms <= times.p95_ms <= times.p99_ms <= times.max_ms


def test_what_does_not_fit_is_refused(counting: Path) -> None:
    engine = Engine(counting)
    with pytest.raises(ModelError, match="runs at 44100, 48000, 88200, 96000 Hz, not at 8000"):
        engine.prepare(8000, 512, 2)
    with pytest.raises(AudioError, match="8 channels; the engine takes mono or stereo"):
        engine.prepare(44100, 512, 8)
    for block in (0, 8193):
        with pytest.raises(AudioError, match="takes 1 to 8192"):
            engine.prepare(44100, block, 2)
    engine.prepare(44100, 512, 2)
    for shape in ((1, 512), (2, 513), (512,)):
        with pytest.raises(AudioError, match="prepared for"):
            engine.process(np.zeros(shape, np.float32))
