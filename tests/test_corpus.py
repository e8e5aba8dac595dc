"""The maker of training songs: same seed, same song; splits share no player; stems are sound and sum to the mix."""

import json
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("scipy", reason="the corpus needs the train extra")
pytest.importorskip("pedalboard", reason="the corpus needs the train extra")

from models.corpus.build import Order, build, song_folder
from models.corpus.compose import compose
from models.corpus.drums import hydrogen_kit, role_of
from models.corpus.instruments import SoundfontPlayer, play_patch
from models.corpus.pools import POOLS
from models.corpus.production import STEMS, master
from models.corpus.render import Studio
from models.corpus.score import Hit, Note
from models.corpus.sources import CREDITS, SOUNDFONT_FILES, Sources
from models.corpus.styles import STYLES
from models.corpus.synth import RATE, Patch
from models.corpus.takes import SUNG, Take, analyse
from models.corpus.voice import Manner, Singer, sing, sing_syllables
from models.corpus.vowels import vowel_note

PLAIN = Manner(vibrato_hz=5, vibrato_semitones=0, glide_s=0.02, scoop_semitones=0, drift_semitones=0, breath=0)


@pytest.fixture
def nothing(tmp_path: Path) -> Sources:
    """Sources on a machine that has neither packages nor data."""
    return Sources(tmp_path / "cache", tmp_path / "data", download=False)


