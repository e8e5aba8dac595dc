"""sampleChop, the baseline: its CQT, its networks, its clean-up."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from typer.testing import CliRunner

librosa = pytest.importorskip("librosa")
torch = pytest.importorskip("torch")

from bridge.cli import app  # noqa: E402
from bridge.model_check import check_model  # noqa: E402
from export.cards import write_card  # noqa: E402
from export.samplechop import by_points, card_of, check_samplechop, export_graph, export_samplechop  # noqa: E402
from models.chopper.annotations import Truth  # noqa: E402
from models.chopper.samplechop import Kind, SampleChop, SampleChopConv, build, with_tonnetz  # noqa: E402
from models.chopper.samplechop_training import (  # noqa: E402
    POSITIVE,
    WIDE,
    Example,
    Settings,
    at_pitch,
    cut_times,
    draw,
    load_example,
    loss_of,
)
from models.separator.songs import Song  # noqa: E402
from streaming.clusters import clean_clusters  # noqa: E402
from streaming.cqt import CQT, CqtFrames, bin_frequencies, bin_weights, kernel_length  # noqa: E402
from streaming.errors import ModelError  # noqa: E402
from streaming.features import Features, open_features  # noqa: E402
from streaming.onsets import pick_onsets  # noqa: E402
from streaming.session import read_card  # noqa: E402

torch.set_num_threads(1)  # these networks are small: threads would only wait for each other
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


KINDS = (Kind(), Kind(tonnetz=True), Kind("conv", tonnetz=True), Kind("conv", curves=("chop",)))


def network_of(kind: Kind) -> SampleChop | SampleChopConv:
    """Weights at random, large enough that the curves move."""
    torch.manual_seed(5)
    network = build(kind).eval()
    for parameter in network.parameters():
        parameter.data *= 2.5
    return network


def loudness(frames: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return np.abs(rng.normal(0, 1, (frames, 48)) * (1 + np.sin(np.arange(frames) / 9)[:, None])).astype(np.float32)


def curves_of(network: SampleChop | SampleChopConv, frames: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        curves: NDArray[np.float32] = network(torch.from_numpy(frames)[None])[0].sigmoid().numpy()
    return curves


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k.network}-{k.tonnetz}")
def test_the_network_decides_point_by_point(kind: Kind) -> None:
    """Against a data point cut out for every frame, in float64; 1e-5 is what float32 leaves over five layers."""
    network, frames = network_of(kind), loudness(400)
    frames[150:260] = 0
    at = np.array([0, 1, 30, 61, 140, 149, 150, 200, 262, 300, 398, 399])
    truth = by_points(kind, {n: p.detach().numpy() for n, p in network.named_parameters()}, frames, at)
    assert np.ptp(truth) > 0.02
    assert np.abs(curves_of(network, frames)[at] - truth).max() < 1e-5


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k.network}-{k.tonnetz}")
def test_the_context_is_what_is_said(kind: Kind) -> None:
    network, frames = network_of(kind), loudness(600)
    before = curves_of(network, frames)[300]
    beyond, just = frames.copy(), frames.copy()
    beyond[: 300 - network.context] += 7
    beyond[301 + network.context :] += 7
    just[300 + network.context] += 7
    assert np.array_equal(curves_of(network, beyond)[300], before)
    assert not np.array_equal(curves_of(network, just)[300], before)


def test_level_is_nothing_and_silence_is_not_noise() -> None:
    """Standardised: 20 dB more change no curve (to float32). In silence, and in hiss of -100 dBFS, nothing begins."""
    network, frames = network_of(Kind()), loudness(300)
    assert np.allclose(curves_of(network, 10 * frames), curves_of(network, frames), atol=1e-4)
    hiss = frames_of(np.float32(1e-5) * np.random.default_rng(0).standard_normal(50000).astype(np.float32))
    assert curves_of(network, hiss).max() < 1e-6
    assert curves_of(network, 0 * hiss).max() < 1e-6


def test_tonnetz_is_librosas() -> None:
    """Up to the scale of each frame, which follows the CQT nearby. Negative ones are dropped here."""
    frames = frames_of(notes(1))
    ours = with_tonnetz(torch.from_numpy(frames)[None])[0, :, 48:].numpy()
    chroma = np.roll(frames.reshape(-1, 4, 12).sum(1), 5, axis=1)  # from F to C
    theirs = np.maximum(0, librosa.feature.tonnetz(chroma=chroma.T.astype(np.float64)).T)[30:-30]
    scale = (ours * theirs).sum(1) / np.square(theirs).sum(1)
    assert np.abs(ours - scale[:, None] * theirs).max() < 1e-5 * ours.max()


@pytest.mark.parametrize("pitch", [0, 3, 5])
def test_another_pitch_is_the_same_bins(pitch: int) -> None:
    """Two notes transposed, against the bins of the notes as they were. Windows get longer, too, so that what leaks
    from one note to the other's bins beats at another speed: 1%.
    """

    def tune(semitones: int) -> NDArray[np.float32]:
        t = np.arange(RATE) / RATE
        tones = [np.sin(2 * np.pi * 220 * 2 ** ((n + semitones) / 12) * t) for n in (0, 15)]
        return np.asarray(0.1 * np.sum(tones, axis=0), np.float32)

    wide = frames_of(tune(0), WIDE) / bin_weights(WIDE.bands)
    expected = frames_of(tune(3 - pitch))
    assert np.abs(at_pitch(wide, pitch) - expected)[20:-20].max() < 0.01 * expected.max()


def song_of_attacks(seed: int) -> Example:
    """Ten seconds that swell at every attack and fade away, with the attacks known and nothing else."""
    rng = np.random.default_rng(seed)
    attacks = np.sort(rng.choice(np.arange(40, 1700, 25), 40, replace=False))
    since = np.arange(1722)[:, None] - attacks
    level = np.where(since >= 0, np.exp(-since / 8), np.exp(since / 3)).sum(1)
    frames = level[:, None] * rng.uniform(0.5, 1.0, (1, WIDE.bands)) + 0.01 * rng.random((1722, WIDE.bands))
    return Example(frames.astype(np.float16), {"onset": attacks})


def test_an_example_marks_neighbours_and_keeps_silent_of_what_is_unknown() -> None:
    settings, song = Settings(length=2000), song_of_attacks(0)
    frames, targets, weights = draw(np.random.default_rng(1), [song], settings, 30)  # longer than the song
    assert frames.shape == (2060, 48)
    assert not frames[:30].any()
    assert not frames[30 + 1722 :].any()
    onset = settings.kind.curves.index("onset")
    expected = np.zeros(2000)
    expected[(song.times["onset"][:, None] + [-1, 0, 1]).ravel()] = 1
    assert np.array_equal(targets[:, onset], expected)
    assert np.array_equal(weights[:, onset], np.where(expected > 0, POSITIVE["onset"], 1))
    assert weights.sum() == weights[:, onset].sum()


def test_training_finds_attacks() -> None:
    """A hundred steps, and the curve tells the attacks of a song it never heard."""
    kind = Kind(curves=("onset",))
    settings, songs = Settings(kind, batch=4), [song_of_attacks(seed) for seed in range(4)]
    torch.manual_seed(0)
    network = build(kind)
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    for step in range(100):
        drawn = [draw(np.random.default_rng((step, item)), songs, settings, network.context) for item in range(4)]
        frames, targets, weights = (torch.from_numpy(np.stack(part)) for part in zip(*drawn, strict=True))
        loss = loss_of(network, frames, targets, weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    unheard = song_of_attacks(9)
    curve = curves_of(network, at_pitch(unheard.frames, 3))[:, 0]
    found = pick_onsets(curve, FRAME_RATE).frames
    apart = np.abs(found[:, None] - unheard.times["onset"])
    assert np.mean(apart.min(axis=0) <= 3) > 0.9
    assert np.mean(apart.min(axis=1) <= 3) > 0.9


@pytest.mark.parametrize("kind", [Kind(), Kind("conv", tonnetz=True)], ids=lambda k: k.network)
def test_what_is_exported_is_what_was_trained(kind: Kind, tmp_path: Path) -> None:
    network, path = network_of(kind), tmp_path / "samplechop.onnx"
    export_graph(network, path)
    write_card(path, card_of(network, "samplechop", ()))
    rows = check_samplechop(network, path)
    assert len(rows) == 3
    assert len(list(check_model(path))) == 5  # card, tensors, bytes, curves and, by measurement, the context


def write_song(folder: Path, seed: int) -> None:
    """Three seconds: a low note on every downbeat, clicks between, and the truth about them; no vocals, no other."""
    rng = np.random.default_rng(seed)
    beats = np.arange(0.2, 2.9, 0.31)
    since = np.arange(3 * RATE)[:, None] / RATE - beats
    after = np.where(since >= 0, np.exp(-20 * np.maximum(since, 0)), 0)
    stems = {
        "drums": rng.standard_normal(3 * RATE) * after.sum(1),
        "bass": (after * np.sin(900 * since))[:, ::4].sum(1),
    }
    folder.mkdir(parents=True)
    for stem, wave in stems.items():
        soundfile.write(folder / f"{stem}.flac", np.clip(0.2 * np.stack([wave, wave], 1), -1, 1), RATE)
    onsets = {"drums": list(beats), "bass": list(beats[::4])}
    source = {"name": "synthetic", "licence": "CC0 1.0", "credit": "none required"}
    truth = {"onsets": onsets, "beats": list(beats), "downbeats": [*beats[::4], 2.8], "phrases": [beats[4]]}
    (folder / "song.json").write_text(json.dumps({**truth, "sources": [source]}))


def test_what_is_cut_in_a_song(tmp_path: Path) -> None:
    write_song(tmp_path / "song", 0)
    frames, times = load_example(Song(tmp_path / "song"))
    assert frames.shape == (1 + 3 * RATE // 256, 54)
    beats = np.rint(np.arange(0.2, 2.9, 0.31) * FRAME_RATE)
    assert np.array_equal(times["onset"], beats)
    assert np.array_equal(times["downbeat"], [*beats[::4], np.rint(2.8 * FRAME_RATE)])
    assert np.array_equal(times["chop"], beats[::4])  # nothing begins within 50 ms of 2.8 s
    assert np.array_equal(times["phrase"], beats[4:5])
    unknown = cut_times(Truth({"drums": np.array([1.0])}, downbeats=np.array([1.0])), ("drums", "bass"))
    assert set(unknown) == {"downbeat"}


def test_commands_train_and_export(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        write_song(tmp_path / "corpus" / split / "song", len(split))

    def call(*words: object, code: int = 0) -> str:
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == code, result.output
        return result.output

    train = ("train", "samplechop", tmp_path / "corpus", "-o", tmp_path / "run", "--steps", 2)
    call(*train)
    call(*train, code=1)  # a run is not overwritten
    call("export", "samplechop", tmp_path / "run" / "last.ckpt", "-o", tmp_path, "--name", "mine")
    card = read_card(tmp_path / "mine.onnx")
    assert card.curves == ("onset", "downbeat", "phrase", "chop")
    assert [source.name for source in card.training] == ["synthetic"]
    (tmp_path / "bad.ckpt").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="not a checkpoint of sampleChop"):
        export_samplechop(tmp_path / "bad.ckpt", tmp_path / "out", "bad")
    assert not (tmp_path / "out").exists()
