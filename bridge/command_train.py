"""``sidechop train``: train a network on a folder of one's own, or on the corpus that ``models.corpus`` makes."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from streaming.errors import RequestError

from .registry import REVIEW_MODEL, find_checkpoint, find_model

MINUTES = 60.0
FLAGGER_MINUTES = 20.0

train = typer.Typer(help="Train a network on your own songs, or on what models.corpus makes.", no_args_is_help=True)

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder of the run: checkpoint, learning curve, cache.")]
Minutes = Annotated[float | None, typer.Option(min=0.01, help="How long to train (60 if not said).")]
Steps = Annotated[int | None, typer.Option(min=1, help="How many steps to train, instead of --minutes.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")]
Seed = Annotated[int, typer.Option(help="Decides the weights at the start and every example.")]
Bf16 = Annotated[bool, typer.Option("--bf16", help="Multiply in bfloat16, where the hardware can.")]
Processes = Annotated[int, typer.Option(min=1, help="Share each batch: on a CPU, as many as it has cores.")]
CORPORA = typer.Argument(
    metavar="CORPUS", help="Songs: SONG/{vocals,drums,bass,other}.flac or .wav with song.json, in train/, …"
)


def _budget(minutes: float | None, steps: int | None) -> float | None:
    """Minutes, or None where steps are the budget."""
    if minutes and steps:
        raise RequestError("--minutes and --steps exclude each other; give one")
    return None if steps else minutes or MINUTES


@train.command()
def separator(
    corpus: Annotated[
        Path, typer.Argument(help="Songs: SONG/{vocals,drums,bass,other}.flac or .wav, in train/ … if already split.")
    ],
    output: Output,
    minutes: Minutes = None,
    steps: Steps = None,
    resume: Resume = False,
    seed: Seed = 0,
    batch: Annotated[int, typer.Option(min=1, help="Examples a step, of a second and a half each.")] = 12,
    processes: Processes = 1,
    bf16: Bf16 = False,
) -> None:
    """Train the separator. Songs that appear in the corpus meanwhile are picked up.

    The last checkpoint is RUN/last.ckpt, the learning curve RUN/metrics. Ctrl-C stops; --resume goes on from the
    last epoch.
    """
    budget = _budget(minutes, steps)
    from models.separator.training import Settings
    from models.separator.training import train as train_separator

    settings = Settings(steps=steps, minutes=budget, seed=seed, batch=batch, processes=processes, bf16=bf16)
    last = train_separator(corpus, output, settings, resume)
    if os.environ.get("LOCAL_RANK", "0") == "0":  # the other processes run this command too
        print(last)


@train.command()
def chopper(
    output: Output,
    corpora: Annotated[list[Path] | None, CORPORA] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Your own chops instead: audio beside Audacity labels, CSVs of times or REAPER projects."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The model that goes on learning with --labels (the shipped one if not said).")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Hear the past alone, for chops while audio plays.")] = False,
    minutes: Minutes = None,
    steps: Steps = None,
    resume: Resume = False,
    seed: Seed = 0,
    batch: Annotated[int, typer.Option(min=1, help="Examples a step, of 25 seconds each.")] = 8,
    bf16: Bf16 = False,
) -> None:
    """Train the chopper, or teach one that ships where you cut: a fifth curve, ``chop``.

    The last checkpoint is RUN/last.ckpt, the learning curve RUN/metrics.csv. Ctrl-C stops; --resume goes on from the
    last look at the validation songs.
    """
    budget = _budget(minutes, steps)
    if bool(corpora) == bool(labels):
        raise RequestError("give either a corpus of songs, or your own chops with --labels DIR")
    from models.chopper.network import Size
    from models.chopper.training import Settings
    from models.chopper.training import train as train_chopper

    settings = Settings(steps=steps, minutes=budget, seed=seed, batch=batch, bf16=bf16)
    if labels:
        from models.chopper.own import train_own

        model = find_model(base or ("chopper-live" if live else "chopper"))
        print(train_own(labels, model, output, settings, resume))
        return
    assert corpora
    print(train_chopper(corpora, output, settings, Size(live=live), resume))


@train.command()
def samplechop(
    corpora: Annotated[list[Path], CORPORA],
    output: Output,
    conv: Annotated[bool, typer.Option("--conv", help="The convolutional network that was given up.")] = False,
    tonnetz: Annotated[bool, typer.Option("--tonnetz", help="Hear six bins of the tonnetz, too.")] = False,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = 0,
) -> None:
    """Train sampleChop, the baseline of the chopper. The last checkpoint is RUN/last.ckpt."""
    budget = _budget(minutes, steps)
    from models.chopper.samplechop import Kind
    from models.chopper.samplechop_training import Settings
    from models.chopper.samplechop_training import train as train_samplechop

    kind = Kind("conv" if conv else "mlp", tonnetz)
    print(train_samplechop(corpora, output, Settings(kind, steps, budget, seed)))


@train.command()
def flagger(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for NAME.onnx and the report.")],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Good recordings; raw takes in raw/ or as NAME.raw.* only judge."),
    ] = None,
    name: Annotated[str, typer.Option(help="What the model is called.")] = "my-flagger",
    base: Annotated[str, typer.Option(help="The model whose hearing is kept.")] = "flagger",
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Train the network itself, too, on faults made from DIR.")
    ] = False,
    general: Annotated[
        bool, typer.Option("--general", help="From scratch, on free music and speech: how the shipped one was made.")
    ] = False,
    kind: Annotated[str | None, typer.Option(help="From scratch, a baseline: autoencoder, dual or classifier.")] = None,
    clips: Annotated[int, typer.Option(min=32, help="From scratch: clips of half a minute to make.")] = 1984,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="From scratch: how long (20 if not said).")] = None,
    steps: Steps = None,
    seed: Seed = 0,
) -> None:
    """Teach a flagger what is good: minutes for an hour of audio. Only good audio is learned from.

    NAME.onnx holds the network, what it remembers of DIR and its calibration on recordings held out; NAME.html shows
    how odd all recordings are and what would be cut at several thresholds. A raw take and its edit (raw/NAME.* and
    edited/NAME.*, or NAME.raw.* and NAME.edited.*) show how near that comes to what was cut by hand.
    """
    if (folder is None) != general:
        raise RequestError("give a folder of good recordings, or --general for the free ones")
    from export.flagger_runs import fresh_flagger, general_split, own_flagger, own_split

    console = Console(stderr=True)
    if not (from_scratch or general or kind):
        if minutes or steps:
            raise RequestError("--minutes and --steps are for training --from-scratch")
        assert folder is not None
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("listening", total=1.0)
            model, report, own = own_flagger(
                folder,
                find_model(base),
                find_model(REVIEW_MODEL),
                output,
                name,
                lambda what, part: bar.update(task, description=what, completed=part),
            )
        for note in own.notes:
            console.print(note, soft_wrap=True, style="yellow")
        print(model)
        print(report)
        return
    from models.flagger.baselines import KINDS
    from models.flagger.reviewing import ReviewSettings
    from models.flagger.training import Settings as FlaggerSettings

    chosen = next((one for one in KINDS if one == kind), None)
    if kind and chosen is None:
        raise RequestError(f"{kind}: no such kind; there is {', '.join(KINDS)}")
    budget = None if steps else minutes or FLAGGER_MINUTES
    settings = FlaggerSettings(minutes=budget or FLAGGER_MINUTES, steps=steps, seed=seed)
    cache = output / "decoded"
    split = own_split(folder, cache) if folder else general_split(cache)
    review = ReviewSettings(minutes=budget or FLAGGER_MINUTES, steps=steps, seed=seed)
    reviewer = None if chosen else review if general else find_model(REVIEW_MODEL)
    model, _ = fresh_flagger(split, output, name, chosen, settings, clips, console, reviewer)
    print(model)


@train.command()
def query(
    output: Output,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Your sounds: LABEL/FILE.wav, or audio with a CSV of file,caption."),
    ] = None,
    pool: Annotated[
        Path | None, typer.Option(help="Sounds that `python -m models.query.pool` made, instead: the general model.")
    ] = None,
    studio: Annotated[bool, typer.Option("--studio", help="The model for files instead of the live one.")] = False,
    base: Annotated[
        Path | None, typer.Option(help="A checkpoint that goes on learning, or query-live for the one that ships.")
    ] = None,
    encoder: Annotated[str, typer.Option(help="The text model that reads the captions.")] = "minilm",
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to train.")] = MINUTES,
    seed: Seed = 0,
    batch: Annotated[int, typer.Option(min=1, help="Mixtures a step.")] = 8,
    processes: Processes = 1,
    seconds: Annotated[float, typer.Option(min=0.5, max=10, help="Length of a mixture.")] = 2.0,
) -> None:
    """Teach a query model sounds by their names, on a GPU where there is one.

    The checkpoint, RUN/query-live.ckpt or RUN/query-studio.ckpt, is written every minute; --base goes on from one.
    `sidechop export query` makes a model of it.
    """
    if (folder is None) == (pool is None):
        raise RequestError("give either a folder of your own sounds, or --pool DIR")
    from models.query.captions import embed, load, save
    from models.query.own import build_own
    from models.query.training import Settings as QuerySettings
    from models.query.training import train as train_query

    from .text_encoder import TextEncoder

    console = Console(stderr=True)
    start = None if base is None else find_checkpoint(base)
    known = build_own(folder, output / "pool") if folder else None
    root = pool or output / "pool"
    told = root / "captions.npz"
    if folder or not told.is_file():
        with console.status("reading the captions"):
            save(embed(TextEncoder(find_model(encoder)).embed, known), told)
    settings = QuerySettings("studio" if studio else "live", minutes, batch, seconds, seed=seed, processes=processes)
    print(train_query(root, load(told), output, settings, start, known, console.print))
