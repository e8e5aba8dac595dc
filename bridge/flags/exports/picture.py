"""The passage as a picture: the waveform, the score with its threshold, flags shaded in both, kept parts as a bar."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ...picture import envelope, peaks_of, save
from .job import Job

COLOURS = (
    "tab:red", "tab:orange", "tab:purple", "tab:blue", "tab:brown", "tab:pink", "tab:olive", "tab:cyan",
)  # fmt: skip
"""For kinds, in the order of their names, over and over."""


def write(job: Job) -> list[str]:
    """Raises `AudioError` if the passage cannot be read again."""
    flags = job.flags
    begin_s, end_s = job.seconds(flags.start), job.seconds(flags.end)
    figure = Figure(figsize=(14, 5.2), layout="constrained")
    wave, scores, kept = figure.subplots(3, 1, sharex=True, height_ratios=[2.4, 1.6, 0.25])
    low, high = envelope(job.passage, flags.end - flags.start)
    times = np.linspace(begin_s, end_s, len(low), endpoint=False)
    wave.fill_between(times, low, high, step="post", color="0.45", linewidth=0)
    reach = 1.05 * max(1e-4, float(high.max()), float(-low.min()))
    wave.set_ylim(-reach, reach)
    curve = peaks_of(flags.scores)
    at_s = begin_s + np.arange(len(curve)) * (len(flags.scores) * flags.hop_s / len(curve))
    scores.plot(at_s, curve, color="0.2", linewidth=0.9)
    scores.set_ylim(0, 1)
    scores.set_ylabel("score")
    if flags.threshold is not None:
        scores.axhline(flags.threshold, color="0.5", linestyle="--", linewidth=0.8)
    kinds = sorted({flag.kind for flag in flags.flags})
    colours = {kind: COLOURS[number % len(COLOURS)] for number, kind in enumerate(kinds)}
    least = (end_s - begin_s) / 1400  # a click is shorter than a pixel
    for kind in kinds:  # one collection a kind: hours hold thousands
        of_kind = [flag for flag in flags.flags if flag.kind == kind]
        bars = [(job.seconds(f.start), max(job.seconds(f.end - f.start), least)) for f in of_kind]
        for panel, height in ((wave, (-reach, 2 * reach)), (scores, (0, 1))):
            panel.broken_barh(bars, height, facecolor=colours[kind], alpha=0.3, linewidth=0)
    parts = [(job.seconds(part.start), job.seconds(part.end - part.start)) for part in flags.parts]
    kept.broken_barh(parts, (0, 1), facecolor="tab:green", edgecolor="white", linewidth=0.5)
    kept.set_yticks([])
    kept.set_ylabel("kept", rotation=0, ha="right", va="center")
    kept.set_xlabel("seconds")
    wave.set_xlim(begin_s, end_s)
    if kinds:
        wave.legend(
            handles=[Patch(facecolor=colours[kind], alpha=0.5, label=kind) for kind in kinds],
            loc="lower right", bbox_to_anchor=(1, 1), ncols=len(kinds), fontsize=8, frameon=False,
        )  # fmt: skip
    count = f"{len(flags.flags)} flag{'s' if len(flags.flags) != 1 else ''}"
    share = flags.kept_s * flags.rate / (flags.end - flags.start)
    figure.suptitle(f"{job.stem}: {count}, {share:.0%} kept", parse_math=False)
    save(figure, job.path("-flags.png"))
    return []
