"""``sidechop models``: what models there are, what they say of themselves, whether it is true, and adding one."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from streaming.card import ModelCard, side_card
from streaming.errors import ModelError

from .command_import import import_models
from .registry import ModelEntry, find_model, list_models, models_folder, peek_card, shipped_folder

models = typer.Typer(help="List, show, check, add and import models.", no_args_is_help=True)
models.add_typer(import_models, name="import")

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Model = Annotated[str, typer.Argument(help="A name from the list, or the path of an .onnx file.")]


@models.command("list")
def list_command(as_json: Json = False) -> None:
    """List every model that can be named, the user's own before the shipped of the same name."""
    found = list_models()
    if as_json:
        print(json.dumps({"folder": str(models_folder()), "models": [_as_data(entry) for entry in found]}))
        return
    table = Table(Column("name", no_wrap=True), "task", "kind", "rate", "latency", "precision", "size", "source")
    for entry in found:
        size = f"{entry.path.stat().st_size / 1e6:.1f} MB"
        if entry.card is None:
            table.add_row(entry.name, "[red]cannot be used[/red]", "", "", "", "", size, entry.source)
            continue
        card = entry.card
        latency = f"{latency_ms(card):.1f} ms" if card.sample_rates else ""
        rate = str(card.sample_rates[0]) if card.sample_rates else ""
        row = (entry.name, card.task, card.kind, rate, latency, card.precision, size, entry.source)
        table.add_row(*row)
    console = Console()
    console.print(table)
    for entry in found:
        if entry.problem:
            console.print(f"{entry.name}: {entry.problem}", markup=False, soft_wrap=True)
    console.print(f"Your own go to {models_folder()} (sidechop models add FILE).", soft_wrap=True)


@models.command()
def show(model: Model, as_json: Json = False) -> None:
    """Print a model's whole card."""
    path = find_model(model)
    card = peek_card(path)
    if as_json:
        print(json.dumps({"path": str(path), "card": asdict(card)}, ensure_ascii=False))
        return
    console = Console()
    grid = Table.grid(padding=(0, 2))
    for name, value in _lines(path, card):
        grid.add_row(f"[bold]{name}[/bold]", escape(value))
    console.print(grid)
    if card.metrics:
        table = Table("metric", "value", "beside it", "data", "command")
        for m in card.metrics:
            baseline = "" if m.baseline is None else f"{m.baseline:g} {m.unit} ({m.baseline_name})"
            table.add_row(m.name, f"{m.value:g} {m.unit}", baseline, m.data, m.command)
        console.print(table)
    if card.training:
        table = Table("learned from", "hours", "licence", "credit")
        for source in card.training:
            table.add_row(
                source.name, "" if source.hours is None else f"{source.hours:g}", source.licence, source.credit
            )
        console.print(table)


@models.command()
def check(model: Model, as_json: Json = False) -> None:
    """Hold a model against its card: tensors, sha256, sound, and the latency by measurement."""
    from .model_check import check_model

    path = find_model(model)
    found = []
    for finding in check_model(path):
        found.append(finding._asdict())
        if not as_json:
            print(f"{finding.what:8} {finding.found}", flush=True)
    if as_json:
        print(json.dumps({"path": str(path), "findings": found}))


@models.command()
def add(
    file: Annotated[Path, typer.Argument(help="An .onnx file, its card in it or beside it (NAME.card.json).")],
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of one of the same name.")] = False,
) -> None:
    """Check a model and copy it where models have names. Its name is the one in its card."""
    path = find_model(file)
    name = peek_card(path).name
    if not replace and any((folder / f"{name}.onnx").is_file() for folder in (models_folder(), shipped_folder())):
        raise ModelError(f"a model named {name!r} is there already; --replace takes its place")
    print(f"added {name}: {add_model(path, name)}")


