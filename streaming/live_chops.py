"""Chops while audio plays: an onset is an event about 50 ms after it sounded.

::

    onset ──▶ half a window ──▶ context_frames ──▶ one frame ──▶ event
              frame is known    curve is known     peak is known

Runs in the engine's process after the separation of a block. Each stage keeps a fixed amount; a block allocates what
its few frames need and leaves nothing behind. Python promises no bound on a call's time; the work itself is one small
network run a frame (10 ms).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .curves import CurveStream
from .errors import ModelError
from .features import open_features
from .onsets import THRESHOLD, LivePicker
from .session import OnnxModel

KINDS = ("phrase", "downbeat", "beat")
"""What else an onset can be, the rarest first."""
_AROUND_FRAMES = 2
"""Before the onset; after it, what has come by then."""


class LiveChop(NamedTuple):
    """An event. ``position`` is the absolute sample of the input where it sounds, ``score`` the curve's height."""

    position: int
    score: float
    kind: str


class LiveChops:
    """A ``frame-hop`` model listening to a stream. ``prepare`` before ``process``. Raises `ModelError`."""

    def __init__(self, model: OnnxModel | Path, threshold: float = THRESHOLD) -> None:
        self._curves = CurveStream(model if isinstance(model, OnnxModel) else OnnxModel.open(model))
        names = self._curves.curves
        self._leads = "chop" if "chop" in names else "onset" if "onset" in names else names[0]
        self._lead = names.index(self._leads)
        self._others = [(kind, names.index(kind)) for kind in KINDS if kind in names and self._leads == "onset"]
        self._threshold = threshold

    def prepare(self, rate: int, channels: int) -> None:
        """Get ready for blocks ``(channels, n)`` at ``rate``. Raises `ModelError` where its frames do not fit."""
        if channels < 1:
            raise ModelError(f"{channels} channels, expected at least one")
        self._frames = open_features(self._curves.features, rate)
        self._picker = LivePicker(self._curves.features.frame_rate, self._threshold)
        recent = _AROUND_FRAMES + 1 + self._picker.delay_frames
        self._recent = np.zeros((recent, len(self._curves.curves)), np.float32)
        self.latency_samples = self._frames.delay_samples + self._frames.hop_samples * (
            self._curves.context_frames + self._picker.delay_frames + 1
        )
        self.reset()

    def reset(self) -> None:
        """Forget all that was heard."""
        self._frames.reset()
        self._curves.reset()
        self._picker.reset()
        self._recent.fill(0)
        self._next: int | None = None
        self._origin = 0
        self._skip = self._curves.context_frames

    def process(self, block: NDArray[np.float32], position: int) -> Sequence[LiveChop]:
        """The chops that a block ``(channels, n)`` completes. ``position`` is that of its first sample; where it does
        not follow on the last block's end, listening begins anew."""
        if position != self._next:
            self.reset()
            self._origin = position
        self._next = position + block.shape[1]
        chops = []
        for frame in self._frames.process(block.mean(axis=0, dtype=np.float32)):
            point = self._curves.push(frame)
            if self._skip:  # about frames before the first
                self._skip -= 1
                continue
            self._recent[:-1] = self._recent[1:]
            self._recent[-1] = point
            peak = self._picker.push(float(point[self._lead]))
            if peak is not None:
                at = max(0, round(peak.frame * self._frames.hop_samples))
                chops.append(LiveChop(self._origin + at, peak.strength, self._kind()))
        return chops

    def _kind(self) -> str:
        heights = self._recent.max(axis=0)
        return next((kind for kind, i in self._others if heights[i] >= self._threshold), self._leads)
