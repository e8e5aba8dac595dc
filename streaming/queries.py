"""What a query model is asked for: a block of slots, which may lie in shared memory, as faders do.

The daemon writes, the engine looks once a hop. An embedding is more than one number, so each slot has a sequence lock:
it is odd while the slot is written, and whoever reads takes what was copied only if it is the same even number before
and after; else the old query holds for another hop. The strength stands alone and needs none.

A slot carries embeddings, not words: who writes has read the words, whatever model the engine runs.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .card import ModelCard
from .errors import RequestError

EMBEDDING_MAX = 1024
TEXT_BYTES = 256
LIVE_NAMES = ("query", "query 2")
"""What a lane's slots are called, as stems."""

QUERY_DTYPE = np.dtype(
    {
        "names": ["sequence", "on", "negated", "numbers", "strength", "text", "negative_text", "positive", "negative"],
        "formats": [
            "<u4", "<u4", "<u4", "<u4", "<f4", f"S{TEXT_BYTES}", f"S{TEXT_BYTES}",
            ("<f4", EMBEDDING_MAX), ("<f4", EMBEDDING_MAX),
        ],
        "offsets": [0, 4, 8, 12, 16, 64, 320, 1024, 1024 + 4 * EMBEDDING_MAX],
        "itemsize": 12288,
    }
)  # fmt: skip

Embedding = NDArray[np.float32]


class Asked(NamedTuple):
    """One slot, copied. ``positive`` is None where nothing is asked for."""

    positive: Embedding | None
    negative: Embedding | None
    text: str
    negative_text: str


class Queries:
    """Slots by name over a block. One writes, one reads."""

    def __init__(self, names: Sequence[str] = LIVE_NAMES, block: NDArray[Any] | None = None) -> None:
        self.names = tuple(names)
        self.block: NDArray[Any] = np.zeros(len(names), QUERY_DTYPE) if block is None else block
        if block is None:
            self.block["strength"] = 1.0

    def __len__(self) -> int:
        return len(self.names)

    def ask(
        self,
        slot: int,
        positive: Embedding,
        negative: Embedding | None = None,
        text: str = "",
        negative_text: str = "",
    ) -> None:
        """Ask for something, from the engine's next hop on; the strength stays. Raises `RequestError`."""
        row = self._row(slot)
        if not 0 < len(positive) <= EMBEDDING_MAX:
            raise RequestError(f"an embedding of {len(positive)} numbers; a query has room for {EMBEDDING_MAX}")
        if negative is not None and len(negative) != len(positive):
            raise RequestError(f"what is wanted has {len(positive)} numbers, what is not {len(negative)}")
        row["sequence"] |= 1
        row["positive"][: len(positive)] = positive
        if negative is not None:
            row["negative"][: len(negative)] = negative
        row["negated"] = negative is not None
        row["numbers"] = len(positive)
        row["text"], row["negative_text"] = _cut(text), _cut(negative_text)
        row["on"] = 1
        row["sequence"] += 1

    def clear(self, slot: int) -> None:
        """Ask for nothing there: the stem falls silent, its work is saved."""
        row = self._row(slot)
        row["sequence"] |= 1
        row["on"] = row["negated"] = row["numbers"] = 0
        row["text"] = row["negative_text"] = b""
        row["sequence"] += 1

    def set_strength(self, slot: int, strength: float) -> None:
        """1 gives what was asked for alone, 0 the whole mix, between them both. Raises `RequestError`."""
        if not 0.0 <= strength <= 1.0:
            raise RequestError(f"strength {strength} is outside 0 to 1")
        self._row(slot)["strength"] = strength

    def strength(self, slot: int) -> float:
        return float(self.block["strength"][slot])

    def version(self, slot: int) -> int:
        """Changes with every `ask` and `clear`; odd while one is under way."""
        return int(self.block["sequence"][slot])

    def read(self, slot: int) -> Asked | None:
        """A copy of the slot; None while it is being written."""
        version = self.version(slot)
        if version % 2:
            return None
        row = self.block[slot].copy()
        if self.version(slot) != version:
            return None
        n = min(int(row["numbers"]), EMBEDDING_MAX)
        positive = row["positive"][:n] if row["on"] else None
        negative = row["negative"][:n] if row["on"] and row["negated"] else None
        return Asked(positive, negative, _text(row["text"]), _text(row["negative_text"]))

    def _row(self, slot: int) -> Any:
        if not 0 <= slot < len(self.names):
            raise RequestError(f"no query {slot + 1}; there is room for {len(self.names)}")
        return self.block[slot : slot + 1].reshape(())


def outputs_for(card: ModelCard | None, queries: Queries | None = None) -> tuple[str, ...]:
    """Names of what an engine gives: of a query model one stem a slot, the residual last; None is the pass-through."""
    if card is None:
        return ("through", "other")
    if card.condition is None:
        return card.outputs_heard
    names = LIVE_NAMES if queries is None else queries.names
    return (*names, card.residual) if card.residual else names


def _cut(text: str) -> bytes:
    return text.encode()[:TEXT_BYTES].decode("utf-8", "ignore").encode()


def _text(raw: Any) -> str:
    return bytes(raw).rstrip(b"\0").decode("utf-8", "replace")
