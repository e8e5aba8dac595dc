"""From what was heard to flags and parts: by a threshold, or by the share that is to stay.

::

    threshold   steps ─► passages with hysteresis ─► edges ─► snapped ─┐
                                                    faults ─────────────┴─► flags ─► what they leave is kept
    share       steps and faults ─► two-state path ─► edges ─► snapped ─► parts ─► what lies between them is flagged

Steps place an edge within a third of a second; where there was a reviewer, it goes to where that one heard it. The path
knows the reviewer's edges from the start: it changes where one was heard, and hardly anywhere else.

A fault that does not end can only be repaired, not cut out: hum, an offset and a flipped channel are flagged, and what
they lie under is kept.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.evidence import score_at, score_of
from streaming.fault_curve import REPAIRED, evidence_of
from streaming.flag_picker import THRESHOLD, pick_flags
from streaming.flagger import Step, grid_odds, on_grid
from streaming.flags import Flag
from streaming.keep import Rules, in_samples, keep, log_odds
from streaming.reviewer import NEAR_S

from .analysis import FlagAnalysis
from .flag_set import FlagSet, Part
from .settings import FlagSettings
from .snapping import snap_edges

Curve = NDArray[np.float64]
Span = tuple[int, int]


class Curves(NamedTuple):
    """A value every hop, the first at the passage's beginning: what network and detectors say together.

    ``to_cut`` are scores without the faults that are repaired.
    """

    scores: Curve
    p_values: Curve
    to_cut: Curve


def find_flags(analysis: FlagAnalysis, settings: FlagSettings, fine: Iterable[Flag] = ()) -> FlagSet:
    """The flags and parts of a passage; the same again for the same settings.

    Args:
        fine: flags of an earlier result, absolute, that are none after all.

    Raises:
        RequestError: the threshold is smaller than any p-value of the model.
        AudioError: the passage has to be read again and cannot be.
    """
    spans = [(flag.start - analysis.start, flag.end - analysis.start) for flag in fine]
    analysis = _without(analysis, spans)
    limit = None if settings.keep is not None else THRESHOLD
    if settings.threshold is not None:
        limit = score_at(settings.threshold, analysis.calibration)
        faults = tuple(fault for fault in analysis.faults if fault.p_value <= settings.threshold)
        analysis = replace(analysis, faults=faults)
    curves = curves_of(analysis, spans)
    if limit is None:
        assert settings.keep is not None
        flags, parts = _by_share(analysis, settings, settings.keep, curves.to_cut)
    else:
        flags, parts = _by_threshold(analysis, settings, limit)
    start = analysis.start
    return FlagSet(
        source=analysis.passage.source,
        rate=analysis.rate,
        channels=analysis.passage.channels,
        start=start,
        end=start + analysis.frames,
        flags=tuple(sorted(flag._replace(start=flag.start + start, end=flag.end + start) for flag in flags)),
        parts=tuple(Part(first + start, end + start) for first, end in parts),
        hop_s=analysis.hop_s,
        scores=curves.scores,
        p_values=curves.p_values,
        threshold=limit,
        fade=round(settings.fade_s * analysis.rate),
        on_beats=settings.snap == "beat" and analysis.beats is not None and len(analysis.beats) > 1,
        notes=analysis.notes,
    )


def curves_of(analysis: FlagAnalysis, fine: Sequence[Span] = ()) -> Curves:
    """How odd the passage is over time, but for ``fine`` spans of it."""
    hop = analysis.hop_s * analysis.rate
    count = len(analysis.fault_odds)
    known = grid_odds(analysis.steps, hop, count)
    scores, to_cut = (score_of(known + odds) for odds in (analysis.fault_odds, analysis.cut_odds))
    p_values = np.array([step.p_value for step in analysis.steps])[on_grid(analysis.steps, hop, count)]
    for fault in analysis.faults:
        first, end = _cells(fault.start, fault.end, hop)
        p_values[first:end] = np.minimum(p_values[first:end], fault.p_value)
    for start, end in fine:
        inside = slice(*_cells(start, end, hop))
        scores[inside], to_cut[inside], p_values[inside] = 0.0, 0.0, 1.0
    return Curves(scores, p_values, to_cut)


def _cells(start: int, end: int, hop: float) -> Span:
    """The values of a curve that a span touches: value i speaks of half a hop to either side."""
    return max(0, round(start / hop)), round(end / hop) + 1


def _without(analysis: FlagAnalysis, spans: Sequence[Span]) -> FlagAnalysis:
    """As if nothing had been odd there."""
    if not spans:
        return analysis

    def is_fine(start: int, end: int) -> bool:
        return any(first <= start and end <= last for first, last in spans)

    steps = [
        step._replace(score=0.0, p_value=1.0) if is_fine(step.position, step.position) else step
        for step in analysis.steps
    ]
    faults = [fault for fault in analysis.faults if not is_fine(fault.start, fault.end)]
    return replace(analysis, steps=tuple(steps), faults=tuple(faults))


def _by_threshold(analysis: FlagAnalysis, settings: FlagSettings, limit: float) -> tuple[list[Flag], list[Span]]:
    hop = round(analysis.hop_s * analysis.rate)
    picked = pick_flags(analysis.steps, hop, analysis.rate, limit, shortest_s=settings.min_length_s)
    learned = [flag._replace(end=min(flag.end, analysis.frames)) for flag in picked if flag.start < analysis.frames]
    found = found_edges(analysis, [(flag.start, flag.end) for flag in learned], odd=True)
    spans = snap_edges(analysis, found, settings.snap)
    learned = [flag._replace(start=start, end=end) for flag, (start, end) in zip(learned, spans, strict=True)]
    flags = [*learned, *analysis.faults]
    pad = round(settings.pad_s * analysis.rate)
    cuts = [
        (flag.start + pad if flag.start > 0 else 0, flag.end - pad if flag.end < analysis.frames else flag.end)
        for flag in flags
        if flag.kind not in REPAIRED
    ]
    parts = between([cut for cut in cuts if cut[0] < cut[1]], analysis.frames)
    least = round(settings.min_length_s * analysis.rate)
    return flags, [part for part in parts if part[1] - part[0] >= least or part == (0, analysis.frames)]


def _by_share(
    analysis: FlagAnalysis, settings: FlagSettings, ratio: float, scores: Curve
) -> tuple[list[Flag], list[Span]]:
    def steps_of(seconds: float) -> int:
        return math.ceil(seconds / analysis.hop_s - 1e-9)

    rules = Rules(steps_of(settings.min_length_s), steps_of(settings.pause_s), steps_of(settings.pad_s))
    review = analysis.review
    mask = keep(scores, ratio, rules, review.change_costs(len(scores), analysis.hop_s) if review else None)
    kept = in_samples(mask, analysis.hop_s * analysis.rate, analysis.frames)
    kept = found_edges(analysis, kept, odd=False, within_s=2 * analysis.hop_s)
    parts = between(between(snap_edges(analysis, kept, settings.snap), analysis.frames), analysis.frames)
    cuts = between(parts, analysis.frames)
    flags = [_describe(analysis, start, end) for start, end in cuts]
    return [*flags, *(fault for fault in analysis.faults if not _is_cut(fault, cuts))], parts


def found_edges(analysis: FlagAnalysis, spans: Sequence[Span], odd: bool, within_s: float = NEAR_S) -> list[Span]:
    """Spans in order whose edges are those that the reviewer heard nearby; ``odd``: of what is odd, or of what is not.

    What technical faults decide stays: their edges are on the sample. No span vanishes, and none meets the next.
    """
    review, rate = analysis.review, analysis.rate
    if review is None:
        return list(spans)
    edges = review.spans_near(
        [(start / rate, end / rate) for start, end in spans], analysis.frames / rate, odd, within_s
    )
    return [(round(start * rate), round(end * rate)) for start, end in edges]


def _is_cut(fault: Flag, cuts: Sequence[Span]) -> bool:
    """Whether a cut tells of the fault already."""
    return fault.kind not in REPAIRED and any(fault.start < end and start < fault.end for start, end in cuts)


def between(spans: Iterable[Span], frames: int) -> list[Span]:
    """What spans, in any order, leave of ``frames`` samples."""
    left, begin = [], 0
    for start, end in sorted(spans):
        if start > begin:
            left.append((begin, start))
        begin = max(begin, end)
    return [*left, (begin, frames)] if begin < frames else left


def _describe(analysis: FlagAnalysis, start: int, end: int) -> Flag:
    """What is odd in a stretch that has to go: what its steps resemble most, or its worst fault where that is worse and
    either fills most of it or stands alone in it."""
    inside = [step for step in analysis.steps if start <= step.position < end]
    middle = (start + end) / 2
    steps = inside or [min(analysis.steps, key=lambda step: abs(step.position - middle))]
    worst = max(steps, key=lambda step: step.score)

    def fills(fault: Flag) -> bool:
        return min(fault.end, end) - max(fault.start, start) >= (end - start) / 2

    faults = [
        fault
        for fault in analysis.faults
        if _is_cut(fault, [(start, end)])
        and float(evidence_of(fault.kind, np.array([fault.score]))[0]) >= float(log_odds(np.array([worst.score]))[0])
        and (fills(fault) or worst.score < THRESHOLD)
    ]
    if faults:
        return max(faults, key=lambda fault: fault.score)._replace(start=start, end=end)
    shown = _typical(steps)
    p_value = min(step.p_value for step in steps)
    return Flag(start, end, worst.score, p_value, shown.kind, shown.low_hz, shown.high_hz)


def _typical(steps: Sequence[Step]) -> Step:
    """The oddest step of the kind that most of the oddness is of."""
    votes: Counter[str] = Counter()
    for step in steps:
        votes[step.kind] += step.score  # type: ignore[assignment]
    kind = votes.most_common(1)[0][0]
    return max((step for step in steps if step.kind == kind), key=lambda step: step.score)
