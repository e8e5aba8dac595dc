"""The query networks once more, in numpy and float64, from their weights alone: what exports are held to.

Nothing here is shared with the torch modules but the names of the weights. Whole sequences at once, so that states are
a matter of the exports alone.
"""

from collections.abc import Mapping, Sequence
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
    edges = _edges(64, 20000, 2048 / 44100)
    level = np.square(np.abs(np.stack([left_right.sum(1) / 2, (left_right[:, 0] - left_right[:, 1]) / 2], axis=1)))
    bands = _pooled(level, edges)  # (T, 2, 64)
    both = bands.sum(1)
    before = np.concatenate([np.zeros((2, 64)), both])[: len(both)]
    levels = [np.log(both + 1e-5), np.log(before + 1e-5), bands[:, 1] / (both + 1e-7)]
    seen = np.stack([*levels, *_grain(level.sum(1), edges)], axis=1)
    masks = _masks(w, seen, embedding, 4, ahead=0, power=both)
    kept: NDArray[np.complexfloating] = left_right * masks[:, None, _of_bin(left_right.shape[-1], edges)]
    return kept


def studio(w: Weights, spectrum: NDArray[np.complexfloating], embedding: Array) -> NDArray[np.complexfloating]:
    """query-studio: a clip ``(T, bins)``, T a multiple of 3, to the same, from the state dict of `StudioQuery`."""
    edges = _edges(96, 16000, 2048 / 32000)
    power = _pooled(np.square(np.abs(spectrum)), edges)
    none = np.zeros((2, 96))
    before, after = np.concatenate([none, power[:-2]]), np.concatenate([power[2:], none])
    masks = _masks(w, np.log(np.stack([power, before, after], axis=1) + 1e-5), embedding, 3, ahead=1, power=power)
    kept: NDArray[np.complexfloating] = spectrum * masks[:, _of_bin(spectrum.shape[-1], edges)]
    return kept


def _edges(count: int, top: float, bins_a_hz: float) -> NDArray[np.int64]:
    """Where mel bands begin and end, in bins."""
    hz = 700 * (np.exp(np.linspace(0, np.log1p(top / 700), count + 1)) - 1)
    edges = np.round(hz * bins_a_hz).astype(np.int64)
    for i in range(count):
        edges[i + 1] = max(edges[i + 1], edges[i] + 1)
    return edges


def _pooled(power: Array, edges: NDArray[np.int64]) -> Array:
    return np.stack([power[..., a:b].sum(-1) for a, b in pairwise(edges)], axis=-1)


