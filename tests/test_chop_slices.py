"""Slices are the passage, cut: laid at their positions and added they null against it, whatever the cuts."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from bridge.chops.chops import Chop, ChopSet
from bridge.chops.slices import FADE_S, slice_names, slices_of, write_slices
from bridge.passage import ArrayPassage, FilePassage, Passage
from streaming.errors import AudioError

Audio = NDArray[np.float64]

FORMATS = [  # of the source, and what its slices are to be in
    (".wav", "PCM_16", "PCM_16"),
    (".wav", "PCM_24", "PCM_24"),
    (".wav", "PCM_U8", "PCM_16"),
    (".wav", "PCM_32", "FLOAT"),
    (".wav", "FLOAT", "FLOAT"),
    (".flac", "PCM_16", "PCM_16"),
    (".flac", "PCM_24", "PCM_24"),
    (".aiff", "PCM_16", "PCM_16"),
    (".mp3", "MPEG_LAYER_III", "FLOAT"),
    (".ogg", "VORBIS", "FLOAT"),
]

FRAMES = 20011
CUTS = {  # positions in a passage of FRAMES samples
    "one at the beginning": [0],
    "one in the middle": [7001],
    "a sample apart": [5, 6, 7, 8, 9, 5000],
    "closer than a fade": [100, 110, 125, 130, 170, 9000, 9001],
    "on the last sample": [3000, FRAMES - 1],
    "64": list(range(11, FRAMES, 313))[:64],
    "65": list(range(0, FRAMES, 307))[:65],
    "129": list(range(3, FRAMES, 155))[:129],
}


def noise(frames: int, channels: int) -> Audio:
    return np.random.default_rng(frames + channels).uniform(-1.0, 1.0, (frames, channels))


def chop_set(passage: Passage, positions: list[int], fades: list[bool]) -> ChopSet:
    """Chops at ``positions`` of the passage, which begin with or without a fade in turn."""
    end = passage.start + passage.frames
    starts = [passage.start + position for position in positions]
    chops = [
        Chop(start, stop, 0.5, "onset", fade=fades[i % len(fades)])
        for i, (start, stop) in enumerate(zip(starts, [*starts[1:], end], strict=True))
    ]
    return ChopSet(passage.source, passage.rate, passage.channels, passage.start, end, 120.0, 4, tuple(chops))


def overlap_add(chops: ChopSet, files: list[Path]) -> Audio:
    """The slices where they belong, added: the lead-in at the passage's start, then each at its chop's position."""
    whole = np.zeros((chops.end - chops.start, chops.channels))
    places = [chop.position for chop in chops.chops]
    if len(files) > len(places):
        places.insert(0, chops.start)
    for place, file in zip(places, files, strict=True):
        audio, rate = soundfile.read(file, always_2d=True)
        assert rate == chops.rate
        whole[place - chops.start : place - chops.start + len(audio)] += audio
    return whole


@pytest.mark.parametrize("fades", [[False], [True], [True, False], [False, False, True]], ids=str)
@pytest.mark.parametrize("cuts", CUTS)
def test_slices_add_up_whatever_the_cuts(cuts: str, fades: list[bool], tmp_path: Path) -> None:
    """To the bit in 24 bits, and below -120 dBFS in float, mono and stereo, at four rates."""
    for channels, rate, subtype in (
        (1, 22050, "PCM_24"),
        (2, 44100, "FLOAT"),
        (1, 48000, "FLOAT"),
        (2, 96000, "PCM_24"),
    ):
        folder = tmp_path / f"{rate}"
        folder.mkdir()
        source = folder / "source.wav"
        soundfile.write(source, noise(FRAMES, channels), rate, subtype)
        passage = FilePassage(source)
        chops = chop_set(passage, CUTS[cuts], fades)
        files = write_slices(chops, passage, folder / "slices", "s")
        residue = overlap_add(chops, files) - soundfile.read(source, always_2d=True)[0]
        assert not residue.any() if subtype == "PCM_24" else np.abs(residue).max() < 1e-6


@pytest.mark.parametrize(("ending", "subtype", "expected"), FORMATS)
@pytest.mark.parametrize("start_s", [0.0, 0.1])
def test_slices_keep_the_samples_of_every_format(
    ending: str, subtype: str, expected: str, start_s: float, tmp_path: Path
) -> None:
    """Same bits out as in, where the format has 16 or 24; a part of a file adds up to that part.

    Hits and silence, over several reads: an MP3 whose frames borrow bits from those before does not forgive a jump.
    """
    source = tmp_path / f"source{ending}"
    hits = np.exp(-(np.arange(200_000) % 22050) / 1500)[:, None]
    soundfile.write(source, noise(200_000, 2) * 0.5 * hits, 44100, subtype)
    passage = FilePassage(source, start_s)
    chops = chop_set(passage, [0, 100, 5000, 70000], [True, False])
    files = write_slices(chops, passage, tmp_path / "slices", "s")
    assert {soundfile.info(file).subtype for file in files} == {expected}
    wanted = soundfile.read(source, always_2d=True)[0][passage.start :]
    limit = 0.0 if expected != "FLOAT" else 1e-6  # 32 bits of integer lose 8 in float: -144 dBFS
    assert np.abs(overlap_add(chops, files) - wanted).max() <= limit


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_slices_without_fades_are_plain_cuts(subtype: str, tmp_path: Path) -> None:
    source = tmp_path / "source.wav"
    soundfile.write(source, noise(FRAMES, 2), 48000, subtype)
    passage = FilePassage(source)
    chops = chop_set(passage, [1, 64, 65, 8193], [False])
    dtype = "float32" if subtype == "FLOAT" else "int32"
    wanted = soundfile.read(source, dtype=dtype)[0]
    bounds = [0, 1, 64, 65, 8193, FRAMES]
    files = write_slices(chops, passage, tmp_path / "slices", "s")
    for file, start, end in zip(files, bounds[:-1], bounds[1:], strict=True):
        assert np.array_equal(soundfile.read(file, dtype=dtype)[0], wanted[start:end])


def test_a_fade_takes_the_click_out(tmp_path: Path) -> None:
    """Cut anywhere in a constant, a slice begins and ends within a step of the 1 ms ramp of nothing."""
    passage = ArrayPassage(np.full((1, 9000), 0.8, np.float32), 44100)
    chops = chop_set(passage, [1000, 4000], [True])
    step = 0.8 / round(FADE_S * 44100)
    files = write_slices(chops, passage, tmp_path, "s")
    for file, begins, ends in zip(files, (False, True, True), (True, True, False), strict=True):
        audio = soundfile.read(file)[0]
        assert (np.abs(np.diff(audio)) < 1.01 * step).all()
        assert (audio[0] < step) == begins
        assert (audio[-1] < step) == ends


def test_the_lead_in_is_slice_zero_and_only_there_if_it_is(tmp_path: Path) -> None:
    passage = ArrayPassage(np.ones((2, 500), np.float32), 44100, start=1000)
    with_lead_in = chop_set(passage, [10, 200], [True])
    assert [cut.number for cut in slices_of(with_lead_in)] == [0, 1, 2]
    assert slice_names(with_lead_in, "x") == ["x-00.wav", "x-01.wav", "x-02.wav"]
    without = chop_set(passage, [0, 200], [True])
    assert [cut.number for cut in slices_of(without)] == [1, 2]
    assert slices_of(without)[0].fade_in == 0  # nothing before it could fade out
    many = chop_set(passage, list(range(100)), [False])
    assert slice_names(many, "x")[0] == "x-001.wav"


class Endless:
    """Audio that exists a block at a time."""

    def __init__(self, frames: int) -> None:
        self.source: Path | None = None
        self.rate, self.channels, self.start, self.frames, self.warning = 8000, 1, 0, frames, ""

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        for start in range(0, self.frames, 65536):
            yield np.zeros((1, min(65536, self.frames - start)), np.float32)


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    """Ten minutes, 19 MB: never more in memory than a few blocks of 256 KiB."""
    passage = Endless(8000 * 600)
    chops = chop_set(passage, [5, 8000 * 599], [True])
    tracemalloc.start()
    write_slices(chops, passage, tmp_path, "s")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_a_source_shorter_than_its_chops_is_refused(tmp_path: Path) -> None:
    passage = ArrayPassage(np.zeros((1, 400), np.float32), 44100)
    chops = chop_set(passage, [0, 100], [False])
    shorter = ArrayPassage(np.zeros((1, 300), np.float32), 44100)
    with pytest.raises(AudioError, match="is shorter than it was"):
        write_slices(chops, shorter, tmp_path / "slices", "s")
    assert [path.name for path in (tmp_path / "slices").iterdir()] == ["s-01.wav"]  # no half of the second
