"""Audacity labels: start, end and name between tabs, in seconds of the source (*File › Import › Labels*).

Flags and kept parts are a label track each, so a file each.
"""

from .job import Job


def write(job: Job) -> list[str]:
    flags = [(flag.start, flag.end, job.name(number)) for number, flag in enumerate(job.flags.flags, 1)]
    parts = [(part.start, part.end, f"keep {number:02}") for number, part in enumerate(job.flags.parts, 1)]
    for ending, rows in (("-flags-labels.txt", flags), ("-keep-labels.txt", parts)):
        lines = [f"{job.seconds(start):.6f}\t{job.seconds(end):.6f}\t{name}\n" for start, end, name in rows]
        job.path(ending).write_text("".join(lines), encoding="utf-8")
    return []
