"""The parent's side of the audio process: starts it, hears its events, starts it anew when a device was lost."""

import json
import subprocess
import threading
from collections.abc import Callable
from typing import Any

from streaming.errors import AudioError
from streaming.lane import Lane
from streaming.spawn import spawn

from .audio_process import EXIT_LOST
from .audio_source import FileSource, Source, encode_source

RETRY_S = 1.0
START_TIMEOUT_S = 15.0

Event = dict[str, Any]
"""``{"event": "ready", "latency": {part: samples}}``, ``lost`` and ``error`` and ``warning`` with ``text``, ``back``
(with ``latency``), ``done``."""


class AudioProcess:
    """One lane's audio. Every event also goes to ``on_event``, on this object's thread.

    ``latency`` holds the named parts in samples from the last ``ready`` or ``back``. A child that crashes counts as a
    lost device. Everything happens on one thread, which outlives no child.
    """

    def __init__(self, lane: Lane, source: Source, on_event: Callable[[Event], None] = lambda event: None) -> None:
        self.latency: dict[str, int] = {}
        self.events: list[Event] = []
        self._command = ["-m", "bridge.audio_process", lane.name, encode_source(source)]
        self._retry = not isinstance(source, FileSource)
        self._on_event = on_event
        self._child: subprocess.Popen[str] | None = None
        self._started = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="audio supervisor", daemon=True)

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Spawn, and wait until the first block is about to come.

        Raises:
            AudioError: the source cannot be played, in the child's words; or it took longer than ``timeout_s``.
        """
        self._thread.start()
        if not self._started.wait(timeout_s):
            self.stop()
            raise AudioError(f"the audio process was not ready after {timeout_s:g} s")
        for event in self.events:
            if event["event"] == "ready":
                return
        self._thread.join()
        errors = [event["text"] for event in self.events if "text" in event]
        raise AudioError(errors[-1] if errors else "the audio process ended before it was ready")

    @property
    def alive(self) -> bool:
        """Whether audio runs or is being brought back; False when it is done, failed or stopped."""
        return self._thread.is_alive()

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until a file is done. Returns whether it is."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def stop(self, timeout_s: float = 3.0) -> None:
        """End it; safe to call twice."""
        self._stop.set()
        child = self._child
        if child is not None and child.stdin is not None and child.poll() is None:
            child.stdin.close()
        if not self._thread.is_alive():
            return
        self._thread.join(timeout_s)
        child = self._child
        if self._thread.is_alive() and child is not None:
            child.kill()
            self._thread.join()

    def _supervise(self) -> None:
        resume = False
        while not self._stop.is_set():
            code = self._run_child(resume)
            last = self.events[-1]["event"] if self.events else ""
            if last in ("done", "error") or self._stop.is_set():
                break
            if not self._started.is_set() or not self._retry:
                self._emit({"event": "error", "text": f"the audio process ended with code {code}"})
                break
            if code != EXIT_LOST and last != "lost":
                text = f"the audio process ended with code {code}; trying again every second"
                self._emit({"event": "lost", "text": text})
            resume = True
            self._stop.wait(RETRY_S)
        self._started.set()

    def _run_child(self, resume: bool) -> int:
        command = [*self._command, "--resume"] if resume else self._command
        with spawn(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            self._child = child
            if self._stop.is_set() and child.stdin:
                child.stdin.close()
            assert child.stdout is not None
            for line in child.stdout:
                self._emit(json.loads(line))
        return child.returncode

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        if event["event"] in ("ready", "back"):
            self.latency = event.get("latency", self.latency)
            self._started.set()
        self._on_event(event)
