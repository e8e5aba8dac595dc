"""The networks that are told in words what to keep: listeners of two kinds, and words that what they hear is compared
with.

::

    U-Net:     levels ─ bands ─ conv ─ all ──┬─ 1/2 ──┬─ 1/4 ──┬─ 1/8 ──┬─ 1/16 ─ + GRU ─┐
                                             │        │        │        │                │
                                       Up ─ all <─── 1/2 <─── 1/4 <─── 1/8 <─────────────┘
                                        │
                                        ├─ what is heard in each band, 96 numbers ─ · ─ film ─┐
                                        │                                           │        mean ─ sigmoid ─ mask
    dual path: levels ─ bands ─ conv ─ GRU over bands ─ GRU over time ─ ...         │         │
                                        │                                           │         │
                                        └─ what is heard in each band, 96 numbers ─ · ─ film ─┘
                                                                                    │
                                                          embedding of the words ─ Condition

Convolutions share their weights over frequency, and so a sound that is higher or lower than those that training knew
is still the same sound: a recurrent network over whole spectra learned training sounds by heart and took the wrong one
of two in every fifth new mixture. 64 bands are enough: masks of that grain that know the answer reach 16 dB on the
mixtures that `evaluation` makes. So does the dual-path network, all of whose bands have the same weights; a fifth of
a U-Net's size, it hears as well. The two take different sounds for what they are not, and their mean is right where
either is sure.

The words come last, as a product with what is heard in each band: what is heard is then computed once for all that is
asked of it, and a training can ask every mixture for everything in it and for thirty things that are not at no cost.
(Told by FiLM at every step up instead, and asked two things a mixture, the same network learned half as fast.)

`LiveQuery` is causal, and hears mid and side. `StudioQuery`, for files, hears one channel both ways in time, in finer
bands of longer frames. Both look in steps of some hops; a training therefore computes every so-manieth hop alone, and
the hops of a stream or a clip belong to so many sequences, which take turns (`interleaved`).

The film vector, a weight for each of the 96 numbers and an offset for each band, is a function of the words alone: it
is computed once a query, outside the graph, and fed to every run.

Sources: U-Nets over frames, Tan and Wang, "A Convolutional Recurrent Neural Network for Real-Time Speech Enhancement",
Interspeech 2018; pixels compared with the embeddings of words, Li et al., "Language-driven Semantic Segmentation",
ICLR 2022. Dual paths, Luo and Yu, "Music Source Separation with Band-split RNN", IEEE/ACM TASLP 2023.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.separator.recurrence import run_gru
from streaming.windows import Windows

from .context import Context, Facts

WINDOWS = Windows(2048, 384)
"""Of query-live: 17.4 ms at 44.1 kHz, 16 ms at 48."""
SPREAD = 4
"""Hops of query-live between two looks back, 35 ms."""
STUDIO_RATE, STUDIO_FFT, STUDIO_HOP = 32000, 2048, 320
"""Of query-studio: AudioSep's frames, 64 ms, one every 10 ms."""
STUDIO_SPREAD = 3
"""Frames of query-studio between two looks, 30 ms."""
STUDIO_TURN = 1
"""Which of them tell what a clip holds."""
EMBEDDING = 384
"""MiniLM's."""
KERNEL = 3
"""Looks that a convolution takes: this one and those before it, or one on either side."""
ROUND = 2
"""Hops of query-live in which each of its listeners has its turn."""
FRESH = 0.65
"""What the one of two listeners of query-live that hears this hop counts for; the other heard the hop before."""
LAG = 2
"""Hops to the other frames that a moment is described by: what begins and what goes on."""
MEASURED = 4
"""Numbers a band that query-live measures of each frame: power of mid and of side, flatness and peak of both."""
DESCRIBED = 5
"""Numbers a band that query-live sees: its level, that of `LAG` hops ago, the side's share, flatness and peak."""
DESCRIBED_BOTH_WAYS = 3
"""Numbers a band that query-studio sees: its level, that of `LAG` frames ago, and that of `LAG` frames later."""
FLOOR, QUIET = 1e-5, 1e-7
"""Power of a band that is as good as none, and the same for shares."""
EVEN = 1e-3
"""Of a band's power in each of its bins at least, for its grain: −30 dB."""
DROPOUT = 0.2
CHANNEL_DROPOUT = 0.1
FILM_DROPOUT = 0.1
HIDDEN_BANDS = 6
"""Bands that half of the training mixtures do without, at most."""
FILM_GAIN = 3.0
"""The words are heard from the beginning."""
MOMENTUM = 0.02


