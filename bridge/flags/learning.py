"""What a passage sounded like to the network, to be learned as fine."""

import numpy as np
from numpy.typing import NDArray

from streaming.errors import RequestError

from .analysis import FlagAnalysis


def embeddings_in(analysis: FlagAnalysis, start: int, end: int) -> NDArray[np.float32]:
    """Of the steps from ``start`` to ``end`` (samples of the passage), ``(n, D)``; of a shorter one the nearest step.

    Raises:
        RequestError: the stretch lies outside.
    """
    if not 0 <= start < end or start >= analysis.frames:
        length = analysis.frames / analysis.rate
        raise RequestError(
            f"the passage from {start / analysis.rate:.3f} to {end / analysis.rate:.3f} s lies outside: "
            f"expected 0.000 to {length:.3f} s"
        )
    inside = [step.embedding for step in analysis.steps if start <= step.position < end]
    if not inside:
        middle = (start + end) / 2
        inside = [min(analysis.steps, key=lambda step: abs(step.position - middle)).embedding]
    return np.stack(inside)
