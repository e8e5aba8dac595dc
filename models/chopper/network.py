"""The chopper's network: from log-mel frames to curves of how likely something begins, for files and for live.

::

    64 bands ─► conv 3×3, 16 ─► max over 3 ─► conv 3, 32 ─► max over 3 ─► conv over all, width
      ─► gated residual blocks, dilation 1, 2, 4 … 512 ─► ReLU ─► Linear ─► onset, beat, downbeat, phrase
    block: x + Linear(tanh(a) · sigmoid(b)),   a, b = conv of 3 frames, ``dilation`` apart

Two networks of one shape. For files every convolution is centred, and a curve hangs on `Size.radius` frames to either
side: ten seconds, enough to hear the bars before and after a phrase begins. Live, every convolution looks back only,
and what the network says with frame t is about frame t - `LIVE_DELAY`: one frame more makes an attack visible whole.

Silence is 0 in the features, and so is what every convolution finds beyond the ends: a file begins in silence.
There is no norm to fold away, so that an ONNX file holds the very weights that were trained.

Source of the blocks: van den Oord et al., WaveNet, 2016; of such networks for beats: Davies and Böck, EUSIPCO 2019.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streaming.features import MEL

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
    """A convolution of three frames that keeps their number: centred, or over the past alone.

    ``(batch, channels, frames)``, or ``(batch, channels, bands, frames)`` with a kernel of three bands.
    """

    def __init__(self, inward: int, outward: int, dilation: int, live: bool, bands: bool = False) -> None:
        super().__init__()
        self.dilation, self.live, self.bands = dilation, live, bands
        self.weight = nn.Parameter(torch.empty(outward, inward, *([KERNEL] * (2 if bands else 1))))
        self.bias = nn.Parameter(torch.zeros(outward))
        nn.init.kaiming_uniform_(self.weight, nonlinearity="linear")

    def forward(self, x: Tensor) -> Tensor:
        reach = (KERNEL - 1) * self.dilation
        if self.live:
            x = F.pad(x, (reach, 0))
        if self.bands:
            return F.conv2d(x, self.weight, self.bias, padding=(1, 0 if self.live else 1))
        return F.conv1d(x, self.weight, self.bias, padding=0 if self.live else self.dilation, dilation=self.dilation)


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
    return torch.tanh(a) * torch.sigmoid(b)


class Chopper(nn.Module):
    """Curves of whole sequences, as logits."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.attack = TimeConv(1, 16, 1, size.live, bands=True)
        self.bands = nn.Conv2d(16, 32, (3, 1), padding=(1, 0))
        self.join = nn.Conv2d(32, size.width, (MEL.bands // 9, 1))
        self.blocks = nn.ModuleList(Block(size.width, d, size.live) for d in size.dilations)
        self.heads = nn.Conv1d(size.width, len(size.curves), 1)
        assert self.heads.bias is not None
        nn.init.constant_(self.heads.bias, -3.0)  # things begin rarely

    def hear(self, attacks: Tensor) -> Tensor:
        """What the first convolution gave, ``(batch, 16, bands, frames)``, to ``(batch, width, frames)``."""
        x = F.max_pool2d(F.relu(attacks), (3, 1))  # (batch, 16, 21, frames)
        x = F.max_pool2d(F.relu(self.bands(x)), (3, 1))  # (batch, 32, 7, frames)
        joined: Tensor = self.join(x)[:, :, 0]
        return joined

    def forward(self, frames: Tensor) -> Tensor:
        """``(batch, frames, bands)`` to logits ``(batch, frames, curves)``; live, `LIVE_DELAY` frames late."""
        x = self.hear(self.attack(frames.transpose(1, 2)[:, None] * SCALE))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.heads(F.relu(x))
        return logits.transpose(1, 2)
