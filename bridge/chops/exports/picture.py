"""The passage as a picture: the waveform, the network's curves, and a numbered line for each chop."""

import warnings

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...passage import Passage, mono_blocks
from .job import Job

COLUMNS = 2000
"""Points that a waveform or a curve is drawn with."""
NUMBERED = 100
"""With more chops than this, numbers would be a smear."""
COLOURS = {
    "onset": "tab:orange", "beat": "tab:green", "downbeat": "tab:red", "phrase": "tab:purple", "chop": "tab:pink",
    "grid": "tab:olive", "equal": "tab:brown", "manual": "tab:cyan",
}  # fmt: skip


def write(job: Job) -> list[str]:
    """Locked chops are drawn thicker. Raises `AudioError` if the passage cannot be read again."""
    chops = job.chops
    begin_s, end_s = job.seconds(chops.start), job.seconds(chops.end)
    heights = [2.4] + [0.7] * len(job.curves)
    figure = Figure(figsize=(14, 1.2 + sum(heights)), layout="constrained")
    wave, *panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    low, high = _envelope(job.passage, chops.end - chops.start)
    times = np.linspace(begin_s, end_s, len(low), endpoint=False)
    wave.fill_between(times, low, high, step="post", color="0.45", linewidth=0)
    reach = 1.05 * max(1e-4, float(high.max()), float(-low.min()))
    wave.set_ylim(-reach, reach)
    for panel, (name, curve) in zip(panels, job.curves.items(), strict=True):
        peaks = _peaks(curve)
        times = np.linspace(begin_s, end_s, len(peaks), endpoint=False)
        panel.fill_between(times, 0, peaks, color=COLOURS.get(name, "tab:blue"), linewidth=0)
        panel.set_ylim(0, 1)
        panel.set_yticks([0, 1])
        panel.set_ylabel(name)
    at_s = [job.seconds(chop.position) for chop in chops.chops]
    colours = [COLOURS.get(chop.kind, "tab:blue") for chop in chops.chops]
    widths = [2.5 if chop.locked else 1.0 for chop in chops.chops]
    for panel in (wave, *panels):  # one collection a panel: hours hold thousands of lines
        panel.vlines(at_s, 0, 1, colours, linewidths=widths, transform=panel.get_xaxis_transform())
    if len(at_s) <= NUMBERED:
        for number, (second, colour) in enumerate(zip(at_s, colours, strict=True), 1):
            place = {"xy": (second, 1.0), "xycoords": wave.get_xaxis_transform()}
            offset = {"xytext": (2, -2), "textcoords": "offset points", "va": "top"}
            wave.annotate(str(number), **place, **offset, fontsize=8, color=colour)
    wave.set_xlim(begin_s, end_s)
    (panels or [wave])[-1].set_xlabel("seconds")
    tempo = f", {chops.tempo:.1f} bpm" if chops.tempo else ""
    figure.suptitle(f"{job.stem}: {len(chops.chops)} chops{tempo}", parse_math=False)
    with warnings.catch_warnings():  # a name in letters that matplotlib's own font lacks: boxes will do
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(job.path("-chops.png"), dpi=100, format="png")
    return []


def _envelope(passage: Passage, frames: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The lowest and highest sample of every column of the waveform."""
    columns = min(COLUMNS, frames)
    low, high = np.full(columns, np.inf, np.float32), np.full(columns, -np.inf, np.float32)
    begin = 0
    for mono in mono_blocks(passage):
        column = (np.arange(begin, begin + len(mono)) * columns // frames).clip(max=columns - 1)
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
