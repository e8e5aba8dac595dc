"""Every format that flags leave in, read back by a reader that is not ours; and the cut, played by hand."""

import csv
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import opentimelineio as otio
import pytest
import rpp
import soundfile
from numpy.typing import NDArray
from PIL import Image

from bridge.flags.cut import cut_blocks, cut_frames, fade_curve, plays
from bridge.flags.exports import EXPORTS, export
from bridge.flags.exports.json_list import listed
from bridge.flags.flag_set import FlagSet, Part
from bridge.passage import ArrayPassage, FilePassage, Passage
from streaming.errors import AudioError, RequestError
from streaming.flags import Flag

RATES = [(1, 22050), (2, 44100), (1, 48000), (2, 96000)]
FRAMES = 40_000
PARTS = ((0, 9000), (11_000, 20_001), (20_500, 33_333))
NAMES = ["plain", "with spaces (and) 'quotes'", "Ünï çødé 音楽 – ü", 'sl/ash:"<>|?*$a=b', "x" * 250, " .hidden. "]

Audio = NDArray[np.float64]


def source_file(folder: Path, channels: int = 2, rate: int = 44100, subtype: str = "PCM_24") -> Path:
    rng = np.random.default_rng(rate + channels)
    path = folder / "source.wav"
    soundfile.write(path, 0.1 * rng.standard_normal((FRAMES, channels)), rate, subtype)
    return path


def flags_of(passage: Passage, parts: tuple[tuple[int, int], ...] = PARTS, **values: Any) -> FlagSet:
    """A flag set of the passage; positions count from its beginning here."""
    at, nyquist = passage.start, passage.rate / 2
    flags = (
        Flag(at + 9000, at + 11_000, 0.93, 0.0012, "noise", 2100.0, 8000.0),
        Flag(at + 15_000, at + 15_003, 0.6, 0.01, "click", 0.0, nyquist),
        Flag(at + 33_333, at + FRAMES, 0.77, 0.004, "wrong-take", 0.0, nyquist),
    )
    hop_s = 0.05
    count = int(np.ceil(FRAMES / passage.rate / hop_s))
    scores = np.linspace(0, 1, count)
    plain: dict[str, Any] = {"threshold": 0.5, "fade": 441, **values}
    return FlagSet(
        source=passage.source, rate=passage.rate, channels=passage.channels, start=at, end=at + FRAMES, flags=flags,
        parts=tuple(Part(at + start, at + end) for start, end in parts), hop_s=hop_s, scores=scores,
        p_values=1 - scores, **plain,
    )  # fmt: skip


@pytest.fixture(params=RATES, ids=lambda r: f"{r[0]}ch-{r[1]}")
def passage(request: pytest.FixtureRequest, tmp_path: Path) -> FilePassage:
    return FilePassage(source_file(tmp_path, *request.param))


def read(path: Path) -> Audio:
    """``(samples, channels)``"""
    audio: Audio = soundfile.read(path, always_2d=True)[0]
    return audio


def only(files: list[Path], ending: str) -> Path:
    (path,) = [file for file in files if file.name.endswith(ending)]
    return path


# --- the set as a whole


