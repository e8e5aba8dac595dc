"""One WAV of the passage that knows its chops, which other formats point into.

Behind the audio come the chunks of RIFF that editors and samplers read (Microsoft, *Multimedia Programming Interface
and Data Specifications 1.0*, 1991): ``cue `` with a point per chop; ``LIST adtl`` with its name (``labl``) and its
length (``ltxt``, purpose ``rgn ``: a region); and ``smpl`` with the root key, 60, and no loops, because a chop is
played once. Positions count from the WAV's own beginning, which is the passage's.
"""

import struct
from pathlib import Path

from streaming.errors import AudioError

from ...audio_files import AudioWriter
from ...passage import PassageReader, sample_format
from .job import Job

RIFF_BYTES = 0xFFFFFFFF
_BYTES = {"16": 2, "24": 3, "float": 4}


def write(job: Job) -> list[str]:
    marked_wav(job)
    return []


def marked_wav(job: Job) -> Path:
    """The WAV of this export, ``-chops.wav``; written if no other format did so before.

    Raises:
        AudioError: a WAV cannot hold that much.
    """
    path = job.path("-chops.wav")
    if path.exists():
        return path
    chops, passage = job.chops, job.passage
    subtype, frames = sample_format(passage), chops.end - chops.start
    chunks = cue_chunks(job)
    if frames * passage.channels * _BYTES[subtype] + len(chunks) + 4096 > RIFF_BYTES:
        raise AudioError(
            f"{job.stem}: {frames / chops.rate / 3600:.1f} hours are more than one WAV holds (4 GB); "
            "chop a shorter passage, or export slices, csv, json, audacity or midi"
        )
    with AudioWriter(path, passage.rate, passage.channels, subtype=subtype) as writer:
        for block in PassageReader(passage).take(frames):
            writer.write(block)
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        file.write(b"\0" * (size % 2) + chunks)
        size = file.tell()
        file.seek(4)
        file.write(struct.pack("<I", size - 8))
    return path


def cue_chunks(job: Job) -> bytes:
    """The chunks ``cue ``, ``LIST`` and ``smpl``."""
    points, texts = b"", b""
    for number, chop in enumerate(job.chops.chops, 1):
        start, frames = chop.position - job.chops.start, chop.end - chop.position
        points += struct.pack("<II4sIII", number, start, b"data", 0, 0, start)
        texts += _chunk(b"labl", struct.pack("<I", number) + job.name(number).encode() + b"\0")
        texts += _chunk(b"ltxt", struct.pack("<II4sHHHH", number, frames, b"rgn ", 0, 0, 0, 0))
    period_ns = round(1e9 / job.chops.rate)
    return (
        _chunk(b"cue ", struct.pack("<I", len(job.chops.chops)) + points)
        + _chunk(b"LIST", b"adtl" + texts)
        + _chunk(b"smpl", struct.pack("<9I", 0, 0, period_ns, 60, 0, 0, 0, 0, 0))
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
