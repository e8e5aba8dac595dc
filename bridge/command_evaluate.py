"""``sidechop evaluate``: how well a model separates songs whose stems are known, through the engine itself."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from streaming.errors import RequestError

from .registry import find_model

TASKS = ("separator",)


def evaluate(
    task: Annotated[str, typer.Argument(help="What the model does: separator.")],
    model: Annotated[str, typer.Argument(help="A name that `sidechop models list` shows, or a file.")],
    corpus: Annotated[Path, typer.Argument(help="A folder of songs, or of pairs NAME.voc.* and NAME.acc.*.")],
    split: Annotated[str, typer.Option(help="train, validation or test; pairs have none.")] = "test",
    rate: Annotated[int, typer.Option(help="Run the session at this rate (Hz).")] = 44100,
    into_card: Annotated[
        bool, typer.Option("--into-card", help="Write the figures into the model's card, in place of older ones.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Print the SDR of every stem beside that of the untouched mix.

    SDR is taken over whole songs and averaged over the songs in which the stem sounds.
    """
    if task not in TASKS:
        raise RequestError(f"{task}: nothing of that name to evaluate; there is {', '.join(TASKS)}")
    from models.separator.evaluation import SPLITS, evaluate_tracks, find_tracks, summarise

    if split not in SPLITS:
        raise RequestError(f"{split}: no such split; there is {', '.join(SPLITS)}")
    path = find_model(model)
    tracks = find_tracks(corpus, split)
    console = Console(stderr=True)
    scores = list(track(evaluate_tracks(path, tracks, rate), "songs", len(tracks), console=console, transient=True))
    figures = summarise(scores)
    if into_card:
        from export.cards import add_metrics

        add_metrics(path, figures, corpus.name, split, rate)
    if as_json:
        seconds = sum(s.seconds for s in scores)
        items = [{"kind": "stem", "label": f.stem, **f._asdict()} for f in figures]
        print(json.dumps({"source": str(corpus), "rate": rate, "duration_s": seconds, "items": items}))
        return
    table = Table("stem", "SDR", "mix as estimate", "gain", "songs")
    for f in figures:
        table.add_row(f.stem, f"{f.sdr:.2f} dB", f"{f.baseline:.2f} dB", f"{f.sdr - f.baseline:+.2f} dB", f"{f.songs}")
    Console().print(table)
