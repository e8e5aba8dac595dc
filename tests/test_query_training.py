"""Training of query models: words, splits, mixtures, the loss, and a run of the command on one's own sounds."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch import distributed as dist
from torch.multiprocessing.spawn import start_processes

from bridge.registry import find_checkpoint
from models.corpus.sources import default_data
from models.flagger.recordings import RATE
from models.query.calibration import MORE, SEED, SONGS, SPEECH, SPOKEN, TWO, calibrate
from models.query.captions import Captions, embed, load, save
from models.query.classes import SoundClass, class_of_file, class_of_label, classes
from models.query.context import Context, Facts
from models.query.evaluation import SNRS_DB, mixtures, noisy_speech, sdr, si_sdr
from models.query.loss import heard_loss, leak_loss
from models.query.mixing import Batch, Mixer, shares
from models.query.network import (
    FRESH,
    LIVE_BANDS,
    MEASURED,
    SPREAD,
    STUDIO_BANDS,
    STUDIO_SPREAD,
    STUDIO_TURN,
    Bands,
    LiveQuery,
    Size,
    StudioQuery,
    described,
    described_both_ways,
    grain,
    in_turn,
    interleaved,
)
from models.query.own import find_own
from models.query.pool import BEAT_S, LEVEL, LONGEST_S, Place, Pool, Renderer, build, prepare
from models.query.sounds import AMBIENCE_STARTS_S, JUDGES_ALONE, find_sounds
from models.query.training import (
    Kind,
    LiveTask,
    Settings,
    StudioTask,
    averaged_over_processes,
    load_trained,
    make_task,
    schedule,
    train,
    with_known,
)
from models.query.training import save as save_checkpoint
from models.separator.songs import Song
from streaming.card import Source
from streaming.errors import AudioError, ModelError, RequestError
from tests.command_line import run

ONE = Size((3, 4, 6), 6, 7, 16, 1)
BOTH = replace(ONE, dual_paths=1, layers=2, path=4, band_memory=6)
"""Of either kind one."""

SHARED = default_data()
FONT = "/usr/share/sounds/sf2/TimGM6mb.sf2"


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def fake(text: str) -> np.ndarray:
    rng = np.random.default_rng(list(text.encode()))
    vector = rng.standard_normal(384)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three labels of three files: tones, and noise."""
    rng = np.random.default_rng(0)
    for label, hz in (("low_hum", 110.0), ("high beep", 3000.0), ("noise", 0.0)):
        inner = tmp_path / "mine" / label
        inner.mkdir(parents=True)
        for i in range(3):
            wave = tone(hz * (1 + i / 20), 1.5) if hz else (0.1 * rng.standard_normal(RATE)).astype(np.float32)
            soundfile.write(inner / f"{i}.wav", wave, RATE)
    return tmp_path / "mine"


def test_every_class_has_words_enough_and_keeps_some_from_training() -> None:
    for key, sound in classes().items():
        heard, unheard = sound.captions(True), sound.captions(False)
        assert len(sound.names) >= 6, key
        assert len(sound.descriptions) >= 2, key
        assert len(heard) >= 20, key
        assert unheard, key
        assert not set(heard) & set(unheard), key
        assert sound.names[0] in heard, key
        for other in sound.kin:
            assert key in classes()[other].kin, (key, other)


@pytest.mark.parametrize(
    ("label", "key"),
    [("door slam", "door"), ("door creak", "door_creak"), ("glass break", "glass_break"), ("police siren", "siren"),
     ("soda can crunch", "can"), ("piano c", "piano"), ("dog bark", "dog"),
     ("a crinkle of nothing", "paper")],
)  # fmt: skip
def test_labels_find_their_class(label: str, key: str) -> None:
    found = class_of_label(label)
    assert found is not None
    assert found.key == key


def test_files_find_their_class() -> None:
    for path, key in (
        ("/drumkits/GMRockKit/Kick-Hard.wav", "kick"),
        ("/sounds/default_break_glass.1.ogg", "glass_break"),
        ("hydrogen-drumkits/circAfrique v4/Sangban1 Bell Hit.wav", "cowbell"),
        ("sonic-pi-samples/drum_splash_hard.flac", "cymbal"),
        ("ufoai-sound/footsteps/water_in.ogg", "water"),
        ("widelands-data/woodcutting/woodcutting.ogg", "axe"),
        ("lmms-common/instruments/bassslap01.ogg", "bass_guitar"),
        ("tuxpaint-stamps-default/stamps/animals/mammals/bovines/cow.ogg", "cow"),
    ):
        found = class_of_file(path)
        assert found is not None
        assert found.key == key
    assert class_of_file("/usr/share/doc/readme") is None


@pytest.mark.parametrize(
    "path",
    ["hedgewars-data/voices/Pirate/Youllregretthat.ogg", "hedgewars-data/Sounds/custom1.ogg",
     "hedgewars-data/Sounds/ride_of_the_valkyries.ogg", "torcs-data/sound/bottom_crash.wav",
     "torcs-data/sound/skid_metal.wav", "lmms-common/waveforms/10saw.ogg", "widelands-data/sound/lobby_chat.ogg",
     "ufoai-sound/weapons/reload-laser.ogg"],
)  # fmt: skip
def test_a_word_within_a_word_is_no_name(path: str) -> None:
    found = class_of_file(path)
    assert found is None, found.key