@dataclass(frozen=True)
class Bands:
    """Mel bands of the bins of a spectrum, of one bin at least."""

    count: int
    top_hz: float
    fft: int
    rate: int
    """At which they are placed; at another all lies higher or lower."""

    @property
    def bins(self) -> int:
        return self.fft // 2 + 1

    def edges(self) -> list[int]:
        """Bins at which the bands begin, and the one at which the last ends."""
        top = 1127 * np.log1p(self.top_hz / 700)
        hz = 700 * np.expm1(np.linspace(0, top, self.count + 1) / 1127)
        edges = [int(edge) for edge in np.round(hz * self.fft / self.rate)]
        for i in range(1, len(edges)):
            edges[i] = max(edges[i], edges[i - 1] + 1)
        return edges

    def of_bin(self) -> list[int]:
        """The band of each bin; those above the last go with it."""
        widths = np.diff([*self.edges()[:-1], self.bins])
        return [int(band) for band in np.repeat(np.arange(self.count), widths)]

    def pooling(self) -> Tensor:
        """``(bins, count)``: power of bins to that of bands."""
        edges = torch.tensor(self.edges())
        bins = torch.arange(self.bins)[:, None]
        return ((bins >= edges[:-1]) & (bins < edges[1:])).float()


def grain(power: Tensor, levels: Tensor, pooling: Tensor, of_bin: Tensor) -> Tensor:
    """How the power of a band lies in its bins: of those ``(..., bins)`` and of bands ``(..., bands)`` to ``(..., 2,
    bands)``.

    Spectral flatness, the logarithm of the geometric mean over the mean: 0 in noise, less the nearer a band is to a
    tone. And how high it peaks, the logarithm of the mean square over the square of the mean: 0 where all bins are
    alike. Neither depends on level, and both are 0 in silence. Levels of bands alone do not tell a tone from a noise.

    Source: Johnston, "Transform Coding of Audio Signals Using Perceptual Noise Criteria", IEEE JSAC 1988.
    """
    bins = pooling.sum(0)
    mean = levels / bins
    least = (mean + FLOOR) * EVEN
    there = power + least.index_select(-1, of_bin)
    logarithm, square = (torch.stack([there.log(), there.square()], dim=-2) @ (pooling / bins)).split(1, dim=-2)
    level = (mean + least).log().unsqueeze(-2)
    return torch.cat([logarithm - level, square.log() - 2 * level], dim=-2)


LIVE_BANDS = Bands(64, 20000.0, WINDOWS.analysis_samples, 44100)
STUDIO_BANDS = Bands(96, 16000.0, STUDIO_FFT, STUDIO_RATE)


@dataclass(frozen=True)
class Size:
    """What a checkpoint must say for its network to be built again."""

    channels: tuple[int, ...] = (24, 48, 64, 96, 128)
    """At all bands, half of them, and so on."""
    memory: int = 256
    """Of the GRU; half of it each way where it hears both."""
    width: int = 96
    """Numbers that tell what is heard in a band."""
    hidden: int = 256
    """Width of the condition network."""
    listeners: int = 1
    """U-Nets that are averaged: a tenth of a dB each, at the cost of each."""
    dual_paths: int = 0
    """Networks of that kind that are averaged with them."""
    layers: int = 3
    """Of a dual-path network, and its channels, and the memory of a band: half of it each way where it hears both."""
    path: int = 48
    band_memory: int = 64
    known: int = 0
    """Classes that what is asked for is set against (`context`); 0 if it is not."""


LIVE_SIZE = Size(channels=(32, 48, 64, 96, 128), dual_paths=1)
STUDIO_SIZE = Size(listeners=2, dual_paths=1)


@dataclass(frozen=True)
class Shape:
    """A listener: its size, how many bands it hears, and whether it hears what comes after."""

    size: Size
    bands: int
    both_ways: bool

    @property
    def described(self) -> int:
        """Numbers a band that it sees."""
        return DESCRIBED_BOTH_WAYS if self.both_ways else DESCRIBED

    @property
    def film(self) -> int:
        """Numbers that it is told."""
        return self.size.width + self.bands

    @property
    def top(self) -> int:
        """Bands that are left under the GRU."""
        return self.bands >> (len(self.size.channels) - 1)


