"""The loss on waveforms: what the ear gets, through the very transform that the engine uses."""

import torch
from torch import Tensor

SILENCE = 0.3
"""Share of the mix that is added to a stem's own level below the line, so that silent stems count too: a leak into
them at a third of the mix costs as much as missing a stem altogether. With much less, silent stems drown the rest."""


def separation_loss(estimates: Tensor, stems: Tensor) -> Tensor:
    """Relative RMS plus half the normalised L1, averaged over the stems and the residual.

    L1 alone, or with the greater weight, teaches estimates that are too quiet.

    Args:
        estimates: ``(batch, S, 2, samples)``.
        stems: ``(batch, S + 1, 2, samples)``, the residual last; their sum is the mix.
    """
    error = estimates - stems[:, :-1]
    error = torch.cat([error, -error.sum(1, keepdim=True)], dim=1)  # the residual is what the others leave
    mix = stems.sum(1, keepdim=True)

    def level(wave: Tensor) -> Tensor:
        return wave.abs().mean((-1, -2))

    def rms(wave: Tensor) -> Tensor:
        return (wave.square().mean((-1, -2)) + 1e-12).sqrt()

    absolute = level(error) / (level(stems) + SILENCE * level(mix) + 1e-6)
    relative = rms(error) / (rms(stems) + SILENCE * rms(mix) + 1e-6)
    return (relative + 0.5 * absolute).mean()
