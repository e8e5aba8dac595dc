"""The maker of training songs: same seed, same song; splits share no player; stems are sound and sum to the mix."""

import json
import struct
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import tool_is_missing

pytest.importorskip("scipy", reason="the corpus needs the train extra")
pytest.importorskip("pedalboard", reason="the corpus needs the train extra")

from models.corpus.annotate import heard
from models.corpus.breaks import Break, lay, strokes
from models.corpus.build import Order, build, song_folder
from models.corpus.compose import compose
from models.corpus.drums import Kit, hydrogen_kit, role_of
from models.corpus.frets import read_song
from models.corpus.instruments import SoundfontPlayer, play_patch
from models.corpus.patterns import read_pattern
from models.corpus.performance import TimeMap, perform
from models.corpus.pools import POOLS
from models.corpus.production import STEMS, master
from models.corpus.recordings import Recorded
from models.corpus.render import Studio
from models.corpus.score import Hit, Note, Song
from models.corpus.sources import CREDITS, SOUNDFONT_FILES, Sources, fetch
from models.corpus.styles import STYLES
from models.corpus.synth import RATE, Patch
from models.corpus.takes import SUNG, Take, analyse
from models.corpus.tracker import beats_of, openmpt, read_module
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


@pytest.mark.parametrize("another", [False, True])
def test_a_package_is_there_whole_though_another_process_fetches_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, another: bool
) -> None:
    tools, cache = tmp_path / "bin", tmp_path / "cache"
    tools.mkdir()
    there = f"mkdir -p {cache}/some/usr && echo theirs >{cache}/some/usr/sound.wav" if another else ":"
    scripts = {
        "apt-get": "case $2 in some) : >some_1.deb;; *) exit 100;; esac",
        "dpkg": f'mkdir -p "$3/usr" && echo ours >"$3/usr/sound.wav"; {there}',
    }
    for name, script in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    fetch("some", cache)
    fetch("none", cache)
    assert [path.name for path in cache.iterdir()] == ["some"]  # and nothing beside it
    assert (cache / "some/usr/sound.wav").read_text() == ("theirs\n" if another else "ours\n")


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
    facts = json.loads((folder / "song.json").read_text())
    assert facts["seed"] == [0, "train", 0]
    assert set(facts["onsets"]) == set(STEMS)
    assert set(facts["phrases"]) <= set(facts["downbeats"]) <= set(facts["beats"])
    assert facts["phrases"][0] == facts["beats"][0] == 0
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


def test_the_songs_of_a_seed_stay_the_songs_they_were() -> None:
    """What a corpus made earlier holds; annotations added later rest on it."""
    rng = np.random.default_rng([0, 0, 0])
    song = compose(rng, 32.0 * float(rng.uniform(0.85, 1.2)))
    assert (song.style, round(song.tempo, 2), song.key, song.vocal) == ("house", 116.57, 3, "lead")
    bars = np.searchsorted(song.downbeats, song.sections)
    assert bars.tolist() == [0, 4, 6, 14]


