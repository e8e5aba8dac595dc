"""REAPER's playhead from its OSC surface (*Preferences › Control/OSC/web*, device IP 127.0.0.1, device port 9191).

REAPER tells its time in seconds as a float32: at 10 minutes that is a sample and a half off, and the place says so.
Nothing can be put on its timeline this way: that is for its scripts. Patterns: ``TIME f/time``, ``PLAY t/play``,
``TEMPO f/tempo/raw`` of the default configuration.
"""

import socket
import threading
from collections.abc import Callable
from typing import Any

from ..osc_packet import MalformedError, read_packet
from ..transport import Playhead, float32_error_s

PORT = 9191
LOOK_S = 0.2


class ReaperFollower:
    """Listens on a port of its own, which has to be free; ``report`` gets the playhead, ``note`` what happens."""

    def __init__(self, port: int, report: Callable[[Playhead], None], note: Callable[[str, str], None]) -> None:
        self._port, self._report, self._note = port, report, note
        self._playing = False
        self._tempo = 0.0
        self._time_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="daw", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def keep(self) -> None:
        """REAPER's OSC has no word for a new marker; its scripts take the same events."""

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
            try:
                listening.bind(("127.0.0.1", self._port))
            except OSError as error:
                self._note("lost", f"cannot listen for REAPER on UDP port {self._port}: {error.strerror}")
                return
            listening.settimeout(LOOK_S)
            heard = False
            while not self._stop.is_set():
                try:
                    messages = read_packet(listening.recv(65536), limit=65536)
                except (TimeoutError, MalformedError):
                    continue
                if not heard:
                    heard = True
                    self._note("ready", "following REAPER")
                self.hear(messages)

    def hear(self, messages: list[tuple[str, list[Any]]]) -> None:
        """The messages of a bundle belong together: one report."""
        told = False
        for address, arguments in messages:
            value = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], int | float) else None
            if value is None:
                continue
            match address:
                case "/time":
                    self._time_s, told = float(value), True
                case "/play":
                    self._playing, told = bool(value), True
                case "/tempo/raw":
                    self._tempo = float(value)
        if told:
            error_s = float32_error_s(self._time_s)
            self._report(Playhead(self._time_s, self._playing, tempo=self._tempo, error_s=error_s))
