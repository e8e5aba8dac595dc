"""``python -m models.corpus.real ROOT``: recordings with known beats or onsets, to judge the chopper by."""

from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from .frets import read_songs
from .patterns import read_patterns
from .sources import Sources
from .tracker import read_modules


def main(
    root: Annotated[Path, typer.Argument(help="folder to write {train,validation,test}/NAME/ into")],
    cache: Annotated[Path | None, typer.Option(help="where packages are unpacked")] = None,
    download: Annotated[bool, typer.Option(help="fetch packages that the cache lacks")] = True,
) -> None:
    """Write the real songs, drum patterns and tracker modules whose truth is known."""
    sources = Sources(cache, None, download)
    songs = read_songs(sources.package("fretsonfire-songs-sectoid"))
    found = chain(songs, read_patterns(sources), read_modules(sources))
    counts = Counter(recorded.write(root).parent.name for recorded in found)
    print(", ".join(f"{split}: {count}" for split, count in sorted(counts.items())) or "nothing found")


if __name__ == "__main__":
    typer.run(main)
