"""Learn a user's own sounds by name: a folder of ``label/file.wav``, or audio with captions in a CSV.

Labels are what the folders are called; a CSV beside the audio (``file,caption`` with a header, several captions of a
file in several rows) says more. Every fifth file of a label is kept from training.
"""

import csv
from collections import defaultdict
from pathlib import Path

from models.flagger.recordings import AUDIO
from streaming.card import Source
from streaming.errors import RequestError

from .classes import SoundClass, Vocabulary
from .pool import build
from .sounds import Sound

CONTEXT = "own"
KEPT_EVERY = 5


def find_own(folder: Path) -> tuple[Vocabulary, list[Sound]]:
    """What the folder holds, and in which words.

    Raises:
        RequestError: there is nothing, one label alone, a CSV without the columns, or a file that it names is missing.
    """
    if not folder.is_dir():
        raise RequestError(f"{folder}: no such folder")
    tables = sorted(folder.glob("*.csv"))
    named = _from_tables(tables) if tables else _from_folders(folder)
    if not named:
        raise RequestError(f"{folder}: no labelled audio; expected LABEL/FILE.wav, or a CSV with file,caption")
    if len(named) < 2:
        raise RequestError(f"{folder}: only {next(iter(named))!r}; two labels at least, to be told from each other")
    known: dict[str, SoundClass] = {}
    sounds: list[Sound] = []
    source = Source(folder.name, "unstated", "a user's own sounds")
    for label, (words, files) in named.items():
        known[label] = SoundClass(label, tuple(dict.fromkeys(words)), (), CONTEXT, kin=frozenset({label}))
        for i, file in enumerate(sorted(files)):
            split = "validation" if i % KEPT_EVERY == KEPT_EVERY - 1 else "train"
            sounds.append(Sound(label, split, str(file), str(file), source))
    return known, sounds


Named = dict[str, tuple[list[str], list[Path]]]


def _from_folders(folder: Path) -> Named:
    named: Named = {}
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        if files := [file for file in sorted(inner.rglob("*")) if file.suffix.lower() in AUDIO]:
            label = inner.name.replace("_", " ").strip()
            named[label] = ([label], files)
    return named


def _from_tables(tables: list[Path]) -> Named:
    """Files with the very same captions are one class."""
    words: dict[Path, list[str]] = defaultdict(list)
    for table in tables:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"file", "caption"} <= set(rows.fieldnames or ()):
                raise RequestError(f"{table}: has columns {', '.join(rows.fieldnames or ())}; expected file,caption")
            for number, row in enumerate(rows, 2):
                path = table.parent / (row["file"] or "")
                if not path.is_file():
                    raise RequestError(f"{table}, line {number}: {row['file']}: no such file")
                if not (row["caption"] or "").strip():
                    raise RequestError(f"{table}, line {number}: no caption")
                words[path].append(row["caption"].strip())
    named: Named = {}
    for path, captions in words.items():
        named.setdefault(captions[0], (captions, []))[1].append(path)
    return named


def build_own(folder: Path, root: Path) -> Vocabulary:
    """Make the pool of a user's folder in ``root``; what it knows. Raises `RequestError`."""
    known, sounds = find_own(folder)
    for split in ("train", "validation"):
        build(root, split, sounds)
    return known
