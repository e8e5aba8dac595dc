"""A synchronous OSC client: one request, its answer. For ``sidechop osc``, the demo and the tests."""

import itertools
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from streaming.errors import RequestError

from .osc_packet import MalformedError, read_packet, write_message
from .osc_table import BY_ADDRESS, DEFAULT_PORT, ITEMS, Value


class NoAnswerError(RequestError):
    """Nothing answered in time: no daemon there, or another program."""


class OscClient:
    """Talks to a daemon from one socket, so that its token and subscriptions stay valid.

    Args:
        timeout_s: how long to wait for an answer; each sign of progress starts the wait anew.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = DEFAULT_PORT, timeout_s: float = 2.0) -> None:
        self._host, self._port, self._timeout_s = host, port, timeout_s
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind)
            # Connected, so that only the daemon is heard and a closed port is told at once.
            self._socket.connect(address)
        except (OSError, OverflowError) as error:
            raise NoAnswerError(f"cannot reach {host}:{port}: {error}") from None
        self._ids = itertools.count(1)
        self._events: list[tuple[str, list[Any]]] = []

    def request(
        self,
        address: str,
        *values: Value,
        on_progress: Callable[[float, str], None] | None = None,
        on_item: Callable[[Sequence[Any]], None] | None = None,
    ) -> Sequence[Any]:
        """Send one request and return what ``/sidechop/done`` carries after the id. A job's items go to ``on_item``.

        Raises:
            NoAnswerError: nothing came in time.
            RequestError: the daemon refused, with its words.
        """
        id = next(self._ids)
        message = BY_ADDRESS.get(address)
        self.send(write_message(address, values, message.arguments if message else (), id))
        deadline = time.monotonic() + self._timeout_s
        while True:
            answer, arguments = self._receive(deadline)
            if answer.startswith("/sidechop/event/"):
                self._events.append((answer, arguments))
            elif arguments[:1] == [id] and answer == "/sidechop/done":
                return arguments[1:]
            elif arguments[:1] == [id] and answer == "/sidechop/error":
                raise RequestError(str(arguments[1]))
            elif arguments[:1] == [id] and answer == "/sidechop/progress":
                deadline = time.monotonic() + self._timeout_s
                if on_progress:
                    on_progress(float(arguments[1]), str(arguments[2]))
            elif arguments[:1] == [id] and answer in ITEMS:
                deadline = time.monotonic() + self._timeout_s
                if on_item:
                    on_item(arguments[1:])

    def event(self, timeout_s: float) -> tuple[str, list[Any]] | None:
        """The next pushed event, or None when none came in time."""
        if self._events:
            return self._events.pop(0)
        try:
            return self._receive(time.monotonic() + timeout_s)
        except NoAnswerError:
            return None

    def send(self, datagram: bytes) -> None:
        try:
            self._socket.send(datagram)
        except ConnectionRefusedError:  # told of the datagram before this one
            self._socket.send(datagram)

    def _receive(self, deadline: float) -> tuple[str, list[Any]]:
        while True:
            wait = deadline - time.monotonic()
            try:
                if wait <= 0:
                    raise TimeoutError
                self._socket.settimeout(wait)
                return read_packet(self._socket.recv(65536), limit=65536)[0]
            except MalformedError:
                continue
            except TimeoutError:
                raise NoAnswerError(f"no answer from {self._host}:{self._port} within {self._timeout_s:g} s") from None
            except OSError:
                raise NoAnswerError(f"no daemon at {self._host}:{self._port}: start one with 'sidechop live'") from None

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "OscClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
