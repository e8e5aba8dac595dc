"""``sidechop chop``: the few places worth cutting at, as a table, as JSON, and as files for a DAW or a sampler."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
import typer
from rich.console import Console
from rich.table import Column, Table

from streaming.errors import RequestError

from .chops.settings import ChopSettings, Grid, Method, Mode, Snap
from .config import read_config
from .daws.placing import Offset, Session, Target, To, put, target
from .progress_bar import Follow, file_by_file

if TYPE_CHECKING:
    from streaming.curves import CurveNetwork

    from .chops.analysis import Analysis
    from .chops.chops import ChopSet

DEFAULT_EXPORTS = ("slices", "reaper", "json", "picture")
EXPORTING = 0.1
"""The part of the bar that belongs to the exports."""


class ChopCommandSettings(ChopSettings):
    """What ``--config`` may set for this command."""

    export: tuple[str, ...] = DEFAULT_EXPORTS


def chop(
    files: Annotated[list[Path], typer.Argument(help="Audio files: wav, flac, ogg, aiff, mp3.", show_default=False)],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the exports.")] = None,
    count: Annotated[
        int | None, typer.Option(help="How many chops; as many as suggest themselves if left out.")
    ] = None,
    mode: Annotated[Mode | None, typer.Option(help="Where to look for places to cut; default: chop.")] = None,
    method: Annotated[Method | None, typer.Option(help="How to choose among them; default: max-min.")] = None,
    weight: Annotated[
        float | None, typer.Option("--lambda", help="1: the surest places, 0: the most different; default: 0.5.")
    ] = None,
    grid: Annotated[Grid | None, typer.Option(help="Step of mode grid; default: bar.")] = None,
    at: Annotated[str | None, typer.Option(help="Points of mode manual in seconds: 1.5,3.25.")] = None,
    lock: Annotated[str | None, typer.Option(help="Chops to keep, in seconds; the rest is chosen round them.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed chooses anew; default: 0.")] = None,
    min_length: Annotated[float | None, typer.Option(help="No chop is shorter, in seconds; default: 0.")] = None,
    snap: Annotated[Snap | None, typer.Option(help="Cut on attack and zero crossing, or less; default: onset.")] = None,
    start: Annotated[float | None, typer.Option(help="Begin of the passage to chop, in seconds.")] = None,
    end: Annotated[float | None, typer.Option(help="End of the passage, in seconds.")] = None,
    model: Annotated[str | None, typer.Option(help="A name that `sidechop models list` shows, or a file.")] = None,
    export: Annotated[
        str | None, typer.Option(help=f"Formats for -o, with commas between; default: {','.join(DEFAULT_EXPORTS)}.")
    ] = None,
    to: To = None,
    offset: Offset = None,
    session: Session = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with any of these; flags win over it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a file on standard output.")] = False,
) -> None:
    """Find the places worth cutting at: diverse, on the attack, in time. -o exports them, --to marks them in a DAW.

    Each file's exports go to DIR/<file name>. The same seed gives the same chops.
    """
    flags = {
        "count": count, "mode": mode, "method": method, "lambda": weight, "grid": grid, "at": _seconds("at", at),
        "lock": _seconds("lock", lock), "seed": seed, "min_length_s": min_length, "snap": snap, "start_s": start,
        "end_s": end, "model": model, "export": _names(export),
    }  # fmt: skip
    settings = read_config(ChopCommandSettings, config, flags)
    daw = target(to, offset, session)
    if output:
        _check_names(settings.export)
    elif export is not None:
        raise RequestError("--export needs a folder to write into: -o DIR")
    from .chops.listening import open_network
    from .separate import folder_names

    network = open_network(settings.model)

    def work(file: Path, name: str, follow: Follow) -> Chopped:
        return _chop(file, network, settings, output / name if output else None, follow)

    file_by_file(files, folder_names(files), work, partial(_report, as_json=as_json, to=daw))


class Chopped(NamedTuple):
    """What became of one file; ``files`` lie below ``folder``, ``notes`` are lines for the user."""

    analysis: "Analysis"
    chops: "ChopSet"
    folder: Path | None
    files: list[Path]
    notes: list[str]


def _chop(
    file: Path,
    network: "CurveNetwork",
    settings: ChopCommandSettings,
    folder: Path | None,
    progress: Follow,
) -> Chopped:
    from .chops.analysis import analyse
    from .chops.chopping import chop as find_chops

    analysis = analyse(file, network, settings.start_s, settings.end_s, lambda part: progress((1 - EXPORTING) * part))
    chops = find_chops(analysis, settings)
    notes = [f"{file}: {chops.note}"] if chops.note else []
    if folder is None:
        return Chopped(analysis, chops, None, [], [*notes, *filter(None, [analysis.passage.warning])])
    from .chops.exports import export

    def writing(name: str) -> None:
        progress(1 - EXPORTING * (1 - settings.export.index(name) / len(settings.export)))

    done = export(chops, analysis.passage, settings.export, folder, file.stem, writing, analysis.curves)
    return Chopped(analysis, chops, folder, done.files, [*notes, *done.notes])


def _seconds(flag: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(second) for second in text.split(",") if second.strip())
    except ValueError:
        raise RequestError(f"--{flag} is {text!r}, expected seconds with commas between: 1.5,3.25") from None


def _check_names(names: tuple[str, ...]) -> None:
    """Before anything is heard. Raises `RequestError`."""
    from .chops.exports import EXPORTS

    if not names or (unknown := [name for name in names if name not in EXPORTS]):
        wrong = f"no export is called {unknown[0]!r}" if names else "--export names none"
        raise RequestError(f"{wrong}; choose from {', '.join(EXPORTS)}")


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _report(done: Chopped, as_json: bool, to: Target | None) -> None:
    notes = [*done.notes, put(as_data(done), to)] if to else done.notes
    for note in notes:
        print(f"sidechop: {note}", file=sys.stderr)
    if as_json:
        print(json.dumps(as_data(done)), flush=True)
        return
    chops = done.chops
    tempo = f", {chops.tempo:.1f} bpm, {chops.beats_per_bar} beats a bar" if chops.tempo else ""
    count = f"{len(chops.chops)} chop{'s' if len(chops.chops) != 1 else ''}"
    print(f"{chops.source}: {count} in {(chops.end - chops.start) / chops.rate:.1f} s{tempo}")
    right = [Column(name, justify="right") for name in ("chop", "time", "bar.beat", "length", "score")]
    table = Table(*right, "kind", box=None)
    for number, chop in enumerate(chops.chops, 1):
        table.add_row(
            str(number),
            f"{chop.position / chops.rate:.3f} s",
            bar_beat(done.analysis, chop.position - chops.start),
            f"{(chop.end - chop.position) / chops.rate:.3f} s",
            f"{chop.score:.2f}",
            f"{chop.kind}, locked" if chop.locked else chop.kind,
        )
    Console().print(table)
    if done.folder:
        below = (path.relative_to(done.folder) for path in done.files)
        names = dict.fromkeys(f"{path.parts[0]}/" if len(path.parts) > 1 else path.name for path in below)
        print(f"→ {done.folder}: {', '.join(names)}")


def bar_beat(analysis: "Analysis", position: int) -> str:
    """Where in the music a sample of the passage lies, as REAPER counts: bar, beat and hundredths, ``3.2.50``.

    Bar 1 is the first whole one. Empty before the first beat, and where there is none.
    """
    beats = analysis.beats.positions
    last = int(np.searchsorted(beats, position, side="right")) - 1
    if last < 0 or len(beats) < 2:
        return ""
    after = min(last + 1, len(beats) - 1)
    gone = (position - int(beats[last])) / int(beats[after] - beats[after - 1])
    bar = int(np.count_nonzero(analysis.beat_numbers[: last + 1] == 1))
    more, beat = divmod(int(analysis.beat_numbers[last]) - 1 + int(gone), analysis.beats_per_bar)
    return f"{bar + more}.{beat + 1}.{int(gone % 1 * 100):02}"


def as_data(done: Chopped) -> dict[str, object]:
    """The object of results that all commands share."""
    chops = done.chops
    rate = chops.rate
    items = [
        {
            "kind": "chop",
            "start_s": chop.position / rate,
            "end_s": chop.end / rate,
            "position": chop.position,
            "score": round(chop.score, 4),
            "label": chop.kind,
            "locked": chop.locked,
        }
        for chop in chops.chops
    ]
    return {
        "source": str(chops.source),
        "rate": rate,
        "start_s": chops.start / rate,
        "duration_s": (chops.end - chops.start) / rate,
        "tempo": round(chops.tempo, 2),
        "beats_per_bar": chops.beats_per_bar,
        "items": items,
        "files": [str(path) for path in done.files],
    }
