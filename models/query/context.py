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
from torch.nn import functional as F

ROUNDS = 3
"""In which the middle between low and high settles."""
SCARCE = 1e-4
"""Share of a clip that is as good as none of it."""
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
        mean: of all.
    """

    low: Tensor
    middle: Tensor
    high: Tensor
    share: Tensor
    mean: Tensor


class Facts(NamedTuple):
    """All that the judges are told of a clip.

    Attributes:
        asked, known: standings of Q queries and of C classes.
        together: ``(Q, C)``, how what is said of a query and of a class go together over the clip, −1 to 1.
        alike: ``(Q, C)``, how near their films are, −1 to 1.
    """

    asked: Standings
    known: Standings
    together: Tensor
    alike: Tensor


class Change(NamedTuple):
    """Of what is said of Q queries: times ``gain (Q,)``, less the classes by ``rivals (Q, C)``, and ``offset (Q,)``."""

    gain: Tensor
    rivals: Tensor
    offset: Tensor

    def of(self, asked: Tensor, known: Tensor) -> Tensor:
        """What is said of the queries ``(..., Q)`` and of the classes ``(..., C)`` to what is said now."""
        changed: Tensor = asked * self.gain + self.offset - known @ self.rivals.t()
        return changed


class Context(nn.Module):
    """Of so many classes, whose films it holds: ``known (classes, films)``, zero until `calibration` sets them."""

    known: Tensor

    def __init__(self, classes: int, films: int) -> None:
        super().__init__()
        self.register_buffer("known", torch.zeros(classes, films))
        self.rival, self.presence = _judge(RIVAL_FACTS, 1), _judge(PRESENCE_FACTS, 2)
        self.gain, self.centred, self.against = (nn.Parameter(torch.tensor([x])) for x in (1.0, 0.5, 0.5))

    def facts(self, said: Tensor, power: Tensor, alike: Tensor) -> Facts:
        """What is said of the queries and, after them, of the classes ``(T, bands, Q + C)``, the clip's power
        ``(T, bands)``, and how alike they are ``(Q, C)``."""
        loudness = power.sqrt().flatten()
        weight = loudness / loudness.sum().clamp_min(SCARCE**2)
        said = said.flatten(0, 1)
        queries = said.shape[1] - len(self.known)
        mean = weight @ said
        apart = said - mean
        spread = (weight @ apart.square() + LEAST_VARIANCE).sqrt()
        together = (weight[:, None] * apart[:, :queries]).t() @ apart[:, queries:]
        together = together / (spread[:queries, None] * spread[queries:])
        standings = _standings(said, weight, mean)
        asked, known = (Standings(*(x[part] for x in standings)) for part in (slice(queries), slice(queries, None)))
        return Facts(asked, known, together, alike)

    def change(self, facts: Facts) -> Change:
        """What the judges make of it."""
        asked, known, shape = facts.asked, facts.known, facts.together.shape
        told = [facts.together * TWICE, facts.alike * TWICE]
        told += [x.expand(shape) * SCALE for x in (known.high, known.middle, known.low)]
        told += [x[:, None].expand(shape) * SCALE for x in (asked.high, asked.middle)]
        told += [known.share.expand(shape) * TWICE, asked.share[:, None].expand(shape) * TWICE]
        there = self.rival(torch.stack(told, dim=-1))[..., 0] / SCALE - STRICT
        there = there - NEARNESS * facts.together + known.high / 2
        none = torch.zeros_like(there[:, :1])
        chosen = torch.softmax(torch.cat([there, none], dim=1), dim=1)[:, :-1]
        better = torch.sigmoid(known.high - asked.high[:, None]).mean(1)
        most, usual = (x.expand_as(better) for x in (known.high.amax(0), known.high.mean(0)))
        theirs, theirs_together, theirs_alike = ((chosen * x).sum(1) for x in (known.high, facts.together, facts.alike))
        told = [x * SCALE for x in (asked.low, asked.middle, asked.high, most, usual, theirs)]
        told += [x * TWICE for x in (better, asked.share, theirs_together, theirs_alike)]
        judged = self.presence(torch.stack(told, dim=-1))
        gain = self.gain * torch.exp(judged[:, 1] / 2)
        rivals = chosen * self.against
        offset = judged[:, 0] / SCALE - gain * self.centred * asked.middle + rivals @ known.middle
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
    return Standings(low, middle, high, share, mean)


def alike(one: Tensor, other: Tensor) -> Tensor:
    """Cosines of ``(Q, n)`` and ``(C, n)``."""
    return F.normalize(one, dim=1) @ F.normalize(other, dim=1).t()