def add_model(path: Path, name: str) -> Path:
    """Copy a model, and its side card if it has one, into the user's folder, check the copy, then give it its name.

    Raises:
        ModelError: the copy does not hold, for a lying card or because its weights lie in a file of their own.
    """
    from .model_check import check_model

    folder = models_folder()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.onnx"
    with TemporaryDirectory(prefix=".adding-", dir=folder) as aside:
        copy = Path(shutil.copyfile(path, Path(aside) / target.name))
        if side_card(path).is_file():
            shutil.copyfile(side_card(path), side_card(copy))
        for _ in check_model(copy):
            pass
        if side_card(copy).is_file():
            side_card(copy).replace(side_card(target))  # first: a model without its card would be refused
        copy.replace(target)
    return target


def latency_ms(card: ModelCard) -> float:
    """At the rate that the model was trained at; 0 for one that hears nothing."""
    return 0.0 if not card.sample_rates else 1000 * card.latency_samples / card.sample_rates[0]


def _as_data(entry: ModelEntry) -> dict[str, object]:
    data: dict[str, object] = {
        "name": entry.name,
        "path": str(entry.path),
        "source": entry.source,
        "bytes": entry.path.stat().st_size,
        "problem": entry.problem or None,
    }
    if entry.card is not None:
        card = entry.card
        data |= {
            "task": card.task,
            "kind": card.kind,
            "rates": card.sample_rates,
            "latency_samples": card.latency_samples,
            "latency_ms": round(latency_ms(card), 2),
            "precision": card.precision,
            "outputs": card.outputs_heard or card.curves or card.classes,
            "description": card.description,
        }
    return data


def _lines(path: Path, card: ModelCard) -> list[tuple[str, str]]:
    """Names and values of all that a card says, tables apart."""
    residual = f" (and {card.residual}: what is left of the mix)" if card.residual else ""
    tensors = [
        (side, f"{t.name} {list(t.shape)} {t.dtype}" + ("" if t.constant is None else f" always {t.constant:g}"))
        for side, group in (("input", card.inputs), ("output", card.outputs))
        for t in group
    ]
    clip = [
        (name, str(value))
        for name, value in (
            ("analysis", card.analysis_samples),
            ("segment", card.segment_samples),
            ("frame hop", card.frame_hop_samples),
            ("text encoder", card.text_encoder),
        )
        if value is not None
    ]
    heard = [
        ("rates", ", ".join(f"{rate} Hz" for rate in card.sample_rates)),
        ("channels", str(card.channels)),
        ("hop", f"{card.hop_samples} samples"),
        ("latency", f"{card.latency_samples} samples, {latency_ms(card):.1f} ms"),
    ]
    if card.kind == "text":
        heard = [("tokens", f"{card.inputs[0].shape[1]} at most; tokenizer {card.tokenizer_sha256}")]
    if card.condition:
        words = f"{card.condition.input}, from {card.condition.embedding} numbers of the text encoder"
        heard.append(("told by", words))
    frames = []
    if card.features:
        f = card.features
        bands = f"{f.bands} bands of {f.kind} from {f.low_hz:g} Hz, window {f.window_samples} at {f.rate} Hz"
        if f.kind == "knowledge":
            bands = f"{f.bands} numbers that other models say of each step"
        context = f"{card.context_frames} frames of {1000 / f.frame_rate:.1f} ms"
        told = ("classes", ", ".join(card.classes)) if card.classes else ("curves", ", ".join(card.curves))
        frames = [("features", bands), told, ("context", context)]
    return [
        ("name", f"{card.name} {card.version}"),
        ("", card.description),
        ("file", f"{path} ({path.stat().st_size / 1e6:.1f} MB)"),
        ("licence", card.licence),
        ("task", f"{card.task}, {card.kind}, {card.precision}"),
        *heard,
        *clip,
        *frames,
        ("stems", ", ".join(card.stems) + residual if card.stems else "none"),
        *tensors,
        *[("state", f"{s.input} → {s.output} {list(s.shape)}") for s in card.states],
        ("sha256", card.sha256 or "not given"),
    ]
