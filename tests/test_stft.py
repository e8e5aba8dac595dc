"""The streaming STFT against a plain one in float64, hop by hop and many hops at once."""

import numpy as np
import pytest

from streaming.stft import StreamingISTFT, StreamingSTFT
from streaming.windows import DEFAULT, Windows

SMALL = Windows(64, 8)


def plain_frames(signal: np.ndarray, windows: Windows) -> np.ndarray:
    """Every frame of ``(channels, samples)`` straight from the definition, by a DFT matrix in float64."""
    n, h = windows.analysis_samples, windows.hop_samples
    padded = np.pad(signal.astype(np.float64), ((0, 0), (n - h, 0)))
    dft = np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n // 2 + 1)) / n)
    starts = range(0, signal.shape[1] // h * h, h)
    return np.stack([(padded[:, s : s + n] * windows.analysis) @ dft for s in starts])


@pytest.mark.parametrize("channels", [1, 2])
def test_frames_are_the_definition_s(channels: int) -> None:
    signal = np.random.default_rng(1).standard_normal((channels, 8 * 40)).astype(np.float32)
    stft = StreamingSTFT(SMALL, channels)
    frames = np.stack([stft.analyse(signal[:, i : i + 8])[0].copy() for i in range(0, 320, 8)])
    # float32 transform of 64 values of order 1
    np.testing.assert_allclose(frames, plain_frames(signal, SMALL), atol=1e-5)


@pytest.mark.parametrize("batch", [2, 3, 7, 32])
def test_many_hops_at_once_are_the_same_to_the_bit(batch: int) -> None:
    hop, hops = DEFAULT.hop_samples, 40
    signal = np.random.default_rng(2).standard_normal((2, hops * hop)).astype(np.float32)
    one, many = StreamingSTFT(DEFAULT, 2), StreamingSTFT(DEFAULT, 2, batch)
    back_one, back_many = StreamingISTFT(DEFAULT, 2), StreamingISTFT(DEFAULT, 2, batch)
    single = [one.analyse(signal[:, i : i + hop])[0].copy() for i in range(0, hops * hop, hop)]
    single_out = [back_one.synthesise(frame[None]).copy() for frame in single]
    several, several_out = [], []
    for i in range(0, hops * hop, batch * hop):
        frames = many.analyse(signal[:, i : i + batch * hop])
        several += [frame.copy() for frame in frames]
        several_out.append(back_many.synthesise(frames).copy())
    np.testing.assert_array_equal(np.stack(single), np.stack(several))
    np.testing.assert_array_equal(np.concatenate(single_out, 1), np.concatenate(several_out, 1))
    np.testing.assert_allclose(np.concatenate(single_out, 1)[:, hop:], signal[:, :-hop], atol=2e-6)


def test_reset_forgets() -> None:
    signal = np.random.default_rng(3).standard_normal((1, 8 * 20)).astype(np.float32)
    stft, istft = StreamingSTFT(SMALL, 1, 20), StreamingISTFT(SMALL, 1, 20)
    first = istft.synthesise(stft.analyse(signal)).copy()
    stft.reset()
    istft.reset()
    np.testing.assert_array_equal(istft.synthesise(stft.analyse(signal)), first)
