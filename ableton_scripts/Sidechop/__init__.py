"""Sidechop in Ableton Live: a Remote Script, chosen as a control surface (*Preferences › Link, Tempo & MIDI*)."""

from __future__ import annotations

from typing import Any

from .surface import Sidechop


def create_instance(c_instance: Any) -> Sidechop:
    """Live calls this when the script is chosen."""
    return Sidechop(c_instance)
