"""What only a whole file shows of its faults: what comes again and again is one fault, or how the piece sounds.

::

    hum     ━━━  ━━━━━━   ━━  ━━━━      one hum, from the first to the last
    clicks  ▏▏ ▏  ▏▏ ▏▏▏ ▏   ▏ ▏▏▏      none of them, but for those that stand far above the others
"""

from collections.abc import Sequence

import numpy as np

from ..fault_curve import SURE, FaultCurve
from ..flags import Flag
from .clicks import Clicks
from .dc_offset import DcOffset
from .hum import Hum

LASTING = (Hum.KIND, DcOffset.KIND)
"""Kinds whose cause lasts: a cable, a converter."""
JOINED_S = 30.0
COMMON, COMMON_STEPS, COMMON_S = 0.35, 10, 30.0
"""Where more than so many steps within so long on both sides are as strong as this, clicks are common …"""
OUTSTANDING = 0.65
"""… and only one from here on is told."""


def settled(faults: Sequence[Flag], curve: FaultCurve, steps: int, step_samples: float, rate: int) -> list[Flag]:
    """The flags of a whole file, of those that were told as it went by; sorted."""
    kept = [fault for fault in faults if fault.kind not in (*LASTING, Clicks.KIND)]
    for kind in LASTING:
        kept += joined([fault for fault in faults if fault.kind == kind], JOINED_S * rate)
    clicks = [fault for fault in faults if fault.kind == Clicks.KIND]
    if clicks:
        strong = np.concatenate([[0], np.cumsum(curve.strengths(Clicks.KIND, steps) >= COMMON)])
        reach = round(COMMON_S * rate / step_samples)
        for click in clicks:
            at = min(steps - 1, round(click.start / step_samples))
            near = int(strong[min(steps, at + reach + 1)] - strong[max(0, at - reach)])
            if near <= COMMON_STEPS or click.score >= OUTSTANDING:
                kept.append(click)
    return sorted(fault for fault in kept if fault.score >= SURE)


def joined(faults: Sequence[Flag], gap: float) -> list[Flag]:
    """Those of one kind, one where less than ``gap`` samples lie between them, as strong as the strongest."""
    out: list[Flag] = []
    for fault in sorted(faults):
        if out and fault.start - out[-1].end <= gap:
            strongest = max(out[-1], fault, key=lambda one: one.score)
            out[-1] = strongest._replace(start=out[-1].start, end=max(out[-1].end, fault.end))
        else:
            out.append(fault)
    return out
