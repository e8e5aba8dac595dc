"""Keeps an engine process on a lane: restarts it when it dies or hangs, and swaps it for another model's.

While there is none the host plays the delayed dry mix, so nothing here is urgent and all of it may wait. The faders lie
in the lane and outlive any engine.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from streaming.errors import EngineError
from streaming.lane import EngineState, Lane
from streaming.mixer import Controls
from streaming.process import EngineProcess, Listeners

WATCH_S = 0.02
HANG_S = 10.0
"""An engine that has not come round its loop for so long is given up. Shorter stalls it recovers from by itself."""
BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
SETTLED_S = 10.0
"""An engine that ran this long begins the backoff anew when it dies."""

Notify = Callable[[str, str], None]
"""Told of a state (ready, lost, back, switched, failed) and a line about it. Called from the supervisor's threads."""


class EngineSupervisor:
    """Owns the engine process of ``lane``. ``model`` None is the pass-through."""

    def __init__(self, lane: Lane, model: Path | None, listeners: Listeners, notify: Notify) -> None:
        self._lane, self._notify = lane, notify
        self._engine = EngineProcess(lane, model, listeners)
        self._changing = threading.Lock()
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="engine-supervisor", daemon=True)
        self.restarts = 0

    @property
    def model(self) -> Path | None:
        return self._engine.model

    @property
    def listeners(self) -> Listeners:
        return self._engine.listeners

    @property
    def pid(self) -> int | None:
        return self._engine.pid

    def start(self) -> None:
        """Start the first engine and wait until it is ready. Raises `EngineError` with its words."""
        self._engine.start()
        self._notify("ready", self._described())
        self._watcher.start()

    def switch(self, model: Path | None, listeners: Listeners) -> None:
        """Run other models from a moment to the next. Stems that both have keep their faders.

        Raises:
            EngineError: the new one did not start; the old one plays on.
        """
        with self._changing:
            old, faders = self._engine, _faders(self._lane.controls)
            new = EngineProcess(self._lane, model, listeners)
            try:
                new.start()
            except BaseException:
                new.stop()
                raise
            self._engine = new
            _set_faders(self._lane.controls, faders)
            old.stop()
        self._notify("switched", self._described())

    def stop(self) -> None:
        self._stop.set()
        with self._changing:
            self._engine.stop()
        if self._watcher.is_alive():
            self._watcher.join()

    def _described(self) -> str:
        return f"{self._lane.model} in process {self._engine.pid}"

    def _watch(self) -> None:
        attempt, ready_at = 0, time.monotonic()
        while not self._stop.wait(WATCH_S):
            with self._changing:
                if self._engine.alive and self._lane.heartbeat_age_s() < HANG_S:
                    continue
                if time.monotonic() - ready_at > SETTLED_S:
                    attempt = 0
                words = "does not answer" if self._engine.alive else "has ended"
                self._engine.stop()
                self._lane.header["engine_state"] = EngineState.ABSENT
            self._notify("lost", f"the engine process {words}; the dry mix plays on")
            if self._stop.wait(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]):
                return
            attempt += 1
            with self._changing:
                if self._stop.is_set():
                    return
                ready = self._restart()
            if ready:
                ready_at = time.monotonic()
                self._notify("back", self._described())

    def _restart(self) -> bool:
        self.restarts += 1
        self._lane.counters["heartbeat_ns"] = time.monotonic_ns()  # or the new engine is judged by the old one's
        try:
            self._engine.start()
        except EngineError as error:
            self._engine.stop()
            self._notify("failed", str(error))
            return False
        return True


_Faders = dict[str, tuple[float, bool, bool]]


def _faders(controls: Controls) -> _Faders:
    return {name: (controls.gain_db(name), controls.mute(name), controls.solo(name)) for name in controls.outputs}


def _set_faders(controls: Controls, faders: _Faders) -> None:
    """Put each stem's fader where it stood by name: the new model may order or name its stems otherwise."""
    if tuple(faders) == controls.outputs:
        return
    for name in controls.outputs:
        gain_db, mute, solo = faders.get(name, (0.0, False, False))
        controls.set_gain_db(name, gain_db)
        controls.set_mute(name, mute)
        controls.set_solo(name, solo)
