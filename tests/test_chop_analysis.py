"""Hearing a passage: where clicks are is known, at every rate, from every place of a file, in bounded memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from tiny_models import CURVES, tiny_curves

from bridge import passage as passages
from bridge.chops.analysis import Analysis, analyse, analyse_audio, analyse_passage
from bridge.chops.listening import open_network, texture_frames
from bridge.chops.marks import JOIN_S, Marks, nearest_onset, snap_marks
from bridge.passage import ArrayPassage, FilePassage
from bridge.snapping import snap_points
from streaming.curves import CurveNetwork
from streaming.errors import AudioError, RequestError
from streaming.features import MEL, MelFrames
from streaming.snap import snap

ROOT = Path(__file__).parent.parent
RATE = 44100
RATES = (8000, 11025, 22050, 37800, 44100, 48000, 88200, 96000, 192000)

Audio = NDArray[np.float32]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> CurveNetwork:
    return open_network(tiny_curves(tmp_path_factory.mktemp("model") / "tiny.onnx"))


def bursts(at_s: NDArray[np.float64], seconds: float, rate: int = RATE, channels: int = 2, level: float = 0.5) -> Audio:
    """Seeded noise that starts at full and dies away in 50 ms, the other channel at half the level."""
    rng = np.random.default_rng(1)
    audio = np.zeros((channels, round(seconds * rate)), np.float32)
    count = rate // 20
    for start in np.round(at_s * rate).astype(int).tolist():
        burst = level * rng.uniform(-1, 1, count) * np.exp(-np.arange(count) / (rate / 100))
        audio[:, start : start + count] += (burst * (1 / np.arange(1, channels + 1))[:, None])[
            :, : audio.shape[1] - start
        ]
    return audio


def marks_of(analysis: Analysis) -> dict[str, Marks]:
    return {name: getattr(analysis, name) for name in ("onsets", "beats", "downbeats", "phrases", "chops")}


def same(one: Analysis, other: Analysis) -> None:
    """All alike, but for the last bit of a strength: a product of another size rounds otherwise."""
    for name, marks in marks_of(one).items():
        for field, value in marks._asdict().items():
            error = 1e-6 if field == "strengths" else 0.0
            expected = getattr(marks_of(other)[name], field)
            np.testing.assert_allclose(value, expected, rtol=0.0, atol=error, err_msg=f"{name}.{field}")
    np.testing.assert_array_equal(one.beat_numbers, other.beat_numbers)
    assert (one.rate, one.frames) == (other.rate, other.frames)
    assert one.tempo == pytest.approx(other.tempo, abs=1e-4)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
def test_onsets_lie_on_the_attack_at_every_rate(
    tmp_path: Path, network: CurveNetwork, rate: int, channels: int
) -> None:
    """Within 2 ms before the first sample of a burst, for a zero crossing, and half a ms after, the step of a snap."""
    true_s = np.array([0.1, 0.4001, 0.83, 1.2345, 1.9])
    soundfile.write(tmp_path / "a.wav", bursts(true_s, 2.0, rate, channels).T, rate, subtype="FLOAT")
    analysis = analyse(tmp_path / "a.wav", network)
    assert (analysis.rate, analysis.frames, analysis.passage.channels) == (rate, 2 * rate, channels)
    assert analysis.onsets.positions.dtype == np.int64
    late_s = analysis.onsets.positions / rate - true_s
    assert late_s.min() > -0.0026
    assert late_s.max() < 0.0006
    heard_s = analysis.onsets.heard / rate - true_s
    assert np.abs(heard_s).max() < 0.02  # a frame's window hears what comes half of it later


@pytest.mark.parametrize("block", [441, 1000, 44099, 10**7])
def test_blocks_leave_no_seams(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, network: CurveNetwork, block: int
) -> None:
    """Any block gives the same marks; so do a file and an array."""
    audio = bursts(np.arange(0.05, 6.9, 0.25), 7.0)
    soundfile.write(tmp_path / "a.wav", audio.T, RATE, subtype="FLOAT")
    whole = analyse_audio(audio, RATE, network)
    assert len(whole.onsets.positions) == 28
    assert len(whole.beats.positions) > 10
    monkeypatch.setattr(passages, "BLOCK", block)
    same(analyse_audio(audio, RATE, network), whole)
    same(analyse(tmp_path / "a.wav", network), whole)


@pytest.mark.parametrize("ending", ["wav", "flac", "aiff", "ogg", "mp3"])
def test_a_part_of_a_file_is_that_part_of_it(tmp_path: Path, ending: str) -> None:
    """To the sample, also where a format does not find a sample again: MP3 and Ogg are read up to it."""
    rng = np.random.default_rng(0)
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, (0.2 * rng.standard_normal((3 * RATE, 2))).astype(np.float32), RATE)
    whole = np.concatenate(list(FilePassage(path).blocks()), axis=1)
    for start_s, end_s in ((0.0, 1.0), (0.5, None), (1.00001, 1.00004), (1.5, 2.9)):
        part = FilePassage(path, start_s, end_s)
        audio = np.concatenate(list(part.blocks()), axis=1)
        assert (part.start, part.frames) == (round(start_s * RATE), audio.shape[1])
        np.testing.assert_array_equal(audio, whole[:, part.start : part.start + part.frames])


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_a_part_beyond_the_cut_of_a_truncated_file_is_said(tmp_path: Path, network: CurveNetwork, ending: str) -> None:
    """Formats differ in what they promise; none is read from a wrong place."""
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, (0.2 * np.random.default_rng(0).standard_normal((8 * RATE, 2))).astype(np.float32), RATE)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises((AudioError, RequestError), match=r"can be read from 7\.000 s on|start at 7 s lies outside"):
        analyse(path, network, 7.0)
    assert 2 * RATE < analyse(path, network).frames < 5 * RATE


def test_positions_count_from_the_passage(tmp_path: Path, network: CurveNetwork) -> None:
    """A part heard from the file is the part cut out and heard; only ``start`` differs."""
    audio = bursts(np.arange(0.05, 6.9, 0.25), 7.0)
    soundfile.write(tmp_path / "a.wav", audio.T, RATE, subtype="FLOAT")
    start, end = 2 * RATE + 17, 5 * RATE
    part = analyse(tmp_path / "a.wav", network, start / RATE, end / RATE)
    same(part, analyse_audio(audio[:, start:end].copy(), RATE, network))
    assert part.start == start
    assert analyse_audio(audio, RATE, network, start=2**40).start == 2**40


@pytest.mark.parametrize(
    ("start_s", "end_s", "message"),
    [(9.0, None, "start at 9 s lies outside"), (0.0, 2.5, "end at 2.5 s lies outside"), (0.5, 0.500001, "no sample")],
)
def test_a_part_that_is_not_there_is_said(tmp_path: Path, start_s: float, end_s: float | None, message: str) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    with pytest.raises(RequestError, match=message):
        FilePassage(tmp_path / "a.wav", start_s, end_s)


def test_a_host_may_round_the_end_up(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    assert FilePassage(tmp_path / "a.wav", 0.0, 1.009).frames == RATE


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("block", [100, 4411, 65536])
def test_snapping_while_reading_is_snapping_with_all_at_hand(
    monkeypatch: pytest.MonkeyPatch, block: int, channels: int
) -> None:
    """Also on the first and last samples, on blocks' edges, and for points that share a sample."""
    audio = bursts(np.arange(0.05, 2.9, 0.1), 3.0, channels=channels)
    points = np.array([0, 1, 99, 100, 2205, 2205, 4411, 65535, 65536, 65537, *range(70000, 72000, 97), 132298, 132299])
    monkeypatch.setattr(passages, "BLOCK", block)
    for mode in ("onset", "zero", "none"):
        found = snap_points(ArrayPassage(audio, RATE), points, [mode] * len(points))
        assert found == [snap(audio, RATE, point, mode) for point in points.tolist()]