def measured(mid_side: Tensor, pooling: Tensor, of_bin: Tensor) -> Tensor:
    """Power of mid and side ``(M, 2, T, bins)`` to all that query-live measures of it ``(M, T, MEASURED, bands)``."""
    levels = mid_side @ pooling
    of_both = grain(mid_side.sum(1), levels.sum(1), pooling, of_bin)
    return torch.cat([levels.transpose(1, 2), of_both], dim=2)


def power_of(measured: Tensor) -> Tensor:
    """Of mid and side together: ``(M, T, MEASURED, bands)`` to ``(M, T, bands)``."""
    return measured[:, :, :2].sum(2)


def described(measured: Tensor, lag: int = LAG) -> Tensor:
    """What is measured ``(M, T, MEASURED, bands)`` to what query-live sees ``(M, T, DESCRIBED, bands)``."""
    both = power_of(measured)
    return described_after(F.pad(both, (0, 0, lag, 0))[:, : both.shape[1]], measured)


def described_after(before: Tensor, measured: Tensor) -> Tensor:
    """The same, told the power of both `LAG` hops before ``(M, T, bands)``."""
    mid, side, of_both = measured.split([1, 1, 2], dim=2)
    both = mid + side
    levels = torch.log(torch.cat([both, before[:, :, None]], dim=2) + FLOOR)
    return torch.cat([levels, side / (both + QUIET), of_both], dim=2)


def described_both_ways(power: Tensor) -> Tensor:
    """Power ``(M, T, bands)`` to what query-studio sees ``(M, T, DESCRIBED_BOTH_WAYS, bands)``."""
    before, after = F.pad(power, (0, 0, LAG, 0))[:, :-LAG], F.pad(power, (0, 0, 0, LAG))[:, LAG:]
    return torch.stack([power, before, after], dim=2).add(FLOOR).log()


def interleaved(x: Tensor, spread: int = SPREAD) -> Tensor:
    """``(M, T, …)`` to the sequences in it of every ``spread``-th hop, ``(M * spread, T / spread, …)``, zeros added."""
    padded = torch.cat([x, x.new_zeros((len(x), -x.shape[1] % spread, *x.shape[2:]))], dim=1)
    sequences: Tensor = padded.unflatten(1, (-1, spread)).transpose(1, 2).flatten(0, 1)
    return sequences


def in_turn(x: Tensor, hops: int, spread: int = SPREAD) -> Tensor:
    """The reverse of `interleaved`: ``(M * spread, T, …)`` to the first ``hops`` of each, ``(M, hops, …)``."""
    one_by_one: Tensor = x.unflatten(0, (-1, spread)).transpose(1, 2).flatten(1, 2)
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


class BandConv(nn.Module):
    """``(B, C, T, bands)``: three looks and three bands, and a BatchNorm."""

    def __init__(self, below: int, channels: int, both_ways: bool, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(below, channels, (KERNEL, 3), (1, stride), bias=False)
        self.norm = nn.BatchNorm2d(channels, momentum=MOMENTUM)
        after = KERNEL // 2 if both_ways else 0
        self.around = (1, 1, KERNEL - 1 - after, after)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.conv(F.pad(x, self.around)))
        return normed


class Down(nn.Module):
    """To half of the bands, with a way around."""

    def __init__(self, below: int, channels: int, both_ways: bool) -> None:
        super().__init__()
        self.first = BandConv(below, channels, both_ways, 2)
        self.second = BandConv(channels, channels, both_ways)
        self.around = nn.Conv2d(below, channels, (1, 2), (1, 2))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.around(x) + self.second(F.relu(self.first(x))))


class Up(nn.Module):
    """To twice the bands, together with what went down there."""

    def __init__(self, below: int, channels: int, both_ways: bool) -> None:
        super().__init__()
        self.below = nn.Conv2d(below, channels, 1, bias=False)
        self.across = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels, momentum=MOMENTUM)
        self.conv = BandConv(channels, channels, both_ways)

    def forward(self, x: Tensor, across: Tensor) -> Tensor:
        twice = torch.stack([self.below(x)] * 2, dim=-1).flatten(-2)  # repeat_interleave is slow in onnxruntime
        risen = F.relu(self.norm(twice + self.across(across)))
        return risen + F.relu(self.conv(risen))


