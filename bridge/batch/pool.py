"""All cores of one machine: a worker process for each of so many threads, which only wait for it."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import NamedTuple, Protocol

from .attendant import Attendant, Setup
from .job import Job, Outcome
from .storage import carry_out_anywhere, staged


class InFlight(NamedTuple):
    """A file at work. ``share`` is how much of it is read, 0 to 1."""

    source: str
    share: float
    stage: str


class Dispatcher(Protocol):
    """Who has jobs carried out: this machine's pool, or a cluster."""

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Outcomes as they come, in whatever order."""

    def in_flight(self) -> list[InFlight]: ...

    def close(self) -> None:
        """End what runs; `run` then ends soon. Any thread."""


class Pool:
    """Worker processes of this machine. Raises `RequestError` where the chain cannot be opened."""

    def __init__(self, setup: Setup, workers: int) -> None:
        self._setup = setup
        self._attendants = [Attendant(staged(setup)) for _ in range(workers)]
        self._open = True
        try:
            self._attendants[0].start()  # a model that is missing is told before anything runs
        except BaseException:
            self.close()
            raise

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        waiting = deque(jobs)
        outcomes: SimpleQueue[Outcome | None] = SimpleQueue()

        def work(attendant: Attendant) -> None:
            try:
                while self._open:
                    outcome = carry_out_anywhere(attendant, self._setup, waiting.popleft())
                    if self._open or outcome.status != "failed":  # what is cancelled did not fail
                        outcomes.put(outcome)
            except IndexError:
                pass  # none is left
            finally:
                outcomes.put(None)

        busy = self._attendants[: max(1, len(jobs))]
        for attendant in busy:
            threading.Thread(target=work, args=(attendant,), name="attendant", daemon=True).start()
        left = len(busy)
        while left:
            outcome = outcomes.get()
            if outcome is None:
                left -= 1
            else:
                yield outcome

    def in_flight(self) -> list[InFlight]:
        found = []
        for attendant in self._attendants:
            if (source := attendant.source) is not None:
                standing = attendant.standing()
                found.append(InFlight(source, standing.done / max(1, standing.total), standing.label))
        return found

    @property
    def pids(self) -> list[int]:
        """Of the workers that live."""
        return [pid for attendant in self._attendants if (pid := attendant.pid) is not None]

    def close(self) -> None:
        self._open = False
        closing = [threading.Thread(target=attendant.close) for attendant in self._attendants]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
