"""Where a worker stands, in a file that both it and its parent have mapped: progress, and who crashed or hangs.

A worker that dies can say nothing any more, and one that hangs in a plugin neither; so it writes down each stage before
it enters it. A line on a pipe for every block would cost more than many an effect; this costs a microsecond::

    int64 steps │ int64 frames done │ int64 frames in all │ int64 length │ label, UTF-8, 96 bytes

``steps`` grows with every stage entered: a worker whose steps stand still for long hangs.
"""

import mmap
import os
import struct
import tempfile
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

_HEADER = struct.Struct("<qqqq")
_LABEL_BYTES = 96
_SIZE = _HEADER.size + _LABEL_BYTES


class Standing(NamedTuple):
    """What a mark says: ``label`` is the stage, ``done`` and ``total`` are frames of the source."""

    steps: int
    done: int
    total: int
    label: str


class SharedMark:
    """Both ends: the parent creates it, the worker attaches by its path. Writing is not thread-safe."""

    def __init__(self, path: Path, owner: bool = False) -> None:
        self.path = path
        self._owner = owner
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE)
        self._steps = self._done = self._total = 0
        self._encoded: dict[str, bytes] = {}

    @classmethod
    def create(cls) -> "SharedMark":
        handle, name = tempfile.mkstemp(prefix="sidechop-mark-")
        os.write(handle, bytes(_SIZE))
        os.close(handle)
        return cls(Path(name), owner=True)

    def begin(self, total: int) -> None:
        """A new file of so many frames."""
        self._done, self._total = 0, total

    def advance(self, done: int) -> None:
        """So many frames of it are read."""
        self._done = done

    def at(self, label: str) -> None:
        """The stage that is about to work."""
        text = self._encoded.get(label)
        if text is None:
            text = self._encoded[label] = label.encode()[:_LABEL_BYTES]
        self._steps += 1
        _HEADER.pack_into(self._memory, 0, self._steps, self._done, self._total, len(text))
        self._memory[_HEADER.size : _HEADER.size + len(text)] = text

    def read(self) -> Standing:
        """What the other end wrote last; nothing once it is closed, which another thread may do."""
        if self._memory.closed:
            return Standing(0, 0, 0, "")
        steps, done, total, length = _HEADER.unpack_from(self._memory)
        text = self._memory[_HEADER.size : _HEADER.size + max(0, min(length, _LABEL_BYTES))]
        return Standing(steps, done, total, text.decode(errors="replace"))

    def close(self) -> None:
        self._memory.close()
        if self._owner:
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> "SharedMark":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class NoMark:
    """Nobody watches."""

    def begin(self, total: int) -> None: ...

    def advance(self, done: int) -> None: ...

    def at(self, label: str) -> None: ...
