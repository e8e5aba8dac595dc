"""Captions of the classes as embeddings: what the networks are told.

The encoder is the shipped text model (`streaming.text`), so that training hears the very vectors that a user's words
become.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .classes import Vocabulary, classes

Encode = Callable[[str], NDArray[np.float32]]
"""Words to their embedding ``(D,)`` of unit norm."""


@dataclass(frozen=True)
class Captions:
    """Embeddings of every caption, and which of them ask for which class.

    Attributes:
        table: ``(n, D)`` float32.
        heard, unheard: rows of the table for each class, trained on and kept.
    """

    table: NDArray[np.float32]
    heard: dict[str, NDArray[np.int64]]
    unheard: dict[str, NDArray[np.int64]]

    def draw(self, rng: np.random.Generator, key: str, heard: bool = True) -> int:
        """A row for a class."""
        return int(rng.choice((self.heard if heard else self.unheard)[key]))


def embed(encode: Encode, known: Vocabulary | None = None) -> Captions:
    """All captions of the classes, ours if not said, through a text encoder."""
    texts: list[str] = []
    rows: dict[bool, dict[str, NDArray[np.int64]]] = {True: {}, False: {}}
    for key, sound in (known or classes()).items():
        for heard in (True, False):
            captions = sound.captions(heard)
            rows[heard][key] = np.arange(len(texts), len(texts) + len(captions))
            texts += captions
    return Captions(np.stack([encode(text) for text in texts]), rows[True], rows[False])


def save(captions: Captions, path: Path) -> None:
    """As an ``.npz``: the table, and the class and use of each row. Aside, then renamed."""
    keys = list(captions.heard)
    owner = np.zeros(len(captions.table), np.int64)
    kept = np.zeros(len(captions.table), np.bool_)
    for use, rows in ((False, captions.heard), (True, captions.unheard)):
        for key, at in rows.items():
            owner[at], kept[at] = keys.index(key), use
    aside = path.with_name(f".{path.stem}.part.npz")
    np.savez(aside, table=captions.table, owner=owner, kept=kept, keys=np.array(keys))
    os.replace(aside, path)


def load(path: Path) -> Captions:
    """The inverse of `save`."""
    with np.load(path) as arrays:
        table, owner, kept = arrays["table"].astype(np.float32), arrays["owner"], arrays["kept"].astype(np.bool_)
        keys = [str(key) for key in arrays["keys"]]
    heard = {key: np.flatnonzero((owner == i) & ~kept) for i, key in enumerate(keys)}
    unheard = {key: np.flatnonzero((owner == i) & kept) for i, key in enumerate(keys)}
    return Captions(table, heard, unheard)
