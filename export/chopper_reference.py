"""The chopper written a second time, to hold the first against: float64, plain numpy, from the weights alone.

Shares no code with `models` or `streaming`, so that a mistake would have to be made twice to go unseen.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def curves(weights: Mapping[str, NDArray[np.float32]], frames: NDArray[np.float32], live: bool) -> Array:
    """``(T, bands)`` to ``(T, curves)``; live, every convolution looks back only."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    # (T, bands, channels) from here on: a product over channels for each tap of a kernel
    x = np.pad(frames.astype(np.float64)[..., None] / 4, ((0, 0), (1, 1), (0, 0)))
    x = _every_third_band(x, w["attack.weight"], w["attack.bias"], [2, 1, 0] if live else [1, 0, -1])
    x = _every_third_band(np.maximum(x, 0), w["bands.weight"], w["bands.bias"], [0])
    x = np.einsum("tbi,oib->to", np.maximum(x, 0), w["join.weight"][..., 0]) + w["join.bias"]
    for i in range(sum(name.endswith("mix.weight") for name in w)):
        kernel, reach = w[f"blocks.{i}.conv.conv.weight"], 2**i
        back = [2 * reach, reach, 0] if live else [reach, 0, -reach]
        both = sum(_late(x, n) @ kernel[..., tap].T for tap, n in enumerate(back)) + w[f"blocks.{i}.conv.conv.bias"]
        half = both.shape[1] // 2
        gated = both[:, :half] / (1 + np.exp(-both[:, half:]))
        x = x + gated @ w[f"blocks.{i}.mix.weight"][..., 0].T + w[f"blocks.{i}.mix.bias"]
    logits = np.maximum(x, 0) @ w["heads.weight"][..., 0].T + w["heads.bias"]
    likely: Array = 1 / (1 + np.exp(-logits))
    return likely


def _late(x: Array, frames: int) -> Array:
    """The sequence so many frames later, or earlier where negative; zeros come in."""
    out = np.zeros_like(x)
    if frames >= 0:
        out[frames:] = x[: max(0, len(x) - frames)]
    else:
        out[:frames] = x[-frames:]
    return out


def _every_third_band(x: Array, kernel: Array, bias: Array, back: list[int]) -> Array:
    """A convolution over bands, three apart, and over the frames so far ``back``."""
    size = kernel.shape[2]
    places = range(0, x.shape[1] - size + 1, 3)
    total = np.zeros((len(x), len(places), len(kernel))) + bias
    for t, frames in enumerate(back):
        moved = _late(x, frames)
        for i, place in enumerate(places):
            total[:, i] += np.einsum("tbi,oib->to", moved[:, place : place + size], kernel[..., t])
    return total
