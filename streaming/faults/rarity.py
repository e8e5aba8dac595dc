"""How often good audio is as strong: p-values of the technical faults.

Counted in steps of 0.16 s, as the learned flagger's are, of clean music and speech on which the limits were chosen
(``python benchmarks/faults.py ROOT --set tuning --rarity``). Between the grades the logarithm is interpolated; beyond
the last one nothing is rarer than once in all that was heard.
"""

import numpy as np

GRADES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
STEPS = 31459
LARGER: dict[str, tuple[int, ...]] = {
    "clipping": (31459, 923, 194, 59, 10, 0, 0, 0, 0, 0),
    "dropout": (31459, 434, 105, 0, 0, 0, 0, 0, 0, 0),
    "click": (31459, 12171, 1836, 69, 14, 4, 0, 0, 0, 0),
    "hum": (31459, 28948, 18201, 6292, 2158, 1006, 160, 7, 0, 0),
    "dc": (31459, 3470, 2183, 1466, 657, 358, 298, 230, 72, 0),
    "phase": (31459, 2221, 871, 276, 154, 153, 26, 15, 0, 0),
    "silence": (31459, 3, 0, 0, 0, 0, 0, 0, 0, 0),
}
"""For each kind, how many of the steps reach each grade."""


def p_value(kind: str, strength: float) -> float:
    """How often a step of good audio is at least as strong, 0 … 1: (1 + #) / (n + 1)."""
    rare = [np.log((1 + count) / (STEPS + 1)) for count in LARGER[kind]]
    return float(np.exp(np.interp(strength, GRADES, rare)))