def test_a_beat_near_an_onset_is_cut_at_the_onset() -> None:
    audio = bursts(np.array([0.5, 1.0]), 1.5)
    onset, near, far = RATE // 2, RATE // 2 - round(0.02 * RATE), RATE // 2 + round(0.2 * RATE)
    heard = np.array([near, far])
    moments = {"onset": (np.array([onset, RATE]), np.ones(2, np.float32)), "beat": (heard, np.ones(2, np.float32))}
    marks = snap_marks(ArrayPassage(audio, RATE), moments)
    assert marks["beat"].positions[0] == marks["onset"].positions[0] != near
    assert abs(int(marks["beat"].positions[1]) - far) <= 0.01 * RATE  # a zero crossing, no attack
    np.testing.assert_array_equal(marks["beat"].unsnapped().positions, heard)


def test_what_lands_on_one_attack_is_one_onset_the_strongest() -> None:
    audio = bursts(np.array([0.5]), 1.0)
    heard = np.array([RATE // 2 - 500, RATE // 2 + 500])
    marks = snap_marks(ArrayPassage(audio, RATE), {"onset": (heard, np.array([0.6, 0.9], np.float32))})["onset"]
    assert len(marks.positions) == 1
    assert (marks.strengths[0], marks.heard[0]) == (np.float32(0.9), heard[1])


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_nearest_onset_is_the_nearest(count: int) -> None:
    rng = np.random.default_rng(count)
    positions = np.sort(rng.choice(10 * RATE, count, replace=False))
    onsets = Marks(positions, np.ones(count, np.float32), np.zeros(count, np.bool_), positions)
    points = np.sort(rng.choice(10 * RATE, 500))
    nearest, joins = nearest_onset(points, onsets, RATE)
    for point, index, joined in zip(points.tolist(), nearest.tolist(), joins.tolist(), strict=True):
        gaps = np.abs(positions - point)
        assert joined == bool(count and gaps.min() <= JOIN_S * RATE)
        assert not joined or gaps[index] == gaps.min()


def test_the_texture_is_the_mean_of_ten_frames(network: CurveNetwork) -> None:
    audio = bursts(np.arange(0.05, 2.9, 0.1), 3.0, channels=1)
    source = MelFrames(MEL, RATE)
    frames = np.concatenate([source.process(audio[0]), source.flush()])
    analysis = analyse_audio(audio, RATE, network)
    expected = [frames[i : i + 10].mean(axis=0) for i in range(0, len(frames), 10)]
    assert analysis.texture_rate == 10.0
    assert texture_frames(MEL) == 10
    # float16 keeps 11 bits of values up to 7
    np.testing.assert_allclose(analysis.texture, np.array(expected), atol=7 * 2**-11)
    assert {name: len(curve) for name, curve in analysis.curves.items()} == dict.fromkeys(CURVES, len(frames))


@pytest.mark.parametrize("samples", [1, 2, 3, 440, 441, 442, 1023, 1025, 4409, 4411])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_few_samples_are_heard_too(network: CurveNetwork, samples: int, channels: int) -> None:
    for audio in (np.zeros((channels, samples), np.float32), np.ones((channels, samples), np.float32)):
        analysis = analyse_audio(audio, RATE, network)
        assert analysis.frames == samples
        for marks in marks_of(analysis).values():
            assert ((marks.positions >= 0) & (marks.positions < samples)).all()


def test_silence_holds_nothing(network: CurveNetwork) -> None:
    analysis = analyse_audio(np.zeros((2, 10 * RATE), np.float32), RATE, network)
    assert not any(len(marks.positions) for marks in marks_of(analysis).values())
    assert analysis.tempo == 0.0


def test_a_single_click_is_one_onset(network: CurveNetwork) -> None:
    audio = np.zeros((2, 3 * RATE), np.float32)
    audio[:, RATE + 123] = 1.0
    analysis = analyse_audio(audio, RATE, network)
    assert len(analysis.onsets.positions) == 1
    assert abs(int(analysis.onsets.positions[0]) - RATE - 123) <= 0.0026 * RATE


def test_audio_that_cannot_be_heard_is_said(network: CurveNetwork) -> None:
    with pytest.raises(AudioError, match="no audio"):
        analyse_audio(np.zeros((2, 0), np.float32), RATE, network)
    with pytest.raises(AudioError, match="not numbers"):
        analyse_audio(np.full((1, 10), np.nan, np.float32), RATE, network)


def test_progress_rises_to_one_and_can_end_the_work(network: CurveNetwork) -> None:
    audio = bursts(np.arange(0.05, 9.9, 0.25), 10.0)
    parts: list[float] = []
    analyse_audio(audio, RATE, network, progress=parts.append)
    assert parts == sorted(parts)
    assert len(parts) > 5
    assert (parts[0] > 0, parts[-1]) == (True, 1.0)

    class Enough(Exception):
        pass

    def stop(part: float) -> None:
        raise Enough

    with pytest.raises(Enough):
        analyse_audio(audio, RATE, network, progress=stop)
    same(analyse_audio(audio, RATE, network), analyse_audio(audio, RATE, network))  # nothing of it stays behind


def test_a_truncated_file_is_heard_as_far_as_it_goes(tmp_path: Path, network: CurveNetwork) -> None:
    audio = bursts(np.arange(0.05, 3.9, 0.25), 4.0)
    soundfile.write(tmp_path / "a.wav", audio.T, RATE, subtype="PCM_16")
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) // 2])
    passage = FilePassage(tmp_path / "cut.wav")
    analysis = analyse_passage(passage, network)
    assert 1.9 * RATE < analysis.frames <= 2 * RATE
    assert len(analysis.onsets.positions) == 8
    assert "is truncated" in passage.warning


PEAK = """
import resource, sys
from pathlib import Path
from bridge.chops.analysis import analyse
from bridge.chops.listening import open_network
peaks = []
analysis = analyse(Path(sys.argv[1]), open_network(sys.argv[2]), progress=lambda part: peaks.append(
    (part, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)))
early = next(peak for part, peak in peaks if part > 0.2)
print(early, peaks[-1][1], len(analysis.onsets.positions))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="measures with getrusage")
def test_memory_grows_by_the_curves_alone(tmp_path: Path, network: CurveNetwork) -> None:
    """Three minutes: from the first half minute on the peak grows by less than a third of what the audio would take."""
    minute = bursts(np.arange(0.05, 59.9, 0.5), 60.0)
    with soundfile.SoundFile(tmp_path / "a.wav", "w", RATE, 2) as file:
        for _ in range(3):
            file.write(minute.T)
    model = tiny_curves(tmp_path / "tiny.onnx")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, tmp_path / "a.wav", model], cwd=ROOT, capture_output=True, text=True, check=True
    )
    early, late, onsets = map(int, done.stdout.split())
    assert onsets == 3 * 120
    unit = 1024 if sys.platform == "linux" else 1
    assert (late - early) * unit < 20e6
