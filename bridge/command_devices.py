"""`sidechop devices`: what PortAudio sees."""

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from .devices import Device


def devices(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """List the audio devices with host API, channels, default rate, and which are the defaults."""
    from rich.console import Console

    from .devices import list_devices

    found = list_devices()
    if as_json:
        print(json.dumps({"devices": [dataclasses.asdict(device) for device in found]}))
        return
    console = Console()
    if not found:
        console.print("No audio devices. Files and ReaStream work without; on Linux, start JACK or PipeWire for more.")
        return
    console.print(_table(found))


def _table(found: "list[Device]") -> "Table":
    from rich.table import Table

    table = Table("index", "host API", "name", "in", "out", "rate", "default")
    for device in found:
        marks = [word for word, is_it in (("in", device.default_input), ("out", device.default_output)) if is_it]
        numbers = (str(device.inputs), str(device.outputs), str(device.rate))
        table.add_row(str(device.index), device.host_api, device.name, *numbers, " ".join(marks))
    return table