@pytest.mark.parametrize(
    ("label", "key"),
    [("cowbell big", "cowbell"), ("woodblock pitched do", "cowbell"), ("egg shaker", "tambourine"),
     ("garbage can lid", "trash"), ("bamboonaphone", "mallets"), ("spin cym", "cymbal"), ("thump", "punch"),
     ("slide whistle up", "whistle"), ("grill top slide", None), ("sax reed", None), ("dust pan", None),
     ("no such label", None)],
)  # fmt: skip
def test_the_whole_label_decides(label: str, key: str | None) -> None:
    found = class_of_label(label)
    assert (found.key if found else None) == key


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data folder")
def test_nothing_of_training_is_judged_and_unseen_classes_never_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # no apt-get: the shared folder alone
    sounds = find_sounds(tmp_path / "no packages", SHARED)
    splits: dict[str, set[str]] = {}
    for sound in sounds:
        splits.setdefault(f"{sound.kind}/{sound.unit}", set()).add(sound.split)
        assert "validation_song_voice" not in sound.file
        assert not (classes()[sound.kind].unseen and sound.split != "test")
    assert all(of == {"train"} for of in splits.values() if "train" in of)  # one soundfont judges twice
    items = json.loads((SHARED / "environment_sounds/manifest.json").read_text())["items"]
    kept = {Path(item["file"]).name for item in items if item["split"] == "validation"}
    assert kept
    assert not kept & {Path(sound.file).name for sound in sounds if sound.split != "validation"}


def test_sounds_in_archives_of_a_game_train_alone_and_long_ones_are_taken_from_several_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # no apt-get
    folder = tmp_path / "0ad-data/usr/share/games/0ad/mods/public"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "public.zip", "w") as archive:
        for name, size in (("resource/construction/con_saw_01.ogg", 4000), ("ambient/weather/wind_11.ogg", 9000),
                           ("music/Harvest.ogg", 9000), ("resource/construction/con_saw_02.ogg", 10)):  # fmt: skip
            archive.writestr(f"audio/{name}", bytes(size))
    sounds = find_sounds(tmp_path, tmp_path / "no data")
    assert all(sound.split == "train" for sound in sounds if sound.source.name == "0ad-data")
    effects = [(s.kind, Path(s.file.split("::")[1]).name, s.start_s) for s in sounds if "::" in s.file]
    assert effects == [("saw", "con_saw_01.ogg", 0.0)] + [("wind", "wind_11.ogg", at) for at in AMBIENCE_STARTS_S]


def test_drum_kits_and_rarer_presets_train_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")  # no apt-get
    rendered = [s for s in find_sounds(tmp_path, tmp_path / "no data") if s.file.count("#") == 2]
    more = [s for s in rendered if ":" in s.file]
    assert {s.split for s in more} == {"train"}
    assert {s.split for s in rendered} == {"train", "validation", "test"}
    assert {"hihat", "tom", "whistle", "bird"} <= {s.kind for s in more}
    assert not any(classes()[s.kind].unseen for s in more)


@pytest.mark.skipif(not Path(FONT).is_file(), reason="no timgm6mb-soundfont")
def test_a_preset_is_rendered_and_one_that_the_font_lacks_is_silence(tmp_path: Path) -> None:
    (tmp_path / "timgm6mb-soundfont").symlink_to("/")
    renderer = Renderer(tmp_path)
    for preset, seconds in (("24", LONGEST_S), ("0:123", LONGEST_S), ("drums:16:42+44+46", BEAT_S)):
        heard = prepare(renderer.render(f"timgm6mb-soundfont#{preset}#train0"))
        assert heard is not None, preset
        assert seconds / 2 < len(heard) / RATE <= seconds, preset
    for preset in ("8:24", "drums:3:42"):
        assert not len(renderer.render(f"timgm6mb-soundfont#{preset}#train0")), preset


def test_a_sound_is_trimmed_and_brought_to_one_level() -> None:
    wave = np.concatenate([np.zeros(5000, np.float32), tone(440), np.zeros(9000, np.float32)])
    heard = prepare(wave)
    assert heard is not None
    assert len(heard) == pytest.approx(RATE, abs=20)
    assert np.sqrt(np.mean(heard[1000:-1000] ** 2)) == pytest.approx(LEVEL, rel=0.02)
    assert prepare(np.zeros(RATE, np.float32)) is None
    assert prepare(tone(440, 0.01)) is None


@pytest.fixture
def pool(folder: Path, tmp_path: Path) -> tuple[Pool, dict[str, SoundClass]]:
    known, sounds = find_own(folder)
    build(tmp_path / "pool", "train", sounds)
    return Pool(tmp_path / "pool", "train"), dict(known)


