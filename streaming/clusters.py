"""sampleChop's way from a curve to moments: runs of likely frames become one each.

Kept as it was, for the baseline's sake, with what its author did not mean: the first frame of a run is never counted,
so that a run of one is lost and the others are late by half a frame; and after a moment everything is deaf for 0.25 s,
from whose end a run must begin anew.

Source: https://github.com/joerenner/sampleChop, ``clean_times``.
"""

import numpy as np
from numpy.typing import NDArray

from .onsets import Peaks

THRESHOLD = 0.7
GAP_S = 0.01
"""Likely frames further apart than this belong to different runs."""

APART_S = 0.25


def clean_clusters(curve: NDArray[np.float32], frame_rate: float, threshold: float = THRESHOLD) -> Peaks:
    """The runs of a curve ``(T,)`` above ``threshold``: the mean of their frames and of what the curve says there."""
    moments: list[tuple[float, float]] = []
    run: list[int] = []

    def close() -> None:
        if run:
            moments.append((float(np.mean(run)), float(np.mean(curve[run]))))
            run.clear()

    last = -np.inf
    for frame in np.flatnonzero(curve > threshold).tolist():
        if frame - last > GAP_S * frame_rate:
            close()
            last = frame
        elif not moments or frame - moments[-1][0] > APART_S * frame_rate:
            run.append(frame)
            last = frame
    close()
    frames, strengths = np.array(moments).reshape(-1, 2).T
    return Peaks(frames, strengths.astype(np.float32))
