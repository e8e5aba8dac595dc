"""Captions of the classes as embeddings: what the networks are told.

The encoder is the shipped text model (`streaming.text`), so that training hears the very vectors that a user's words
become.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .classes import classes

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Words to embeddings ``(n, D)`` of unit norm."""


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


def embed(encode: Encode) -> Captions:
    """All captions through a text encoder."""
    texts: list[str] = []
    rows: dict[bool, dict[str, NDArray[np.int64]]] = {True: {}, False: {}}
    for key, sound in classes().items():
        for heard in (True, False):
            captions = sound.captions(heard)
            rows[heard][key] = np.arange(len(texts), len(texts) + len(captions))
            texts += captions
    return Captions(np.asarray(encode(texts), np.float32), rows[True], rows[False])


def save(captions: Captions) -> dict[str, NDArray[np.generic]]:
    """As arrays for `numpy.savez`: the table, and the class and use of each row."""
    keys = list(classes())
    owner = np.zeros(len(captions.table), np.int64)
    kept = np.zeros(len(captions.table), np.bool_)
    for use, rows in ((False, captions.heard), (True, captions.unheard)):
        for key, at in rows.items():
            owner[at], kept[at] = keys.index(key), use
    return {"table": captions.table, "owner": owner, "kept": kept, "keys": np.array(keys)}


def load(arrays: dict[str, NDArray[np.generic]]) -> Captions:
    """The inverse of `save`."""
    owner, kept = arrays["owner"], arrays["kept"].astype(np.bool_)
    keys = [str(key) for key in arrays["keys"]]
    heard = {key: np.flatnonzero((owner == i) & ~kept) for i, key in enumerate(keys)}
    unheard = {key: np.flatnonzero((owner == i) & kept) for i, key in enumerate(keys)}
    return Captions(arrays["table"].astype(np.float32), heard, unheard)
