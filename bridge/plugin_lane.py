"""Lanes that DAW plugins made: finding them, claiming one, and seeing whether its plugin lives.

A plugin makes its lane itself, so that it plays (dry) without a daemon and outlives one. Two byte-range locks on the
segment's file say who lives: the plugin holds byte 0, the daemon that serves it byte 1. The kernel lets go of a lock
when its holder dies, however it dies; process ids, which are used again, tell nothing.

``SIDECHOP_GROUP`` in the environment of daemon and host keeps those apart that should not find each other.
"""

import os
import re
import struct
import time
from pathlib import Path

from streaming.errors import EngineError
from streaming.lane import PLUGIN_LANE, EngineState, Lane

SHARED_MEMORY = Path("/dev/shm")
PLUGIN_BYTE, DAEMON_BYTE = 0, 1
YOUNG_S = 2.0
"""A file without its plugin's lock may be one that is being made; older, its plugin is dead."""
_LOCK = "hhqqi4x"
"""``struct flock`` of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid."""


def plugin_group() -> str:
    """The group that this process belongs to; usually none."""
    return os.environ.get("SIDECHOP_GROUP", "")


def plugin_lanes(group: str) -> list[str]:
    """Names of the lanes of a group's plugins, dead ones included. Empty where lanes are no files (macOS)."""
    pattern = re.compile(re.escape(PLUGIN_LANE) + (re.escape(group) + r"\." if group else "") + r"\d+-[0-9a-f]+")
    try:
        return sorted(name for name in os.listdir(SHARED_MEMORY) if pattern.fullmatch(name))
    except OSError:
        return []


class PluginLane:
    """A lane that this daemon serves and no other."""

    def __init__(self, file: int, lane: Lane) -> None:
        self._file = file
        self.lane = lane
        self.name = lane.name

    @classmethod
    def claim(cls, name: str) -> "PluginLane | None":
        """None where another daemon serves it, it is not ours, or not made yet. A dead plugin's is removed.

        Raises:
            EngineError: it is no lane, or speaks another layout.
        """
        path = SHARED_MEMORY / name
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # gone meanwhile, or another user's
            return None
        try:
            if os.fstat(file).st_uid != os.getuid() or not _lock(file, DAEMON_BYTE):
                os.close(file)
                return None
            if not _is_locked(file, PLUGIN_BYTE):
                if time.time() - os.fstat(file).st_mtime > YOUNG_S:
                    path.unlink(missing_ok=True)
                os.close(file)
                return None
            if not os.pread(file, 8, 0).strip(b"\0"):  # what it begins with is written last
                os.close(file)
                return None
            lane = Lane.attach(name)
        except (TypeError, ValueError):  # shorter than its header says
            os.close(file)
            raise EngineError(f"{name} is not a Sidechop lane") from None
        except BaseException:
            os.close(file)
            raise
        lane.header["engine_state"] = EngineState.ABSENT  # whatever a daemon that died left there
        return cls(file, lane)

    @property
    def plugin_lives(self) -> bool:
        """Whether the plugin still holds the lane. One that ended well has removed it as well."""
        return _is_locked(self._file, PLUGIN_BYTE)

    def release(self) -> None:
        """Serve it no longer, and remove what a dead plugin left. `lane` stays mapped: see `Lane.close`."""
        if not self.plugin_lives:
            (SHARED_MEMORY / self.name).unlink(missing_ok=True)
        os.close(self._file)


def _lock(file: int, byte: int) -> bool:
    import fcntl  # here, as below: it is not there on Windows, where no lane is found

    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, byte))
    except BlockingIOError:
        return False
    return True


def _is_locked(file: int, byte: int) -> bool:
    """Whether somebody else holds it."""
    import fcntl

    answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, byte))
    return bool(struct.unpack(_LOCK, answer)[0] != fcntl.F_UNLCK)


def _flock(kind: int, byte: int) -> bytes:
    return struct.pack(_LOCK, kind, os.SEEK_SET, byte, 1, 0)
