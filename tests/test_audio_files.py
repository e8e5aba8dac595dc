"""Files in and out: what goes in comes out, sample for sample, at any rate and any block; what is wrong is said."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from bridge.audio_files import AudioReader, AudioWriter, session_rate
from streaming.errors import AudioError

RATE = 44100


def noise(frames: int, channels: int = 2, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (channels, frames)).astype(np.float32)


def read_all(path: Path, rate: int | None = None, block: int = 4096) -> NDArray[np.float32]:
    with AudioReader(path, rate) as reader:
        return np.concatenate(list(reader.blocks(block)), axis=1)


def write_all(path: Path, audio: NDArray[np.float32], rate: int = RATE, block: int = 1000, **options: object) -> None:
    with AudioWriter(path, rate, audio.shape[0], **options) as writer:  # type: ignore[arg-type]
        for start in range(0, audio.shape[1], block):
            writer.write(audio[:, start : start + block])


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [1, 63, 64, 8193, 65536, 65537, 200001])
def test_a_float_wav_gives_back_every_sample(tmp_path: Path, channels: int, frames: int) -> None:
    audio = noise(frames, channels)
    write_all(tmp_path / "a.wav", audio, block=997)
    np.testing.assert_array_equal(read_all(tmp_path / "a.wav"), audio)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    ("name", "subtype", "step"), [("a.wav", "24", 2**-23), ("a.wav", "16", 2**-15), ("a.flac", "24", 2**-23)]
)
def test_an_integer_file_is_within_one_step_and_counts_what_it_clips(
    tmp_path: Path, name: str, subtype: str, step: float
) -> None:
    audio = noise(10000)
    audio[0, :7] = 1.5
    with AudioWriter(tmp_path / name, RATE, 2, subtype=subtype) as writer:
        writer.write(audio)
    assert writer.clipped == 7
    back = read_all(tmp_path / name)
    assert np.abs(back - np.clip(audio, -1, 1)).max() <= step
    assert soundfile.info(tmp_path / name).subtype == f"PCM_{subtype}"


@pytest.mark.parametrize("block", [1, 64, 65, 1000, 65536, 100000])
def test_every_block_but_the_last_is_full(tmp_path: Path, block: int) -> None:
    frames = 2500 if block == 1 else 150001
    write_all(tmp_path / "a.wav", noise(frames), block=8192)
    with AudioReader(tmp_path / "a.wav") as reader:
        sizes = [audio.shape[1] for audio in reader.blocks(block)]
    assert sum(sizes) == frames
    assert set(sizes[:-1]) <= {block}
    assert 1 <= sizes[-1] <= block


def sine(frames: int, rate: int) -> NDArray[np.float32]:
    """1 kHz with soft ends: inside every band here, so that a resampler's own filter shows nothing."""
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(frames) / rate) * np.hanning(frames)
    return np.tile(tone.astype(np.float32), (2, 1))


@pytest.mark.parametrize("file_rate", [8000, 11025, 22050, 32000, 37800, 176400, 192000])
@pytest.mark.parametrize("frames", [4801, 100003])
def test_odd_rates_return_with_their_length_and_their_time(tmp_path: Path, file_rate: int, frames: int) -> None:
    rate = session_rate(file_rate)
    audio = sine(frames, file_rate)
    soundfile.write(tmp_path / "odd.wav", audio.T, file_rate, subtype="FLOAT")
    with AudioReader(tmp_path / "odd.wav", rate) as reader:
        assert reader.frames == round(frames * rate / file_rate)
        with AudioWriter(tmp_path / "back.wav", rate, 2, file_rate=file_rate) as writer:
            delivered = 0
            for block in reader.blocks(777):
                delivered += block.shape[1]
                writer.write(block)
            assert delivered == reader.frames
            writer.finish(reader.file_frames_read)
    back = read_all(tmp_path / "back.wav")
    assert back.shape == audio.shape
    assert soundfile.info(tmp_path / "back.wav").samplerate == file_rate
    # Two passes of a -140 dB filter; a single sample of delay at 192 kHz would already show as 0.016.
    assert np.abs(back - audio).max() < 1e-5