def clicking(folder: Path, lead_in_s: float) -> Path:
    """A one-shot that is silent for a while, then clicks."""
    lead_in = round(lead_in_s * RATE)
    sound = np.zeros(lead_in + RATE // 5)
    sound[lead_in:] = np.exp(-np.arange(RATE // 5) / (0.02 * RATE)) * np.random.default_rng(0).uniform(-1, 1, RATE // 5)
    sound[lead_in] = 1
    path = folder / f"click{lead_in}.wav"
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    return path


@pytest.mark.parametrize("lead_in_s", [0.0, 0.0005, 0.007, 0.03])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_annotated_strokes_are_where_the_clicks_are(tmp_path: Path, lead_in_s: float, seed: int) -> None:
    """Through a drummer's hand, a drifting tempo and a sample's lead-in."""
    kit = Kit({"kick": [[clicking(tmp_path, lead_in_s)]]})
    song = compose(np.random.default_rng(seed), 20, "rock")
    played = perform(np.random.default_rng(seed), song)
    hits = [hit for hit in played.hits if hit.role == "kick"][:20]
    sound = kit.play(np.random.default_rng(0), hits, 20 * RATE)
    # a missing role sounds nowhere, so it is not annotated
    times = heard(sound, [(hit.start, hit.role) for hit in [*hits, Hit(19.5, "perc", 1.0)]], dropped=True)
    # the kit is tuned by up to 7%, and its lead-in with it: where the sound leaves silence is looked up in the sound
    loud = np.flatnonzero(np.abs(sound).max(axis=0) > 0.02) / RATE
    begins = loud[np.concatenate([[True], np.diff(loud) > 0.05])]
    assert len(begins) > 5
    away = np.abs(times[:, None] - begins).min(axis=0)
    assert away.max() < 0.001
    assert len(times) <= len(hits)
    assert times.max() < 19


def test_drift_moves_notes_and_beats_alike() -> None:
    song = compose(np.random.default_rng(5), 70, "funk")
    at = next(
        candidate
        for seed in range(50)
        if np.ptp(np.diff((candidate := TimeMap.draw(np.random.default_rng(seed), song)).played)) > 1e-3
    )
    assert (np.diff(at.played) > 0).all()
    beats = [at(time) for time in song.beats]
    before = np.interp([note.start for note in song.bass], song.beats, np.arange(len(beats)))
    after = np.interp([at.note(note).start for note in song.bass], beats, np.arange(len(beats)))
    # between two beats the map bends a little: a slowing by 40% over two bars moves a note by 1% of a beat
    np.testing.assert_allclose(after, before, rtol=0, atol=0.01)


def test_a_performance_leaves_the_song_and_its_plan() -> None:
    song = compose(np.random.default_rng(6), 66, "soul")
    copy = compose(np.random.default_rng(6), 66, "soul")
    played = [perform(np.random.default_rng(seed), song) for seed in range(40)]
    assert song == copy
    assert perform(np.random.default_rng(0), song) == played[0]
    for one in played:
        assert len(one.beats) == len(song.beats)
        assert set(one.sections) <= set(one.downbeats) <= set(one.beats)
        # crescendo of drift and ritardando: a tempo never leaves what a band would play
        assert np.diff(one.beats).max() < 1.6 * 60 / song.tempo
        assert np.diff(one.beats).min() > 0.85 * 60 / song.tempo
    crashes = [any(hit.role == "crash" for hit in one.hits) for one in played]
    assert 8 < sum(crashes) < 32
    assert 0 < sum(bool(one.phrases) for one in played) < 20
    # long songs have phrases of 4, 8 and 16 bars, the last cut by the end
    bars = np.diff(np.searchsorted(song.downbeats, song.sections))
    assert set(bars.tolist()) <= {4, 8, 16}


def test_a_break_is_laid_on_the_beats(tmp_path: Path) -> None:
    """Four beats of a click each and one offbeat, found to a millisecond and laid on beats that slow down."""
    click, _ = soundfile.read(clicking(tmp_path, 0))
    loop = np.zeros(2 * RATE)
    places = np.array([0, 0.5, 1, 2, 3])
    for place in places:
        start = int(place * RATE / 2)
        loop[start : start + len(click)] += click
    path = tmp_path / "loop.wav"
    soundfile.write(path, loop, RATE, subtype="FLOAT")
    found = strokes(path, 4)
    np.testing.assert_allclose(found, places, rtol=0, atol=0.002)
    beats = np.cumsum(np.linspace(0.5, 0.6, 17)) - 0.5
    song = Song("funk", 110, 0, False, 4, 9.0, hits=[Hit(time, "kick", 1.0) for time in beats], beats=beats.tolist())
    sound, hits = lay(np.random.default_rng(1), song, Break(np.stack([loop, loop]), 4, found, "test"), 10 * RATE)
    loud = np.flatnonzero(np.abs(sound).max(axis=0) > 0.1) / RATE
    begins = loud[np.concatenate([[True], np.diff(loud) > 0.05])]
    assert len(hits) == len(begins) == 17 + 5
    np.testing.assert_allclose([hit.start for hit in sorted(hits)], begins, rtol=0, atol=0.0015)


@pytest.mark.parametrize("lag_s", [0.012, 0.03])
def test_a_recording_later_than_its_click(tmp_path: Path, lag_s: float) -> None:
    mido = pytest.importorskip("mido", reason="needs the train extra")
    midi = mido.MidiFile(ticks_per_beat=96)
    midi.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=480_000)]))
    midi.save(tmp_path / "notes.mid")
    click, _ = soundfile.read(clicking(tmp_path, 0))
    sound = np.zeros(20 * RATE)
    beats = np.arange(2, 40) * 0.48 + lag_s
    for beat in beats:
        start = round(beat * RATE)
        sound[start : start + len(click)] += 0.5 * click
    for name, wave in (("song", sound), ("guitar", 0 * sound)):
        soundfile.write(tmp_path / f"{name}.ogg", np.stack([wave, wave], 1)[: 19 * RATE], RATE)
    song = read_song(tmp_path)
    assert song.beats is not None
    assert song.downbeats is not None
    # an encoder spreads a click by a few milliseconds before it
    np.testing.assert_allclose(song.beats, beats[: len(song.beats)], rtol=0, atol=0.005)
    np.testing.assert_allclose(song.downbeats[:2], beats[[2, 6]], rtol=0, atol=0.005)


