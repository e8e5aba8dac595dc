"""``sidechop evaluate``: how well a model does what it does, on songs of which the truth is known."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from streaming.errors import RequestError

from .registry import find_model

evaluate = typer.Typer(help="Measure a model on songs of which the truth is known.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(help="A name that `sidechop models list` shows, or a file.")]
IntoCard = Annotated[
    bool, typer.Option("--into-card", help="Write the figures into the model's card, in place of older ones.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
SPLITS = ("train", "validation", "test")


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise RequestError(f"{split}: no such split; there is {', '.join(SPLITS)}")


@evaluate.command()
def separator(
    model: Model,
    corpus: Annotated[Path, typer.Argument(help="A folder of songs, or of pairs NAME.voc.* and NAME.acc.*.")],
    split: Annotated[str, typer.Option(help="train, validation or test; pairs have none.")] = "test",
    rate: Annotated[int, typer.Option(help="Run the session at this rate (Hz).")] = 44100,
    into_card: IntoCard = False,
    as_json: Json = False,
) -> None:
    """Print the SDR of every stem beside that of the untouched mix, through the engine itself.

    SDR is taken over whole songs and averaged over the songs in which the stem sounds.
    """
    _check_split(split)
    from models.separator.evaluation import evaluate_tracks, find_tracks, summarise

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


@evaluate.command()
def chopper(
    model: Model,
    corpus: Annotated[Path, typer.Argument(help="A folder of songs with song.json.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Whole songs, instead of from anywhere in their first 10 seconds.")
    ] = False,
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Of onsets, instead of the usual.")] = None,
    into_card: IntoCard = False,
    as_json: Json = False,
) -> None:
    """Print the F-measures of onsets, beats, downbeats and phrases beside those of librosa, where it is installed.

    Any model that marks time can be measured, sampleChop's too. F is that of a whole song, averaged over songs.
    """
    _check_split(split)
    from models.chopper.evaluation import find_sounds, librosa_ears, open_ears, score, summarise

    path = find_model(model)
    ears, others = open_ears(path, threshold), librosa_ears()
    console = Console(stderr=True)
    scores, baseline, seconds = [], [], 0.0
    for sound in track(find_sounds(corpus, split, None if from_start else 0), "songs", console=console, transient=True):
        scores.append(score(sound, ears(sound.mono)))
        baseline.append(score(sound, others(sound.mono)) if others else {})
        seconds += sound.seconds
    figures = summarise(scores, baseline)
    if into_card:
        from export.chopper import add_figures

        options = (" --from-start" if from_start else "") + (f" --threshold {threshold}" if threshold else "")
        add_figures(path, figures, corpus.name, split, options, "librosa")
    if as_json:
        items = [{"kind": "figure", "label": f.name, **f._asdict()} for f in figures]
        print(json.dumps({"source": str(corpus), "duration_s": seconds, "items": items}))
        return
    table = Table("", "this model", "librosa", "songs")
    for f in figures:
        other = "" if f.baseline is None else f"{f.baseline:.3f} {f.unit}"
        table.add_row(f.name, f"{f.value:.3f} {f.unit}", other, str(f.songs))
    Console().print(table)
