"""``sidechop export``: a trained checkpoint becomes ONNX files that the engine plays, proven equal to it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

export = typer.Typer(
    help="Turn a checkpoint into ONNX with its card. If a file differs from a second implementation, none is written.",
    no_args_is_help=True,
)

Checkpoint = Annotated[Path, typer.Argument(help="A checkpoint that `sidechop train` wrote.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for NAME.onnx.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@export.command()
def separator(
    checkpoint: Checkpoint,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for NAME.onnx and NAME-int8.onnx.")],
    name: Annotated[str, typer.Option(help="What the model is called.")] = "live4",
    as_json: Json = False,
) -> None:
    """Export the separator, fp32 and int8."""
    from export.separator import export_separator

    rows = export_separator(checkpoint, output, name)
    _report(checkpoint, [output / f"{name}.onnx", output / f"{name}-int8.onnx"], rows, as_json)


@export.command()
def chopper(
    checkpoint: Checkpoint,
    output: Output,
    name: Annotated[str, typer.Option(help="What the model is called.")] = "chopper",
    as_json: Json = False,
) -> None:
    """Export the chopper: kind frames, or frame-hop if it was trained with --live."""
    from export.chopper import export_chopper

    _report(checkpoint, [output / f"{name}.onnx"], export_chopper(checkpoint, output, name), as_json)


@export.command()
def flagger(
    checkpoint: Checkpoint,
    output: Output,
    name: Annotated[str, typer.Option(help="What the model is called.")] = "flagger",
    as_json: Json = False,
) -> None:
    """Export a flagger's network or baseline. It remembers nothing yet: `sidechop train flagger --base` teaches it."""
    from export.flagger import export_network

    _report(checkpoint, [output / f"{name}.onnx"], export_network(checkpoint, output, name), as_json)


@export.command()
def samplechop(
    checkpoint: Checkpoint,
    output: Output,
    name: Annotated[str, typer.Option(help="What the model is called.")] = "samplechop",
    as_json: Json = False,
) -> None:
    """Export sampleChop, the chopper's baseline."""
    from export.samplechop import export_samplechop

    _report(checkpoint, [output / f"{name}.onnx"], export_samplechop(checkpoint, output, name), as_json)


@export.command()
def text_encoder(
    folder: Annotated[
        Path, typer.Argument(help="all-MiniLM-L6-v2 as published: model.safetensors, config.json, tokenizer.json.")
    ],
    output: Output,
    name: Annotated[str, typer.Option(help="What the model is called.")] = "minilm",
    fp32: Annotated[bool, typer.Option("--fp32", help="Keep the weights as they are: four times the bytes.")] = False,
    as_json: Json = False,
) -> None:
    """Export the sentence encoder that reads queries, its tokenizer in the same file."""
    from export.text_encoder import export_minilm

    _report(folder, [output / f"{name}.onnx"], export_minilm(folder, output, name, not fp32), as_json)


@export.command()
def query(
    checkpoint: Checkpoint,
    output: Output,
    name: Annotated[
        str | None, typer.Option(help="What the model is called (query-live or query-studio if not said).")
    ] = None,
    text_encoder: Annotated[str, typer.Option(help="The model that reads its queries.")] = "minilm",
    as_json: Json = False,
) -> None:
    """Export what separates by words, live or for files."""
    from export.query import export_query

    file, rows = export_query(checkpoint, output, name, text_encoder)
    _report(checkpoint, [file], rows, as_json)


def _report(checkpoint: Path, files: Sequence[Path], rows: Sequence[Any], as_json: bool) -> None:
    """Print what was proven of which files; a row is an `export.parity.Parity`."""
    if as_json:
        items = [row._asdict() for row in rows]
        print(json.dumps({"source": str(checkpoint), "files": [str(f) for f in files], "items": items}))
        return
    table = Table("against the reference", "measure", "value", "limit")
    for row in rows:
        table.add_row(row.what, row.measure, f"{row.value:.3g}", f"{row.limit:g}")
    console = Console()
    console.print(table)
    console.print(f"wrote {' and '.join(str(f) for f in files)}", soft_wrap=True)
