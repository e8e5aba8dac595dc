"""The kept parts as one WAV; see `..cut` for how they meet."""

from ..cut import write_cut
from .job import Job


def write(job: Job) -> list[str]:
    clipped = write_cut(job.flags, job.passage, job.path("-cut.wav"))
    if clipped:
        return [f"{job.stem}-cut.wav: {clipped} samples are louder than full scale where parts meet, and clipped"]
    return []
