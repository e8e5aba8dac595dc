"""What is asked for, set against all else that is heard.

A network that judges each moment by itself is unsure of sounds that it never heard. What it says of such a sound is
often right against the rest of the clip and wrong by itself: a new whistle is a little like "a whistle", the voice
beside it far less, and both are muted. So the words are told what else there is before they are heard::

    films of the queries and of all known classes
      │   compared with what is heard, weighted by loudness: over a clip,
      │   or over what a stream held so far, fading
      ▼
    where each lies: low, middle, ───┬─ presence: is it there at all? ──────► gain and offset
    high; what goes together         └─ rivals: known classes that are
                                        there where the query is not ───────► taken from it

Masks before the sigmoid are linear in the film, and so all of it is one film changed for another; what is heard is
computed once. Both judges are tiny. They are fitted on validation mixtures (`calibration`), whose sounds are as new to
the network as a user's: of sounds that it learned from it has no doubts.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROUNDS = 3
"""In which the middle between low and high settles."""
SCARCE = 1e-4
"""Share of a clip that is as good as none of it."""
SILENT = 1e-8
"""Loudness that is as good as none."""
FADE = 0.99306
"""Of what is remembered from one look of query-live, 35 ms, to the next: 5 s."""
SUMS = 5
"""That are remembered of everything (`Memory`)."""
LEAST_VARIANCE = 1e-3
HIDDEN = 12
"""Numbers between what a judge is told and what it says."""
SCALE, TWICE = 0.25, 2.0
"""That bring masks before the sigmoid, and shares, to about one."""
PAIR, STANDING = (TWICE, TWICE), (SCALE, SCALE, SCALE, TWICE)
"""For facts of a pair, and for where a class or a query stands."""
STRICT, NEARNESS = 3.0, 4.0
"""What being there, and being elsewhere, count for before a judge has learned anything."""


class Facts(NamedTuple):
    """All that the judges are told of a clip, or at every look of a stream.

    Attributes:
        asked, known: where what is said of Q queries and of C classes lies, ``(..., 4, Q or C)``: the mean of the part
            below the middle, the middle, the mean of the part above, softly parted, and the share of loudness that
            lies above. The middle is half way between both means, as in Ridler and Calvard, "Picture Thresholding
            Using an Iterative Selection Method", IEEE SMC 1978.
        together: ``(..., Q, C)``, how what is said of a query and of a class go together, −1 to 1.
        alike: ``(Q, C)``, how near their films are, −1 to 1.
    """

    asked: Tensor
    known: Tensor
    together: Tensor
    alike: Tensor

    def first(self, looks: int) -> "Facts":
        """Those of so many looks of a stream."""
        return Facts(self.asked[:looks], self.known[:looks], self.together[:looks], self.alike)


class Memory(NamedTuple):
    """What is remembered of a stream, of Q queries and C classes.

    Attributes:
        sums: running sums of all ``(SUMS, Q + C)``: loudness, times what is said, its square, what lies above the
            middle, times what is said.
        middle: ``(1, Q + C)``.
        both, known, square: sums of pairs ``(Q, C)`` since the query was asked: what is said of both, of the class,
            its square.
        told: ``(Q, films)``: what was asked for.
    """

    sums: Tensor
    middle: Tensor
    both: Tensor
    known: Tensor
    square: Tensor
    told: Tensor


class Change(NamedTuple):
    """Of what is said of Q queries: times ``gain (..., Q)``, less the classes by ``rivals (..., Q, C)``, and
    ``offset (..., Q)``."""

    gain: Tensor
    rivals: Tensor
    offset: Tensor

    def of(self, asked: Tensor, known: Tensor) -> Tensor:
        """What is said of the queries ``(..., bands, Q)`` and of the classes ``(..., bands, C)`` to what is said
        now."""
        kept = asked * self.gain[..., None, :] + self.offset[..., None, :]
        return kept - known @ self.rivals.transpose(-1, -2)


class Context(nn.Module):
    """Of so many classes, whose films it holds: ``known (classes, films)``, zero until `calibration` sets them."""

    known: Tensor

    def __init__(self, classes: int, films: int) -> None:
        super().__init__()
        self.register_buffer("known", torch.zeros(classes, films))
        self.rival = Judge((*PAIR, *STANDING, *STANDING[1:]), 1)
        self.presence = Judge((*STANDING, SCALE, SCALE, SCALE, *PAIR, TWICE), 2)
        self.gain, self.centred, self.against = (nn.Parameter(torch.tensor([x])) for x in (1.0, 0.5, 0.5))

    def facts(self, said: Tensor, power: Tensor, alike: Tensor) -> Facts:
        """Of a clip: what is said of the queries and, after them, of the classes ``(T, bands, Q + C)``, the clip's
        power ``(T, bands)``, and how alike they are ``(Q, C)``."""
        loudness = power.sqrt().flatten()
        weight = loudness / loudness.sum().clamp_min(SILENT)
        said = said.flatten(0, 1)
        queries = said.shape[1] - len(self.known)
        mean = weight @ said
        apart = said - mean
        spread = (weight @ apart.square() + LEAST_VARIANCE).sqrt()
        together = (weight[:, None] * apart[:, :queries]).t() @ apart[:, queries:]
        together = together / (spread[:queries, None] * spread[queries:])
        asked, known = _standings(said, weight, mean).split([queries, len(self.known)], dim=1)
        return Facts(asked, known, together, alike)

    def remember(
        self, said: Tensor, power: Tensor, film: Tensor, memory: Memory, alike: Tensor
    ) -> tuple[Facts, Memory]:
        """Of a stream: what is said at one more look ``(bands, Q + C)``, its power ``(1, bands)``, the films ``(Q,
        films)``, and what is remembered, to the facts and what is remembered now. A row whose film is another begins
        afresh."""
        queries, classes = alike.shape
        parts = [queries, classes]
        loudness = power.sqrt()
        now = loudness.sum(1, keepdim=True)
        fade = 1 - (1 - FADE) * (now > SILENT).to(said.dtype)
        same = ((film - memory.told).abs().sum(1, keepdim=True) == 0).to(said.dtype)
        goes_on = torch.cat([same.t(), torch.ones(1, classes)], dim=1)
        above = torch.sigmoid(said - memory.middle * goes_on)
        theirs, squared = said.split(parts, dim=1)[0].t() * loudness, said * said
        sums, products = (torch.cat([loudness, theirs]) @ said).split([1, queries])
        squares = loudness @ squared
        new = torch.cat([now.expand(1, queries + classes), sums, squares, loudness @ above, loudness @ (above * said)])
        held = memory.sums * (fade * goes_on) + new
        weight, others = held.split([1, SUMS - 1])
        weight = weight + SILENT
        means = others / weight
        mean, _, share, upper = means.split(1)  # (1, Q + C) each, as what follows
        high, low = upper / (share + SCARCE), (mean - upper) / (1 - share + SCARCE)
        middle = (high + low) / 2
        kept = fade * same  # (Q, 1)
        both = memory.both * kept + products.split(parts, dim=1)[1]  # (Q, C) each, as what follows
        known = memory.known * kept + sums.split(parts, dim=1)[1]
        square = memory.square * kept + squares.split(parts, dim=1)[1]
        whole = weight.split(parts, dim=1)[0].t()
        ours, our_square, *_ = means.split(parts, dim=1)[0].t().split(1, dim=1)
        their_mean = known / whole
        spread = (our_square - ours * ours).clamp_min(0) + LEAST_VARIANCE
        their_spread = (square / whole - their_mean * their_mean).clamp_min(0) + LEAST_VARIANCE
        together = (both / whole - ours * their_mean) / (spread * their_spread).sqrt()
        asked, standing = torch.cat([low, middle, high, share]).split(parts, dim=1)
        return Facts(asked, standing, together, alike), Memory(held, middle, both, known, square, film)

    def nothing(self, queries: int) -> Memory:
        """What is remembered when a stream begins."""
        classes, films = self.known.shape
        both, pairs = queries + classes, (queries, classes)
        shapes = ((SUMS, both), (1, both), pairs, pairs, pairs, (queries, films))
        return Memory(*(torch.zeros(shape) for shape in shapes))

    def change(self, facts: Facts) -> Change:
        """What the judges make of it."""
        pairs = torch.stack([facts.together, facts.alike.expand(facts.together.shape)], dim=-1)
        asked, known = facts.asked.transpose(-1, -2), facts.known.transpose(-1, -2)
        high, ours = facts.known[..., 2:3, :], asked[..., 2:3]
        there = self.rival.of_pairs(pairs, known, asked[..., 1:]) / SCALE
        there = there - STRICT - NEARNESS * facts.together + high / 2
        chosen = torch.softmax(torch.cat([there, torch.zeros_like(there[..., :1])], dim=-1), dim=-1)[..., :-1]
        rivals = chosen * self.against
        better = torch.sigmoid(high - ours).mean(-1, keepdim=True)
        all_of = torch.cat([high.amax(-1, keepdim=True), high.mean(-1, keepdim=True)], dim=-1)
        of_rivals = [chosen @ known[..., 2:3], (chosen[..., None, :] @ pairs)[..., 0, :]]
        told = [asked, all_of.expand(*better.shape[:-1], 2), *of_rivals, better]
        moved, stretched = self.presence(torch.cat(told, dim=-1)).unbind(-1)
        gain = self.gain * torch.exp(stretched / 2)
        middles = (rivals @ known[..., 1:2])[..., 0]
        return Change(gain, rivals, moved / SCALE - gain * self.centred * asked[..., 1] + middles)


class Judge(nn.Module):
    """A layer of `HIDDEN` and one more, that answers nothing as long as it has not learned."""

    scales: Tensor

    def __init__(self, scales: tuple[float, ...], answers: int) -> None:
        super().__init__()
        self.register_buffer("scales", torch.tensor(scales), persistent=False)
        self.first, self.last = nn.Linear(len(scales), HIDDEN), nn.Linear(HIDDEN, answers)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, told: Tensor) -> Tensor:
        """``(..., facts)`` to ``(..., answers)``."""
        first = F.linear(told, self.first.weight * self.scales, self.first.bias)
        judged: Tensor = self.last(torch.tanh(first))
        return judged

    def of_pairs(self, pairs: Tensor, one: Tensor, other: Tensor) -> Tensor:
        """The same of all pairs, told of each ``(..., Q, C, a)``, of the second ``(..., C, b)`` and of the first
        ``(..., Q, c)``: one answer ``(..., Q, C)``."""
        widths = [pairs.shape[-1], one.shape[-1], other.shape[-1]]
        weights = (self.first.weight * self.scales).split(widths, dim=1)
        of_pair, of_one, of_other = (weight.t() for weight in weights)
        hidden = pairs @ of_pair + (one @ of_one)[..., None, :, :] + (other @ of_other + self.first.bias)[..., None, :]
        judged: Tensor = self.last(torch.tanh(hidden))[..., 0]
        return judged


def _standings(said: Tensor, weight: Tensor, mean: Tensor) -> Tensor:
    """Of ``(points, n)``, whose weights ``(points,)`` sum to one: ``(4, n)``."""
    middle, low, high, share = mean, mean, mean, mean
    for _ in range(ROUNDS):
        above = weight[:, None] * torch.sigmoid(said - middle)
        share = above.sum(0)
        high = (above * said).sum(0) / (share + SCARCE)
        low = (mean - share * high) / (1 - share + SCARCE)
        middle = (high + low) / 2
    return torch.stack([low, middle, high, share])
