"""The asymmetric windows reconstruct perfectly, and delay by exactly M."""

import numpy as np
import pytest

from streaming.windows import DEFAULT, HIGH, LOW, Windows

ALL = [LOW, DEFAULT, HIGH, DEFAULT.scaled(2), Windows(512, 256), Windows(64, 8)]


@pytest.mark.parametrize("windows", ALL, ids=str)
def test_perfect_reconstruction(windows: Windows) -> None:
    n, h, m = windows.analysis_samples, windows.hop_samples, windows.synthesis_samples
    hops = n // h + 12
    signal = np.random.default_rng(0).standard_normal(n + hops * h)
    rebuilt = np.zeros_like(signal)
    for k in range(hops):
        spectrum = np.fft.rfft(signal[k * h : k * h + n] * windows.analysis)
        tail = slice(k * h + n - m, k * h + n)
        rebuilt[tail] += np.fft.irfft(spectrum)[-m:] * windows.synthesis
    whole = slice(n - h, n + (hops - 2) * h)  # where two frames overlap
    error_db = 20 * np.log10(np.abs(signal[whole] - rebuilt[whole]).max())
    assert error_db < -280  # float64 rounding


def test_named_lengths() -> None:
    assert (DEFAULT.latency_samples, DEFAULT.bins) == (512, 1025)
    assert DEFAULT.scaled(2) == Windows(4096, 512)
    assert round(1000 * LOW.latency_samples / 44100, 1) == 5.8
    assert round(1000 * HIGH.latency_samples / 44100, 1) == 23.2


@pytest.mark.parametrize(("n", "h"), [(0, 1), (2048, 0), (100, 51), (2047, 256)])
def test_impossible_lengths_are_refused(n: int, h: int) -> None:
    with pytest.raises(ValueError, match="windows need"):
        Windows(n, h)
