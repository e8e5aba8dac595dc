"""The network of query-live: a recurrent mask estimator over single low-latency frames, told by FiLM what to keep.

::

    mid, side ─ features ─ Linear ─ BatchNorm ─ FiLM, tanh ─ GRU ─ FiLM ─ GRU ─┬─ + ─ Linear ─ BatchNorm ─ FiLM, ReLU
                                                     └────────── skip ─────────┘                         │
    embedding of the words ─ Condition ─ film                            a complex mask a band <─ Linear ┘

The film vector, a gain and an offset for each unit at three places, is a function of the words alone: it is computed
once a query, outside the graph, and fed to every hop.

Features, bands, mid and side, and planar complex numbers are those of `models.separator.network`, whose windows are
shorter: a hop of 384 gives 17.4 ms at 44.1 kHz. There is no gate that could close the whole mask: one was tried, and
training shut it for good.

Source: FiLM, Perez et al., AAAI 2018; its use for queries, Liu et al., "Separate Anything You Describe", 2023.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.separator.network import BANDS, CHANNELS, FEATURES, features
from models.separator.recurrence import run_gru
from streaming.windows import Windows

WINDOWS = Windows(2048, 384)
"""17.4 ms at 44.1 kHz, 16 ms at 48."""
EMBEDDING = 384
"""MiniLM's."""
MASKS = 2 * CHANNELS * BANDS
DROPOUT = 0.25


@dataclass(frozen=True)
class LiveSize:
    """What a checkpoint must say for its network to be built again."""

    width: int = 512
    wide: int = 512
    """Units before the mask."""
    hidden: int = 256
    """Width of the condition network."""

    @property
    def film(self) -> tuple[int, int, int]:
        """Parts of the film vector: gains, then offsets, of each of three places."""
        return 2 * self.width, 2 * self.width, 2 * self.wide


class Condition(nn.Module):
    """Embedding of the words to the film vector: two layers, small enough to run in numpy at each query."""

    def __init__(self, hidden: int, film: int) -> None:
        super().__init__()
        self.first = nn.Linear(EMBEDDING, hidden)
        self.second = nn.Linear(hidden, film)

    def forward(self, embedding: Tensor) -> Tensor:
        """``(B, 384)`` of unit norm to ``(B, film)``."""
        film: Tensor = self.second(F.relu(self.first(embedding * EMBEDDING**0.5)))
        return film


class LiveQuery(nn.Module):
    """Masks for whole sequences of frames, from zero state."""

    shift: Tensor
    scale: Tensor

    def __init__(self, size: LiveSize | None = None) -> None:
        super().__init__()
        self.size = size = size or LiveSize()
        self.register_buffer("shift", torch.zeros(FEATURES))
        self.register_buffer("scale", torch.ones(FEATURES))
        self.encode = nn.Linear(FEATURES, size.width)
        self.enter = nn.BatchNorm1d(size.width, momentum=0.02)
        self.first = nn.GRU(size.width, size.width, batch_first=True)
        self.second = nn.GRU(size.width, size.width, batch_first=True)
        self.widen = nn.Linear(size.width, size.wide)
        self.leave = nn.BatchNorm1d(size.wide, momentum=0.02)
        self.decode = nn.Linear(size.wide, MASKS)
        with torch.no_grad():  # half of the mix to begin with
            self.decode.bias.view(-1, 2, BANDS)[:, 0] = 0.4
        self.condition = Condition(size.hidden, sum(size.film))

    def standardise(self, mid_side: Tensor) -> None:
        """Centre the features on a batch and give each the same weight, so that quiet high bands are heard at once."""
        seen = features(mid_side).flatten(0, -2)
        self.shift.copy_(seen.mean(0))
        self.scale.copy_(1 / (seen.std(0) + 0.02 * seen.std()))

    def forward(self, mid_side: Tensor, film: Tensor) -> Tensor:
        """Planar ``(M, T, 2, 2, bins)`` and ``(M * Q, film)``, Q queries a mixture, to planar masks.

        They are ``(M * Q, T, 2, 2, BANDS)``. Of several queries the features are computed once.
        """
        first, second, third = film.split(self.size.film, dim=1)
        encoded = self.encode((features(mid_side) - self.shift) * self.scale)
        encoded = self.enter(encoded.flatten(0, 1)).view_as(encoded)
        encoded = filmed(encoded.repeat_interleave(len(film) // len(encoded), 0), first).tanh()
        encoded = F.dropout(encoded, DROPOUT, self.training)
        hidden = run_gru(self.first, encoded)
        hidden = run_gru(self.second, filmed(hidden, second)) + encoded
        wide = self.widen(F.dropout(hidden, DROPOUT, self.training))
        wide = self.leave(wide.flatten(0, 1)).view_as(wide)
        masks: Tensor = self.decode(filmed(wide, third).relu())
        return masks.view(*masks.shape[:-1], CHANNELS, 2, BANDS)


def filmed(x: Tensor, film: Tensor) -> Tensor:
    """``(B, T, units)`` with the gains and offsets ``(B, 2 units)``."""
    gain, offset = film[:, None].chunk(2, dim=-1)
    return x * (1 + gain) + offset
