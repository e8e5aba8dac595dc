"""Dropouts: sound that is cut off and goes on, as if somebody had pulled the plug for a moment.

::

    ~~~~~~~|________|~~~~~~~      a dropout: full to the edge on both sides, as loud after as before
    ~~~~~\\___________|~~~~~       a note that ends and another that begins: none

A gap is a run without sound, or of one and the same value (a converter that hangs), in all channels or in one. A block
that comes twice instead of the next one (`Repeats`) is one, too. Edges are exact to the sample.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from .detector import Detector, Span
from .hops import Block, HopBlock
from .quiet import Mask, Run, Runs
from .repeats import Repeats

_QUIET = 4e-5
"""-88 dBFS; a step of 16 bits is 3e-5."""
_SHORTEST_S = 0.001
_LONGEST_S = 0.8
_REPEATED_S = 0.19
_REPEATED = 0.8
"""How strong a block is that comes twice: chance does not do that."""
_EDGE_S = 0.002
_ROUND_S = 0.03
_SOUND = 2e-3
"""-54 dBFS: what is softer around a gap was hardly there."""
_ONE_CHANNEL = 0.5
"""How much a gap in one channel counts: a voice that ends, panned hard, is one too."""


class Dropouts(Detector):
    KIND = "dropout"
    GAP_S = 0.1
    DELAY_S = _LONGEST_S + 0.1

    def open(self) -> None:
        self._edge, self._round = (max(2, round(s * self.rate)) for s in (_EDGE_S, _ROUND_S))
        self._longest = round(_LONGEST_S * self.rate)
        self._keep = round((_LONGEST_S + 3 * _ROUND_S) * self.rate)
        self._repeats = Repeats(
            round(_REPEATED_S * self.rate), max(16, round(0.0015 * self.rate)), round(0.0025 * self.rate)
        )
        self._runs = [Runs(max(4, round(_SHORTEST_S * self.rate))) for _ in range(self.channels + 1)]

    def clear(self) -> None:
        self._past: Block = np.zeros((self.channels, 0), np.float32)
        self._waiting: deque[tuple[Run, int]] = deque()
        self._repeats.reset()
        for runs in self._runs:
            runs.reset()

    def hear(self, hops: HopBlock) -> list[Span]:
        count, channels, size = hops.samples.shape
        position = self._heard * size
        new = hops.samples.transpose(1, 0, 2).reshape(channels, -1)
        last = self._past[:, -1:] if self._past.shape[1] else np.full((channels, 1), np.inf, np.float32)
        steps = np.diff(new, axis=1, prepend=last)
        quiet = (np.abs(new) <= _QUIET) | (np.abs(steps, out=steps) <= 1e-7)
        self._past = np.concatenate([self._past, new], axis=1)[:, -(self._keep + count * size) :]
        end = position + count * size
        masks: list[Mask] = [*quiet, np.logical_and.reduce(quiet)]
        for channel, runs in enumerate(self._runs):
            both = channel == channels
            if both and channels == 1:
                break
            found = runs.process(masks[channel], position)
            self._waiting += [(run, channel) for run in found if run.end - run.start <= self._longest]
        spans = []
        still: deque[tuple[Run, int]] = deque()
        for run, channel in self._waiting:
            if run.end + self._round > end:
                still.append((run, channel))
                continue
            span = self._judge(run, channel, end)
            self.paint_span(span)
            if span.strength >= self.threshold:
                spans.append(span)
        self._waiting = still
        reach = self._past[:, -(count * size + self._repeats.before + self._repeats.after + self._repeats.apart) :]
        for run in self._repeats.process(reach.mean(axis=0, dtype=np.float32), end - reach.shape[1]):
            spans.append(Span(run.start, run.end, _REPEATED))
            self.paint_span(spans[-1])
        self._past = self._past[:, -self._keep :]
        return sorted(spans)

    def finish(self) -> list[Span]:
        return []

    def _settled(self) -> int:
        """What is without sound now, or was a moment ago, may be a dropout, nothing before it."""
        now = self._heard * self.hop_samples - self._repeats.after - self._repeats.before
        starts = [run.start for run, _ in self._waiting]
        starts += [runs.open for runs in self._runs if runs.open is not None and now - runs.open <= self._longest]
        return min([now, *starts])

    def _judge(self, run: Run, channel: int, end: int) -> Span:
        """How much a run without sound looks cut out. ``_past`` ends at ``end``."""
        everywhere = channel == self.channels
        base = end - self._past.shape[1]
        audio = self._past if everywhere else self._past[channel : channel + 1]
        before = audio[:, max(0, run.start - self._round - base) : max(0, run.start - base)]
        after = audio[:, run.end - base : run.end + self._round - base]
        if before.shape[1] < self._round:
            return Span(run.start, run.end, 0.0)
        loud = min(_rms(before), _rms(after))
        near = min(_rms(before[:, -self._edge :]), _rms(after[:, : self._edge]))
        full = near / (max(_rms(before), _rms(after)) + 1e-9)
        audible = loud / (loud + _SOUND)
        weight = 1.0 if everywhere or self.channels == 1 else _ONE_CHANNEL
        measure = full * audible * weight
        return Span(run.start, run.end, measure / (measure + 0.12))


def _rms(audio: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
