"""What a newly taught flagger would do, on one page: how odd recordings are, and what would be cut at which threshold.

One HTML file that needs nothing beside it; the histograms are a PNG inside.
"""

import base64
import html
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streaming.evidence import p_values
from streaming.flagger import FILE

from .own import Double, Judged, Own

P_VALUES = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
BINS = 80
COLOURS = {"learned from": "#4c72b0", "held out": "#55a868", "raw": "#c44e52"}
STYLE = "body{font:15px sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em .8em;text-align:right}"


def write_report(own: Own, steps_a_second: float, name: str, path: Path) -> None:
    """Write ``path`` aside and rename it."""
    groups = {"learned from": own.learned, "held out": own.held_out, "raw": own.raw}
    page = f"""<!doctype html><meta charset="utf-8"><title>{html.escape(name)}</title><style>{STYLE}</style>
<h1>{html.escape(name)}</h1>
<p>{_amount(own.learned, steps_a_second)} learned from, {_amount(own.held_out, steps_a_second)} held out to calibrate,
{_amount(own.raw, steps_a_second)} of raw takes. A step is 0.16 s; its oddness is in log odds, 0 is the usual threshold.
{_success(own)}</p>
<img alt="histograms of oddness" src="data:image/png;base64,{_histogram(groups)}">
<h2>What would be cut</h2>
<p>At a threshold p, a passage is flagged that is as odd as at most this share of the recordings held out.</p>
{_thresholds(groups, own.taught.calibration[FILE], steps_a_second)}
<h2>Recordings</h2>
{_recordings(groups)}
{"".join(f"<p>{html.escape(note)}</p>" for note in own.notes)}
"""
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(page, encoding="utf-8")
    os.replace(aside, path)


def _amount(judged: Sequence[Judged], steps_a_second: float) -> str:
    minutes = sum(len(one.numbers) for one in judged) / steps_a_second / 60
    return f"{len(judged)} recordings, {minutes:.1f} minutes"


def _success(own: Own) -> str:
    if own.auroc is None:
        return ""
    return f"In the raw takes, what their edits left out scores higher than what they kept: AUROC {own.auroc:.3f}."


def _all(judged: Sequence[Judged]) -> Double:
    return np.concatenate([one.numbers for one in judged]) if judged else np.zeros(0)


def _histogram(groups: dict[str, list[Judged]]) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    everything = np.concatenate([_all(judged) for judged in groups.values()])
    low, high = np.quantile(everything, (0.001, 0.999))
    edges = np.linspace(low, max(high, 1), BINS).tolist()
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, judged in groups.items():
        if judged:
            values = np.clip(_all(judged), edges[0], edges[-1])
            axes.hist(values, edges, density=True, histtype="step", color=COLOURS[name], label=name, linewidth=1.5)
    axes.axvline(0, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel="oddness (log odds)", ylabel="density", yscale="log")
    axes.legend(frameon=False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    return base64.b64encode(content.getvalue()).decode()


def _thresholds(
    groups: dict[str, list[Judged]],
    calibration: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]",
    steps_a_second: float,
) -> str:
    shown = {name: judged for name, judged in groups.items() if judged and name != "learned from"}
    p = {name: p_values(_all(judged), calibration) for name, judged in shown.items()}
    heads = "".join(f"<th>{name}: flagged<th>in all" for name in shown)
    rows = []
    for limit in P_VALUES:
        cells = [f"<td>{(v <= limit).mean():.1%}<td>{(v <= limit).sum() / steps_a_second:.0f} s" for v in p.values()]
        rows.append(f"<tr><td>{limit:g}{''.join(cells)}")
    return f"<table><tr><th>p{heads}{''.join(rows)}</table>"


def _recordings(groups: dict[str, list[Judged]]) -> str:
    rows = [
        f"<tr><td>{html.escape(one.name)}<td>{name}<td>{np.median(one.numbers):.2f}<td>{(one.numbers >= 0).mean():.1%}"
        for name, judged in groups.items()
        for one in judged
    ]
    return f"<table><tr><th>recording<th><th>median oddness<th>above the threshold{''.join(rows)}</table>"