class Listener(nn.Module):
    """What is heard in each band, and what the words make of it: for whole sequences of looks, from zero state."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.enter = nn.BatchNorm1d(shape.described * shape.bands, momentum=MOMENTUM)
        self.condition = Condition(shape.size.hidden, shape.film)

    def forward(self, seen: Tensor) -> Tensor:
        """What is described ``(M, T, described, bands)`` to what is heard ``(M, T, bands, width)``."""
        raise NotImplementedError

    def compared(self, heard: Tensor, film: Tensor) -> Tensor:
        """What is heard ``(M, T, bands, width)`` and ``(Q, film)`` to masks before the sigmoid ``(M, T, bands, Q)``."""
        weight, offset = film.split([self.shape.size.width, self.shape.bands], dim=1)
        masks: Tensor = heard @ weight.t() * self.shape.size.width**-0.5 + offset.t()
        return masks

    def entered(self, seen: Tensor) -> Tensor:
        """What is described, of even level, some bands of it hidden in a training: ``(M, described, T, bands)``."""
        even: Tensor = self.enter(seen.flatten(2).flatten(0, 1)).view_as(seen).transpose(1, 2)
        return even * _some_bands(len(even), self.shape.bands, even.device) if self.training else even


class UNet(Listener):
    """Convolutions to fewer bands and up again, and in between a memory of it all."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        size, both_ways = shape.size, shape.both_ways
        channels, widest = size.channels, size.channels[-1] * shape.top
        self.first = BandConv(shape.described, channels[0], both_ways)
        pairs = list(pairwise(channels))
        self.down = nn.ModuleList(Down(below, above, both_ways) for below, above in pairs)
        self.into = nn.Linear(widest, size.memory)
        memory = size.memory // 2 if both_ways else size.memory
        self.memory = nn.GRU(size.memory, memory, batch_first=True, bidirectional=both_ways)
        self.out = nn.Linear(size.memory, widest)
        self.up = nn.ModuleList(Up(above, below, both_ways) for below, above in reversed(pairs))
        self.leave = nn.Conv2d(channels[0], size.width, 1)

    def forward(self, seen: Tensor) -> Tensor:
        x = F.relu(self.first(self.entered(seen)))
        across = [x]
        for down in self.down:
            across.append(x := F.dropout2d(down(x), CHANNEL_DROPOUT, self.training))
        x = across.pop()
        x = F.relu(x + self._remembered(x))
        for up in self.up:
            x = up(x, across.pop())
        return F.relu(self.leave(x)).permute(0, 2, 3, 1)

    def _remembered(self, x: Tensor) -> Tensor:
        looks = F.dropout(x.transpose(1, 2).flatten(2), DROPOUT, self.training)
        held = run_gru(self.memory, F.relu(self.into(looks)))
        out = self.out(F.dropout(held, DROPOUT, self.training))
        placed: Tensor = out.unflatten(2, (-1, x.shape[-1])).transpose(1, 2)
        return placed


class RecurrentPath(nn.Module):
    """``(N, steps, channels)``: a GRU from step to step, and a way around."""

    def __init__(self, channels: int, memory: int, both_ways: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels, momentum=MOMENTUM)
        each = memory // 2 if both_ways else memory
        self.gru = nn.GRU(channels, each, batch_first=True, bidirectional=both_ways)
        self.out = nn.Linear(memory, channels)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x.flatten(0, 1)).view_as(x)
        told: Tensor = self.out(F.dropout(run_gru(self.gru, normed), DROPOUT, self.training))
        return x + told


