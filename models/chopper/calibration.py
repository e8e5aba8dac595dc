"""Where the curves stand: each is raised or lowered so that the fixed thresholds of the decoders suit it best.

Weights on rare frames make a network say 0.4 where a phrase begins once in fifty times. A constant added to a curve's
logit undoes that, is part of the exported network, and is chosen on the validation songs alone. Beats and downbeats of
whole files are left as they are: their decoder weighs them against each other and has no threshold. Live, they are
thresholds on what stands near an onset, and are moved too.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from streaming.beats import NO_BEATS, Beats, decode_beats, pick_phrases
from streaming.features import MEL
from streaming.onsets import THRESHOLD, pick_onsets

from .dataset import Item, Times
from .network import Chopper
from .validation import WINDOW, f_measure, logits_of

SHIFTS = np.arange(-3, 3.01, 0.25)
AROUND = slice(-2, 2)
"""Frames round an onset in which live beats are looked for."""


class Heard(NamedTuple):
    """One song: its logits ``(T, curves)``, what is true, and its beats where the network is for files."""

    logits: NDArray[np.float32]
    truth: dict[str, Times]
    beats: Beats


def calibrate(network: Chopper, items: Sequence[Item]) -> list[float]:
    """What to add to the logits of each curve."""
    size = network.size
    songs = [_hear(network, item) for item in items]
    shifts = [0.0] * len(size.curves)
    for i, curve in enumerate(size.curves):
        found = _finder(network, i, shifts)
        known = [s for s in songs if curve in s.truth and len(s.truth[curve])]
        if found is None or not known:
            continue
        scores = [np.mean([f_measure(s.truth[curve], found(s, x), WINDOW[curve]) for s in known]) for x in SHIFTS]
        shifts[i] = float(SHIFTS[int(np.argmax(scores))])
    return shifts


def _hear(network: Chopper, item: Item) -> Heard:
    logits, curves = logits_of(network, item.frames[-1]), network.size.curves
    truth = {c: times for c in curves if (times := item.targets(c)) is not None}
    beats = NO_BEATS
    if not network.size.live and {"beat", "downbeat"} <= set(curves):
        pulse, bars = (_likely(logits[:, curves.index(c)]) for c in ("beat", "downbeat"))
        beats = decode_beats(pulse, bars, MEL.frame_rate)
    return Heard(logits, truth, beats)


def _finder(network: Chopper, i: int, shifts: Sequence[float]) -> Callable[[Heard, float], Times] | None:
    """How a curve is read, as a function of its shift; onsets come first and are fixed by then."""
    size, curve = network.size, network.size.curves[i]

    def peaks(song: Heard, shift: float) -> Times:
        return pick_onsets(_likely(song.logits[:, i] + shift), MEL.frame_rate, THRESHOLD).frames

    def phrases(song: Heard, shift: float) -> Times:
        return pick_phrases(_likely(song.logits[:, i] + shift), song.beats, MEL.frame_rate).frames

    def at_onsets(song: Heard, shift: float) -> Times:
        onset = size.curves.index("onset")
        frames = pick_onsets(_likely(song.logits[:, onset] + shifts[onset]), MEL.frame_rate, THRESHOLD).frames
        padded = np.pad(song.logits[:, i] + shift, 2, constant_values=-np.inf)
        at = np.rint(frames).astype(np.intp) + 2
        high = np.max([padded[at + step] for step in range(AROUND.start, AROUND.stop)], axis=0, initial=-np.inf)
        return frames[_likely(high) >= THRESHOLD]

    if curve in ("onset", "chop"):
        return peaks
    if size.live:
        return at_onsets if "onset" in size.curves else None
    return phrases if curve == "phrase" else None


def _likely(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    curve: NDArray[np.float32] = torch.sigmoid(torch.from_numpy(np.ascontiguousarray(logits))).numpy()
    return curve
