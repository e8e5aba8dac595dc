"""The bar on standard error while files are worked on, one after the other; nothing where there is no terminal."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


def file_progress() -> Progress:
    """A context manager round the work; it leaves nothing on the screen. Its console prints above the bar."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:3.0f}%"))
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
