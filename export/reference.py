"""live4 written a second time, to hold the first against: offline, float64, plain numpy, from the weights alone.

Shares no code with `models` or `streaming`: windows, transform, features, recurrence and masks are all spelt out
again, so that a mistake would have to be made twice to go unseen. Slow, and meant to be.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

N, H = 2048, 256
BINS = N // 2 + 1


def windows(n: int = N, h: int = H) -> tuple[Array, Array]:
    """Analysis over n samples and synthesis over the last 2h."""
    tail = 2 * h
    rise = n - h
    analysis = np.empty(n)
    analysis[:rise] = [np.sin(np.pi * (i + 0.5) / (2 * rise)) for i in range(rise)]
    analysis[rise:] = [np.cos(np.pi * (i + 0.5) / tail) for i in range(h)]
    synthesis = np.array([(1 - np.cos(2 * np.pi * (i + 0.5) / tail)) / 2 for i in range(tail)]) / analysis[-tail:]
    return analysis, synthesis  # Hann windows at half overlap sum to one: no further scaling


def analyse(wave: Array, n: int = N, h: int = H) -> Array:
    """``(samples,)`` to complex ``(frames, bins)``; frame t ends at sample (t + 1) h."""
    analysis, _ = windows(n, h)
    hops = -(-len(wave) // h) + 1
    padded = np.concatenate([np.zeros(n - h), wave, np.zeros(hops * h - len(wave))])
    return np.array([np.fft.rfft(analysis * padded[t * h : t * h + n]) for t in range(hops)])


def synthesise(spectra: Array, samples: int, n: int = N, h: int = H) -> Array:
    """Overlap-add of the frames' tails, without any delay."""
    _, synthesis = windows(n, h)
    wave = np.zeros((len(spectra) + 1) * h)
    for t, spectrum in enumerate(spectra):
        wave[t * h : (t + 2) * h] += synthesis * np.fft.irfft(spectrum, n)[-2 * h :]
    return wave[h : h + samples]


def separate(weights: Mapping[str, NDArray[np.float32]], mix: Array) -> Array:
    """``(2, samples)`` to ``(4, 2, samples)``: vocals, drums, bass and what is left."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    left, right = analyse(mix[0]), analyse(mix[1])
    mid, side = (left + right) / 2, (left - right) / 2
    layers = sum(name.startswith("recur.weight_hh") for name in w)
    states = [np.zeros(w["leave.weight"].shape[0]) for _ in range(layers)]
    masked = np.zeros((3, 2, *mid.shape), complex)  # stem, mid or side, frame, bin
    for t in range(len(mid)):
        seen = (_features(mid[t], side[t]) - w["shift"]) * w["scale"]
        encoded = np.tanh(_standardise(w, "enter", w["encode.weight"] @ seen + w["encode.bias"]))
        hidden = encoded
        for i in range(layers):
            hidden = states[i] = _gru(w, i, hidden, states[i])
        out = w["decode.weight"] @ _standardise(w, "leave", hidden + encoded) + w["decode.bias"]
        masks = out.reshape(3, 2, 2, -1)
        for stem in range(3):
            for channel, spectrum in enumerate((mid[t], side[t])):
                real, imaginary = masks[stem, channel]
                masked[stem, channel, t] = _widen(real + 1j * imaginary) * spectrum
    stems = np.zeros((4, 2, mix.shape[1]))
    for stem in range(3):
        stems[stem, 0] = synthesise(masked[stem, 0] + masked[stem, 1], mix.shape[1])
        stems[stem, 1] = synthesise(masked[stem, 0] - masked[stem, 1], mix.shape[1])
    stems[3] = mix - stems[:3].sum(0)
    return stems


def _standardise(w: Mapping[str, Array], name: str, x: Array) -> Array:
    """By the statistics of training."""
    centred = (x - w[f"{name}.running_mean"]) / np.sqrt(w[f"{name}.running_var"] + 1e-5)
    return centred * w[f"{name}.weight"] + w[f"{name}.bias"]


def _gru(w: Mapping[str, Array], layer: int, x: Array, h: Array) -> Array:
    """Cho et al. 2014 in the form of cuDNN: the reset gate acts on the product."""
    i_r, i_z, i_n = np.split(w[f"recur.weight_ih_l{layer}"] @ x + w[f"recur.bias_ih_l{layer}"], 3)
    h_r, h_z, h_n = np.split(w[f"recur.weight_hh_l{layer}"] @ h + w[f"recur.bias_hh_l{layer}"], 3)
    r = 1 / (1 + np.exp(-(i_r + h_r)))
    z = 1 / (1 + np.exp(-(i_z + h_z)))
    return (1 - z) * np.tanh(i_n + r * h_n) + z * h


def _features(mid: Array, side: Array) -> Array:
    """Magnitudes of mid and side in 512 bands, then real and imaginary parts of the 256 lowest bins of each."""
    magnitudes = [np.maximum(_narrow(np.abs(x) ** 2), 1e-8) ** 0.25 for x in (mid, side)]
    fine = [p / np.sqrt(np.abs(x[:256]) + 1e-4) for x in (mid, side) for p in (x.real[:256], x.imag[:256])]
    return np.concatenate([*magnitudes, *fine])


def _narrow(power: Array) -> Array:
    """1025 bins to 512 bands of one, two and four bins."""
    pairs = (power[256:512:2] + power[257:512:2]) / 2
    fours = sum(power[512 + i : 1024 : 4] for i in range(4)) / 4
    return np.concatenate([power[:256], pairs, fours])


def _widen(bands: Array) -> Array:
    """512 bands to 1025 bins."""
    return np.concatenate([bands[:256], np.repeat(bands[256:384], 2), np.repeat(bands[384:], 4), bands[-1:]])
