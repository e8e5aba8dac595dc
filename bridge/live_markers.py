"""Live chops and flags on the DAW's timeline: told to subscribers, and kept for the DAW that is followed.

A place is told only once the playhead is known to have passed it: the report that comes next may say that it jumped.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .daws.daw import Marker
from .daws.markers import chop_name, flag_names

if TYPE_CHECKING:
    from .daemon import Daemon

WAIT_S = 1.0
"""A DAW that tells its playhead less often gets places by what it told last."""
WAITING_MAX = 10_000


class Found(NamedTuple):
    """A chop (``end`` is ``start``) or a flag, in samples of the session."""

    kind: Literal["chop", "flag"]
    start: int
    end: int
    label: str
    score: float
    at_s: float


class LiveMarkers:
    """``take`` may be called by any thread, ``tell`` by one. ``keep`` takes markers for the DAW that is followed; None
    where none is, or it cannot take any."""

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self._waiting: deque[Found] = deque(maxlen=WAITING_MAX)
        self.keep: Callable[[Marker], None] | None = None
        self.placed = self.nowhere = 0

    def take(self, kind: Literal["chop", "flag"], start: int, end: int, label: str, score: float) -> None:
        """Something was heard."""
        self._waiting.append(Found(kind, start, end, label, score, time.monotonic()))

    def tell(self) -> None:
        """Place what can be placed by now."""
        while self._waiting and self._is_settled(self._waiting[0]):
            self._place(self._waiting.popleft())

    def status(self) -> dict[str, Any]:
        """For ``/sidechop/status``: where the playhead was last, and how many markers found a place, and did not."""
        head = self._daemon.transport.last
        told = head and {"position": head.position, "unit": head.unit, "rolling": head.rolling, "tempo": head.tempo}
        return {"playhead": told, "placed": self.placed, "nowhere": self.nowhere}

    def _is_settled(self, found: Found) -> bool:
        return self._daemon.transport.heard_until >= found.end or time.monotonic() - found.at_s > WAIT_S

    def _place(self, found: Found) -> None:
        start = self._daemon.transport.place(found.start)
        if start is None:
            self.nowhere += 1
            return
        end = self._daemon.transport.place(found.end) or start
        self.placed += 1
        where = (start.position, end.position, start.unit, start.error_s)
        self._daemon.server.push("/sidechop/event/marker", *where, found.kind, found.label, found.score, found.start)
        if self.keep is None:
            return
        if found.kind == "chop":
            self.keep(Marker(start.position, chop_name(0, found.label), start.unit))
        else:
            begin, over = flag_names(found.label, found.score)
            self.keep(Marker(start.position, begin, start.unit))
            self.keep(Marker(end.position, over, end.unit))
