"""A passage with its chops as a PNG: the waveform, the network's curves, and a numbered line for each chop."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .analysis import Analysis
from .chops import ChopSet
from .snapping import mono_blocks

COLUMNS = 2000
"""Points that a waveform or a curve is drawn with."""
NUMBERED = 100
"""With more chops than this, numbers would be a smear."""
COLOURS = {
    "onset": "tab:orange", "beat": "tab:green", "downbeat": "tab:red", "phrase": "tab:purple", "chop": "tab:pink",
    "grid": "tab:olive", "equal": "tab:brown", "manual": "tab:cyan",
}  # fmt: skip


def draw_chops(path: Path, chops: ChopSet, analysis: Analysis) -> None:
    """Write ``path`` as a PNG. Raises `AudioError` if the passage cannot be read again."""
    begin_s, end_s = chops.start / chops.rate, chops.end / chops.rate
    heights = [2.4] + [0.7] * len(analysis.curves)
    figure = Figure(figsize=(14, 1.2 + sum(heights)), layout="constrained")
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    low, high = _envelope(analysis)
    times = np.linspace(begin_s, end_s, len(low), endpoint=False)
    panels[0].fill_between(times, low, high, step="post", color="0.45", linewidth=0)
    reach = max(1e-4, float(np.abs(high).max()), float(np.abs(low).max()))
    panels[0].set_ylim(-1.05 * reach, 1.05 * reach)
    for panel, (name, curve) in zip(panels[1:], analysis.curves.items(), strict=True):
        peaks = _peaks(curve)
        frames = np.arange(len(peaks)) * (len(curve) / len(peaks))
        panel.fill_between(
            begin_s + frames / analysis.frame_rate, 0, peaks, color=COLOURS.get(name, "tab:blue"), linewidth=0
        )
        panel.set_ylim(0, 1)
        panel.set_yticks([0, 1])
        panel.set_ylabel(name)
    for number, chop in enumerate(chops.chops, 1):
        at_s, colour = chop.position / chops.rate, COLOURS.get(chop.kind, "tab:blue")
        for panel in panels:
            panel.axvline(at_s, color=colour, linewidth=2.0 if chop.locked else 0.9)
        if len(chops.chops) <= NUMBERED:
            panels[0].annotate(
                str(number), xy=(at_s, 1.0), xycoords=panels[0].get_xaxis_transform(),
                xytext=(2, -2), textcoords="offset points", va="top", fontsize=8, color=colour,
            )  # fmt: skip
    panels[0].set_xlim(begin_s, end_s)
    panels[-1].set_xlabel("seconds")
    tempo = f", {chops.tempo:.1f} bpm" if chops.tempo else ""
    figure.suptitle(f"{chops.source.name if chops.source else 'recording'}: {len(chops.chops)} chops{tempo}")
    figure.savefig(path, dpi=100, format="png")


def _envelope(analysis: Analysis) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The lowest and highest sample of every column of the waveform."""
    columns = min(COLUMNS, analysis.frames)
    low, high = np.full(columns, np.inf, np.float32), np.full(columns, -np.inf, np.float32)
    begin = 0
    for mono in mono_blocks(analysis.passage):
        column = (np.arange(begin, begin + len(mono)) * columns // analysis.frames).clip(max=columns - 1)
        firsts = np.flatnonzero(np.diff(column, prepend=-1))
        np.minimum.at(low, column[firsts], np.minimum.reduceat(mono, firsts))
        np.maximum.at(high, column[firsts], np.maximum.reduceat(mono, firsts))
        begin += len(mono)
    return low, high


def _peaks(curve: NDArray[np.float32]) -> NDArray[np.float32]:
    """The curve with no more points than columns, each the highest of its stretch."""
    firsts = np.unique(np.arange(min(COLUMNS, len(curve))) * len(curve) // min(COLUMNS, len(curve)))
    peaks: NDArray[np.float32] = np.maximum.reduceat(curve, firsts)
    return peaks
