"""Flags while audio plays: the detectors of faults and the learned flagger side by side, one event a passage.

::

    hops ─▶ 0.1 s ─┬─▶ Faults ───────────────────────▶ faults ─┬─▶ flags
                   └─▶ Flagger ─▶ steps ─▶ FlagPicker ─▶ those no fault explains

Runs in the engine's process after the separation of a block. Audio is gathered first, since a call costs the same for
one hop as for ten, and then heard piece by piece, a detector or the network each block, so that none takes long. When a
flag is told (`LiveFlags.latency_samples`): a fault as soon as its detector is sure of its end, a learned flag half a
second after its passage; anything that lasts, after two seconds, with its end so far.

What the user said was fine lies in a file that the daemon writes (`read_fine`); it is read again when told to.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError
from .evidence import score_at
from .faults.faults import Faults
from .flag_picker import GAP_S, THRESHOLD, FlagPicker
from .flagger import LIVE, Flagger
from .flags import Flag
from .session import OnnxModel

GATHERED_S = 0.1
SHIPPED = 0.0
"""As a threshold: the model's own."""
EXPLAINED_S = 60.0
"""Faults are remembered for so long, to explain what the flagger hears of them."""


class LiveFlags:
    """A ``segments`` model and the detectors listening to a stream. ``prepare`` before ``process``.

    Raises:
        ModelError: the model is of another kind.
    """

    def __init__(self, model: OnnxModel | Path, threshold: float = SHIPPED) -> None:
        self._flagger = Flagger(model)
        self._faults = Faults(live=True)
        self._threshold = threshold

    def prepare(self, rate: int, channels: int) -> None:
        """Get ready for blocks ``(channels, n)`` at ``rate``. Raises `ModelError` where its frames do not fit."""
        if channels < 1:
            raise ModelError(f"{channels} channels, expected at least one")
        self._channels = channels
        self._flagger.prepare(rate, channels)
        self._faults.prepare(rate, min(channels, 2))
        self._picker = FlagPicker(self._flagger.step_samples, rate, live=True)
        self._gather = round(GATHERED_S * rate)
        self._memory = round(EXPLAINED_S * rate)
        self._reach = self._flagger.network.segment_frames * self._flagger.network.features.hop_at(rate)
        self.latency_samples = 2 * self._gather + max(
            self._faults.latency_samples,
            self._flagger.latency_samples + round(GAP_S * rate) + 2 * self._flagger.step_samples,
        )
        """From the end of a passage, or two seconds of it, until it is told, at the latest; blocks not counted."""
        self.threshold = self._threshold
        self.reset()

    @property
    def threshold(self) -> float:
        """A p-value: flag what is as odd as at most this share of good audio; 0 is the model's own threshold."""
        return self._threshold

    @threshold.setter
    def threshold(self, p_value: float) -> None:
        self._threshold = p_value
        calibration = self._flagger.network.calibration[LIVE]
        finest = 1 / (len(calibration) + 1)
        self._picker.threshold = score_at(max(p_value, finest), calibration) if p_value > SHIPPED else THRESHOLD

    def teach(self, fine: NDArray[np.float32]) -> None:
        """Have ``fine (n, D)`` be all that was learned as fine. Raises `ModelError` for embeddings of another model."""
        self._flagger.forget(len(self._flagger.fine))
        for embedding in fine:
            self._flagger.learn(embedding)

    def reset(self) -> None:
        """Forget all that was heard; what was learned as fine stays."""
        self._flagger.reset()
        self._faults.reset()
        self._picker.reset()
        self._waiting = np.zeros((self._channels, 0), np.float32)
        self._told: list[Flag] = []
        self._work: Iterator[list[Flag]] = iter(())
        self._next: int | None = None

    def process(self, block: NDArray[np.float32], position: int) -> list[Flag]:
        """The flags that are known with a block ``(channels, n)``. ``position`` is that of its first sample; where it
        does not follow on the last block's end, listening begins anew."""
        if position != self._next:
            self.reset()
        self._next = position + block.shape[1]
        self._waiting = np.concatenate([self._waiting, block], axis=1)
        flags: list[Flag] = []
        while self._waiting.shape[1] >= self._gather:
            for found in self._work:
                flags += found
            self._work = self._hear(self._waiting[:, : self._gather], self._next - self._waiting.shape[1])
            self._waiting = self._waiting[:, self._gather :]
        return flags + next(self._work, [])

    def _hear(self, audio: NDArray[np.float32], position: int) -> Iterator[list[Flag]]:
        """Piece by piece."""
        faults: list[Flag] = []
        for found in self._faults.steps(audio[:2], position):
            faults += found
            yield []
        if self._threshold > SHIPPED:
            faults = [fault for fault in faults if fault.p_value <= self._threshold]
        self._told = [flag for flag in self._told if flag.end > position - self._memory] + faults
        learned = self._picker.process(self._flagger.process(audio, position))
        yield faults + [flag for flag in learned if not self._explained(flag)]

    def _explained(self, flag: Flag) -> bool:
        """Whether it lies within a fault and what the flagger's segments hear around one."""
        return any(
            flag.start >= fault.start - self._reach and flag.end <= fault.end + self._reach for fault in self._told
        )


def read_fine(path: Path) -> NDArray[np.float32]:
    """The embeddings ``(n, D)`` of what was fine, as the bridge keeps them; none without a file that can be read."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            fine: NDArray[np.float32] = file["embeddings"].astype(np.float32)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return np.zeros((0, 0), np.float32)
    return fine
