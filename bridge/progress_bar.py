"""The bar on standard error while files are worked on, one after the other; nothing where there is no terminal."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from streaming.errors import SidechopError

Done = TypeVar("Done")
Follow = Callable[[float], None]
"""Takes how much of a file is done, 0 to 1."""


def file_progress() -> Progress:
    """A context manager round the work; it leaves nothing on the screen. Its console prints above the bar."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:3.0f}%"))
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)


def file_by_file(
    files: Sequence[Path],
    names: Sequence[str],
    work: Callable[[Path, str, Follow], Done],
    report: Callable[[Done], None],
) -> None:
    """Work on every file and report it when it is done; a bad one among others is a line, and the rest goes on.

    Args:
        names: what each file's folder is called.

    Raises:
        SidechopError: what went wrong with the only file.
        typer.Exit: with 1, when all others are done.
    """
    failed = False
    with file_progress() as bars:
        for file, name in zip(files, names, strict=True):
            bar = bars.add_task(file.name, total=1.0)
            try:
                done = work(file, name, lambda part, bar=bar: bars.update(bar, completed=part))  # type: ignore[misc]
            except SidechopError as error:
                if len(files) == 1:
                    raise
                failed = True
                bars.console.print(f"sidechop: {error}", markup=False, highlight=False, soft_wrap=True)
                continue
            finally:
                bars.remove_task(bar)
            report(done)
    if failed:
        raise typer.Exit(1)
