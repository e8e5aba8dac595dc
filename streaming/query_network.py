"""Live query networks: one run for each thing asked for, and for each that is not wanted beside it.

::

    frame ─┬─ network(film of the words)          ─ P ─ × |P|² / (|P|² + |N|²) ─ strength ─┬─ share ─ query
           └─ network(film of what is not wanted) ─ N ────────┘                           │
                        … the same once more for the second query, if there is one ... ────┘

The film vector is made once a query, in numpy. A new one holds from the next frame on, states carried over, and the
overlap of frames fades from the old to the new. What is not asked for costs nothing.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import CardError
from .queries import Asked, Embedding, Queries
from .separator import OnnxSpectralNetwork
from .session import OnnxModel

WARM_UP_RUNS = 10
"""Before the first query: a network that never ran takes its first hop several times as long."""
NOTHING = np.float32(1e-20)

Frame = NDArray[np.complex64]


class FilmLayers:
    """The small network from an embedding to what the graph is fed. Raises `CardError` for a card without one."""

    def __init__(self, model: OnnxModel) -> None:
        condition = model.card.condition
        if condition is None:
            raise CardError("condition", "missing, and a query model needs it")
        self.numbers = condition.embedding
        constants = model.constants(condition.layers)
        self._layers = list(zip(constants[::2], constants[1::2], strict=True))

    def __call__(self, embedding: Embedding) -> NDArray[np.float32]:
        """``(embedding,)`` to ``(width,)``."""
        x = embedding
        for i, (weight, bias) in enumerate(self._layers):
            x = (np.maximum(x, 0) if i else x) @ weight + bias
        return x


class _Voice:
    """One run of the network: buffers and states of its own, and the film that it was told."""

    def __init__(self, model: OnnxModel, channels: int, factor: int) -> None:
        assert model.card.condition is not None
        self._network = OnnxSpectralNetwork(model, channels, factor)
        self._film = model.buffer(model.card.condition.input)[0]
        self.run_frame, self.reset = self._network.run_frame, self._network.reset
        self.on = False

    def tell(self, film: NDArray[np.float32] | None) -> None:
        """Begin afresh if it was silent; None ends it."""
        if film is not None:
            self._film[:] = film
            if not self.on:
                self.reset()
        self.on = film is not None


class QueryNetwork:
    """A `SpectralNetwork` that gives one stem a slot of ``queries``."""

    def __init__(self, model: OnnxModel, channels: int, factor: int, queries: Queries) -> None:
        card = model.card
        self.stems, self.residual = queries.names, card.residual
        self._queries = queries
        self._film = FilmLayers(model)
        voices = [_Voice(model.twin(), channels, factor) for _ in range(2 * len(queries))]
        self._slots = list(zip(voices[::2], voices[1::2], strict=True))
        bins = card.windows.scaled(factor).bins
        self._other: Frame = np.zeros((1, channels, bins), np.complex64)
        self._seen = [-1] * len(queries)
        quiet: Frame = np.zeros((channels, bins), np.complex64)
        for _ in range(WARM_UP_RUNS):
            voices[0].run_frame(quiet, self._other)
        for voice in voices:
            voice.run_frame(quiet, self._other)
        self.reset()

    def reset(self) -> None:
        for pair in self._slots:
            for voice in pair:
                voice.reset()

    def run_frame(self, frame: Frame, out: Frame) -> None:
        heard = 0
        for slot, (wanted, unwanted) in enumerate(self._slots):
            if self._queries.version(slot) != self._seen[slot]:
                self._listen(slot)
            stem = out[slot : slot + 1]
            if not wanted.on:
                stem.fill(0)
                continue
            heard += 1
            wanted.run_frame(frame, stem)
            if unwanted.on:
                unwanted.run_frame(frame, self._other)
                stem *= share(stem, self._other)
            strength = np.float32(self._queries.strength(slot))
            if strength != 1:
                stem *= strength
                stem += (1 - strength) * frame
        if heard > 1:
            claim_no_more(frame, out)

    def _listen(self, slot: int) -> None:
        version = self._queries.version(slot)
        asked = self._queries.read(slot)
        if asked is None:
            return  # being written: the next hop has it
        self._seen[slot] = version
        films = self._films(asked)
        for voice, film in zip(self._slots[slot], films, strict=True):
            voice.tell(film)

    def _films(self, asked: Asked) -> Sequence[NDArray[np.float32] | None]:
        if asked.positive is None or len(asked.positive) != self._film.numbers:
            return None, None  # nothing, or meant for another model
        return self._film(asked.positive), None if asked.negative is None else self._film(asked.negative)


def share(wanted: Frame, unwanted: Frame) -> NDArray[np.float32]:
    """Of each bin, the share that belongs to what is wanted: Wiener's, from two estimates."""
    power = wanted.real**2 + wanted.imag**2
    other = unwanted.real**2 + unwanted.imag**2
    return np.asarray((power + NOTHING) / (power + other + NOTHING), np.float32)


def claim_no_more(frame: Frame, stems: Frame) -> None:
    """Where several queries together claim more of a bin than there is, or than the greediest of them, each gets less.

    Two queries that hear the same sound then share it, and what is left of the mix stays right. ``stems`` in place.
    """
    claims = np.abs(stems)
    total = claims.sum(axis=0)
    there = np.maximum(np.abs(frame), claims.max(axis=0))
    over = total > there
    if over.any():
        stems *= np.where(over, there / np.maximum(total, NOTHING), np.float32(1))