def pitch_of(sound: np.ndarray, near: float) -> float:
    """MIDI pitch of the strongest partial within a third of ``near``, from a long spectrum."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 2**19))
    hz = np.fft.rfftfreq(2**19, 1 / RATE)
    midi = 69 + 12 * np.log2(np.maximum(hz, 1) / 440)
    return float(midi[np.argmax(np.where(np.abs(midi - near) < 4, spectrum, 0))])


@pytest.mark.parametrize("style", sorted(STYLES))
def test_a_seed_is_a_song(style: str) -> None:
    first, again = (compose(np.random.default_rng(3), 20, style) for _ in range(2))
    assert first == again
    assert compose(np.random.default_rng(4), 20, style) != first
    assert all(0 <= hit.start < 30 and 0 < hit.velocity <= 1 for hit in first.hits)
    assert all(24 <= note.pitch <= 64 for note in first.bass)


@pytest.mark.parametrize("kind", ["soundfonts", "drum_soundfonts", "kits", "singers", "one_shots", "speakers", "loops"])
def test_training_meets_no_player_of_the_held_out_splits(kind: str) -> None:
    for held_out in ("validation", "test"):
        assert not set(getattr(POOLS["train"], kind)) & set(getattr(POOLS[held_out], kind))


def test_validation_and_test_play_other_drums_and_basses() -> None:
    for one, other in combinations(("validation", "test"), 2):
        for kind in ("kits", "drum_soundfonts", "one_shots"):
            assert not set(getattr(POOLS[one], kind)) & set(getattr(POOLS[other], kind))


def test_stems_from_synthesis_alone(nothing: Sources) -> None:
    """Without any source there are still four stems, credited, and the same again for the same seed."""
    studio = Studio(nothing, POOLS["train"])
    song = compose(np.random.default_rng(2), 8, "soul")
    one, two = (studio.render(np.random.default_rng(5), song) for _ in range(2))
    assert tuple(one.stems) == STEMS
    for name, sound in one.stems.items():
        assert sound.shape == (2, 8 * RATE)
        assert sound.dtype == np.float32
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() > 0.01, name
        np.testing.assert_array_equal(sound, two.stems[name])
    assert np.abs(np.sum(list(one.stems.values()), axis=0)).max() <= 0.97
    assert one.facts["sources"] == [CREDITS["synthesis"]._asdict()]
    assert nothing.missing


def test_build_resumes_and_is_the_same_in_another_process(tmp_path: Path) -> None:
    order = Order(tmp_path / "corpus", 1, 3.0, cache=tmp_path / "cache", data=tmp_path / "data", download=False)
    assert build(order) == {"train": 1, "validation": 1, "test": 1}
    folder = song_folder(order, "train", 0)
    assert json.loads((folder / "song.json").read_text())["seed"] == [0, "train", 0]
    before = {name: soundfile.read(folder / f"{name}.flac") for name in STEMS}
    kept = song_folder(order, "test", 0) / "song.json"
    made_at = kept.stat().st_mtime_ns
    (folder / "song.json").unlink()
    build(order)
    assert kept.stat().st_mtime_ns == made_at
    for name, (sound, rate) in before.items():
        assert rate == RATE
        np.testing.assert_array_equal(soundfile.read(folder / f"{name}.flac")[0], sound)
    assert not list(order.root.rglob(".song*"))


def test_the_master_is_a_gain_common_to_all_stems() -> None:
    rng = np.random.default_rng(0)
    stems = {name: rng.standard_normal((2, RATE)).astype(np.float32) for name in STEMS}
    done = master(rng, stems)
    gains = np.stack([done[name] / stems[name] for name in STEMS])
    # a float32 product and quotient differ by a few units in the last place
    np.testing.assert_allclose(gains, np.broadcast_to(gains[:1, :1], gains.shape), rtol=1e-5)
    assert max(np.abs(sound).max() for sound in done.values()) <= 0.97


@pytest.mark.parametrize("semitones", [-5, -2, 0, 3, 7])
def test_a_take_is_sung_at_the_pitch_asked_for(semitones: int) -> None:
    rng = np.random.default_rng(1)
    take = analyse(vowel_note(rng, Note(0, 1.0, 57, 1), "a"), 220.0, SUNG)
    assert isinstance(take, Take)
    out = np.zeros(3 * RATE, dtype=np.float32)
    sing_syllables(rng, [(take, 0)], [Note(0.5, 2.0, 57 + semitones, 1)], PLAIN, out)
    # 20 cents: marks lie on whole samples, a period here is 130 to 270 of them
    assert pitch_of(out[RATE : 2 * RATE], 57 + semitones) == pytest.approx(57 + semitones, abs=0.2)


@pytest.mark.parametrize("bank", ["kumi", "scottpoid", "yuki", "erithacus"])
def test_recorded_singers_sing_in_tune(bank: str) -> None:
    items = [item for item in Sources(download=False).items["sung_voice"] if item.fields["bank"] == bank]
    if not items:
        pytest.skip("the shared data folder has no sung_voice")
    rng = np.random.default_rng(2)
    singer = Singer(rng, items[:8], 1.0)
    wanted = round(float(np.median(singer.pitches))) + 2
    out = np.zeros(3 * RATE, dtype=np.float32)
    sing(rng, singer, [Note(0.5, 2.0, wanted, 1)], PLAIN, out)
    assert pitch_of(out[RATE : 2 * RATE], wanted) == pytest.approx(wanted, abs=0.3)


def test_a_soundfont_plays_in_tune_and_in_time() -> None:
    pytest.importorskip("fluidsynth", reason="needs the FluidSynth library", exc_type=ImportError)
    path = Path("/", SOUNDFONT_FILES["timgm6mb-soundfont"])
    if not path.is_file():
        missing = "needs the Debian package timgm6mb-soundfont"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    player = SoundfontPlayer(path)
    sound = player.play([Note(0.5, 1.0, 69, 0.8)], 2 * RATE, 0, 73)
    player.close()
    assert np.abs(sound[:, : int(0.49 * RATE)]).max() < 1e-3
    assert pitch_of(sound[0, RATE // 2 : 3 * RATE // 2], 69) == pytest.approx(69, abs=0.2)


def test_a_patch_plays_in_tune() -> None:
    sound = play_patch(Patch(np.random.default_rng(0), "sub"), [Note(0, 1.0, 45, 1)], RATE)
    assert pitch_of(sound[0], 45) == pytest.approx(45, abs=0.1)


def test_a_hydrogen_kit_is_sorted_into_roles(tmp_path: Path) -> None:
    for name, level in (("soft", 0.2), ("hard", 0.9), ("hat", 0.5)):
        soundfile.write(tmp_path / f"{name}.wav", np.full(400, level), RATE)
    (tmp_path / "drumkit.xml").write_text(
        '<drumkit_info xmlns="http://www.hydrogen-music.org/drumkit"><instrumentList>'
        "<instrument><name>Snare Rock</name><layer><filename>hard.wav</filename><max>1</max></layer>"
        "<layer><filename>soft.wav</filename><max>0.5</max></layer></instrument>"
        "<instrument><name>Closed HH</name><filename>hat.wav</filename></instrument>"
        "<instrument><name>Gone</name><filename>missing.wav</filename></instrument>"
        "</instrumentList></drumkit_info>",
        encoding="utf-8",
    )
    kit = hydrogen_kit(tmp_path)
    assert {role: [[p.stem for p in layers] for layers in variants] for role, variants in kit.instruments.items()} == {
        "snare": [["soft", "hard"]],
        "hat": [["hat"]],
    }
    sound = kit.play(np.random.default_rng(0), [Hit(0.1, "clap", 0.9)], RATE)
    assert np.abs(sound[:, : int(0.1 * RATE)]).max() == 0
    assert np.abs(sound).max() > 0.5


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("BassDrum", "kick"),
        ("Pearl Hat Pedal", "pedal"),
        ("808_Clap", "clap"),
        ("bd_haus", "kick"),
        ("Tom Low", "tom_low"),
        ("Crash Right", "crash"),
        ("Ride 2", "ride"),
        ("Zap 1", None),
    ],
)
def test_roles_of_names(name: str, role: str | None) -> None:
    assert role_of(name) == role


def test_the_demo_clip_is_there() -> None:
    path = Path(__file__).parents[1] / "bridge" / "assets" / "demo.ogg"
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, round(info.duration)) == (RATE, 2, 12)
    assert path.stat().st_size < 600_000
