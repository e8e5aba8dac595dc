"""Every format that chops leave in, read back by a reader that is not ours, at awkward counts, rates and names.

Where a format says where to play what, the test plays it: it cuts the audio as the file says and compares.
"""

import csv
import gzip
import json
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mido
import numpy as np
import pytest
import rpp
import soundfile
from numpy.typing import NDArray
from wavinfo import WavInfoReader

from bridge.chops.chops import Chop, ChopSet
from bridge.chops.exports import EXPORTS, export
from bridge.exporting import Exported, safe_stem
from bridge.passage import ArrayPassage, FilePassage
from streaming.errors import AudioError, RequestError, SidechopError

NAMES = [
    "plain",
    "with spaces (and) 'quotes'",
    "Ünï çødé 音楽 – ü",
    'sl/ash:"<>|?*$a=b',
    "x" * 250,
    "音" * 85,
    " .hidden. ",
]
FILES = [name for name in EXPORTS if name != "picture"]  # which is for eyes
RATES = [(1, 22050), (2, 44100), (1, 48000), (2, 96000)]
COUNTS = [1, 2, 64, 65, 128, 129]


def source_file(folder: Path, channels: int = 2, rate: int = 44100, frames: int = 30011, name: str = "source") -> Path:
    """Band-limited noise, so that a resampler has nothing to take away, in 24 bits."""
    spectrum = np.zeros((frames // 2 + 1, channels), complex)
    low = round(frames * 4000 / rate)
    rng = np.random.default_rng(rate + channels)
    spectrum[1:low] = rng.standard_normal((low - 1, channels)) + 1j * rng.standard_normal((low - 1, channels))
    audio = np.fft.irfft(spectrum, frames, axis=0)
    path = folder / f"{name}.wav"
    soundfile.write(path, 0.5 * audio / np.abs(audio).max(), rate, "PCM_24")
    return path


def spread(count: int, frames: int, first: int = 0) -> list[int]:
    return [first + i * (frames - first) // count for i in range(count)]


def chops_of(passage: FilePassage | ArrayPassage, positions: list[int], **values: Any) -> ChopSet:
    """Chops at ``positions`` of the passage; every third one fades."""
    end = passage.start + passage.frames
    starts = [passage.start + position for position in positions]
    kinds = ("onset", "downbeat", "manual")
    chops = tuple(
        Chop(start, stop, i / len(starts), kinds[i % 3], locked=i % 2 == 1, fade=i % 3 == 1)
        for i, (start, stop) in enumerate(zip(starts, [*starts[1:], end], strict=True))
    )
    plain: dict[str, Any] = {"tempo": 93.5, "beats_per_bar": 3} | values
    return ChopSet(passage.source, passage.rate, passage.channels, passage.start, end, chops=chops, **plain)


def read(path: Path) -> NDArray[np.float64]:
    """``(samples, channels)``"""
    audio: NDArray[np.float64] = soundfile.read(path, always_2d=True)[0]
    return audio


def only(files: list[Path], ending: str) -> Path:
    (path,) = [file for file in files if file.name.endswith(ending)]
    return path


@pytest.fixture(params=RATES, ids=lambda r: f"{r[0]}ch-{r[1]}")
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return source_file(tmp_path, *request.param)


def exported(source: Path, count: int, name: str, folder: str = "out", first: int = 0) -> tuple[ChopSet, Exported]:
    passage = FilePassage(source)
    chops = chops_of(passage, spread(count, passage.frames, first))
    return chops, export(chops, passage, [name], source.parent / folder, "song")


# --- the set as a whole


@pytest.mark.parametrize("count", COUNTS)
def test_all_at_once_is_one_set_of_files_without_leftovers(source: Path, count: int) -> None:
    passage = FilePassage(source)
    chops = chops_of(passage, spread(count, passage.frames, 17))
    home = source.parent / "a" / "b"
    told: list[str] = []
    done = export(chops, passage, FILES, home, "song", told.append)
    assert told == FILES
    assert done.files == sorted(path for path in home.rglob("*") if path.is_file())
    assert done.notes == []
    assert len(list((home / "song-slices").iterdir())) == count + 1


@pytest.mark.parametrize("name", NAMES)
def test_any_name_gives_files_that_agree_on_it(name: str, tmp_path: Path) -> None:
    """Files that point to others find them, whatever the song is called."""
    passage = FilePassage(source_file(tmp_path))
    done = export(chops_of(passage, [5, 9000]), passage, FILES, tmp_path / "out", name)
    assert all(len(file.name.encode()) <= 255 for file in done.files)
    assert not any(set(file.name) & set('<>:"/\\|?*$=') for file in done.files)
    home = tmp_path / "out"
    sfz = only(done.files, ".sfz").read_text(encoding="utf-8")
    assert all((home / line.split("sample=")[1]).is_file() for line in sfz.splitlines() if "sample=" in line)
    program = ElementTree.parse(only(done.files, ".xpm")).getroot()
    assert {f"{tag.text}.wav" for tag in program.iter("SampleName") if tag.text} <= {f.name for f in done.files}
    rack = ElementTree.fromstring(gzip.decompress(only(done.files, ".adg").read_bytes()))
    assert all((home / tag.attrib["Value"]).is_file() for tag in rack.iter("RelativePath"))
    assert all(Path(tag.attrib["Value"]).is_file() for tag in rack.iter("Path"))
    assert mido.MidiFile(only(done.files, ".mid"), charset="utf-8").tracks[0].name == safe_stem(name)


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_folders_may_be_called_anything(tmp_path: Path) -> None:
    folder = tmp_path / "a\x07 'b' & <ç>"
    folder.mkdir()
    passage = FilePassage(source_file(folder))
    done = export(chops_of(passage, [0, 9000]), passage, FILES, folder / "out", "song")
    rack = ElementTree.fromstring(gzip.decompress(only(done.files, ".adg").read_bytes()))
    assert {tag.attrib["Value"] for tag in rack.iter("RelativePath")} == {"song-chops.wav"}
    assert json.loads(only(done.files, ".json").read_text("utf-8"))["source"] == str(passage.source)
    items = rpp.loads(only(done.files, ".rpp").read_text("utf-8")).findall(".//SOURCE")
    assert {fields(item, "FILE")[0][0] for item in items} == {str(passage.source)}


def test_a_name_of_nothing_but_dots_becomes_one() -> None:
    assert safe_stem(" ... ") == "chops"
    assert safe_stem("a\udcffb\n") == "a_b_"


def test_an_export_replaces_an_earlier_one_whole(tmp_path: Path) -> None:
    """Fewer chops leave no slices or banks of the export before, and nothing else in the folder is touched."""
    passage = FilePassage(source_file(tmp_path))
    home = tmp_path / "out"
    before = export(chops_of(passage, spread(140, 30011)), passage, FILES, home, "song").files
    users = [home / "song-slices" / "mine.wav", home / "song-2.wav", home / "other-chops-bank2.sfz"]
    for path in users:
        path.write_bytes(b"mine")
    after = export(chops_of(passage, spread(3, 30011)), passage, FILES, home, "song").files
    assert len(after) < len(before)
    assert sorted(path for path in home.rglob("*") if path.is_file()) == sorted([*after, *users])
    assert all(path.read_bytes() == b"mine" for path in users)


def test_formats_of_an_earlier_export_stay(tmp_path: Path) -> None:
    passage = FilePassage(source_file(tmp_path))
    chops = chops_of(passage, [0, 9000])
    first = export(chops, passage, ["slices", "csv"], tmp_path / "out", "song").files
    export(chops, passage, ["json"], tmp_path / "out", "song")
    assert all(path.is_file() for path in first)


class Breaking(FilePassage):
    """A file that fails in its second block."""

    def __init__(self, path: Path, error: BaseException) -> None:
        super().__init__(path)
        self.error = error

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        yield next(super().blocks())[:, :20000]
        raise self.error


@pytest.mark.parametrize("name", ["slices", "cue-wav", "sfz", "mpc", "ableton", "octatrack"])
@pytest.mark.parametrize("error", [AudioError("gone"), KeyboardInterrupt(), MemoryError()], ids=repr)
def test_a_failure_leaves_nothing(name: str, error: BaseException, tmp_path: Path) -> None:
    passage = Breaking(source_file(tmp_path), error)
    with pytest.raises(type(error)):
        export(chops_of(passage, spread(10, 30011)), passage, ["csv", name], tmp_path / "a" / "b", "song")
    assert [path.name for path in tmp_path.rglob("*")] == ["source.wav"]


@pytest.mark.parametrize("at", [0, 1, 5, 9])
@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()], ids=repr)
def test_a_failure_while_moving_in_puts_everything_back(
    at: int, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passage = FilePassage(source_file(tmp_path))
    names, home = ["slices", "csv", "sfz", "midi"], tmp_path / "out"
    export(chops_of(passage, spread(6, 30011)), passage, names, home, "song")
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    real, calls = os.replace, 0

    def replaced(a: Path, b: Path) -> None:
        nonlocal calls
        if "-chops" in str(b) or "-slices" in str(b):
            calls += ".part" not in str(a)  # the writer's own moves are none of the export's
            if calls == at + 1:
                calls += 1000
                raise error
        real(a, b)

    monkeypatch.setattr(os, "replace", replaced)
    with pytest.raises((AudioError, KeyboardInterrupt)):
        export(chops_of(passage, spread(4, 30011)), passage, names, home, "song")
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before
    assert not [path for path in home.iterdir() if path.name.startswith(".")]


def test_a_source_is_never_written_over(tmp_path: Path) -> None:
    source = source_file(tmp_path, name="song-chops")
    before = source.read_bytes()
    passage = FilePassage(source)
    with pytest.raises(AudioError, match="written over"):
        export(chops_of(passage, [0]), passage, ["csv", "cue-wav"], tmp_path, "song")
    assert [path.name for path in tmp_path.iterdir()] == ["song-chops.wav"]
    assert source.read_bytes() == before


def test_requests_that_cannot_be(tmp_path: Path) -> None:
    passage = FilePassage(source_file(tmp_path))
    with pytest.raises(RequestError, match="no export is called 'mp3'; choose from slices, cue-wav"):
        export(chops_of(passage, [0]), passage, ["csv", "mp3"], tmp_path / "out", "song")
    with pytest.raises(RequestError, match="no chops"):
        export(replace(chops_of(passage, [0]), chops=()), passage, ["csv"], tmp_path / "out", "song")
    (tmp_path / "file").write_text("")
    with pytest.raises(AudioError, match="cannot be written"):
        export(chops_of(passage, [0]), passage, ["csv"], tmp_path / "file" / "out", "song")
    assert not (tmp_path / "out").exists()


def test_more_than_a_file_can_hold_is_said(tmp_path: Path) -> None:
    """Ten hours: one WAV cannot, and neither can a sampler; the formats without audio can."""

    class Long(ArrayPassage):
        def blocks(self) -> Iterator[NDArray[np.float32]]:
            pytest.fail("read for nothing")
            yield from super().blocks()

    passage = Long(np.zeros((2, 1), np.float32), 44100)
    passage.frames = 10 * 3600 * 44100
    chops = chops_of(passage, [0, 10**9])
    for name in ("cue-wav", "mpc", "ableton", "reaper"):
        with pytest.raises(SidechopError, match=r"10\.0 hours"):
            export(chops, passage, [name], tmp_path / "out", "song")
    export(chops, passage, ["midi", "csv", "json", "audacity"], tmp_path / "out", "song")


# --- lists


@pytest.mark.parametrize("count", COUNTS)
def test_json_and_csv_hold_everything(source: Path, count: int) -> None:
    passage = FilePassage(source, 0.05)
    chops = chops_of(passage, spread(count, passage.frames, 3))
    done = export(chops, passage, ["json", "csv"], source.parent / "out", "song")
    whole = json.loads(only(done.files, ".json").read_text())
    assert Path(whole["source"]) == source
    assert [whole[key] for key in ("rate", "channels", "start", "end", "tempo", "beats_per_bar")] == [
        chops.rate, chops.channels, chops.start, chops.end, 93.5, 3,
    ]  # fmt: skip
    with only(done.files, ".csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    for number, (chop, entry, row) in enumerate(zip(chops.chops, whole["chops"], table, strict=True), 1):
        assert Chop(*(entry[key] for key in Chop._fields)) == chop
        assert entry["number"] == number
        assert entry["start_s"] * chops.rate == pytest.approx(chop.position, abs=1e-6)
        assert row == {key: str(value) for key, value in entry.items()}


@pytest.mark.parametrize("count", COUNTS)
def test_audacity_labels_are_tab_separated_seconds(source: Path, count: int) -> None:
    chops, done = exported(source, count, "audacity", first=100)
    lines = done.files[0].read_text().splitlines()
    for chop, line in zip(chops.chops, lines, strict=True):
        start, end, label = line.split("\t")
        assert float(start) == pytest.approx(chop.position / chops.rate, abs=1e-6)
        assert float(end) == pytest.approx(chop.end / chops.rate, abs=1e-6)
        assert label.endswith(chop.kind)


# --- one WAV


@pytest.mark.parametrize(
    "positions", [[0], [1], [5, 6, 7], spread(64, 30011), spread(65, 30011, 9), spread(129, 30011)]
)
def test_cue_wav_is_the_passage_with_its_chops_inside(source: Path, positions: list[int]) -> None:
    passage = FilePassage(source, 0.01)
    positions = [position for position in positions if position < passage.frames]
    chops = chops_of(passage, positions)
    (path,) = export(chops, passage, ["cue-wav"], source.parent / "out", "song").files
    assert np.array_equal(read(path), read(source)[passage.start :])
    assert soundfile.info(path).subtype == "PCM_24"
    info = WavInfoReader(str(path))
    assert [cue.position for cue in info.cues.cues] == positions
    assert [cue.sample_offset for cue in info.cues.cues] == positions
    assert {cue.chunk_id for cue in info.cues.cues} == {b"data"}
    names = [label.text for label in info.cues.labels]
    assert [name.split()[1] for name in names] == [chop.kind for chop in chops.chops]
    assert [text.length for text in info.cues.ranges] == [chop.end - chop.position for chop in chops.chops]
    assert [text.name for text in info.cues.ranges] == list(range(1, len(positions) + 1))
    assert info.smpl.midi_note == 60
    assert info.smpl.sample_period_ns == round(1e9 / chops.rate)
    assert info.smpl.sample_loops == []
    data = path.read_bytes()
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8


# --- samplers


def cue_free_slices(chops: ChopSet, source: Path) -> list[NDArray[np.float64]]:
    audio = read(source)
    return [audio[chop.position : chop.end] for chop in chops.chops]


@pytest.mark.parametrize("count", [4, 130])
@pytest.mark.parametrize(("channels", "rate"), RATES)
def test_sfz_plays_each_slice_on_its_key(channels: int, rate: int, count: int, tmp_path: Path) -> None:
    """Rendered by sfizz: what sounds is the slice, at its pitch and length, and no two keys the same."""
    pysfizz = pytest.importorskip("pysfizz")
    source = source_file(tmp_path, channels, rate, 24001 if count < 10 else 60001)
    _, done = exported(source, count, "sfz", first=1)
    banks = sorted((file for file in done.files if file.suffix == ".sfz"), key=lambda file: len(file.name))
    assert len(banks) == 1 + (count - 1) // 128
    slices = [read(path) for path in sorted((source.parent / "out" / "song-slices").iterdir())][1:]
    for number in {0, 1, count // 2, count - 1}:
        synth = pysfizz.Synth(sample_rate=rate, block_size=8192)
        assert synth.load_sfz_file(banks[number // 128])
        assert synth.playable_keys == sorted((36 + i) % 128 for i in range(min(128, count - number // 128 * 128)))
        wanted = slices[number]
        heard = synth.render_note((36 + number) % 128, 127, 0.001, 1.2 * len(wanted) / rate + 0.1)[0]
        # All in one block, because sfizz slips by a sample after its first. What is left, against more than 1 for
        # another slice or pitch, is its interpolation and its way of ending.
        part = heard[: len(wanted)]
        gain = part @ wanted[:, 0] / (wanted[:, 0] @ wanted[:, 0])
        assert gain == pytest.approx(0.2655, abs=0.002)  # a level of its own, the same for all
        assert np.std(part - gain * wanted[:, 0]) < 0.1 * np.std(gain * wanted[:, 0])


def test_sfz_pads_choke_each_other(tmp_path: Path) -> None:
    pysfizz = pytest.importorskip("pysfizz")
    source = source_file(tmp_path, 1, 22050, 16001)
    _, done = exported(source, 2, "sfz")
    wrapper = pysfizz.Synth(sample_rate=22050, block_size=64)
    assert wrapper.load_sfz_file(only(done.files, ".sfz"))
    synth = wrapper._synth
    sounding = []
    for key in (36, 37):
        synth.note_on(0, key, 127)
        for _ in range(40):
            synth.render_block()
        sounding.append(synth.get_num_active_voices())
    assert sounding == [1, 1]


def band_limited(path: Path, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """The audio of ``path`` at fractional samples, by way of its spectrum: no resampler of ours."""
    audio = read(path)
    spectrum = np.fft.rfft(audio, axis=0)[: round(len(audio) * 4000 / soundfile.info(path).samplerate) + 1]
    spectrum[1:] *= 2
    phases = np.exp(2j * np.pi * np.outer(at, np.arange(len(spectrum))) / len(audio))
    heard: NDArray[np.float64] = (phases @ spectrum).real / len(audio)
    return heard


@pytest.mark.parametrize("name", ["mpc", "octatrack"])
def test_samplers_get_the_source_at_their_rate(source: Path, name: str) -> None:
    """Resampled to below -100 dBFS, and in time. Its ends are left out: an edge is no band-limited sound."""
    chops, done = exported(source, 5, name, first=0)
    wav = only(done.files, ".wav")
    at = np.arange(500, soundfile.info(wav).frames - 500, 101)
    wanted = band_limited(source, at * chops.rate / 44100)
    assert np.abs(read(wav)[at] - wanted).max() < 1e-5


@pytest.mark.parametrize("count", COUNTS)
def test_mpc_program_has_its_chops_on_its_pads(source: Path, count: int) -> None:
    chops, done = exported(source, count, "mpc", first=11)
    programs = sorted((file for file in done.files if file.suffix == ".xpm"), key=lambda file: len(file.name))
    wav = only(done.files, ".wav")
    assert soundfile.info(wav).samplerate == 44100
    assert soundfile.info(wav).subtype == "PCM_24"
    frames = soundfile.info(wav).frames
    assert frames == round((chops.end - chops.start) * 44100 / chops.rate)
    found = []
    for path in programs:
        root = ElementTree.parse(path).getroot()
        assert root.tag == "MPCVObject"
        assert [root.findtext(f"Version/{tag}") for tag in ("File_Version", "Application")] == ["2.1", "MPC-V"]
        program = root.find("Program")
        assert program is not None
        assert program.get("type") == "Drum"
        assert program.findtext("ProgramName") == path.stem
        assert len(json.loads(program.findtext("ProgramPads") or "")["ProgramPads"]["pads"]) == 128
        instruments = program.findall("Instruments/Instrument")
        assert [instrument.get("number") for instrument in instruments] == [str(i) for i in range(1, 129)]
        notes = {note.get("number"): int(note.findtext("Note") or -1) for note in program.findall("PadNoteMap/PadNote")}
        assert sorted(notes.values()) == list(range(128))
        for instrument in instruments:
            layers = instrument.findall("Layers/Layer")
            assert [layer.get("number") for layer in layers] == ["1", "2", "3", "4"]
            assert not any(layer.findtext("SampleName") for layer in layers[1:])
            if layers[0].findtext("SampleName"):
                assert layers[0].findtext("SampleName") == wav.stem
                assert instrument.findtext("OneShot") == "True"
                assert notes[instrument.get("number")] == (36 + len(found)) % 128
                found.append([int(layers[0].findtext(f"Slice{end}") or -1) for end in ("Start", "End")])
    assert len(programs) == 1 + (count - 1) // 128
    for (start, end), chop in zip(found, chops.chops, strict=True):
        assert 0 <= start < end <= frames
        assert abs(start - (chop.position - chops.start) * 44100 / chops.rate) <= 0.5
        assert abs(end - (chop.end - chops.start) * 44100 / chops.rate) <= 0.5


@pytest.mark.parametrize("count", COUNTS)
def test_ableton_rack_has_a_simpler_per_pad(source: Path, count: int) -> None:
    passage = FilePassage(source, 0.02)
    chops = chops_of(passage, spread(count, passage.frames, 50))
    done = export(chops, passage, ["ableton"], source.parent / "out", "song")
    racks = sorted((file for file in done.files if file.suffix == ".adg"), key=lambda file: len(file.name))
    wav = only(done.files, ".wav")
    found = []
    for path in racks:
        root = ElementTree.fromstring(gzip.decompress(path.read_bytes()))
        assert (root.tag, root.get("MajorVersion")) == ("Ableton", "5")
        assert root.find("GroupDevicePreset/Device/DrumGroupDevice/UserName") is not None
        pads = root.findall("GroupDevicePreset/BranchPresets/DrumBranchPreset")
        assert [pad.get("Id") for pad in pads] == [str(i) for i in range(len(pads))]
        for pad in pads:
            simpler = pad.find("DevicePresets/AbletonDevicePreset/Device/OriginalSimpler")
            assert simpler is not None

            def value(place: str, inside: ElementTree.Element) -> str:
                element = inside.find(place)
                assert element is not None, place
                return element.attrib["Value"]

            assert 128 - int(value("ZoneSettings/ReceivingNote", pad)) == (36 + len(found)) % 128
            assert value("ZoneSettings/SendingNote", pad) == "60"
            assert 1 <= int(value("ZoneSettings/ChokeGroup", pad)) <= 16
            assert value("Globals/PlaybackMode", simpler) == "1"
            (part,) = simpler.findall("Player/MultiSampleMap/SampleParts/MultiSamplePart")
            assert value("RootKey", part) == "60"
            assert value("SampleRef/FileRef/RelativePath", part) == wav.name
            assert Path(value("SampleRef/FileRef/Path", part)) == wav
            assert int(value("SampleRef/DefaultDuration", part)) == soundfile.info(wav).frames
            assert int(value("SampleRef/DefaultSampleRate", part)) == chops.rate
            assert value("SampleWarpProperties/IsWarped", part) == "false"
            found.append((int(value("SampleStart", part)), int(value("SampleEnd", part))))
    assert len(racks) == 1 + (count - 1) // 128
    audio = read(wav)
    for (start, last), wanted in zip(found, cue_free_slices(chops, source), strict=True):
        assert np.array_equal(audio[start : last + 1], wanted)


def octatrack_file(bpm_24: int, quarters_25: int, frames: int, cuts: list[tuple[int, int]]) -> bytes:
    """An ``.ot`` by the offsets of its documentation, put together field by field and not in a row."""
    data = bytearray(832)
    data[0x00:0x10] = bytes.fromhex("464f524d 00000000 44505331 534d5041")
    data[0x15] = 2
    struct.pack_into(">I", data, 0x17, bpm_24)
    for offset in (0x1B, 0x1F):
        struct.pack_into(">I", data, offset, quarters_25)
    struct.pack_into(">H", data, 0x2B, 48)
    data[0x2D] = 0xFF
    struct.pack_into(">I", data, 0x32, frames)
    for number, (start, end) in enumerate(cuts):
        struct.pack_into(">I", data, 0x3A + 12 * number, start)
        struct.pack_into(">I", data, 0x3E + 12 * number, end)
        struct.pack_into(">I", data, 0x42 + 12 * number, 0xFFFFFFFF)
    struct.pack_into(">I", data, 0x33A, len(cuts))
    struct.pack_into(">H", data, 0x33E, sum(data[16:830]) & 0xFFFF)
    return bytes(data)


@pytest.mark.parametrize("count", COUNTS)
def test_octatrack_files_cut_their_wav(source: Path, count: int) -> None:
    """Sixty-four slices to a file, more files for more; each WAV begins with its first chop."""
    chops, done = exported(source, count, "octatrack", first=777)
    ots = sorted((file for file in done.files if file.suffix == ".ot"), key=lambda file: len(file.name))
    assert len(ots) == 1 + (count - 1) // 64
    for bank, path in enumerate(ots):
        info = soundfile.info(path.with_suffix(".wav"))
        assert (info.samplerate, info.subtype, info.channels) == (44100, "PCM_24", chops.channels)
        part = chops.chops[64 * bank : 64 * bank + 64]
        start, scale = part[0].position, 44100 / chops.rate
        cuts = [(round((chop.position - start) * scale), round((chop.end - start) * scale)) for chop in part]
        assert info.frames == cuts[-1][1]
        quarters = round(info.frames / 44100 * 93.5 / 60)
        assert path.read_bytes() == octatrack_file(93 * 24 + 12, 25 * quarters, info.frames, cuts)
        if chops.rate == 44100:
            assert np.array_equal(read(path.with_suffix(".wav")), read(source)[start : part[-1].end])


def test_octatrack_golden() -> None:
    """One slice in 2 s at 120 bpm: four quarters, so a bar; the sum was added up by hand."""
    data = octatrack_file(2880, 100, 88200, [(0, 88200)])
    # 2 | 0b40 | 64 | 64 | 30 | ff | 00015888 | slice: 00015888 ffffffff | 1
    total = 2 + (0x0B + 0x40) + 2 * 0x64 + 0x30 + 0xFF + 2 * (0x01 + 0x58 + 0x88) + 4 * 0xFF + 1
    assert data[-2:] == total.to_bytes(2, "big")
    assert len(data) == 832


def test_octatrack_slices_are_never_empty(tmp_path: Path) -> None:
    """At 96 kHz chops a sample apart fall on the same sample of 44.1 kHz: each still plays one."""
    passage = FilePassage(source_file(tmp_path, 1, 96000))
    chops = chops_of(passage, [0, 1, 2, 3, 4, 30009, 30010])
    done = export(chops, passage, ["octatrack", "mpc"], tmp_path / "out", "song")
    data = only(done.files, ".ot").read_bytes()
    frames = soundfile.info(only(done.files, "-octatrack.wav")).frames
    for number in range(7):
        start, end, _ = struct.unpack_from(">III", data, 0x3A + 12 * number)
        assert 0 <= start < end <= frames


def test_what_a_sampler_clips_is_said(tmp_path: Path) -> None:
    passage = ArrayPassage(np.full((1, 4410), 1.5, np.float32), 44100)
    done = export(chops_of(passage, [0]), passage, ["octatrack", "slices"], tmp_path / "out", "song")
    assert done.notes == ["song-octatrack.wav: 4410 samples beyond full scale were clipped"]
    assert read(only(done.files, "-01.wav")).max() == 1.5


# --- sequences


@pytest.mark.parametrize("tempo", [93.5, 120.0, 174.3, 3.0, 999.0])
@pytest.mark.parametrize("count", COUNTS)
def test_midi_plays_every_chop_when_it_comes(source: Path, count: int, tempo: float) -> None:
    passage = FilePassage(source, 0.01)
    chops = chops_of(passage, spread(count, passage.frames, 20), tempo=tempo)
    (path,) = export(chops, passage, ["midi"], source.parent / "out", "song").files
    file = mido.MidiFile(path)
    assert len(file.tracks) == 2 + (count - 1) // 128
    now, heard, ends = 0.0, [], {}
    for message in file:
        now += message.time
        if message.type == "note_on":
            heard.append((now, message.note, message.channel))
        elif message.type == "note_off":
            ends[message.note, message.channel] = now
        elif message.type == "set_tempo" and tempo >= 3.6:  # the slowest a file can say
            assert mido.tempo2bpm(message.tempo) == pytest.approx(tempo, rel=1e-5)
        elif message.type == "time_signature":
            assert (message.numerator, message.denominator) == (3, 4)
    heard.sort(key=lambda note: (note[2], (note[1] - 36) % 128))  # at 3 bpm several share a tick
    tick = 60 / max(tempo, 3.57) / file.ticks_per_beat
    for number, ((at, note, channel), chop) in enumerate(zip(heard, chops.chops, strict=True)):
        assert (note, channel) == ((36 + number) % 128, number // 128)
        assert at == pytest.approx((chop.position - chops.start) / chops.rate, abs=0.51 * tick)
        assert at < ends[note, channel] <= max((chop.end - chops.start) / chops.rate, at + tick) + 0.51 * tick


def test_midi_does_not_drift_over_ten_hours(tmp_path: Path) -> None:
    passage = ArrayPassage(np.zeros((1, 1), np.float32), 48000)
    passage.frames = 36000 * 48000
    done = export(chops_of(passage, [0, 35999 * 48000], tempo=133.7), passage, ["midi"], tmp_path, "song")
    now = 0.0
    times = [now := now + message.time for message in mido.MidiFile(done.files[0])]
    assert any(abs(time - 35999) < 1e-3 for time in times)


def test_an_unknown_tempo_is_said(tmp_path: Path) -> None:
    passage = FilePassage(source_file(tmp_path))
    done = export(chops_of(passage, [0], tempo=0.0, beats_per_bar=0), passage, FILES, tmp_path / "out", "song")
    assert done.notes == ["midi: no tempo is known; the file says 120 bpm"]


# --- REAPER


def fields(element: Any, name: str) -> list[list[str]]:
    return [child[1:] for child in element.children if isinstance(child, list) and child[0] == name]


def rendered(project: Any, frames: int, rate: int, channels: int, folder: Path) -> NDArray[np.float64]:
    """What the items of a project play, with their fades: REAPER's linear ones."""
    out = np.zeros((frames, channels))
    for item in project.findall(".//ITEM"):
        at, length, offset, fade_in, fade_out = (
            round(float(fields(item, name)[0][column]) * rate)
            for name, column in (("POSITION", 0), ("LENGTH", 0), ("SOFFS", 0), ("FADEIN", 1), ("FADEOUT", 1))
        )
        assert fields(item, "FADEIN")[0][0] == fields(item, "FADEOUT")[0][0] == "0"
        gain = np.ones(length)
        gain[:fade_in] *= (np.arange(fade_in) + 0.5) / max(fade_in, 1)
        gain[length - fade_out :] *= 1 - (np.arange(fade_out) + 0.5) / max(fade_out, 1)
        audio = read(folder / fields(item.find("SOURCE"), "FILE")[0][0])
        assert offset + length <= len(audio)
        out[at : at + length] += gain[:, None] * audio[offset : offset + length]
    return out


@pytest.mark.parametrize("count", COUNTS)
def test_reaper_project_plays_the_passage_in_place(source: Path, count: int) -> None:
    passage = FilePassage(source, 0.02)
    chops = chops_of(passage, spread(count, passage.frames, 40))
    done = export(chops, passage, ["reaper"], source.parent / "out", "song")
    project = rpp.loads(only(done.files, ".rpp").read_text(encoding="utf-8"))
    assert fields(project, "TEMPO") == [["93.500000", "3", "4"]]
    markers = fields(project, "MARKER")
    points = [float(marker[1]) for marker in markers if marker[3] == "0"]
    bounds = [float(marker[1]) for marker in markers if marker[3] == "1"]
    assert points == pytest.approx([chop.position / chops.rate for chop in chops.chops], abs=1e-9)
    assert bounds[::2] == points
    assert bounds[1::2] == pytest.approx([chop.end / chops.rate for chop in chops.chops], abs=1e-9)
    wanted = read(source)
    wanted[: passage.start] = 0.0
    assert np.abs(rendered(project, len(wanted), chops.rate, chops.channels, Path("/")) - wanted).max() < 1e-12


def test_reaper_project_of_a_take_plays_the_exported_wav(tmp_path: Path) -> None:
    audio = np.random.default_rng(1).uniform(-1, 1, (2, 9000)).astype(np.float32)
    passage = ArrayPassage(audio, 44100, start=123456)
    done = export(chops_of(passage, [100, 4000, 4003]), passage, ["reaper"], tmp_path, "take")
    project = rpp.loads(only(done.files, ".rpp").read_text(encoding="utf-8"))
    heard = rendered(project, 123456 + 9000, 44100, 2, tmp_path)
    assert np.abs(heard[123456:] - audio.T).max() < 1e-12


def test_reaper_csv_has_a_marker_and_a_region_per_chop(source: Path) -> None:
    chops, done = exported(source, 129, "reaper", first=7)
    with only(done.files, ".csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    def seconds(clock: str) -> float:
        hours, minutes, rest = clock.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(rest)

    assert list(rows[0]) == ["#", "Name", "Start", "End", "Length"]
    assert [row["#"] for row in rows] == [f"{kind}{number}" for number in range(1, 130) for kind in "MR"]
    for marker, region, chop in zip(rows[::2], rows[1::2], chops.chops, strict=True):
        assert (marker["End"], marker["Length"]) == ("", "")
        assert seconds(marker["Start"]) == pytest.approx(chop.position / chops.rate, abs=1e-6)
        assert seconds(region["Start"]) == seconds(marker["Start"])
        assert seconds(region["End"]) == pytest.approx(chop.end / chops.rate, abs=1e-6)
        assert seconds(region["Length"]) == pytest.approx((chop.end - chop.position) / chops.rate, abs=1e-6)


@pytest.mark.parametrize("name", ['it\'s "quoted" `twice`', "音楽 ü.wav", "tail`"])
def test_reaper_finds_a_source_of_any_name(name: str, tmp_path: Path) -> None:
    source = source_file(tmp_path, name=name)
    _, done = exported(source, 2, "reaper")
    text = only(done.files, ".rpp").read_text(encoding="utf-8")
    if not {'"', "'", "`"} <= set(name):  # REAPER has no way to write such a name; it looks for one that it can
        paths = {fields(item, "FILE")[0][0] for item in rpp.loads(text).findall(".//SOURCE")}
        assert paths == {str(source)}
