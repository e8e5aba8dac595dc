"""Curves over time from feature frames: the networks of kind ``frames`` and ``frame-hop`` behind one small interface.

A curve holds for every frame how likely something begins there (an onset, a beat, a downbeat, a phrase, a chop), 0 to
1. `CurveNetwork` reads a whole file in pieces that overlap by the network's context, so that no seam shows and memory
stays the same::

    piece 1  ├────────── kept ──────────┤ context ┤
    piece 2                   ├ context ├────────── kept ──────────┤ context ┤
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError
from .features import Features
from .session import OnnxModel

PIECE_FRAMES = 6000
"""Frames given to a network at once, a minute of ours."""


class CurveNetwork:
    """A ``frames`` model. Raises `ModelError` for any other kind.

    Args:
        piece_frames: how many frames are final with every run; their context is given with them.
    """

    def __init__(self, model: OnnxModel, piece_frames: int = PIECE_FRAMES) -> None:
        self._model = model
        self._piece_frames = piece_frames
        self.features, self.curves = features_of(model, "frames"), model.card.curves
        self._context = model.card.context_frames
        self.reset()

    def reset(self) -> None:
        self._frames = np.zeros((0, self.features.bands), np.float32)
        self._before = 0

    def process(self, frames: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Frames ``(T, bands)`` to the curves ``(t, curves)`` that are final by now; the rest comes with `flush`."""
        self._frames = np.concatenate([self._frames, frames])
        while len(self._frames) >= self._before + self._piece_frames + self._context:
            yield self._piece(self._piece_frames)

    def flush(self) -> Iterator[NDArray[np.float32]]:
        """What is left. Then `reset`."""
        left = len(self._frames) - self._before
        if left:
            yield self._piece(left)
        self.reset()

    def _piece(self, count: int) -> NDArray[np.float32]:
        before, end = self._before, self._before + count
        curves = self._model.run_frames(self._frames[: end + self._context])[before:end]
        self._before = min(self._context, end)
        self._frames = self._frames[end - self._before :]
        return curves

    def run(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """All of it at once: ``(T, bands)`` to ``(T, curves)``."""
        self.reset()
        pieces = [*self.process(frames), *self.flush()]
        return np.concatenate(pieces) if pieces else np.zeros((0, len(self.curves)), np.float32)


class CurveStream:
    """A ``frame-hop`` model: what it says with a frame is about the moment ``context_frames`` earlier.

    Raises `ModelError` for any other kind.
    """

    def __init__(self, model: OnnxModel) -> None:
        self._model = model
        self.features, self.curves = features_of(model, "frame-hop"), model.card.curves
        self.context_frames = model.card.context_frames

    def push(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        """One frame ``(bands,)`` to ``(curves,)``: a view, valid until the next call."""
        self._model.input[0, 0] = frame
        self._model.run()
        point: NDArray[np.float32] = self._model.output[0, 0]
        return point

    def reset(self) -> None:
        self._model.reset()


def features_of(model: OnnxModel, kind: str) -> Features:
    """What a model of this kind hears. Raises `ModelError` when it is of another."""
    card = model.card
    if card.kind != kind or card.features is None:
        raise ModelError(f"{card.name} is of kind {card.kind} and marks nothing over time; a {kind} model does")
    return card.features
