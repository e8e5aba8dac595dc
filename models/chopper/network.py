"""The chopper's network: from log-mel frames to curves of how likely something begins, for files and for live.

::

    64 bands ─► 24 convs of 5 bands × 3 frames, every third band ─► 32 of 3 bands, every third ─► width, over all 7
      ─► gated residual blocks, dilation 1, 2, 4 … 512 ─► ReLU ─► Linear ─► onset, beat, downbeat, phrase
    block: x + Linear(a · sigmoid(b)),   a, b = conv of 3 frames, ``dilation`` apart

Two networks of one shape. For files every convolution is centred, and a curve hangs on `Size.radius` frames to either
side: ten seconds, enough to hear the bars before and after a phrase begins. Live, every convolution looks back only,
and what the network says with frame t is about frame t - `LIVE_DELAY`: one frame more makes an attack visible whole.

Silence is 0 in the features, and so is what every convolution finds beyond the ends: a file begins in silence.
Bands are thinned by stride, not by maxima: these took a quarter of a training step. There is no norm to fold away, so
that an ONNX file holds the very weights that were trained.

Source of the gates: Dauphin et al., Language Modeling with Gated Convolutional Networks, ICML 2017; of such networks
for beats: Davies and Böck, EUSIPCO 2019.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CURVES = ("onset", "beat", "downbeat", "phrase")
CHOP = "chop"
"""The fifth curve, of a network that learned a user's own chops."""

LIVE_DELAY = 1
"""Frames after a moment that the live network hears before it speaks of it."""

KERNEL = 3
SCALE = 0.25
"""Brings the features (0 to 7) near one."""


@dataclass(frozen=True)
class Size:
    """What a checkpoint must say for its network to be built again."""

    width: int = 64
    blocks: int = 10
    live: bool = False
    curves: tuple[str, ...] = CURVES

    @property
    def dilations(self) -> tuple[int, ...]:
        return tuple(2**i for i in range(self.blocks))

    @property
    def radius(self) -> int:
        """Frames to either side that a curve hangs on (for files)."""
        return 1 + sum(self.dilations)

    @property
    def delay(self) -> int:
        """Frames that the network hears after a moment before it speaks of it, beyond what its convolutions pad."""
        return LIVE_DELAY if self.live else 0


class TimeConv(nn.Module):
    """A convolution of three frames that keeps their number: centred, or over the past alone."""

    def __init__(self, inward: int, outward: int, dilation: int, live: bool) -> None:
        super().__init__()
        self.dilation, self.live = dilation, live
        self.conv = nn.Conv1d(inward, outward, KERNEL, dilation=dilation, padding=0 if live else dilation)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, ((KERNEL - 1) * self.dilation, 0)) if self.live else x)
        return out


class Block(nn.Module):
    """Gated, dilated, residual."""

    def __init__(self, width: int, dilation: int, live: bool) -> None:
        super().__init__()
        self.conv = TimeConv(width, 2 * width, dilation, live)
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.mix(gate(self.conv(x)))
        return out


def gate(x: Tensor) -> Tensor:
    """Half of the channels let the other half through."""
    a, b = x.chunk(2, dim=1)
    return a * torch.sigmoid(b)


class Chopper(nn.Module):
    """Curves of whole sequences, as logits."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.attack = nn.Conv2d(1, 24, (5, KERNEL), stride=(3, 1), padding=(1, 0))
        self.bands = nn.Conv2d(24, 32, (3, 1), stride=(3, 1))
        self.join = nn.Conv2d(32, size.width, (7, 1))
        self.blocks = nn.ModuleList(Block(size.width, d, size.live) for d in size.dilations)
        self.heads = nn.Conv1d(size.width, len(size.curves), 1)
        assert self.heads.bias is not None
        nn.init.constant_(self.heads.bias, -3.0)  # things begin rarely

    def hear(self, frames: Tensor) -> Tensor:
        """``(batch, frames, bands)`` to ``(batch, width, frames - 2)``: each from three frames."""
        x = F.relu(self.attack(frames.transpose(1, 2)[:, None] * SCALE))  # (batch, 24, 21, frames - 2)
        joined: Tensor = self.join(F.relu(self.bands(x)))[:, :, 0]
        return joined

    def forward(self, frames: Tensor) -> Tensor:
        """``(batch, frames, bands)`` to logits ``(batch, frames, curves)``; live, `LIVE_DELAY` frames late."""
        x = self.hear(F.pad(frames, (0, 0, 2, 0) if self.size.live else (0, 0, 1, 1)))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.heads(F.relu(x))
        return logits.transpose(1, 2)
