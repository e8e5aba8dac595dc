"""What is asked for, set against what else a clip holds.

A network that judges each moment by itself is unsure of sounds that it never heard. What it says of such a sound is
often right against the rest of the clip and wrong by itself: a new whistle is a little like "a whistle", the voice
beside it far less, and both are muted. So the words are told what else there is before they are heard::

    films of the query and of all known classes
      │   compared with what is heard, at every third frame, weighted by loudness
      ▼
    standings: low, middle and high ─┬─ presence: is it there at all? ──────► gain and offset
    of each over the clip            └─ rivals: known classes that are
                                        there where the query is not ───────► taken from it
                                                                                   │
                                              the query's film, as this clip needs it

Masks before the sigmoid are linear in the film, and so one vector more or less of it does all that; what is heard is
computed once. Both judges are tiny: they are fitted on validation mixtures (`calibration`), whose sounds are as new to
the network as a user's, for on sounds that it learned from it has no doubts.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

ROUNDS = 3
"""In which the middle between low and high settles."""
SCARCE = 1e-4
"""Share of a clip that is as good as none of it."""
SILENT = 1e-8
"""Loudness that is as good as none."""
FADE = 0.99826
"""Of what is remembered from one hop of 8.7 ms to the next: 5 s."""
SUMS, PAIRS = 5, 3
"""Running sums of everything: loudness, times what is said, its square, what lies above the middle, times what is said;
and of pairs of a query and a class: both, the class, its square."""
LEAST_VARIANCE = 1e-3
JUDGE = 12
"""Hidden numbers of a judge."""
RIVAL_FACTS, PRESENCE_FACTS = 9, 10
SCALE, TWICE = 0.25, 2.0
"""That bring what judges are told to about one."""
STRICT, NEARNESS = 3.0, 4.0
"""What being there, and being elsewhere, count for before a judge has learned anything."""


class Standings(NamedTuple):
    """Where what is said of so many things lies over a clip, each ``(n,)``.

    Attributes:
        low, high: means of the parts below and above the middle, softly parted.
        middle: half way between them, as in Ridler and Calvard, "Picture Thresholding Using an Iterative Selection
            Method", IEEE SMC 1978.
        share: of the clip's loudness that lies above.
    """

    low: Tensor
    middle: Tensor
    high: Tensor
    share: Tensor

    def part(self, which: slice) -> "Standings":
        return Standings(*(x[which] for x in self))


class Facts(NamedTuple):
    """All that the judges are told of a clip.

    Attributes:
        asked, known: standings of Q queries and of C classes; of a stream, at every hop, all but ``alike``.
        together: ``(Q, C)``, how what is said of a query and of a class go together over the clip, −1 to 1.
        alike: ``(Q, C)``, how near their films are, −1 to 1.
    """

    asked: Standings
    known: Standings
    together: Tensor
    alike: Tensor

    def at(self, hops: slice) -> "Facts":
        """Those of some hops of a stream."""
        return Facts(self.asked.part(hops), self.known.part(hops), self.together[hops], self.alike)


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
        self.rival, self.presence = _judge(RIVAL_FACTS, 1), _judge(PRESENCE_FACTS, 2)
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
        standings = _standings(said, weight, mean)
        return Facts(standings.part(slice(queries)), standings.part(slice(queries, None)), together, alike)

    def remember(
        self, said: Tensor, power: Tensor, film: Tensor, memory: Tensor, alike: Tensor
    ) -> tuple[Facts, Tensor]:
        """Of a stream: what is said at one more hop ``(bands, Q + C)``, its power ``(bands,)``, the films ``(Q,
        films)``, and what is remembered, to the facts and what is remembered now. A row whose film is another begins
        afresh."""
        queries, classes = alike.shape
        sums, middle, pairs, told = self._parts(memory, queries)
        loudness = power.sqrt()
        total = loudness.sum()
        fade = torch.where(total > SILENT, FADE, 1.0)
        same = ((film - told).abs().sum(1) == 0).to(said.dtype)
        goes_on = torch.cat([same, torch.ones(classes)])
        middle = middle * goes_on
        above = loudness[:, None] * torch.sigmoid(said - middle)
        new = [total.expand_as(middle), loudness @ said, loudness @ said.square(), above.sum(0), (above * said).sum(0)]
        sums = sums * (fade * goes_on) + torch.stack(new)
        weight, said_sum, squares, above_sum, high_sum = sums.unbind(0)
        weight = weight + SILENT
        mean, share, high = said_sum / weight, above_sum / weight, high_sum / (above_sum + SCARCE * weight)
        low = (mean - high_sum / weight) / (1 - share + SCARCE)
        middle = (high + low) / 2
        asked, known = said.split([queries, classes], dim=1)
        both = (loudness[:, None] * asked).t() @ known
        theirs = [loudness @ known, loudness @ known.square()]
        pairs = pairs * (fade * same[:, None]) + torch.stack([both, *(x.expand_as(both) for x in theirs)])
        product, theirs_mean, theirs_square = (pairs / weight[:queries, None]).unbind(0)
        ours, ours_square = mean[:queries, None], (squares / weight)[:queries, None]
        spread = (ours_square - ours.square()).clamp_min(0) + LEAST_VARIANCE
        their_spread = (theirs_square - theirs_mean.square()).clamp_min(0) + LEAST_VARIANCE
        together = (product - ours * theirs_mean) / (spread * their_spread).sqrt()
        standings = Standings(low, middle, high, share)
        facts = Facts(standings.part(slice(queries)), standings.part(slice(queries, None)), together, alike)
        return facts, torch.cat([x.flatten() for x in (sums, middle, pairs, film)])

    def remembers(self, queries: int) -> int:
        """How many numbers."""
        classes, films = self.known.shape
        return (SUMS + 1) * (queries + classes) + PAIRS * queries * classes + queries * films

    def _parts(self, memory: Tensor, queries: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        classes, films = self.known.shape
        both = queries + classes
        sums, middle, pairs, told = memory.split([SUMS * both, both, PAIRS * queries * classes, queries * films])
        return sums.view(SUMS, both), middle, pairs.view(PAIRS, queries, classes), told.view(queries, films)

    def change(self, facts: Facts) -> Change:
        """What the judges make of it."""
        asked, known, shape = facts.asked, facts.known, facts.together.shape
        alike = facts.alike.expand(shape)
        theirs = [x[..., None, :].expand(shape) for x in (known.high, known.middle, known.low, known.share)]
        ours = [x[..., None].expand(shape) for x in (asked.high, asked.middle, asked.share)]
        told = [x * TWICE for x in (facts.together, alike)]
        told += [x * SCALE for x in (*theirs[:3], *ours[:2])]
        told += [x * TWICE for x in (theirs[3], ours[2])]
        there = self.rival(torch.stack(told, dim=-1))[..., 0] / SCALE - STRICT
        there = there - NEARNESS * facts.together + theirs[0] / 2
        none = torch.zeros_like(there[..., :1])
        chosen = torch.softmax(torch.cat([there, none], dim=-1), dim=-1)[..., :-1]
        better = torch.sigmoid(theirs[0] - ours[0]).mean(-1)
        of_rivals = [(chosen * x).sum(-1) for x in (theirs[0], facts.together, alike)]
        most, usual = (x[..., None].expand_as(better) for x in (known.high.amax(-1), known.high.mean(-1)))
        told = [x * SCALE for x in (asked.low, asked.middle, asked.high, most, usual, of_rivals[0])]
        told += [x * TWICE for x in (better, asked.share, *of_rivals[1:])]
        judged = self.presence(torch.stack(told, dim=-1))
        gain = self.gain * torch.exp(judged[..., 1] / 2)
        rivals = chosen * self.against
        offset = judged[..., 0] / SCALE - gain * self.centred * asked.middle + (rivals * theirs[1]).sum(-1)
        return Change(gain, rivals, offset)


def _judge(facts: int, answers: int) -> nn.Sequential:
    """That answers nothing as long as it has not learned."""
    last = nn.Linear(JUDGE, answers)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(facts, JUDGE), nn.Tanh(), last)


def _standings(said: Tensor, weight: Tensor, mean: Tensor) -> Standings:
    """Of ``(points, n)``, whose weights ``(points,)`` sum to one."""
    middle, low, high, share = mean, mean, mean, mean
    for _ in range(ROUNDS):
        above = weight[:, None] * torch.sigmoid(said - middle)
        share = above.sum(0)
        high = (above * said).sum(0) / (share + SCARCE)
        low = (mean - share * high) / (1 - share + SCARCE)
        middle = (high + low) / 2
    return Standings(low, middle, high, share)
