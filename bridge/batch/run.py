"""A run: a plan carried out by a pool or a cluster, with a manifest, and a lock so that two runs do not collide."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import filelock

from streaming.errors import AudioError, RequestError

from .job import WORK, Outcome
from .manifest import Manifest
from .plan import Plan
from .pool import Dispatcher, InFlight


@dataclass
class Standing:
    """How a run stands: for the bar, for OSC, for the last line."""

    total: int
    bytes_total: int
    done: int = 0
    kept: int = 0
    failed: int = 0
    bytes_done: int = 0
    audio_s: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def ended(self) -> int:
        return self.done + self.kept + self.failed

    @property
    def took_s(self) -> float:
        return time.monotonic() - self.started

    @property
    def times_real_time(self) -> float:
        """Seconds of audio a second, of what was worked on."""
        return self.audio_s / max(self.took_s, 1e-9)


class Run:
    """One run. `work` may be stopped from any thread by `stop`.

    Args:
        report: called with each outcome and the name of its file.
    """

    def __init__(self, plan: Plan, dispatcher: Dispatcher, report: Callable[[str, Outcome], None]) -> None:
        self._plan, self._dispatcher, self._report = plan, dispatcher, report
        self._stopped = threading.Event()
        self.standing = Standing(len(plan.sources), sum(source.bytes for source in plan.sources))

    def work(self, resume: bool) -> Standing:
        """Carry it out. Raises `SidechopError` where the manifest cannot be written; what is done is done."""
        plan, standing = self._plan, self.standing
        with Manifest(plan.manifest) as manifest:
            jobs = plan.jobs(resume)
            manifest.begin(plan.digest, plan.chain_file, plan.found.ignored)
            for outcome in self._dispatcher.run(jobs):
                source = plan.sources[outcome.number]
                manifest.add(source.file, plan.digest, outcome)
                setattr(standing, outcome.status, getattr(standing, outcome.status) + 1)
                standing.bytes_done += source.bytes
                standing.audio_s += outcome.duration_s
                self._report(source.file, outcome)
        return standing

    def share(self) -> float:
        """How much of all is done, 0 to 1, by the files' bytes."""
        standing = self.standing
        half_done = sum(flight.share for flight in self.in_flight()) * standing.bytes_total / max(1, standing.total)
        return min(1.0, (standing.bytes_done + half_done) / max(1, standing.bytes_total))

    def in_flight(self) -> list[InFlight]:
        return self._dispatcher.in_flight()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        """End it as soon as what is half done is tidied up."""
        self._stopped.set()
        self._dispatcher.close()


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """The output folder for one run alone; what an earlier run that died left half done is removed.

    The lock is the system's, so it goes with the process that holds it, however that ends.

    Raises:
        RequestError: another run has it.
        AudioError: the folder cannot be written.
    """
    work = output / WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(work / "lock")
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RequestError(f"{output}: another run is writing there; wait for it, or choose another folder") from None
    except OSError as error:
        raise AudioError(f"{output}: cannot be written ({error.strerror}); choose another folder with -o") from None
    try:
        shutil.rmtree(work / "work", ignore_errors=True)
        yield
    finally:
        shutil.rmtree(work, ignore_errors=True)  # before the lock is free: what comes after may be another run's
        lock.release()
