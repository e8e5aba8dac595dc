"""How often good audio is as strong: p-values of the technical faults.

Counted in steps of 0.16 s, as the learned flagger's are, of clean music and speech on which the limits were chosen
(``python benchmarks/faults.py ROOT --set tuning --rarity``). Between the grades the logarithm is interpolated; beyond
the last one nothing is rarer than once in all that was heard.
"""

import numpy as np

GRADES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
STEPS = 26547
LARGER: dict[str, tuple[int, ...]] = {
    "clipping": (26547, 844, 180, 50, 10, 0, 0, 0, 0, 0),
    "dropout": (26547, 347, 86, 0, 0, 0, 0, 0, 0, 0),
    "click": (26547, 10326, 1590, 66, 12, 4, 0, 0, 0, 0),
    "hum": (26547, 5730, 2067, 603, 105, 0, 0, 0, 0, 0),
    "dc": (26547, 2762, 1619, 638, 387, 306, 251, 146, 31, 0),
    "phase": (26547, 1871, 647, 138, 31, 16, 4, 4, 4, 0),
    "silence": (26547, 0, 0, 0, 0, 0, 0, 0, 0, 0),
}
"""For each kind, how many of the steps reach each grade."""


def p_value(kind: str, strength: float) -> float:
    """How often a step of good audio is at least as strong, 0 … 1: (1 + #) / (n + 1)."""
    rare = [np.log((1 + count) / (STEPS + 1)) for count in LARGER[kind]]
    return float(np.exp(np.interp(strength, GRADES, rare)))
