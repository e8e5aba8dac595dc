"""REAPER: a project to open or import, and the flags as CSV for a project that is already open.

The project (``.rpp``) has one track with an item per kept part, at its own time, so that items and regions agree with
an untouched source at 0:00: nothing is lost, an item can be drawn out over what was cut. Flags are regions. The CSV is
for *Region/Marker Manager › Import*. A take has no source; its project uses the WAV of the export.

Format: https://github.com/ReaTeam/Doc/blob/master/State%20Chunk%20Definitions (fields left out are REAPER's defaults).
"""

import csv
import os
from pathlib import Path

from ...reaper_text import clock, quoted, source_kind
from ..flag_set import Part
from .job import Job


def write(job: Job) -> list[str]:
    path, offset = job.audio()
    shown = path if job.flags.source is not None else Path(path.name)
    lines = ['<REAPER_PROJECT 0.1 "6.0"']
    for number, flag in enumerate(job.flags.flags, 1):
        lines.append(f"  MARKER {number} {job.seconds(flag.start):.9f} {quoted(job.name(number))} 1")
        lines.append(f'  MARKER {number} {job.seconds(flag.end):.9f} "" 1')
    lines += ["  <TRACK", f"    NAME {quoted(job.stem)}"]
    for number, part in enumerate(job.flags.parts, 1):
        lines += _item(job, number, part, shown, offset)
    lines += ["  >", ">", ""]
    job.path("-flags.rpp").write_text("\n".join(lines), encoding="utf-8")
    _write_csv(job)
    return []


def _item(job: Job, number: int, part: Part, path: Path, offset: int) -> list[str]:
    return [
        "    <ITEM",
        f"      POSITION {job.seconds(part.start):.9f}",
        f"      LENGTH {job.seconds(part.end - part.start):.9f}",
        "      LOOP 0",
        f"      NAME {quoted(f'{job.stem} {number:02}')}",
        f"      SOFFS {job.seconds(part.start - offset):.9f}",
        f"      <SOURCE {source_kind(path)}",
        f"        FILE {quoted(os.fspath(path))}",
        "      >",
        "    >",
    ]


def _write_csv(job: Job) -> None:
    with job.path("-flags-reaper.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["#", "Name", "Start", "End", "Length"])
        for number, flag in enumerate(job.flags.flags, 1):
            times = (flag.start, flag.end, flag.end - flag.start)
            table.writerow([f"R{number}", job.name(number), *(clock(job.seconds(time)) for time in times)])
