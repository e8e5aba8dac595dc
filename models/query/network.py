"""The network of query-live: a causal U-Net over bands of low-latency frames, and words that it is compared with.

::

    mid, side ─ 64 bands ─ conv ─ 64 ──┬─ 32 ──┬─ 16 ──┬─ 8 ──┬─ 4 ─ + GRU ─┐
                                       │       │       │      │             │
                                 Up ─ 64 <─── 32 <─── 16 <─── 8 <───────────┘
                                  │
                what is heard in each band, 96 numbers ─ · ─ film ─ sigmoid ─ mask
                                                          │
                                embedding of the words ─ Condition

Convolutions share their weights over frequency, and so a sound that is higher or lower than those that training knew
is still the same sound: a recurrent network over whole spectra learned training sounds by heart and took the wrong one
of two in every fifth new mixture. 64 bands are enough: masks of that grain that know the answer reach 16 dB on the
mixtures that `evaluation` makes.

The words come last, as a product with what is heard in each band: what is heard is then computed once for all that is
asked of it, and a training can ask every mixture for everything in it and for thirty things that are not at no cost.
(Told by FiLM at every step up instead, and asked two things a mixture, the same network learned half as fast.)

A look back goes in steps of `SPREAD` hops. Training therefore computes every fourth hop alone; the hops of a live
stream belong to four such sequences, which take turns (`interleaved`).

The film vector, a weight for each of the 96 numbers and an offset for each band, is a function of the words alone: it
is computed once a query, outside the graph, and fed to every hop.

Sources: U-Nets that are causal in time, Tan and Wang, "A Convolutional Recurrent Neural Network for Real-Time Speech
Enhancement", Interspeech 2018; pixels compared with the embeddings of words, Li et al., "Language-driven Semantic
Segmentation", ICLR 2022.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.separator.recurrence import run_gru
from streaming.windows import Windows

WINDOWS = Windows(2048, 384)
"""17.4 ms at 44.1 kHz, 16 ms at 48."""
EMBEDDING = 384
"""MiniLM's."""
BANDS = 64
TOP_HZ, BANDS_RATE = 20000.0, 44100
"""The bands are mel ones up to there, of one bin at least, at that rate; at 48 kHz all lies a little higher."""
SPREAD = 4
"""Hops between two looks back, 35 ms."""
KERNEL = 3
"""Looks, this one among them, that a convolution takes."""
LAG = 2
"""Hops to the second frame that a moment is described by: what begins and what goes on."""
DESCRIBED = 3
"""Numbers a band: its level, that of `LAG` hops ago, and the side's share."""
FLOOR, QUIET = 1e-5, 1e-7
"""Power of a band that is as good as none, and the same for shares."""
DROPOUT = 0.2
FILM_DROPOUT = 0.1
FILM_GAIN = 3.0
"""The words are heard from the beginning."""
MOMENTUM = 0.02


@dataclass(frozen=True)
class LiveSize:
    """What a checkpoint must say for its network to be built again."""

    channels: tuple[int, ...] = (24, 48, 64, 96, 128)
    """At 64 bands, 32, and so on."""
    memory: int = 256
    """Of the GRU."""
    width: int = 96
    """Numbers that tell what is heard in a band."""
    hidden: int = 256
    """Width of the condition network."""

    @property
    def film(self) -> int:
        """Numbers of the film vector."""
        return self.width + BANDS

    @property
    def top(self) -> int:
        """Bands that are left under the GRU."""
        return BANDS >> (len(self.channels) - 1)


def band_edges() -> list[int]:
    """Bins at which the bands begin, and the one at which the last ends."""
    top = 1127 * np.log1p(TOP_HZ / 700)
    hz = 700 * np.expm1(np.linspace(0, top, BANDS + 1) / 1127)
    edges = [int(edge) for edge in np.round(hz * WINDOWS.analysis_samples / BANDS_RATE)]
    for i in range(1, len(edges)):
        edges[i] = max(edges[i], edges[i - 1] + 1)
    return edges


def band_of_bin() -> list[int]:
    """The band of each bin; those above the last go with it."""
    edges = band_edges()
    widths = np.diff([*edges[:-1], WINDOWS.bins])
    return [int(band) for band in np.repeat(np.arange(BANDS), widths)]


def pooling() -> Tensor:
    """``(bins, BANDS)``: power of bins to that of bands."""
    edges = torch.tensor(band_edges())
    bins = torch.arange(WINDOWS.bins)[:, None]
    return ((bins >= edges[:-1]) & (bins < edges[1:])).float()


def described(power: Tensor, lag: int = LAG) -> Tensor:
    """Power of mid and side ``(M, T, 2, BANDS)`` to what the network sees ``(M, T, DESCRIBED, BANDS)``."""
    both = power.sum(2)
    before = F.pad(both, (0, 0, lag, 0))[:, : both.shape[1]]
    return torch.stack([torch.log(both + FLOOR), torch.log(before + FLOOR), power[:, :, 1] / (both + QUIET)], dim=2)


def interleaved(x: Tensor) -> Tensor:
    """``(M, T, …)`` to the sequences in it of every `SPREAD`-th hop, ``(M * SPREAD, T / SPREAD, …)``, zeros added."""
    padded = torch.cat([x, x.new_zeros((len(x), -x.shape[1] % SPREAD, *x.shape[2:]))], dim=1)
    sequences: Tensor = padded.unflatten(1, (-1, SPREAD)).transpose(1, 2).flatten(0, 1)
    return sequences