@pytest.mark.parametrize(
    ("file_rate", "rate"),
    [(44100, 44100), (96000, 96000), (8000, 48000), (11025, 44100), (32000, 48000), (64000, 96000), (176400, 88200)],
)
def test_session_rate(file_rate: int, rate: int) -> None:
    assert session_rate(file_rate) == rate


def test_resampling_is_the_same_for_any_block(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(30011).T, 22050, subtype="FLOAT")
    one = read_all(tmp_path / "a.wav", 44100, block=1 << 20)
    for block in (1, 64, 4097):
        np.testing.assert_array_equal(read_all(tmp_path / "a.wav", 44100, block), one)


def refusal(path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(AudioError) as caught:
        read_all(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def test_missing_empty_folder_and_text_files_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "missing.wav")
    assert "folder" in refusal(tmp_path)
    (tmp_path / "zero.wav").write_bytes(b"")
    assert "0 bytes" in refusal(tmp_path / "zero.wav")
    (tmp_path / "text.wav").write_text("not music\n" * 100)
    assert "try wav" in refusal(tmp_path / "text.wav")
    soundfile.write(tmp_path / "silent.wav", np.zeros((0, 2), np.float32), RATE)
    assert "0 frames" in refusal(tmp_path / "silent.wav")


@pytest.mark.parametrize("channels", [3, 6, 8])
def test_more_than_two_channels_are_refused(tmp_path: Path, channels: int) -> None:
    soundfile.write(tmp_path / "surround.wav", noise(100, channels).T, RATE)
    text = refusal(tmp_path / "surround.wav")
    assert f"{channels} channels" in text
    assert "stereo mixdown" in text


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 44100, 70000, 99999])
def test_a_sample_that_is_not_a_number_is_refused_with_its_place(tmp_path: Path, bad: float, position: int) -> None:
    audio = noise(100000)
    audio[1, position] = bad
    soundfile.write(tmp_path / "nan.wav", audio.T, RATE, subtype="FLOAT")
    assert f"at {position / RATE:.3f} s" in refusal(tmp_path / "nan.wav")


@pytest.mark.parametrize(
    ("kind", "subtype"), [("wav", "FLOAT"), ("wav", "PCM_24"), ("aiff", "PCM_24"), ("flac", "PCM_24")]
)
def test_a_truncated_file_plays_as_far_as_it_goes_with_a_warning(tmp_path: Path, kind: str, subtype: str) -> None:
    whole, cut = tmp_path / f"whole.{kind}", tmp_path / f"cut.{kind}"
    audio = noise(200000)
    soundfile.write(whole, audio.T, RATE, subtype=subtype)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with AudioReader(cut) as reader:
        back = np.concatenate(list(reader.blocks(4096)), axis=1)
        assert "truncated" in reader.warning
        assert "\n" not in reader.warning
    assert 50000 < back.shape[1] < 150000
    assert np.abs(back - audio[:, : back.shape[1]]).max() <= 2**-23
    with AudioReader(whole) as reader:
        list(reader.blocks(4096))
        assert reader.warning == ""


def test_a_file_cut_inside_its_header_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1000).T, RATE)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:30])
    refusal(tmp_path / "cut.wav")
    soundfile.write(tmp_path / "a.flac", noise(100000).T, RATE)
    (tmp_path / "cut.flac").write_bytes((tmp_path / "a.flac").read_bytes()[:9000])
    assert "none of its" in refusal(tmp_path / "cut.flac")


