"""The query networks once more, in numpy and float64, from their weights alone: what exports are held to.

Nothing here is shared with the torch modules but the names of the weights. Whole sequences at once, so that states are
a matter of the exports alone.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = Mapping[str, NDArray[np.floating]]
EPSILON = 1e-5


def convolve(x: Array, weight: Array, before: tuple[int, int] = (0, 0), after: tuple[int, int] = (0, 0)) -> Array:
    """``(C, T, F)`` with ``(C', C, kt, kf)``, zeros added (time, frequency): torch's conv2d."""
    padded = np.pad(x, ((0, 0), (before[0], after[0]), (before[1], after[1])))
    out = np.zeros((len(weight), padded.shape[1] - weight.shape[2] + 1, padded.shape[2] - weight.shape[3] + 1))
    for t in range(weight.shape[2]):  # one product for each tap of the kernel
        for f in range(weight.shape[3]):
            part = padded[:, t : t + out.shape[1], f : f + out.shape[2]]
            out += np.tensordot(weight[:, :, t, f], part, axes=1)
    return out


def normalise(x: Array, weights: Weights, name: str) -> Array:
    """A BatchNorm that has learned, over the first axis."""
    gain = weights[f"{name}.weight"] / np.sqrt(weights[f"{name}.running_var"] + EPSILON)
    shape = (-1,) + (1,) * (x.ndim - 1)
    centred = x - np.reshape(weights[f"{name}.running_mean"], shape)
    scaled: Array = centred * np.reshape(gain, shape) + np.reshape(weights[f"{name}.bias"], shape)
    return scaled


def sigmoid(x: Array) -> Array:
    below: Array = 1 / (1 + np.exp(-x))
    return below


def resunet(w: Weights, spectrum: NDArray[np.complexfloating], condition: Array) -> NDArray[np.complexfloating]:
    """AudioSep's ResUNet30: ``(T, F)`` to what is kept of it, from a state dict of ``base.*`` and ``film.*``."""

    def beta(path: str) -> Array:
        film = f"film.{path}"
        return np.asarray(w[f"{film}.weight"] @ condition + w[f"{film}.bias"])[:, None, None]

    def active(x: Array, path: str, number: int) -> Array:
        y = normalise(x, w, f"base.{path.replace('->', '.')}.bn{number}") + beta(f"{path}->beta{number}")
        return np.where(y > 0, y, 0.01 * y)

    def conv_block(x: Array, path: str) -> Array:
        at = f"base.{path.replace('->', '.')}"
        y = convolve(active(x, path, 1), np.asarray(w[f"{at}.conv1.weight"], float), (1, 1), (1, 1))
        y = convolve(active(y, path, 2), np.asarray(w[f"{at}.conv2.weight"], float), (1, 1), (1, 1))
        if f"{at}.shortcut.weight" in w:
            x = convolve(x, np.asarray(w[f"{at}.shortcut.weight"], float))
            x += np.asarray(w[f"{at}.shortcut.bias"])[:, None, None]
        return x + y

    def pool(x: Array, time: int, frequency: int) -> Array:
        c, t, f = x.shape
        t, f = t // time, f // frequency
        mean: Array = x[:, : t * time, : f * frequency].reshape(c, t, time, f, frequency).mean((2, 4))
        return mean

    def rise(x: Array, across: Array, path: str) -> Array:
        weight = w[f"base.{path}.conv1.weight"]  # (in, out, time, frequency), as wide as its stride
        y = np.einsum("ctf,cdij->dtifj", active(x, path, 1), weight)
        d, t, i, f, j = y.shape
        return conv_block(np.concatenate([y.reshape(d, t * i, f * j), across]), f"{path}->conv_block2")

    magnitude = np.sqrt(np.maximum(spectrum.real**2 + spectrum.imag**2, 1e-10))
    frames = len(magnitude)
    x = normalise(magnitude.T, w, "base.bn0").T
    x = np.pad(x, ((0, -frames % 32), (0, 0)))[None, :, :-1]
    x = convolve(x, np.asarray(w["base.pre_conv.weight"], float)) + np.reshape(w["base.pre_conv.bias"], (-1, 1, 1))
    across = []
    for i in range(1, 7):
        x = conv_block(x, f"encoder_block{i}->conv_block1")
        across.append(x)
        x = pool(x, 2 if i < 6 else 1, 2)
    x = conv_block(x, "conv_block7a->conv_block1")
    for i in range(1, 7):
        x = rise(x, across.pop(), f"decoder_block{i}")
    x = convolve(x, np.asarray(w["base.after_conv.weight"], float)) + np.reshape(w["base.after_conv.bias"], (-1, 1, 1))
    level, real, imag = np.pad(x, ((0, 0), (0, 0), (0, 1)))[:, :frames]
    turn = np.tanh(real) + 1j * np.tanh(imag)
    turn = turn / np.maximum(np.abs(turn), 1e-10)
    kept: NDArray[np.complexfloating] = magnitude * sigmoid(level) * turn * (spectrum / magnitude)
    return kept


def live(w: Weights, left_right: NDArray[np.complexfloating], embedding: Array) -> NDArray[np.complexfloating]:
    """query-live: ``(T, 2, bins)`` complex to the same shape, from the state dict of `LiveQuery`."""
    groups = ((0, 256, 1), (256, 512, 2), (512, 1024, 4))

    def bands(x: Array) -> Array:
        parts = [x[..., a:b].reshape(*x.shape[:-1], -1, n).mean(-1) for a, b, n in groups]
        return np.concatenate(parts, axis=-1)

    def dense(x: Array, name: str) -> Array:
        return np.asarray(x @ np.asarray(w[f"{name}.weight"]).T + w[f"{name}.bias"])

    def told(x: Array, film: Array) -> Array:
        gain, offset = np.split(film, 2)
        return x * (1 + gain) + offset

    def gru(x: Array, name: str) -> Array:
        wi, wh = np.asarray(w[f"{name}.weight_ih_l0"]).T, np.asarray(w[f"{name}.weight_hh_l0"]).T
        old, out = np.zeros(wh.shape[0]), []
        for frame in x:
            r_in, z_in, n_in = np.split(frame @ wi + w[f"{name}.bias_ih_l0"], 3)
            r_at, z_at, n_at = np.split(old @ wh + w[f"{name}.bias_hh_l0"], 3)
            update = sigmoid(z_in + z_at)
            old = update * old + (1 - update) * np.tanh(n_in + sigmoid(r_in + r_at) * n_at)
            out.append(old)
        return np.array(out)

    hidden = np.maximum(dense(embedding * np.sqrt(len(embedding)), "condition.first"), 0)
    film = dense(hidden, "condition.second")
    width, wide = len(w["encode.bias"]), len(w["widen.bias"])
    first, second, third = np.split(film, [2 * width, 4 * width])
    assert len(third) == 2 * wide

    left, right = left_right[:, 0], left_right[:, 1]
    mid_side = np.stack([left + right, left - right], axis=1) / 2  # (T, 2, bins)
    levels = np.maximum(bands(np.abs(mid_side) ** 2), 1e-8) ** 0.25
    low = mid_side[..., :256]
    low = low / np.sqrt(np.abs(low) + 1e-4)
    fine = np.stack([low.real, low.imag], axis=2)  # (T, 2, re or im, 256)
    seen = np.concatenate([levels.reshape(len(levels), -1), fine.reshape(len(fine), -1)], axis=1)
    encoded = dense((seen - w["shift"]) * w["scale"], "encode")
    encoded = np.tanh(told(normalise(encoded.T, w, "enter").T, first))
    above = gru(told(gru(encoded, "first"), second), "second") + encoded
    hidden = np.maximum(told(normalise(dense(above, "widen").T, w, "leave").T, third), 0)
    maps = dense(hidden, "decode").reshape(len(hidden), 2, 2, -1)  # (T, mid or side, re or im, bands)
    of_bin: list[int] = []
    for a, b, n in groups:
        start = of_bin[-1] + 1 if of_bin else 0
        of_bin += [start + i // n for i in range(b - a)]
    of_bin.append(of_bin[-1])
    mask = (maps[:, :, 0] + 1j * maps[:, :, 1])[:, :, of_bin]
    mid, side = (mask * mid_side).transpose(1, 0, 2)
    return np.stack([mid + side, mid - side], axis=1)
