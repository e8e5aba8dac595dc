"""The reviewer written a second time, to hold the first against: float64, plain numpy, from weights alone.

Shares no code with `models` or `streaming`, so that a mistake would have to be made twice to go unseen.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STRIDES, RESIDUAL = (2, 2, 1, 2, 1, 2), (2, 4)


def curves_of(weights: Mapping[str, NDArray[np.float32]], frames: NDArray[np.float32], heads: int) -> Array:
    """Curves ``(T, 2)`` of frames ``(T, bands)``, from folded weights."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    count = len(frames)
    x = np.zeros((-(-count // 16) * 16, frames.shape[1]))
    x[:count] = frames
    sounding = x.mean(axis=1) > 0.1
    number = sounding.sum() + 1
    mean = x[sounding].sum(axis=0) / number
    apart = x - mean
    spread = np.sqrt(np.square(apart[sounding]).sum(axis=0) / number)
    y = np.stack([x / 4, apart / 2, apart / 4 / (spread + 0.3)], axis=-1)
    for i, stride in enumerate(STRIDES):
        z = _convolved(y, w[f"layers.{i}.conv.weight"], w[f"layers.{i}.conv.bias"], (stride, stride))
        y = np.maximum(0, y + z if i in RESIDUAL else z)
        if i == 2:
            rows = np.maximum(0, _linear(w, "rows", y.transpose(0, 2, 1).reshape(len(y), -1)))
    tokens = _linear(w, "tokens", y.transpose(0, 2, 1).reshape(len(y), -1))
    far = np.abs(np.subtract.outer(np.arange(len(tokens)), np.arange(len(tokens))))
    block = 0
    while f"blocks.{block}.slopes" in w:
        tokens = _block(w, f"blocks.{block}.", tokens, far, heads)
        block += 1
    wide = _linear(w, "spread", tokens).reshape(rows.shape)
    both = np.concatenate([rows, wide], axis=1)
    last = np.maximum(0, _over_time(both, w["last.weight"], w["last.bias"]))
    logits = _over_time(last, w["curves.weight"], w["curves.bias"])
    return np.repeat(1 / (1 + np.exp(-logits)), 4, axis=0)[:count]


def _block(w: Mapping[str, Array], name: str, x: Array, far: NDArray[np.int64], heads: int) -> Array:
    y = _normed(w, f"{name}norms.0", x)
    kernel = w[f"{name}near.weight"][:, 0]  # (width, 7)
    reach = kernel.shape[1] // 2
    padded = np.pad(y, ((reach, reach), (0, 0)))
    near = sum(padded[k : k + len(y)] * kernel[:, k] for k in range(kernel.shape[1])) + w[f"{name}near.bias"]
    x = x + _linear(w, f"{name}mix", np.maximum(0, near))
    y = _normed(w, f"{name}norms.1", x)
    each = y.shape[1] // heads
    found = []
    query, key, value = (_linear(w, name + part, y) for part in ("query", "key", "value"))
    for h in range(heads):
        part = slice(h * each, (h + 1) * each)
        like = query[:, part] @ key[:, part].T / np.sqrt(each) - w[f"{name}slopes"][h] * far
        like = np.exp(like - like.max(axis=1, keepdims=True))
        found.append(like / like.sum(axis=1, keepdims=True) @ value[:, part])
    x = x + _linear(w, f"{name}give", np.concatenate(found, axis=1))
    up = np.maximum(0, _linear(w, f"{name}up", _normed(w, f"{name}norms.2", x)))
    return x + _linear(w, f"{name}down", up)


def _linear(w: Mapping[str, Array], name: str, x: Array) -> Array:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _normed(w: Mapping[str, Array], name: str, x: Array) -> Array:
    apart = x - x.mean(axis=1, keepdims=True)
    apart /= np.sqrt(np.square(apart).mean(axis=1, keepdims=True) + 1e-5)
    normed: Array = apart * w[f"{name}.weight"] + w[f"{name}.bias"]
    return normed


def _over_time(x: Array, kernel: Array, bias: Array) -> Array:
    """``(T, inward)`` through ``(outward, inward, width)``, zeros around."""
    width = kernel.shape[2]
    padded = np.pad(x, ((width // 2, width // 2), (0, 0)))
    out = np.zeros((len(x), len(kernel))) + bias
    for k in range(width):
        out += padded[k : k + len(x)] @ kernel[:, :, k].T
    return out


def _convolved(x: Array, kernel: Array, bias: Array, strides: tuple[int, int]) -> Array:
    """``(T, bands, channels)``, three by three with zeros around: a product over channels for each tap."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    rows, columns = ((x.shape[i] - 1) // strides[i] + 1 for i in (0, 1))
    out = np.zeros((rows, columns, len(kernel))) + bias
    for i in range(3):
        for j in range(3):
            part = padded[i : i + strides[0] * rows : strides[0], j : j + strides[1] * columns : strides[1]]
            out += part[:rows, :columns] @ kernel[:, :, i, j].T
    return out
