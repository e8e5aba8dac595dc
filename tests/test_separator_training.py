"""The separator's training: what it reads, that it learns, that a run stopped and resumed is the run not stopped."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from bridge.cli import app  # noqa: E402
from models.separator.augment import draw_example  # noqa: E402
from models.separator.evaluation import find_tracks, sdr, sdr_of_stems  # noqa: E402
from models.separator.loss import separation_loss  # noqa: E402
from models.separator.masking import masked_waves, separate, to_mid_side  # noqa: E402
from models.separator.network import BANDS, FEATURES, Separator, Size, band_of_bin, features  # noqa: E402
from models.separator.recurrence import run_gru  # noqa: E402
from models.separator.songs import SOURCES, Song, find_songs, read_sources, split_of  # noqa: E402
from models.separator.stft import Stft  # noqa: E402
from models.separator.training import Budget, Settings, load_network, train  # noqa: E402
from streaming.errors import AudioError, ModelError, RequestError  # noqa: E402
from streaming.session import read_card  # noqa: E402
from streaming.windows import DEFAULT, LOW, Windows  # noqa: E402

SMALL = Settings(
    steps=8,
    steps_an_epoch=4,
    width=16,
    batch=2,
    seconds=0.5,
    listen_seconds=0.1,
    warm_up_steps=2,
    workers=0,
    validation_songs=1,
)

torch.set_num_threads(1)  # these networks are small: threads would only wait for each other


def write_song(folder: Path, seed: int, seconds: float = 2.0) -> None:
    """A voice of gliding tones, clicks, a low tone and a high chord: easy to tell apart."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * 44100)) / 44100
    stems = {
        "vocals": np.sin(2 * np.pi * (400 + 50 * seed) * t + 20 * np.sin(9 * t)) * 0.2,
        "drums": rng.standard_normal(len(t)) * np.exp(-30 * (t % 0.25)) * 0.4,
        "bass": np.sin(2 * np.pi * (55 + 3 * seed) * t) * 0.3,
        "other": sum(np.sin(2 * np.pi * f * t) for f in (2000, 2500, 3000 + 99 * seed)) * 0.05,
    }
    folder.mkdir(parents=True)
    for stem, wave in stems.items():
        pan = rng.uniform(0.5, 1, (1, 2))
        soundfile.write(folder / f"{stem}.flac", wave[:, None] * pan, 44100)
    source = {"name": "synthetic", "licence": "CC0 1.0", "credit": "none required"}
    (folder / "song.json").write_text(json.dumps({"sources": [source]}))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    for split, seeds in (("train", (0, 1, 2)), ("validation", (3,)), ("test", (4,))):
        for seed in seeds:
            write_song(root / split / f"song{seed}", seed)
    return root


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "whole"
    train(corpus, folder, SMALL, quiet=True)
    return folder


# The transform and its gradient


@pytest.mark.parametrize("windows", [DEFAULT, LOW, Windows(512, 64)], ids=lambda w: f"{w.analysis_samples}")
def test_stft_reconstructs(windows: Windows) -> None:
    wave = torch.randn(3, 20 * windows.hop_samples, generator=torch.Generator().manual_seed(0))
    stft = Stft(windows)
    back = stft.synthesise(stft.analyse(wave))
    torch.testing.assert_close(back, wave[:, : back.shape[1]], atol=1e-5, rtol=0)


def test_gradient_of_masked_waves_is_that_of_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    stft = Stft(DEFAULT).double()
    mixture = torch.randn(2, 5, 2, DEFAULT.bins, generator=generator, dtype=torch.complex128)
    masks = torch.randn(2, 5, 3, 2, 2, BANDS, generator=generator, dtype=torch.double, requires_grad=True)
    wide = masks[..., torch.tensor(band_of_bin())]
    plain = stft.synthesise(
        (torch.complex(wide[..., 0, :], wide[..., 1, :]) * mixture[:, :, None]).permute(0, 2, 3, 1, 4)
    )
    ours = masked_waves(masks, mixture, stft)
    torch.testing.assert_close(ours, plain)
    weights = torch.randn(ours.shape, generator=generator, dtype=torch.double)
    (expected,) = torch.autograd.grad((plain * weights).sum(), masks)
    (got,) = torch.autograd.grad((ours * weights).sum(), masks)
    torch.testing.assert_close(got, expected)


