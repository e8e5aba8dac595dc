"""``sidechop flag``: what does not belong in a recording, as a table, as JSON, as files for a DAW, and cut out."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.console import Console
from rich.table import Column, Table

from streaming.errors import RequestError

from .config import read_config
from .daws.placing import Offset, Session, Target, To, put, target
from .flags.settings import FlagSettings, Snap
from .progress_bar import Follow, file_by_file, file_progress

if TYPE_CHECKING:
    from streaming.flagger import Flagger

    from .flags.fine import FineStore
    from .flags.flag_set import FlagSet

DEFAULT_EXPORTS = ("reaper", "audacity", "otio", "csv", "json", "picture")
CUT = "cut"
EXPORTING = 0.1
"""The part of the bar that belongs to the exports."""


class FlagCommandSettings(FlagSettings):
    """What ``--config`` may set for this command."""

    export: tuple[str, ...] = DEFAULT_EXPORTS


def flag(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Audio files: wav, flac, ogg, aiff, mp3.", show_default=False)
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the exports.")] = None,
    keep: Annotated[
        float | None, typer.Option(metavar="RATIO", help="Keep this share, 0 to 1, and flag the rest.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="P", help="Flag what is as odd as at most this share of good audio (a p-value)."),
    ] = None,
    min_length: Annotated[
        float | None, typer.Option(help="No part or learned flag is shorter, in seconds; default: 0.3.")
    ] = None,
    pad: Annotated[
        float | None, typer.Option(help="Every part reaches so far into what is cut, in seconds; default: 0.")
    ] = None,
    snap: Annotated[Snap | None, typer.Option(help="Where flags and parts begin and end; default: zero.")] = None,
    start: Annotated[float | None, typer.Option(help="Begin of the passage to flag, in seconds.")] = None,
    end: Annotated[float | None, typer.Option(help="End of the passage, in seconds.")] = None,
    model: Annotated[str | None, typer.Option(help="A name that `sidechop models list` shows, or a file.")] = None,
    cut: Annotated[bool, typer.Option("--cut", help="Write the kept parts as a WAV, too; needs -o.")] = False,
    export: Annotated[
        str | None, typer.Option(help=f"Formats for -o, with commas between; default: {','.join(DEFAULT_EXPORTS)}.")
    ] = None,
    fine: Annotated[
        list[str] | None, typer.Option(metavar="START-END", help="This was fine (seconds): learn it. Repeatable.")
    ] = None,
    undo_fine: Annotated[bool, typer.Option("--undo-fine", help="Take back what was learned as fine last.")] = False,
    to: To = None,
    offset: Offset = None,
    session: Session = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with any of these; flags win over it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a file on standard output.")] = False,
) -> None:
    """Find what does not belong: faults, and passages unlike good audio. With -o, export them; with --cut, cut it.

    Each file's exports go to DIR/<file name>. The source itself is never touched.
    """
    given = {
        "keep": keep, "threshold": threshold, "min_length_s": min_length, "pad_s": pad, "snap": snap, "start_s": start,
        "end_s": end, "model": model, "export": _names(export),
    }  # fmt: skip
    settings = read_config(FlagCommandSettings, config, given)
    names = (*settings.export, CUT) if cut and CUT not in settings.export else settings.export
    files = files or []
    passages = [_passage(text) for text in fine or ()]
    daw = target(to, offset, session)
    _check(files, output, export, cut, bool(passages), undo_fine, names)
    from .flags.analysis import open_flagger

    flagger, store = open_flagger(settings.model)
    if undo_fine:
        store.undo()
        print(f"taken back; passages known as fine to {settings.model}: {store.count}", file=sys.stderr)
        flagger, store = open_flagger(settings.model)
    if passages:
        _learn(files[0], passages, flagger, store, settings)
        return
    if files:
        _flag_all(files, flagger, settings.model_copy(update={"export": names}), output, as_json, daw)


def _flag_all(
    files: list[Path],
    flagger: "Flagger",
    settings: FlagCommandSettings,
    output: Path | None,
    as_json: bool,
    to: Target | None,
) -> None:
    from .separate import folder_names

    def work(file: Path, name: str, follow: Follow) -> Flagged:
        return _flag(file, flagger, settings, output / name if output else None, follow)

    file_by_file(files, folder_names(files), work, partial(_report, as_json=as_json, to=to))


class Flagged(NamedTuple):
    """What became of one file; ``files`` lie below ``folder``, ``notes`` are lines for the user."""

    flags: "FlagSet"
    folder: Path | None
    files: list[Path]
    notes: list[str]


def _flag(
    file: Path,
    flagger: "Flagger",
    settings: FlagCommandSettings,
    folder: Path | None,
    progress: Follow,
) -> Flagged:
    from .flags.analysis import analyse
    from .flags.regions import find_flags

    analysis = analyse(file, flagger, settings, lambda part: progress((1 - EXPORTING) * part))
    flags = find_flags(analysis, settings)
    if folder is None:
        return Flagged(flags, None, [], [*flags.notes, *filter(None, [analysis.passage.warning])])
    from .flags.exports import export

    def writing(name: str) -> None:
        progress(1 - EXPORTING * (1 - settings.export.index(name) / len(settings.export)))

    done = export(flags, analysis.passage, settings.export, folder, file.stem, writing)
    return Flagged(flags, folder, done.files, [*flags.notes, *done.notes])


def _learn(
    file: Path, passages: list[tuple[float, float]], flagger: "Flagger", store: "FineStore", settings: FlagSettings
) -> None:
    """Have what sounds in these passages of the file join the model's memory. Raises `RequestError`."""
    from .flags.analysis import analyse
    from .flags.learning import embeddings_in

    with file_progress() as bars:
        bar = bars.add_task(file.name, total=1.0)
        whole = settings.model_copy(update={"start_s": 0.0, "end_s": None, "snap": "none"})
        analysis = analyse(file, flagger, whole, lambda part: bars.update(bar, completed=part))
    rate = analysis.rate
    found = [embeddings_in(analysis, round(start * rate), round(end * rate)) for start, end in passages]
    for embeddings in found:
        store.add(embeddings)
    print(
        f"learned; passages known as fine to {settings.model}: {store.count} (--undo-fine takes the last one back)",
        file=sys.stderr,
    )


