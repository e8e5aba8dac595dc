"""REAPER: a project to open or import, and its markers and regions as CSV for a project that is already open.

The project (``.rpp``) has one track with an item per chop, cut from the source itself at its own time, so that items,
markers and regions agree with an untouched source at 0:00. Where a chop fades, two items overlap by the fade, linear
on both sides, as the slices do. The CSV is for *Region/Marker Manager › Import*. A take has no source; its project
uses the WAV of the export.

Format: https://github.com/ReaTeam/Doc/blob/master/State%20Chunk%20Definitions (fields left out are REAPER's defaults).
"""

import csv
import os
from pathlib import Path

from ...reaper_text import clock, quoted, source_kind
from ..slices import Slice, slices_of
from .cue_wav import marked_wav
from .job import Job

UNKNOWN_BPM = 120.0


def write(job: Job) -> list[str]:
    path, offset = _audio(job)
    chops = job.chops
    lines = ['<REAPER_PROJECT 0.1 "6.0"', f"  TEMPO {chops.tempo or UNKNOWN_BPM:.6f} {chops.beats_per_bar or 4} 4"]
    for number, chop in enumerate(chops.chops, 1):
        lines.append(f"  MARKER {number} {job.seconds(chop.position):.9f} {quoted(job.name(number))} 0")
    for number, chop in enumerate(chops.chops, 1):
        lines.append(f"  MARKER {number} {job.seconds(chop.position):.9f} {quoted(job.name(number))} 1")
        lines.append(f'  MARKER {number} {job.seconds(chop.end):.9f} "" 1')
    lines += ["  <TRACK", f"    NAME {quoted(job.stem)}"]
    for cut in slices_of(chops):
        lines += _item(job, cut, path, offset)
    lines += ["  >", ">", ""]
    job.path("-chops.rpp").write_text("\n".join(lines), encoding="utf-8")
    _write_csv(job)
    return []


def _audio(job: Job) -> tuple[Path, int]:
    """The file that the items play, and the position at which it begins."""
    if job.chops.source is None:
        return Path(marked_wav(job).name), job.chops.start
    return job.chops.source.absolute(), 0


def _item(job: Job, cut: Slice, path: Path, offset: int) -> list[str]:
    return [
        "    <ITEM",
        f"      POSITION {job.seconds(cut.start):.9f}",
        f"      LENGTH {job.seconds(cut.frames):.9f}",
        "      LOOP 0",
        f"      FADEIN 0 {job.seconds(cut.fade_in):.9f} 0 0 0 0 0",
        f"      FADEOUT 0 {job.seconds(cut.fade_out):.9f} 0 0 0 0 0",
        f"      NAME {quoted(job.name(cut.number) if cut.number else 'lead-in')}",
        f"      SOFFS {job.seconds(cut.start - offset):.9f}",
        f"      <SOURCE {source_kind(path)}",
        f"        FILE {quoted(os.fspath(path))}",
        "      >",
        "    >",
    ]


def _write_csv(job: Job) -> None:
    with job.path("-chops-reaper.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["#", "Name", "Start", "End", "Length"])
        for number, chop in enumerate(job.chops.chops, 1):
            start, end = clock(job.seconds(chop.position)), clock(job.seconds(chop.end))
            table.writerow([f"M{number}", job.name(number), start, "", ""])
            table.writerow([f"R{number}", job.name(number), start, end, clock(job.seconds(chop.end - chop.position))])
