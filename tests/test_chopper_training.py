"""The chopper: what its networks hear, what training reads and learns, that what is exported is what was trained."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from bridge.cli import app  # noqa: E402
from export.chopper import check_chopper, export_chopper, export_graph  # noqa: E402
from models.chopper.augment import draw_example, write_targets  # noqa: E402
from models.chopper.calibration import calibrate  # noqa: E402
from models.chopper.dataset import Item, find_items, mel_frames, merge  # noqa: E402
from models.chopper.evaluation import Sound, f_measure, find_sounds, score  # noqa: E402
from models.chopper.evaluation import merge as merge_seconds  # noqa: E402
from models.chopper.loss import TOLERANCE, curve_loss  # noqa: E402
from models.chopper.network import CURVES, LIVE_DELAY, Chopper, Size  # noqa: E402
from models.chopper.own import load_onnx, train_own  # noqa: E402
from models.chopper.training import Run, Settings, load_network, train  # noqa: E402
from models.chopper.validation import curves_of, peaks  # noqa: E402
from streaming.errors import ModelError, RequestError  # noqa: E402
from streaming.features import MEL  # noqa: E402
from streaming.session import read_card  # noqa: E402

SMALL = Size(width=8, blocks=3)
SHORT = Settings(steps=8, steps_an_epoch=4, batch=2, length=150, warm_up_steps=2, workers=0)

torch.set_num_threads(1)  # these networks are small: threads would only wait for each other


def write_song(folder: Path, seed: int, seconds: float = 4.0) -> None:
    """Clicks on every beat, a low tone from every downbeat, and the truth about them."""
    rng = np.random.default_rng(seed)
    beats = np.arange(0.2, seconds - 0.1, rng.uniform(0.3, 0.5))
    t = np.arange(int(seconds * 44100)) / 44100
    drums, bass = np.zeros(len(t)), np.zeros(len(t))
    for i, beat in enumerate(beats):
        since = t - beat
        drums += np.where(since >= 0, rng.standard_normal(len(t)) * np.exp(-60 * np.maximum(since, 0)), 0) * 0.3
        if i % 4 == 0:
            bass += np.where(since >= 0, np.sin(2 * np.pi * 110 * since) * np.exp(-4 * np.maximum(since, 0)), 0) * 0.3
    folder.mkdir(parents=True)
    for stem, wave in {"drums": drums, "bass": bass}.items():
        soundfile.write(folder / f"{stem}.flac", np.clip(np.stack([wave, wave], 1), -1, 1), 44100)
    truth = {
        "onsets": {"drums": list(beats), "bass": list(beats[::4]), "other": [], "vocals": []},
        "beats": list(beats),
        "downbeats": list(beats[::4]),
        "phrases": list(beats[4::4]),
    }
    source = {"name": "synthetic", "licence": "CC0 1.0", "credit": "none required"}
    (folder / "song.json").write_text(json.dumps({**truth, "sources": [source]}))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    for split, seeds in (("train", (0, 1, 2)), ("validation", (3,)), ("test", (4,))):
        for seed in seeds:
            write_song(root / split / f"song{seed}", seed)
    return root


@pytest.fixture(scope="module")
def items(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    return find_items([corpus], "train", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "whole"
    train([corpus], folder, SHORT, SMALL, quiet=True)
    return folder


def random_network(live: bool, size: Size = SMALL) -> Chopper:
    """Untrained, with every weight away from its neutral start, so that none can be left out unseen."""
    torch.manual_seed(0)
    network = Chopper(replace(size, live=live))
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.1 * torch.randn_like(value))
    return network.eval()


# The networks


@pytest.mark.parametrize("live", [False, True])
def test_a_frame_is_heard_as_far_as_the_size_says_and_no_further(live: bool) -> None:
    network = random_network(live)
    frames = torch.rand(1, 80, MEL.bands, generator=torch.Generator().manual_seed(0)) * 4
    changed = frames.clone()
    changed[0, 40] += 1
    with torch.no_grad():
        moved = (network(frames) - network(changed)).abs().amax((0, 2)).nonzero()[:, 0]
    reach = 2 * SMALL.radius if live else SMALL.radius
    assert (int(moved.min()), int(moved.max())) == (40 if live else 40 - reach, 40 + reach)


@pytest.mark.parametrize("count", [1, 2, 3, SMALL.radius, 2 * SMALL.radius + 1, 301])
def test_a_curve_has_a_point_for_every_frame(count: int) -> None:
    for live in (False, True):
        assert random_network(live)(torch.rand(2, count, MEL.bands)).shape == (2, count, len(CURVES))


def test_loss_is_least_at_the_truth_and_forgives_what_it_says() -> None:
    targets = torch.zeros(1, 100, 2)
    targets[0, 50] = 1

    def loss(beat_at: int, onset_at: int, known: tuple[float, float] = (1, 1)) -> float:
        logits = torch.full((1, 100, 2), -9.0)
        logits[0, onset_at, 0] = logits[0, beat_at, 1] = 9.0
        return curve_loss(logits, targets, torch.tensor([known]), ("onset", "beat")).item()

    right = loss(50, 50)
    assert loss(50 + TOLERANCE, 50) == pytest.approx(right, rel=1e-6)  # the same terms in another order
    assert loss(50 + TOLERANCE + 1, 50) > 2 * right
    assert loss(50, 51) > 2 * right
    assert loss(10, 10, known=(0, 0)) == 0


# Songs and examples


def test_frames_are_those_of_the_engine_and_come_once(corpus: Path, items: list[Item]) -> None:
    assert [item.name for item in items] == ["song0", "song1", "song2"]
    wave, _ = soundfile.read(corpus / "train" / "song0" / "drums.flac", dtype="float32")
    heard = mel_frames(wave.mean(1))
    assert items[0].frames.shape == (5, *heard.shape)
    np.testing.assert_allclose(items[0].frames[1], heard, atol=4e-3)  # float16 has 2^-9 between 4 and 7


def test_onsets_of_a_song_are_those_of_its_stems_and_unknown_where_one_is(items: list[Item]) -> None:
    item = items[0]
    onsets = item.targets("onset")
    assert onsets is not None
    np.testing.assert_allclose(onsets, item.times["beat"])  # the bass plays with the drums
    assert replace(item, onsets=(*item.onsets[:3], None)).targets("onset") is None
    np.testing.assert_array_equal(merge([np.array([5.0, 1.0]), None, np.array([3.9, 4.1])]), [1.0, 4.1])


def test_examples_follow_their_seed_and_their_targets_follow_the_sound(items: list[Item]) -> None:
    for seed in range(40):
        rngs = [np.random.default_rng(seed) for _ in range(2)]
        first, again = (draw_example(rng, items, 200, CURVES) for rng in rngs)
        assert first.features.shape == (200, MEL.bands)
        assert first.features.dtype == np.float32
        assert np.isfinite(first.features).all()
        assert first.features.min() >= 0
        assert first.targets.min() >= 0
        assert first.targets.max() <= 1
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)


def test_targets_of_stretched_examples_stay_on_the_attack(items: list[Item]) -> None:
    """Where an onset is marked, the level rises within two frames, at whatever speed; noise may hide a few."""
    rises = []
    for seed in range(60):
        example = draw_example(np.random.default_rng(seed), items, 250, CURVES)
        level = example.features.mean(1)
        for at in np.flatnonzero(example.targets[:, 0] > 0.77):
            if 4 <= at < 246:
                rises.append(level[at : at + 3].max() - level[at - 4 : at - 1].min())
    assert np.mean(np.array(rises) > 0.02) > 0.9


def test_targets_are_narrow_for_onsets_and_take_neighbours_for_chops() -> None:
    curves = {curve: np.zeros(20, np.float32) for curve in ("onset", "beat", "chop")}
    for curve, target in curves.items():
        write_targets(target, np.array([5.0, 12.4, -3.0, 25.0]), curve)
    assert curves["onset"][5] == 1
    assert 0.3 < curves["onset"][6] < 0.4
    assert curves["onset"][13] > curves["onset"][11]
    assert list(np.flatnonzero(curves["beat"])) == [5, 12]
    assert list(np.flatnonzero(curves["chop"])) == [4, 5, 6, 11, 12, 13]


# Training


def test_training_finds_clicks(corpus: Path, tmp_path: Path) -> None:
    settings = replace(SHORT, steps=150, steps_an_epoch=150, batch=4, peak_rate=1e-2, ema_decay=0.9)
    train([corpus], tmp_path / "run", settings, replace(SMALL, live=True), quiet=True)
    network, sources = load_network(tmp_path / "run" / "last.ckpt")
    (item,) = find_items([corpus], "test", tmp_path)
    found = peaks(curves_of(network, item.frames[1])[:, 0], 3)
    assert f_measure(item.times["beat"], found, 2.0) > 0.9
    assert [s.name for s in sources] == ["synthetic"]
    assert network.size.delay == LIVE_DELAY
    with torch.no_grad():
        network.heads.bias -= 4  # type: ignore[operator]
    shifts = calibrate(network, [item])
    assert shifts[0] >= 1.5  # a network trained for seconds is far from sure either way


def test_a_resumed_run_is_the_run_not_stopped(corpus: Path, run: Path, tmp_path: Path) -> None:
    folder, learn = tmp_path / "halves", Run.learn

    def stop(self: Run, batch: object) -> float:
        if self.step == SHORT.steps_an_epoch:
            raise KeyboardInterrupt
        return learn(self, batch)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "learn", stop)
        with pytest.raises(KeyboardInterrupt):
            train([corpus], folder, SHORT, SMALL, quiet=True)
    train([corpus], folder, SHORT, SMALL, resume=True, quiet=True)
    whole, halves = (load_network(f / "last.ckpt")[0].state_dict() for f in (run, folder))
    for name, value in whole.items():
        assert torch.equal(halves[name], value), name


def test_a_run_is_neither_overwritten_nor_resumed_from_nothing(corpus: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--resume"):
        train([corpus], run, SHORT)
    with pytest.raises(RequestError, match="no run to resume"):
        train([corpus], tmp_path / "none", SHORT, resume=True)


def test_what_is_no_checkpoint_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(b"rubbish")
    torch.save({"average": {}}, tmp_path / "b.ckpt")
    for name in ("a.ckpt", "b.ckpt", "missing.ckpt"):
        with pytest.raises(ModelError, match=name):
            load_network(tmp_path / name)


# Export


@pytest.mark.parametrize("live", [False, True])
def test_what_is_exported_is_what_was_trained_weights_included(live: bool, tmp_path: Path) -> None:
    network = random_network(live)
    data = {"average": network.state_dict(), "size": vars(network.size), "sources": []}
    torch.save(data, tmp_path / "net.ckpt")
    rows = export_chopper(tmp_path / "net.ckpt", tmp_path / "out", "tiny")
    assert len(rows) == (2 if live else 3)
    path = tmp_path / "out" / "tiny.onnx"
    card = read_card(path)
    assert card.kind == ("frame-hop" if live else "frames")
    assert card.curves == CURVES
    assert card.context_frames == (LIVE_DELAY if live else SMALL.radius)
    assert card.latency_samples == (512 + 441 if live else 0)
    assert b"/export/" not in path.read_bytes()
    back, _ = load_onnx(path)
    assert back.size == network.size
    for name, value in network.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name
    with torch.no_grad():
        network.blocks[1].mix.bias[3] += 0.01  # type: ignore[union-attr, operator, index]
    with pytest.raises(ModelError, match=r"parity: onnxruntime.*limit is 1e-05"):
        check_chopper(network, path)


def test_a_failed_check_leaves_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.chopper.export_graph", lambda network, path: export_graph(random_network(False), path))
    with pytest.raises(ModelError, match="parity"):
        export_chopper(run / "last.ckpt", tmp_path, "tiny")
    assert list(tmp_path.iterdir()) == []


# A user's own chops


def test_own_chops_are_learned_and_what_was_known_stays_known(tmp_path: Path) -> None:
    """Low tones among clicks are cut by the user, clicks are not."""
    rng, rate = np.random.default_rng(0), 44100
    (tmp_path / "mine").mkdir()
    for number in range(2):
        t, wave = np.arange(6 * rate) / rate, np.zeros(6 * rate)
        starts = np.arange(0.3, 5.8, 0.35) + number * 0.05
        for i, start in enumerate(starts):
            since = np.maximum(t - start, 0)
            sound = np.sin(2 * np.pi * 90 * since) if i % 3 == 0 else rng.standard_normal(len(t))
            wave += np.where(t >= start, sound * np.exp(-40 * since) * 0.3, 0)
        soundfile.write(tmp_path / "mine" / f"take{number}.wav", wave, rate)
        (tmp_path / "mine" / f"take{number}.csv").write_text("\n".join(f"{s:.3f}" for s in starts[::3]))
    base = random_network(False)
    torch.save({"average": base.state_dict(), "size": vars(base.size), "sources": []}, tmp_path / "base.ckpt")
    export_chopper(tmp_path / "base.ckpt", tmp_path, "base")
    settings = replace(SHORT, steps=150, steps_an_epoch=150, batch=4, length=300, peak_rate=5e-3, ema_decay=0.9)
    last = train_own(tmp_path / "mine", tmp_path / "base.onnx", tmp_path / "run", settings, quiet=True)
    network, (source,) = load_network(last)
    assert network.size.curves == (*CURVES, "chop")
    assert source.name == "mine"
    wave, _ = soundfile.read(tmp_path / "mine" / "take0.wav", dtype="float32")
    frames = mel_frames(wave)
    before, after = curves_of(base, frames), curves_of(network, frames)
    cut = np.arange(0.3, 5.8, 0.35)[::3] * MEL.frame_rate
    assert f_measure(cut, peaks(after[:, 4], 5), 3.0) > 0.9
    moved = np.abs(after[:, :4] - before).mean()
    assert moved < 0.5 * np.abs(curves_of(random_network(False, replace(SMALL, width=9)), frames) - before).mean()


# Evaluation


def test_f_measure_is_what_it_says() -> None:
    true = np.array([1.0, 2.0, 3.0])
    assert f_measure(true, true + 0.04, 0.05) == 1
    assert f_measure(true, true + 0.06, 0.05) == 0
    assert f_measure(true, np.array([1.0, 1.01, 2.0]), 0.05) == pytest.approx(2 * 2 / 6)
    assert f_measure(true, np.zeros(0), 0.05) == 0
    np.testing.assert_allclose(merge_seconds(np.array([0.0, 0.02, 0.04, 0.5])), [0.0, 0.04, 0.5])


def test_truth_scores_full_marks_from_any_start(corpus: Path) -> None:
    whole = {s.part: s for s in find_sounds(corpus, "test", None)}
    cut = {s.part: s for s in find_sounds(corpus, "test", 1)}
    assert set(whole) == set(cut) == {"mix", "drums"}
    dropped = whole["mix"].seconds - cut["mix"].seconds
    assert dropped > 0
    kept = whole["mix"].truth["beat"][whole["mix"].truth["beat"] >= dropped] - dropped
    np.testing.assert_allclose(cut["mix"].truth["beat"], kept, atol=1 / 44100)
    sound: Sound = cut["mix"]
    tempo = 60 / np.median(np.diff(sound.truth["beat"]))
    scores = score(sound, {**sound.truth, "tempo": np.array([tempo * 1.03])})
    assert scores.pop("onset distance, mix") == 0
    assert set(scores.values()) == {1.0}
    assert score(sound, {**sound.truth, "tempo": np.array([tempo * 2])})["tempo"] == 0


def test_commands_train_export_and_evaluate_into_the_card(corpus: Path, tmp_path: Path) -> None:
    def call(*words: object) -> str:
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return result.stdout

    for live in ((), ("--live",)):
        folder = tmp_path / f"run{len(live)}"
        call("train", "chopper", corpus, "-o", folder, "--steps", 1, "--batch", 1, *live)
        assert "onnxruntime" in call("export", "chopper", folder / "last.ckpt", "-o", tmp_path, "--name", "tiny")
        evaluate = ("evaluate", "chopper", tmp_path / "tiny.onnx", corpus, "--json", "--into-card")
        items = {item["label"]: item for item in json.loads(call(*evaluate))["items"]}
        assert {"onset F ±50 ms, drums", "onset F ±10 ms, mix", "beat F ±70 ms", "phrase F ±70 ms"} <= set(items)
        card = read_card(tmp_path / "tiny.onnx")
        assert {m.name for m in card.metrics} == set(items)
        assert {m.command for m in card.metrics} == {f"sidechop evaluate chopper tiny {corpus.name} --split test"}
