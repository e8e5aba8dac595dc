"""``sidechop evaluate``: how well a model does what it does, on songs of which the truth is known."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from streaming.errors import RequestError

from .registry import JUDGE_MODEL, REVIEW_MODEL, find_model

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


@evaluate.command()
def flagger(
    model: Model,
    corpus: Annotated[Path, typer.Argument(help="Takes that `python -m models.flagger.corpus` made.")],
    split: Annotated[str, typer.Option(help="validation or test.")] = "test",
    baselines: Annotated[
        list[str] | None, typer.Option("--baseline", help="Another model beside it; may be given more than once.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="As it is live: every passage judged by its past alone.")
    ] = False,
    alone: Annotated[
        bool, typer.Option("--alone", help="The network without the detectors of technical faults.")
    ] = False,
    into_card: IntoCard = False,
    as_json: Json = False,
) -> None:
    """Print how well faults stand out, how near cuts come to true edits, and how often good music is flagged.

    AUROC and pAUC are those of a take, averaged over takes and then over kinds of faults; energy and chance stand
    beside them, and any other model of the kind, such as a baseline that `sidechop train flagger --kind` made.
    """
    _check_split(split)
    from models.flagger.evaluation import Results, evaluate, find_takes, summarise
    from models.flagger.scorers import Listener, energy_scorer, flagger_scorer, random_scorer, system_scorer

    path, takes = find_model(model), find_takes(corpus, split)
    beside = path.with_name(f"{path.stem}-review.onnx")
    reviewer = beside if beside.is_file() else find_model(REVIEW_MODEL)
    judge = find_model(JUDGE_MODEL)
    others = {find_model(one).stem: find_model(one) for one in baselines or []}
    scorers = {"": (flagger_scorer if alone else system_scorer)(Listener(path, reviewer, judge), live)}
    scorers |= {name: flagger_scorer(Listener(other, reviewer), live) for name, other in others.items()}
    scorers |= {"energy": energy_scorer, "chance": random_scorer}
    results = {name: Results() for name in scorers}
    console = Console(stderr=True)
    for _, measured in track(evaluate(takes, scorers), "takes", len(takes), console=console, transient=True):
        for name, one in measured.items():
            results[name].measured.append(one)
    figures = summarise(results, "")
    if into_card:
        from export.flagger import add_figures

        options = (" --live" if live else "") + (" --alone" if alone else "")
        add_figures(path, figures, corpus.name, split, options + "".join(f" --baseline {o}" for o in others))
    if as_json:
        items = [{"kind": "figure", "label": f.name, **f._asdict()} for f in figures]
        print(json.dumps({"source": str(corpus), "items": items}))
        return
    names = [name for name in scorers if name]
    table = Table("", "this model", *names, "takes")
    for f in figures:
        cells = (f"{f.baselines[name]:.3f}" if name in f.baselines else "" for name in names)
        table.add_row(f.name, f"{f.value:.3f}", *cells, str(f.takes))
    Console().print(table)


@evaluate.command()
def query(
    model: Model,
    pool: Annotated[Path, typer.Argument(help="Sounds by class, made by `python -m models.query.pool`.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    mixtures: Annotated[int, typer.Option(min=1, help="Two-source mixtures of classes that training knew.")] = 300,
    encoder: Annotated[str, typer.Option(help="The text model that reads the captions.")] = "minilm",
    classes: Annotated[bool, typer.Option("--classes", help="The gain of every class, too.")] = False,
    into_card: IntoCard = False,
    as_json: Json = False,
) -> None:
    """Print what a query model gains on mixtures of two held-out sounds at -10 to 10 dB, in dB over the mix itself.

    Asked by captions that training used, by paraphrases that it never saw, for classes that it never heard, and for
    what is not there, and of a live model while the mixture plays; a question for something else altogether stands
    beside as the baseline.
    """
    _check_split(split)
    from models.query.evaluation import by_class, summarise
    from models.query.evaluation import evaluate as evaluate_query
    from models.query.pool import Pool
    from streaming.session import read_card

    from .text_encoder import TextEncoder

    path, sounds = find_model(model), Pool(pool, split)
    console = Console(stderr=True)
    unseen = max(1, mixtures // 5)
    asked = evaluate_query(path, TextEncoder(find_model(encoder)).embed, sounds, mixtures, unseen)
    total = (4 if read_card(path).takes_clips else 5) * mixtures + 2 * unseen
    scores = list(track(asked, "questions", total, console=console, transient=True))
    figures = summarise(scores)
    gains = by_class(scores) if classes else {}
    if into_card:
        from export.cards import add_query_metrics

        add_query_metrics(path, figures, split)
    if as_json:
        items = [{"kind": "figure", "label": f.name, "value": f.value, "mixtures": f.mixtures} for f in figures]
        items += [{"kind": "class", "label": key, "value": gain} for key, gain in gains.items()]
        print(json.dumps({"source": str(pool), "rate": 44100, "duration_s": 4.0 * len(scores), "items": items}))
        return
    table = Table("figure", "dB", "mixtures")
    for f in figures:
        table.add_row(f.name, f"{f.value:.2f}", str(f.mixtures))
    for key, gain in gains.items():
        table.add_row(key, f"{gain:.2f}", "")
    Console().print(table)
