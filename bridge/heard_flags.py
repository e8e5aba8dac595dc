"""The flags of a session: those that were told, the threshold, and the user's word that one was fine.

"This was fine" goes to the worker, which hears the passage once more in what was played and keeps its embeddings
beside the model; then the engine is told to read them. So it holds for files and for the next session, too.
"""

from collections import deque
from typing import TYPE_CHECKING

from streaming.errors import RequestError
from streaming.faults.faults import KINDS
from streaming.flags import Flag
from streaming.lane import Event

from .osc_server import JobAnswer

if TYPE_CHECKING:
    from .daemon import Daemon

REMEMBERED = 1000
CONTEXT_S = 12.0
"""Before a flag: what the network compares it with."""
AFTER_S = 1.0


class HeardFlags:
    """Positions are samples in the lane's input time."""

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self._flags: deque[Flag] = deque(maxlen=REMEMBERED)
        self._fine: dict[Flag, int] = {}
        """By flag, the number under which it can be taken back."""
        self.count = 0

    @property
    def last(self) -> Flag | None:
        return self._flags[-1] if self._flags else None

    @property
    def threshold(self) -> float:
        """A p-value; 0 is the model's own threshold."""
        return float(self._daemon.lane.header["flags_threshold"])

    @threshold.setter
    def threshold(self, p_value: float) -> None:
        self._daemon.lane.header["flags_threshold"] = p_value

    def take(self, event: Event) -> None:
        """What the engine told: remember it and tell the subscribers."""
        flag = Flag(event.start, event.end, event.score, event.value, event.label, event.low_hz, event.high_hz)
        self._flags.append(flag)
        self.count += 1
        self._daemon.server.push("/sidechop/event/flag", flag.start, flag.end, self._daemon.lane.rate, *flag[2:])

    def fine(self, answer: JobAnswer, position: int, on: bool) -> None:
        """The latest flag there was fine, or was not after all.

        Raises:
            RequestError: there is none, it is a technical fault, it is no longer remembered, or there is nothing to
                take back.
        """
        flag = self._at(position)
        if on and flag not in self._fine:
            self._fine[flag] = self._learn(answer, flag)
        elif not on:
            number = self._fine.get(flag)
            if number is None:
                raise RequestError("this flag was not called fine: there is nothing to take back")
            self._ask(answer, "flag/unlearn", number=number)
            del self._fine[flag]
        self.learned()

    def learned(self) -> None:
        """Have the engine read anew what was fine."""
        self._daemon.lane.header["fine_version"] += 1

    def _learn(self, answer: JobAnswer, flag: Flag) -> int:
        lane = self._daemon.lane
        if flag.kind in KINDS:
            raise RequestError(f"a {flag.kind} is measured, not learned: flag less with a smaller threshold")
        seconds = (int(lane.counters["in_written"]) - flag.start) / lane.rate + CONTEXT_S
        where = {"start": flag.start, "end": flag.end, "lane": lane.name, "seconds": seconds}
        return self._ask(answer, "flag/learn", **where)

    def _ask(self, answer: JobAnswer, do: str, **arguments: object) -> int:
        """Raises `RequestError`."""
        model = self._daemon.engine.listeners.flags
        if model is None:
            raise RequestError("no model flags what is played: switch it on with /sidechop/flag/live")
        return int(self._daemon.jobs.run(answer, do, model=str(model), **arguments)[0])

    def _at(self, position: int) -> Flag:
        flags = list(self._flags)[::-1]
        exact = next((flag for flag in flags if flag.start == position), None)
        found = exact or next((flag for flag in flags if flag.start <= position < flag.end), None)
        if found is None:
            raise RequestError(f"no flag was told at {position}: give the position of one of the last {REMEMBERED}")
        return found
