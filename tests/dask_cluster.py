"""A real cluster on this machine: a scheduler and workers, each a process of its own as on machines of their own."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[1]


class DaskCluster:
    """A scheduler on a free port, and workers that can be killed and started again."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "20",
        }
        self._scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.address = self._address()
        self.workers = [self._worker() for _ in range(workers)]

    def start_a_worker(self) -> None:
        """One more; it takes seconds until the scheduler knows of it."""
        self.workers.append(self._worker())

    def kill_a_worker(self, index: int = 0) -> None:
        """As when its machine loses power; another takes its place."""
        self.workers[index].send_signal(signal.SIGKILL)
        self.workers[index].wait()
        self.workers[index] = self._worker()

    def __enter__(self) -> "DaskCluster":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (*self.workers, self._scheduler):
            process.kill()
            process.wait()

    def _worker(self) -> "subprocess.Popen[bytes]":
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "60"]
        return self._start("worker", self.address, *options, "--local-directory", str(self._folder))

    def _start(self, what: str, *arguments: str) -> "subprocess.Popen[bytes]":
        log = (self._folder / f"{what}.log").open("ab")
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments]
        with log:
            return subprocess.Popen(command, env=self._environment, cwd=self._folder, stdout=log, stderr=log)

    def _address(self) -> str:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            found = re.search(rb"Scheduler at:\s+(tcp://\S+)", (self._folder / "scheduler.log").read_bytes())
            if found:
                return found[1].decode()
            time.sleep(0.05)
        raise AssertionError((self._folder / "scheduler.log").read_text())