def test_gru_is_torchs_own() -> None:
    torch.manual_seed(0)
    gru = torch.nn.GRU(12, 12, 2, batch_first=True).double()
    inputs = torch.randn(3, 17, 12, dtype=torch.double, requires_grad=True)
    weights = torch.randn(3, 17, 12, dtype=torch.double)
    expected, got = gru(inputs)[0], run_gru(gru, inputs)
    torch.testing.assert_close(got, expected)
    wanted = [inputs, *gru.parameters()]
    for a, b in zip(
        torch.autograd.grad((got * weights).sum(), wanted),
        torch.autograd.grad((expected * weights).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_network_hears_no_future() -> None:
    torch.manual_seed(0)
    network, stft, mix = Separator(Size(16)).eval(), Stft(DEFAULT), torch.randn(1, 2, 40 * 256)
    changed = mix.clone()
    changed[..., 20 * 256 :] = 0
    with torch.no_grad():
        first, second = separate(network, stft, mix), separate(network, stft, changed)
    torch.testing.assert_close(first[..., : 19 * 256], second[..., : 19 * 256], atol=0, rtol=0)
    assert not torch.equal(first, second)


def test_features_of_silence_are_finite() -> None:
    silent = features(torch.zeros(1, 2, 2, DEFAULT.bins))
    assert silent.shape == (1, FEATURES)
    assert bool(silent.isfinite().all())


# Songs and examples


def test_songs_are_found_split_and_cached(corpus: Path, tmp_path: Path) -> None:
    songs = find_songs(corpus, "train")
    assert [s.name for s in songs] == ["song0", "song1", "song2"]
    first, again = songs[0].cached(tmp_path), songs[0].cached(tmp_path)
    assert first.shape == (4, 2, 88200)
    assert np.array_equal(first, again)
    assert len(list(tmp_path.iterdir())) == 1
    (source,) = read_sources(songs)
    assert (source.name, source.hours) == ("synthetic", 0.002)


def test_a_folder_without_splits_is_split_by_name(tmp_path: Path) -> None:
    names = [f"song{i}" for i in range(40)]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "bass.wav").touch()
    for split in ("train", "validation", "test"):
        assert {s.name for s in find_songs(tmp_path, split)} == {n for n in names if split_of(n) == split} != set()


def test_a_stem_of_another_rate_is_resampled_and_a_missing_one_is_silent(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "vocals.wav", np.full((22050, 1), 0.5), 22050)
    stems = Song(tmp_path).load()
    assert stems.shape == (4, 2, 44100)
    assert not stems[1:].any()
    assert abs(int(stems[0, 1, 22050]) - 16384) < 100


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: None, "holds no song"),
        (lambda p: (p / "notes.txt").write_text("x"), "holds no song"),
        (lambda p: (p / "train").mkdir(), "holds no song"),
        (lambda p: p.rmdir(), "no such folder"),
    ],
)
def test_a_folder_without_songs_is_one_line(make: object, says: str, tmp_path: Path) -> None:
    folder = tmp_path / "songs"
    folder.mkdir()
    make(folder)  # type: ignore[operator]
    result = CliRunner().invoke(app, ["train", "separator", str(folder), "-o", str(tmp_path / "run")])
    assert isinstance(result.exception, RequestError)
    assert says in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_one_song_alone_is_too_few_when_it_is_not_for_training(tmp_path: Path) -> None:
    name = next(n for n in map(str, range(100)) if split_of(n) == "test")
    write_song(tmp_path / name, 0)
    with pytest.raises(RequestError, match="too few songs"):
        find_songs(tmp_path, "train")


def test_a_broken_stem_is_named(tmp_path: Path) -> None:
    (tmp_path / "bass.flac").write_bytes(b"not audio")
    with pytest.raises(AudioError, match=r"bass\.flac"):
        Song(tmp_path).load()


def test_examples_follow_their_seed(corpus: Path, tmp_path: Path) -> None:
    songs = find_songs(corpus, "train")

    def draw(seed: int) -> np.ndarray:
        return draw_example(np.random.default_rng(seed), songs, tmp_path, 8192)

    for seed in range(12):
        example = draw(seed)
        assert example.shape == (len(SOURCES), 2, 8192)
        assert example.dtype == np.float32
        assert np.isfinite(example).all()
        assert np.array_equal(example, draw(seed))
    assert not np.array_equal(draw(0), draw(1))


# Loss and score


def test_loss_is_least_at_the_truth_and_finite_in_silence() -> None:
    stems = torch.randn(2, 4, 2, 1000, generator=torch.Generator().manual_seed(0))
    assert separation_loss(stems[:, :3], stems) < 1e-3 < separation_loss(stems[:, :3] * 0.9, stems)
    assert separation_loss(torch.zeros(2, 3, 2, 1000), torch.zeros(2, 4, 2, 1000)).isfinite()


