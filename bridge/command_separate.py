"""``sidechop separate``: files in, a folder of stems for each out."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import Field

from streaming.errors import RequestError

from .config import Section, read_config
from .levels import level_db
from .progress_bar import Follow, file_by_file

if TYPE_CHECKING:
    from .separate import Separated


class SeparateSettings(Section):
    """What ``--config`` may set for this command."""

    model: str = "auto"
    stems: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    negative: tuple[str, ...] = Field(default=(), alias="not")
    strength: float = Field(default=1.0, ge=0, le=1)
    format: Literal["wav", "flac"] = "wav"


def separate(
    files: Annotated[list[Path], typer.Argument(help="Audio files: wav, flac, ogg, aiff, mp3.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the stems.", show_default=False)],
    model: Annotated[str | None, typer.Option(help="A name that `sidechop models list` shows, or a file.")] = None,
    stems: Annotated[str | None, typer.Option(help="Only these, with commas between: vocals,drums.")] = None,
    query: Annotated[
        list[str] | None, typer.Option(help="What to take out, in words: 'a dog barking'. As often as you like.")
    ] = None,
    negative: Annotated[list[str] | None, typer.Option("--not", help="What it is not: 'the crowd'.")] = None,
    strength: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of a query: 1 gives it alone, 0 the whole mix.")
    ] = None,
    file_format: Annotated[
        Literal["wav", "flac"] | None, typer.Option("--format", help="wav is 32-bit float and exact, flac is 24-bit.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with model, stems, query, …")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a file on standard output.")] = False,
) -> None:
    """Separate audio files into stems: DIR/<file name>/<stem>.wav, each exactly as long as its file.

    With --query, what you describe, in a file named after it, and all else in rest.wav. The stems of a file sum to
    it. Memory stays the same however long a file is.
    """
    chosen = tuple(name.strip() for name in stems.split(",") if name.strip()) if stems is not None else None
    from .audio_files import AudioReader
    from .registry import AUTO, find_model, find_query_model
    from .separate import FileSeparator, file_threads, folder_names

    flags = {
        "model": model, "stems": chosen, "format": file_format, "query": query, "not": negative,
        "strength": strength,
    }  # fmt: skip
    settings = read_config(SeparateSettings, config, flags)
    if chosen == ():
        raise RequestError("--stems names none; leave it out for all of them")
    for file in files:  # all of them before the first is separated: a wrong name should not cost an hour
        AudioReader(file).close()
    chosen_for_you = settings.query and settings.model == AUTO
    path = find_query_model() if chosen_for_you else find_model(settings.model)
    separator = FileSeparator(
        path, settings.stems, file_threads(path), settings.query, settings.negative, strength=settings.strength
    )

    def work(file: Path, name: str, follow: Follow) -> "Separated":
        return separator.separate(
            file, output / name, settings.format, lambda done, total: follow(done / max(1, total))
        )

    file_by_file(files, folder_names(files), work, partial(_report, as_json=as_json))


def _report(done: "Separated", as_json: bool) -> None:
    if done.warning:
        print(f"sidechop: {done.warning}", file=sys.stderr)
    if done.clipped:
        print(f"sidechop: {done.source}: {done.clipped} samples clipped; --format wav keeps them", file=sys.stderr)
    if as_json:
        print(json.dumps(as_data(done)), flush=True)
        return
    folder = next(iter(done.files.values())).parent
    speed = done.duration_s / max(done.took_s, 1e-9)
    print(f"{done.source} → {folder}: {', '.join(done.files)} ({done.duration_s:.1f} s, {speed:.1f}x real time)")


def as_data(done: "Separated") -> dict[str, object]:
    """The object of results that all commands share."""
    items = [
        {
            "kind": "stem",
            "label": done.labels[stem],
            "start_s": 0.0,
            "end_s": done.duration_s,
            "file": str(path),
            "peak_db": round(level_db(done.peaks[stem]), 2),
        }
        for stem, path in done.files.items()
    ]
    return {"source": str(done.source), "rate": done.rate, "duration_s": done.duration_s, "items": items}
