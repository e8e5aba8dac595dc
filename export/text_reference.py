"""The text encoder once more, in numpy and float64, straight from the published weights: what exports are held to.

It shares no code and no names with the network that is exported.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]


def embed(weights: Mapping[str, NDArray[np.floating]], ids: list[int], heads: int, roberta: bool) -> Array:
    """The embedding of unpadded token ids, of unit length.

    Args:
        weights: by their names in transformers' BertModel or RobertaModel; CLAP's ``projection.{0,2}`` too.
    """
    w = {name: np.asarray(value, np.float64) for name, value in weights.items() if value.dtype.kind == "f"}
    epsilon, first = (1e-5, 2) if roberta else (1e-12, 0)

    def dense(x: Array, name: str) -> Array:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: Array, name: str) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
        normed: Array = scaled * w[f"{name}.weight"] + w[f"{name}.bias"]
        return normed

    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][first : first + len(ids)]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    layer = 0
    while f"encoder.layer.{layer}.output.dense.weight" in w:
        at = f"encoder.layer.{layer}"
        q, k, v = (dense(x, f"{at}.attention.self.{part}") for part in ("query", "key", "value"))
        width = q.shape[1] // heads
        heard = np.zeros_like(q)
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            scores = q[:, part] @ k[:, part].T / np.sqrt(width)
            attention = np.exp(scores - scores.max(1, keepdims=True))
            heard[:, part] = attention / attention.sum(1, keepdims=True) @ v[:, part]
        x = norm(x + dense(heard, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm")
        inner = dense(x, f"{at}.intermediate.dense")
        x = norm(x + dense(inner * normal_below(inner), f"{at}.output.dense"), f"{at}.output.LayerNorm")
        layer += 1
    if "projection.0.weight" in w:
        y = np.maximum(dense(np.tanh(dense(x[0], "pooler.dense")), "projection.0"), 0)
        y = dense(y, "projection.2")
    else:
        y = x.mean(0)
    unit: Array = y / np.linalg.norm(y)
    return unit


def normal_below(x: Array) -> Array:
    """The standard normal distribution's share below ``x``, of which GELU is made."""
    below: Array = ndtr(x)
    return below
