"""A worker: ``python -m bridge.batch.worker``. It opens one chain and then works on one file after the other.

A process of its own, so that a plugin that crashes takes nobody with it. JSON lines in and out; it ends when its input
does, so also with its parent, and tidies up what was half done::

    {"chain": {…}, "base": "…", "output": "…", "overwrite": false, "threads": 1, "gpu": false, "mark": "/tmp/…"}
    {"ready": true}                                 or {"error": "…"}
    {"number": 0, "source": "a.wav", "folder": "", "known": null}
    {"number": 0, "source": "a.wav", "status": "done", …}
"""

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from streaming.errors import SidechopError

from .description import Chain
from .job import Cancelled, Job, Outcome, Workbench
from .mark import SharedMark

TIDY_S = 3.0
"""So long a job may take to notice that its parent is gone."""


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a plugin prints is no answer

    def answer(data: dict[str, Any]) -> None:
        answers.write(json.dumps(data) + "\n")
        answers.flush()

    setup = json.loads(sys.stdin.readline() or "null")
    if setup is None:
        return 0
    mark = SharedMark(Path(setup["mark"]))
    try:
        bench = Workbench(
            Chain.model_validate(setup["chain"]),
            Path(setup["base"]),
            Path(setup["output"]),
            setup["overwrite"],
            setup["threads"],
            setup["gpu"],
            mark,
        )
    except SidechopError as error:
        answer({"error": str(error)})
        return 1
    requests: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(requests, bench), name="requests", daemon=True).start()
    answer({"ready": True})
    while (request := requests.get()) is not None:
        mark.at("reading")
        try:
            answer(_carried_out(bench, Job(**request)).as_data())
        except (Cancelled, BrokenPipeError):
            break
    return 0


def _carried_out(bench: Workbench, job: Job) -> Outcome:
    try:
        return bench.carry_out(job)
    except Cancelled:
        raise
    except Exception as error:  # a fault of ours must not end the run: it is a failed file with all we know
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"internal error: {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        return Outcome(job.number, job.source, "failed", error=text)


def _listen(requests: "SimpleQueue[dict[str, Any] | None]", bench: Workbench) -> None:
    """Take requests as they come; at the end of the input, end what is at work."""
    for line in sys.stdin:
        requests.put(json.loads(line))
    bench.cancelled = True
    requests.put(None)
    threading.Event().wait(TIDY_S)
    os._exit(1)  # a plugin that hangs does not notice anything


if __name__ == "__main__":
    sys.exit(main())
