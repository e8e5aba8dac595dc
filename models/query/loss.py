"""The loss on waveforms: signal to error where the sound is there, what leaks where it is not.

Half of it does not mind the level. The plain ratio alone mutes whatever it is unsure of, which costs 0 dB, and leaves
less of the wanted sound than of what leaks; the other half keeps the better part of what little is left.

Source: Wisdom et al., "What's all the fuss about free universal sound separation data?", ICASSP 2021 (the thresholds
keep easy examples from ruling, and a silent target has a loss at all).
"""

import torch
from torch import Tensor

CEILING = 1e-3
"""30 dB: what is separated better counts no more."""
UNHEARD = 1e-4
"""40 dB under the mix: what an output holds below that is not asked for its shape."""
QUIET = 3e-3
"""25 dB under the mix: an absent sound that is quieter counts no more."""
ABSENT = 0.5
"""Weight of an example with a silent target, at the end of a training. With full weight from the start silence for
everything is a trap that training falls into and never leaves: it wins 25 dB at once, and what is there has only a few
dB to offer."""


def query_loss(estimate: Tensor, target: Tensor, mix: Tensor, present: Tensor, weight: float = ABSENT) -> Tensor:
    """Mean over a batch, dB.

    Args:
        estimate, target, mix: ``(B, ..., samples)``.
        present: ``(B,)`` bool; where it is False the target is silence.
        weight: of the latter.
    """
    estimate, target = estimate.flatten(1), target.flatten(1)
    error = (estimate - target).square().sum(-1)
    wanted = target.square().sum(-1) + 1e-7
    whole = mix.flatten(1).square().sum(-1) + 1e-7
    kept = (estimate * target).sum(-1).square() / wanted
    beside = (estimate.square().sum(-1) - kept).clamp_min(0)
    ratio = torch.log10(error / wanted + CEILING)
    shape = torch.log10((beside + CEILING * kept + UNHEARD * whole) / (kept + UNHEARD * whole))
    absent = torch.log10(error / whole + QUIET)
    return 10 * torch.where(present, (ratio + shape) / 2, weight * absent).mean()
