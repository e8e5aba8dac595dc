"""Feature frames: the same whatever the blocks, nearly the same whatever the rate, and what their definition says."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.errors import ModelError
from streaming.features import COMPRESSION, MEL, Features, MelFrames, mel_bank, open_features

RATES = (44100, 48000, 88200, 96000)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(samples) * 0.1).astype(np.float32)


def whole(source: MelFrames, sound: np.ndarray) -> np.ndarray:
    return np.concatenate([source.process(sound), source.flush()])


@pytest.mark.parametrize("samples", [0, 1, 3, 440, 441, 442, 511, 512, 513, 1024, 4410, 8193])
def test_every_hop_gets_a_frame(samples: int) -> None:
    assert whole(MelFrames(MEL, 44100), noise(samples)).shape == (1 + samples // 441, 64)


@given(st.lists(st.integers(0, 3000), max_size=20), st.sampled_from(RATES))
def test_chunked_equals_one_shot(blocks: list[int], rate: int) -> None:
    sound = noise(sum(blocks))
    source = MelFrames(MEL, rate)
    expected = whole(source, sound)
    at = np.cumsum([0, *blocks])
    pieces = [source.process(sound[a:b]) for a, b in itertools.pairwise(at)]
    # The products are summed in another order when fewer frames are multiplied at once.
    np.testing.assert_allclose(np.concatenate([*pieces, source.flush()]), expected, atol=2e-6)


def test_reset_equals_fresh() -> None:
    source = MelFrames(MEL, 48000)
    source.process(noise(5001))
    source.reset()
    np.testing.assert_array_equal(whole(source, noise(3000, 1)), whole(MelFrames(MEL, 48000), noise(3000, 1)))


def test_a_frame_is_what_the_definition_says() -> None:
    """Against a discrete Fourier sum written out, at a frame in the middle."""
    sound, frame = noise(4410), 5
    piece = sound[frame * 441 - 512 : frame * 441 + 512].astype(np.float64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(1025), np.arange(1024)) / 2048)
    power = np.abs(turns @ (piece * window)) ** 2 * (2 / window.sum()) ** 2
    expected = np.log10(1 + COMPRESSION * (power @ mel_bank(MEL, 44100, 2048)))
    np.testing.assert_allclose(whole(MelFrames(MEL, 44100), sound)[frame], expected, atol=1e-4)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hz", [100, 440, 3000, 12000])
def test_a_rate_changes_little(rate: int, hz: int) -> None:
    """The same second of a tone: its band, and its level to a tenth of a bel, where training spans several."""

    def middle(rate: int) -> np.ndarray:
        tone = 0.5 * np.sin(2 * np.pi * hz * np.arange(rate) / rate)
        return whole(MelFrames(MEL, rate), tone.astype(np.float32))[50]

    here, there = middle(rate), middle(44100)
    assert here.argmax() == there.argmax()
    assert abs(here.max() - there.max()) < 0.1


def test_silence_is_zero_and_a_click_lies_under_its_frame() -> None:
    sound = np.zeros(44100, np.float32)
    assert not whole(MelFrames(MEL, 44100), sound).any()
    sound[441 * 37] = 1
    assert whole(MelFrames(MEL, 44100), sound).sum(axis=1).argmax() == 37


def test_rates_without_whole_hops_are_refused() -> None:
    with pytest.raises(ModelError, match="22050"):
        open_features(MEL, 22050)
    assert Features(rate=22050, hop_samples=256).hop_at(44100) == 512
