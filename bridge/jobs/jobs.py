"""The daemon's side of the worker: starts it when it is first needed, and again when it has ended.

Each job is waited for on a thread of its own, the server's; one thread here hears the worker and hands on its lines.
"""

import contextlib
import itertools
import json
import subprocess
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any

from streaming.errors import RequestError
from streaming.spawn import spawn

from ..osc_server import JobAnswer
from ..osc_table import Value

LOOK_S = 0.05
"""How often a job looks whether it was cancelled."""
SIGN_OF_LIFE_S = 1.0
CANCEL_S = 60.0
"""A job that has not ended so long after it was cancelled hangs: the worker is killed, and what it kept is lost."""
STOP_S = 5.0

Line = dict[str, Any]


class Jobs:
    """Jobs of one daemon. Ids are given once, so that a job of a worker that ended is never taken for another."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._lock = threading.Lock()  # guards what follows
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread
        self._waiting: dict[int, SimpleQueue[Line]] = {}
        self._open = True

    @property
    def pid(self) -> int | None:
        """Of the worker, when there is one."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def run(self, answer: JobAnswer, do: str, **arguments: object) -> list[Value]:
        """Have the worker do it, send its progress and items on, and return its reply.

        Raises:
            RequestError: in the worker's words; or it was cancelled, or the worker ended.
        """
        lines: SimpleQueue[Line] = SimpleQueue()
        id = next(self._ids)
        self._ask(id, lines, {"id": id, "do": do, **arguments})
        fraction, text, told_s = 0.0, "waiting", time.monotonic()
        while True:
            try:
                line = lines.get(timeout=LOOK_S)
            except Empty:
                line = {}
            if answer.cancelled.is_set():
                self._cancel(id)
                raise RequestError("cancelled")
            if "error" in line:
                raise RequestError(line["error"])
            if "done" in line:
                return list(line["done"])
            if "items" in line:
                answer.items(line["address"], line["items"])
            if "text" in line:
                fraction, text = line["fraction"], line["text"]
            if "text" in line or time.monotonic() - told_s > SIGN_OF_LIFE_S:
                told_s = time.monotonic()
                answer(fraction, text)

    def close(self) -> None:
        """End the worker; it tidies up what it was writing."""
        with self._lock:
            self._open = False
            process = self._process
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
        self._listener.join()

    def _ask(self, id: int, lines: SimpleQueue[Line], request: dict[str, object]) -> None:
        with self._lock:
            if not self._open:
                raise RequestError("the daemon is ending")
            if self._process is None:
                self._process = spawn("-m", "bridge.jobs.worker", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                self._listener = threading.Thread(target=self._hear, args=(self._process,), name="jobs", daemon=True)
                self._listener.start()
            self._waiting[id] = lines
            self._write(request)

    def _cancel(self, id: int) -> None:
        with self._lock:
            process = self._process
            if process is None or id not in self._waiting:
                return
            self._write({"id": id, "do": "cancel"})
        timer = threading.Timer(CANCEL_S, self._give_up, (id, process))
        timer.daemon = True
        timer.start()

    def _give_up(self, id: int, process: subprocess.Popen[str]) -> None:
        if id in self._waiting:
            process.kill()

    def _write(self, request: dict[str, object]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `_hear` sees that it has ended and tells those who wait
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def _hear(self, process: subprocess.Popen[str]) -> None:
        """Hand lines to those who wait for them, until the worker ends."""
        assert process.stdout is not None
        for text in process.stdout:
            line: Line = json.loads(text)
            with self._lock:
                last = "done" in line or "error" in line
                lines = self._waiting.pop(line["id"]) if last else self._waiting[line["id"]]
            lines.put(line)
        code = process.wait()
        process.stdout.close()
        assert process.stdin is not None
        with self._lock:
            with contextlib.suppress(BrokenPipeError):  # of what it did not read any more
                process.stdin.close()
            self._process = None
            left, self._waiting = self._waiting, {}
        for lines in left.values():
            lines.put({"error": f"the worker ended with code {code}, and what it kept is lost: ask again"})
