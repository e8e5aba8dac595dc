"""sampleChop, the baseline: its CQT, its networks, its clean-up."""

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from streaming.clusters import clean_clusters
from streaming.cqt import CQT, CqtFrames, bin_frequencies, bin_weights, kernel_length
from streaming.errors import ModelError
from streaming.features import Features, open_features

RATE = 44100


def notes(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Plucked notes over soft noise: what a CQT is for, with attacks in it."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    mono = 1e-3 * rng.standard_normal(len(t))
    for start in np.arange(0.1, seconds, 0.23):
        since = np.maximum(0, t - start)
        for harmonic in (1, 2, 3):
            hz = 440 * 2 ** (rng.integers(-26, 15) / 12) * harmonic
            mono += (t >= start) * np.exp(-6 * since) * np.sin(2 * np.pi * hz * since) / harmonic
    return (0.2 * mono).astype(np.float32)


def frames_of(mono: NDArray[np.float32], features: Features = CQT) -> NDArray[np.float32]:
    source = open_features(features, features.rate)
    return np.concatenate([source.process(mono), source.flush()])


def test_cqt_is_in_proportion_to_librosas() -> None:
    """librosa halves the rate from octave to octave, where its shortest windows of 35 samples are rounded to whole
    ones: no more than 3% of the loudest, and 1.5% over all, tell its way from ours.
    """
    mono = notes(6)
    ours = frames_of(mono)
    theirs = np.abs(librosa.cqt(mono, sr=RATE, hop_length=256, fmin=librosa.note_to_hz("F2"), n_bins=48, norm=2)).T
    assert ours.shape == theirs.shape
    scale = np.vdot(ours, theirs) / np.vdot(ours, ours)
    error = scale * ours - theirs
    assert np.abs(error).max() < 0.03 * theirs.max()
    assert np.sqrt(np.mean(error**2) / np.mean(theirs**2)) < 0.015


def test_cqt_is_the_sum_it_stands_for() -> None:
    """Each bin against a plain dot product with librosa's wavelet at the full rate. Theirs is a sample longer or
    shorter and up to a sample off the centre: 1% of a window of 573 samples at most, in float32.
    """
    mono = notes(1)
    ours = frames_of(mono)
    frequencies = bin_frequencies(CQT)
    wavelets, _ = librosa.filters.wavelet(freqs=frequencies, sr=RATE, norm=1, pad_fft=False)
    half = wavelets.shape[1] // 2
    padded = np.pad(mono, (half, half))
    for frame in (0, 1, 57, 93, 94, 120):
        around = padded[frame * 256 : frame * 256 + wavelets.shape[1]]
        expected = 2 * np.abs(wavelets.conj() @ around) * bin_weights(48)
        assert np.abs(ours[frame] - expected).max() < 0.01 * ours.max()


def test_a_sine_on_a_bin_gives_its_weight() -> None:
    t = np.arange(RATE) / RATE
    for k in (0, 11, 12, 30, 47):
        sine = np.sin(2 * np.pi * bin_frequencies(CQT)[k] * t).astype(np.float32)
        middle = frames_of(sine)[86]
        assert middle.argmax() == k
        assert middle[k] == pytest.approx(bin_weights(48)[k], rel=1e-4)  # Hann leaves 1e-4 of the mirror frequency


@pytest.mark.parametrize("sizes", [(1, 64, 65, 8193), (30000,), (256,), (441, 3)])
def test_chunked_equals_one_shot_exactly(sizes: tuple[int, ...]) -> None:
    mono = notes(2)[:70001]
    source = open_features(CQT, RATE)
    whole = np.concatenate([source.process(mono), source.flush()])
    parts, at, i = [], 0, 0
    while at < len(mono):
        size = sizes[i % len(sizes)] if max(sizes) > 441 else sizes[i % len(sizes)] * 16
        parts.append(source.process(mono[at : at + size]))
        at, i = at + size, i + 1
    parts.append(source.flush())
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("samples", [0, 1, 3, 255, 256, 257, 94 * 256 - 1, 94 * 256, 32768, 32769])
def test_as_many_frames_as_said(samples: int) -> None:
    frames = frames_of(np.ones(samples, np.float32))
    assert frames.shape == (1 + samples // 256, 48)
    assert np.isfinite(frames).all()


def test_silence_is_nothing_and_nothing_leaks_from_one_file_to_the_next() -> None:
    source = open_features(CQT, RATE)
    source.process(notes(1))
    source.reset()
    assert not np.concatenate([source.process(np.zeros(50000, np.float32)), source.flush()]).any()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ModelError, match="do not fall on samples at 48000"):
        CqtFrames(CQT, 48000)
    with pytest.raises(ModelError, match="takes 8755"):
        CqtFrames(Features("cqt", RATE, 256, 4096, 48, 87.307, 1318.51), RATE)
    with pytest.raises(ModelError, match="too high"):
        CqtFrames(Features("cqt", RATE, 256, 8755, 96, 87.307, 21000.0), RATE)
    assert kernel_length(87.307, RATE) < CQT.window_samples


FRAME_RATE = 44100 / 256


@pytest.mark.parametrize(
    ("likely", "moments"),
    [
        ([], []),
        ([40], []),  # a run of one is its first frame, and that is lost
        ([40, 41, 42], [41.5]),
        ([40, 42, 43], [43.0]),  # 11.6 ms apart: two runs, of one and of two
        ([40, 41, 42, 100, 101, 102, 103], [41.5, 102.0]),
        ([40, 41, 70, 71, 72], [41.0]),  # 30 frames are 0.17 s: still deaf
        ([40, 41, 83, 84, 85, 86], [41.0, 86.0]),  # hears again from 84.07 on: 85 begins a run, 86 counts
        ([0, 1, 2], [1.5]),
    ],
)
def test_clusters_are_those_of_the_original(likely: list[int], moments: list[float]) -> None:
    """Worked out by hand from sampleChop's ``clean_times``."""
    curve = np.full(120, 0.3, np.float32)
    curve[likely] = 0.8
    peaks = clean_clusters(curve, FRAME_RATE)
    assert peaks.frames.tolist() == moments
    assert np.allclose(peaks.strengths, 0.8)


def test_a_cluster_is_as_likely_as_its_frames_in_the_mean() -> None:
    curve = np.zeros(50, np.float32)
    curve[20:24] = 0.9, 0.8, 0.75, 0.7  # the first is lost, the last is not above the threshold
    frames, strengths = clean_clusters(curve, FRAME_RATE)
    assert frames.tolist() == [21.5]
    assert strengths[0] == pytest.approx(0.775)
