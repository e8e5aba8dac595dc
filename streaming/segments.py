"""Segments: short stretches of feature frames, what a network makes of them, and what it brings along.

A segment looks back only, so that files and live audio are heard by the very same network. Every ``step_frames`` a new
one is complete::

    frames   ├────────────────────────────────────────
    step 0   ▕▔▔▔▔▔▔▔▔▔▔▔▔▔▔▏
    step 1       ▕▔▔▔▔▔▔▔▔▔▔▔▔▔▔▏
    context  ════════════════════▶  running mean and spread of each band, up to the segment's end

The context is what the recording sounded like so far: the plain mean at first, forgotten slowly later. Silence is not
counted into it, so that a take which begins late is not compared with nothing.

A ``segments`` model brings three more tensors, constants of its graph: the ``memory`` of good audio ``(scales, M, D)``,
the ``weights`` that make one number of all evidence ``(2, 3 × scales + 2)``, and the ``calibration``, sorted numbers of
good audio that nothing learned from ``(2, C)``. The first row of those two holds live, the second for whole files.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError
from .features import Features
from .session import OnnxModel

MEMORY_S = 30.0
"""How far back the context reaches."""
SILENT = 0.1
"""Mean of a frame's bands under which it counts as silence."""
_BATCH = 64
"""Segments given to the network at once."""

Array = NDArray[np.float32]
Double = NDArray[np.float64]


class Segments(NamedTuple):
    """Segments ``(n, frames, bands)``, views where possible, and their contexts ``(n, 2, bands)``: mean, spread."""

    frames: Array
    context: Array


class Segmenter:
    """Frames to segments. Chunked equals one-shot."""

    def __init__(self, features: Features, segment_frames: int, step_frames: int) -> None:
        self._length, self._step, self._bands = segment_frames, step_frames, features.bands
        self._reach = MEMORY_S * features.frame_rate
        self.reset()

    def reset(self) -> None:
        self._frames = np.zeros((0, self._bands), np.float32)
        self._waiting = self._length
        """Frames until the next segment is complete."""
        self._heard = 0.0
        self._mean = np.zeros(self._bands)
        self._square = np.zeros(self._bands)

    def process(self, frames: Array) -> Segments:
        """The segments that ``frames (n, bands)`` complete."""
        kept = np.concatenate([self._frames, frames])
        count = 0 if len(kept) < self._length else (len(kept) - self._length) // self._step + 1
        contexts = np.zeros((count, 2, self._bands), np.float32)
        if count:
            first, last = self._length - self._waiting, self._length + (count - 1) * self._step
            starts = np.concatenate([[0], self._waiting + np.arange(count - 1) * self._step])
            for i, new in enumerate(zip(*_sums(kept[first:last], starts), strict=True)):
                self._hear(*new)
                contexts[i] = self._mean, np.sqrt(np.maximum(0, self._square - self._mean**2))
            self._waiting = self._step
            segments = np.lib.stride_tricks.sliding_window_view(kept, self._length, axis=0)[:: self._step][:count]
            segments = segments.transpose(0, 2, 1)
        else:
            segments = np.zeros((0, self._length, self._bands), np.float32)
        self._frames = kept[count * self._step :]
        return Segments(segments, contexts)

    def _hear(self, sounding: int, total: Double, squares: Double) -> None:
        if not sounding:
            return
        self._heard += sounding
        share = sounding / min(self._heard, self._reach)
        self._mean += share * (total / sounding - self._mean)
        self._square += share * (squares / sounding - self._square)


def _sums(frames: Array, starts: NDArray[np.int64]) -> tuple[NDArray[np.int64], Double, Double]:
    """Of the frames from each start to the next: how many sound, the sum of these, and that of their squares."""
    sounding = frames.mean(axis=1) > SILENT
    heard = np.where(sounding[:, None], frames, 0).astype(np.float64)
    count, total, squares = (np.add.reduceat(some, starts) for some in (sounding.astype(int), heard, heard**2))
    return count, total, squares


class SegmentNetwork:
    """A ``segments`` model. Raises `ModelError` for any other kind."""

    def __init__(self, model: OnnxModel) -> None:
        card = model.card
        if card.kind != "segments" or card.features is None:
            raise ModelError(f"{card.name} is of kind {card.kind} and flags nothing; a segments model does")
        self._model = model
        self.features, self.classes = card.features, card.classes
        self.step_frames, self.scales = card.step_frames, card.scales
        self.segment_frames = card.inputs[0].shape[1]
        self._inputs = [t.name for t in card.inputs]
        self._outputs = [t.name for t in card.outputs]
        nothing = [np.zeros(t.shape, np.float32) for t in card.inputs]
        constants = model.run_many(self._outputs[2:], dict(zip(self._inputs, nothing, strict=True)))
        self.memory, self.weights, self.calibration = constants
        self.width = self.memory.shape[2]
        self.steps_a_second = self.features.frame_rate / self.step_frames

    def segmenter(self) -> Segmenter:
        return Segmenter(self.features, self.segment_frames, self.step_frames)

    def run(self, segments: Segments) -> tuple[Array, Array]:
        """Embeddings ``(n, D)`` and class likelihoods ``(n, classes)``."""
        embeddings = [np.zeros((0, self.width), np.float32)]
        likely = [np.zeros((0, len(self.classes)), np.float32)]
        for i in range(0, len(segments.frames), _BATCH):
            both = [np.ascontiguousarray(part[i : i + _BATCH]) for part in segments]
            embedding, classes = self._model.run_many(self._outputs[:2], dict(zip(self._inputs, both, strict=True)))
            embeddings.append(embedding)
            likely.append(classes)
        return np.concatenate(embeddings), np.concatenate(likely)
