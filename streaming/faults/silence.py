"""Silence: nothing at all for longer than a rest, with sound before and after.

Before the first sound and after the last there may be as much silence as one likes. Shorter gaps with cut edges are
`Dropouts`.
"""

import numpy as np

from .detector import LIVE_LIMIT_S, Detector, Span
from .hops import Block
from .quiet import Run, Runs

LEVEL = 1e-4
"""-80 dBFS: the noise of 16 bits with dither stays under it."""
_LIMIT_S = 0.8
"""A silence of this length is as strong as a fault must be."""
_SHORTEST_S = 0.05
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

    def hear(self, hops: Block) -> list[Span]:
        count, _, size = hops.shape
        position = self._heard * size
        end = position + count * size
        quiet = (np.abs(hops) < LEVEL).all(axis=1).reshape(-1)
        found = self._runs.process(quiet, position)
        spans = [self._span(run) for run in found if self._sounded >= _SOUND_HOPS]
        self._sounded += int((np.abs(hops).max(axis=(1, 2)) > 10 * LEVEL).sum())
        begun = self._runs.open
        if begun is not None and end - begun >= LIVE_LIMIT_S * self.rate and self._sounded >= _SOUND_HOPS:
            running = self._span(Run(begun, end))
            self.paint_span(running)
            if self._live:
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

    def _span(self, run: Run) -> Span:
        length = (run.end - run.start) / self.rate
        return Span(run.start, run.end, length / (length + _LIMIT_S))