def mixer(pool: tuple[Pool, dict[str, SoundClass]], seed: int = 0, kind: Kind = "live", stock: int = 12) -> Mixer:
    (held, known), task = pool, make_task(kind, ONE)
    captions, samples = embed(fake, known), torch.from_numpy(np.array(held.samples))
    return Mixer(samples, held.places, captions, RATE, 1.0, task.analyse, stock, seed, known)


@pytest.mark.parametrize("kind", ["live", "studio"])
def test_a_mixture_is_the_sum_of_its_sounds_and_asks_for_no_kin(
    kind: Kind, pool: tuple[Pool, dict[str, SoundClass]]
) -> None:
    source = mixer(pool, kind=kind)
    for _ in range(6):
        batch = source.batch(5)
        assert batch.sounds.shape[1] == (2 if kind == "live" else 1)
        assert torch.view_as_real(batch.sounds).isfinite().all()
        mix = batch.mixed(batch.sounds)
        assert mix.shape == (5, *batch.sounds.shape[1:])
        assert torch.equal(batch.owner.unique(), torch.arange(5))
        assert batch.words.shape == (len(source.keys), 384)
        assert torch.allclose(batch.words.norm(dim=-1), torch.ones(len(source.keys)), atol=1e-4)
        for i in range(5):
            there = set(batch.kind[batch.owner == i].tolist())
            assert {k for k in range(len(source.keys)) if not batch.absent[i, k]} == there  # kin to itself alone
            torch.testing.assert_close(mix[i], batch.sounds[batch.owner == i].sum(0))


def test_mixtures_are_of_the_sounds_of_the_pool_at_some_level_and_place(
    pool: tuple[Pool, dict[str, SoundClass]],
) -> None:
    source, hz = mixer(pool), np.arange(LIVE_BANDS.bins) * RATE / LIVE_BANDS.fft
    named = {source.keys.index("low hum"): (0, 250), source.keys.index("high beep"): (2000, 4500)}
    levels, placed, within = [], [], []
    for _ in range(12):
        batch = source.batch(8)
        for k, (low, high) in named.items():
            for sound in batch.sounds[batch.kind == k]:
                of_bin = sound.abs().square().sum((0, 1)).numpy()
                within.append(of_bin[(hz >= low) & (hz <= high)].sum() / of_bin.sum())
        power = batch.mixed(batch.sounds).abs().square().mean((1, 2, 3))
        levels += (10 * power.log10()).tolist()
        sides = batch.sounds.abs().square().sum((2, 3))
        placed += (10 * (sides[:, 0] / sides[:, 1]).log10()).tolist()
    assert 15 < max(levels) - min(levels) < 35
    assert min(placed) < -5
    assert max(placed) > 5
    assert np.median(within) > 0.9  # tones without their top or bottom are clicks


def test_a_stock_has_all_classes_from_the_first_and_is_renewed(pool: tuple[Pool, dict[str, SoundClass]]) -> None:
    source, before = mixer(pool, stock=20), None
    for _ in range(12):
        stock = source._renewed(8)[: source._made].clone()
        kinds = source._stocked[: source._made]
        assert set(kinds) == {0, 1, 2}
        if before is not None:
            kept = (stock[: len(before)] == before).flatten(1).all(1)
            assert kept.sum() >= len(before) - 2
        before = stock
    assert len(kinds) == len(source._stocked) >= 20
    assert before is not None
    assert not (source._renewed(80) == before).flatten(1).all(1).all()


def test_mixtures_come_from_the_seed_alone(pool: tuple[Pool, dict[str, SoundClass]]) -> None:
    torch.manual_seed(0)
    first = mixer(pool, 3).batch(2)
    torch.manual_seed(0)
    again = mixer(pool, 3).batch(2)
    other = mixer(pool, 4).batch(2)
    assert torch.equal(first.sounds, again.sounds)
    assert torch.equal(first.words, again.words)
    assert first.sounds.shape != other.sounds.shape or not torch.equal(first.sounds, other.sounds)


def test_rare_classes_are_drawn_less_and_wanted_ones_more() -> None:
    weights = shares({"speech": 100, "dog": 100, "cricket": 3})
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > weights[1] > weights[2]


def query_loss(estimate: Tensor, target: Tensor, mix: Tensor, present: Tensor, weight: float) -> Tensor:
    """The loss of waveforms ``(B, ..., samples)``, where training has bands."""
    estimate, target = estimate.flatten(1), target.flatten(1)
    kept, whole = estimate.square().sum(-1), mix.flatten(1).square().sum(-1)
    heard = heard_loss(kept, (estimate * target).sum(-1), target.square().sum(-1), whole)
    return torch.where(present, heard, weight * leak_loss(kept, whole)).mean()


