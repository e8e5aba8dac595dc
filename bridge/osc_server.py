"""The OSC server: one thread that reads requests and answers them, one worker for the slow ones, and a thread for each
job, which only waits for what works on it elsewhere.

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
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from streaming.errors import RequestError, SidechopError

from .osc_packet import DATAGRAM_MAX, MalformedError, read_packet, write_message
from .osc_table import BY_ADDRESS, KINDS, REQUESTS, Message, Value

Sender = tuple[str, int]
Progress = Callable[[float, str], None]
Handler = Callable[..., Sequence[Value]]
"""Called with the checked arguments, and for slow requests with a `Progress` first, which is a `JobAnswer` for jobs.
Returns the reply. A `SidechopError` becomes ``/sidechop/error``."""

_CLIENTS_MAX = 64
_SLOW_MAX = 4
_JOBS_MAX = 16
_OWN = ("/sidechop/subscribe", "/sidechop/unsubscribe", "/sidechop/authorise", "/sidechop/cancel")
_BURST = 16
_BURST_PAUSE_S = 0.008
"""Between so many items: a socket's usual buffer (208 KiB, of which a small datagram takes 768 bytes) holds what comes
in over 0.1 s, so a client that looks ten times a second, as Live's scripts do, loses none."""
_log = logging.getLogger(__name__)


class PortInUseError(RequestError):
    """Somebody listens there already."""


class JobAnswer:
    """What a job tells its client before its reply. ``cancelled`` is set when the client wants no more of it."""

    def __init__(self, send: Callable[[bytes], None], id: int) -> None:
        self._send, self._id = send, id
        self.cancelled = threading.Event()

    def __call__(self, fraction: float, text: str) -> None:
        self._send(write_message("/sidechop/progress", (fraction, text), id=self._id))

    def items(self, address: str, items: Iterable[Sequence[Value]]) -> None:
        """Send a message of the table for each item, no faster than a client can read them."""
        arguments = BY_ADDRESS[address].arguments[1:]
        for i, values in enumerate(items):
            if i and i % _BURST == 0 and self.cancelled.wait(_BURST_PAUSE_S):
                return
            self._send(write_message(address, values, arguments, self._id))


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
            "/sidechop/cancel": self._cancel,
        }
        if set(handlers) | set(own) != {m.address for m in REQUESTS}:
            raise ValueError(f"handlers and table differ: {(set(handlers) | set(own)) ^ {m.address for m in REQUESTS}}")
        self._handlers = {**handlers, **own}
        self._token = token
        self._authorised: dict[Sender, None] = {}
        self._leases: dict[tuple[Sender, str], float] = {}
        self._next_guess = 0.0
        self._lock = threading.Lock()  # guards what other threads read: senders, leases, jobs
        self._slow_places = threading.Semaphore(_SLOW_MAX)
        self._jobs: dict[tuple[Sender, int], JobAnswer] = {}
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
        self._waiters = ThreadPoolExecutor(_JOBS_MAX, thread_name_prefix="osc-job")
        self._thread = threading.Thread(target=self._serve, name="osc", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop answering, when the slow request at work is done; those that wait are dropped, jobs are cancelled.
        Safe to call twice."""
        self._open = False
        with self._lock:
            for answer in self._jobs.values():
                answer.cancelled.set()
        self._waiters.shutdown(cancel_futures=True)
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
        if message.job:
            self._answer_later(message, id, values, sender)
        elif message.slow:
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

    def _answer_later(self, message: Message, id: int, values: Sequence[object], sender: Sender) -> None:
        answer = JobAnswer(lambda datagram: self._send(datagram, sender), id)
        key = sender, id

        def forget() -> None:
            with self._lock:
                self._jobs.pop(key, None)

        with self._lock:
            known, busy = key in self._jobs, len(self._jobs) >= _JOBS_MAX
            if self._open and not known and not busy:
                self._jobs[key] = answer
                self._waiters.submit(self._carry_out, message, id, [answer, *values], sender, forget)
        if known or busy:
            self._refuse(id, f"id {id} is at work already" if known else f"busy: {_JOBS_MAX} jobs run already", sender)

    def _cancel(self, sender: Sender, request: int) -> Sequence[Value]:
        with self._lock:
            answer = self._jobs.get((sender, request))
        if answer is None:
            raise RequestError(f"no job of this client runs with id {request}; it may be done already")
        answer.cancelled.set()
        return ()

    def _carry_out(
        self,
        message: Message,
        id: int,
        values: Sequence[object],
        sender: Sender,
        before_reply: Callable[[], None] = lambda: None,
    ) -> None:
        try:
            reply = self._handlers[message.address](*values)
            datagram = write_message("/sidechop/done", reply, message.reply, id)
        except SidechopError as error:
            datagram = self._refusal(id, str(error))
        except Exception as error:  # a fault of ours must neither kill the server nor leave the client waiting
            _log.exception("%s failed", message.address)
            datagram = self._refusal(id, f"internal error: {type(error).__name__}: {error}")
        before_reply()
        self._send(datagram, sender)

    def _refuse(self, id: int, text: str, sender: Sender) -> None:
        self._send(self._refusal(id, text), sender)

    def _refusal(self, id: int, text: str) -> bytes:
        self.refused += 1
        return write_message("/sidechop/error", (" ".join(text.split())[:1000],), id=id)

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