class DualPath(Listener):
    """What the bands tell each other, both ways, and what each remembers, in turns; all bands with the same weights."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        size, both_ways = shape.size, shape.both_ways
        self.first = BandConv(shape.described, size.path, both_ways)
        self.across = nn.ModuleList(RecurrentPath(size.path, size.band_memory, True) for _ in range(size.layers))
        self.along = nn.ModuleList(RecurrentPath(size.path, size.band_memory, both_ways) for _ in range(size.layers))
        self.leave = nn.Linear(size.path, size.width)

    def forward(self, seen: Tensor) -> Tensor:
        x = F.relu(self.first(self.entered(seen))).permute(0, 2, 3, 1)  # (M, T, bands, path)
        mixtures, looks, bands = x.shape[:3]
        for across, along in zip(self.across, self.along, strict=True):
            x = across(x.flatten(0, 1)).unflatten(0, (mixtures, looks))
            x = along(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (mixtures, bands)).transpose(1, 2)
        return F.relu(self.leave(x))


def _some_bands(mixtures: int, bands: int, device: torch.device) -> Tensor:
    """``(mixtures, 1, 1, bands)``: 1, and for half of them 0 from some band on for up to `HIDDEN_BANDS`."""
    draw = torch.rand(3, mixtures, 1, device=device)
    first, count = draw[0] * bands, draw[1] * (HIDDEN_BANDS + 1) * (draw[2] < 0.5)
    at = torch.arange(bands, device=device)
    return ((at < first) | (at >= first + count)).float()[:, None, None]


class BandQuery(nn.Module):
    """Listeners that learned from the same mixtures, each by itself, and the mean of what they say."""

    def __init__(self, size: Size, bands: int, both_ways: bool) -> None:
        super().__init__()
        self.shape = Shape(size, bands, both_ways)
        kinds = [UNet] * size.listeners + [DualPath] * size.dual_paths
        self.listeners = nn.ModuleList(kind(self.shape) for kind in kinds)
        self.context = Context(size.known, self.films) if size.known else None

    @property
    def size(self) -> Size:
        return self.shape.size

    @property
    def films(self) -> int:
        """Numbers that all of them are told."""
        return len(self.listeners) * self.shape.film

    def each(self) -> list[Listener]:
        return [listener for listener in self.listeners if isinstance(listener, Listener)]

    def condition(self, embedding: Tensor) -> Tensor:
        """``(Q, 384)`` to what all listeners are told ``(Q, films)``."""
        return torch.cat([listener.condition(embedding) for listener in self.each()], dim=1)

    def heard(self, seen: Tensor) -> list[Tensor]:
        """What is described, a sequence of looks ``(M, T, described, bands)``, to what each listener hears
        ``(M, T, bands, width)``."""
        return [listener(seen) for listener in self.each()]

    def said(self, heard: Sequence[Tensor], film: Tensor) -> list[Tensor]:
        """That and ``(Q, films)`` to the masks of each listener before the sigmoid ``(M, T, bands, Q)``."""
        told = film.split(self.shape.film, dim=1)
        return [listener.compared(x, words) for listener, x, words in zip(self.each(), heard, told, strict=True)]

    def apart(self, seen: Tensor, film: Tensor) -> list[Tensor]:
        """Both in one."""
        return self.said(self.heard(seen), film)

    def together(self, heard: Sequence[Tensor], film: Tensor) -> Tensor:
        """What they say together ``(M, T, bands, Q)``."""
        return torch.stack(self.said(heard, film)).mean(0)

    def alike(self, film: Tensor, other: Tensor) -> Tensor:
        """How alike films are, ``(Q, C)``, but for their offsets."""
        one, two = (
            torch.cat([words[:, : self.size.width] for words in x.split(self.shape.film, dim=1)], dim=1)
            for x in (film, other)
        )
        alike: Tensor = one @ F.normalize(two, dim=1).t() / one.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return alike

    def forward(self, seen: Tensor, film: Tensor) -> Tensor:
        """What is described and films to the masks of them all, 0 … 1."""
        return torch.sigmoid(self.together(self.heard(seen), film))


class LiveQuery(BandQuery):
    """query-live. Of two listeners one hears a hop and the other the next; what the other heard before still stands."""

    def __init__(self, size: Size | None = None) -> None:
        super().__init__(size or LIVE_SIZE, LIVE_BANDS.count, both_ways=False)
        if len(self.listeners) > ROUND:
            raise ValueError("two listeners at most take turns")

    def every_hop(self, measured: Tensor, film: Tensor) -> Tensor:
        """What is measured at every hop ``(M, T, MEASURED, bands)`` and films to masks as they are live
        ``(M, T, bands, Q)``."""
        if self.context is None:
            return torch.sigmoid(self.said_live(measured, film))
        return torch.stack([self._in_context(self.context, stream, film) for stream in measured.split(1)])

    def facts(self, context: Context, measured: Tensor, film: Tensor, turn: int = 0) -> tuple[Facts, Tensor]:
        """Of one of the sequences of looks of one stream ``(1, T, MEASURED, bands)``, which remember each for itself:
        what the context judges by at every look, and what is said of queries and classes ``(looks, bands, Q + C)``."""
        said = self.said_live(measured, torch.cat([film, context.known]))[0, turn::SPREAD]
        return self._facts(context, said, power_of(measured)[0, turn::SPREAD], film), said

    def _facts(self, context: Context, said: Tensor, power: Tensor, film: Tensor) -> Facts:
        memory, alike, facts = context.nothing(len(film)), self.alike(film, context.known), []
        for look, level in zip(said, power, strict=True):
            fact, memory = context.remember(look, level[None], film, memory, alike)
            facts.append(fact)
        asked, known, together, _ = (torch.stack(each) for each in zip(*facts, strict=True))
        return Facts(asked, known, together, alike)

    def _in_context(self, context: Context, stream: Tensor, film: Tensor) -> Tensor:
        """Masks of one stream ``(T, bands, Q)``."""
        said, power = self.said_live(stream, torch.cat([film, context.known]))[0], power_of(stream)[0]
        asked, known = said.split([len(film), len(context.known)], dim=-1)
        masks = torch.empty_like(asked)
        for look in (slice(turn, None, SPREAD) for turn in range(min(SPREAD, len(said)))):
            change = context.change(self._facts(context, said[look], power[look], film))
            masks[look] = torch.sigmoid(change.of(asked[look], known[look]))
        return masks

    def said_live(self, measured: Tensor, film: Tensor) -> Tensor:
        """Of streams, before the sigmoid, at every hop ``(M, T, bands, Q)``."""
        hops, count = measured.shape[1], len(self.listeners)
        sequences = interleaved(described(measured)).unflatten(0, (-1, SPREAD))
        heard = []
        for i, listener in enumerate(self.each()):
            own = sequences[:, i::count]
            fresh = in_turn(listener(own.flatten(0, 1)), -(-hops // count), own.shape[1])
            heard.append(F.pad(fresh.repeat_interleave(count, dim=1), (0, 0, 0, 0, i, 0))[:, :hops])
        weights = torch.tensor([self.weights(hop) for hop in range(hops)], device=film.device).t()[..., None, None]
        return torch.stack([said * weight for said, weight in zip(self.said(heard, film), weights, strict=True)]).sum(0)

    def weights(self, hop: int) -> list[float]:
        """What each listener counts for."""
        if len(self.listeners) == 1:
            return [1.0]
        return [FRESH, 1 - FRESH] if hop % ROUND == 0 else [1 - FRESH, FRESH]


class StudioQuery(BandQuery):
    """query-studio."""

    def __init__(self, size: Size | None = None) -> None:
        super().__init__(size or STUDIO_SIZE, STUDIO_BANDS.count, both_ways=True)

    def every_hop(self, power: Tensor, film: Tensor) -> Tensor:
        """Power at every hop of clips ``(M, T, bands)`` and films to masks ``(M, T, bands, Q)``."""
        masks = []
        for clip in power.split(1):
            heard = self._looks(clip)
            told = film if self.context is None else self._in_context(self.context, heard, clip[0], film)
            masks.append(torch.sigmoid(self.together(heard, told)))
        return in_turn(torch.cat(masks), power.shape[1], STUDIO_SPREAD)

    def facts(self, context: Context, power: Tensor, film: Tensor) -> tuple[Facts, Tensor]:
        """Of one clip ``(1, T, bands)``: what the context judges by, and what is said of queries and classes at the
        looks of `STUDIO_TURN` ``(looks, bands, Q + C)``."""
        return self._facts(context, self._looks(power), power[0], film)

    def _looks(self, power: Tensor) -> list[Tensor]:
        """What each listener hears of clips ``(M, T, bands)``: ``(M * STUDIO_SPREAD, looks, bands, width)``."""
        seen = described_both_ways(F.pad(power, (0, 0, 0, -power.shape[1] % STUDIO_SPREAD)))
        return self.heard(interleaved(seen, STUDIO_SPREAD))

    def _facts(self, context: Context, heard: Sequence[Tensor], power: Tensor, film: Tensor) -> tuple[Facts, Tensor]:
        everything, of_turn = torch.cat([film, context.known]), slice(STUDIO_TURN, STUDIO_TURN + 1)
        said = self.together([x[of_turn] for x in heard], everything)[0]
        there = F.pad(power, (0, 0, 0, -len(power) % STUDIO_SPREAD))[STUDIO_TURN::STUDIO_SPREAD]
        return context.facts(said, there, self.alike(film, context.known)), said

    def _in_context(self, context: Context, heard: Sequence[Tensor], power: Tensor, film: Tensor) -> Tensor:
        """Films ``(Q, films)`` as one clip needs them: masks before the sigmoid are linear in them, and so one more or
        less of a film is as good as a change of all that is said."""
        change = context.change(self._facts(context, heard, power, film)[0])
        told = film * change.gain[:, None] - change.rivals @ context.known
        offset = F.pad(change.offset[:, None].expand(-1, self.shape.bands), (self.size.width, 0))
        return told + offset.repeat(1, len(self.listeners))