def test_a_written_pattern(tmp_path: Path) -> None:
    note = "<note><position>{}</position><velocity>0.5</velocity><instrument>{}</instrument></note>"
    (tmp_path / "a.h2song").write_text(
        "<song><bpm>120</bpm><humanize_time>0</humanize_time><swing_factor>0</swing_factor><instrumentList>"
        "<instrument><id>0</id><name>Kick</name></instrument><instrument><id>1</id><name>Zap</name></instrument>"
        "</instrumentList><patternList><pattern><name>p</name><noteList>"
        + note.format(0, 0) + note.format(36, 0) + note.format(0, 1)
        + "</noteList></pattern></patternList><patternSequence><group><patternID>p</patternID></group>"
        "<group><patternID>p</patternID></group></patternSequence></song>"
    )  # fmt: skip
    tempo, bars, hits = read_pattern(np.random.default_rng(0), tmp_path / "a.h2song")
    assert (tempo, bars) == (120, 2)
    assert hits == [Hit(0, "kick", 0.5), Hit(0.375, "kick", 0.5), Hit(2, "kick", 0.5), Hit(2.375, "kick", 0.5)]


def module_bytes() -> bytes:
    """A four-channel MOD: a click on every fourth row of the first channel, on the third of every 16 in the second."""
    click = (np.exp(-np.arange(400) / 60) * 120 * np.sin(np.arange(400) / 3 + 1.5)).astype(np.int8).tobytes()
    samples = struct.pack(">22sHBBHH", b"snare", 200, 0, 64, 0, 1) + struct.pack(">22sHBBHH", b"", 0, 0, 0, 0, 1) * 30
    rows = b""
    for row in range(64):
        for channel in range(4):
            struck = (channel == 0 and row % 4 == 0) or (channel == 1 and row % 16 == 0)
            # sample 1 at period 428, no effect
            rows += bytes([0x01, 0xAC, 0x10, 0]) if struck else bytes(4)
    orders = bytes([0] * 4 + [0] * 124)
    return b"song".ljust(20, b"\0") + samples + bytes([4, 127]) + orders + b"M.K." + rows + click


def test_a_module_says_when_its_notes_are_struck(tmp_path: Path) -> None:
    """Rows of 6 ticks of 20 ms: a click each 0.48 s, which is the beat."""
    try:
        openmpt()
    except OSError:
        tool_is_missing("needs the libopenmpt library (Debian: libopenmpt0)")
    path = tmp_path / "tiny.mod"
    path.write_bytes(module_bytes())
    song = read_module(path, "test", CREDITS["synthesis"])
    assert song is not None
    times = np.arange(64) * 0.48
    # the row is known to 64 samples, the attack is then measured
    np.testing.assert_allclose(song.onsets["drums"], times, rtol=0, atol=0.003)
    assert song.beats is not None
    assert song.downbeats is not None
    np.testing.assert_allclose(song.beats, times, rtol=0, atol=0.003)
    np.testing.assert_allclose(song.downbeats, times[::4], rtol=0, atol=0.003)
    assert set(song.stems) == {"drums"}


def test_rows_that_bear_out_no_beat_have_none() -> None:
    even = [(n * 0.12, 0, n % 64) for n in range(256)]
    on_beats = [time for time, _, row in even if row % 4 == 0] + [time for time, _, row in even if row % 16 == 0]
    beats, downbeats = beats_of(even, on_beats)
    assert beats is not None
    assert downbeats is not None
    np.testing.assert_allclose(np.diff(beats), 0.48)
    np.testing.assert_allclose(np.diff(downbeats), 1.92)
    assert beats_of(even, [time for time, _, _ in even]) == (None, None)
    assert beats_of([(time, 0, row % 40) for time, _, row in even], on_beats) == (None, None)
    uneven = [(time * (1 + time / 30), 0, row) for time, _, row in even]
    assert beats_of(uneven, on_beats) == (None, None)


def test_a_recording_says_what_is_unknown(tmp_path: Path) -> None:
    sound = np.zeros((2, RATE), dtype=np.float32)
    onsets = {"drums": np.array([0.1, 0.25]), "bass": np.array([])}
    song = Recorded("A, b", "test", {"drums": sound}, onsets, None, None, {}, (CREDITS["synthesis"],))
    folder = song.write(tmp_path)
    assert folder == tmp_path / "test" / "a-b"
    assert (folder / "drums.flac").is_file()
    facts = json.loads((folder / "song.json").read_text())
    assert facts["onsets"] == {"drums": [0.1, 0.25], "bass": []}
    assert set(facts["unannotated"]) == {"vocals", "other", "beats", "downbeats", "phrases"}


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
        tool_is_missing("needs the Debian package timgm6mb-soundfont")
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
