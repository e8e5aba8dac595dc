"""Looks after one worker: starts it, hands it jobs, and says what happened when it dies or hangs.

The pool has one for each of its threads, and every task on a cluster runs in one too.
"""

import contextlib
import json
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import asdict
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from streaming.errors import RequestError
from streaming.spawn import spawn

from .job import Job, Outcome
from .mark import SharedMark, Standing

LOOK_S = 0.1
START_S = 60.0
"""An interpreter that starts and opens a chain may take this, whatever the patience with stages."""
CLOSE_S = 5.0


class Setup(NamedTuple):
    """What a worker is told at first; plain data, because it also travels to other machines.

    Attributes:
        chain: as JSON data. ``base`` is the folder its relative paths count from.
        output: the folder that outputs go below.
        threads: of each network; ``gpu``: whether it runs on one.
        patience_s: a worker that enters no stage for so long hangs.
        staged: the output is a folder for a while, from where files go to a store.
    """

    chain: dict[str, Any]
    base: str
    output: str
    overwrite: bool = False
    threads: int = 1
    gpu: bool = False
    patience_s: float = 120.0
    staged: bool = False


class Attendant:
    """One worker at a time. `run` is for one thread; the rest may be asked by any."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._mark = SharedMark.create()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._open = True
        self.output = setup.output
        self.source: str | None = None
        """What is at work."""

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process and process.poll() is None else None

    def standing(self) -> Standing:
        """Where the work stands."""
        return self._mark.read()

    def start(self) -> None:
        """Have a worker that is ready.

        Raises:
            RequestError: the chain cannot be opened, in the worker's words, or it crashed or hangs on the way.
        """
        if self._process is not None and self._process.poll() is not None:
            self._end()  # it died while it had nothing to do: no file's fault
        with self._lock:
            if not self._open:
                raise RequestError("cancelled")
            if self._process is not None:
                return
            self._lines = SimpleQueue()
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            # In a session of its own: what a plugin does to its group is not done to us.
            process = spawn("-m", "bridge.batch.worker", start_new_session=True, **pipes)
            self._process = process
            self._listener = threading.Thread(target=self._hear, args=(process, self._lines), daemon=True)
            self._listener.start()
        setup = self._setup
        told = {name: value for name, value in setup._asdict().items() if name not in ("patience_s", "staged")}
        self._send({**told, "mark": str(self._mark.path)})
        line, trouble = self._wait(max(START_S, setup.patience_s))
        if line is None:
            raise RequestError(trouble)
        if "error" in line:
            self._end()
            raise RequestError(str(line["error"]))

    def run(self, job: Job) -> Outcome:
        """Have a worker carry it out. Never raises: a worker that dies or hangs is a failed file."""
        started = time.monotonic()
        self.source = job.source
        try:
            self.start()
            self._send(asdict(job))
            line, trouble = self._wait(self._setup.patience_s)
            if line is not None:
                return Outcome(**line)
        except RequestError as error:
            trouble = str(error)
        finally:
            self.source = None
        stage = self.standing().label
        return Outcome(job.number, job.source, "failed", error=trouble, stage=stage, took_s=time.monotonic() - started)

    def close(self) -> None:
        """End the worker; it tidies up what is half done. Safe to call twice, and while `run` waits."""
        with self._lock:
            self._open = False
            process = self._process
        if process is not None:
            assert process.stdin is not None
            with contextlib.suppress(OSError, ValueError):
                process.stdin.close()
            try:
                process.wait(CLOSE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._listener.join()
        self._mark.close()
        if self._setup.staged:
            shutil.rmtree(self.output, ignore_errors=True)

    def _send(self, data: dict[str, Any]) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError, ValueError):  # it has ended: `_wait` sees that
            process.stdin.write(json.dumps(data) + "\n")
            process.stdin.flush()

    def _wait(self, patience_s: float) -> tuple[dict[str, Any] | None, str]:
        """The next line of the worker; or None and what became of it."""
        steps, since = self.standing().steps, time.monotonic()
        while True:
            try:
                line = self._lines.get(timeout=LOOK_S)
            except Empty:
                now = self.standing()
                if now.steps != steps:
                    steps, since = now.steps, time.monotonic()
                elif time.monotonic() - since > patience_s:
                    self._end(kill=True)
                    return None, f"{_named(now.label)} hangs: nothing for {patience_s:g} s, so it was ended"
                continue
            if line is None:
                code = self._end()
                return None, f"{_named(self.standing().label)} crashed: {_death(code)}"
            data: dict[str, Any] = json.loads(line)
            return data, ""

    def _hear(self, process: "subprocess.Popen[str]", lines: "SimpleQueue[str | None]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        process.stdout.close()
        lines.put(None)

    def _end(self, kill: bool = False) -> int:
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return 0
        if kill:
            process.kill()
        try:
            code = process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # of what it did not read any more
            process.stdin.close()
        return code


def _named(label: str) -> str:
    return f"stage {label}" if label[:1].isdigit() else f"the worker ({label or 'starting'})"


def _death(code: int) -> str:
    if code >= 0:
        return f"the worker ended with code {code}"
    try:
        return f"the worker was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"the worker was ended by signal {-code}"
