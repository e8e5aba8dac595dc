"""Many machines: the same jobs on a dask.distributed scheduler.

A task is a job, and is carried out as in the pool: by an `Attendant` with a worker process of its own, so that a plugin
that crashes takes no cluster worker with it. Each thread of a cluster worker keeps its attendant from task to task,
models loaded. When a cluster worker dies, the scheduler gives its tasks to another; its own worker process sees its
input end and stops, and what it wrote aside is swept away at the end of the run.

The machines see the same files under the same paths, or files come from and go to object storage (`.storage`).
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from typing import Any

from streaming.errors import RequestError

from .attendant import Attendant, Setup
from .job import Job, Outcome
from .pool import InFlight
from .storage import carry_out_anywhere, staged

CONNECT_S = 20.0
WORKERS_S = 10.0
"""A worker that is only just starting is waited for so long."""
AHEAD = 4
"""Tasks that wait at the scheduler for each thread of the cluster: enough to keep it busy, few enough to cancel."""
ATTENDANTS_KEPT = 2
"""Chains that a thread of a cluster worker keeps open."""

_kept = threading.local()


class Cluster:
    """A scheduler by its address. Raises `RequestError` where none answers, or it has no workers."""

    def __init__(self, address: str, setup: Setup) -> None:
        try:
            self._dask: Any = import_module("distributed")
        except ModuleNotFoundError:
            raise RequestError("--cluster needs dask.distributed: pip install 'sidechop[batch]'") from None
        self._setup = setup
        try:
            self._client = self._dask.Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise RequestError(f"--cluster {address}: no scheduler answers there ({error})") from None
        self._open = True
        self._sources: dict[str, str] = {}
        try:
            self._client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError:
            self.close()
            raise RequestError(
                f"--cluster {address}: the scheduler has no workers; start some with `dask worker {address}`"
            ) from None
        self._threads = sum(self._client.nthreads().values())

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        waiting = iter(jobs)
        by_key: dict[str, Job] = {}
        queue = self._dask.as_completed(loop=self._client.loop)

        def submit() -> None:
            if self._open and (job := next(waiting, None)) is not None:
                future = self._client.submit(carry_out, self._setup._asdict(), asdict(job), pure=False)
                by_key[future.key] = job
                self._sources[future.key] = job.source
                queue.add(future)

        for _ in range(self._threads * AHEAD):
            submit()
        try:
            while by_key:
                future = next(queue)
                job = by_key.pop(future.key)
                self._sources.pop(future.key, None)
                yield self._outcome(future, job)
                submit()
        except Exception as error:
            if self._open:
                raise RequestError(
                    f"the cluster was lost ({type(error).__name__}: {error}); --resume goes on"
                ) from None

    @staticmethod
    def _outcome(future: Any, job: Job) -> Outcome:
        if future.status == "finished":
            return Outcome(**future.result())
        error = future.exception() if future.status == "error" else None
        text = f"{type(error).__name__}: {error}" if error else "cancelled"
        return Outcome(job.number, job.source, "failed", error=f"on the cluster: {text}")

    def in_flight(self) -> list[InFlight]:
        return [InFlight(source, 0.0, "on the cluster") for source in list(self._sources.values())[: self._threads]]

    def close(self) -> None:
        self._open = False
        self._client.close()


def carry_out(setup: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """One task: plain data in, plain data out."""
    attendant = _attendant(Setup(**setup))
    return carry_out_anywhere(attendant, Setup(**setup), Job(**job)).as_data()


def _attendant(setup: Setup) -> Attendant:
    """This thread's, for this setup."""
    if not hasattr(_kept, "attendants"):
        _kept.attendants = OrderedDict()
    attendants: OrderedDict[str, Attendant] = _kept.attendants
    key = repr(setup)
    if key not in attendants:
        attendants[key] = Attendant(staged(setup))
        while len(attendants) > ATTENDANTS_KEPT:
            attendants.popitem(last=False)[1].close()
    attendants.move_to_end(key)
    return attendants[key]
