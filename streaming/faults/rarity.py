"""How often good audio is as strong: p-values of the technical faults.

Counted in steps of 0.16 s, as the learned flagger's are, of clean music and speech on which the limits were chosen
(``python benchmarks/faults.py ROOT --set tuning --rarity``). Between the grades the logarithm is interpolated; beyond
the last one nothing is rarer than once in all that was heard.
"""

import numpy as np

GRADES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
STEPS = 35478
LARGER: dict[str, tuple[int, ...]] = {
    "clipping": (35478, 1252, 244, 56, 14, 0, 0, 0, 0, 0),
    "dropout": (35478, 246, 63, 0, 0, 0, 0, 0, 0, 0),
    "click": (35478, 24501, 3720, 184, 53, 20, 5, 0, 0, 0),
    "hum": (35478, 7649, 2711, 770, 181, 20, 0, 0, 0, 0),
    "dc": (35478, 3195, 1434, 678, 480, 383, 249, 96, 20, 9),
    "phase": (35478, 2199, 849, 229, 44, 12, 2, 2, 2, 0),
    "silence": (35478, 0, 0, 0, 0, 0, 0, 0, 0, 0),
}
"""For each kind, how many of the steps reach each grade."""


def p_value(kind: str, strength: float) -> float:
    """How often a step of good audio is at least as strong, 0 … 1: (1 + #) / (n + 1)."""
    rare = [np.log((1 + count) / (STEPS + 1)) for count in LARGER[kind]]
    return float(np.exp(np.interp(strength, GRADES, rare)))
