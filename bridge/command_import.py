"""``sidechop models import``: networks that others published, from their checkpoints to ONNX with a card, proven."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from streaming.errors import ModelError

from .registry import models_folder

import_models = typer.Typer(
    help="Turn a published checkpoint into a model. If the file differs from a second implementation, none is kept.",
    no_args_is_help=True,
)

Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Folder for NAME.onnx; your models' own if not said.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Take the place of one of the same name.")]


@import_models.command()
def audiosep(
    checkpoint: Annotated[Path, typer.Argument(help="AudioSep as published: audiosep_base_4M_steps.ckpt.")],
    name: Annotated[str, typer.Option(help="What the model is called.")] = "audiosep",
    text_encoder: Annotated[str, typer.Option(help="The model that reads its queries.")] = "clap",
    output: Output = None,
    replace: Replace = False,
) -> None:
    """AudioSep, for `sidechop separate --query … --model audiosep`. It needs CLAP beside it: import that, too."""
    folder = _folder(output, name, replace)
    from export.audiosep import import_audiosep

    _report(folder / f"{name}.onnx", import_audiosep(checkpoint, folder, name, text_encoder))


@import_models.command()
def clap(
    checkpoint: Annotated[
        Path, typer.Argument(help="CLAP as published, with RoBERTa: music_speech_audioset_epoch_15_esc_89.98.pt.")
    ],
    tokenizer: Annotated[Path, typer.Option(help="tokenizer.json of roberta-base: no checkpoint of CLAP has it.")],
    name: Annotated[str, typer.Option(help="What the model is called.")] = "clap",
    output: Output = None,
    replace: Replace = False,
) -> None:
    """CLAP's text tower, which reads AudioSep's queries."""
    folder = _folder(output, name, replace)
    from export.clap import import_clap

    _report(folder / f"{name}.onnx", import_clap(checkpoint, tokenizer, folder, name))


def _folder(output: Path | None, name: str, replace: bool) -> Path:
    folder = output or models_folder()
    if (folder / f"{name}.onnx").is_file() and not replace:
        raise ModelError(f"{folder / name}.onnx is there already; --replace takes its place, --name calls it otherwise")
    return folder


def _report(file: Path, rows: Sequence[Any]) -> None:
    """What was proven of which file; a row is an `export.parity.Parity`."""
    for row in rows:
        print(f"{row.what}: {row.measure} {row.value:.2g}, the limit is {row.limit:g}")
    print(f"imported {file.stem}: {file}")
