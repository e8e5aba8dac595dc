"""A run on the terminal: a bar for all of it, one for each file at work, what failed above them, and the last line."""

import threading

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from .job import Outcome
from .run import Run, Standing

DRAW_S = 0.2


class RunView:
    """A context manager round `Run.work`; nothing is drawn where there is no terminal, but lines are still printed."""

    def __init__(self, quiet: bool = False) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[text]}"))
        off = quiet or not console.is_terminal
        self._bars = Progress(*columns, console=console, transient=True, disable=off, auto_refresh=False)
        self._tasks: dict[str, TaskID] = {}
        self._ended = threading.Event()
        self._drawing: threading.Thread | None = None

    def follow(self, run: Run) -> None:
        """Draw how it stands until the view is left."""
        self._whole = self._bars.add_task("all", total=1.0, text="")
        self._drawing = threading.Thread(target=self._draw, args=(run,), name="view", daemon=True)
        self._drawing.start()

    def report(self, file: str, outcome: Outcome) -> None:
        """A line for what failed, and for what there is to know of a file."""
        if outcome.status == "failed":
            self._say(f"{file}: {told(outcome)}")
        for note in outcome.notes:
            self._say(note if file in note else f"{file}: {note}")

    def __enter__(self) -> "RunView":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._drawing:
            self._drawing.join()
        self._bars.stop()

    def _say(self, text: str) -> None:
        self._bars.console.print(f"sidechop: {text}", markup=False, highlight=False, soft_wrap=True)

    def _draw(self, run: Run) -> None:
        while not self._ended.wait(DRAW_S):
            standing, flying = run.standing, run.in_flight()
            share = run.share()
            self._bars.update(self._whole, completed=share, text=text_of(standing, share))
            for gone in self._tasks.keys() - {flight.source for flight in flying}:
                self._bars.remove_task(self._tasks.pop(gone))
            for flight in flying:
                if flight.source not in self._tasks:
                    name = flight.source.rpartition("/")[2]
                    self._tasks[flight.source] = self._bars.add_task(f"  {name[:40]}", total=1.0, text="")
                self._bars.update(self._tasks[flight.source], completed=flight.share, text=flight.stage)
            self._bars.refresh()


def told(outcome: Outcome) -> str:
    """What went wrong, with the stage, unless the text names it already."""
    error = outcome.error.removeprefix(f"{outcome.source}: ")
    stage = outcome.stage
    return f"stage {stage}: {error}" if stage[:1].isdigit() and stage not in error else error


def text_of(standing: Standing, share: float) -> str:
    """``12 of 40, 34x real time, 1:05 left``."""
    parts = [f"{standing.ended} of {standing.total}"]
    if standing.audio_s:
        parts.append(f"{standing.times_real_time:.0f}x real time")
    if 0 < share < 1 and standing.took_s > 1:
        left = standing.took_s * (1 - share) / share
        parts.append(f"{int(left // 60)}:{int(left % 60):02} left")
    return ", ".join(parts)


def last_line(standing: Standing, ignored: int) -> str:
    """What became of the run."""
    parts = [f"{standing.done} done"]
    parts += [f"{standing.kept} done before"] if standing.kept else []
    parts += [f"{standing.failed} failed"] if standing.failed else []
    parts += [f"{standing.total - standing.ended} not begun"] if standing.ended < standing.total else []
    parts += [f"{ignored} not audio by their names"] if ignored else []
    speed = f", {standing.times_real_time:.1f}x real time" if standing.audio_s else ""
    return f"{', '.join(parts)}: {standing.audio_s:.1f} s of audio in {standing.took_s:.1f} s{speed}"
