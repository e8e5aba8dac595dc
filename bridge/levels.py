"""Levels as users see them: decibels re full scale, with a floor for silence."""

import math

LEVEL_FLOOR_DB = -120.0


def level_db(peak: float) -> float:
    """A linear peak in dB re full scale, -120 for silence."""
    return max(LEVEL_FLOOR_DB, 20.0 * math.log10(peak)) if peak > 0.0 else LEVEL_FLOOR_DB
