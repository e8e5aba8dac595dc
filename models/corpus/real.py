"""``python -m models.corpus.real ROOT``: recordings with known beats or onsets, to judge the chopper by."""

from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from .frets import read_songs
from .patterns import read_patterns
from .sources import Sources


def main(
    root: Annotated[Path, typer.Argument(help="folder to write {validation,test}/NAME/ into")],
    cache: Annotated[Path | None, typer.Option(help="where packages are unpacked")] = None,
    download: Annotated[bool, typer.Option(help="fetch packages that the cache lacks")] = True,
) -> None:
    """Write the real songs and the drum patterns whose truth is known."""
    sources = Sources(cache, None, download)
    found = chain(read_songs(sources.package("fretsonfire-songs-sectoid")), read_patterns(sources))
    counts = Counter(recorded.write(root).parent.name for recorded in found)
    print(", ".join(f"{split}: {count}" for split, count in sorted(counts.items())) or "nothing found")


if __name__ == "__main__":
    typer.run(main)
