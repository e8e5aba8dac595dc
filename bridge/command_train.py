"""``sidechop train``: train a network on a folder of one's own, or on the corpus that ``models.corpus`` makes."""

import os
from pathlib import Path
from typing import Annotated

import typer

from streaming.errors import RequestError

TASKS = ("separator",)
MINUTES = 60.0


def train(
    task: Annotated[str, typer.Argument(help="What to train: separator.")],
    corpus: Annotated[
        Path, typer.Argument(help="Songs: SONG/{vocals,drums,bass,other}.flac or .wav, in train/ … if already split.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run: checkpoint, metrics, cache.")],
    minutes: Annotated[float | None, typer.Option(min=0.01, help="How long to train (60 if not said).")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="How many steps to train, instead of --minutes.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    seed: Annotated[int, typer.Option(help="Decides the weights at the start and every example.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Examples a step, of a second and a half each.")] = 12,
    processes: Annotated[int, typer.Option(min=1, help="Share each batch: on a CPU, as many as it has cores.")] = 1,
    bf16: Annotated[bool, typer.Option("--bf16", help="Multiply in bfloat16, where the hardware can.")] = False,
) -> None:
    """Train the separator. Songs that appear in the corpus meanwhile are picked up.

    The last checkpoint is RUN/last.ckpt, the learning curve RUN/metrics. Ctrl-C stops; --resume goes on from the
    last epoch.
    """
    if task not in TASKS:
        raise RequestError(f"{task}: nothing of that name to train; there is {', '.join(TASKS)}")
    if minutes and steps:
        raise RequestError("--minutes and --steps exclude each other; give one")
    from models.separator.training import Settings
    from models.separator.training import train as train_separator

    budget = None if steps else minutes or MINUTES
    settings = Settings(steps=steps, minutes=budget, seed=seed, batch=batch, processes=processes, bf16=bf16)
    last = train_separator(corpus, output, settings, resume)
    if os.environ.get("LOCAL_RANK", "0") == "0":  # the other processes run this command too
        print(last)
