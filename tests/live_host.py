"""What runs a Remote Script in Live: the framework's base class, the tick, MIDI and the status bar."""

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import live_fake
from live_fake import Song

PACKAGE = "ableton_scripts.Sidechop"


class CInstance:
    """What Live hands to a script."""

    def __init__(self, song: Song) -> None:
        self._song = song
        self.shown: list[str] = []
        self.logged: list[str] = []

    def song(self) -> Song:
        return self._song

    def show_message(self, text: str) -> None:
        self.shown.append(text)

    def log_message(self, text: str) -> None:
        self.logged.append(text)

    def handle(self) -> int:
        return 7


class ControlSurface:
    """As ``ableton.v2.control_surface.ControlSurface``, as far as the script leans on it."""

    def __init__(self, c_instance: Any = None, publish_self: bool = True) -> None:
        assert c_instance
        self._c_instance = c_instance
        self._listeners: list[Callable[..., None]] = []
        self.connected = True

    @property
    def song(self) -> Song:
        found: Song = self._c_instance.song()
        return found

    def show_message(self, message: str) -> None:
        assert isinstance(message, str)
        self._c_instance.show_message(message)

    def add_received_midi_listener(self, listener: Callable[..., None]) -> None:
        self._listeners.append(listener)

    def remove_received_midi_listener(self, listener: Callable[..., None]) -> None:
        self._listeners.remove(listener)

    def build_midi_map(self, midi_map_handle: int) -> None: ...

    def receive_midi_chunk(self, midi_chunk: tuple[tuple[int, ...], ...]) -> None:
        for midi in midi_chunk:
            for listener in self._listeners:
                listener(*midi)

    def update_display(self) -> None: ...

    def disconnect(self) -> None:
        self.connected = False


class LiveHost:
    """One set with the script in it."""

    def __init__(self, song: Song, script: Any, c_instance: CInstance) -> None:
        self.song, self.script, self._c_instance = song, script, c_instance

    @property
    def shown(self) -> list[str]:
        """What the status bar said."""
        return self._c_instance.shown

    def tick(self, seconds: float = live_fake.TICK_S) -> None:
        """A tenth of a second of Live, or less of ours where nothing runs by the clock."""
        self.song.tick()
        self.script.update_display()
        time.sleep(seconds)

    def until(self, done: Callable[[], Any], ticks: int = 3000, seconds: float = live_fake.TICK_S) -> Any:
        for _ in range(ticks):
            if value := done():
                return value
            self.tick(seconds)
        raise AssertionError(f"not within {ticks} ticks; Live showed {self.shown[-3:]}")

    def midi(self, *message: int) -> None:
        """From the controller; Live passes on what was asked for, only."""
        if message[:2] in live_fake.FORWARDED:
            self.script.receive_midi_chunk((message,))

    def act(self, name: str, *arguments: Any, seconds: float = live_fake.TICK_S) -> str:
        """Start an action and tick until it is done; what the user reads."""
        told: list[str] = []
        self.script._start(name, list(arguments), lambda well, text: told.append(("" if well else "! ") + text))
        self.until(lambda: told, seconds=seconds)
        return told[0]


@contextmanager
def live_modules() -> Iterator[None]:
    """What a script finds when Live imports it; gone afterwards, and the script's own modules too."""
    framework = ModuleType("ableton.v2.control_surface")
    framework.__dict__["ControlSurface"] = ControlSurface
    fakes = {"ableton": ModuleType("ableton"), "ableton.v2": ModuleType("ableton.v2")}
    fakes |= {"ableton.v2.control_surface": framework, **live_fake.modules()}
    before = {name: sys.modules.get(name) for name in fakes}
    sys.modules.update(fakes)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
            del sys.modules[name]
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


@contextmanager
def live_with_script(song: Song, **settings: Any) -> Iterator[LiveHost]:
    """Live starts with the script chosen, and ends. ``settings`` are as ``settings.json`` would have them."""
    live_fake.FORWARDED.clear()
    with live_modules():
        package = importlib.import_module(PACKAGE)
        surface = importlib.import_module(f"{PACKAGE}.surface")
        surface.__dict__["read_settings"] = lambda folder: {**surface.DEFAULTS, **settings}
        c_instance = CInstance(song)
        script = package.create_instance(c_instance)
        script.build_midi_map(1)
        try:
            yield LiveHost(song, script, c_instance)
        finally:
            script.disconnect()
            assert not script.connected
