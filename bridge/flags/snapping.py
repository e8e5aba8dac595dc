"""Bringing the edges of flags and parts to where a cut does not hurt: a beat, or a zero crossing."""

from collections.abc import Sequence

import numpy as np

from ..snapping import snap_points
from .analysis import FlagAnalysis
from .settings import Snap

Span = tuple[int, int]


def snap_edges(analysis: FlagAnalysis, spans: Sequence[Span], snap: Snap) -> list[Span]:
    """Spans of the passage, in order, with their edges moved; the passage's own ends stay.

    No span vanishes: one between two beats reaches to both. Without a beat, edges go to zero crossings.

    Raises:
        AudioError: the passage has to be read again and cannot be.
    """
    if snap == "none" or not spans:
        return list(spans)
    if snap == "beat" and analysis.beats is not None and len(analysis.beats) > 1:
        return [_to_beats(analysis, span) for span in spans]
    points = np.unique([edge for span in spans for edge in span if 0 < edge < analysis.frames]).astype(np.int64)
    found = snap_points(analysis.passage, points, ["zero"] * len(points))
    moved = {point: snapped.position for point, snapped in zip(points.tolist(), found, strict=True)}
    snapped = [(moved.get(start, start), moved.get(end, end)) for start, end in spans]
    return [new if new[0] < new[1] else old for new, old in zip(snapped, spans, strict=True)]


def _to_beats(analysis: FlagAnalysis, span: Span) -> Span:
    assert analysis.beats is not None
    lines = np.unique(np.concatenate([[0], analysis.beats, [analysis.frames]]))
    start, end = (int(lines[np.argmin(np.abs(lines - edge))]) for edge in span)
    if start < end:
        return start, end
    first = max(0, int(np.searchsorted(lines, span[0], side="right")) - 1)
    last = min(int(np.searchsorted(lines, span[1], side="left")), len(lines) - 1)
    return int(lines[min(first, last - 1)]), int(lines[last])
