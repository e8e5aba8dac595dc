"""The network of live4: a recurrent mask estimator over single low-latency STFT frames.

::

    spectrum (L, R) -> mid, side -> Re, Im (low bins) and magnitudes (bands), square-root compressed
      -> Linear -> BatchNorm, tanh -> GRU -> GRU -> + skip -> BatchNorm -> Linear
      -> a complex mask for each of 3 stems, mid and side, each band -> masked spectra

MACs are not latency: a few large products run faster than many small ones, so there is no convolution and no
attention. A band is one bin up to 5.5 kHz, two up to 11 kHz and four above, which halves the two big Linears.
The masks are linear (no sigmoid): one that may exceed 1 or turn the phase has a far higher ceiling.
They act on mid and side, because what is panned to the centre (most voices, basses and kicks) is then cut from the
side altogether, which a mask per left and right channel cannot do.

Spectra are planar here, real and imaginary parts as rows ``(..., 2, bins)``: pairs cost the exported graph three
times as much in its elementwise part.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .recurrence import run_gru

STEMS = ("vocals", "drums", "bass")
"""What the network puts out, in order; `other` is what is left of the mix."""

CHANNELS = 2
BAND_GROUPS = ((0, 256, 1), (256, 512, 2), (512, 1024, 4))
"""(first bin, end bin, bins a band)."""

BANDS = sum((end - start) // width for start, end, width in BAND_GROUPS)
FINE_BINS = 256
"""The lowest bins, whose real and imaginary parts the network sees too."""
FEATURES = CHANNELS * BANDS + 2 * CHANNELS * FINE_BINS
MASKS = len(STEMS) * CHANNELS * 2 * BANDS


@dataclass(frozen=True)
class Size:
    """What a checkpoint must say for its network to be built again."""

    width: int = 384
    """Keeps the int8 weights at 5 MB. A hop comes every 5.8 ms and finds what is larger gone from a shared cache: width
    512 takes half a millisecond in a tight loop and more than twice that in a live session."""
    layers: int = 2


def band_of_bin() -> list[int]:
    """The band of each of the 1025 bins; the Nyquist bin goes with the last band."""
    bands: list[int] = []
    for start, end, width in BAND_GROUPS:
        first = bands[-1] + 1 if bands else 0
        bands += [first + (at - start) // width for at in range(start, end)]
    return [*bands, bands[-1]]


def band_means(power: Tensor) -> Tensor:
    """``(..., bins)`` to ``(..., BANDS)``: the mean over each band."""
    parts = [power[..., a:b].unflatten(-1, (-1, w)).mean(-1) if w > 1 else power[..., a:b] for a, b, w in BAND_GROUPS]
    return torch.cat(parts, dim=-1)


def features(mid_side: Tensor) -> Tensor:
    """Planar mid and side ``(..., 2, 2, bins)`` to ``(..., FEATURES)``."""
    power = mid_side.square().sum(-2)  # (..., 2, bins)
    # A floor, not an added constant: onnxruntime takes the addition of so small a number for nothing and drops it.
    magnitudes = band_means(power).clamp_min(1e-8).sqrt().sqrt()
    low = power[..., None, :FINE_BINS].sqrt()
    fine = mid_side[..., :FINE_BINS] / (low + 1e-4).sqrt()
    return torch.cat([magnitudes.flatten(-2), fine.flatten(-3)], dim=-1)


class Separator(nn.Module):
    """Masks for whole sequences of frames, from zero state."""

    shift: Tensor
    scale: Tensor

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("shift", torch.zeros(FEATURES))
        self.register_buffer("scale", torch.ones(FEATURES))
        self.encode = nn.Linear(FEATURES, size.width)
        # BatchNorms, because export folds them into the Linears beside them.
        self.enter = nn.BatchNorm1d(size.width, momentum=0.02)
        self.recur = nn.GRU(size.width, size.width, size.layers, batch_first=True)
        self.leave = nn.BatchNorm1d(size.width, momentum=0.02)
        self.decode = nn.Linear(size.width, MASKS)
        with torch.no_grad():  # every stem starts as a quarter of the mix
            self.decode.bias.view(-1, 2, BANDS)[:, 0] = 0.25

    def standardise(self, mid_side: Tensor) -> None:
        """Centre the features on a batch and give each the same weight, so that quiet high bands are heard at once."""
        seen = features(mid_side).flatten(0, -2)
        self.shift.copy_(seen.mean(0))
        self.scale.copy_(1 / (seen.std(0) + 0.02 * seen.std()))

    def forward(self, mid_side: Tensor, first: int = 0) -> Tensor:
        """Planar ``(batch, frames, 2, 2, bins)`` to masks ``(batch, frames - first, 3, 2, 2, BANDS)``, planar too."""
        encoded = self.encode((features(mid_side) - self.shift) * self.scale)
        encoded = self.enter(encoded.flatten(0, 1)).view_as(encoded).tanh()
        hidden = run_gru(self.recur, encoded)
        hidden = (hidden + encoded)[:, first:]
        masks: Tensor = self.decode(self.leave(hidden.flatten(0, 1)).view_as(hidden))
        return masks.view(*masks.shape[:-1], len(STEMS), CHANNELS, 2, BANDS)