def test_all_at_once_is_one_set_of_files_without_leftovers(passage: FilePassage, tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    told: list[str] = []
    done = export(flags_of(passage), passage, list(EXPORTS), home, "take", told.append)
    assert told == list(EXPORTS)
    assert done.files == sorted(path for path in home.rglob("*") if path.is_file())
    assert done.notes == []
    again = export(flags_of(passage), passage, list(EXPORTS), home, "take")
    assert again.files == done.files


@pytest.mark.parametrize("name", NAMES)
def test_any_name_gives_files(name: str, tmp_path: Path) -> None:
    passage = FilePassage(source_file(tmp_path))
    done = export(flags_of(passage), passage, list(EXPORTS), tmp_path / "out", name)
    assert all(len(file.name.encode()) <= 255 for file in done.files)
    assert not any(set(file.name) & set('<>:"/\\|?*$=') for file in done.files)


def test_no_flags_and_no_parts_are_fine_but_for_the_cut(tmp_path: Path) -> None:
    passage = FilePassage(source_file(tmp_path))
    nothing = replace(flags_of(passage, ()), flags=())
    names = [name for name in EXPORTS if name != "cut"]
    assert len(export(nothing, passage, names, tmp_path / "out", "take").files) == 9
    with pytest.raises(RequestError, match="nothing is left to keep, so there is no cut"):
        export(nothing, passage, ["csv", "cut"], tmp_path / "cut", "take")
    assert not (tmp_path / "cut").exists()
    with pytest.raises(RequestError, match="no export is called 'tape'"):
        export(nothing, passage, ["csv", "tape"], tmp_path / "cut", "take")


class Breaking(FilePassage):
    """A file that fails in its second block."""

    def __init__(self, path: Path, error: BaseException) -> None:
        super().__init__(path)
        self.error = error

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        yield next(super().blocks())[:, :12_000]
        raise self.error


@pytest.mark.parametrize("name", ["cut", "picture"])
@pytest.mark.parametrize("error", [AudioError("gone"), KeyboardInterrupt(), MemoryError()], ids=repr)
def test_a_failure_leaves_nothing(name: str, error: BaseException, tmp_path: Path) -> None:
    passage = Breaking(source_file(tmp_path), error)
    with pytest.raises(type(error)):
        export(flags_of(passage), passage, ["csv", name], tmp_path / "a" / "b", "take")
    assert [path.name for path in tmp_path.rglob("*")] == ["source.wav"]


def test_a_failure_keeps_the_export_before(tmp_path: Path) -> None:
    source = source_file(tmp_path)
    good = FilePassage(source)
    export(flags_of(good), good, ["csv", "cut"], tmp_path / "out", "take")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    bad = Breaking(source, AudioError("gone"))
    with pytest.raises(AudioError, match="gone"):
        export(flags_of(bad, ((0, 20_000),)), bad, ["csv", "cut"], tmp_path / "out", "take")
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


# --- one format after the other, read by others


def test_csv_tables(passage: FilePassage, tmp_path: Path) -> None:
    flags = flags_of(passage)
    done = export(flags, passage, ["csv"], tmp_path / "out", "take")
    with only(done.files, "-flags.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(int(r["start"]), int(r["end"]), r["label"]) for r in rows] == [
        (f.start, f.end, f.kind) for f in flags.flags
    ]
    assert [float(r["start_s"]) for r in rows] == [f.start / flags.rate for f in flags.flags]
    with only(done.files, "-keep.csv").open(newline="", encoding="utf-8") as file:
        assert [(int(r["start"]), int(r["end"])) for r in csv.DictReader(file)] == list(flags.parts)


def test_json_is_everything(passage: FilePassage, tmp_path: Path) -> None:
    flags = flags_of(passage)
    done = export(flags, passage, ["json"], tmp_path / "out", "take")
    data = json.loads(only(done.files, ".json").read_text(encoding="utf-8"))
    assert data == listed(flags)
    assert (data["source"], data["rate"], data["duration_s"]) == (
        str(passage.source), flags.rate, FRAMES / flags.rate
    )  # fmt: skip
    first = data["items"][0]
    assert first == {
        "kind": "flag", "start_s": 9000 / flags.rate, "end_s": 11_000 / flags.rate, "start": 9000, "end": 11_000,
        "score": 0.93, "p_value": 0.0012, "label": "noise", "low_hz": 2100.0, "high_hz": 8000.0,
    }  # fmt: skip
    assert data["curve"]["hop_s"] == 0.05
    assert len(data["curve"]["scores"]) == len(data["curve"]["p_values"]) == len(flags.scores)
    assert [part["start"] for part in data["keep"]] == [part[0] for part in PARTS]


def test_audacity_labels(passage: FilePassage, tmp_path: Path) -> None:
    flags = flags_of(passage)
    done = export(flags, passage, ["audacity"], tmp_path / "out", "take")
    spans = [(f.start, f.end) for f in flags.flags]
    for ending, wanted in (("-flags-labels.txt", spans), ("-keep-labels.txt", list(flags.parts))):
        rows = [line.split("\t") for line in only(done.files, ending).read_text("utf-8").splitlines()]
        assert [(round(float(a) * flags.rate), round(float(b) * flags.rate)) for a, b, _ in rows] == wanted
    names = [line.split("\t")[2] for line in only(done.files, "-flags-labels.txt").read_text("utf-8").splitlines()]
    assert names == ["01 noise 0.93", "02 click 0.60", "03 wrong-take 0.77"]


def fields(element: Any, name: str) -> list[list[str]]:
    return [list(child[1:]) for child in element if child[0] == name]


def test_reaper_project_and_regions(passage: FilePassage, tmp_path: Path) -> None:
    flags = flags_of(passage)
    done = export(flags, passage, ["reaper"], tmp_path / "out", "take")
    project = rpp.loads(only(done.files, ".rpp").read_text("utf-8"))
    markers = fields(project, "MARKER")
    opening, closing = markers[::2], markers[1::2]
    spans = [
        (round(float(a[1]) * flags.rate), round(float(b[1]) * flags.rate), a[2])
        for a, b in zip(opening, closing, strict=True)
    ]
    assert spans == [
        (f.start, f.end, name)
        for f, name in zip(flags.flags, ("01 noise 0.93", "02 click 0.60", "03 wrong-take 0.77"), strict=True)
    ]
    items = project.findall(".//ITEM")
    played = [(float(fields(i, "POSITION")[0][0]), float(fields(i, "LENGTH")[0][0])) for i in items]
    assert [(round(a * flags.rate), round((a + b) * flags.rate)) for a, b in played] == list(flags.parts)
    assert [fields(i, "SOFFS") for i in items] == [fields(i, "POSITION") for i in items]
    assert {fields(s, "FILE")[0][0] for s in project.findall(".//SOURCE")} == {str(passage.source)}
    with only(done.files, "-reaper.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["#", "Name", "Start", "End", "Length"]

    def seconds(clock: str) -> float:
        hours, minutes, rest = clock.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(rest)

    for number, (row, flag) in enumerate(zip(rows[1:], flags.flags, strict=True), 1):
        assert row[0] == f"R{number}"
        assert [round(seconds(time) * flags.rate) for time in row[2:]] == [flag.start, flag.end, flag.end - flag.start]


def test_a_timeline_of_the_cut(passage: FilePassage, tmp_path: Path) -> None:
    flags = flags_of(passage)
    done = export(flags, passage, ["otio"], tmp_path / "out", "take")
    timeline = otio.adapters.read_from_file(str(only(done.files, ".otio")))
    cut, source = timeline.audio_tracks()
    clips = list(cut.find_clips())
    ranges = [clip.source_range for clip in clips]
    assert [(int(r.start_time.value), int(r.end_time_exclusive().value)) for r in ranges] == list(flags.parts)
    assert {r.start_time.rate for r in ranges} == {flags.rate}
    assert cut.duration().value == sum(end - start for start, end in PARTS)
    assert [int(cut.range_of_child(clip).start_time.value) for clip in clips] == [0, 9000, 18_001]
    for clip in clips:
        assert clip.media_reference.target_url == (passage.source or Path()).as_uri()
        assert clip.source_range.clamped(clip.media_reference.available_range) == clip.source_range
    (whole,) = source.find_clips()
    assert (source.enabled, int(whole.duration().value)) == (False, FRAMES)
    marked = [(int(m.marked_range.start_time.value), int(m.marked_range.duration.value)) for m in whole.markers]
    assert marked == [(f.start, f.end - f.start) for f in flags.flags]
    assert [m.metadata["sidechop"]["kind"] for m in whole.markers] == [f.kind for f in flags.flags]


def test_the_picture_shows_flags_and_parts(tmp_path: Path) -> None:
    """By its colours: green where parts are kept and nowhere else, shades only where flags are."""
    passage = FilePassage(source_file(tmp_path))
    path = only(export(flags_of(passage), passage, ["picture"], tmp_path / "out", "take").files, ".png")
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    green = (pixels[..., 1] > 140) & (pixels[..., 0] < 80) & (pixels[..., 2] < 80)
    columns = np.flatnonzero(green.any(axis=0))
    runs = np.split(columns, np.flatnonzero(np.diff(columns) > 3) + 1)
    assert len(runs) == len(PARTS)
    scale = (runs[1][0] - runs[0][0]) / PARTS[1][0]
    for run, (start, end) in zip(runs, PARTS, strict=True):
        assert abs(run[0] - runs[0][0] - start * scale) < 4
        assert abs(run[-1] - runs[0][0] - end * scale) < 4
    first, *others = flags_of(passage).flags
    moved = replace(flags_of(passage), flags=(first._replace(start=25_000, end=27_000), *others))
    other = only(export(moved, passage, ["picture"], tmp_path / "moved", "take").files, ".png")
    differs = (np.asarray(Image.open(other).convert("RGB")).astype(int) != pixels).any(axis=(0, 2))
    inside = (np.arange(len(differs)) - runs[0][0]) / scale
    for start, end in ((9300, 10_700), (25_300, 26_700)):
        assert differs[(inside > start) & (inside < end)].all()
    for start, end in ((100, 8900), (11_300, 24_700), (27_300, 39_900)):
        assert not differs[(inside > start) & (inside < end)].any()


# --- the cut


def by_hand(audio: Audio, flags: FlagSet) -> Audio:
    """Parts added at where each begins, faded by the words of the docstring; ``(samples, channels)``."""
    out = np.zeros((cut_frames(flags), audio.shape[1]))
    at = 0
    for number, play in enumerate(plays(flags)):
        piece = audio[play.start - flags.start : play.end - flags.start].copy()
        if number:
            at -= play.fade_in
        n, m = play.fade_in, play.fade_out
        piece[:n] *= np.sin(np.pi / 2 * (np.arange(n) + 0.5) / max(n, 1))[:, None]
        piece[len(piece) - m :] *= np.cos(np.pi / 2 * (np.arange(m) + 0.5) / max(m, 1))[:, None]
        out[at : at + len(piece)] += piece
        at += len(piece)
    assert at == len(out)
    return out


@pytest.mark.parametrize("on_beats", [False, True])
@pytest.mark.parametrize("fade", [0, 1, 441, 44_100])
@pytest.mark.parametrize("parts", [PARTS, ((5, 6),), ((0, FRAMES),), ((0, 3), (4, 9), (10, 39_000)), ((200, FRAMES),)])
def test_the_cut_is_the_parts_one_after_the_other(
    tmp_path: Path, parts: tuple[tuple[int, int], ...], fade: int, on_beats: bool
) -> None:
    passage = FilePassage(source_file(tmp_path, subtype="FLOAT"))
    flags = flags_of(passage, parts, fade=fade, on_beats=on_beats)
    path = only(export(flags, passage, ["cut"], tmp_path / "out", "take").files, "-cut.wav")
    assert soundfile.info(path).subtype == "FLOAT"
    audio = read(passage.source or Path())
    np.testing.assert_allclose(read(path), by_hand(audio, flags), atol=1e-6)
    if on_beats:
        assert cut_frames(flags) == sum(end - start for start, end in parts)
        at = np.cumsum([0, *(end - start for start, end in parts)])
        for begin, (start, _), play in zip(at, parts, plays(flags), strict=False):
            whole = max(1, play.end - start - play.fade_out)
            if begin:
                np.testing.assert_allclose(read(path)[begin : begin + whole], audio[start : start + whole], atol=1e-6)


def test_nothing_that_is_cut_is_heard(tmp_path: Path) -> None:
    """Whatever lies outside the parts, the cut is the same to the bit."""
    rng = np.random.default_rng(1)
    audio = 0.1 * rng.standard_normal((2, FRAMES)).astype(np.float32)
    spoilt = audio.copy()
    outside = np.ones(FRAMES, np.bool_)
    for start, end in PARTS:
        outside[start:end] = False
    spoilt[:, outside] = 0.9
    cuts = []
    for sound in (audio, spoilt):
        passage = ArrayPassage(sound, 44100, 1234)
        cuts.append(np.concatenate(list(cut_blocks(flags_of(passage), passage)), axis=1))
    assert np.array_equal(*cuts)


def test_fades_have_equal_power() -> None:
    for frames in (1, 2, 441):
        curve = fade_curve(frames)
        np.testing.assert_allclose(curve**2 + curve[::-1] ** 2, 1, atol=1e-6)
        assert (np.diff(curve) > 0).all()


@pytest.mark.parametrize(("subtype", "wanted"), [("PCM_16", "PCM_16"), ("PCM_24", "PCM_24"), ("DOUBLE", "FLOAT")])
def test_the_cut_keeps_the_sample_format(tmp_path: Path, subtype: str, wanted: str) -> None:
    passage = FilePassage(source_file(tmp_path, subtype=subtype))
    path = only(export(flags_of(passage, fade=0), passage, ["cut"], tmp_path / "out", "take").files, "-cut.wav")
    assert soundfile.info(path).subtype == wanted
    audio = read(passage.source or Path())
    assert np.abs(read(path) - np.concatenate([audio[start:end] for start, end in PARTS])).max() <= 1e-7


def test_a_loud_join_that_clips_is_told(tmp_path: Path) -> None:
    source = tmp_path / "source.wav"
    soundfile.write(source, np.full((FRAMES, 1), 0.95), 44100, "PCM_16")
    passage = FilePassage(source)
    (note,) = export(flags_of(passage), passage, ["cut"], tmp_path / "out", "take").notes
    assert "louder than full scale where parts meet" in note


def test_a_take_brings_its_audio_along(tmp_path: Path) -> None:
    """What was played has no file: project and timeline use the WAV of the export, at its own time."""
    rng = np.random.default_rng(2)
    passage = ArrayPassage(0.1 * rng.standard_normal((2, FRAMES)).astype(np.float32), 44100, 100_000)
    flags = flags_of(passage)
    done = export(flags, passage, ["reaper", "otio", "cut", "json"], tmp_path / "out", "take-100000")
    take = only(done.files, "-take.wav")
    np.testing.assert_array_equal(read(take).T, passage.audio)
    project = rpp.loads(only(done.files, ".rpp").read_text("utf-8"))
    assert {fields(s, "FILE")[0][0] for s in project.findall(".//SOURCE")} == {take.name}
    offsets = [round(float(fields(i, "SOFFS")[0][0]) * 44100) for i in project.findall(".//ITEM")]
    assert offsets == [start for start, _ in PARTS]
    timeline = otio.adapters.read_from_file(str(only(done.files, ".otio")))
    clips = list(timeline.audio_tracks()[0].find_clips())
    assert [int(clip.source_range.start_time.value) for clip in clips] == offsets
    assert {clip.media_reference.target_url for clip in clips} == {take.as_uri()}
    assert json.loads(only(done.files, ".json").read_text("utf-8"))["source"] is None


def test_the_cut_of_a_long_passage_takes_no_more_memory(tmp_path: Path) -> None:
    """Ten minutes are 212 MB as floats; what is held is a block and a fade."""
    rate, seconds = 44100, 600
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", rate, 2, "PCM_16") as file:
        block = 0.1 * np.random.default_rng(0).standard_normal((10 * rate, 2))
        for _ in range(seconds // 10):
            file.write(block)
    passage = FilePassage(path)
    parts = tuple((Part(second * rate, (second + 9) * rate)) for second in range(0, seconds, 10))
    flags = replace(flags_of(passage, ()), end=seconds * rate, parts=parts)
    tracemalloc.start()
    export(flags, passage, ["cut"], tmp_path / "out", "take")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
