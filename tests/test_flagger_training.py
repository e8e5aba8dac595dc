"""Training and teaching flaggers: clips, networks, memory, thresholds, own folders, baselines, files, reports."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from tiny_models import tiny_flagger
from typer.testing import CliRunner

from bridge.cli import app
from export.flagger import export_network, put_constants
from export.flagger_runs import library_of, own_split
from models.flagger.baselines import KINDS, Baseline
from models.flagger.clips import CLIP_S, draw_clip, mel
from models.flagger.corruptions import CLASSES, FAMILIES, Pools
from models.flagger.evaluation import Curve, Results, Take, auroc, f_measure, find_takes, measure, partial_auc
from models.flagger.mel_faults import BEFORE, CHANGES
from models.flagger.network import SCALES, FlagNetwork, Size, folded
from models.flagger.pairs import kept_steps, read_folder
from models.flagger.recordings import RATE, Decoded, Recording
from models.flagger.teaching import Heard as HeardSteps
from models.flagger.teaching import coreset, memory_of, set_threshold, step_shares
from models.flagger.training import Examples, Heard, Settings, save_checkpoint, shares, train_baseline, train_network
from streaming.card import Source
from streaming.errors import ModelError, RequestError
from streaming.flagger import FILE, Flagger
from streaming.segments import SegmentNetwork
from streaming.session import OnnxModel

SOURCE = Source("test", "CC0", "nobody")


def song(seconds: float, seed: int) -> NDArray[np.float32]:
    """Plucked notes of a scale on a beat: ``(n,)``."""
    rng = np.random.default_rng(seed)
    out = np.zeros(int(seconds * RATE), np.float32)
    t = np.arange(RATE // 2) / RATE
    for at in np.arange(0, seconds - 0.5, 0.25):
        pitch = 110 * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 11, 12]) / 12 + rng.integers(3))
        note = np.sign(np.sin(2 * np.pi * pitch * t)) * np.exp(-6 * t) * 0.15
        start = int(at * RATE)
        out[start : start + len(t)] += note.astype(np.float32)
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five songs of half a minute."""
    path = tmp_path_factory.mktemp("songs")
    for i in range(5):
        soundfile.write(path / f"song {i}.wav", song(30, i), RATE)
    return path


