"""The chop worker: ``python -m bridge.chops.worker``. It hears files and what was played, chooses, and writes exports.

It is a process of its own, at low priority, so that live audio never notices. Requests come as JSON lines on standard
input and answers go as JSON lines to standard output; it ends when its input does, so also with its parent::

    {"id": 7, "do": "file", "path": "a.wav", "start_s": 0, "end_s": 0, "options": "{}"}
    {"id": 7, "fraction": 0.4, "text": "listening"}
    {"id": 7, "items": [[0, 4410, 8820, 0.9, "onset", false], …]}
    {"id": 7, "done": [7, 1, 44100]}          or else {"id": 7, "error": "…"}

What was heard is kept under the id of its request, the job. Lock and re-roll only choose anew; they have a thread of
their own and are answered while files are heard.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

from streaming.curves import CurveNetwork
from streaming.errors import RequestError, SidechopError
from streaming.lane import Lane
from streaming.session import OnnxModel

from ..config import read_config
from ..registry import find_model
from .analysis import analyse_passage
from .chops import ChopSet
from .kept import KeptPassage, Shelf
from .passage import ArrayPassage, FilePassage, Passage
from .settings import ChopSettings

NICENESS = 10
LISTENERS = 2
"""Passages that are heard at a time: what was just played need not wait for a file of hours."""
PROGRESS_EVERY_S = 0.1
ITEMS_A_LINE = 500
SWITCH_INTERVAL_S = 0.001
"""A re-roll need not wait for the thread that listens (Python's own default is 5 ms)."""

Request = dict[str, Any]
_log = logging.getLogger(__name__)


class Worker:
    """Carries out requests on threads of its own; ``take`` returns at once."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._writing = threading.Lock()
        self._shelf = Shelf()
        self._cancelled: dict[int, threading.Event] = {}
        self._turns: dict[int, Future[None]] = {}
        self._listeners = ThreadPoolExecutor(LISTENERS, thread_name_prefix="listen")
        self._chooser = ThreadPoolExecutor(1, thread_name_prefix="choose")
        self._handlers: dict[str, tuple[ThreadPoolExecutor, Callable[[Request], list[int]]]] = {
            "file": (self._listeners, self._chop_file),
            "recent": (self._listeners, self._chop_recent),
            "export": (self._listeners, self._export),
            "lock": (self._chooser, self._lock),
            "reroll": (self._chooser, self._reroll),
        }

    def take(self, request: Request) -> None:
        if request["do"] == "cancel":
            self._cancel(request["id"])
            return
        self._cancelled[request["id"]] = threading.Event()
        pool, handler = self._handlers[request["do"]]
        if request["do"] == "recent":
            # Now, before it waits for its turn: what was played goes on.
            request["heard"] = self._answer(request, _heard_lately)
            if request["heard"] is None:
                return
        turn = self._turns[request["id"]] = pool.submit(self._carry_out, request, handler)
        turn.add_done_callback(lambda _: self._turns.pop(request["id"], None))

    def _cancel(self, id: int) -> None:
        if event := self._cancelled.get(id):
            event.set()
        if (turn := self._turns.get(id)) and turn.cancel():  # it has not begun
            self._end(id, error="cancelled")

    def close(self) -> None:
        """Cancel what runs and wait until it has tidied up."""
        for event in list(self._cancelled.values()):
            event.set()
        for pool in (self._listeners, self._chooser):
            pool.shutdown(cancel_futures=True)

    def _carry_out(self, request: Request, handler: Callable[[Request], list[int]]) -> None:
        done = self._answer(request, handler)
        if done is not None:
            self._end(request["id"], done=done)

    def _answer(self, request: Request, handler: Callable[[Request], Any]) -> Any:
        """What the handler returns; None when it failed, which is then told."""
        try:
            self._go_on(request["id"])
            return handler(request)
        except SidechopError as error:
            text = str(error)
        except Exception as error:  # a fault of ours must neither end the worker nor leave the client waiting
            _log.exception("%s failed", request["do"])
            text = f"internal error: {type(error).__name__}: {error}"
        self._end(request["id"], error=text)
        return None

    def _end(self, id: int, **last: Any) -> None:
        self._cancelled.pop(id, None)
        self._write(id=id, **last)

    def _write(self, **reply: Any) -> None:
        line = json.dumps(reply) + "\n"
        with self._writing:
            self._output.write(line)
            self._output.flush()

    def _go_on(self, id: int) -> None:
        event = self._cancelled.get(id)
        if event is not None and event.is_set():
            raise RequestError("cancelled")

    def _chop_file(self, request: Request) -> list[int]:
        path = Path(request["path"]).expanduser()
        settings = read_options(request["options"], start_s=request["start_s"], end_s=request["end_s"] or None)
        return self._chop(request["id"], FilePassage(path, settings.start_s, settings.end_s), settings)

    def _chop_recent(self, request: Request) -> list[int]:
        settings = read_options(request["options"])
        return self._chop(request["id"], request.pop("heard"), settings)

    def _chop(self, id: int, passage: Passage, settings: ChopSettings) -> list[int]:
        network = CurveNetwork(OnnxModel.open(find_model(settings.model)))
        next_s = 0.0

        def report(fraction: float) -> None:
            nonlocal next_s
            self._go_on(id)
            if fraction == 1.0 or time.monotonic() >= next_s:
                next_s = time.monotonic() + PROGRESS_EVERY_S
                self._write(id=id, fraction=fraction, text="listening")

        report(0.0)
        kept = KeptPassage(analyse_passage(passage, network, report), settings)
        self._go_on(id)
        self._shelf.put(id, kept)
        return self._tell(id, id, kept.chops)

    def _tell(self, id: int, job: int, chops: ChopSet) -> list[int]:
        rows = [(i, c.position, c.end, c.score, c.kind, c.locked) for i, c in enumerate(chops.chops)]
        for start in range(0, len(rows), ITEMS_A_LINE):
            self._write(id=id, items=rows[start : start + ITEMS_A_LINE])
        if chops.note:
            self._write(id=id, fraction=1.0, text=chops.note)
        return [job, len(rows), chops.rate]

    def _lock(self, request: Request) -> list[int]:
        self._shelf.get(request["job"]).lock(request["position"], request["on"])
        return []

    def _reroll(self, request: Request) -> list[int]:
        return self._tell(request["id"], request["job"], self._shelf.get(request["job"]).reroll(request["seed"]))

    def _export(self, request: Request) -> list[int]:
        formats = [name.strip() for name in request["formats"].split(",")]
        kept, id = self._shelf.get(request["job"]), request["id"]
        if not request["folder"]:
            raise RequestError("folder is empty: name the one to write into")

        def report(name: str) -> None:
            self._go_on(id)
            self._write(id=id, fraction=formats.index(name) / len(formats), text=f"writing {name}")

        exported = kept.export(formats, Path(request["folder"]).expanduser(), report)
        for note in exported.notes:
            self._write(id=id, fraction=1.0, text=note)
        return [len(exported.files)]


def _heard_lately(request: Request) -> Passage:
    lane = Lane.attach(request["lane"])
    try:
        position, audio = lane.recent(request["seconds"])
        rate = lane.rate
    finally:
        lane.close()
    if not audio.shape[1]:
        raise RequestError("nothing has been played yet: there is no audio to chop")
    return ArrayPassage(audio, rate, position)


def read_options(text: str, **fixed: object) -> ChopSettings:
    """Settings from the JSON of a request; ``fixed`` ones come from its other arguments. Raises `RequestError`."""
    try:
        options = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"options are not JSON ({error}): give an object such as {{}}") from None
    if not isinstance(options, dict):
        raise RequestError(f"options are {text[:60]}, expected a JSON object such as {{}}")
    if both := sorted(options.keys() & {"start_s", "end_s"}):
        raise RequestError(f"options: {both[0]} is an argument of its own")
    return read_config(ChopSettings, None, {**options, **fixed})


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    worker = Worker(output)
    for line in sys.stdin:
        worker.take(json.loads(line))
    worker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
