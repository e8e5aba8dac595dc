"""What every hosted effect needs round it: blocks of one size, its latency out, its exact length, its tail.

An effect of pedalboard prepares itself anew, and forgets what it heard, when a block comes that is longer than its
first; so it only ever gets multiples of one size here, the last one filled up with silence. Then chunking from outside
cannot be heard either. Some plugins give all that comes in and report how late it is; some give less at first and are
on time already; some do the one on a first run and the other after a reset. What is missing at first is counted against
what is reported, and the rest of it is cut::

    in        ░░░░░░░░░░░░░░░░░░░░░░░│silence …
    out    ▒▒▒░░░░░░░░░░░░░░░░░░░░░░░│tail ~~~~~~~~~
           └ latency: cut            └ kept until it has been quiet for a while, or cut here
"""

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from .stage import Block, joined, nothing

HOST_BLOCK = 8192
"""What a hosted effect gets at a time; also pedalboard's own choice."""
CALL = 8 * HOST_BLOCK
"""Most frames a call hands over: pedalboard cuts them up itself, faster than Python."""
QUIET = 10.0 ** (-100 / 20)
"""A tail is over below this."""
QUIET_S = 1.0
"""For so long it has to be quiet: an echo may be a while away."""
GIVE_UP = 64
"""Blocks of silence after which an effect that still owes samples will not give them any more."""


class Tail:
    """Whether what an effect still gives after the end is kept, and for how long at most."""

    def __init__(self, keep: bool = False, max_s: float = 10.0) -> None:
        self.keep, self.max_s = keep, max_s


class Pump:
    """Blocks of any size through an effect.

    Args:
        run: ``(channels, k * HOST_BLOCK)`` in, whatever is ready out; what comes after belongs to the same stream.
        latency: asked for after the first call: how many samples the effect says that it is late.
        quiet_s: for so long a tail has to be quiet to be over.
    """

    def __init__(
        self,
        run: Callable[[Block], Block],
        latency: Callable[[], int],
        rate: int,
        channels: int,
        tail: Tail,
        quiet_s: float = QUIET_S,
    ) -> None:
        self._run, self._latency = run, latency
        self._channels, self._tail = channels, tail
        self._tail_max = round(tail.max_s * rate)
        self._quiet = round(max(quiet_s, QUIET_S) * rate)
        self._waiting: list[Block] = []
        self._held = 0
        self._taken = self._pushed = self._returned = self._dropped = self._given = 0

    def process(self, block: Block) -> Block:
        self._taken += block.shape[1]
        self._waiting.append(block)
        self._held += block.shape[1]
        if self._held < CALL:
            return nothing(self._channels)
        audio = joined(self._waiting, self._channels)
        whole = self._held - self._held % CALL  # always the same: a codec hears where calls begin
        self._waiting = [audio[:, whole:]] if whole < self._held else []
        self._held -= whole
        return joined([self._push(audio[:, at : at + CALL]) for at in range(0, whole, CALL)], self._channels)

    def flush(self) -> Iterator[Block]:
        pushes = self._last_pushes()
        yield from self._with_tail(pushes) if self._tail.keep else self._exact(pushes)
        if self._given < self._taken:  # an effect that owes samples and gives none any more
            yield np.zeros((self._channels, self._taken - self._given), np.float32)

    def _last_pushes(self) -> Iterator[Block]:
        """What still waits, filled up, and then silence without end."""
        if self._held:
            audio = joined(self._waiting, self._channels)
            yield np.pad(audio, ((0, 0), (0, -self._held % HOST_BLOCK)))
        while True:
            yield np.zeros((self._channels, HOST_BLOCK), np.float32)

    def _exact(self, pushes: Iterator[Block]) -> Iterator[Block]:
        """As much as came in."""
        for audio in islice(pushes, GIVE_UP):
            if self._given >= self._taken:
                return
            out = self._push(audio)
            end = out.shape[1] - max(0, self._given - self._taken)
            if end:
                yield out[:, :end]

    def _with_tail(self, pushes: Iterator[Block]) -> Iterator[Block]:
        """Everything until it has been quiet for long enough; what is quiet at the end is left out."""
        held: list[Block] = []
        quiet, idle, most = 0, 0, self._taken + self._tail_max
        while self._given < most and idle < GIVE_UP and (self._given < self._taken or quiet < self._quiet):
            owed = max(0, self._taken - self._given)
            out = self._push(next(pushes))
            idle = 0 if out.shape[1] else idle + 1
            out = out[:, : out.shape[1] - max(0, self._given - most)]
            loud = np.flatnonzero(np.abs(out[:, owed:]).max(axis=0, initial=0.0) > QUIET)
            end = min(owed + int(loud[-1]) + 1 if len(loud) else owed, out.shape[1])
            if end:
                yield from held
                yield out[:, :end]
                held, quiet = [], 0
            held.append(out[:, end:])
            quiet += out.shape[1] - end

    def _push(self, audio: Block) -> Block:
        out = self._run(audio)
        self._pushed += audio.shape[1]
        self._returned += out.shape[1]
        if self._given == 0:
            late = self._latency() - self._dropped - (self._pushed - self._returned)  # what it kept back is not late
            cut = min(max(0, late), out.shape[1])
            self._dropped += cut
            out = out[:, cut:]
        self._given += out.shape[1]
        return out
