"""From masks to waveforms: the step that training spends most of its memory traffic on, so its gradient is by hand.

Autograd would keep a full-length frame for every stem, channel and hop of which only the last M samples count.
The two linear maps here and their adjoints touch each spectrum once.
"""

from typing import Any

import torch
from torch import Tensor

from .network import BAND_GROUPS, BANDS, Separator
from .stft import Stft


def separate(network: Separator, stft: Stft, mix: Tensor, first: int = 0) -> Tensor:
    """Waves to waves, ``(batch, 2, samples)`` to ``(batch, 3, 2, samples less a hop)``, left and right.

    The first ``first`` hops are heard, but left out of the result.
    """
    with torch.no_grad():
        spectra = to_mid_side(stft, mix)
        planar = to_planar(spectra)
    mid, side = masked_waves(network(planar, first).float(), spectra[:, first:], stft).unbind(2)
    return torch.stack([mid + side, mid - side], dim=2)


def to_mid_side(stft: Stft, mix: Tensor) -> Tensor:
    """Left and right ``(batch, 2, samples)`` to complex mid and side ``(batch, frames, 2, bins)``."""
    return stft.analyse(mid_and_side(mix)).transpose(1, 2)


def mid_and_side(left_right: Tensor) -> Tensor:
    """``(batch, 2, ...)``, of waves or of spectra."""
    left, right = left_right.unbind(1)
    return torch.stack([left + right, left - right], dim=1) * 0.5


def to_planar(spectra: Tensor) -> Tensor:
    """Complex ``(..., bins)`` to real and imaginary rows ``(..., 2, bins)``."""
    return torch.stack([spectra.real, spectra.imag], dim=-2)


def masked_waves(masks: Tensor, mixture: Tensor, stft: Stft) -> Tensor:
    """The stems as sound.

    Args:
        masks: planar ``(batch, frames, 3, 2, 2, BANDS)``.
        mixture: complex ``(batch, frames, 2, bins)``; no gradient flows to it.

    Returns:
        ``(batch, 3, 2, (frames - 1) * hop_samples)``, still mid and side.
    """
    waves: Tensor = _MaskedWaves.apply(masks, mixture, stft)  # type: ignore[no-untyped-call]
    return waves


class _MaskedWaves(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, masks: Tensor, mixture: Tensor, stft: Stft) -> Tensor:
        ctx.save_for_backward(mixture)
        ctx.stft = stft
        return stft.synthesise(spread(masks, mixture).permute(0, 2, 3, 1, 4))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (mixture,) = ctx.saved_tensors
        spectra = ctx.stft.synthesise_adjoint(gradients[0]).permute(0, 3, 1, 2, 4)  # (batch, frames, 3, 2, bins)
        return gather(spectra, mixture), None, None


def spread(masks: Tensor, mixture: Tensor) -> Tensor:
    """Multiply each band's mask into its bins: complex ``(batch, frames, 3, 2, bins)``."""
    mask = torch.complex(masks[..., 0, :], masks[..., 1, :])
    mixture = mixture.unsqueeze(-3)
    spectra = mixture.new_empty((*mask.shape[:-1], mixture.shape[-1]))
    band = 0
    for start, end, width in BAND_GROUPS:
        count = (end - start) // width
        bins = mixture[..., start:end].unflatten(-1, (count, width))
        torch.mul(bins, mask[..., band : band + count, None], out=spectra[..., start:end].unflatten(-1, (count, width)))
        band += count
    torch.mul(mixture[..., -1], mask[..., -1], out=spectra[..., -1])
    return spectra


def gather(spectra: Tensor, mixture: Tensor) -> Tensor:
    """The adjoint of `spread` with respect to the masks. Overwrites ``spectra``."""
    spectra.mul_(mixture.conj().unsqueeze(-3))
    mask = spectra.new_empty((*spectra.shape[:-1], BANDS))
    band = 0
    for start, end, width in BAND_GROUPS:
        count = (end - start) // width
        torch.sum(spectra[..., start:end].unflatten(-1, (count, width)), -1, out=mask[..., band : band + count])
        band += count
    mask[..., -1] += spectra[..., -1]
    return torch.stack([mask.real, mask.imag], dim=-2)