def test_sdr_is_what_it_says() -> None:
    reference = np.random.default_rng(0).standard_normal((2, 4000)).astype(np.float32)
    assert sdr(reference, reference * 0.9) == pytest.approx(20, abs=1e-3)
    assert sdr(reference, np.zeros_like(reference)) == pytest.approx(0, abs=1e-9)
    silent = np.zeros_like(reference)
    stems, estimates = np.stack([reference, silent]), np.stack([reference * 0.5, reference])
    assert sdr_of_stems(stems, estimates, ("a", "b")).keys() == {"a"}


# Training


def test_training_lowers_the_loss(corpus: Path, tmp_path: Path) -> None:
    """On one and the same example, before and after: what falls cannot be the luck of the draw."""
    settings = replace(SMALL, steps=30, steps_an_epoch=30, width=32, warm_up_steps=5, peak_rate=2e-3, ema_decay=0.8)
    train(corpus, tmp_path / "run", settings, quiet=True)
    network, sources = load_network(tmp_path / "run" / "last.ckpt")
    stems = torch.from_numpy(find_songs(corpus, "validation")[0].load() / np.float32(32768))[None, ..., :22016]
    torch.manual_seed(0)
    untrained, stft = Separator(Size(32)), Stft(DEFAULT)
    untrained.standardise(torch.view_as_real(to_mid_side(stft, stems.sum(1))).movedim(-1, -2))
    with torch.no_grad():
        losses = [separation_loss(separate(n, stft, stems.sum(1)), stems[..., :21760]) for n in (network, untrained)]
    assert losses[0] < 0.9 * losses[1]
    assert [s.name for s in sources] == ["synthetic"]


def test_a_resumed_run_is_the_run_not_stopped(
    corpus: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "halves"
    with monkeypatch.context() as patch:

        def stop(self: Budget, trainer: Any, module: Any) -> None:
            trainer.should_stop = True

        patch.setattr(Budget, "on_train_epoch_end", stop)
        train(corpus, folder, SMALL, quiet=True)
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == SMALL.steps_an_epoch
    train(corpus, folder, SMALL, resume=True, quiet=True)
    whole, halves = (load_network(f / "last.ckpt")[0].state_dict() for f in (run, folder))
    for name, value in whole.items():
        assert torch.equal(halves[name], value), name


def test_a_run_is_neither_overwritten_nor_resumed_from_nothing(corpus: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--resume"):
        train(corpus, run, SMALL)
    with pytest.raises(RequestError, match="no run to resume"):
        train(corpus, tmp_path / "none", SMALL, resume=True)


def test_what_is_no_checkpoint_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(b"rubbish")
    torch.save({"state_dict": {}}, tmp_path / "b.ckpt")
    for name in ("a.ckpt", "b.ckpt", "missing.ckpt"):
        with pytest.raises(ModelError, match=name):
            load_network(tmp_path / name)


# Evaluation


def test_evaluate_gives_the_truth_for_a_model_that_gives_a_quarter(corpus: Path, tmp_path: Path) -> None:
    """A network whose masks are their neutral start gives every stem a quarter of the mix: its SDR is known."""
    network = Separator(Size(16))
    with torch.no_grad():
        network.decode.weight.zero_()
        network.decode.bias.zero_()
        network.decode.bias.view(-1, 2, BANDS)[:, 0] = 0.25
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    data = {"state_dict": weights, "hyper_parameters": {"settings": {"width": 16, "layers": 2}}, "sources": []}
    torch.save(data, tmp_path / "quarter.ckpt")
    export = CliRunner().invoke(app, ["export", "separator", str(tmp_path / "quarter.ckpt"), "-o", str(tmp_path)])
    assert export.exit_code == 0, export.output
    command = ["evaluate", "separator", str(tmp_path / "live4.onnx"), str(corpus), "--json", "--into-card"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    items = {item["label"]: item for item in json.loads(result.stdout)["items"]}
    stems = Song(corpus / "test" / "song4").load() / np.float32(32768)
    mix = stems.sum(0)
    for stem, name in zip(stems, SOURCES, strict=True):
        assert items[name]["sdr"] == pytest.approx(sdr(stem, mix * 0.25), abs=0.05)
        assert items[name]["baseline"] == pytest.approx(sdr(stem, mix), abs=1e-3)
    metrics = read_card(tmp_path / "live4.onnx").metrics
    assert [m.name for m in metrics] == [f"SDR {name}" for name in SOURCES]
    assert metrics[0].command == f"sidechop evaluate separator live4 {corpus.name} --split test"


def test_evaluate_reads_pairs_of_voice_and_accompaniment(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part in ("voc", "acc"):
        soundfile.write(tmp_path / f"one.{part}.wav", rng.standard_normal(16000) * 0.1, 16000)
    (track,) = find_tracks(tmp_path, "test")
    stems = track.load()
    assert {n: s.shape for n, s in stems.items()} == {"vocals": (2, 44100), "accompaniment": (2, 44100)}
