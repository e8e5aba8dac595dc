"""Serves the DAW plugin's instances: finds their lanes as they come, gives each an engine, cleans up after them.

One of them may be in focus: what OSC says without naming an instance (faders, statistics, the model, what was just
played) is about that one; its faders multiply with the plugin's own. Where the daemon has no audio of its own, it is
the latest, until another is chosen.
"""

import threading
import time
from typing import Any

from streaming.errors import RequestError, SidechopError
from streaming.process import Listeners

from .plugin_instance import Notify, PluginInstance, Slots
from .plugin_lane import PluginLane, plugin_group, plugin_lanes

LOOK_S = 0.1
UNMAP_AFTER_S = 30.0
"""Other threads may still hold a lane that has gone (a slow request): it is unmapped when none can any more."""


class Plugins:
    """``start`` … ``stop``. Everything but the requests happens on a thread of its own."""

    def __init__(self, slots: Slots, listeners: Listeners, notify: Notify, focus_latest: bool) -> None:
        self._slots, self._listeners, self._notify = slots, listeners, notify
        self._focus_latest = focus_latest
        self._group = plugin_group()
        self._instances: dict[str, PluginInstance] = {}
        self._refused: set[str] = set()
        self._gone: list[tuple[float, PluginInstance]] = []
        self._endings: list[threading.Thread] = []
        self._focus = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plugins", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End every engine; the plugins play dry until another daemon comes. Safe to call twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def instances(self) -> list[PluginInstance]:
        return list(self._instances.values())

    @property
    def focused(self) -> PluginInstance | None:
        """The instance that requests are about; None without any, or when the daemon's own session is."""
        return self._instances.get(self._focus)

    def focus(self, name: str) -> None:
        """Any part of one instance's name; nothing for the daemon's own session.

        Raises:
            RequestError: no such instance, or more than one.
        """
        found = [instance for instance in self._instances if name and name in instance]
        if name and len(found) != 1:
            there = ", ".join(self._instances) or "none"
            raise RequestError(f"{len(found) or 'no'} plugins are called {name!r}; there is {there}")
        self._focus = found[0] if found else ""
        self._focus_latest = False

    def status(self) -> list[dict[str, Any]]:
        return [{**each.status(), "focus": each.name == self._focus} for each in self.instances]

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            self._look()
        for name in list(self._instances):
            self._end(name)
        for ending in self._endings:
            ending.join()
        for _, instance in self._gone:
            instance.lane.close()

    def _look(self) -> None:
        names = plugin_lanes(self._group)
        for name, instance in list(self._instances.items()):
            if name not in names or not instance.plugin_lives:
                self._end(name)
                self._notify("gone", name, "the plugin was closed")
        self._refused &= set(names)
        for name in names:
            if name not in self._instances and name not in self._refused:
                self._claim(name)
        for instance in self._instances.values():
            instance.follow()
        while self._gone and time.monotonic() - self._gone[0][0] > UNMAP_AFTER_S:
            self._gone.pop(0)[1].lane.close()

    def _claim(self, name: str) -> None:
        try:
            claimed = PluginLane.claim(name)
        except SidechopError as error:
            self._refused.add(name)
            self._notify("failed", name, str(error))
            return
        if claimed is None:
            return
        self._instances[name] = PluginInstance(claimed, self._slots, self._listeners, self._notify)
        if self._focus_latest:
            self._focus = name
        self._notify("found", name, f"a plugin at {claimed.lane.rate} Hz")

    def _end(self, name: str) -> None:
        instance = self._instances.pop(name)
        if self._focus == name:
            self._focus = next(reversed(self._instances), "") if self._focus_latest else ""
        ending = threading.Thread(target=instance.end, name=f"{name} ends", daemon=True)  # others must not wait for it
        ending.start()
        self._endings = [*(each for each in self._endings if each.is_alive()), ending]
        self._gone.append((time.monotonic(), instance))
