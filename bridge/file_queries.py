"""Queries for files: words to slots and to names of files."""

from collections.abc import Sequence

from streaming.card import ModelCard
from streaming.errors import RequestError
from streaming.mixer import OUTPUTS_MAX
from streaming.queries import Queries

from .exporting import safe_stem
from .text_encoder import encoder_of


def ask_all(card: ModelCard, queries: Sequence[str], negatives: Sequence[str], strength: float = 1.0) -> Queries:
    """A slot for each query, asked for; what is in ``negatives`` counts against all of them.

    Raises:
        ModelError: the model takes no queries, or its text encoder is not there.
        RequestError: there are none, too many, or one without a word.
    """
    encoder = encoder_of(card)
    if not queries:
        raise RequestError(f"{card.name} gives what you describe: say what with --query 'a dog barking'")
    if len(queries) > OUTPUTS_MAX - 1:
        raise RequestError(f"{len(queries)} queries; {OUTPUTS_MAX - 1} fit into one pass")
    asked = Queries(names_for(queries, card.residual or "rest"))
    unwanted = encoder.embed(", ".join(negatives)) if negatives else None
    for slot, words in enumerate(queries):
        asked.ask(slot, encoder.embed(words), unwanted, words, ", ".join(negatives))
        asked.set_strength(slot, strength)
    return asked


def names_for(queries: Sequence[str], residual: str) -> tuple[str, ...]:
    """A file's name for each, all different, and none that of the residual."""
    names: list[str] = []
    taken = {residual.casefold()}
    for words in queries:
        plain = name = safe_stem(" ".join(words.split()), "query")
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain} {number}"
        taken.add(name.casefold())
        names.append(name)
    return tuple(names)
