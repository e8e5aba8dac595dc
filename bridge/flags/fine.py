"""What the user said was fine, kept from one time to the next: ``NAME-DIGEST.fine.npz`` among the user's models.

It holds the embeddings of passages that a model flagged and that were good after all. They join the model's memory
whenever it is opened, for files and live. The file belongs to exactly one model: a newly trained one of the same name
has another digest, and starts with none.
"""

import os
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streaming.errors import ModelError, RequestError
from streaming.flagger import Flagger

from ..registry import models_folder, peek_card

A_PASSAGE = 16
"""Of a passage so many embeddings are kept at most, evenly in time."""


class FineStore:
    """The fine passages of one model. Every call reads and writes the file, so that processes may share it.

    Raises:
        ModelError: the model carries no good card.
    """

    def __init__(self, model: Path) -> None:
        digest = (peek_card(model).sha256 or "unsigned")[:12]
        self.path = models_folder() / f"{model.stem}-{digest}.fine.npz"

    def load(self) -> NDArray[np.float32]:
        """All embeddings, ``(n, D)``, the latest last; ``(0, 0)`` when there are none. Raises `ModelError`."""
        return self._read()[0]

    def teach(self, flagger: Flagger) -> int:
        """Have a flagger learn all of it; gives how many. Raises `ModelError`."""
        embeddings = self.load()
        for embedding in embeddings:
            flagger.learn(embedding)
        return len(embeddings)

    def add(self, embeddings: NDArray[np.float32]) -> int:
        """One more passage, ``(n, D)``; gives the number by which it can be taken back.

        Raises:
            RequestError: it holds none.
            ModelError: the file cannot be read or written.
        """
        if not len(embeddings):
            raise RequestError("the passage is too short to be learned as fine: half a second is the least")
        spread = np.unique(np.linspace(0, len(embeddings) - 1, min(A_PASSAGE, len(embeddings))).round().astype(int))
        known, passages = self._read()
        number = int(passages.max(initial=0)) + 1
        new = embeddings[spread].astype(np.float32)
        self._write(np.concatenate([known, new]) if len(known) else new, np.append(passages, np.full(len(new), number)))
        return number

    def undo(self, number: int | None = None) -> None:
        """Take a passage back, the last one if none is named. Raises `RequestError` where there is none."""
        embeddings, passages = self._read()
        if not len(passages):
            raise RequestError("nothing was learned as fine: there is nothing to take back")
        gone = passages == (passages[-1] if number is None else number)
        if not gone.any():
            raise RequestError("that passage was taken back already")
        self._write(embeddings[~gone], passages[~gone])

    @property
    def count(self) -> int:
        """How many passages there are."""
        return len(np.unique(self._read()[1]))

    def _read(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                embeddings, passages = file["embeddings"].astype(np.float32), file["passages"].astype(np.int64)
            if embeddings.ndim != 2 or passages.shape != embeddings.shape[:1] or not np.isfinite(embeddings).all():
                raise ValueError("its arrays do not fit")
        except FileNotFoundError:
            return np.zeros((0, 0), np.float32), np.zeros(0, np.int64)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ModelError(f"{self.path}: cannot be read ({error}); remove it to start anew") from None
        return embeddings, passages

    def _write(self, embeddings: NDArray[np.float32], passages: NDArray[np.int64]) -> None:
        """Aside first, then in place; a file that would hold nothing goes."""
        try:
            if not len(passages):
                self.path.unlink(missing_ok=True)
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            aside = self.path.with_suffix(f".{os.getpid()}")
            with aside.open("wb") as file:
                np.savez(file, embeddings=embeddings, passages=passages)
            os.replace(aside, self.path)
        except OSError as error:
            raise ModelError(f"{self.path}: cannot be written ({error.strerror or error})") from None
