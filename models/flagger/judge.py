"""The judge's network: what others know of each step, over time, to log odds that are added to theirs.

::

    knowledge (T × 14) ─► standardised ─► Linear 32 ─► 3 × (+ depthwise conv 9, spread 1, 2, 4 ─► Linear 32)
                          ─► + Linear 32 of the mean over 24 s around ─► Linear 1

Small on purpose: it learns from a few hundred takes, and must say of kinds of faults that it never met how much what
the others say of them is worth.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streaming.judge import INPUTS

WIDTH, KERNEL, AROUND = 32, 9, 151
SPREADS = (1, 2, 4)
CONTEXT = sum(KERNEL // 2 * spread for spread in SPREADS) + AROUND // 2
"""Steps to either side that count."""
DROPOUT = 0.2


class JudgeNetwork(nn.Module):
    """Knowledge ``(N, T, inputs)`` to log odds ``(N, T)``; before training, 0."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(len(INPUTS)))
        self.register_buffer("scale", torch.ones(len(INPUTS)))
        self.enter = nn.Linear(len(INPUTS), WIDTH)
        self.near = nn.ModuleList(
            nn.Conv1d(WIDTH, WIDTH, KERNEL, padding=KERNEL // 2 * spread, dilation=spread, groups=WIDTH)
            for spread in SPREADS
        )
        self.mix = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in SPREADS)
        self.around = nn.Linear(WIDTH, WIDTH)
        self.leave = nn.Linear(WIDTH, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, knowledge: Tensor) -> Tensor:
        x = F.relu(self.enter((knowledge - self.shift) * self.scale))
        for near, mix in zip(self.near, self.mix, strict=True):
            heard = near(x.transpose(1, 2)).transpose(1, 2)
            x = x + F.dropout(F.relu(mix(heard)), DROPOUT, self.training)
        far = F.avg_pool1d(x.transpose(1, 2), AROUND, 1, AROUND // 2, count_include_pad=False)
        x = x + self.around(far.transpose(1, 2))
        odds: Tensor = self.leave(x)[..., 0]
        return odds
