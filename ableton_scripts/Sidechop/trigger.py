"""Who may start an action: a message to this script's own port, or MIDI.

``/sidechop/live/chop slices``, ``/sidechop/live/flag``, ``/sidechop/live/stems``, ``/sidechop/live/follow 1``, from
this machine only. The sender gets ``/sidechop/live/done text`` or ``/sidechop/live/error text``.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Any, Callable

from .osc import Malformed, decode, encode

PREFIX = "/sidechop/live/"
READ_MAX = 20
NOTE_ON = 0x90
CONTROL_CHANGE = 0xB0
PRESSED = 64
Start = Callable[[str, list, Callable[[bool, str], None]], None]


class PortTaken(Exception):
    """One line for the user."""


class Trigger:
    """Listens without waiting. Raises `PortTaken`."""

    def __init__(self, port: int, start: Start) -> None:
        self._start = start
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind(("127.0.0.1", port))
        except OSError as error:
            self._socket.close()
            taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
            why = "taken by another program" if taken else str(error)
            raise PortTaken(f"UDP port {port} is {why}: set listen_port in settings.json") from None

    def look(self) -> None:
        for _ in range(READ_MAX):
            try:
                data, sender = self._socket.recvfrom(4096)
            except OSError:
                return
            try:
                address, values = decode(data)
            except Malformed:
                continue
            if address.startswith(PREFIX):
                self._start(address[len(PREFIX) :], values, self._answer(sender))

    def close(self) -> None:
        self._socket.close()

    def _answer(self, sender: Any) -> Callable[[bool, str], None]:
        def told(well: bool, text: str) -> None:
            with contextlib.suppress(OSError):
                self._socket.sendto(encode(PREFIX + ("done" if well else "error"), text), sender)

        return told


def action_of_midi(midi: tuple[int, ...], settings: dict[str, Any]) -> str | None:
    """Which action a message means: a key or a button that goes down, on the channel of the settings."""
    if len(midi) != 3 or midi[0] & 0x0F != settings["midi_channel"] - 1:
        return None
    kind, number, value = midi[0] & 0xF0, midi[1], midi[2]
    if kind == NOTE_ON and value:
        numbers = settings["midi_notes"]
    elif kind == CONTROL_CHANGE and value >= PRESSED:
        numbers = settings["midi_ccs"]
    else:
        return None
    for action, wanted in numbers.items():
        if wanted == number:
            return str(action)
    return None