def test_the_loss_knows_the_answer_from_the_mix_and_from_silence() -> None:
    torch.manual_seed(1)
    target, other = torch.randn(2, 4, 2, 8000).unbind(0)
    mix, there = target + other, torch.ones(4, dtype=torch.bool)
    perfect, untouched, silent = (float(query_loss(e, target, mix, there, 1.0)) for e in (target, mix, 0 * mix))
    assert perfect == pytest.approx(-29.6, abs=0.1)
    assert untouched == pytest.approx(0, abs=0.1)
    assert silent == pytest.approx(0, abs=0.1)
    assert query_loss(0.05 * target, target, mix, there, 1.0) < query_loss(0.05 * other, target, mix, there, 1.0) - 5
    energy = target.flatten(1).square().sum(-1)
    half = (energy / 4, energy / 2, energy, 2 * energy)  # the wanted sound at half its level: 6 dB from it
    assert bool((heard_loss(*half, of_shape=0.0) + 6).abs().max() < 0.1)
    assert bool((heard_loss(*half, of_shape=1.0) < -25).all())
    nothing = torch.zeros_like(target)
    assert query_loss(nothing, nothing, mix, ~there, 1.0) < query_loss(mix * 0.1, nothing, mix, ~there, 1.0)


@pytest.mark.parametrize("bands", [LIVE_BANDS, STUDIO_BANDS, Bands(8, 3000.0, 256, 8000)])
def test_every_bin_has_its_band_and_every_band_a_bin(bands: Bands) -> None:
    edges, of_bin = bands.edges(), bands.of_bin()
    assert len(of_bin) == bands.bins
    assert np.all(np.diff(edges) > 0)
    assert sorted(set(of_bin)) == list(range(bands.count))
    assert np.all(np.diff(of_bin) >= 0)
    power = torch.rand(2, bands.bins)
    torch.testing.assert_close((power @ bands.pooling()).sum(1), power[:, : edges[-1]].sum(1))


def test_grain_tells_tones_from_noise_at_any_level_and_is_nothing_in_silence() -> None:
    rng, bands, samples = np.random.default_rng(0), LIVE_BANDS, LIVE_BANDS.fft
    window, t = np.hanning(samples), np.arange(samples) / bands.rate
    of_bin, pooling = torch.tensor(bands.of_bin()), bands.pooling()
    band = int(of_bin[round(6000 / bands.rate * samples)])

    def of(wave: NDArray[np.float64]) -> NDArray[np.float64]:
        power = torch.from_numpy(np.square(np.abs(np.fft.rfft(window * wave)))).float()
        both: NDArray[np.float64] = grain(power, power @ pooling, pooling, of_bin).double().numpy()
        return both

    tone, noise = np.sin(2 * np.pi * 6000 * t), rng.standard_normal((200, samples))
    flat, peak = of(tone)[:, band]
    mean_flat, mean_peak = np.mean([of(one) for one in noise], axis=0)[:, band]
    assert flat < -3
    assert peak > 2
    # bins of noise are exponentially distributed: the mean of ln is −γ, of the square 2; less, as a band has few bins
    assert mean_flat == pytest.approx(-0.53, abs=0.06)
    assert mean_peak == pytest.approx(np.log(2), abs=0.15)
    np.testing.assert_allclose(of(1e-2 * noise[0]), of(noise[0]), atol=0.02)
    assert np.abs(of(0 * tone)).max() < 1e-5  # the logarithm of a power of 1e-8, less itself, in float32
    alone = np.bincount(of_bin.numpy()) == 1
    assert np.abs(of(noise[1])[:, alone]).max(initial=0) < 1e-5
    power = torch.from_numpy(rng.random((3, 5, bands.bins))).float()
    both = grain(power, power @ pooling, pooling, of_bin)
    assert both.shape == (3, 5, 2, bands.count)
    assert bool((both[:, :, 0] <= 1e-5).all())
    assert bool((both[:, :, 1] >= -1e-5).all())


