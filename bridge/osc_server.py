"""The OSC server: one thread that reads requests and answers them, one worker for the slow ones.

A thread that waits in ``recvfrom`` wakes in tens of microseconds, also while the main thread draws a table or waits
for a process; an event loop shared with that work would not. Nothing here touches audio: handlers write faders into
shared memory and return.
"""

import errno
import hmac
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from streaming.errors import RequestError, SidechopError

from .osc_packet import DATAGRAM_MAX, MalformedError, read_packet, write_message
from .osc_table import BY_ADDRESS, KINDS, REQUESTS, Message, Value

Sender = tuple[str, int]
Progress = Callable[[float, str], None]
Handler = Callable[..., Sequence[Value]]
"""Called with the checked arguments, and for slow requests with a `Progress` first. Returns the reply.
A `SidechopError` becomes ``/sidechop/error``."""

_CLIENTS_MAX = 64
_SLOW_MAX = 4
_OWN = ("/sidechop/subscribe", "/sidechop/unsubscribe", "/sidechop/authorise")
_log = logging.getLogger(__name__)


class PortInUseError(RequestError):
    """Somebody listens there already."""


class OscServer:
    """Answers the requests of `REQUESTS` on UDP and pushes events to those who subscribed.

    Args:
        handlers: one for each request of the table but subscriptions and authorisation, which live here.
        port: 0 lets the system choose; see ``address``.
        token: what clients must show first; required where ``host`` is not loopback.

    Raises:
        RequestError: the port is taken, or the address cannot be listened on.
    """

    def __init__(self, handlers: Mapping[str, Handler], host: str, port: int, token: str | None = None) -> None:
        if not _is_loopback(host) and not token:
            raise RequestError(f"listening on {host} needs a token: give --token, or stay on 127.0.0.1")
        own: dict[str, Callable[..., Sequence[Value]]] = {
            "/sidechop/subscribe": self._subscribe,
            "/sidechop/unsubscribe": self._unsubscribe,
            "/sidechop/authorise": self._authorise,
        }
        if set(handlers) | set(own) != {m.address for m in REQUESTS}:
            raise ValueError(f"handlers and table differ: {(set(handlers) | set(own)) ^ {m.address for m in REQUESTS}}")
        self._handlers = {**handlers, **own}
        self._token = token
        self._authorised: dict[Sender, None] = {}
        self._leases: dict[tuple[Sender, str], float] = {}
        self._next_guess = 0.0
        self._lock = threading.Lock()  # guards the two above: events are pushed from other threads
        self._slow_places = threading.Semaphore(_SLOW_MAX)
        self.received = self.malformed = self.refused = 0
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((host, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            kind = PortInUseError if getattr(error, "errno", None) == errno.EADDRINUSE else RequestError
            raise kind(f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}") from None
        self._socket.settimeout(0.2)
        self.address: Sender = self._socket.getsockname()[:2]
        self._open = True
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="osc-slow")
        self._thread = threading.Thread(target=self._serve, name="osc", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop answering, when the slow request at work is done; those that wait are dropped. Safe to call twice."""
        self._open = False
        self._worker.shutdown(cancel_futures=True)
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def push(self, address: str, *values: Value) -> None:
        """Send an event of the table to its subscribers. Any thread."""
        message = BY_ADDRESS[address]
        with self._lock:
            self._drop_expired()
            senders = [sender for sender, subscribed in self._leases if subscribed == message.kind]
        if senders:
            datagram = write_message(address, values, message.arguments)
            for sender in senders:
                self._send(datagram, sender)

    def counters(self) -> dict[str, int]:
        """Datagrams received, malformed (dropped) and refused (answered with an error), and subscriptions held."""
        with self._lock:
            self._drop_expired()
            held = len(self._leases)
        return {
            "received": self.received,
            "malformed": self.malformed,
            "refused": self.refused,
            "subscriptions": held,
        }

    def _serve(self) -> None:
        while self._open:
            try:
                datagram, sender = self._socket.recvfrom(DATAGRAM_MAX + 1)
            except TimeoutError:
                continue
            except OSError:  # Windows reports a client that has gone away here
                continue
            self.received += 1
            try:
                messages = read_packet(datagram)
            except MalformedError:
                self.malformed += 1
                continue
            for address, arguments in messages:
                self._answer(address, arguments, sender)

    def _answer(self, address: str, arguments: list[object], sender: Sender) -> None:
        id = arguments[0] if arguments else None
        if (
            not address.startswith("/sidechop/")
            or not isinstance(id, int)
            or isinstance(id, bool)
            or id.bit_length() > 31
        ):
            self.malformed += 1
            return
        message = BY_ADDRESS.get(address)
        try:
            if message is None or address not in self._handlers:
                raise RequestError(f"unknown address {address[:100]}: see docs/osc.md")
            values = message.read(arguments[1:])
            if self._token and address != "/sidechop/authorise" and not self._is_authorised(sender):
                raise RequestError("send /sidechop/authorise with the daemon's token first")
        except RequestError as error:
            self._refuse(id, str(error), sender)
            return
        if message.slow:
            self._answer_slowly(message, id, values, sender)
        elif address in _OWN:
            self._carry_out(message, id, [sender, *values], sender)
        else:
            self._carry_out(message, id, values, sender)

    def _answer_slowly(self, message: Message, id: int, values: Sequence[object], sender: Sender) -> None:
        def progress(fraction: float, text: str) -> None:
            self._send(write_message("/sidechop/progress", (fraction, text), id=id), sender)

        def work() -> None:
            try:
                self._carry_out(message, id, [progress, *values], sender)
            finally:
                self._slow_places.release()

        if self._slow_places.acquire(blocking=False):
            self._worker.submit(work)
        else:
            self._refuse(id, f"busy: {_SLOW_MAX} slow requests wait already", sender)

    def _carry_out(self, message: Message, id: int, values: Sequence[object], sender: Sender) -> None:
        try:
            reply = self._handlers[message.address](*values)
            datagram = write_message("/sidechop/done", reply, message.reply, id)
        except SidechopError as error:
            self._refuse(id, str(error), sender)
        except Exception as error:  # a fault of ours must neither kill the server nor leave the client waiting
            _log.exception("%s failed", message.address)
            self._refuse(id, f"internal error: {type(error).__name__}: {error}", sender)
        else:
            self._send(datagram, sender)

    def _refuse(self, id: int, text: str, sender: Sender) -> None:
        self.refused += 1
        self._send(write_message("/sidechop/error", (text[:1000],), id=id), sender)

    def _send(self, datagram: bytes, sender: Sender) -> None:
        try:
            self._socket.sendto(datagram, sender)
        except OSError as error:  # gone, unreachable, or the answer is longer than a datagram
            _log.debug("cannot answer %s: %s", sender, error)

    def _drop_expired(self) -> None:
        now = time.monotonic()
        self._leases = {key: until for key, until in self._leases.items() if until > now}

    def _subscribe(self, sender: Sender, kind: str, lease_s: float) -> Sequence[Value]:
        until = time.monotonic() + lease_s
        with self._lock:
            self._drop_expired()
            clients = {s for s, _ in self._leases}
            if sender not in clients and len(clients) >= _CLIENTS_MAX:
                raise RequestError(f"{_CLIENTS_MAX} clients are subscribed already: try when a lease has run out")
            for each in KINDS if kind == "all" else (kind,):
                self._leases[sender, each] = until
        return (lease_s,)

    def _unsubscribe(self, sender: Sender, kind: str) -> Sequence[Value]:
        with self._lock:
            for each in KINDS if kind == "all" else (kind,):
                self._leases.pop((sender, each), None)
        return ()

    def _authorise(self, sender: Sender, token: str) -> Sequence[Value]:
        if time.monotonic() < self._next_guess:
            raise RequestError("wrong tokens came a moment ago: wait and try again")
        if self._token and not hmac.compare_digest(token.encode(), self._token.encode()):
            self._next_guess = time.monotonic() + 0.1  # at most 10 guesses a second, from all senders together
            raise RequestError("wrong token")
        with self._lock:
            self._authorised[sender] = None
            while len(self._authorised) > _CLIENTS_MAX:
                self._authorised.pop(next(iter(self._authorised)))
        return ()

    def _is_authorised(self, sender: Sender) -> bool:
        with self._lock:
            return sender in self._authorised


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