def _of_bin(bins: int, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.minimum(np.searchsorted(edges, np.arange(bins), "right") - 1, len(edges) - 2)
    return found


def _masks(w: Weights, seen: Array, embedding: Array, every: int, ahead: int, power: Array) -> Array:
    """``(T, 3, bands)`` to ``(T, bands)``, where every so-manieth frame belongs together. A context weighs them by
    ``power (T, bands)``."""
    listeners, turns = _listeners(w), range(min(every, len(seen)))
    heard = [[_heard(listener, seen[turn::every], ahead) for listener in listeners] for turn in turns]
    films = [_film(listener, embedding) for listener in listeners]
    if not ahead:
        return _taking_turns(w, heard, films, power)
    masks, equal = np.zeros((len(seen), seen.shape[-1])), np.full(len(listeners), 1 / len(listeners))
    if "context.known" in w:
        films = _in_context(w, heard[1], films, power[1::every])
    for turn in turns:
        masks[turn::every] = sigmoid(_said(heard[turn], films, equal))
    return masks


def _taking_turns(w: Weights, heard: Sequence[Sequence[Array]], films: Sequence[Array], power: Array) -> Array:
    """Masks ``(T, bands)`` of networks of which one hears a frame and another the next.

    ``heard`` holds by turn what each would hear of every frame, ``(width, looks, bands)``.
    """
    everything = _everything(w, films) if "context.known" in w else [films]
    last = [np.zeros((len(x), power.shape[1])) for x in heard[0]]
    said = np.zeros((len(power), len(everything), power.shape[1]))
    for t in range(len(power)):
        now = t % len(last)
        last[now] = heard[t % len(heard)][now][:, t // len(heard)]
        weights = np.array([(0.65 if i == now else 0.35) if len(last) == 2 else 1.0 for i in range(len(last))])
        for n, each in enumerate(everything):
            said[t, n] = _said([x[:, None] for x in last], each, weights)[0]
    if "context.known" not in w:
        return sigmoid(said[:, 0])
    masks, every = np.zeros_like(power), len(heard)
    for turn in range(every):
        masks[turn::every] = _stream_in_context(w, said[turn::every], films, power[turn::every])
    return masks


def _everything(w: Weights, films: Sequence[Array]) -> list[Sequence[Array]]:
    """Films of the query and of all known classes, each apart by listener."""
    return [films, *(np.split(row, len(films)) for row in np.asarray(w["context.known"], float))]


def _said(heard: Sequence[Array], films: Sequence[Array], weights: Array) -> Array:
    """What listeners hear, each ``(width, T, bands)``, and their films to masks before the sigmoid ``(T, bands)``."""
    width = len(heard[0])
    said = [np.tensordot(f[:width], x, axes=1) / np.sqrt(width) + f[width:] for x, f in zip(heard, films, strict=True)]
    return np.asarray(np.tensordot(weights, said, axes=1))


def _change(
    w: Weights, films: Sequence[Array], low: Array, middle: Array, high: Array, share: Array, together: Array
) -> tuple[float, Array, float]:
    """Gain, rivals and offset of a query, from standings of it and the classes after it ``(1 + C)``."""

    def judge(name: str, facts: Sequence[Array]) -> Array:
        hidden = np.tanh(w[f"context.{name}.first.weight"] @ np.array(facts) + w[f"context.{name}.first.bias"][:, None])
        return np.asarray(w[f"context.{name}.last.weight"] @ hidden + w[f"context.{name}.last.bias"][:, None])

    bands = len(films[0]) - len(_listeners(w)[0]["leave.bias"])
    directions = [np.concatenate([film[:-bands] for film in each]) for each in _everything(w, films)]
    directions = [each / np.linalg.norm(each) for each in directions]
    alike = np.array([each @ directions[0] for each in directions[1:]])
    ours = np.ones_like(alike)
    facts = [together * 2, alike * 2, low[1:] / 4, middle[1:] / 4, high[1:] / 4, share[1:] * 2]
    facts += [ours * middle[0] / 4, ours * high[0] / 4, ours * share[0] * 2]
    there = np.append(judge("rival", facts)[0] * 4 - 3 - 4 * together + high[1:] / 2, 0.0)
    chosen = (np.exp(there) / np.exp(there).sum())[:-1]
    facts = [low[0] / 4, middle[0] / 4, high[0] / 4, share[0] * 2]
    facts += [x / 4 for x in (high[1:].max(), high[1:].mean(), chosen @ high[1:])]
    facts += [x * 2 for x in (chosen @ together, chosen @ alike, sigmoid(high[1:] - high[0]).mean())]
    moved, stretched = judge("presence", [np.array([fact]) for fact in facts])[:, 0]
    rivals = chosen * w["context.against"]
    gain = float(w["context.gain"][0] * np.exp(stretched / 2))
    return gain, rivals, float(moved * 4 - gain * w["context.centred"][0] * middle[0] + rivals @ middle[1:])


def _in_context(w: Weights, heard: Sequence[Array], films: Sequence[Array], power: Array) -> list[Array]:
    """A query's films as a clip needs them: what its looks hold, and their power ``(T, bands)``."""
    everything = _everything(w, films)
    equal = np.ones(len(films)) / len(films)
    said = np.array([_said(heard, each, equal).ravel() for each in everything])
    loud = np.sqrt(power).ravel() / np.sqrt(power).sum()
    mean = said @ loud
    middle = mean
    for _ in range(3):
        above = sigmoid(said - middle[:, None]) * loud
        share = above.sum(1)
        high = (above * said).sum(1) / (share + 1e-4)
        low = (mean - share * high) / (1 - share + 1e-4)
        middle = (high + low) / 2
    apart = said - mean[:, None]
    spread = np.sqrt(np.square(apart) @ loud + 1e-3)
    together = (apart[1:] @ (apart[0] * loud)) / (spread[1:] * spread[0])
    gain, rivals, offset = _change(w, films, low, middle, high, share, together)
    told = []
    for i, film in enumerate(films):
        changed = gain * film - sum(rival * each[i] for rival, each in zip(rivals, everything[1:], strict=True))
        changed[-power.shape[1] :] += offset
        told.append(changed)
    return told


def _stream_in_context(w: Weights, said: Array, films: Sequence[Array], power: Array) -> Array:
    """What is said of a query and all classes at every look ``(T, 1 + C, bands)``, and power ``(T, bands)``, to masks
    ``(T, bands)``, from weighted means over all looks so far, each counting less than the next."""
    masks, middle = np.zeros_like(power), np.zeros(said.shape[1])
    loud, values, aboves = np.sqrt(power), np.zeros((0, *said.shape[1:])), np.zeros((0, *said.shape[1:]))
    heard = loud.sum(1) > 1e-8
    for t in range(len(said)):
        aboves = np.concatenate([aboves, sigmoid(said[t] - middle[:, None])[None]])
        values = said[: t + 1]
        ago = np.append(np.cumsum(heard[1 : t + 1][::-1])[::-1], 0)
        weight = loud[: t + 1] * 0.99306 ** ago[:, None]
        total = weight.sum() + 1e-8
        mean = np.einsum("tb,tnb->n", weight, values) / total
        share = np.einsum("tb,tnb->n", weight, aboves) / total
        upper = np.einsum("tb,tnb->n", weight, aboves * values) / total
        high, low = upper / (share + 1e-4), (mean - upper) / (1 - share + 1e-4)
        middle = (high + low) / 2
        variance = np.einsum("tb,tnb->n", weight, np.square(values)) / total - np.square(mean)
        spread = np.sqrt(np.maximum(variance, 0) + 1e-3)
        product = np.einsum("tb,tb,tnb->n", weight, values[:, 0], values[:, 1:]) / total
        together = (product - mean[0] * mean[1:]) / (spread[0] * spread[1:])
        gain, rivals, offset = _change(w, films, low, middle, high, share, together)
        masks[t] = sigmoid(gain * said[t, 0] - rivals @ said[t, 1:] + offset)
    return masks


def _grain(level: Array, edges: NDArray[np.int64]) -> tuple[Array, Array]:
    """``(T, bins)`` to flatness and peak, ``(T, bands)`` each."""
    flatness, peak = [], []
    for low, high in pairwise(edges):
        bins = level[:, low:high]
        mean = bins.mean(1, keepdims=True)
        least = 1e-3 * (mean + 1e-5)
        flatness.append((np.log(bins + least).mean(1, keepdims=True) - np.log(mean + least))[:, 0])
        peak.append(np.log(np.square((bins + least) / (mean + least)).mean(1)))
    return np.stack(flatness, axis=1), np.stack(peak, axis=1)


def _listeners(w: Weights) -> list[Weights]:
    """The weights of each network of several."""
    numbers = {name.split(".")[1] for name in w if name.startswith("listeners.")}
    starts = [f"listeners.{number}." for number in sorted(numbers)]
    return [{name.removeprefix(start): w[name] for name in w if name.startswith(start)} for start in starts]


def _dense(w: Weights, x: Array, name: str) -> Array:
    return np.asarray(x @ np.asarray(w[f"{name}.weight"]).T + w[f"{name}.bias"])


def _film(w: Weights, embedding: Array) -> Array:
    hidden = np.maximum(_dense(w, embedding * np.sqrt(len(embedding)), "condition.first"), 0)
    return _dense(w, hidden, "condition.second")


def _gru(w: Weights, x: Array, name: str, both_ways: bool) -> Array:
    """torch's, ``(steps, ..., C)`` to ``(steps, ..., memory)``."""

    def one_way(x: Array, layer: str) -> Array:
        wi, wh = np.asarray(w[f"{name}.weight_ih_{layer}"]).T, np.asarray(w[f"{name}.weight_hh_{layer}"]).T
        old, out = np.zeros((*x.shape[1:-1], wh.shape[0])), []
        for frame in x:
            r_in, z_in, n_in = np.split(frame @ wi + w[f"{name}.bias_ih_{layer}"], 3, axis=-1)
            r_at, z_at, n_at = np.split(old @ wh + w[f"{name}.bias_hh_{layer}"], 3, axis=-1)
            update = sigmoid(z_in + z_at)
            old = update * old + (1 - update) * np.tanh(n_in + sigmoid(r_in + r_at) * n_at)
            out.append(old)
        return np.array(out)

    forwards = one_way(x, "l0")
    return np.concatenate([forwards, one_way(x[::-1], "l0_reverse")[::-1]], axis=-1) if both_ways else forwards


def _dual_path(w: Weights, x: Array, ahead: int) -> Array:
    """``(T, bands, path)`` to what is heard ``(T, bands, width)``."""

    def path(x: Array, name: str, both_ways: bool) -> Array:
        """Over the first axis of ``(steps, ..., path)``."""
        normed = np.moveaxis(normalise(np.moveaxis(x, -1, 0), w, f"{name}.norm"), 0, -1)
        return x + _dense(w, _gru(w, normed, f"{name}.gru", both_ways), f"{name}.out")

    for i in range(sum(name.startswith("along.") and name.endswith("out.bias") for name in w)):
        x = path(x.swapaxes(0, 1), f"across.{i}", both_ways=True).swapaxes(0, 1)
        x = path(x, f"along.{i}", both_ways=ahead > 0)
    return np.maximum(_dense(w, x, "leave"), 0)


def _heard(w: Weights, seen: Array, ahead: int) -> Array:
    """``(T, described, bands)`` to what is heard ``(width, T, bands)``. A convolution hears so many looks ``ahead``."""

    def conv(x: Array, name: str, stride: int = 1) -> Array:
        y = convolve(x, np.asarray(w[f"{name}.conv.weight"]), (2 - ahead, 1), (ahead, 1))[..., ::stride]
        return normalise(y, w, f"{name}.norm")

    levels = sum(name.startswith("down.") and name.endswith("around.bias") for name in w)
    frames = len(seen)
    x = (
        normalise(seen.reshape(frames, -1).T, w, "enter").T.reshape(seen.shape).transpose(1, 0, 2)
    )  # (described, T, bands)
    across = [np.maximum(conv(x, "first"), 0)]
    if "along.0.out.bias" in w:
        return _dual_path(w, across[0].transpose(1, 2, 0), ahead).transpose(2, 0, 1)
    for i in range(levels):
        x, name = across[-1], f"down.{i}"
        around = np.einsum("ctfj,dcj->dtf", x.reshape(*x.shape[:2], -1, 2), w[f"{name}.around.weight"][:, :, 0])
        x = conv(np.maximum(conv(x, f"{name}.first", 2), 0), f"{name}.second")
        across.append(np.maximum(x + around + w[f"{name}.around.bias"][:, None, None], 0))
    x = across.pop()
    flat = x.transpose(1, 0, 2).reshape(frames, -1)
    looks = np.maximum(_dense(w, flat, "into"), 0)
    held = _dense(w, _gru(w, looks, "memory", both_ways=ahead > 0), "out")
    x = np.maximum(x + held.reshape(frames, len(x), -1).transpose(1, 0, 2), 0)
    for i in range(levels):
        beside, name = across.pop(), f"up.{i}"
        x = np.repeat(convolve(x, np.asarray(w[f"{name}.below.weight"])), 2, axis=2)
        x = np.maximum(normalise(x + convolve(beside, np.asarray(w[f"{name}.across.weight"])), w, f"{name}.norm"), 0)
        x = x + np.maximum(conv(x, f"{name}.conv"), 0)
    return np.maximum(convolve(x, np.asarray(w["leave.weight"])) + w["leave.bias"][:, None, None], 0)