def in_turn(x: Tensor, hops: int) -> Tensor:
    """The reverse of `interleaved`: ``(M * SPREAD, T, …)`` to the first ``hops`` of each, ``(M, hops, …)``."""
    one_by_one: Tensor = x.unflatten(0, (-1, SPREAD)).transpose(1, 2).flatten(1, 2)
    return one_by_one[:, :hops]


class Condition(nn.Module):
    """Embedding of the words to the film vector: two layers, small enough to run in numpy at each query."""

    def __init__(self, hidden: int, film: int) -> None:
        super().__init__()
        self.first = nn.Linear(EMBEDDING, hidden)
        self.second = nn.Linear(hidden, film)
        with torch.no_grad():
            self.second.weight.mul_(FILM_GAIN)

    def forward(self, embedding: Tensor) -> Tensor:
        """``(B, 384)`` of unit norm to ``(B, film)``."""
        hidden = F.relu(self.first(embedding * EMBEDDING**0.5))
        film: Tensor = self.second(F.dropout(hidden, FILM_DROPOUT, self.training))
        return film


class CausalConv(nn.Module):
    """``(B, C, T, bands)``: this look and those before it, three bands, and a BatchNorm."""

    def __init__(self, below: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(below, channels, (KERNEL, 3), (1, stride), bias=False)
        self.norm = nn.BatchNorm2d(channels, momentum=MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.conv(F.pad(x, (1, 1, KERNEL - 1, 0))))
        return normed


class Down(nn.Module):
    """To half of the bands, with a way around."""

    def __init__(self, below: int, channels: int) -> None:
        super().__init__()
        self.first = CausalConv(below, channels, 2)
        self.second = CausalConv(channels, channels)
        self.around = nn.Conv2d(below, channels, (1, 2), (1, 2))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.around(x) + self.second(F.relu(self.first(x))))


class Up(nn.Module):
    """To twice the bands, together with what went down there."""

    def __init__(self, below: int, channels: int) -> None:
        super().__init__()
        self.below = nn.Conv2d(below, channels, 1, bias=False)
        self.across = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels, momentum=MOMENTUM)
        self.conv = CausalConv(channels, channels)

    def forward(self, x: Tensor, across: Tensor) -> Tensor:
        risen = F.relu(self.norm(self.below(x).repeat_interleave(2, dim=-1) + self.across(across)))
        return risen + F.relu(self.conv(risen))


class LiveQuery(nn.Module):
    """Masks for whole sequences of looks, from zero state."""

    def __init__(self, size: LiveSize | None = None) -> None:
        super().__init__()
        self.size = size = size or LiveSize()
        channels, widest = size.channels, size.channels[-1] * size.top
        self.enter = nn.BatchNorm1d(DESCRIBED * BANDS, momentum=MOMENTUM)
        self.first = CausalConv(DESCRIBED, channels[0])
        pairs = list(pairwise(channels))
        self.down = nn.ModuleList(Down(below, above) for below, above in pairs)
        self.into = nn.Linear(widest, size.memory)
        self.memory = nn.GRU(size.memory, size.memory, batch_first=True)
        self.out = nn.Linear(size.memory, widest)
        self.up = nn.ModuleList(Up(above, below) for below, above in reversed(pairs))
        self.leave = nn.Conv2d(channels[0], size.width, 1)
        self.condition = Condition(size.hidden, size.film)

    def forward(self, seen: Tensor) -> Tensor:
        """What is `described`, every `SPREAD`-th hop, ``(M, T, DESCRIBED, BANDS)`` to what is heard
        ``(M, T, BANDS, width)``."""
        x = self.enter(seen.flatten(2).flatten(0, 1)).view_as(seen).transpose(1, 2)
        x = F.relu(self.first(x))
        across = [x]
        for down in self.down:
            across.append(x := down(x))
        x = across.pop()
        x = F.relu(x + self._remembered(x))
        for up in self.up:
            x = up(x, across.pop())
        return F.relu(self.leave(x)).permute(0, 2, 3, 1)

    def masks(self, heard: Tensor, film: Tensor) -> Tensor:
        """What is heard ``(M, T, BANDS, width)`` and ``(Q, film)`` to masks 0 … 1 ``(M, T, BANDS, Q)``."""
        weight, offset = film.split([self.size.width, BANDS], dim=1)
        return torch.sigmoid(heard @ weight.t() * self.size.width**-0.5 + offset.t())

    def _remembered(self, x: Tensor) -> Tensor:
        looks = F.dropout(x.transpose(1, 2).flatten(2), DROPOUT, self.training)
        held = run_gru(self.memory, F.relu(self.into(looks)))
        out = self.out(F.dropout(held, DROPOUT, self.training))
        placed: Tensor = out.unflatten(2, (-1, x.shape[-1])).transpose(1, 2)
        return placed

    def every_hop(self, power: Tensor, film: Tensor) -> Tensor:
        """Power of mid and side at every hop ``(M, T, 2, BANDS)`` and ``(Q, film)`` to masks as they are live
        ``(M, T, BANDS, Q)``."""
        return in_turn(self.masks(self(interleaved(described(power))), film), power.shape[1])
