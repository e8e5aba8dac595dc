"""What a user may set: ``settings.json`` beside this file. What is missing there stays as it is here."""

from __future__ import annotations

import json
import os
from typing import Any

FILE = "settings.json"
DEFAULTS: dict[str, Any] = {
    # where the daemon listens, and its token if it has one
    "host": "127.0.0.1",
    "port": 9190,
    "token": "",
    # where this script listens for /sidechop/live/…; 0 switches that off
    "listen_port": 9192,
    # what chop makes: slices, rack, warp or cues
    "chops": "slices",
    # options as of `sidechop chop`, `sidechop flag` and `sidechop separate`
    "chop": {},
    "flag": {},
    "separate": {},
    # where stems are written; empty: Samples/Sidechop beside the Live set
    "stems_folder": "",
    # MIDI: a channel from 1 to 16, and a note or a controller (a button that sends 64 and more) for each action
    "midi_channel": 16,
    "midi_notes": {"chop": 36, "flag": 37, "stems": 38, "follow": 39},
    "midi_ccs": {},
}
CHOP_TARGETS = ("slices", "rack", "warp", "cues")


class SettingsError(ValueError):
    """One line for the user."""


def read_settings(folder: str) -> dict[str, Any]:
    """The settings, checked. Raises `SettingsError`, which names what is wrong; nothing is half taken."""
    path = os.path.join(folder, FILE)
    try:
        with open(path, encoding="utf-8") as file:
            given = json.load(file)
    except OSError:
        given = {}
    except ValueError as error:
        raise SettingsError(f"{FILE} is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise SettingsError(f"{FILE} holds no object {{…}}")
    for name, value in given.items():
        if name not in DEFAULTS:
            raise SettingsError("{}: {} is no setting; there is {}".format(FILE, name, ", ".join(DEFAULTS)))
        if not isinstance(value, type(DEFAULTS[name])) or isinstance(value, bool):
            raise SettingsError(f"{FILE}: {name} is {value!r}, expected something like {DEFAULTS[name]!r}")
    settings = {**DEFAULTS, **given}
    if settings["chops"] not in CHOP_TARGETS:
        raise SettingsError("{}: chops is {!r}, expected {}".format(FILE, settings["chops"], " or ".join(CHOP_TARGETS)))
    for name in ("port", "listen_port"):
        if not 0 <= settings[name] <= 65535:
            raise SettingsError(f"{FILE}: {name} is {settings[name]}, expected a UDP port")
    if not 1 <= settings["midi_channel"] <= 16:
        raise SettingsError(f"{FILE}: midi_channel is {settings['midi_channel']}, expected 1 to 16")
    for name in ("midi_notes", "midi_ccs"):
        for action, number in settings[name].items():
            if number is not None and (not isinstance(number, int) or not 0 <= number <= 127):
                raise SettingsError(f"{FILE}: {name}: {action} is {number!r}, expected 0 to 127 or null")
    return settings
