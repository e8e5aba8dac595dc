"""A REAPER of the tests beside a real daemon: its resources, a project, and how its scripts reach the daemon."""

import contextlib
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from reaper_api import Api
from reaper_project import Item, State
from reaper_script import install

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "bridge" / "assets" / "demo.ogg"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_program(path: Path) -> Path:
    """``sidechop`` of this checkout, as a program with a space in its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\ncd "{ROOT}" && exec "{sys.executable}" -m bridge.cli "$@"\n')
    path.chmod(0o755)
    return path


def write_clip(path: Path, seconds: float = 12.0) -> Path:
    """The demo's music as a WAV, over again until it is as long as is asked for."""
    audio, rate = soundfile.read(CLIP, always_2d=True)
    wanted = round(seconds * rate)
    audio = np.tile(audio, (wanted // len(audio) + 1, 1))[:wanted]
    soundfile.write(path, audio, rate, subtype="PCM_16")
    return path


class Session:
    """One installation of the scripts, whose helper process serves all projects of a test file."""

    def __init__(self, folder: Path, port: int, daemon_words: str = "--reastream") -> None:
        self._folder, self._port, self._words = folder, port, daemon_words
        self._program = write_program(folder / "a program" / "sidechop")
        install(folder / "resources")
        self._apis: list[Api] = []

    @property
    def mailbox(self) -> Path:
        return self._folder / "resources" / "Data" / "Sidechop" / "mailbox"

    def project(self, **settings: str) -> Api:
        """A new project, with these settings of Sidechop."""
        folder = self._folder / f"project {len(self._apis)}"
        api = Api(self._folder / "resources", folder)
        folder.mkdir()
        settings = {"port": str(self._port), "command": str(self._program), "daemon": self._words, **settings}
        api.ext |= {("Sidechop", key): text for key, text in settings.items()}
        self._apis.append(api)
        return api

    def close(self) -> None:
        for api in self._apis:
            api.close()


@contextlib.contextmanager
def session(folder: Path, port: int, daemon_words: str = "--reastream") -> Iterator[Session]:
    opened = Session(folder, port, daemon_words)
    try:
        yield opened
    finally:
        opened.close()


def records(api: Api) -> dict[str, Any]:
    """What the scripts remember of chops, by item."""
    found: dict[str, Any] = json.loads(api.project.state.ext["Sidechop", "chops"])
    return found


def picture(state: State) -> Any:
    """A state as plain values, to compare."""

    def of(item: Item) -> Any:
        takes = [(t.source, t.name, dict(t.values), list(t.markers)) for t in item.takes]
        return item.guid, item.active, dict(item.values), dict(item.ext), takes

    return (
        [(t.guid, t.name, dict(t.values), dict(t.ext), [of(item) for item in t.items]) for t in state.tracks],
        [(m.number, m.region, m.position, m.end, m.name, m.color) for m in state.markers],
        dict(state.ext),
    )
