"""A quick look at how a run is doing: F of plain peaks on the validation songs, without decoders or audio.

What is reported of a finished network is `evaluation`, which uses what users use.
"""

from collections.abc import Sequence

import mir_eval
import numpy as np
import torch
from numpy.typing import NDArray

from .dataset import Item, Times
from .network import Chopper

WINDOW = {"onset": 2.5, "beat": 7.0, "downbeat": 7.0, "phrase": 7.0, "chop": 5.0}
"""Frames that a peak may be off."""


def logits_of(network: Chopper, features: NDArray[np.floating]) -> NDArray[np.float32]:
    """``(T, bands)`` to ``(T, curves)``, a live network's delay taken away."""
    delay = network.size.delay
    padded = np.pad(features.astype(np.float32), ((0, delay), (0, 0)))
    with torch.no_grad():
        logits: NDArray[np.float32] = network(torch.from_numpy(padded)[None])[0, delay:].numpy()
    return logits


def curves_of(network: Chopper, features: NDArray[np.floating]) -> NDArray[np.float32]:
    """The same from 0 to 1."""
    curves: NDArray[np.float32] = torch.from_numpy(logits_of(network, features)).sigmoid().numpy()
    return curves


def validate(network: Chopper, items: Sequence[Item]) -> dict[str, float]:
    """F of every curve in the mix (``onset_drums``: of onsets in the drums alone), averaged over songs."""
    network.eval()
    scores: dict[str, list[float]] = {}
    for item in items:
        mix = curves_of(network, item.frames[-1])
        for i, curve in enumerate(network.size.curves):
            score(scores, curve, item.targets(curve), mix[:, i], curve)
        if len(item.onsets) > 1 and item.onsets[1] is not None and "onset" in network.size.curves:
            drums = curves_of(network, item.frames[1])[:, network.size.curves.index("onset")]
            score(scores, "onset_drums", item.onsets[1], drums, "onset")
    network.train()
    return {name: float(np.mean(values)) for name, values in scores.items()}


def score(
    scores: dict[str, list[float]], name: str, truth: Times | None, curve: NDArray[np.float32], kind: str
) -> None:
    if truth is not None and len(truth):
        scores.setdefault(name, []).append(f_measure(truth, peaks(curve, WINDOW[kind]), WINDOW[kind]))


def peaks(curve: NDArray[np.float32], apart: float, threshold: float = 0.5) -> Times:
    """Frames that are the greatest of their surroundings."""
    reach = int(apart)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(curve, reach), 2 * reach + 1).max(1)
    return np.flatnonzero((curve >= around) & (curve > threshold)).astype(np.float64)


def f_measure(truth: Times, found: Times, window: float) -> float:
    """Of the best matching of one to one."""
    if not len(found):
        return 0.0
    hits = len(mir_eval.util.match_events(truth, found, window))
    return 2 * hits / (len(truth) + len(found))
