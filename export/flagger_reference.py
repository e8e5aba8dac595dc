"""The flagger's network written a second time, to hold the first against: float64, plain numpy, from weights alone.

Shares no code with `models` or `streaming`, so that a mistake would have to be made twice to go unseen.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STRIDES = (2, 2, 1, 2, 1, 2)
RESIDUAL = (2, 4)


def both(
    weights: Mapping[str, NDArray[np.float32]], segments: NDArray[np.float32], context: NDArray[np.float32]
) -> tuple[Array, Array]:
    """Embeddings ``(N, D)`` and class likelihoods ``(N, classes)`` of folded weights."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    heard, usual = segments.astype(np.float64), context.astype(np.float64)
    apart = heard - usual[:, 0][:, None, :]
    relative = apart / (usual[:, 1][:, None, :] + 0.3)
    x = np.stack([heard / 4, apart / 2, relative / 4], axis=-1)  # (N, frames, bands, channels) from here on
    for i, stride in enumerate(STRIDES):
        y = _convolved(x, w[f"layers.{i}.conv.weight"], w[f"layers.{i}.conv.bias"], stride)
        x = np.maximum(0, x + y if i in RESIDUAL else y)
    halves = np.stack([x.mean(axis=1), x.max(axis=1)], axis=1)  # (N, 2, bands, channels)
    flat = halves.transpose(0, 1, 3, 2).reshape(len(x), -1)
    embedding = flat @ w["embed.weight"].T + w["embed.bias"]
    embedding /= np.sqrt(np.square(embedding).sum(axis=1, keepdims=True))
    heads = w["heads.weight"] / np.sqrt(np.square(w["heads.weight"]).sum(axis=1, keepdims=True))
    logits = w["sharpness"] * (embedding @ heads.T) + w["heads.bias"]
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    return embedding, likely / likely.sum(axis=1, keepdims=True)


def _convolved(x: Array, kernel: Array, bias: Array, stride: int) -> Array:
    """Three by three, with zeros around: a product over channels for each tap."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = (x.shape[1] - 1) // stride + 1, (x.shape[2] - 1) // stride + 1
    out = np.zeros((len(x), rows, columns, len(kernel))) + bias
    for i in range(3):
        for j in range(3):
            part = padded[:, i : i + stride * rows : stride, j : j + stride * columns : stride][:, :rows, :columns]
            out += part @ kernel[:, :, i, j].T
    return out
