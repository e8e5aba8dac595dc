"""From steps to flags: one a passage.

A passage begins where the score reaches the threshold and ends where it has stayed under a lower one for a while
(hysteresis), so that a score which trembles at the threshold gives one flag. A step speaks of the middle of its segment
and of a little to either side of it: `EDGE_STEPS`::

    score      ▁▁▁▂▅█████▆███▅▃▁▁▁▁▁▁
    threshold  ─────╂────────╂───────
    flag            ┣━━━━━━━━━━┫

Live, a flag is given when its passage is over, or when it has lasted `LIVE_LIMIT_S` and is sure; nothing more is said
of the same passage then. In a file the lower threshold holds both ways: what led up to the threshold without a break is
part of the passage.
"""

import math
from collections import Counter
from collections.abc import Sequence

from .flagger import Step
from .flags import Flag

THRESHOLD = 0.5
"""Scores are made so that good music is flagged less than once in ten minutes here."""
HYSTERESIS = 1.0
"""How much lower, in log odds, a passage ends than it begins."""
GAP_S = 0.5
"""A passage that is odd again within this goes on."""
SHORTEST_S = 0.3
"""Odd for less than this is not a passage."""
LIVE_LIMIT_S = 2.0
EDGE_STEPS = 0.5
"""A passage reaches so many steps beyond the middles of its first and last segment."""


class FlagPicker:
    """Steps to flags, as they come. Chunked equals one-shot; `live` gives up the end of long passages to be early."""

    def __init__(
        self,
        step_samples: int,
        rate: int,
        threshold: float = THRESHOLD,
        live: bool = False,
        shortest_s: float = SHORTEST_S,
        gap_s: float = GAP_S,
    ) -> None:
        self._step, self._rate, self._live = step_samples, rate, live
        self.threshold = threshold
        self._shortest, self._gap = shortest_s * rate, gap_s * rate
        self.reset()

    @property
    def threshold(self) -> float:
        """At or above this score a passage begins."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        self._threshold = value
        inside = min(max(value, 1e-9), 1 - 1e-9)
        self._release = 1 / (1 + math.exp(HYSTERESIS) * (1 - inside) / inside)

    def reset(self) -> None:
        self._open: list[Step] = []
        self._before: list[Step] = []
        """Above the lower threshold, not yet above the other."""
        self._given = False

    def process(self, steps: Sequence[Step]) -> list[Flag]:
        """The flags that ``steps`` complete."""
        flags = []
        for step in steps:
            if self._open and step.position - self._open[-1].position > self._gap + self._step:
                flags += self._close()
            limit = self._release if self._open else self._threshold
            if step.score < limit:
                if step.score < self._release:
                    self._before.clear()
                elif not self._live:
                    self._before.append(step)
                continue
            self._open += [*self._before, step]
            self._before.clear()
            if self._live and not self._given and self._length() >= LIVE_LIMIT_S * self._rate:
                flags.append(self._flag())
                self._given = True
            if self._given:  # only the last is still needed
                self._open = self._open[-1:]
        return flags

    def flush(self) -> list[Flag]:
        """The passage that is still open. Then `reset`."""
        flags = self._close()
        self.reset()
        return flags

    def _length(self) -> float:
        return self._open[-1].position - self._open[0].position + 2 * EDGE_STEPS * self._step

    def _close(self) -> list[Flag]:
        whole = bool(self._open) and not self._given and self._length() >= self._shortest
        flags = [self._flag()] if whole else []
        self.reset()
        return flags

    def _flag(self) -> Flag:
        steps = self._open
        edge = round(EDGE_STEPS * self._step)
        worst = max(steps, key=lambda step: step.score)
        votes: Counter[str] = Counter()
        for step in steps:
            votes[step.kind] += step.score  # type: ignore[assignment]
        kind = votes.most_common(1)[0][0]
        shown = max((step for step in steps if step.kind == kind), key=lambda step: step.score)
        start, end = max(0, steps[0].position - edge), steps[-1].position + edge
        p_value = min(step.p_value for step in steps)
        return Flag(start, end, worst.score, p_value, kind, shown.low_hz, shown.high_hz)


def pick_flags(
    steps: Sequence[Step], step_samples: int, rate: int, threshold: float = THRESHOLD, shortest_s: float = SHORTEST_S
) -> list[Flag]:
    """All the flags of a file's steps."""
    picker = FlagPicker(step_samples, rate, threshold, shortest_s=shortest_s)
    return [*picker.process(steps), *picker.flush()]