@pytest.mark.parametrize("hops", [1, 3, 4, 9, 16])
def test_hops_are_taken_apart_and_put_together(hops: int) -> None:
    x = torch.rand(3, hops, 2)
    apart = interleaved(x)
    assert apart.shape == (3 * SPREAD, -(-hops // SPREAD), 2)
    torch.testing.assert_close(in_turn(apart, hops), x)


def test_masks_hear_no_future_and_what_training_sees_is_what_is_live() -> None:
    torch.manual_seed(0)
    network = LiveQuery(BOTH).eval()
    frames, words = (
        torch.rand(2, 27, MEASURED, LIVE_BANDS.count),
        torch.nn.functional.normalize(torch.randn(4, 384), dim=-1),
    )
    with torch.no_grad():
        film = network.condition(words)
        masks = network.every_hop(frames, film)
        assert masks.shape == (2, 27, LIVE_BANDS.count, 4)
        changed = frames.clone()
        changed[:, 20:] = 0
        assert torch.equal(network.every_hop(changed, film)[:, :20], masks[:, :20])
        assert (network.every_hop(changed, film)[:, 20:] - masks[:, 20:]).abs().max() > 1e-4
        unet, dual_path = (LiveQuery(size).eval() for size in (ONE, replace(BOTH, listeners=0)))
        for alone, listener, words_to in zip((unet, dual_path), network.listeners, film.chunk(2, dim=1), strict=True):
            alone.listeners[0].load_state_dict(listener.state_dict())
            seen = described(frames[:, ::2], lag=1)[:, 1::2]  # as a training reads them
            torch.testing.assert_close(alone(seen, words_to), alone.every_hop(frames, words_to)[:, 2::SPREAD])


def test_of_two_one_hears_a_hop_and_what_the_other_heard_before_still_stands() -> None:
    torch.manual_seed(0)
    network = LiveQuery(BOTH).eval()
    frames = torch.rand(2, 27, MEASURED, LIVE_BANDS.count)
    film = network.condition(torch.nn.functional.normalize(torch.randn(4, 384), dim=-1))
    with torch.no_grad():
        masks = network.every_hop(frames, film)
        each = [in_turn(said, 27) for said in network.apart(interleaved(described(frames)), film)]
        for hop in range(1, 27):
            fresh, held = each[hop % 2][:, hop], each[1 - hop % 2][:, hop - 1]
            torch.testing.assert_close(masks[:, hop], torch.sigmoid(FRESH * fresh + (1 - FRESH) * held))
        nothing = [torch.zeros(2, 1, LIVE_BANDS.count, network.size.width)] * 2
        first = FRESH * each[0][:, :1] + (1 - FRESH) * network.said(nothing, film)[1]
        torch.testing.assert_close(masks[:, :1], torch.sigmoid(first))


@pytest.mark.parametrize("kind", ["live", "studio"])
def test_the_loss_on_bands_is_that_on_waveforms(kind: Kind, pool: tuple[Pool, dict[str, SoundClass]]) -> None:
    torch.manual_seed(0)
    task, rng = make_task(kind, ONE).eval(), np.random.default_rng(0)
    parts = torch.from_numpy(np.resize(pool[0].samples, (8, 1, 2 * RATE)) / np.float32(32768))
    waves = parts * torch.from_numpy(rng.uniform(0.2, 1.0, (8, 2, 1)).astype(np.float32))
    owner, named = torch.tensor([0, 0, 1, 1, 1, 2, 3, 3]), torch.tensor([0, 1, 0, 2, 3, 2, 1, 3])
    absent = torch.ones(4, 4, dtype=torch.bool)
    absent[owner, named] = False
    words = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((4, 384)).astype(np.float32)), dim=-1)
    batch = Batch(task.analyse(waves), owner, named, absent, words)
    sounds = waves if isinstance(task, LiveTask) else waves.mean(1)
    with torch.no_grad():
        mix = batch.mixed(sounds)
        outputs = torch.stack([task.separate(one, words) for one in mix])  # (4, K, …, samples)
        samples = outputs.shape[-1]
        there = torch.ones(8, dtype=torch.bool)
        ours = outputs[owner, named]
        said = query_loss(ours, sounds[..., :samples], mix[owner][..., :samples], there, 1.0)
        assert float(task.loss(batch, 0.0)) == pytest.approx(float(said), abs=0.3)
        assert float(task.loss(batch, 1.0)) < float(task.loss(batch, 0.0))


