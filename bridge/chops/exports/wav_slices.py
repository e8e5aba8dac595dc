"""A WAV file per chop, in a folder of their own; see `..slices` for how they add up."""

from pathlib import Path

from ..slices import slice_names, write_slices
from .job import Job


def write(job: Job) -> list[str]:
    slice_files(job)
    return []


def slice_files(job: Job) -> dict[int, Path]:
    """The slices of this export by chop number, 0 being the lead-in; written if no other format did so before."""
    folder = job.path("-slices")
    paths = [folder / name for name in slice_names(job.chops, job.stem)]
    if not folder.exists():
        write_slices(job.chops, job.passage, folder, job.stem)
    return dict(enumerate(paths, 1 + len(job.chops.chops) - len(paths)))
