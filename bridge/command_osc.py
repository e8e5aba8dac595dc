"""``sidechop osc``: one request to a running daemon, its answer printed; or a relay for programs without sockets."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .osc_table import BY_ADDRESS, DEFAULT_PORT, Argument, Value


def osc(
    address: Annotated[
        str | None, typer.Argument(help="Such as /sidechop/status; the first part may be left out.")
    ] = None,
    arguments: Annotated[list[str] | None, typer.Argument(help="What follows the id.")] = None,
    host: Annotated[str, typer.Option(help="Where the daemon listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its port.")] = DEFAULT_PORT,
    token: Annotated[str | None, typer.Option(help="Its token, if it has one.")] = None,
    timeout: Annotated[float, typer.Option(min=0.01, help="Seconds to wait for an answer.")] = 5.0,
    table: Annotated[bool, typer.Option("--table", help="Print every message as Markdown and exit.")] = False,
    relay: Annotated[
        Path | None, typer.Option(help="Pass on what scripts without sockets leave in this folder, while they do.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="With --relay: start `sidechop live` with these words if none runs.")
    ] = None,
) -> None:
    """Send one request to a running daemon and print the answer, a line for each value.

    For example: sidechop osc stem/gain drums -6
    """
    from .osc_client import OscClient
    from .osc_table import as_markdown

    if table:
        print(as_markdown(), end="")
        return
    if relay is not None:
        from .relay.relay import serve

        serve(relay, host, port, start)
        return
    if address is None:
        raise typer.BadParameter("give an address, or --table for the list of them", param_hint="ADDRESS")
    full = address if address.startswith("/") else f"/sidechop/{address}"
    with OscClient(host, port, timeout) as client:
        if token is not None:
            client.request("/sidechop/authorise", token)
        known = BY_ADDRESS[full].arguments if full in BY_ADDRESS else ()
        values = [parse(text, known[i] if i < len(known) else None) for i, text in enumerate(arguments or [])]
        for value in client.request(full, *values, on_progress=_show_progress, on_item=_show_item):
            print(_pretty(value))


def parse(text: str, argument: Argument | None) -> Value:
    """A word of the command line as the OSC value that the argument asks for, or as what it looks like."""
    if argument is not None and argument.tag == "s":
        return text
    if text.lower() in ("true", "on", "yes", "false", "off", "no"):
        return text.lower() in ("true", "on", "yes")
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _pretty(value: object) -> str:
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _show_progress(fraction: float, text: str) -> None:
    print(f"{fraction:4.0%} {text}", file=sys.stderr)


def _show_item(values: Sequence[Any]) -> None:
    print(*map(_pretty, values))
