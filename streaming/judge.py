"""The judge: what network, reviewer and detectors know of every step of a file, weighed with one another.

::

    network's odds   ▁▁▂▁▃▅▄▁▁▂
    reviewer's       ▁▁▁▁▃▄▃▁▁▁
    edges            ▁▁▁▁█▁▁▇▁▁     ─▶ small network over forty seconds of them ─▶ log odds that are added
    strengths ×13    ▁▁▁▁▁▂▁▁▁▁

A sum of evidence (`fault_curve`) cannot know that a sign counts for less where it comes up again and again, or that two
weak ones together are none. The judge can: it hears no audio, only what the others say of it, and so it says the same
of any sound they agree on. Files only: it looks both ways.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .curves import CurveNetwork
from .errors import ModelError
from .evidence import ODDS_LIMIT, Array
from .fault_curve import EVIDENCE, MADE_OF, FaultCurve
from .features import MEL, Features
from .reviewer import REVIEWED_S, Review
from .session import OnnxModel

DETECTED = tuple(kind for kind in EVIDENCE if kind not in MADE_OF)
"""Detectors whose strengths it is told."""
INPUTS = ("odds", "review", "edge", *DETECTED)
CURVES = ("odd",)
_STEP_FRAMES = 16
KNOWLEDGE = Features(
    kind="knowledge",
    hop_samples=_STEP_FRAMES * MEL.hop_samples,
    window_samples=_STEP_FRAMES * MEL.hop_samples,
    bands=len(INPUTS),
)
"""A row every 0.16 s, the first at the beginning."""
Double = NDArray[np.float64]


def knowledge(odds: Double, review: Review, curve: FaultCurve, without: Collection[str] = ()) -> Array:
    """What is known of every step, ``(n, inputs)``.

    Args:
        odds: the network's log odds of each step, the first at the beginning, ``(n,)``.
        curve: strengths of the detectors; those of the kinds ``without`` count as none.
    """
    count, hop_s = len(odds), 1 / KNOWLEDGE.frame_rate
    reviewed = review.odds(np.arange(count) * hop_s, REVIEWED_S)
    strengths = (np.zeros(count) if kind in without else curve.strengths(kind, count) for kind in DETECTED)
    return np.stack([odds, reviewed, review.edge_odds(count, hop_s), *strengths], axis=1).astype(np.float32)


class Judge:
    """A model's view. Raises `ModelError` where the model is no judge, or one of other knowledge."""

    def __init__(self, model: OnnxModel | Path | str) -> None:
        model = model if isinstance(model, OnnxModel) else OnnxModel.open(model)
        self._network = CurveNetwork(model)
        if self._network.features != KNOWLEDGE or self._network.curves != CURVES:
            raise ModelError(f"{model.card.name} is no judge of what this version's detectors say")

    def adds(self, rows: Array) -> Double:
        """Log odds that come to the others' ``(n,)``, of `knowledge` ``(n, inputs)``."""
        least = np.exp(-ODDS_LIMIT)
        odd = np.clip(self._network.run(rows)[:, 0].astype(np.float64), least, 1 - least)
        odds: Double = np.log(odd / (1 - odd))
        return odds
