"""The worker: ``python -m bridge.jobs.worker``. It hears files and what was played, chooses, flags, separates,
and writes exports.

It is a process of its own, at low priority, so that live audio never notices. Requests come as JSON lines on standard
input and answers go as JSON lines to standard output; it ends when its input does, so also with its parent::

    {"id": 7, "do": "chop/file", "path": "a.wav", "start_s": 0, "end_s": 0, "options": "{}"}
    {"id": 7, "fraction": 0.4, "text": "listening"}
    {"id": 7, "address": "/sidechop/chop/item", "items": [[0, 4410, 8820, 0.9, "onset", false], …]}
    {"id": 7, "done": [7, 1, 44100]}          or else {"id": 7, "error": "…"}

What was heard is kept under the id of its request, the job. What only chooses anew has a thread of its own and is
answered while files are heard.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TextIO

from streaming.errors import SidechopError

from .answers import Answers
from .batch_jobs import BatchJobs
from .chop_jobs import ChopJobs
from .flag_jobs import FlagJobs
from .requests import Request, heard_lately
from .separate_jobs import SeparateJobs

NICENESS = 10
LISTENERS = 2
"""Passages that are heard at a time: what was just played need not wait for a file of hours."""
SWITCH_INTERVAL_S = 0.001
"""A re-roll need not wait for the thread that listens (Python's own default is 5 ms)."""

_log = logging.getLogger(__name__)


class Worker:
    """Carries out requests on threads of its own; ``take`` returns at once."""

    def __init__(self, output: TextIO) -> None:
        self._answers = Answers(output)
        self._turns: dict[int, Future[None]] = {}
        self._pools = {
            "listen": ThreadPoolExecutor(LISTENERS, thread_name_prefix="listen"),
            "choose": ThreadPoolExecutor(1, thread_name_prefix="choose"),
            "batch": ThreadPoolExecutor(1, thread_name_prefix="batch"),
        }
        answers = self._answers
        kinds = ChopJobs(answers), FlagJobs(answers), SeparateJobs(answers), BatchJobs(answers)
        self._handlers = {do: handler for jobs in kinds for do, handler in jobs.handlers().items()}

    def take(self, request: Request) -> None:
        id = request["id"]
        if request["do"] == "cancel":
            self._cancel(id)
            return
        self._answers.begin(id)
        handler = self._handlers[request["do"]]
        if "lane" in request:
            # Now, before it waits for its turn: what was played goes on.
            request["heard"] = self._answer(request, heard_lately)
            if request["heard"] is None:
                return
        turn = self._turns[id] = self._pools[handler.pool].submit(self._carry_out, request, handler.carry_out)
        turn.add_done_callback(lambda _: self._turns.pop(id, None))

    def _cancel(self, id: int) -> None:
        self._answers.cancel(id)
        if (turn := self._turns.get(id)) and turn.cancel():  # it has not begun
            self._answers.end(id, error="cancelled")

    def close(self) -> None:
        """Cancel what runs and wait until it has tidied up."""
        self._answers.cancel_all()
        for pool in self._pools.values():
            pool.shutdown(cancel_futures=True)

    def _carry_out(self, request: Request, handler: Callable[[Request], list[int]]) -> None:
        done = self._answer(request, handler)
        if done is not None:
            self._answers.end(request["id"], done=done)

    def _answer(self, request: Request, handler: Callable[[Request], Any]) -> Any:
        """What the handler returns; None when it failed, which is then told."""
        try:
            self._answers.go_on(request["id"])
            return handler(request)
        except SidechopError as error:
            text = str(error)
        except Exception as error:  # a fault of ours must neither end the worker nor leave the client waiting
            _log.exception("%s failed", request["do"])
            text = f"internal error: {type(error).__name__}: {error}"
        self._answers.end(request["id"], error=text)
        return None


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
