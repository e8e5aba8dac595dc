"""A socket to a DAW's OSC: messages out, messages in, and waiting for the one that answers."""

import socket
import time
from collections.abc import Callable
from typing import Any

from ..osc_packet import MalformedError, read_packet, write_message
from ..osc_table import Argument, Value
from .daw import DawError

_EXACT = Argument("value", "d")
_AS_IT_IS = Argument("value", "s")
Message = tuple[str, list[Any]]
TIMEOUT_S = 3.0
"""A busy DAW takes its time; one that is not there, on this machine, is told at once."""


class OscLink:
    """``hear`` is called with every message that comes in while something is waited for.

    Args:
        reply_port: where the DAW always answers to, if it does; None: to where a message came from.

    Raises:
        DawError: the address cannot be reached, or the reply port is taken.
    """

    def __init__(
        self,
        daw: str,
        host: str,
        port: int,
        reply_port: int | None = None,
        hear: Callable[[Message], None] = lambda message: None,
    ) -> None:
        self._daw, self._host, self._port, self._hear = daw, host, port, hear
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)[0]
        except (OSError, OverflowError) as error:
            raise DawError(f"cannot reach {daw} at {host}:{port}: {error}") from None
        self._socket = socket.socket(family, kind)
        try:
            if reply_port is None:
                self._socket.connect(address)
            else:
                self._socket.bind(("127.0.0.1" if str(address[0]).startswith("127.") else "", reply_port))
        except OSError as error:
            self._socket.close()
            if reply_port is not None:
                raise DawError(f"{daw} answers to UDP port {reply_port}, which is taken by another program") from None
            raise DawError(f"cannot reach {daw} at {host}:{port}: {error}") from None
        self._address = address

    def send(self, address: str, *values: Value) -> None:
        """Floats travel as float64. Raises `DawError`."""
        datagram = write_message(address, values, [_EXACT if isinstance(v, float) else _AS_IT_IS for v in values])
        for again in (True, False):
            try:
                self._socket.sendto(datagram, self._address)
                return
            except ConnectionRefusedError:  # told of the datagram before this one
                if not again:
                    raise self._silent() from None
            except OSError as error:
                raise DawError(f"cannot reach {self._daw} at {self._host}:{self._port}: {error}") from None

    def ask(self, address: str, *values: Value, reply: str | None = None, timeout_s: float | None = None) -> list[Any]:
        """Send, and return the arguments of the next message to ``reply`` (by default the same address).

        Raises:
            DawError: nothing came in time.
        """
        self.send(address, *values)
        return self.wait_for(lambda message: message[0] == (reply or address), timeout_s)[1]

    def number(self, address: str) -> float:
        """Ask for one. Raises `DawError`: nothing came, or something else."""
        values = self.ask(address)
        if len(values) != 1 or not isinstance(values[0], int | float):
            raise DawError(f"{self._daw} answered {address} with {values!r:.60}, expected a number")
        return values[0]

    def wait_for(self, wanted: Callable[[Message], bool], timeout_s: float | None = None) -> Message:
        """The next message that is wanted. Raises `DawError` when none came in time."""
        end = time.monotonic() + (timeout_s or TIMEOUT_S)
        while (left := end - time.monotonic()) > 0:
            message = self._receive(left)
            if message is not None and wanted(message):
                return message
        raise self._silent()

    def listen(self, seconds: float) -> None:
        """Only hear, for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._receive(left)

    def _receive(self, timeout_s: float) -> Message | None:
        self._socket.settimeout(timeout_s)
        try:
            data, sender = self._socket.recvfrom(65536)
            if sender[0] != self._address[0]:
                return None
            message = read_packet(data, limit=65536)[0]
        except (TimeoutError, MalformedError, IndexError):
            return None
        except ConnectionRefusedError:
            raise self._silent() from None
        self._hear(message)
        return message

    def _silent(self) -> DawError:
        return DawError(f"{self._daw} does not answer at {self._host}:{self._port}: is it open, with OSC switched on?")

    def close(self) -> None:
        self._socket.close()


def is_listening(host: str, port: int, wait_s: float = 0.05) -> bool:
    """Whether any program listens there, without saying anything that it would understand.

    A closed port of this machine answers a datagram with a refusal; a remote one may not, and counts as listening.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, port))
            probe.send(b"\0")
            probe.settimeout(wait_s)
            probe.recv(1)
        except TimeoutError:
            return True
        except OSError:
            return False
    return True
