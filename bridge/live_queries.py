"""The queries of a session: words to embeddings, here, and embeddings to the lane, where the engine finds them.

A query may be a sentence or the name of a preset of the settings. The words of both slots stand in the lane, so that
another model, with another text encoder, is asked the same.
"""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streaming.card import ModelCard
from streaming.errors import ModelError, RequestError
from streaming.queries import LIVE_NAMES, Queries

from .config import Query
from .registry import find_query_model, peek_card
from .text_encoder import TextEncoder, encoder_of

if TYPE_CHECKING:
    from .daemon import Daemon


class LiveQueries:
    """Slots are counted from 1 here, as users see them."""

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self._encoders: dict[str, TextEncoder] = {}
        self._known: tuple[Path, ModelCard] | None = None
        self._lock = threading.Lock()  # of the slots: requests come on more than one thread

    @property
    def _slots(self) -> Queries:
        return self._daemon.lane.queries

    @property
    def _card(self) -> ModelCard | None:
        """Of the model that runs; read once a model, for the status is asked for often."""
        model, known = self._daemon.engine.model, self._known
        if model is None:
            return None
        if known is None or known[0] != model:
            known = self._known = model, peek_card(model)
        return known[1]

    @property
    def possible(self) -> bool:
        """Whether the model takes queries."""
        card = self._card
        return card is not None and card.condition is not None

    def begin(self) -> None:
        """Ask what the settings ask for. Raises `ModelError`, `RequestError`."""
        config = self._daemon.config
        if config.query and not self.possible:
            raise ModelError(f"{config.model} takes no queries: leave the model out, or name one that does")
        if len(config.query) > len(LIVE_NAMES):
            raise RequestError(f"{len(config.query)} queries; {len(LIVE_NAMES)} can be played at once")
        for number, words in enumerate(config.query, 1):
            self.ask(number, words, ", ".join(config.negative))

    def ask(self, number: int, words: str, negative: str) -> None:
        """Play another query from the next hop on. Where the model takes none, the one that does takes over first.

        Raises:
            RequestError: there is no word in it, or no such slot.
            ModelError: there is no model that takes queries, or its text encoder is not there.
        """
        preset = self._daemon.config.queries.get(words.strip(), Query(query=words))
        unwanted = negative.strip() or preset.negative
        if not self.possible:
            self._daemon.switch_model(str(find_query_model(live=True)))
        encoder = self._encoder()
        wanted = encoder.embed(preset.query)
        not_wanted = encoder.embed(unwanted) if unwanted else None
        with self._lock:
            self._slots.ask(number - 1, wanted, not_wanted, preset.query, unwanted)
            if words.strip() in self._daemon.config.queries:
                self._slots.set_strength(number - 1, preset.strength)

    def clear(self, number: int) -> None:
        """Raises `RequestError` for no such slot."""
        with self._lock:
            self._slots.clear(number - 1)

    def set_strength(self, number: int, strength: float) -> None:
        """Raises `RequestError` for no such slot."""
        self._slots.set_strength(number - 1, strength)

    def renew(self) -> None:
        """After another model has taken over: ask it the same, in the numbers of its own text encoder."""
        if not self.possible:
            return
        encoder = self._encoder()
        for slot in range(len(LIVE_NAMES)):
            asked = self._slots.read(slot)
            if asked is None or asked.positive is None:
                continue
            wanted = encoder.embed(asked.text)
            unwanted = encoder.embed(asked.negative_text) if asked.negative_text else None
            with self._lock:
                self._slots.ask(slot, wanted, unwanted, asked.text, asked.negative_text)

    def status(self) -> list[dict[str, Any]]:
        """What each slot is asked for; nothing for a model that takes no queries."""
        if not self.possible:
            return []
        slots = self._slots
        rows = []
        for slot, name in enumerate(slots.names):
            asked = slots.read(slot)
            rows.append(
                {
                    "query": slot + 1,
                    "stem": name,
                    "text": asked.text if asked else "",
                    "not": asked.negative_text if asked else "",
                    "on": bool(asked and asked.positive is not None),
                    "strength": round(slots.strength(slot), 6),
                }
            )
        return rows

    def _encoder(self) -> TextEncoder:
        card = self._card
        assert card is not None
        name = card.text_encoder or ""
        known = self._encoders.get(name)
        if known is None or card.condition is None or known.width != card.condition.embedding:
            known = self._encoders[name] = encoder_of(card)
        return known
