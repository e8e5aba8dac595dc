"""WAV files as hardware samplers play them: 44.1 kHz, 16 or 24 bits, resampled and rounded where the source differs."""

from pathlib import Path

from streaming.errors import AudioError

from ...audio_files import AudioWriter
from ...passage import PassageReader, sample_format
from .job import Job

RATE = 44100
LARGEST_BYTES = 2_000_000_000  # what such devices address; a WAV of 4 GB would not fit their cards either


def write_device_wav(job: Job, path: Path, reader: PassageReader, start: int, end: int) -> list[str]:
    """The next samples of ``reader``, which are ``start`` to ``end`` of the source. Returns what to know.

    Raises:
        AudioError: too long for any device.
    """
    passage = job.passage
    subtype = "16" if sample_format(passage) == "16" else "24"
    frames = device_frames(job, end - start)
    if frames * passage.channels * int(subtype) // 8 > LARGEST_BYTES:
        raise AudioError(
            f"{job.stem}: {frames / RATE / 3600:.1f} hours are more than a sampler takes (2 GB); chop a shorter passage"
        )
    writer = AudioWriter(path, passage.rate, passage.channels, subtype=subtype, file_rate=RATE)
    with writer:
        for block in reader.take(end - start):
            writer.write(block)
        writer.finish(frames)
    return [f"{path.name}: {writer.clipped} samples beyond full scale were clipped"] if writer.clipped else []


def device_frames(job: Job, frames: int) -> int:
    """``frames`` of the source, counted at the device's rate."""
    return max(round(frames * RATE / job.chops.rate), 1)


def device_bounds(job: Job, position: int, end: int, start: int, total: int) -> tuple[int, int]:
    """From ``position`` to ``end`` in a device WAV of ``total`` frames that begins at ``start``: never empty."""
    first = min(round((position - start) * RATE / job.chops.rate), total - 1)
    return first, min(max(round((end - start) * RATE / job.chops.rate), first + 1), total)
