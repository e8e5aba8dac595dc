"""How often good audio is as strong: p-values of the technical faults.

Counted in steps of 0.16 s, as the learned flagger's are, of clean music and speech on which the limits were chosen
(``python benchmarks/faults.py ROOT --set tuning --songs 10 --rarity``). Between the grades the logarithm is
interpolated; beyond the last one nothing is rarer than once in all that was heard.
"""

import numpy as np

GRADES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
STEPS = 35478
LARGER: dict[str, tuple[int, ...]] = {
    "clipping": (35478, 1068, 167, 31, 4, 0, 0, 0, 0, 0),
    "dropout": (35478, 246, 63, 0, 0, 0, 0, 0, 0, 0),
    "click": (35478, 8936, 924, 60, 20, 6, 0, 0, 0, 0),
    "hum": (35478, 7649, 2711, 770, 181, 20, 0, 0, 0, 0),
    "dc": (35478, 1805, 998, 585, 409, 257, 136, 66, 15, 9),
    "phase": (35478, 480, 335, 223, 134, 74, 43, 21, 0, 0),
    "silence": (35478, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "bandlimit": (35478, 12986, 4509, 1437, 341, 9, 0, 0, 0, 0),
}
"""For each kind, how many of the steps reach each grade."""


def p_value(kind: str, strength: float) -> float:
    """How often a step of good audio is at least as strong, 0 … 1: (1 + #) / (n + 1)."""
    rare = [np.log((1 + count) / (STEPS + 1)) for count in LARGER[kind]]
    return float(np.exp(np.interp(strength, GRADES, rare)))
