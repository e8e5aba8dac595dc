"""What Sidechop asks of any DAW: where its playhead is, and a marker at a place of its timeline."""

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from streaming.errors import RequestError

from ..transport import Playhead, Unit


class Marker(NamedTuple):
    """``position`` is in ``unit`` of the DAW's timeline; beats are quarter notes."""

    position: float
    name: str
    unit: Unit = "seconds"


class DawError(RequestError):
    """The DAW does not answer, or cannot do this now."""


class Daw(Protocol):
    """One DAW over OSC. Not thread-safe; a context manager closes it."""

    name: str

    def playhead(self) -> Playhead:
        """Where the playhead is. Raises `DawError`."""

    def takes(self, marker: Marker) -> bool:
        """Whether its timeline has such a place."""

    def place(self, markers: Sequence[Marker]) -> int:
        """Put markers there, leave the playhead where it was, and return how many are new.

        Raises:
            DawError: it rolls, and markers need the playhead; or it does not answer.
        """

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
