"""Whether a daemon is there, and starting one that outlives who asked for it.

A daemon ends when its audio cannot be opened, but files can be worked on without: one that ended so is started again on
a second of silence, over and over, and clients are told why there is no live audio.
"""

import itertools
import json
import os
import shlex
import socket
import subprocess
import time
import wave
from pathlib import Path
from typing import Any, Literal

from streaming.spawn import spawn

from ..osc_packet import MalformedError, read_packet, write_message

PROBE_EVERY_S = 0.05
START_S = 60.0
"""A first start measures which model is faster, and reads everything from disk."""
UNANSWERED_S = 2.0
"""Nothing there, where the system tells nobody of a closed port. Less, and one that has just begun on a busy machine
would be taken for none."""
AUDIO_S = 10.0
"""A daemon whose audio has neither begun nor failed for so long is taken as it is."""
SILENCE = "silence.wav"
AUDIO_FLAGS = ("--reastream", "--loop", "--paced", "--unpaced")
AUDIO_OPTIONS = ("--input", "--output", "--file", "--folder", "-o", "--identifier", "--rate", "--block", "--channels")

State = Literal["unknown", "there", "absent", "starting"]


def without_audio(words: list[str]) -> list[str]:
    """The words of ``sidechop live`` less those that say where audio comes from, and how."""
    kept: list[str] = []
    left = iter(words)
    for word in left:
        name, equals, _ = word.partition("=")
        if name in AUDIO_FLAGS:
            continue
        if name not in AUDIO_OPTIONS:
            kept.append(word)
        elif not equals:
            next(left, None)
    return kept


class DaemonWatch:
    """Knows whether a daemon answers on a port, without ever waiting for it.

    Args:
        words: the arguments of ``sidechop live`` with which to start one; None starts none.
        folder: for its log, and the silence.

    Attributes:
        problem: why there is none, when `look` says ``absent``.
        note: what those who ask should know though one is there; for whoever tells them to empty.
    """

    def __init__(self, host: str, port: int, words: str | None, folder: Path) -> None:
        self.state: State = "unknown"
        self.problem = self.note = ""
        self._port, self._words, self._folder, self._log = port, words, folder, folder / "daemon.log"
        self._process: subprocess.Popen[str] | None = None
        self._silent = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((host, port))
        self._socket.setblocking(False)
        self._ids = itertools.count(1)
        self._since = time.monotonic()
        self._next_probe = 0.0

    def gone(self) -> None:
        """It refused a datagram: look again."""
        if self.state == "there":
            self._look_again()

    def try_again(self) -> None:
        """After ``absent``: somebody asks once more."""
        if self.state == "absent":
            self._look_again()

    def _look_again(self) -> None:
        self.state, self._since, self._silent = "unknown", time.monotonic(), False

    def look(self) -> State:
        """Ask, listen, and start one where that was asked for."""
        if self.state in ("there", "absent"):
            return self.state
        refused = self._ask()
        if self._answered():
            self.state, self.problem = "there", ""
        elif self.state == "unknown" and (refused or self._waited() > UNANSWERED_S):
            if self._words is None:
                self._give_up(f"no daemon on port {self._port}: start one with 'sidechop live'")
            else:
                self._start(shlex.split(self._words))
        elif self.state == "starting":
            self._see_whether_it_ended()
        return self.state

    def close(self) -> None:
        self._socket.close()

    def _waited(self) -> float:
        return time.monotonic() - self._since

    def _give_up(self, problem: str) -> None:
        self.state, self.problem = "absent", problem

    def _ask(self) -> bool:
        """Whether the system says that nobody listens there."""
        if time.monotonic() < self._next_probe:
            return False
        self._next_probe = time.monotonic() + PROBE_EVERY_S
        try:
            self._socket.send(write_message("/sidechop/status", (), id=next(self._ids)))
        except OSError:
            return True
        return False

    def _answered(self) -> bool:
        """Whether one is there. One that was just started may yet end because of its audio: that is waited for."""
        try:
            ((address, arguments),) = read_packet(self._socket.recv(1 << 16), limit=1 << 16)
        except (OSError, ValueError, MalformedError):
            return False
        if self.state != "starting" or self._waited() > AUDIO_S or address != "/sidechop/done":
            return address.startswith("/sidechop/")  # also that it wants a token
        return json.loads(arguments[1])["audio"]["state"] not in ("starting", "error")

    def _start(self, words: list[str]) -> None:
        self.state, self._since = "starting", time.monotonic()
        detached: dict[str, Any] = {"start_new_session": True}
        if os.name == "nt":
            detached = {"creationflags": 0x00000208}  # detached, in a process group of its own
        with self._log.open("w", encoding="utf-8") as log:
            self._process = spawn(
                "-m", "bridge.cli", "live", *words, "--osc-port", str(self._port),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **detached,
            )  # fmt: skip

    def _see_whether_it_ended(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            if self._waited() > START_S:
                self._process.kill()
                self._give_up(f"the daemon did not answer in {START_S:g} s; see {self._log}")
            return
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1].removeprefix("sidechop: ") if lines else f"it ended with code {self._process.returncode}"
        if self._silent:
            self._give_up(f"the daemon did not start: {last}")
        else:
            self._silent, self.note = True, f"no live audio: {last}"
            self._start(
                [*without_audio(shlex.split(self._words or "")), "--file", str(self._write_silence()), "--loop"]
            )

    def _write_silence(self) -> Path:
        path = self._folder / SILENCE
        with wave.open(str(path), "wb") as file:
            file.setparams((2, 2, 48000, 0, "NONE", ""))
            file.writeframes(bytes(48000 * 2 * 2))
        return path
