"""``sidechop export``: a trained checkpoint becomes ONNX files that the engine plays, proven equal to it."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from streaming.errors import RequestError

TASKS = ("separator",)


def export(
    task: Annotated[str, typer.Argument(help="What the network does: separator.")],
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint that `sidechop train` wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for NAME.onnx and NAME-int8.onnx.")],
    name: Annotated[str, typer.Option(help="What the model is called.")] = "live4",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Export a checkpoint to ONNX, fp32 and int8, with its card.

    Both files are held against an independent reference first; if anything differs, nothing is written.
    """
    if task not in TASKS:
        raise RequestError(f"{task}: no such task to export; there is {', '.join(TASKS)}")
    from export.separator import export_separator

    rows = export_separator(checkpoint, output, name)
    files = [str(output / f"{name}.onnx"), str(output / f"{name}-int8.onnx")]
    if as_json:
        print(json.dumps({"source": str(checkpoint), "files": files, "items": [r._asdict() for r in rows]}))
        return
    table = Table("against the reference", "measure", "value", "limit")
    for row in rows:
        table.add_row(row.what, row.measure, f"{row.value:.3g}", f"{row.limit:g}")
    console = Console()
    console.print(table)
    console.print(f"wrote {' and '.join(files)}", soft_wrap=True)
