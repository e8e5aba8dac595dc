"""SFZ: the slices on keys, each played once from beginning to end, and each silencing the one before.

A file holds a bank of 128, see `.job`. All regions are in one group that is ``off_by`` itself: pads choke one
another, as the chops of one song do on any sampler. Velocity is heard as usual; at 127 a slice plays as it is.
"""

from .job import Job, banks, pad_note
from .wav_slices import slice_files


def write(job: Job) -> list[str]:
    files = slice_files(job)
    for bank in banks(job.chops):
        lines = ["<group> loop_mode=one_shot group=1 off_by=1 off_mode=fast"]
        for number, _ in bank:
            sample = files[number].relative_to(job.folder).as_posix()
            lines.append(f"<region> key={pad_note(number)} sample={sample}")
        job.path(f"-chops{bank.ending}.sfz").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return []
