"""The formats that chops leave in, a module each; all of an export reach the user's folder together (`..exporting`)."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streaming.errors import RequestError

from ...exporting import Exported, Exporter, check_names, safe_stem, written_aside
from ...passage import Passage
from ..chops import ChopSet
from .job import Job

EXPORTS = {
    "slices": Exporter("a WAV file per chop; together they are the source again", f"{__name__}.wav_slices"),
    "cue-wav": Exporter("one WAV with cue points, labels and regions inside", f"{__name__}.cue_wav"),
    "sfz": Exporter("slices on keys from C1 (36) up, for any SFZ sampler", f"{__name__}.sfz"),
    "mpc": Exporter("Akai MPC drum program (.xpm) with its WAV", f"{__name__}.mpc"),
    "ableton": Exporter("Ableton drum rack (.adg) with its WAV", f"{__name__}.ableton"),
    "octatrack": Exporter("Elektron Octatrack slices (.ot) with their WAV", f"{__name__}.octatrack"),
    "midi": Exporter("a MIDI file that replays the original from the pads", f"{__name__}.midi"),
    "reaper": Exporter("REAPER project, and markers and regions as CSV", f"{__name__}.reaper"),
    "audacity": Exporter("Audacity labels", f"{__name__}.audacity"),
    "csv": Exporter("a table", f"{__name__}.csv_table"),
    "json": Exporter("everything, for scripts", f"{__name__}.json_list"),
    "picture": Exporter("a picture (.png) of the waveform, the network's curves and the chops", f"{__name__}.picture"),
}


def export(
    chops: ChopSet,
    passage: Passage,
    names: Sequence[str],
    folder: Path,
    stem: str,
    progress: Callable[[str], None] | None = None,
    curves: Mapping[str, NDArray[np.float32]] | None = None,
) -> Exported:
    """Write ``chops`` of ``passage`` into ``folder`` in every format of ``names`` (keys of `EXPORTS`).

    Files of an earlier export under the same stem are replaced, and slices and banks that it had and this one has
    not are removed. On any failure, Ctrl-C too, the folder is as it was.

    Args:
        stem: what file names begin with; made fit for any file system.
        progress: called with the name of each format before it is written.
        curves: what the network said over the passage, for the picture.

    Raises:
        RequestError: no such format, or no chops.
        AudioError: the passage cannot be read, or the folder not be written, or it would be written over.
    """
    check_names(names, EXPORTS)
    if not chops.chops:
        raise RequestError(f"{chops.source or 'the take'}: has no chops to export")
    stem = safe_stem(stem)
    notes: list[str] = []
    files: list[Path] = []
    with written_aside(folder, stem, passage.source, files, _left_over) as aside:
        job = Job(chops, passage, aside, folder.absolute(), stem, curves or {})
        for name in dict.fromkeys(names):
            if progress:
                progress(name)
            notes += EXPORTS[name].write(job)
        if passage.warning:
            notes.append(passage.warning)
    return Exported(files, notes)


def _left_over(files: Sequence[Path], home: Path, stem: str) -> list[Path]:
    """Slices and banks in ``home`` that an earlier, longer export wrote and this one replaces by fewer."""
    found: list[Path] = []
    for folder in {file.parent for file in files}:
        endings = {re.sub(r"-bank\d+$", "", file.stem) + file.suffix for file in files if file.parent == folder}
        for path in (home / folder).glob("*") if (home / folder).is_dir() else ():
            bank = re.fullmatch(r"(.+)-bank\d+(\.\w+)", path.name)
            numbered = folder.name and re.fullmatch(re.escape(stem) + r"-\d+\.wav", path.name)
            if numbered or (bank and bank[1] + bank[2] in endings):
                found.append(path)
    return found