@pytest.mark.parametrize("samples", [1025, 6400, 32123])
def test_the_studio_gives_as_many_samples_as_it_gets_and_hears_both_ways(samples: int) -> None:
    torch.manual_seed(0)
    task, words = StudioTask(ONE).eval(), torch.nn.functional.normalize(torch.randn(3, 384), dim=-1)
    with torch.no_grad():
        mix = torch.randn(samples)
        out = task.separate(mix, words)
        assert out.shape == (3, samples)
        changed = mix.clone()
        changed[-samples // 8 :] = 0
        assert (task.separate(changed, words)[:, : samples // 2] - out[:, : samples // 2]).abs().max() > 1e-6


def test_what_training_sees_of_a_clip_is_what_a_clip_is() -> None:
    torch.manual_seed(0)
    network, words = StudioQuery(ONE).eval(), torch.nn.functional.normalize(torch.randn(2, 384), dim=-1)
    power = torch.rand(2, 31, STUDIO_BANDS.count)
    with torch.no_grad():
        film = network.condition(words)
        masks = network.every_hop(power, film)
        seen = described_both_ways(power)
        torch.testing.assert_close(network(seen[:, ::STUDIO_SPREAD], film), masks[:, ::STUDIO_SPREAD])


def test_captions_survive_their_file(tmp_path: Path) -> None:
    known = {key: classes()[key] for key in ("dog", "rain")}
    captions = embed(fake, known)
    save(captions, tmp_path / "captions.npz")
    back = load(tmp_path / "captions.npz")
    np.testing.assert_array_equal(back.table, captions.table)
    for key in known:
        np.testing.assert_array_equal(back.heard[key], captions.heard[key])
        np.testing.assert_array_equal(back.unheard[key], captions.unheard[key])
    assert isinstance(back, Captions)


def test_the_rate_rises_then_falls() -> None:
    rates = [schedule(share, 0.1) for share in np.linspace(0, 1, 50)]
    top = int(np.argmax(rates))
    assert 3 <= top <= 8
    assert np.all(np.diff(rates[top:]) <= 1e-9)
    assert rates[-1] < 0.05


@pytest.mark.parametrize("kind", ["live", "studio"])
def test_a_run_learns_and_its_checkpoint_separates(
    kind: Kind, pool: tuple[Pool, dict[str, SoundClass]], tmp_path: Path
) -> None:
    held, known = pool
    captions = embed(fake, known)
    root = tmp_path / "pool"
    told: list[str] = []
    settings = Settings(kind, minutes=0.06, batch=2, seconds=0.6, warm_up=0.02, stock=9)
    path = train(root, captions, tmp_path / "run", settings, None, known, told.append)
    task, sources, *_ = load_trained(path)
    assert isinstance(task, LiveTask if kind == "live" else StudioTask)
    assert [s.name for s in sources] == ["mine"]
    assert json.loads(told[-1])["step"] >= 1
    with torch.no_grad():
        mix = torch.from_numpy(tone(110))
        out = task.separate(mix.expand(2, -1) if kind == "live" else mix, torch.from_numpy(fake("low hum"))[None])
    assert out.shape[:-1] == ((1, 2) if kind == "live" else (1,))
    assert torch.isfinite(out).all()
    short = Settings(kind, minutes=0.005, batch=1, seconds=0.6)
    begun, ready = tmp_path / "known.ckpt", with_known(task, 3)
    save_checkpoint(begun, settings, ready.network.size, ready.network.state_dict(), sources, 1)
    assert load_trained(begun).task.network.size.known == 3
    further = train(root, captions, tmp_path / "run2", short, begun, known, told.append)
    assert load_trained(further).task.network.size.known == 0  # it learned on: what was known of it is true no more
    other = replace(short, kind="studio" if kind == "live" else "live")
    with pytest.raises(ModelError, match="no checkpoint of query-"):
        train(root, captions, tmp_path / "run3", other, path, known, told.append)
    assert held.places


def average_of_two(rank: int, meeting: Path) -> None:
    """In each of two processes: gradients of 1 and 2, shares of a quarter and three."""
    dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=2)
    weights = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((3, 2), (4,))]
    for weight in weights:
        weight.grad = torch.arange(weight.numel()).view_as(weight) * (rank + 1.0)
    assert averaged_over_processes(weights, 0.25 + rank / 2) == 0.5
    for weight in weights:
        torch.testing.assert_close(weight.grad, torch.arange(weight.numel()).view_as(weight) * 1.5)
    dist.destroy_process_group()


def test_gradients_and_shares_are_the_means_over_processes(tmp_path: Path) -> None:
    start_processes(average_of_two, (tmp_path / "meeting",), 2, start_method="spawn")
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    assert averaged_over_processes([weight], 0.3) == 0.3  # alone


def test_two_processes_learn_one_network(pool: tuple[Pool, dict[str, SoundClass]], tmp_path: Path) -> None:
    known, told, root = pool[1], list[str](), tmp_path / "pool"
    settings = Settings(minutes=0.15, batch=2, seconds=0.6, stock=9, processes=3)  # of which one would have no mixture
    path = train(root, embed(fake, known), tmp_path / "run", settings, None, known, told.append)
    assert load_trained(path).steps == json.loads(told[-1])["step"] >= 1
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_command_trains_on_a_folder_of_ones_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ("--minutes", 0.01, "--batch", 1, "--seconds", 0.6)
    assert run(monkeypatch, "train", "query", folder, "-o", tmp_path / "run", *short) == 0
    assert Path(capsys.readouterr().out.split()[-1]).name == "query-live.ckpt"
    assert run(monkeypatch, "train", "query", folder, "-o", tmp_path / "on", "--base", "query-live", *short) == 0
    begun, now = (load_trained(path) for path in (find_checkpoint("query-live"), tmp_path / "on" / "query-live.ckpt"))
    assert now.task.network.size == replace(begun.task.network.size, known=0)
    capsys.readouterr()
    assert run(monkeypatch, "train", "query", folder, "-o", tmp_path / "no", "--base", "query-life", *short) == 1
    assert "no checkpoint is named 'query-life'" in capsys.readouterr().err


def test_a_csv_says_more_than_folders(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, tone(440), RATE)
    (tmp_path / "words.csv").write_text("file,caption\na.wav,a kettle\na.wav,water boiling\nb.wav,my cat\n")
    known, sounds = find_own(tmp_path)
    assert known["a kettle"].names == ("a kettle", "water boiling")
    assert {s.kind for s in sounds} == {"a kettle", "my cat"}


@pytest.mark.parametrize(
    ("content", "says"),
    [("file,words\na.wav,x\n", "expected file,caption"), ("file,caption\nz.wav,x\n", "line 2: z.wav: no such file"),
     ("file,caption\na.wav,\n", "line 2: no caption"), ("file,caption\na.wav,x\n", "two labels at least")],
)  # fmt: skip
def test_a_wrong_csv_is_told(tmp_path: Path, content: str, says: str) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440), RATE)
    (tmp_path / "words.csv").write_text(content)
    with pytest.raises(RequestError, match=says):
        find_own(tmp_path)


def test_wrong_folders_pools_and_checkpoints_are_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such folder"):
        find_own(tmp_path / "nowhere")
    with pytest.raises(RequestError, match="no labelled audio"):
        find_own(tmp_path)
    with pytest.raises(AudioError, match=r"models\.query\.pool"):
        Pool(tmp_path, "train")
    (tmp_path / "x.ckpt").write_bytes(b"rubbish")
    with pytest.raises(ModelError, match="not a checkpoint"):
        load_trained(tmp_path / "x.ckpt")


