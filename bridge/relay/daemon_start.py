"""Whether a daemon is there, and starting one that outlives who asked for it."""

import itertools
import os
import shlex
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Literal

from streaming.spawn import spawn

from ..osc_packet import MalformedError, read_packet, write_message

PROBE_EVERY_S = 0.05
START_S = 60.0
"""A first start measures which model is faster, and reads everything from disk."""
UNANSWERED_S = 0.6
"""Nothing there, where the system tells nobody of a closed port."""

State = Literal["unknown", "there", "absent", "starting"]


class DaemonWatch:
    """Knows whether a daemon answers on a port, without ever waiting for it.

    Args:
        words: the arguments of ``sidechop live`` with which to start one; None starts none.
        log: where what it prints goes.
    """

    def __init__(self, host: str, port: int, words: str | None, log: Path) -> None:
        self.state: State = "unknown"
        self.problem = ""
        self._port, self._words, self._log = port, words, log
        self._process: subprocess.Popen[str] | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((host, port))
        self._socket.setblocking(False)
        self._ids = itertools.count(1)
        self._since = time.monotonic()
        self._next_probe = 0.0

    def gone(self) -> None:
        """It refused a datagram: look again."""
        if self.state == "there":
            self.state, self._since = "unknown", time.monotonic()

    def look(self) -> State:
        """Ask, listen, and start one where that was asked for. ``problem`` says why there is none when ``absent``."""
        if self.state in ("there", "absent"):
            return self.state
        refused = self._ask()
        if self._answered():
            self.state, self.problem = "there", ""
        elif self.state == "unknown" and (refused or self._waited() > UNANSWERED_S):
            self._start()
        elif self.state == "starting":
            self._see_whether_it_ended()
        return self.state

    def try_again(self) -> None:
        """After ``absent``: somebody asks once more."""
        if self.state == "absent":
            self.state, self._since = "unknown", time.monotonic()

    def close(self) -> None:
        self._socket.close()

    def _waited(self) -> float:
        return time.monotonic() - self._since

    def _ask(self) -> bool:
        """Whether the system says that nobody listens there."""
        if time.monotonic() < self._next_probe:
            return False
        self._next_probe = time.monotonic() + PROBE_EVERY_S
        try:
            self._socket.send(write_message("/sidechop/ping", (), id=next(self._ids)))
        except OSError:
            return True
        return False

    def _answered(self) -> bool:
        try:
            # One that wants a token answers with an error: it is there all the same.
            return any(address.startswith("/sidechop/") for address, _ in read_packet(self._socket.recv(8192)))
        except (OSError, MalformedError):
            return False

    def _start(self) -> None:
        if self._words is None:
            self.state, self.problem = "absent", f"no daemon on port {self._port}: start one with 'sidechop live'"
            return
        self.state, self._since = "starting", time.monotonic()
        detached: dict[str, Any] = {"start_new_session": True}
        if os.name == "nt":
            detached = {"creationflags": 0x00000208}  # detached, in a process group of its own
        with self._log.open("w", encoding="utf-8") as log:
            self._process = spawn(
                "-m", "bridge.cli", "live", *shlex.split(self._words), "--osc-port", str(self._port),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **detached,
            )  # fmt: skip

    def _see_whether_it_ended(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = lines[-1].removeprefix("sidechop: ") if lines else f"it ended with code {self._process.returncode}"
            self.state, self.problem = "absent", f"the daemon did not start: {last}"
        elif self._waited() > START_S:
            self._process.kill()
            self.state, self.problem = "absent", f"the daemon did not answer in {START_S:g} s; see {self._log}"
