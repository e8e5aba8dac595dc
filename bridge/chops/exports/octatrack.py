"""Elektron Octatrack: a WAV and, under the same name, an ``.ot`` that cuts it into up to 64 slices.

The layout is not published; it was found by others (KaiDrange, OctaChainer, public domain; dijksterhuis, octatools,
checked there against files of OS 1.40). 832 bytes, big-endian::

    0x000  16  "FORM" 0 "DPS1SMPA"          0x02b   2  gain, 48 = 0 dB
    0x010   7  0 0 0 0 0 2 0                0x02d   1  trig quantisation, 255 = direct
    0x017   4  tempo, bpm × 24              0x02e   4  trim start, sample
    0x01b   4  trim length, bars × 100      0x032   4  trim end
    0x01f   4  loop length, bars × 100      0x036   4  loop start
    0x023   4  time stretch, 0 = off        0x03a 768  64 × (start, end, loop start; 0xffffffff = none)
    0x027   4  loop, 0 = off                0x33a   4  how many slices
                                            0x33e   2  sum of bytes 16 … 829, modulo 65536

The tempo's scale is disputed: OctaChainer's code writes bpm × 6, its layout and octatools say × 24, as here. Slices
play at their own speed either way, because stretching is off.
"""

import struct

from ...passage import PassageReader
from .device_wav import RATE, device_bounds, device_frames, write_device_wav
from .job import Bank, Job, banks

SLICES = 64
SIZE = 832
NO_LOOP = 0xFFFFFFFF
UNKNOWN_BPM = 120.0


def write(job: Job) -> list[str]:
    notes: list[str] = []
    reader = PassageReader(job.passage)
    for _ in reader.take(job.chops.chops[0].position - job.chops.start):
        pass  # the lead-in is no slice
    for bank in banks(job.chops, SLICES):
        start, end = bank.chops[0].position, bank.chops[-1].end
        notes += write_device_wav(job, job.path(f"-octatrack{bank.ending}.wav"), reader, start, end)
        job.path(f"-octatrack{bank.ending}.ot").write_bytes(encode(job, bank))
    return notes


def encode(job: Job, bank: Bank) -> bytes:
    """The ``.ot`` of a bank of at most 64 chops."""
    start = bank.chops[0].position
    frames = device_frames(job, bank.chops[-1].end - start)
    bpm = min(max(job.chops.tempo or UNKNOWN_BPM, 30.0), 300.0)  # what the device can show
    quarters = round(frames / RATE * bpm / 60)  # its lengths go by quarters of a bar of four
    cuts = [device_bounds(job, chop.position, chop.end, start, frames) for chop in bank.chops]
    table = [value for first, last in cuts for value in (first, last, NO_LOOP)] + [0] * 3 * (SLICES - len(cuts))
    content = b"FORM\0\0\0\0DPS1SMPA" + bytes([0, 0, 0, 0, 0, 2, 0])
    content += struct.pack(">5I", round(bpm * 24), quarters * 25, quarters * 25, 0, 0)
    content += struct.pack(">HB3I", 48, 255, 0, frames, 0)
    content += struct.pack(f">{3 * SLICES}I", *table) + struct.pack(">I", len(cuts))
    return content + struct.pack(">H", sum(content[16:]) % 65536)
