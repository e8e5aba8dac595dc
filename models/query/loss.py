"""The loss, from energies: signal to error where the sound is there, what leaks where it is not.

Half of it does not mind the level. The plain ratio alone mutes whatever it is unsure of, which costs 0 dB, and leaves
less of the wanted sound than of what leaks; the other half keeps the better part of what little is left.

Source: Wisdom et al., "What's all the fuss about free universal sound separation data?", ICASSP 2021 (the thresholds
keep easy examples from ruling, and a silent target has a loss at all).
"""

import torch
from torch import Tensor

EVENLY = 0.5
"""Share of the loss of what is heard that does not mind the level."""
CEILING = 1e-3
"""30 dB: what is separated better counts no more."""
UNHEARD = 1e-4
"""40 dB under the mix: what an output holds below that is not asked for its shape."""
QUIET = 3e-3
"""25 dB under the mix: an absent sound that is quieter counts no more in a training."""


def heard_loss(kept: Tensor, common: Tensor, wanted: Tensor, whole: Tensor, of_shape: float = EVENLY) -> Tensor:
    """dB of each output whose sound is there, from energies ``(B,)``: of the output, of what it has in common with the
    sound (their product), of the sound, and of the mix. The share ``of_shape`` does not mind the level."""
    wanted, whole = wanted + 1e-7, whole + 1e-7
    error = (kept - 2 * common + wanted).clamp_min(0)
    along = common.square() / wanted
    beside = (kept - along).clamp_min(0)
    ratio = torch.log10(error / wanted + CEILING)
    shape = torch.log10((beside + CEILING * along + UNHEARD * whole) / (along + UNHEARD * whole))
    return 10 * torch.lerp(ratio, shape, of_shape)


def leak_loss(kept: Tensor, whole: Tensor, quiet: float = QUIET) -> Tensor:
    """dB of each output whose sound is not there; below ``quiet`` of the mix it is all the same.

    With full weight from the start silence for everything is a trap that training falls into and never leaves: it wins
    25 dB at once, and what is there has only a few dB to offer.
    """
    return 10 * torch.log10(kept / (whole + 1e-7) + quiet)
