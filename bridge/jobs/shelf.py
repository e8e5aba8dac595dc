"""What jobs left behind for those that come after them: the passages that were heard, by job."""

import threading
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

from streaming.errors import RequestError

KEPT = 16
AUDIO_MAX_BYTES = 1 << 30
"""What was played has no file to be read again, so its audio is kept: this much of it in all."""


class Kept(Protocol):
    """What a shelf holds."""

    @property
    def audio_bytes(self) -> int: ...


_Kept = TypeVar("_Kept", bound=Kept)


class Shelf(Generic[_Kept]):
    """The passages that were used last, by job. Thread-safe. ``verb`` is what a client has to do again: chop, flag."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, job: int, passage: _Kept) -> None:
        """The ones that were not used for longest make room."""
        with self._lock:
            self._kept[job] = passage
            while len(self._kept) > 1 and (len(self._kept) > KEPT or self._audio_bytes() > AUDIO_MAX_BYTES):
                self._kept.popitem(last=False)

    def get(self, job: int) -> _Kept:
        """Raises `RequestError` for a job that is not kept."""
        with self._lock:
            if job not in self._kept:
                there = ", ".join(map(str, sorted(self._kept))) or "none"
                raise RequestError(f"no job {job} is kept; there is {there}: {self._verb} it again")
            self._kept.move_to_end(job)
            return self._kept[job]

    def _audio_bytes(self) -> int:
        return sum(passage.audio_bytes for passage in self._kept.values())
