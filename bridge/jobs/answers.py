"""What a worker says: JSON lines on its output, one writer for all its threads; and which jobs are to end."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from streaming.errors import RequestError

from ..exporting import Exported

PROGRESS_EVERY_S = 0.1
ITEMS_A_LINE = 500


class Answers:
    """Thread-safe. ``id`` is always that of the request."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._writing = threading.Lock()
        self._cancelled: dict[int, threading.Event] = {}

    def begin(self, id: int) -> None:
        self._cancelled[id] = threading.Event()

    def cancel(self, id: int) -> None:
        if event := self._cancelled.get(id):
            event.set()

    def cancel_all(self) -> None:
        for event in list(self._cancelled.values()):
            event.set()

    def go_on(self, id: int) -> None:
        """Raises `RequestError` when the job is cancelled."""
        event = self._cancelled.get(id)
        if event is not None and event.is_set():
            raise RequestError("cancelled")

    def progress(self, id: int, fraction: float, text: str) -> None:
        self._write(id=id, fraction=fraction, text=text)

    def listening(self, id: int, text: str = "listening") -> Callable[[float], None]:
        """A progress that is told now and then; it ends the work of a cancelled job by raising."""
        next_s = 0.0

        def report(fraction: float) -> None:
            nonlocal next_s
            self.go_on(id)
            if fraction == 1.0 or time.monotonic() >= next_s:
                next_s = time.monotonic() + PROGRESS_EVERY_S
                self.progress(id, fraction, text)

        return report

    def items(self, id: int, address: str, rows: Sequence[Sequence[object]]) -> None:
        """A message of the table, ``address``, for each row."""
        for start in range(0, len(rows), ITEMS_A_LINE):
            self._write(id=id, address=address, items=rows[start : start + ITEMS_A_LINE])

    def written(self, id: int, formats: Sequence[str], write: Callable[[Callable[[str], None]], Exported]) -> list[int]:
        """Have an export done, tell of each format and of what is to know; the reply: how many files there are."""

        def report(name: str) -> None:
            self.go_on(id)
            self.progress(id, formats.index(name) / len(formats), f"writing {name}")

        exported = write(report)
        for note in exported.notes:
            self.progress(id, 1.0, note)
        return [len(exported.files)]

    def end(self, id: int, **last: Any) -> None:
        """The last line: ``done`` or ``error``."""
        self._cancelled.pop(id, None)
        self._write(id=id, **last)

    def _write(self, **reply: Any) -> None:
        line = json.dumps(reply) + "\n"
        with self._writing:
            self._output.write(line)
            self._output.flush()
