"""The reviewer: forty seconds of a recording at once, each moment held against all the others, to two curves over time.

::

    frames (4096 × 64 bands), as they are, less their mean, and by their spread ─► 3 planes
      ─► the flagger's convolutions ─┬─► after the third, Linear 128: a row every 40 ms ────────┐
                                     └─► after the last, Linear 128: a token every 160 ms       │
      ─► 3 × (convolution over time, attention, MLP) ─► spread to rows again ───────────────────┴─► 2 convs
      ─► odd: this does not belong;  edge: something was cut in here

The network of segments (`network`) hears a moment and what was usual before it, which is all there is live. A file
can be heard both ways: what goes wrong begins and ends, and what lies on both sides of it goes on as if nothing had
been.
Its ear is that of the other, which goes on learning.
Attention is the recording's own witness: a passage that is like others of it does not stand out.

Distance in time counts by a slope for each head, learned (Press et al., Train Short, Test Long, ICLR 2022); blocks are
those of Gulati et al., Conformer, 2020, made smaller.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streaming.features import MEL

from .network import LEAST_SPREAD, LEVEL, FlagNetwork, Size

FRAMES = 4096
"""Frames heard at once: 41 s."""
ROW_FRAMES, TOKEN_ROWS = 4, 4
CURVES = ("odd", "edge")
ROW_LAYERS = 3
"""Of the convolutions, those before a row: time divided by 4."""
SILENT = 0.1
"""Mean of a frame's bands under which it counts as silence, and as nothing that is usual."""


@dataclass(frozen=True)
class ReviewSize:
    """What a checkpoint must say for its network to be built again."""

    ear: int = 16
    width: int = 128
    blocks: int = 3
    heads: int = 4
    frames: int = FRAMES


class TimeBlock(nn.Module):
    """Neighbours by a convolution, everything by attention, then each token by itself. All residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.near = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.mix = nn.Linear(width, width)
        self.query, self.key, self.value, self.give = (nn.Linear(width, width) for _ in range(4))
        self.slopes = nn.Parameter(torch.linspace(-0.02, 0.1, heads))
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor, apart: Tensor) -> Tensor:
        """``(N, tokens, width)``, and how far tokens lie from each other ``(tokens, tokens)``."""
        near = self.near(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        x = x + self.mix(F.relu(near))
        y = self.norms[1](x)
        n, tokens, width = y.shape
        q, k, v = (f(y).view(n, tokens, self.heads, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        bias = -self.slopes[:, None, None] * apart  # (heads, tokens, tokens)
        like = torch.softmax(q @ k.transpose(2, 3) * (width // self.heads) ** -0.5 + bias, dim=3)
        x = x + self.give((like @ v).transpose(1, 2).reshape(n, tokens, width))
        return x + self.down(F.relu(self.up(self.norms[2](x))))  # type: ignore[no-any-return]


class Reviewer(nn.Module):
    """Frames to the logits of two curves."""

    apart: Tensor

    def __init__(self, size: ReviewSize) -> None:
        super().__init__()
        self.size = size
        w, ear = size.width, FlagNetwork(Size(size.ear))
        self.layers = ear.layers
        self.rows = nn.Linear(2 * size.ear * (MEL.bands // 4), w)
        self.tokens = nn.Linear(128 * (MEL.bands // 16), w)
        self.blocks = nn.ModuleList(TimeBlock(w, size.heads) for _ in range(size.blocks))
        self.spread = nn.Linear(w, TOKEN_ROWS * w)
        self.last = nn.Conv1d(2 * w, w, 5, padding=2)
        self.curves = nn.Conv1d(w, len(CURVES), 5, padding=2)
        at = torch.arange(size.frames // ROW_FRAMES // TOKEN_ROWS, dtype=torch.float32)
        self.register_buffer("apart", (at[:, None] - at).abs(), persistent=False)

    def planes(self, frames: Tensor) -> Tensor:
        """``(N, T, bands)`` to ``(N, 3, T, bands)``."""
        sounds = (frames.mean(dim=2, keepdim=True) > SILENT).to(frames.dtype)
        count = sounds.sum(dim=1, keepdim=True) + 1
        mean = (frames * sounds).sum(dim=1, keepdim=True) / count
        apart = frames - mean
        spread = torch.sqrt((torch.square(apart) * sounds).sum(dim=1, keepdim=True) / count)
        return torch.stack([frames * LEVEL, apart * (2 * LEVEL), apart * LEVEL / (spread + LEAST_SPREAD)], dim=1)

    def forward(self, frames: Tensor) -> Tensor:
        """``(N, T, bands)`` to logits ``(N, T / 4, 2)``."""
        x = self.planes(frames)
        for layer in self.layers[:ROW_LAYERS]:
            x = layer(x)
        rows = F.relu(self.rows(x.transpose(1, 2).flatten(2)))  # (N, T / 4, width)
        for layer in self.layers[ROW_LAYERS:]:
            x = layer(x)
        tokens = self.tokens(x.transpose(1, 2).flatten(2))  # (N, T / 16, width)
        n, count, width = rows.shape
        apart = self.apart[: tokens.shape[1], : tokens.shape[1]]
        for block in self.blocks:
            tokens = block(tokens, apart)
        wide = self.spread(tokens).reshape(n, count, width)
        y = torch.cat([rows, wide], dim=2).transpose(1, 2)
        curves: Tensor = self.curves(F.relu(self.last(y))).transpose(1, 2)
        return curves
