"""The context of query-live at one look of a stream: `models.query.context` with as few products as will do.

A hop of the live graph is hundreds of small operations, whose number costs more than their arithmetic, above all after
a pause, when each is met cold. So rows of what is remembered are brought to the judges' facts by one matrix, facts of
pairs lie one under the other and meet one matrix for all queries, and what is linear in both is folded together.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from models.query.context import (
    FADE,
    LEAST_VARIANCE,
    NEARNESS,
    SCALE,
    SCARCE,
    SILENT,
    STRICT,
    SUMS,
    Context,
)

FACTS = 6
"""Of a query or a class: high, low, share, mean, square, weight, in this order."""


class ContextStep(nn.Module):
    """What is said of so many queries and of all classes at one look to what is said of the queries in their context.

    Its memory is `models.query.context.Memory`'s, but that what is summed since a query was asked are two states, of
    both and of the class alone, and that a query is known again by one number.
    """

    weighing: Tensor
    silent: Tensor
    middle: Tensor
    of_query: Tensor
    of_query_bias: Tensor
    of_pairs: Tensor
    at_once: Tensor
    strict: Tensor
    there: Tensor
    mine: Tensor
    told: Tensor
    of_all: Tensor
    of_all_bias: Tensor
    answers: Tensor
    answers_bias: Tensor
    offset: Tensor
    gain: Tensor
    centre: Tensor

    def __init__(self, trained: Context, queries: int) -> None:
        super().__init__()
        self.queries, self.classes = queries, len(trained.known)
        eye, one = torch.eye(queries), torch.ones(queries, 1)

        def keep(**constants: Tensor) -> None:
            for name, value in constants.items():
                self.register_buffer(name, value.detach().clone())

        # rows of sums: weight, times what is said, its square, what lies above, times what is said
        over = torch.tensor([
            [0.0, 0, 0, 0, 1], [0, 1, 0, 0, -1], [0, 0, 0, 1, 0], [0, 1, 0, 0, 0], [LEAST_VARIANCE, 0, 1, 0, 0],
            [1, 0, 0, 0, 0],
        ])  # fmt: skip
        under = torch.tensor([
            [SCARCE, 0, 0, 1, 0], [1 + SCARCE, 0, 0, -1, 0], [1.0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0],
            [0, 0, 0, 0, 0],
        ])  # fmt: skip
        weighing = torch.cat([over, under])
        silent = weighing[:, :1] * SILENT
        silent[-1] = 1
        middle = torch.tensor([[0.5, 0.5, 0, 0, 0, 0]])
        keep(weighing=weighing, silent=silent, middle=middle)

        rival = trained.rival.first.weight * trained.rival.scales
        of_pair, of_class, of_query = rival[:, :2], of_facts(rival[:, 2:6]), of_facts(rival[:, 6:], low=False)
        pairs = [torch.kron(eye, column[:, None]) for column in of_pair.t()]
        keep(of_query=of_query.t(), of_query_bias=trained.rival.first.bias)
        keep(of_pairs=torch.cat([*pairs, of_class.repeat(queries, 1)], dim=1))
        half = torch.tensor([[0.5, 0, 0, 0, 0, 0]])
        keep(there=torch.kron(eye, trained.rival.last.weight) / SCALE)
        keep(at_once=torch.cat([-NEARNESS * eye, 0 * eye, one @ half], dim=1))
        keep(strict=trained.rival.last.bias / SCALE - STRICT)

        presence = trained.presence.first.weight * trained.presence.scales
        keep(mine=torch.cat([eye, eye, one @ torch.ones(1, FACTS)], dim=1))
        chosen = torch.cat([
            presence[:, 7:8].repeat(1, queries), presence[:, 8:9].repeat(1, queries), presence[:, 6:7],
            torch.zeros(len(presence), FACTS - 1),
        ], dim=1)  # fmt: skip
        keep(told=torch.cat([of_facts(presence[:, :4]), chosen, presence[:, 9:]], dim=1).t())
        keep(of_all=presence[:, 4:6].t(), of_all_bias=trained.presence.first.bias)
        moved = torch.tensor([1 / SCALE, 0.5])
        keep(
            answers=(trained.presence.last.weight * moved[:, None]).t(), answers_bias=trained.presence.last.bias * moved
        )
        offset = torch.zeros(2 * queries + FACTS, 2)
        offset[2 * queries : 2 * queries + 2, 0] = trained.against.item() / 2
        keep(offset=offset, gain=trained.gain, centre=trained.centred * middle)
        self.against = trained.against.item()

    def remembered(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes of what is, in the order in which it is read."""
        both = self.queries + self.classes
        yield "sums", (SUMS, both)
        yield "middle", (1, both)
        yield "both", (self.queries, both)
        yield "alone", (self.queries, 2 * both)
        yield "told", (self.queries, 1)

    def forward(
        self, asked: Tensor, known: Tensor, loudness: Tensor, alike: Tensor, mark: Tensor, *memory: Tensor
    ) -> tuple[Tensor, ...]:
        """What is said ``(bands, Q)`` and ``(bands, C)``, ``(1, bands)``, ``(Q, C)``, a number of each query ``(Q, 1)``
        and all that is remembered, to what is said now ``(bands, Q)`` and that."""
        facts, together, memory = self._remember(torch.cat([asked, known], dim=1), asked, loudness, mark, memory)
        ours, theirs = facts.split([self.queries, self.classes], dim=1)
        return self._changed(asked, known, torch.cat([together, alike, theirs]), ours.t(), theirs), *memory

    def _remember(
        self, said: Tensor, asked: Tensor, loudness: Tensor, mark: Tensor, memory: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        sums, middle, both, alone, told = memory
        everything = [self.queries, self.classes]
        now = loudness.sum(1, keepdim=True)
        fade = torch.where(now > SILENT, FADE, 1.0)
        same = (mark == told).to(said.dtype)
        kept, goes_on = fade * same, torch.cat([same.view(1, -1), torch.ones(1, self.classes)], dim=1)
        above = torch.sigmoid(said - middle * goes_on)
        weighed = torch.cat([loudness, asked.t() * loudness]) @ said
        values, products = weighed.split([1, self.queries])
        squares = loudness @ (said * said)
        new = [now.expand(1, sum(everything)), values, squares, loudness @ above, loudness @ (above * said)]
        sums = sums * (fade * goes_on) + torch.cat(new)
        over, under = torch.addmm(self.silent, self.weighing, sums).split(FACTS)
        facts = over / under
        both = both * kept + products
        alone = alone * kept + torch.cat([values, squares], dim=1)
        _, mean, square, weight = facts.split(everything, dim=1)[0].t().split([FACTS - 3, 1, 1, 1], dim=1)
        their_mean, their_square = (alone / weight).chunk(2, dim=1)
        spread = (square - mean * mean) * (their_square - their_mean * their_mean + LEAST_VARIANCE)
        together = (both / weight - mean * their_mean) / spread.clamp_min(LEAST_VARIANCE**2).sqrt()
        return facts, together.split(everything, dim=1)[1], (sums, self.middle @ facts, both, alone, mark)

    def _changed(self, asked: Tensor, known: Tensor, pairs: Tensor, ours: Tensor, theirs: Tensor) -> Tensor:
        """Of facts of pairs and of classes ``(2 Q + FACTS, C)``, of queries ``(Q, FACTS)`` and of classes."""
        of_query = torch.addmm(self.of_query_bias, ours, self.of_query).view(-1, 1)
        hidden = torch.tanh(torch.addmm(of_query, self.of_pairs, pairs))
        there = torch.addmm(torch.addmm(self.strict, self.at_once, pairs), self.there, hidden)
        chosen = torch.softmax(torch.cat([there, torch.zeros(self.queries, 1)], dim=1), dim=1)[:, :-1]
        rivals = (chosen @ pairs.t()) * self.mine
        high = theirs.split([1, FACTS - 1])[0]
        all_of = torch.cat([high.amax(1, keepdim=True), high.mean(1, keepdim=True)], dim=1)
        better = torch.sigmoid(high - ours.split([1, FACTS - 1], dim=1)[0]).mean(1, keepdim=True)
        told = torch.cat([ours, rivals, better], dim=1)
        present = torch.tanh(torch.addmm(torch.addmm(self.of_all_bias, all_of, self.of_all), told, self.told))
        answers = torch.addmm(torch.addmm(self.answers_bias, rivals, self.offset), present, self.answers)
        offset, stretched = answers.t().split(1)
        kept = (asked - self.centre @ ours.t()) * (torch.exp(stretched) * self.gain)
        return kept + torch.addmm(offset, known, chosen.t(), alpha=-self.against)


def of_facts(weights: Tensor, low: bool = True) -> Tensor:
    """Weights of where a class or a query stands ``(n, 4)``, or without how low ``(n, 3)``, to those of all facts."""
    below, middle, high, share = (weights if low else torch.cat([0 * weights[:, :1], weights], dim=1)).split(1, dim=1)
    return torch.cat([high + middle / 2, below + middle / 2, share, torch.zeros(len(weights), FACTS - 3)], dim=1)
