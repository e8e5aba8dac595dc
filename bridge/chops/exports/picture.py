"""The passage as a picture: the waveform, the network's curves, and a numbered line for each chop."""

import numpy as np
from matplotlib.figure import Figure

from ...picture import envelope, peaks_of, save
from .job import Job

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
    low, high = envelope(job.passage, chops.end - chops.start)
    times = np.linspace(begin_s, end_s, len(low), endpoint=False)
    wave.fill_between(times, low, high, step="post", color="0.45", linewidth=0)
    reach = 1.05 * max(1e-4, float(high.max()), float(-low.min()))
    wave.set_ylim(-reach, reach)
    for panel, (name, curve) in zip(panels, job.curves.items(), strict=True):
        peaks = peaks_of(curve)
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
    save(figure, job.path("-chops.png"))
    return []