JUDGED = ("dog", "rain", "piano", "electric_piano", "speech")


@pytest.fixture
def judged(tmp_path: Path) -> Pool:
    """Noise of our own classes, to be judged by."""
    rng = np.random.default_rng(0)
    places, parts, at = [], [], 0
    for key in JUDGED:
        wave = (0.1 * rng.standard_normal(int(rng.integers(RATE // 4, 6 * RATE))) * 32767).astype(np.int16)
        places.append(Place(key, at, len(wave), "here", key))
        parts.append(wave)
        at += len(wave)
    np.save(tmp_path / "test.npy", np.concatenate(parts))
    source = Source("here", "CC0", "nobody")
    table = {"places": [vars(p) for p in places], "sources": [vars(source)]}
    (tmp_path / "test.json").write_text(json.dumps(table))
    return Pool(tmp_path, "test")


def test_speech_in_noise_is_as_loud_as_is_said(judged: Pool) -> None:
    found = list(noisy_speech(judged, 8, seed=0, seconds=1.5))
    assert [one.snr_db for one in found] == [*SNRS_DB, *SNRS_DB]
    assert {one.kind for one in found} == {"dog", "rain"}  # neither voices nor music
    for one in found:
        assert one.speech.shape == one.noise.shape == (round(1.5 * RATE),)
        ratio = 10 * np.log10(np.square(one.speech).mean() / np.square(one.noise).mean())
        assert ratio == pytest.approx(one.snr_db, abs=0.01)
        assert np.abs(one.speech + one.noise).max() == pytest.approx(0.5, abs=1e-5)
    judged.places = [place for place in judged.places if place.kind != "speech"]
    assert not list(noisy_speech(judged, 8, seed=0))


def test_what_may_only_judge_teaches_nothing(judged: Pool) -> None:
    before = len(judged.places)
    judged.leave_out(JUDGES_ALONE)
    assert len(judged.places) == before
    judged.places[0] = replace(judged.places[0], source="breaks/somebody")
    judged.sources.append(replace(judged.sources[0], name="breaks/somebody"))
    judged.leave_out(JUDGES_ALONE)
    assert len(judged.places) == before - 1
    assert [source.name for source in judged.sources] == ["here"]


def test_standings_part_the_loud_from_the_rest() -> None:
    context = Context(2, 4)
    said = torch.full((10, 8, 3), -20.0)
    said[:3, :, 0] = 0
    said[..., 1] = torch.linspace(-3, 3, 10)[:, None]
    power = torch.ones(10, 8)
    facts = context.facts(said, power, torch.zeros(1, 2))
    low, middle, high, share = facts.asked[:, 0].tolist()
    assert (low, middle, high) == pytest.approx((-20, -10, 0), abs=0.1)
    assert share == pytest.approx(0.3, abs=0.01)
    assert facts.together[0, 0] < -0.5  # it is there when the other is not
    assert float(facts.together[0, 1]) == pytest.approx(0, abs=1e-5)  # what never changes tells nothing
    louder = context.facts(said, 100 * power, torch.zeros(1, 2))
    padded = context.facts(
        torch.cat([said, torch.randn(5, 8, 3)]), torch.cat([power, torch.zeros(5, 8)]), torch.zeros(1, 2)
    )
    for other in (louder, padded):
        torch.testing.assert_close(other, facts, rtol=1e-4, atol=1e-4)
    silent = context.facts(said, 0 * power, torch.zeros(1, 2))
    assert all(torch.isfinite(x).all() for x in silent)


def stirred(context: Context) -> Context:
    """One that makes something of everything."""
    with torch.no_grad():
        for value in (*context.parameters(), context.known):
            value.copy_(0.3 * torch.randn_like(value))
    return context


def test_films_that_are_changed_say_what_was_to_be_said() -> None:
    torch.manual_seed(0)
    network = StudioQuery(replace(BOTH, known=5)).eval()
    assert network.context is not None
    context = stirred(network.context)
    power = torch.rand(2, 31, STUDIO_BANDS.count)
    film = network.condition(torch.nn.functional.normalize(torch.randn(3, 384), dim=-1))
    with torch.no_grad():
        masks = network.every_hop(power, film)
        for i, mask in enumerate(masks):
            facts, said = network.facts(context, power[i : i + 1], film)
            now = context.change(facts).of(said[..., :3], said[..., 3:])
            of_turn = mask[STUDIO_TURN::STUDIO_SPREAD]
            torch.testing.assert_close(torch.sigmoid(now[: len(of_turn)]), of_turn)
            plain = torch.sigmoid(said[: len(of_turn), :, :3])
            assert (plain - of_turn).abs().max() > 0.01
        torch.testing.assert_close(
            network.every_hop(power, film[1:2]), masks[..., 1:2]
        )  # what else is asked is no matter


def test_what_is_remembered_of_a_stream_is_what_it_held() -> None:
    """Facts of the whole, where all counts alike; a row that is asked something else begins afresh, the others not."""
    torch.manual_seed(0)
    context, hops, bands = stirred(Context(4, 8)), 30, 8
    said, power, alike = 3 * torch.randn(hops, bands, 6), torch.rand(hops, bands), torch.zeros(2, 4)
    film = torch.randn(2, 8)

    def heard(films: list[Tensor], start: int = 0) -> Facts:
        memory = context.nothing(2)
        for t in range(start, hops):
            facts, memory = context.remember(said[t], power[t : t + 1], films[t], memory, alike)
        return facts

    with torch.no_grad():
        through, late = heard([film] * hops), heard([film] * hops, start=20)
        clip = context.facts(said, power, alike)
        assert (through.together - clip.together).abs().max() < 0.05
        for stream, whole in zip(through, clip, strict=True):
            assert (stream - whole).abs().max() < 1.0
        swapped = heard([torch.stack([film[0], -film[1]])] * 20 + [film] * (hops - 20))
        torch.testing.assert_close(swapped.known, through.known)
        torch.testing.assert_close(swapped.together[0], through.together[0])
        torch.testing.assert_close(swapped.together[1], late.together[1], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(swapped.asked[:, 0], through.asked[:, 0])
        torch.testing.assert_close(swapped.asked[:, 1], late.asked[:, 1], rtol=1e-3, atol=1e-3)
        power[:] = 0
        assert all(torch.isfinite(x).all() for x in heard([film] * hops))


def test_a_live_context_hears_no_future() -> None:
    torch.manual_seed(0)
    network = LiveQuery(replace(BOTH, known=5)).eval()
    assert network.context is not None
    stirred(network.context)
    frames = torch.rand(2, 27, MEASURED, LIVE_BANDS.count)
    film = network.condition(torch.nn.functional.normalize(torch.randn(3, 384), dim=-1))
    with torch.no_grad():
        masks = network.every_hop(frames, film)
        changed = frames.clone()
        changed[:, 20:] = 0
        after = network.every_hop(changed, film)
    assert masks.shape == (2, 27, LIVE_BANDS.count, 3)
    torch.testing.assert_close(after[:, :20], masks[:, :20])
    assert (after[:, 20:] - masks[:, 20:]).abs().max() > 1e-4


@pytest.mark.parametrize("kind", ["live", "studio"])
def test_a_context_is_fitted_on_what_is_new(kind: Kind, judged: Pool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    task, captions = make_task(kind, BOTH).eval(), embed(fake)
    judged.places.append(replace(judged.places[0], source=JUDGES_ALONE[0]))
    rng = np.random.default_rng(0)
    for stem in ("drums", "bass", "other"):
        soundfile.write(tmp_path / f"{stem}.flac", 0.1 * rng.standard_normal((5 * RATE, 2)), RATE)
    ready, figures = calibrate(task, judged, captions, 0.12, SPOKEN, epochs=20, songs=[Song(tmp_path)])
    assert {place.source for place in judged.places} == {"here"}
    context = ready.network.context
    assert context is not None
    assert len(context.known) == ready.network.size.known == sum(not sound.unseen for sound in classes().values())
    before: list[list[float]] = []
    after: list[list[float]] = []
    for mixture in mixtures(judged, 6, SEED):
        mix = torch.from_numpy(soxr.resample(mixture.wanted + mixture.other, RATE, task.rate))
        mix = mix.expand(2, -1) if kind == "live" else mix
        words = torch.from_numpy(np.stack([captions.table[captions.heard[key][0]] for key in (mixture.kind, "sheep")]))
        with torch.no_grad():
            for found, one in ((before, task), (after, ready)):
                found.append([float(10 * torch.log10(x.square().sum())) for x in one.separate(mix, words)])
    assert np.mean(np.subtract(after, before)) < -5  # noise beside noise: what cannot be told apart is best left out
    assert set(figures) == {TWO, MORE, SPEECH, SONGS}
    assert np.isfinite([(*without, *fitted) for without, fitted in figures.values()]).all()


def test_evaluation_mixtures_are_the_same_each_time_and_never_of_kin(judged: Pool) -> None:
    first, again = list(mixtures(judged, 12, 5)), list(mixtures(judged, 12, 5))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.wanted, b.wanted)
        assert a.other_kind not in classes()[a.kind].kin
        assert a.third not in classes()[a.kind].kin | classes()[a.other_kind].kin
        level = 10 * np.log10(np.mean(a.wanted**2) / np.mean(a.other**2))
        assert -10.1 <= level <= 10.1
    assert {m.kind for m in first} == set(JUDGED)


def test_ratios_are_those_of_the_definitions() -> None:
    rng = np.random.default_rng(0)
    truth, noise = rng.standard_normal((2, 20000)).astype(np.float32)
    assert sdr(truth, truth + np.float32(0.1) * noise) == pytest.approx(20, abs=0.2)
    assert si_sdr(truth, 5 * (truth + np.float32(0.1) * noise)) == pytest.approx(20, abs=0.2)
    assert sdr(truth, 0 * truth) == pytest.approx(0, abs=1e-6)
