"""Audacity labels: start, end and name between tabs, in seconds of the source (*File › Import › Labels*)."""

from .job import Job


def write(job: Job) -> list[str]:
    lines = [
        f"{job.seconds(chop.position):.6f}\t{job.seconds(chop.end):.6f}\t{job.name(number)}\n"
        for number, chop in enumerate(job.chops.chops, 1)
    ]
    job.path("-chops-labels.txt").write_text("".join(lines), encoding="utf-8")
    return []
