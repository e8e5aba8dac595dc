"""Chops and flags of a file's passage as markers in the DAW that is followed: for scripts that can send OSC and not
hear, such as Ardour's own.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from streaming.errors import RequestError

from ..osc_server import JobAnswer
from ..osc_table import Value
from .daw import Marker
from .markers import chop_name, flag_names


class Gathering(JobAnswer):
    """Passes everything on to the client, and keeps the items."""

    def __init__(self, answer: JobAnswer) -> None:
        super().__init__(answer._send, answer._id)
        self.cancelled = answer.cancelled
        self.found: list[tuple[str, list[Any]]] = []

    def items(self, address: str, items: Iterable[Sequence[Value]]) -> None:
        rows = [list(item) for item in items]
        self.found += [(address, row) for row in rows]
        super().items(address, rows)


def place(
    answer: JobAnswer,
    run: Callable[[JobAnswer], Sequence[Value]],
    keep: Callable[[Marker], None] | None,
    start_s: float,
    at_s: float,
) -> Sequence[Value]:
    """Run a job and keep its results for the DAW. ``start_s`` of the file lies at ``at_s`` of the timeline.

    Raises:
        RequestError: no DAW is followed that takes markers, or in the worker's words.
    """
    if keep is None:
        raise RequestError("no DAW that takes markers is followed: start with 'sidechop live --daw ardour'")
    gathering = Gathering(answer)
    reply = run(gathering)
    rate = int(reply[-1])
    for address, item in gathering.found:
        for marker in _markers(address, item, rate):
            keep(marker._replace(position=marker.position - start_s + at_s))
    return reply


def _markers(address: str, item: Sequence[Any], rate: int) -> list[Marker]:
    if address == "/sidechop/chop/item":
        return [Marker(item[1] / rate, chop_name(item[0] + 1, item[4]))]
    if address == "/sidechop/flag/item":
        begin, end = flag_names(item[5], item[3])
        return [Marker(item[1] / rate, begin), Marker(item[2] / rate, end)]
    return []
