"""Between a folder of files and the daemon's socket: each client of the folder gets a socket of its own.

Datagrams pass as they are. What the relay adds: it starts a daemon where none answers, holds what is said until that
one is ready, and answers with an error where there will be no answer.
"""

import contextlib
import select
import socket
import time
from pathlib import Path

from ..osc_packet import MalformedError, read_packet, write_message
from .daemon_start import DaemonWatch
from .mailbox import Mailbox, Sent, held

BUSY_POLL_S = 0.004
IDLE_POLL_S = 0.03
BUSY_FOR_S = 2.0
"""So long after something was said, the folder is looked into at the shorter interval."""
LIFE_EVERY_S = 0.5
TELL_EVERY_S = 1.0
"""While a daemon starts, those who wait are told so."""
CLIENT_S = 600.0
"""A client that neither speaks nor hears anything for so long is forgotten."""
IDLE_S = 120.0
"""With no client for so long, the relay ends; the next script starts another."""


class Client:
    """One script: its socket, and the numbers of its files."""

    def __init__(self, name: str, address: tuple[str, int]) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(address)
        self.socket.setblocking(False)
        self.next_out = self.next_in = 1
        self.used_s = time.monotonic()
        self.held: list[bytes] = []
        self.asked: set[int] = set()
        self.heard: list[bytes] = []

    def note_request(self, packet: bytes) -> None:
        self.asked.update(_ids(packet))

    def hear(self, packet: bytes) -> None:
        self.heard.append(packet)
        with contextlib.suppress(MalformedError, IndexError):
            for address, arguments in read_packet(packet, limit=1 << 16):
                if address in ("/sidechop/done", "/sidechop/error"):
                    self.asked.discard(arguments[0])

    def fail(self, text: str) -> None:
        """Answer everything that waits with an error."""
        self.heard += [write_message("/sidechop/error", (text,), id=id) for id in sorted(self.asked)]
        self.asked.clear()
        self.held.clear()

    def tell(self, text: str) -> None:
        """Tell everybody who waits how it goes."""
        self.heard += [write_message("/sidechop/progress", (0.0, text), id=id) for id in sorted(self.asked)]


class Relay:
    """Serves a folder until nobody has used it for a while.

    Args:
        words: of ``sidechop live``, to start a daemon with; None starts none.
    """

    def __init__(self, folder: Path, host: str, port: int, words: str | None) -> None:
        self._mailbox = Mailbox(folder)
        self._address = (host, port)
        self._watch = DaemonWatch(host, port, words, folder)
        self._clients: dict[str, Client] = {}
        self._used_s = time.monotonic()
        self._next_life = self._next_tell = 0.0

    def run(self) -> None:
        """Take turns until nobody is left, then `close`."""
        self._mailbox.sweep()
        try:
            while self._clients or time.monotonic() - self._used_s < IDLE_S:
                self.turn()
        finally:
            self.close()

    def close(self) -> None:
        for client in self._clients.values():
            client.socket.close()
        self._watch.close()
        self._mailbox.leave()

    def turn(self) -> None:
        """Look once into the folder and at the sockets; waits some milliseconds for these."""
        if time.monotonic() >= self._next_life:
            self._next_life = time.monotonic() + LIFE_EVERY_S
            self._mailbox.show_life()
        sent = self._mailbox.look()
        self._collect(sent)
        self._pass_on()
        busy = time.monotonic() - self._used_s < BUSY_FOR_S
        self._receive(BUSY_POLL_S if busy else IDLE_POLL_S)
        for client in self._clients.values():
            if client.heard:
                self._mailbox.give(client.name, client.next_in, client.heard)
                client.next_in += 1
                client.heard = []
        self._forget(sent.ended)

    def _collect(self, sent: Sent) -> None:
        """Take what clients have written."""
        for name, numbers in sent.numbers.items():
            client = self._clients.get(name)
            if client is None:
                client = self._clients[name] = Client(name, self._address)
                client.next_out = numbers[0]
            for number in numbers:
                if number != client.next_out:
                    break
                for packet in self._mailbox.take(name, number):
                    client.note_request(packet)
                    client.held.append(packet)
                client.next_out += 1
                client.used_s = self._used_s = time.monotonic()
                self._watch.try_again()

    def _pass_on(self) -> None:
        state = self._watch.look()
        tell = state == "starting" and time.monotonic() >= self._next_tell
        if tell:
            self._next_tell = time.monotonic() + TELL_EVERY_S
        note = ""
        if state == "there":
            note, self._watch.note = self._watch.note, ""
        for client in self._clients.values():
            if state == "absent":
                client.fail(self._watch.problem)
            elif state == "there":
                if note:
                    client.tell(note)
                for packet in client.held:
                    with contextlib.suppress(OSError):  # refused: heard of when receiving
                        client.socket.send(packet)
                client.held.clear()
            elif tell:
                client.tell("starting the daemon")

    def _receive(self, wait_s: float) -> None:
        by_socket = {client.socket: client for client in self._clients.values()}
        if not by_socket:
            time.sleep(wait_s)
            return
        for ready in select.select(list(by_socket), [], [], wait_s)[0]:
            client = by_socket[ready]
            try:
                while True:
                    client.hear(ready.recv(1 << 16))
                    client.used_s = time.monotonic()
            except BlockingIOError:
                pass
            except OSError:  # nobody listens there any more
                client.fail("the daemon ended while it was asked: ask again")
                self._watch.gone()

    def _forget(self, ended: list[str]) -> None:
        now = time.monotonic()
        if ended:  # what they said before that comes first, if it came into sight only now
            self._collect(self._mailbox.look())
            self._pass_on()
        gone = {*ended, *(c.name for c in self._clients.values() if now - c.used_s > CLIENT_S)}
        for name in gone:
            if client := self._clients.pop(name, None):
                client.socket.close()
                self._used_s = now
            self._mailbox.forget(name)


def _ids(packet: bytes) -> set[int]:
    try:
        return {arguments[0] for _, arguments in read_packet(packet, limit=1 << 16) if arguments}
    except MalformedError:
        return set()


def serve(folder: Path, host: str, port: int, words: str | None) -> bool:
    """Serve a folder; False at once when another relay does."""
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / "lock") as ours:
        if ours:
            Relay(folder, host, port, words).run()
        return ours
