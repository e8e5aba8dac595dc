"""A thread that follows one DAW's playhead over its own OSC, and gives it its markers when it stops.

It asks ten times a second. The session's counter is read before and after: where both are the same, the answer is
exact to the block, and otherwise the way between is how far off it may be. A DAW that is not there is looked for again.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..config import DawFollow
from . import ableton_osc, ardour
from .ableton_osc import AbletonOsc
from .ardour import Ardour
from .daw import Daw, DawError, Marker
from .osc_link import is_listening
from .reaper_osc import PORT as REAPER_PORT
from .reaper_osc import ReaperFollower

if TYPE_CHECKING:
    from ..daemon import Daemon

LOOK_S = 0.1
AGAIN_S = 2.0
LOADING_S = 15.0
"""An Ardour that has just come is given so long to load its session."""
KEPT_MAX = 10_000


class Follower(Protocol):
    """What the daemon starts and stops."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    @property
    def keep(self) -> Callable[[Marker], None] | None:
        """Takes a marker for the DAW's timeline, set as soon as it can be; None where it takes none."""


def follower_of(settings: DawFollow, daemon: "Daemon") -> Follower:
    """The one that the settings name; "off" has none."""
    port = settings.port
    match settings.follow:
        case "ardour":
            return DawFollower(ArdourThatMayStart(port or ardour.PORT), daemon)
        case "ableton-osc":
            return DawFollower(lambda: AbletonOsc(port=port or ableton_osc.PORT), daemon)
        case _:
            return ReaperFollower(port or REAPER_PORT, daemon.told_playhead, daemon.note_daw)


class ArdourThatMayStart:
    """Connects to an Ardour on this machine, and leaves one alone that has just been started.

    A message that comes while Ardour 7 loads its session leaves its OSC silent until it is started again (8 starts of
    10). What is no OSC does no harm: so it is seen coming without being asked.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._was_away = False
        self._came_s: float | None = None

    def __call__(self) -> Daw:
        """Raises `DawError`."""
        if not is_listening("127.0.0.1", self._port):
            self._was_away, self._came_s = True, None
            raise DawError(f"Ardour does not answer at 127.0.0.1:{self._port}: is it open, with OSC switched on?")
        now = time.monotonic()
        self._came_s = self._came_s or now
        if self._was_away and now - self._came_s < LOADING_S:
            raise DawError("Ardour has just been started, and may still load its session")
        found = Ardour(port=self._port)
        self._was_away = False
        return found


class DawFollower:
    """Follows one that can be asked. ``connect`` raises `DawError` while it is not there."""

    def __init__(self, connect: Callable[[], Daw], daemon: "Daemon") -> None:
        self._connect, self._daemon = connect, daemon
        self._kept: deque[Marker] = deque(maxlen=KEPT_MAX)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="daw", daemon=True)
        self._said = ""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Give it the markers that it still can take, and end."""
        self._stop.set()
        self._thread.join()

    @property
    def keep(self) -> Callable[[Marker], None]:
        return self._kept.append

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._connect() as daw:
                    self._say("ready", f"following {daw.name}")
                    while not self._stop.wait(LOOK_S):
                        self._look(daw)
                    self._daemon.markers.tell()
                    self._place(daw)
            except DawError as error:
                self._say("lost", f"{error}; trying again")
                self._stop.wait(AGAIN_S)
        if self._kept:
            self._say("kept", f"{len(self._kept)} markers were not placed: the DAW did not stop in time")

    def _look(self, daw: Daw) -> None:
        lane, transport = self._daemon.lane, self._daemon.transport
        before = int(lane.counters["in_written"])
        head = daw.playhead()
        after = int(lane.counters["in_written"])
        unsure_s = (after - before) / lane.rate
        transport.report(after, head._replace(error_s=head.error_s + unsure_s, asked=True))
        if not head.rolling:
            self._place(daw)

    def _place(self, daw: Daw) -> None:
        if not self._kept:
            return
        markers = list(self._kept)
        taken = [marker for marker in markers if daw.takes(marker)]
        new = daw.place(taken)
        for _ in markers:
            self._kept.popleft()
        left = f", {len(markers) - len(taken)} lie where it has no timeline" if len(taken) < len(markers) else ""
        self._say("placed", f"{new} markers in {daw.name}{left}", again=True)

    def _say(self, state: str, text: str, again: bool = False) -> None:
        """Once: a DAW that stays away is no news."""
        if again or text != self._said:
            self._daemon.note_daw(state, text)
        self._said = text
