"""The loss on waveforms: signal to error where the sound is there, what leaks where it is not.

Source: Wisdom et al., "What's all the fuss about free universal sound separation data?", ICASSP 2021 (the thresholds
keep easy examples from ruling, and a silent target has a loss at all).
"""

import torch
from torch import Tensor

CEILING = 1e-3
"""30 dB: what is separated better counts no more."""
QUIET = 3e-3
"""25 dB under the mix: an absent sound that is quieter counts no more."""
ABSENT = 0.15
"""Weight of an example with a silent target. With full weight silence for everything is a trap that training falls into
and never leaves: it wins 25 dB at once, and what is there has only a few dB to offer. A network that separates already
may go on with twice as much."""


def query_loss(estimate: Tensor, target: Tensor, mix: Tensor, present: Tensor, weight: float = ABSENT) -> Tensor:
    """Mean over a batch, dB.

    Args:
        estimate, target, mix: ``(B, ..., samples)``.
        present: ``(B,)`` bool; where it is False the target is silence.
        weight: of the latter.
    """
    error = (estimate - target).flatten(1).square().sum(-1)
    wanted = target.flatten(1).square().sum(-1)
    whole = mix.flatten(1).square().sum(-1) + 1e-7
    there = torch.log10((error + CEILING * wanted + 1e-7) / (wanted + 1e-7))
    absent = torch.log10((error + QUIET * whole) / whole)
    return 10 * torch.where(present, there, weight * absent).mean()
