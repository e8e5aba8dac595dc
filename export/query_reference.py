"""The query networks once more, in numpy and float64, from their weights alone: what exports are held to.

Nothing here is shared with the torch modules but the names of the weights. Whole sequences at once, so that states are
a matter of the exports alone.
"""

from collections.abc import Mapping
from itertools import pairwise

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
    bins, count = left_right.shape[-1], 64
    hz = 700 * (np.exp(np.linspace(0, np.log1p(20000 / 700), count + 1)) - 1)
    edges = np.round(hz * 2048 / 44100).astype(int)
    for i in range(count):
        edges[i + 1] = max(edges[i + 1], edges[i] + 1)
    level = np.square(np.abs(np.stack([left_right.sum(1) / 2, (left_right[:, 0] - left_right[:, 1]) / 2], axis=1)))
    bands = np.stack([level[..., a:b].sum(-1) for a, b in pairwise(edges)], axis=-1)  # (T, 2, 64)
    both = bands.sum(1)
    before = np.concatenate([np.zeros((2, count)), both])[: len(both)]
    seen = np.stack([np.log(both + 1e-5), np.log(before + 1e-5), bands[:, 1] / (both + 1e-7)], axis=1)
    masks = np.zeros((len(seen), count))
    for turn in range(4):  # every fourth hop belongs together
        if len(seen) > turn:
            masks[turn::4] = _looks(w, seen[turn::4], embedding)
    of_bin = np.minimum(np.searchsorted(edges, np.arange(bins), "right") - 1, count - 1)
    kept: NDArray[np.complexfloating] = left_right * masks[:, None, of_bin]
    return kept


def _looks(w: Weights, seen: Array, embedding: Array) -> Array:
    """``(T, 3, bands)`` to masks ``(T, bands)``."""

    def dense(x: Array, name: str) -> Array:
        return np.asarray(x @ np.asarray(w[f"{name}.weight"]).T + w[f"{name}.bias"])

    def causal(x: Array, name: str, stride: int = 1) -> Array:
        y = convolve(x, np.asarray(w[f"{name}.conv.weight"]), (2, 1), (0, 1))[..., ::stride]
        return normalise(y, w, f"{name}.norm")

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

    levels = sum(name.startswith("down.") and name.endswith("around.bias") for name in w)
    hidden = np.maximum(dense(embedding * np.sqrt(len(embedding)), "condition.first"), 0)
    film = dense(hidden, "condition.second")
    frames = len(seen)
    x = normalise(seen.reshape(frames, -1).T, w, "enter").T.reshape(seen.shape).transpose(1, 0, 2)  # (3, T, bands)
    across = [np.maximum(causal(x, "first"), 0)]
    for i in range(levels):
        x, name = across[-1], f"down.{i}"
        around = np.einsum("ctfj,dcj->dtf", x.reshape(*x.shape[:2], -1, 2), w[f"{name}.around.weight"][:, :, 0])
        x = causal(np.maximum(causal(x, f"{name}.first", 2), 0), f"{name}.second")
        across.append(np.maximum(x + around + w[f"{name}.around.bias"][:, None, None], 0))
    x = across.pop()
    flat = x.transpose(1, 0, 2).reshape(frames, -1)
    held = dense(gru(np.maximum(dense(flat, "into"), 0), "memory"), "out")
    x = np.maximum(x + held.reshape(frames, len(x), -1).transpose(1, 0, 2), 0)
    for i in range(levels):
        beside, name = across.pop(), f"up.{i}"
        x = np.repeat(convolve(x, np.asarray(w[f"{name}.below.weight"])), 2, axis=2)
        x = np.maximum(normalise(x + convolve(beside, np.asarray(w[f"{name}.across.weight"])), w, f"{name}.norm"), 0)
        x = x + np.maximum(causal(x, f"{name}.conv"), 0)
    heard = np.maximum(convolve(x, np.asarray(w["leave.weight"])) + w["leave.bias"][:, None, None], 0)
    weight, offset = film[: len(heard)], film[len(heard) :]
    return sigmoid(np.tensordot(weight, heard, axes=1) / np.sqrt(len(heard)) + offset)
