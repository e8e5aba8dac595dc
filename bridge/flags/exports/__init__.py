"""The formats that flags leave in, a module each; all of an export reach the user's folder together (`..exporting`)."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ...exporting import Exported, Exporter, check_names, safe_stem, written_aside
from ...passage import Passage
from ..flag_set import FlagSet
from .job import Job

EXPORTS = {
    "reaper": Exporter("REAPER project of the kept parts, and flags as regions in it and as CSV", f"{__name__}.reaper"),
    "audacity": Exporter("Audacity labels: the flags, and what is kept", f"{__name__}.audacity"),
    "otio": Exporter("OpenTimelineIO: the cut, and the source with the flags as markers", f"{__name__}.timeline"),
    "csv": Exporter("tables of flags and parts", f"{__name__}.csv_table"),
    "json": Exporter("everything, for scripts", f"{__name__}.json_list"),
    "picture": Exporter("a picture (.png) of the waveform, the scores, flags and parts", f"{__name__}.picture"),
    "cut": Exporter("a WAV of the kept parts with crossfades", f"{__name__}.cut_wav"),
}


def export(
    flags: FlagSet,
    passage: Passage,
    names: Sequence[str],
    folder: Path,
    stem: str,
    progress: Callable[[str], None] | None = None,
) -> Exported:
    """Write ``flags`` of ``passage`` into ``folder`` in every format of ``names`` (keys of `EXPORTS`).

    Files of an earlier export under the same stem are replaced. On any failure, Ctrl-C too, the folder is as it was.

    Args:
        stem: what file names begin with; made fit for any file system.
        progress: called with the name of each format before it is written.

    Raises:
        RequestError: no such format, or a cut of which nothing is left.
        AudioError: the passage cannot be read, or the folder not be written, or it would be written over.
    """
    check_names(names, EXPORTS)
    stem = safe_stem(stem, "flags")
    notes: list[str] = []
    files: list[Path] = []
    with written_aside(folder, stem, passage.source, files) as aside:
        job = Job(flags, passage, aside, folder.absolute(), stem)
        for name in dict.fromkeys(names):
            if progress:
                progress(name)
            notes += EXPORTS[name].write(job)
        if passage.warning:
            notes.append(passage.warning)
    return Exported(files, notes)
