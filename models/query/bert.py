"""BERT and RoBERTa as sentence encoders: MiniLM's six layers, and CLAP's text tower with its projection.

::

    tokens -> word + position + type -> LayerNorm
      -> layers, each: attention, +, LayerNorm, dense, GELU, dense, +, LayerNorm
      -> MiniLM: mean over the tokens        CLAP: tanh(dense(first token)) -> dense, ReLU, dense
      -> unit length

One sentence at a time, tokens without padding or with it on the right. RoBERTa counts positions from 2.

Sources: Devlin et al., "BERT", 2019; Wang et al., "MiniLM", 2020; Liu et al., "RoBERTa", 2019; Wu et al., "Large-scale
Contrastive Language-Audio Pretraining", 2023.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streaming.errors import ModelError


@dataclass(frozen=True)
class TextSize:
    """What a network must be told to be built: MiniLM's numbers by default."""

    words: int = 30522
    positions: int = 512
    types: int = 2
    width: int = 384
    inner: int = 1536
    layers: int = 6
    heads: int = 12
    epsilon: float = 1e-12
    first_position: int = 0
    pool: Literal["mean", "first"] = "mean"
    embedding: int = 384

    @property
    def tokens(self) -> int:
        """The longest sentence."""
        return self.positions - self.first_position


ROBERTA = TextSize(50265, 514, 1, 768, 3072, 12, 12, 1e-5, 2, "first", 512)
"""CLAP's text tower: RoBERTa-base and a projection to 512."""


class TextLayer(nn.Module):
    """Self-attention and two dense layers, each added to its input and normalised."""

    def __init__(self, size: TextSize) -> None:
        super().__init__()
        self.heads = size.heads
        self.query = nn.Linear(size.width, size.width)
        self.key = nn.Linear(size.width, size.width)
        self.value = nn.Linear(size.width, size.width)
        self.attended = nn.Linear(size.width, size.width)
        self.attended_norm = nn.LayerNorm(size.width, size.epsilon)
        self.inward = nn.Linear(size.width, size.inner)
        self.outward = nn.Linear(size.inner, size.width)
        self.outward_norm = nn.LayerNorm(size.width, size.epsilon)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """``(1, n, width)`` with ``bias (1, 1, 1, n)`` added to every score."""
        query, key, value = (self._split(layer(x)) for layer in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + bias  # (1, heads, n, n)
        heard = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        x = self.attended_norm(x + self.attended(heard))
        y: Tensor = self.outward_norm(x + self.outward(F.gelu(self.inward(x))))
        return y

    def _split(self, x: Tensor) -> Tensor:
        heads: Tensor = x.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (1, heads, n, width of a head)
        return heads


class TextEncoder(nn.Module):
    """Token ids and mask ``(1, n)`` to an embedding ``(1, D)`` of unit length."""

    def __init__(self, size: TextSize) -> None:
        super().__init__()
        self.size = size
        self.words = nn.Embedding(size.words, size.width)
        self.positions = nn.Embedding(size.positions, size.width)
        self.types = nn.Embedding(size.types, size.width)
        self.norm = nn.LayerNorm(size.width, size.epsilon)
        self.layers = nn.ModuleList(TextLayer(size) for _ in range(size.layers))
        if size.pool == "first":
            self.pooler = nn.Linear(size.width, size.width)
            self.projection = nn.Sequential(
                nn.Linear(size.width, size.embedding), nn.ReLU(), nn.Linear(size.embedding, size.embedding)
            )

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        at = torch.arange(ids.shape[1], device=ids.device) + self.size.first_position
        x = self.norm(self.words(ids) + self.positions(at) + self.types.weight[:1])
        heard = mask.to(x.dtype)
        bias = (heard[:, None, None] - 1) * 1e9
        for layer in self.layers:
            x = layer(x, bias)
        if self.size.pool == "first":
            x = self.projection(torch.tanh(self.pooler(x[:, 0])))
        else:
            weights = heard[:, :, None]
            x = (x * weights).sum(1) / weights.sum(1)
        unit: Tensor = x / x.square().sum(1, keepdim=True).sqrt()
        return unit


def published_names(size: TextSize) -> dict[str, str]:
    """Our names of all parameters to those of transformers' BertModel and RobertaModel."""
    layer = {
        "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
        "attended": "attention.output.dense", "attended_norm": "attention.output.LayerNorm",
        "inward": "intermediate.dense", "outward": "output.dense", "outward_norm": "output.LayerNorm",
    }  # fmt: skip
    modules = {"norm": "embeddings.LayerNorm"}
    modules |= {f"layers.{i}.{k}": f"encoder.layer.{i}.{v}" for i in range(size.layers) for k, v in layer.items()}
    if size.pool == "first":
        modules["pooler"] = "pooler.dense"
    tables = {"words": "word_embeddings", "positions": "position_embeddings", "types": "token_type_embeddings"}
    names = {f"{ours}.weight": f"embeddings.{theirs}.weight" for ours, theirs in tables.items()}
    return names | {f"{k}.{part}": f"{v}.{part}" for k, v in modules.items() for part in ("weight", "bias")}


def load_text(weights: Mapping[str, Tensor], size: TextSize) -> TextEncoder:
    """A network with these weights, under their published names; what is beside them is left alone.

    Raises:
        ModelError: one is missing or of another shape.
    """
    network = TextEncoder(size)
    own = network.state_dict()
    names = published_names(size)
    for name, tensor in own.items():
        theirs = names.get(name, name)
        if theirs not in weights:
            raise ModelError(f"no {theirs} among the weights of the text encoder")
        if weights[theirs].shape != tensor.shape:
            got, wanted = tuple(weights[theirs].shape), tuple(tensor.shape)
            raise ModelError(f"{theirs} is {got}, expected {wanted}: another size or kind of text encoder")
        tensor.copy_(weights[theirs])
    return network.eval()