def _check(
    files: list[Path],
    output: Path | None,
    export: str | None,
    cut: bool,
    learning: bool,
    undoing: bool,
    names: tuple[str, ...],
) -> None:
    """Before anything is heard. Raises `RequestError`."""
    if not files and not undoing:
        raise RequestError("no file is named: give one or more audio files")
    if learning and len(files) != 1:
        raise RequestError(f"--fine names a passage of one file, and {len(files)} are given")
    if learning and (output or undoing):
        raise RequestError("--fine only learns: flag the file again afterwards, without it")
    if output:
        from .exporting import check_names
        from .flags.exports import EXPORTS

        if not names:
            raise RequestError(f"--export names none; choose from {', '.join(EXPORTS)}")
        check_names(names, EXPORTS)
    elif export is not None or cut:
        raise RequestError(f"{'--cut' if cut else '--export'} needs a folder to write into: -o DIR")


def _passage(text: str) -> tuple[float, float]:
    start, dash, end = text.partition("-")
    try:
        span = float(start), float(end)
    except ValueError:
        span = 0.0, 0.0
    if not dash or not 0 <= span[0] < span[1]:
        raise RequestError(f"--fine is {text!r}, expected two times in seconds with a dash between: 12.5-14")
    return span


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _report(done: Flagged, as_json: bool, to: Target | None) -> None:
    from .flags.exports.json_list import listed

    flags = done.flags
    notes = [*done.notes, put(listed(flags), to)] if to else done.notes
    for note in notes:
        print(f"sidechop: {note}", file=sys.stderr)
    if as_json:
        print(json.dumps({**listed(flags), "files": [str(path) for path in done.files]}), flush=True)
        return
    seconds = (flags.end - flags.start) / flags.rate
    count = f"{len(flags.flags)} flag{'s' if len(flags.flags) != 1 else ''}"
    print(f"{flags.source}: {count} in {seconds:.1f} s; {flags.kept_s:.1f} s kept ({flags.kept_s / seconds:.0%})")
    if flags.flags:
        right = [Column(name, justify="right") for name in ("flag", "time", "length")]
        table = Table(*right, "kind", *(Column(name, justify="right") for name in ("score", "p", "band")), box=None)
        for number, found in enumerate(flags.flags, 1):
            table.add_row(
                str(number),
                f"{found.start / flags.rate:.3f} s",
                f"{(found.end - found.start) / flags.rate:.3f} s",
                found.kind,
                f"{found.score:.2f}",
                rarity(found.p_value),
                band(found.low_hz, found.high_hz, flags.rate),
            )
        Console().print(table)
    if done.folder:
        print(f"→ {done.folder}: {', '.join(str(path.relative_to(done.folder)) for path in done.files)}")


def rarity(p_value: float) -> str:
    """A p-value with four digits, or that it is less than those can say."""
    return f"{p_value:.4f}" if p_value >= 0.0001 else "<0.0001"


def band(low_hz: float, high_hz: float, rate: int) -> str:
    """Where in the spectrum, in words: ``2.1-8.0 kHz``, ``50-150 Hz``; ``all`` for everything."""
    if low_hz <= 0 and high_hz >= rate / 2:
        return "all"
    if high_hz < 1000:
        return f"{low_hz:.0f}-{high_hz:.0f} Hz"
    return f"{low_hz / 1000:.1f}-{high_hz / 1000:.1f} kHz"
