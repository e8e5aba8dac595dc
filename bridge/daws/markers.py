"""Results to markers: the object that every command prints with ``--json``, and where its source lies on a timeline."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streaming.errors import RequestError

from .ardour_session import Region
from .daw import Marker


def markers_of(results: Mapping[str, Any]) -> list[Marker]:
    """One at each chop, two at each flag; the parts that a cut keeps get none. Positions are the source's.

    Raises:
        RequestError: this is not what ``sidechop chop`` and ``sidechop flag`` print.
    """
    markers = []
    try:
        items = [item for item in results["items"] if item["kind"] in ("chop", "flag")]
        for number, item in enumerate(items, 1):
            markers += _markers(number, item)
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(
            f"these are no results ({type(error).__name__}: {error}): give what a command printed with --json"
        ) from None
    return markers


def chop_name(number: int, label: str) -> str:
    """What a chop's marker is called; without a number where nobody counts."""
    return f"{number} {label}".strip() if number else label


def flag_names(label: str, score: float) -> tuple[str, str]:
    """What the markers at a flag's two ends are called."""
    return f"{label} {score:.2f}", f"{label} end"


def _markers(number: int, item: Mapping[str, Any]) -> list[Marker]:
    start = float(item["start_s"])
    label = str(item.get("label", item["kind"]))
    if item["kind"] == "chop":
        return [Marker(start, chop_name(number, label))]
    begin, end = flag_names(label, float(item["score"]))
    return [Marker(start, begin), Marker(float(item["end_s"]), end)]


def moved(markers: Iterable[Marker], offset_s: float) -> list[Marker]:
    """On a timeline where the source's first sample lies at ``offset_s``."""
    return [marker._replace(position=marker.position + offset_s) for marker in markers]


def in_regions(markers: Sequence[Marker], regions: Iterable[Region], rate: int) -> list[Marker]:
    """On a timeline where pieces of the source lie: each marker wherever its sample is heard."""
    placed = []
    for region in regions:
        for marker in markers:
            inside = round(marker.position * rate) - region.start
            if 0 <= inside < region.length:
                placed.append(marker._replace(position=(region.position + inside) / rate))
    return sorted(placed)
