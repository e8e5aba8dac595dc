"""``sidechop markers``: results of other commands onto a DAW's timeline."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from streaming.errors import RequestError

from .daws.placing import Offset, Session, To, put, target


def markers(
    results: Annotated[Path, typer.Argument(help="What a command printed with --json; - is standard input.")],
    to: To = None,
    offset: Offset = None,
    session: Session = None,
) -> None:
    """Put what `chop` or `flag` found onto the timeline of a DAW that runs, as markers.

    For example: sidechop flag take.wav --json | sidechop markers - --to ardour --offset 12
    """
    daw = target(to, offset, session)
    if daw is None:
        raise RequestError("name a DAW with --to; for files, export them with chop or flag")
    for each in _read(results):
        print(put(each, daw))


def _read(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file: one, or one a line. Raises `RequestError`."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        try:
            each, at = decoder.raw_decode(text, len(text) - len(text[at:].lstrip()))
        except ValueError as error:
            raise RequestError(f"{path}: is not JSON ({error}); give what a command printed with --json") from None
        yield each
    if not text.strip():
        raise RequestError(f"{path}: is empty; give what a command printed with --json")
