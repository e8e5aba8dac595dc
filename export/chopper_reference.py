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
    x = _over_bands(frames.astype(np.float64)[..., None] / 4, w["attack.weight"], w["attack.bias"], live)
    x = _strongest_of_three(np.maximum(x, 0))
    x = _over_bands(x, w["bands.weight"], w["bands.bias"], live)
    x = _strongest_of_three(np.maximum(x, 0))
    x = np.einsum("tbi,oib->to", x, w["join.weight"][..., 0]) + w["join.bias"]
    for i in range(sum(name.endswith("mix.weight") for name in w)):
        kernel, reach = w[f"blocks.{i}.conv.weight"], 2**i
        back = [2 * reach, reach, 0] if live else [reach, 0, -reach]
        both = sum(_late(x, n) @ kernel[..., tap].T for tap, n in enumerate(back)) + w[f"blocks.{i}.conv.bias"]
        half = both.shape[1] // 2
        gated = np.tanh(both[:, :half]) / (1 + np.exp(-both[:, half:]))
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


def _over_bands(x: Array, kernel: Array, bias: Array, live: bool) -> Array:
    """A convolution over three bands and one or three frames."""
    taps = kernel.shape[3]
    back = [0] if taps == 1 else [2, 1, 0] if live else [1, 0, -1]
    total = np.zeros((*x.shape[:2], kernel.shape[0])) + bias
    for t, frames in enumerate(back):
        for b in range(3):
            moved = np.roll(_late(x, frames), 1 - b, axis=1)
            if b != 1:
                moved[:, 0 if b == 0 else -1] = 0
            total += moved @ kernel[:, :, b, t].T
    return total


def _strongest_of_three(x: Array) -> Array:
    bands = x.shape[1] // 3
    strongest: Array = x[:, : 3 * bands].reshape(len(x), bands, 3, -1).max(2)
    return strongest