def test_a_wav_from_a_pipe_is_not_called_truncated(tmp_path: Path) -> None:
    """A program that cannot seek leaves 0xFFFFFFFF as the length of the data."""
    soundfile.write(tmp_path / "a.wav", noise(1000).T, RATE, subtype="PCM_16")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    for at in (4, data.index(b"data") + 4):
        data[at : at + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "pipe.wav").write_bytes(data)
    with AudioReader(tmp_path / "pipe.wav") as reader:
        assert sum(block.shape[1] for block in reader.blocks(4096)) == 1000
        assert reader.warning == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_write_leaves_nothing_and_spares_the_old_file(
    tmp_path: Path, error: type[BaseException]
) -> None:
    write_all(tmp_path / "a.wav", noise(100))
    before = (tmp_path / "a.wav").read_bytes()

    def interrupted() -> None:
        with AudioWriter(tmp_path / "a.wav", RATE, 2) as writer:
            writer.write(noise(5000))
            raise error

    with pytest.raises(error):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
    assert (tmp_path / "a.wav").read_bytes() == before


def test_names_and_folders_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"use \.wav or \.flac"):
        AudioWriter(tmp_path / "a.mp3", RATE, 2)
    with pytest.raises(AudioError, match="flac holds 16 or 24"):
        AudioWriter(tmp_path / "a.flac", RATE, 2)
    (tmp_path / "file").write_text("x")
    with pytest.raises(AudioError, match="cannot be written"):
        AudioWriter(tmp_path / "file" / "a.wav", RATE, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_long_wav_becomes_rf64_and_reads_back(tmp_path: Path) -> None:
    ten_hours = 10 * 3600 * RATE
    audio = noise(5000)
    write_all(tmp_path / "a.wav", audio, frames=ten_hours)
    assert soundfile.info(tmp_path / "a.wav").format == "RF64"
    np.testing.assert_array_equal(read_all(tmp_path / "a.wav"), audio)


def test_a_plain_wav_stops_before_four_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.audio_files.RF64_BYTES", 80000)  # the limit itself would take 4 GB of disk
    with pytest.raises(AudioError, match="write flac"):
        write_all(tmp_path / "a.wav", noise(20000))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB, where the system lets us mount one."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_full_disk_is_one_clear_line_and_leaves_nothing(tiny_disk: Path, name: str) -> None:
    with pytest.raises(AudioError, match="the disk is full"):
        write_all(tiny_disk / name, noise(200000), subtype="24")
    assert list(tiny_disk.iterdir()) == []
    write_all(tiny_disk / name, noise(2000), subtype="24")  # the space is there again


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_file_size_limit_is_one_clear_line_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(AudioError, match="cannot be written"):
            write_all(tmp_path / name, noise(200000), subtype="24")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_an_hour_takes_no_more_memory_than_a_minute(tmp_path: Path) -> None:
    """Peak memory of reading an hour (a sparse file: zeros that take no disk) at another rate, and writing a part."""
    header_only = tmp_path / "hour.wav"
    soundfile.write(header_only, np.zeros((1, 2), np.int16), RATE, subtype="PCM_16")
    frames = 3600 * RATE
    data = bytearray(header_only.read_bytes())
    at = data.index(b"data")
    data[at + 4 : at + 8] = (frames * 4).to_bytes(4, "little")
    data[4:8] = (at + frames * 4).to_bytes(4, "little")
    header_only.write_bytes(data[: at + 8])
    os.truncate(header_only, at + 8 + frames * 4)
    script = """
import resource, sys
from pathlib import Path
from bridge.audio_files import AudioReader, AudioWriter
with AudioReader(Path(sys.argv[1]), 48000) as reader, AudioWriter(Path(sys.argv[2]), 48000, 2, subtype="24") as writer:
    count, peak = 0, None
    for block in reader.blocks(4096):
        count += block.shape[1]
        if count % (4096 * 8) == 0:
            writer.write(block)
        if peak is None and count > 48000 * 60:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(count, reader.frames, peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    command = [sys.executable, "-c", script, str(header_only), str(tmp_path / "out.flac")]
    count, promised, minute_peak, hour_peak = map(
        int, subprocess.run(command, capture_output=True, check=True).stdout.split()
    )
    assert count == promised == 3600 * 48000
    per_mb = 1 << 20 if sys.platform == "darwin" else 1 << 10  # ru_maxrss counts bytes there, kilobytes elsewhere
    assert (hour_peak - minute_peak) / per_mb < 4.0  # allocator noise; the hour itself is 1.4 GB
