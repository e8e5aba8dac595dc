"""Stateful networks that take and give samples hop by hop (``wave-hop``): RNNoise and its like.

The first input ends with the new hop. One that is longer than a hop holds what came before it too (an analysis window,
the 64 samples of context that some voice detectors want), so one rule serves all::

    input   (…, P)   | ... the last P - H samples | the new hop |
    output  (…, H)                                | a hop, late by the card's latency |
"""

import numpy as np
from numpy.typing import NDArray

from .card import ModelCard
from .errors import CardError
from .session import OnnxModel


class WaveHopSeparator:
    """The hop processor of ``wave-hop`` models: realtime-safe as numpy and onnxruntime are.

    A stereo session with a mono network runs it once a channel, each with states of its own; a mono session gives a
    stereo network the same on both sides and takes the mean.

    Raises:
        CardError: the card's shapes cannot hold the hop and channels that it names.
    """

    max_hops = 1

    def __init__(self, model: OnnxModel, channels: int) -> None:
        card = model.card
        check_shapes(card)
        self.hop_samples = card.hop_samples
        self.delay_samples = card.latency_samples - card.hop_samples
        self.stems, self.residual = card.stems, card.residual
        lanes = channels if card.channels == 1 else 1
        self._models = [model] + [model.twin() for _ in range(lanes - 1)]
        stems = (len(card.stems), card.channels, card.hop_samples)
        self._inputs = [m.input.reshape(card.channels, -1) for m in self._models]
        self._outputs = [m.output.reshape(stems) for m in self._models]
        self._mono = channels < card.channels
        self._stems: NDArray[np.float32] = np.zeros((len(card.stems), channels, card.hop_samples), np.float32)

    def process_hops(self, mix: NDArray[np.float32]) -> NDArray[np.float32]:
        """One hop ``(channels, H)`` to ``(stems, channels, H)``, a view that is valid until the next call."""
        hop = self.hop_samples
        for lane, (model, heard, stems) in enumerate(zip(self._models, self._inputs, self._outputs, strict=True)):
            heard[:, :-hop] = heard[:, hop:]
            heard[:, -hop:] = mix if len(self._models) == 1 else mix[lane]
            model.run()
            if self._mono:
                np.mean(stems, axis=1, keepdims=True, out=self._stems)
            elif len(self._models) == 1:
                self._stems[:] = stems
            else:
                self._stems[:, lane] = stems[:, 0]
        return self._stems

    def reset(self) -> None:
        for model in self._models:
            model.reset()
            model.input.fill(0.0)


def check_shapes(card: ModelCard) -> None:
    """Hold hop, channels and stems against the first tensors. Raises `CardError`."""
    shape, wanted = card.inputs[0].shape, card.outputs[0].shape
    if shape[-1] < card.hop_samples or np.prod(shape[:-1]) != card.channels:
        raise CardError(
            "inputs[0].shape", f"is {shape}, expected {card.channels} channel(s) of at least {card.hop_samples} samples"
        )
    count = len(card.stems) * card.channels
    if wanted[-1] != card.hop_samples or np.prod(wanted[:-1]) != count:
        raise CardError(
            "outputs[0].shape",
            f"is {wanted}, expected {count} signals (stems x channels) of {card.hop_samples} samples",
        )
    if card.latency_samples < card.hop_samples:
        raise CardError("latency_samples", f"is {card.latency_samples}, less than the hop of {card.hop_samples}")
