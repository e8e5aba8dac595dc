"""Silence: nothing at all for longer than a rest, with sound before and after.

Before the first sound and after the last there may be as much silence as one likes, and a note may fade to nothing.
Shorter gaps with cut edges are `Dropouts`.

::

    ~~~~~~~|_____________|~~~~    a silence         ~~~~~\\________________~~~~    a rest: it was soft when it ended
"""

import numpy as np

from .detector import LIVE_LIMIT_S, Detector, Span
from .hops import HopBlock
from .quiet import Run, Runs

LEVEL = 1e-4
"""-80 dBFS: the noise of 16 bits with dither stays under it."""
_LIMIT_S = 0.8
"""A silence of this length is as strong as a fault must be."""
_SHORTEST_S = 0.05
_BEFORE_HOPS, _LAST_HOPS = 100, 2
"""A second of sound, and its last moment …"""
_SOFT = 0.3
"""… which so much softer (-10 dB) is no cut any more: such a silence counts for less, the softer the less."""
_SOUND_HOPS = 20
"""So much has to sound before there is anything to interrupt."""


class Silence(Detector):
    KIND = "silence"
    GAP_S = 0.05
    DELAY_S = LIVE_LIMIT_S

    def open(self) -> None:
        self._runs = Runs(round(_SHORTEST_S * self.rate))

    def clear(self) -> None:
        self._runs.reset()
        self._sounded = 0
        self._levels = np.zeros(0)
        self._open_cut = 1.0

    def hear(self, hops: HopBlock) -> list[Span]:
        count, _, size = hops.samples.shape
        position = self._heard * size
        end = position + count * size
        quiet = (hops.magnitudes < LEVEL).all(axis=1).reshape(-1)
        before = self._runs.open
        found = self._runs.process(quiet, position)
        self._levels = np.concatenate(
            [self._levels, np.sqrt(np.square(hops.samples, dtype=np.float64).mean(axis=(1, 2)))]
        )
        first = self._heard + count - len(self._levels)  # the hop of the first level
        cuts = [self._open_cut if run.start == before else self._cut(run.start // size - first) for run in found]
        spans = [self._span(run, cut) for run, cut in zip(found, cuts, strict=True) if self._sounded >= _SOUND_HOPS]
        if self._runs.open is not None and self._runs.open != before:
            self._open_cut = self._cut(self._runs.open // size - first)
        self._levels = self._levels[-_BEFORE_HOPS:]
        self._sounded += int((hops.magnitudes.max(axis=(1, 2)) > 10 * LEVEL).sum())
        begun = self._runs.open
        if begun is not None and end - begun >= LIVE_LIMIT_S * self.rate and self._sounded >= _SOUND_HOPS:
            running = self._span(Run(begun, end), self._open_cut)
            self.paint_span(running)
            if self._live and running.strength >= self.threshold:
                spans.append(running)
        for span in spans:
            self.paint_span(span)
        return [span for span in spans if span.strength >= self.threshold]

    def finish(self) -> list[Span]:
        return []

    def _settled(self) -> int:
        """What is silent now may be a fault, nothing before it."""
        now = self._heard * self.hop_samples
        return now if self._runs.open is None else min(now, self._runs.open)

    def _cut(self, hop: int) -> float:
        """How much a silence that begins in this hop of `_levels` was cut off, 0 … 1: how loud it was before."""
        sound = self._levels[max(0, hop - _BEFORE_HOPS) : hop]
        if not len(sound):
            return 1.0
        return min(1.0, float(sound[-_LAST_HOPS:].max() / (np.median(sound) + 1e-9)) / _SOFT)

    def _span(self, run: Run, cut: float) -> Span:
        length = cut * (run.end - run.start) / self.rate
        return Span(run.start, run.end, length / (length + _LIMIT_S))
