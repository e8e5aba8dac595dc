"""Live query networks: what is asked for and what is not wanted beside it, each a row of a run of the network.

::

    frame ── network ─┬─ film of the words          ─ P ─ at most |P|² / (|P|² + |N|²) ─ strength ─┬─ share ─ query
                      ├─ film of what is not wanted ─ N ───────┘                                  │
                      └─ … the same once more for the second query, if there is one ... ──────────┘

A run answers as many films as the card's condition has rows, and there are as many runs as that takes. The film vector
is made once a query, in numpy. A new one holds from the next frame on, states carried over, and the overlap of frames
fades from the old to the new. A run of which nothing is asked costs nothing.
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


class _Run:
    """One run of the network: buffers and states of its own, and the film that each of its rows was told."""

    def __init__(self, model: OnnxModel, channels: int, factor: int) -> None:
        assert model.card.condition is not None
        self._network = OnnxSpectralNetwork(model, channels, factor)
        self._films = model.buffer(model.card.condition.input)
        self._told = [False] * len(self._films)
        self.reset = self._network.reset

    def tell(self, row: int, film: NDArray[np.float32] | None) -> None:
        """Begin afresh if all was silent; None ends a row."""
        if film is not None:
            self._films[row] = film
            if not any(self._told):
                self.reset()
        self._told[row] = film is not None

    def listen(self, frame: Frame, always: bool = False) -> None:
        if always or any(self._told):
            self._network.listen(frame)

    def heard(self, row: int, out: Frame) -> bool:
        """Write what was heard in the last frame to ``(channels, bins)``, unless nothing is asked."""
        if self._told[row]:
            self._network.take(row, out)
        return self._told[row]


class QueryNetwork:
    """A `SpectralNetwork` that gives one stem a slot of ``queries``."""

    def __init__(self, model: OnnxModel, channels: int, factor: int, queries: Queries) -> None:
        card = model.card
        self.stems, self.residual = queries.names, card.residual
        self._queries = queries
        self._film = FilmLayers(model)
        rows, places = card.asked_at_once, 2 * len(queries)
        self._runs = [_Run(model.twin(), channels, factor) for _ in range(-(-places // rows))]
        # what is wanted comes first, so that runs for what is not are silent as a rule
        voices = [(self._runs[i // rows], i % rows) for i in range(places)]
        self._slots = list(zip(voices[: len(queries)], voices[len(queries) :], strict=True))
        self._seen = [-1] * len(queries)
        quiet: Frame = np.zeros((channels, card.windows.scaled(factor).bins), np.complex64)
        self._unwanted = quiet.copy()
        for _ in range(WARM_UP_RUNS):
            self._runs[0].listen(quiet, always=True)
        for run in self._runs:
            run.listen(quiet, always=True)
        self.reset()

    def reset(self) -> None:
        for run in self._runs:
            run.reset()

    def run_frame(self, frame: Frame, out: Frame) -> None:
        for slot in range(len(self._slots)):
            if self._queries.version(slot) != self._seen[slot]:
                self._learn(slot)
        for run in self._runs:
            run.listen(frame)
        claims = 0
        for slot, ((run, row), (other, its_row)) in enumerate(self._slots):
            stem = out[slot]
            if not run.heard(row, stem):
                stem.fill(0)
                continue
            claims += 1
            if other.heard(its_row, self._unwanted):
                leave_out(frame, stem, self._unwanted)
            strength = np.float32(self._queries.strength(slot))
            if strength != 1:
                stem *= strength
                stem += (1 - strength) * frame
        if claims > 1:
            claim_no_more(frame, out)

    def _learn(self, slot: int) -> None:
        version = self._queries.version(slot)
        asked = self._queries.read(slot)
        if asked is None:
            return  # being written: the next hop has it
        self._seen[slot] = version
        for (run, row), film in zip(self._slots[slot], self._films(asked), strict=True):
            run.tell(row, film)

    def _films(self, asked: Asked) -> Sequence[NDArray[np.float32] | None]:
        if asked.positive is None or len(asked.positive) != self._film.numbers:
            return None, None  # nothing, or meant for another model
        return self._film(asked.positive), None if asked.negative is None else self._film(asked.negative)


def leave_out(frame: Frame, wanted: Frame, unwanted: Frame) -> None:
    """Of each bin, ``wanted`` keeps no more than its share of the mix: Wiener's, from both estimates. In place.

    What the estimate had left to the other already is not taken from it once more.
    """
    power = wanted.real**2 + wanted.imag**2
    other = unwanted.real**2 + unwanted.imag**2
    most = np.abs(frame) * power / (power + other + NOTHING)
    wanted *= np.minimum(1, most / np.maximum(np.sqrt(power), NOTHING))


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
