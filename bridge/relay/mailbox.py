"""A folder as a mailbox: what a client without sockets says and hears, as files.

::

    NAME-1.out, NAME-2.out …   from the client: datagrams for the daemon
    NAME-1.in,  NAME-2.in  …   to the client: datagrams from the daemon
    NAME.end                   the client hears no more
    alive                      when a relay last looked, in seconds since 1970
    lock                       held by the relay that serves this folder

A file holds one or more OSC packets, each after its size as a big-endian int32, as OSC 1.0 frames a stream. Both sides
write aside (``….part``) and rename, so a file that has its name is whole; who has read a file removes it. ``NAME`` is
the client's choice, letters and digits.
"""

import contextlib
import os
import re
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_OUT = re.compile(r"([A-Za-z0-9]+)-(\d+)\.out")
_END = re.compile(r"([A-Za-z0-9]+)\.end")
_OURS = re.compile(r"[A-Za-z0-9]+(-\d+\.(out|in)|\.end)(\.part)?")
FILE_MAX = 1 << 22
"""Longest file (bytes) that is read."""
OLD_S = 3600.0
"""What lies there for so long belongs to nobody any more."""


def frame(packets: Iterable[bytes]) -> bytes:
    """Packets as the bytes of one file."""
    return b"".join(struct.pack(">i", len(packet)) + packet for packet in packets)


def unframe(data: bytes) -> list[bytes]:
    """The packets of a file; what follows a size that cannot be is left out."""
    packets, at = [], 0
    while at + 4 <= len(data):
        (size,) = struct.unpack_from(">i", data, at)
        if size < 0 or at + 4 + size > len(data):
            break
        packets.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return packets


class Sent(NamedTuple):
    """The numbers of files, in order, by client; and the clients that hear no more."""

    numbers: dict[str, list[int]]
    ended: list[str]


class Mailbox:
    """The relay's side of a folder, which is made. Raises `OSError` where it cannot be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Remove what clients that are long gone left behind."""
        for entry in os.scandir(self.folder):
            with contextlib.suppress(OSError):
                if _OURS.fullmatch(entry.name) and time.time() - entry.stat().st_mtime > OLD_S:
                    os.unlink(entry.path)

    def look(self) -> Sent:
        """What clients have left since it was taken."""
        numbers: dict[str, list[int]] = {}
        ended = []
        for name in os.listdir(self.folder):
            if match := _OUT.fullmatch(name):
                numbers.setdefault(match[1], []).append(int(match[2]))
            elif match := _END.fullmatch(name):
                ended.append(match[1])
        return Sent({name: sorted(found) for name, found in numbers.items()}, ended)

    def take(self, name: str, number: int) -> list[bytes]:
        """The packets of a client's file, which is removed."""
        path = self.folder / f"{name}-{number}.out"
        with path.open("rb") as file:
            data = file.read(FILE_MAX)
        path.unlink()
        return unframe(data)

    def give(self, name: str, number: int, packets: Iterable[bytes]) -> None:
        """Write a file for a client."""
        path = self.folder / f"{name}-{number}.in"
        aside = path.with_name(path.name + ".part")
        aside.write_bytes(frame(packets))
        aside.replace(path)

    def forget(self, name: str) -> None:
        """Remove everything of a client."""
        for path in [*self.folder.glob(f"{name}-*"), *self.folder.glob(f"{name}.end*")]:
            path.unlink(missing_ok=True)

    def show_life(self) -> None:
        """Tell clients that a relay is there."""
        aside = self.folder / f"alive.{os.getpid()}"
        aside.write_text(f"{time.time():.0f}\n", encoding="ascii")
        with contextlib.suppress(PermissionError):  # Windows, while a client reads it
            aside.replace(self.folder / "alive")

    def leave(self) -> None:
        (self.folder / "alive").unlink(missing_ok=True)


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether this process holds the lock file; the system lets go of it however the process ends."""
    with path.open("a+b") as file:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
