"""One instance of the DAW plugin, as the daemon serves it: its lane, and the engine process that is its own.

An engine each, not one for all: a host works on its tracks side by side, and so do the engines; one that dies or hangs
silences no other track. What that costs in memory and gains in time is measured by ``benchmarks/plugin_engines.py``.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streaming.errors import SidechopError
from streaming.lane import EngineState
from streaming.process import Listeners
from streaming.queries import outputs_for
from streaming.separator import model_latency

from .engine_supervisor import EngineSupervisor
from .plugin_lane import PluginLane
from .registry import peek_card

Notify = Callable[[str, str, str], None]
"""Told of a state (found, ready, lost, back, switched, failed, gone), the instance's name, and a line about it."""
Slots = Callable[[int], tuple[str, Path | None]]
"""Name and file of the model in a slot; None for the pass-through. Raises `SidechopError`."""


class PluginInstance:
    """Its engine is started, and follows the plugin's model slot, on a thread of its own: `follow` wakes it."""

    def __init__(self, claimed: PluginLane, slots: Slots, listeners: Listeners, notify: Notify) -> None:
        self._claimed, self._slots = claimed, slots
        self.lane, self.name = claimed.lane, claimed.name
        self.lane.header["chops_on"] = listeners.chops is not None
        self.lane.header["flags_on"] = listeners.flags is not None
        self._notify = notify
        self.engine = EngineSupervisor(self.lane, None, listeners, self._tell)
        self.model_name = ""
        self.problem = ""
        self.slot = -1
        self._runs = False
        self._changing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = False

    @property
    def plugin_lives(self) -> bool:
        return self._claimed.plugin_lives

    def follow(self) -> None:
        """Let the engine run what the plugin's slot says, if that has changed. Returns at once."""
        slot = int(self.lane.header["host_slot"])
        if slot == self.slot or (self._thread and self._thread.is_alive()):
            return
        self.slot = slot
        self._thread = threading.Thread(target=self._follow, args=(slot,), name=f"{self.name} model", daemon=True)
        self._thread.start()

    def _follow(self, slot: int) -> None:
        try:
            try:
                name, model = self._slots(slot)
            except SidechopError as error:
                self._refuse(error)
                raise
            self.run_model(name, model)
        except SidechopError as error:
            self._tell("failed", str(error))

    def _refuse(self, error: SidechopError) -> None:
        self.problem = str(error)
        if not self._runs:
            self.lane.header["error"] = self.problem.encode()[:1024]
            self.lane.header["engine_state"] = EngineState.FAILED

    def _tell(self, state: str, text: str) -> None:
        self._notify(state, self.name, text)

    def run_model(self, name: str, model: Path | None) -> None:
        """Raises `SidechopError`: it does not fit, or did not start; the one before plays on."""
        with self._changing:
            if self._ended:
                return
            before = self.model_name
            try:
                self._describe(model)
                if self._runs:
                    self.engine.switch(model, self.engine.listeners)
                else:
                    self.model_name = name  # before it is ready: whoever sees that it is may ask for its name
                    self._start(model)
            except SidechopError as error:
                self.model_name = before
                self._refuse(error)
                raise
            self.model_name, self.problem = name, ""

    def _describe(self, model: Path | None) -> None:
        """What the model gives is there before its engine is, so that faders can be set."""
        card = None if model is None else peek_card(model)
        if card is not None:
            model_latency(card, self.lane.rate)
        if not self._runs:
            self.lane.header["engine_state"] = EngineState.LOADING
            if card is not None:
                self.lane.set_outputs(outputs_for(card))

    def _start(self, model: Path | None) -> None:
        self.engine = EngineSupervisor(self.lane, model, self.engine.listeners, self._tell)
        try:
            self.engine.start()
        except BaseException:
            self.engine.stop()
            raise
        self._runs = True

    def status(self) -> dict[str, Any]:
        lane = self.lane
        statistics = lane.statistics()
        return {
            "name": self.name,
            "host_pid": int(lane.header["host_pid"]),
            "rate": lane.rate,
            "latency_samples": int(lane.header["host_latency"]),
            "offline": bool(lane.header["host_offline"]),
            "slot": self.slot,
            "model": self.model_name,
            "engine": statistics["engine"],
            "engine_pid": self.engine.pid if self._runs else None,
            "restarts": self.engine.restarts,
            "misses": statistics["misses"],
            "blocks": statistics["blocks"],
            "dry_s": statistics["dry_s"],
            "problem": self.problem,
        }

    def end(self) -> None:
        """Stop the engine and let go of the lane, which stays the plugin's. The memory stays mapped."""
        with self._changing:
            self._ended = True
            self.engine.stop()
            if self.plugin_lives:
                self.lane.header["engine_state"] = EngineState.ABSENT
        if self._thread:
            self._thread.join()
        self._claimed.release()
