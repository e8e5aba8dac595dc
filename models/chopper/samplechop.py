"""sampleChop's networks: what a producer's own chopper heard in 2017, kept as the baseline that ours must beat.

The network that it shipped hears one number a frame, the sum of a CQT over its bins, and decides from 61 of them,
brought to mean 0 and deviation 1::

    48 bins ─► sum ─► 30 frames before, this one, 30 after ─► standardise ─► 32 ─► 16 ─► 8 ─► 4 ─► 1

The one that it gave up first hears every bin and six of the tonnetz, standardised over the song (here over the 61
frames round each, so that files of any length cost the same), through convolutions whose sizes nobody wrote down;
these are ours::

    61 frames × 54 ─► conv 5×3 ─► max 3×4 ─► conv 3×3 ─► 32 ─► 1

Here a network gives several curves, since what a producer cuts (``chop``) is compared with onsets, downbeats and
phrases: the MLP is one whole MLP for each.

Source: https://github.com/joerenner/sampleChop (its README and its scripts).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CURVES = ("onset", "downbeat", "phrase", "chop")
CONTEXT = 30
"""Frames that a decision hangs on, to either side."""

WINDOW = 2 * CONTEXT + 1
HIDDEN = (32, 16, 8, 4)
NEVER = -20.0
"""The logit of silence, which has no deviation to divide by: sampleChop passed such data points over."""

_SMALL = 1e-3
"""Least deviation to divide by. A full-scale sine is 1 to 5: below this, all is silence and shall stay small."""


@dataclass(frozen=True)
class Kind:
    """Which of the two, whether it hears the tonnetz, and the curves that it gives."""

    network: Literal["mlp", "conv"] = "mlp"
    tonnetz: bool = False
    curves: tuple[str, ...] = CURVES


class SampleChop(nn.Module):
    """The MLP: ``(batch, frames, 48)`` to logits ``(batch, frames, curves)``. Before and after all is silence."""

    window: Tensor

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        self.context = CONTEXT * (2 if kind.tonnetz else 1)
        count, widths = len(kind.curves), (WINDOW, *HIDDEN, 1)
        self.layers = nn.ModuleList(nn.Conv1d(a * count, b * count, 1, groups=count) for a, b in pairwise(widths))
        self.register_buffer("window", torch.eye(WINDOW)[:, None], persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        frames = F.pad(frames, (0, 0, self.context, self.context))
        if self.kind.tonnetz:
            frames = with_tonnetz(frames)
        sums = frames.sum(-1)[:, None]  # (batch, 1, frames)
        points = F.conv1d(sums, self.window)  # (batch, 61, frames)
        x = points - points.mean(1, keepdim=True)
        spread = x.square().mean(1, keepdim=True).sqrt()
        x = x / spread.clamp_min(_SMALL)
        x = x.repeat(1, len(self.kind.curves), 1)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        logits: Tensor = torch.where(spread > _SMALL, self.layers[-1](x), NEVER).transpose(1, 2)
        return logits


class SampleChopConv(nn.Module):
    """The convolutional one, with the same face. Pooling leaves every frame: what follows is dilated instead."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        self.context = CONTEXT * (3 if kind.tonnetz else 2)
        bins = (48 + (6 if kind.tonnetz else 0) - 2) // 4 - 2
        self.attack = nn.Conv2d(1, 8, (5, 3))
        self.middle = nn.Conv2d(8, 16, 3, dilation=(3, 1))
        self.join = nn.Conv2d(16, 32, (17, bins), dilation=(3, 1))  # 5 + 2 + 2 * 3 + 16 * 3 = 61 frames in all
        self.decide = nn.Conv1d(32, len(kind.curves), 1)

    def forward(self, frames: Tensor) -> Tensor:
        frames = F.pad(frames, (0, 0, self.context, self.context))
        if self.kind.tonnetz:
            frames = with_tonnetz(frames)
        heard = around(around(frames.mean(-1)))[:, None] > _SMALL
        x = standardise(frames)[:, None]  # (batch, 1, frames, bins)
        x = F.max_pool2d(F.relu(self.attack(x)), (3, 4), stride=(1, 4))
        x = F.relu(self.join(F.relu(self.middle(x))))[..., 0]
        logits: Tensor = torch.where(heard, self.decide(x), NEVER).transpose(1, 2)
        return logits


def build(kind: Kind) -> SampleChop | SampleChopConv:
    """A fresh network."""
    return SampleChop(kind) if kind.network == "mlp" else SampleChopConv(kind)


def standardise(frames: Tensor) -> Tensor:
    """Mean 0 and deviation 1 over all bins of the 61 frames round each; takes `CONTEXT` frames off either end."""
    mean = around(frames.mean(-1))
    spread = (around(frames.square().mean(-1)) - mean.square()).clamp_min(_SMALL**2).sqrt()
    return (frames[:, CONTEXT:-CONTEXT] - mean[..., None]) / spread[..., None]


def around(values: Tensor) -> Tensor:
    """The mean of the 61 values round each: ``(batch, n)`` to ``(batch, n - 60)``."""
    return F.avg_pool1d(values[:, None], WINDOW, 1)[:, 0]


def with_tonnetz(frames: Tensor) -> Tensor:
    """Append where the chord lies on the circles of fifths, minor and major thirds, as six numbers: negative ones are
    dropped and the rest brought to the mean of the CQT nearby. Takes `CONTEXT` frames off either end.

    Source: Harte, Sandler and Gasser, "Detecting harmonic change in musical audio", 2006.
    """
    chroma = frames.unflatten(-1, (-1, 12)).sum(-2)  # from F upwards
    chroma = chroma / chroma.sum(-1, keepdim=True).clamp_min(_SMALL)
    pitches = (torch.arange(12, device=frames.device) + 5) % 12
    steps = torch.tensor([7 / 6, 7 / 6, 3 / 2, 3 / 2, 2 / 3, 2 / 3], device=frames.device)
    turned = torch.tensor([0.5, 0.0] * 3, device=frames.device)
    radii = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.5, 0.5], device=frames.device)
    circles = radii * torch.cos(torch.pi * (pitches[:, None] * steps - turned))  # (12, 6)
    tonnetz = F.relu(chroma @ circles)
    level = around(frames.mean(-1)) / around(tonnetz.mean(-1)).clamp_min(_SMALL)
    kept = slice(CONTEXT, -CONTEXT)
    return torch.cat([frames[:, kept], tonnetz[:, kept] * level[..., None]], dim=-1)
