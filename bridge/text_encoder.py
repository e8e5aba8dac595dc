"""Sentences to embeddings: a ``text`` model with the tokenizer that its file carries.

Nothing here is near the audio: the daemon's workers and the commands ask, and what was asked before is remembered.
"""

import hashlib
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streaming.card import TOKENIZER_KEY, ModelCard
from streaming.errors import CardError, ModelError, RequestError
from streaming.session import OnnxModel

from .registry import find_model

REMEMBERED = 256
"""Sentences whose embeddings are kept."""

Embedding = NDArray[np.float32]


class TextEncoder:
    """One ``text`` model. Any thread may ask.

    Raises:
        ModelError: the file is no such model.
        CardError: its tokenizer is missing, or is not the one of its card.
    """

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        model = OnnxModel.open(path)
        card = self.card = model.card
        if card.kind != "text":
            raise ModelError(f"{card.name} is for {card.task} and reads no text")
        text = model.metadata(TOKENIZER_KEY)
        if text is None or hashlib.sha256(text.encode()).hexdigest() != card.tokenizer_sha256:
            raise CardError("tokenizer_sha256", f"is not that of the tokenizer in {path.name}: export it again")
        self._model = model
        self._names = [tensor.name for tensor in card.inputs]
        self._tokenizer = Tokenizer.from_str(text)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(card.inputs[0].shape[1])
        self._remembered: OrderedDict[str, Embedding] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def width(self) -> int:
        return self.card.outputs[0].shape[1]

    def embed(self, text: str) -> Embedding:
        """The embedding ``(D,)`` of unit length; not to be written into.

        Raises:
            RequestError: there is no word in it.
        """
        sentence = " ".join(text.split())
        if not any(character.isalnum() for character in sentence):
            raise RequestError(f"the query {text!r} holds no word; say what to listen for, such as 'a dog barking'")
        with self._lock:
            known = self._remembered.get(sentence)
            if known is not None:
                self._remembered.move_to_end(sentence)
                return known
            ids = np.asarray([self._tokenizer.encode(sentence).ids], np.int64)
            given = dict(zip(self._names, (ids, np.ones_like(ids)), strict=True))
            embedding: Embedding = self._model.run_many([self.card.outputs[0].name], given)[0][0]
            embedding.flags.writeable = False
            self._remembered[sentence] = embedding
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
            return embedding


def encoder_of(card: ModelCard) -> TextEncoder:
    """The text encoder that a query model was trained with.

    Raises:
        ModelError: the model takes no query, or its encoder is not there or does not fit.
    """
    condition = card.condition
    if condition is None or card.text_encoder is None:
        raise ModelError(f"{card.name} is for {card.task} and takes no query; `sidechop models list` shows which do")
    try:
        path = find_model(card.text_encoder)
    except ModelError as error:
        raise ModelError(f"{card.name} reads queries with the text encoder {card.text_encoder!r}: {error}") from None
    encoder = TextEncoder(path)
    if encoder.width != condition.embedding:
        raise ModelError(
            f"{card.name} is told by {condition.embedding} numbers, but {card.text_encoder} gives {encoder.width}"
        )
    return encoder
