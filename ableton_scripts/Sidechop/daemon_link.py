"""Requests to the daemon without ever waiting: Live calls in ten times a second, and a request is a generator that
yields until its answer is there.

::

    reply = yield from link.request("/sidechop/chop/file", path, 0.0, 0.0, "{}", on_item=items.append)
"""

from __future__ import annotations

import errno
import socket
import time
from typing import Any, Callable, Generator

from .osc import Malformed, decode, encode

Waiting = Generator[None, None, Any]
Item = Callable[[list], None]
SILENT_S = 5.0
"""So long a request may go without any sign of life: jobs tell something every second."""
READ_MAX = 400
"""Datagrams of one look: more stay in the socket for the next, so that Live is not held up."""
RECEIVE_BYTES = 1 << 20
GONE = (errno.ECONNREFUSED, errno.ECONNRESET)


class Refused(Exception):
    """The daemon said no, or said nothing: one line for the user."""


class _Request:
    def __init__(self, on_item: Item | None, on_progress: Callable[[float, str], None] | None) -> None:
        self.on_item, self.on_progress = on_item, on_progress
        self.reply: list | None = None
        self.error: str | None = None
        self.heard_s = time.monotonic()


class DaemonLink:
    """One socket, that never blocks. ``on_event`` gets what was subscribed to."""

    def __init__(self, host: str, port: int, token: str, on_event: Callable[[str, list], None]) -> None:
        self._where = f"{host}:{port}"
        self._token = token
        self._on_event = on_event
        self._waiting: dict[int, _Request] = {}
        self._next_id = 1
        self._authorised = not token
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        self._address = (host, port)
        try:
            self._socket.connect(self._address)
        except OSError as error:
            self._socket.close()
            raise Refused(f"cannot reach {self._where}: {error}") from None

    def request(
        self,
        address: str,
        *values: Any,
        on_item: Item | None = None,
        on_progress: Callable[[float, str], None] | None = None,
    ) -> Waiting:
        """Send, yield until the answer is there, and return what ``/sidechop/done`` carries.

        Raises:
            Refused: in the daemon's words, or because it is silent.
        """
        if not self._authorised and address != "/sidechop/authorise":
            yield from self.request("/sidechop/authorise", self._token)
            self._authorised = True
        id = self._send(address, values, on_item, on_progress)
        request = self._waiting[id]
        try:
            while request.reply is None:
                if request.error is not None:
                    raise Refused(request.error)
                yield
        finally:
            del self._waiting[id]
        return request.reply

    def tell(self, address: str, *values: Any) -> None:
        """Send, and do not care for the answer."""
        self._write(encode(address, 0, *values))

    def look(self) -> None:
        """Take what came since the last tick."""
        for _ in range(READ_MAX):
            try:
                data = self._socket.recv(65536)
            except OSError as error:
                if error.errno in GONE:
                    self._fail_all(self._gone())
                break
            try:
                self._take(*decode(data))
            except Malformed:
                continue
        for request in self._waiting.values():
            if time.monotonic() - request.heard_s > SILENT_S:
                request.error = f"the daemon at {self._where} has gone silent"

    def close(self) -> None:
        self._socket.close()

    def _send(self, address: str, values: Any, on_item: Any, on_progress: Any) -> int:
        id = self._next_id
        self._next_id = id % (2**31 - 1) + 1
        self._waiting[id] = _Request(on_item, on_progress)
        self._write(encode(address, id, *values))
        return id

    def _write(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            if error.errno not in GONE:
                self._fail_all(f"cannot reach {self._where}: {error}")
                return
            try:
                self._socket.send(data)  # the last one was refused; this one may not be
            except OSError:
                self._fail_all(self._gone())

    def _take(self, address: str, values: list) -> None:
        if address.startswith("/sidechop/event/"):
            self._on_event(address, values)
            return
        request = self._waiting.get(values[0]) if values else None
        if request is None:
            return
        request.heard_s = time.monotonic()
        if address == "/sidechop/done":
            request.reply = values[1:]
        elif address == "/sidechop/error":
            request.error = str(values[1])
            self._authorised = self._authorised and "authorise" not in request.error
        elif address == "/sidechop/progress":
            if request.on_progress:
                request.on_progress(values[1], values[2])
        elif request.on_item:
            request.on_item([address, *values[1:]])

    def _fail_all(self, text: str) -> None:
        for request in self._waiting.values():
            if request.reply is None:
                request.error = text

    def _gone(self) -> str:
        return f"no daemon at {self._where}: start it with 'sidechop live'"