@pytest.fixture(scope="module")
def pools(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Pools:
    recordings = [Recording(p.name, (str(p),), SOURCE) for p in sorted(folder.glob("*.wav"))]
    return Pools(Decoded(recordings, tmp_path_factory.mktemp("decoded")), None, None)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_flagger(tmp_path_factory.mktemp("base") / "tiny.onnx")


@pytest.mark.parametrize("name", list(FAMILIES))
def test_every_corruption_changes_audio_and_keeps_its_length(name: str, pools: Pools) -> None:
    changed = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        audio = pools.music.draw(rng, 2 * RATE)
        worse = FAMILIES[name](rng, audio.copy(), pools)
        assert worse.shape == audio.shape
        assert worse.dtype == np.float32
        assert np.isfinite(worse).all()
        changed += float(np.square(worse - audio).mean()) > 1e-4 * float(np.square(audio).mean())
    assert changed >= 3


@pytest.mark.parametrize("name", list(CHANGES))
def test_every_family_in_frames_changes_them_and_keeps_their_shape(name: str, pools: Pools) -> None:
    library = library_of(pools)
    changed = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        both = library.music.power(library.music.draw(rng)[1], BEFORE + 64)
        before, power = both[:BEFORE], both[BEFORE:]
        worse = CHANGES[name](rng, power.copy(), before, library)
        assert worse.shape == power.shape
        assert np.isfinite(worse).all()
        changed += float(np.abs(np.log10(1 + np.maximum(0, worse)) - np.log10(1 + power)).mean()) > 0.05
    assert changed >= 4


def test_sounds_that_play_together_add_up_in_power(pools: Pools) -> None:
    """What frames say of a mix of two, as far as they do not beat: the median error is small."""
    rng = np.random.default_rng(0)
    one, two = (pools.music.draw(rng, 5 * RATE) for _ in range(2))
    both = mel(one + two).astype(np.float32)
    summed = np.log10(1 + sum(np.power(10, mel(x).astype(np.float32)) - 1 for x in (one, two)))
    assert np.median(np.abs(both - summed)) < 0.05


def test_a_clip_hangs_on_its_seed_alone_and_says_where_it_is_worse(pools: Pools) -> None:
    clips = [draw_clip(np.random.default_rng((3, i)), pools) for i in range(6)]
    again = draw_clip(np.random.default_rng((3, 0)), pools)
    np.testing.assert_array_equal(again.frames, clips[0].frames)
    np.testing.assert_array_equal(again.kinds, clips[0].kinds)
    assert clips[0].frames.shape == (int(CLIP_S * 100) + 1, 64)
    assert clips[0].context.shape == ((2401 - 64) // 16 + 1, 2, 64)
    kinds = np.concatenate([c.kinds for c in clips])
    assert 0 < (kinds > 0).mean() < 0.6
    assert kinds.max() < len(CLASSES)


def test_shares_of_a_segment() -> None:
    kinds = np.zeros((3, 64), np.uint8)
    kinds[1, 32:] = 2
    kinds[2, 60:] = 1
    target = shares(kinds, 4)
    np.testing.assert_allclose(target.sum(axis=1), 1)
    np.testing.assert_allclose(target[0], [1, 0, 0, 0])
    np.testing.assert_allclose(target[1], [0, 0, 1, 0], atol=1e-6)
    assert target[2, 1] == pytest.approx(4 / 64 / 0.4)
    assert step_shares(kinds[1])[0] == 0.5


def test_norms_fold_into_the_same_network() -> None:
    torch.manual_seed(0)
    network = FlagNetwork(Size())
    network.train()
    for _ in range(3):
        network(torch.rand(8, 64, 64) * 4, torch.rand(8, 2, 64))
    network.eval()
    segments, context = torch.rand(4, 64, 64) * 4, torch.rand(4, 2, 64)
    with torch.no_grad():
        for a, b in zip(network(segments, context), folded(network)(segments, context), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)


def test_training_lowers_the_loss_and_exports_what_it_trained(pools: Pools, tmp_path: Path) -> None:
    from models.flagger.clips import Clip

    clips = [draw_clip(np.random.default_rng((1, i)), pools) for i in range(4)]
    stacked = Clip(*(np.stack(parts) for parts in zip(*clips, strict=True)))
    settings = Settings(steps=12, batch=48, warm_up_steps=4, bf16=False, workers=0)
    heard = Heard(library_of(pools), stacked)
    segments, context, target = Examples(heard, settings, len(CLASSES)).batch(0)
    assert segments.shape == (48, 64, 64)
    again = Examples(heard, settings, len(CLASSES)).batch(0)
    torch.testing.assert_close(segments, again[0], rtol=0, atol=0)
    np.testing.assert_allclose(target.sum(dim=1), 1, atol=1e-6)
    checkpoint = train_network(heard, settings, Size(), tmp_path, [SOURCE], quiet=True)
    rows = export_network(checkpoint, tmp_path, "trained")
    assert len(rows) == 4
    assert all(row.holds for row in rows)
    card = OnnxModel.open(tmp_path / "trained.onnx").card
    assert card.training == (SOURCE,)
    assert card.classes == CLASSES
    torch.manual_seed(0)
    from models.flagger.training import read_checkpoint

    trained, _ = read_checkpoint(checkpoint)
    fresh = FlagNetwork(Size()).eval()
    with torch.no_grad():
        losses = [torch.nn.functional.cross_entropy(n(segments, context)[1], target) for n in (fresh, trained)]
    assert losses[1] < losses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_baseline_trains_and_stands_in_for_the_flagger(kind: str, pools: Pools, tmp_path: Path) -> None:
    from models.flagger.clips import Clip

    clip = draw_clip(np.random.default_rng(5), pools)
    stacked = Clip(*(part[None] for part in clip))
    settings = Settings(steps=3, batch=16, workers=0)
    checkpoint = train_baseline(Heard(library_of(pools), stacked), kind, settings, tmp_path, [SOURCE], quiet=True)  # type: ignore[arg-type]
    export_network(checkpoint, tmp_path, kind)
    network = SegmentNetwork(OnnxModel.open(tmp_path / f"{kind}.onnx"))
    assert network.classes == ("clean", "odd")
    frames = stacked.frames[0].astype(np.float32)
    _, likely = network.run(network.segmenter().process(frames))
    np.testing.assert_allclose(likely.sum(axis=1), 1, atol=1e-5)


def test_an_autoencoders_odds_are_even_at_its_percentile() -> None:
    torch.manual_seed(1)
    network = Baseline("autoencoder").eval()
    segments = torch.rand(200, 64, 64) * torch.rand(200, 1, 1) * 6
    with torch.no_grad():
        network.limit.copy_(network.score(segments).quantile(0.95))
        odd = network(segments, torch.zeros(200, 2, 64))[1].softmax(dim=1)[:, 1]
    assert float((odd > 0.5).float().mean()) == pytest.approx(0.05, abs=0.006)


def test_a_coreset_covers_what_is_rare() -> None:
    rng = np.random.default_rng(6)
    common, rare = rng.normal(0, 0.05, (3000, 4)), rng.normal(3, 0.05, (100, 4))
    pool = np.concatenate([common, rare]).astype(np.float32)
    chosen = coreset(pool, 40, rng)
    assert 1 <= (chosen[:, 0] > 2).sum() <= 20
    assert memory_of([HeardSteps(pool, np.zeros(len(pool), np.float32))], SCALES, 16).shape == (3, 16, 4)


def test_the_threshold_leaves_few_false_flags(base: Path) -> None:
    """On fresh numbers of the same kind, as many as on those it was set with."""
    from models.flagger.teaching import count_flags, evidence_of
    from streaming.evidence import oddness

    network = SegmentNetwork(OnnxModel.open(base))
    rng = np.random.default_rng(7)
    sets = [
        [
            HeardSteps(rng.normal(size=(750, 8)).astype(np.float32), rng.normal(-4, 2, 750).astype(np.float32))
            for _ in range(40)
        ]
        for _ in range(2)
    ]
    weights, calibration = set_threshold(network, sets[0], network.weights[FILE], FILE)
    assert (np.diff(calibration) >= 0).all()
    for some in sets:  # 40 times two minutes each
        numbers = [oddness(evidence_of(network, heard, FILE), weights) for heard in some]
        assert count_flags(numbers, 0.0) <= 10
    assert count_flags([n + 4 for n in numbers], 0.0) > 10


def test_constants_go_into_a_file_and_come_out(base: Path, tmp_path: Path) -> None:
    from models.flagger.teaching import Taught

    rng = np.random.default_rng(8)
    taught = Taught(*(rng.normal(size=s).astype(np.float32) for s in ((3, 4, 8), (2, 11), (2, 100))))
    card = put_constants(base, tmp_path / "mine.onnx", taught, "mine", [SOURCE])
    network = SegmentNetwork(OnnxModel.open(tmp_path / "mine.onnx"))
    np.testing.assert_array_equal(network.memory, taught.memory)
    np.testing.assert_array_equal(network.calibration, taught.calibration)
    assert (card.name, card.training) == ("mine", (SOURCE,))
    wrong = taught._replace(memory=np.zeros((3, 5, 8), np.float32))
    with pytest.raises(ModelError, match="shall go in"):
        put_constants(base, tmp_path / "not.onnx", wrong, "not", [])
    assert not (tmp_path / "not.onnx").exists()


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["train", "flagger", *arguments])
    text = str(result.exception) if isinstance(result.exception, RequestError | ModelError) else result.output
    return result.exit_code, text


def test_a_users_own_in_one_command(folder: Path, base: Path, tmp_path: Path) -> None:
    code, text = run(str(folder), "-o", str(tmp_path), "--name", "mine", "--base", str(base))
    assert code == 0, text
    card = OnnxModel.open(tmp_path / "mine.onnx").card
    assert card.training[-1].credit == "a user's own recordings"
    page = (tmp_path / "mine.html").read_text(encoding="utf-8")
    assert "song 3.wav" in page
    assert "held out" in page
    assert "data:image/png;base64," in page
    assert page.count("<tr><td>0.") == 7  # a row for each threshold
    flagger = Flagger(tmp_path / "mine.onnx")
    flagger.prepare(RATE, 1)
    assert not [step for step in flagger.review(flagger.process(song(20, 77)[None], 0)) if step.score >= 0.5]


def test_of_pairs_only_the_edited_side_is_learned_and_the_raw_side_judges(
    folder: Path, base: Path, tmp_path: Path
) -> None:
    for name in ("edited", "raw"):
        (tmp_path / name).mkdir()
    for i in range(3):
        edited = song(30, i)
        rng = np.random.default_rng(i)
        hiss = rng.normal(0, 0.1, 5 * RATE).astype(np.float32)
        raw = np.concatenate([edited[: 12 * RATE], hiss, edited[12 * RATE :]])
        soundfile.write(tmp_path / "edited" / f"{i}.wav", edited, RATE)
        soundfile.write(tmp_path / "raw" / f"{i}.wav", raw, RATE)
    there = read_folder(tmp_path)
    assert [len(part) for part in there] == [3, 3]
    code, text = run(str(tmp_path), "-o", str(tmp_path / "out"), "--base", str(base))
    assert code == 0, text
    page = (tmp_path / "out" / "my-flagger.html").read_text(encoding="utf-8")
    assert "AUROC 1.000" in page or "AUROC 0.99" in page  # hiss is what the tiny model hears
    assert "3 recordings" in page


def test_what_an_edit_kept_is_found_by_sound() -> None:
    edited = song(20, 1)
    gap = np.random.default_rng(1).normal(0, 0.1, 4 * RATE + 333).astype(np.float32)
    raw = np.concatenate([edited[: 8 * RATE], gap, edited[8 * RATE :]])
    kept = kept_steps(raw, edited)
    middles = np.arange(len(kept)) * 0.16 + 0.32
    truth = (middles < 8) | (middles > 12.01)
    sure = np.abs(middles - 8) > 0.4
    sure &= np.abs(middles - 12.01) > 0.4
    assert (kept == truth)[sure].mean() > 0.97


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "no audio below it"),
        ({"one.wav": 70.0}, "one recording that can be used, one.wav"),
        ({"a.wav": 2.0, "b.wav": 2.0}, "2.0 s, and 5 s are the least"),
        ({"a.wav": 10.0, "b.wav": 10.0}, "20 s of audio"),
        ({"raw/a.wav": 70.0}, "raw takes alone"),
    ],
)
def test_folders_that_do_not_do(files: dict[str, float], says: str, base: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, seconds in files.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, song(seconds, 1), RATE)
    code, text = run(str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--base", str(base))
    assert code != 0
    assert says in text
    assert not list((tmp_path / "out").glob("*.onnx"))


def test_files_of_other_kinds_and_rates(base: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no audio")
    for i, rate in enumerate((22050, 48000, 96000)):
        wave = song(40, i)
        import soxr

        soundfile.write(tmp_path / f"{rate}.wav", soxr.resample(wave, RATE, rate), rate)
    (tmp_path / "broken.wav").write_bytes(b"RIFF rubbish")
    code, text = run(str(tmp_path), "-o", str(tmp_path / "out"), "--base", str(base))
    assert code == 0, text
    assert "broken.wav: not readable as audio" in text
    code, text = run(str(tmp_path / "absent"), "-o", str(tmp_path / "out"), "--base", str(base))
    assert (code != 0, "no such folder" in text) == (True, True)
    code, text = run("-o", str(tmp_path / "out"))
    assert "give a folder" in text


def test_from_scratch_takes_four(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", song(30, 0), RATE)
    with pytest.raises(RequestError, match="takes 4 at least"):
        own_split(tmp_path, tmp_path / "cache")


def test_areas_against_their_definition() -> None:
    rng = np.random.default_rng(9)
    good, bad = rng.normal(0, 1, 300).round(1), rng.normal(1, 1, 60).round(1)
    pairs = (bad[:, None] > good).mean() + (bad[:, None] == good).mean() / 2
    assert auroc(good, bad) == pytest.approx(pairs)
    assert partial_auc(good, good + 100) == pytest.approx(1)
    assert partial_auc(rng.random(20_000), rng.random(20_000)) == pytest.approx(0.5, abs=0.02)
    assert 0.5 < partial_auc(good, bad) < auroc(good, bad)


def a_take(task: str, faults: list[tuple[int, int]], keep: list[tuple[int, int]]) -> Take:
    return Take("t", Path(), task, "noise", False, faults, keep)


def test_a_perfect_curve_is_measured_as_perfect_and_chance_as_chance() -> None:
    samples, fault = 40 * RATE, (10 * RATE, 13 * RATE)
    at = np.arange(250) * 0.16
    perfect = ((at >= 9.9) & (at <= 13.1)).astype(float)
    take = a_take("fault", [fault], [])
    values = measure(take, samples, Curve(0.16, perfect, [])).values
    assert values == {"AUROC noise": 1.0, "pAUC(0.1) noise": pytest.approx(1.0)}
    edit = a_take("edit", [fault], [(0, 10 * RATE), (13 * RATE, samples)])
    exact = ((at >= 9.95) & (at <= 13.05)).astype(float)
    values = measure(edit, samples, Curve(0.16, exact, [])).values
    assert values["kept IoU"] > 0.99
    assert values["boundary F ±150 ms"] == 1.0
    random = np.random.default_rng(0).random(250)
    assert measure(edit, samples, Curve(0.16, random, [])).values["boundary F ±150 ms"] < 0.5


def test_a_clean_take_tells_false_flags_and_how_rare_good_audio_is_said_to_be() -> None:
    clean = a_take("clean", [], [])
    said = Curve(0.16, np.zeros(100), [], p_values=np.linspace(0.01, 1, 100))
    values = measure(clean, 60 * RATE, said).values
    assert values == {"flags": 0.0, "minutes": 1.0, "good steps with p of 0.05 or less": pytest.approx(0.05)}
    assert "good steps with p of 0.05 or less" in Results([measure(clean, 60 * RATE, said)]).summary()
    assert "flags" in measure(clean, 60 * RATE, said._replace(p_values=None)).values
    assert not measure(clean, 60 * RATE, said._replace(flags=None)).values


def test_boundaries_match_once() -> None:
    assert f_measure(np.array([1.0, 5.0]), np.array([1.1, 1.05, 4.9])) == pytest.approx(2 * 2 / 5)
    assert f_measure(np.zeros(0), np.zeros(0)) == 1.0
    assert f_measure(np.array([1.0]), np.array([2.0])) == 0.0


def test_takes_are_read_from_a_corpus(tmp_path: Path) -> None:
    folder = tmp_path / "test" / "x"
    folder.mkdir(parents=True)
    facts = {"task": "edit", "speech": False, "faults": [{"kind": "talk", "start": 1, "end": 2}], "keep": [[0, 1]]}
    (folder / "flags.json").write_text(json.dumps(facts))
    (take,) = find_takes(tmp_path, "test")
    assert (take.faults, take.keep) == ([(1, 2)], [(0, 1)])
    with pytest.raises(RequestError, match="no takes"):
        find_takes(tmp_path, "validation")


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_bytes(b"rubbish")
    with pytest.raises(ModelError, match="not a checkpoint of a flagger"):
        export_network(tmp_path / "x.ckpt", tmp_path, "x")
    with pytest.raises(ModelError, match="no such file"):
        export_network(tmp_path / "y.ckpt", tmp_path, "y")
    save_checkpoint(tmp_path / "z.ckpt", FlagNetwork(Size()).eval(), Settings(), [])
    assert export_network(tmp_path / "z.ckpt", tmp_path, "z")
