"""Results onto a DAW's timeline: ``sidechop chop --to``, ``sidechop flag --to`` and ``sidechop markers``."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

import typer

from streaming.errors import RequestError

from . import ableton_osc, ardour
from .ableton_osc import AbletonOsc
from .ardour import Ardour
from .ardour_session import ArdourSession, read_session
from .daw import Daw
from .markers import in_regions, markers_of, moved

DawName = Literal["ardour", "ableton-osc"]
DAWS: tuple[DawName, ...] = get_args(DawName)


To = Annotated[
    str | None,
    typer.Option(metavar="DAW[@HOST][:PORT]", help=f"Put markers there, over OSC: {', '.join(DAWS)}."),
]
Offset = Annotated[
    float | None,
    typer.Option(help="Where the source begins on the DAW's timeline, in seconds; default: where the playhead stands."),
]
Session = Annotated[
    Path | None, typer.Option(help="Ardour's session file, saved: markers go wherever it plays the source.")
]


class Target(NamedTuple):
    """Where to: which DAW, and where on its timeline the source begins.

    Attributes:
        offset_s: None: where its regions lie, if the session file is named, and else where the playhead stands.
        session: Ardour's session file.
    """

    daw: DawName
    offset_s: float | None = None
    session: Path | None = None
    host: str = "127.0.0.1"
    port: int | None = None


def target(to: str | None, offset_s: float | None, session: Path | None) -> Target | None:
    """What the three options say together. Raises `RequestError`."""
    if to is None:
        if offset_s is not None or session is not None:
            raise RequestError(f"--{'session' if offset_s is None else 'offset'} is for --to: name a DAW")
        return None
    parts = re.fullmatch(r"([^@:]+)(?:@([^@]+?))?(?::(\d{1,5}))?", to)
    daw = next((name for name in DAWS if parts and parts[1] == name), None)
    if parts is None or daw is None:
        raise RequestError(f"no DAW is called {to!r} here; choose from {', '.join(DAWS)}, or export markers as files")
    if session is not None and daw != "ardour":
        raise RequestError("--session is a session file of Ardour: give it with --to ardour")
    if session is not None and offset_s is not None:
        raise RequestError("--session says where the file lies: leave out --offset")
    return Target(daw, offset_s, session, parts[2] or "127.0.0.1", int(parts[3]) if parts[3] else None)


def put(results: Mapping[str, Any], to: Target) -> str:
    """Place one source's results, and say so in one line.

    Raises:
        RequestError: these are no results, no region plays the source, or the DAW does not answer or cannot do it now.
    """
    markers = markers_of(results)
    session = read_session(to.session) if to.session else None
    if session is not None:
        regions = session.regions_of(Path(str(results.get("source"))))
        markers = in_regions(markers, regions, session.rate)
    with connect(to, session) as daw:
        if session is None:
            markers = moved(markers, _playhead_s(daw) if to.offset_s is None else to.offset_s)
        new = daw.place(markers)
    there = len(markers) - new
    also = f", {there} were there already" if there else ""
    return f"→ {daw.name}: {new} marker{'s' if new != 1 else ''}{also}"


def _playhead_s(daw: Daw) -> float:
    """Where the playhead stands, in seconds of a timeline that keeps its tempo."""
    head = daw.playhead()
    return head.position if head.unit == "seconds" else head.position * 60.0 / head.tempo


def connect(to: Target, session: ArdourSession | None = None) -> Daw:
    """Raises `DawError`: it does not answer."""
    if to.daw == "ableton-osc":
        return AbletonOsc(to.host, to.port or ableton_osc.PORT)
    rate, known = (session.rate, session.markers) if session else (None, ())
    return Ardour(to.host, to.port or ardour.PORT, rate, known)
