"""``python -m models.corpus ROOT``: make training songs with four stems from freely licensed sounds."""

from pathlib import Path
from typing import Annotated

import typer

from .build import Order, build


def main(
    root: Annotated[Path, typer.Argument(help="folder to make the corpus in")],
    songs: Annotated[int, typer.Option(help="training songs; validation and test are added")] = 300,
    seconds: Annotated[float, typer.Option(help="length of a song")] = 32.0,
    jobs: Annotated[int, typer.Option(help="processes")] = 1,
    seed: Annotated[int, typer.Option(help="another seed makes other songs")] = 0,
    cache: Annotated[Path | None, typer.Option(help="where packages are unpacked")] = None,
    data: Annotated[
        Path | None, typer.Option(help="the shared data folder (default: SIDECHOP_DATA, ../shared/data)")
    ] = None,
    chops: Annotated[bool, typer.Option(help="songs for the chopper: drifting, with breaks, mostly unsung")] = False,
    download: Annotated[bool, typer.Option(help="fetch packages that the cache lacks")] = True,
) -> None:
    """Make a corpus of rendered songs, or what is missing of one."""
    counts = build(Order(root, songs, seconds, seed, cache, data, download, chops), jobs)
    print(", ".join(f"{split}: {count}" for split, count in counts.items()))


if __name__ == "__main__":
    typer.run(main)
