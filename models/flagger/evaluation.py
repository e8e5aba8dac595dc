"""How well something tells good passages from bad ones, on takes whose truth is known (`corpus`).

Everything is measured a take at a time and then averaged, never pooled: within a song, a bad passage has to stand out
from that very song. A step counts as faulty where its middle lies in a fault, as good where no fault lies within half a
segment of it; between the two it counts as neither.

AUROC is the chance that a faulty step scores higher than a good one; pAUC(0.1) is that of the ten most alarming
hundredths of the good steps, standardised (McClish 1989: 0.5 is chance, 1 perfect). Both are averaged over the takes of
a kind, and over kinds (macro). An edit is judged at the share that the true one keeps: IoU of what is kept, and F of
where parts begin and end, within ±150 ms.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.errors import RequestError
from streaming.fault_curve import TECHNICAL
from streaming.flags import Flag
from streaming.keep import PAUSE_S, SHORTEST_S, Rules, in_samples, keep
from streaming.reviewer import Review

from .recordings import RATE, Audio, read_file

HALF_SEGMENT_S = 0.32
BOUNDARY_S = 0.15
RARE = 0.05
"""If p-values hold, so much of good audio has one as small."""
Double = NDArray[np.float64]


class Curve(NamedTuple):
    """What a scorer says of a take: how odd it is every ``hop_s``, the first value at 0; what it flags, if it does;
    what a reviewer said, who knows better where edges are; and how rare good audio is as odd, ``(m,)``."""

    hop_s: float
    scores: Double
    flags: list[Flag] | None
    review: Review | None = None
    p_values: Double | None = None
    to_cut: Double | None = None
    """Scores for the choice of what is kept, where they are others."""


Scorer = Callable[[Audio], Curve]
"""Audio ``(channels, samples)`` at 44.1 kHz to a curve."""


@dataclass(frozen=True)
class Take:
    """A take on disk."""

    name: str
    path: Path
    task: str
    kind: str
    speech: bool
    faults: list[tuple[int, int]]
    keep: list[tuple[int, int]]

    def audio(self) -> Audio:
        return read_file(str(self.path))


class Measured(NamedTuple):
    """One take's figures by name."""

    take: Take
    values: dict[str, float]


class Figure(NamedTuple):
    """A mean over takes, and each baseline's beside it."""

    name: str
    value: float
    takes: int
    baselines: dict[str, float]


@dataclass
class Results:
    """Of one scorer."""

    measured: list[Measured] = field(default_factory=list)

    def summary(self) -> dict[str, tuple[float, int]]:
        """Means by name, in a fixed order: macro figures first, then kinds."""
        by_name: dict[str, list[float]] = {}
        for one in self.measured:
            for name, value in one.values.items():
                by_name.setdefault(name, []).append(value)
        means = {name: (float(np.mean(values)), len(values)) for name, values in by_name.items()}
        macro: dict[str, tuple[float, int]] = {}
        for measure in ("AUROC", "pAUC(0.1)"):
            prefix = f"{measure} "
            kinds = {n.removeprefix(prefix): v for n, (v, _) in means.items() if n.startswith(prefix)}
            groups = {
                "all kinds": list(kinds.values()),
                "technical kinds": [v for kind, v in kinds.items() if kind in TECHNICAL],
                "other kinds": [v for kind, v in kinds.items() if kind not in TECHNICAL],
            }
            for label, some in groups.items():
                if some:
                    macro[f"{measure}, {label}"] = float(np.mean(some)), len(some)
        clean = [m.values for m in self.measured if "flags" in m.values]
        if clean:
            flags, minutes = (sum(v[n] for v in clean) for n in ("flags", "minutes"))
            macro["false flags in 10 minutes"] = 10 * flags / minutes, len(clean)
        edits = {n: v for n, v in means.items() if n.startswith(("kept", "boundary"))}
        rest = {n: v for n, v in means.items() if n not in edits and n not in ("flags", "minutes")}
        return {**macro, **edits, **dict(sorted(rest.items()))}


def find_takes(corpus: Path, split: str) -> list[Take]:
    """The takes of a split. Raises `RequestError` where there is none."""
    found = []
    for path in sorted((corpus / split).glob("*/flags.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        faults = [(int(f["start"]), int(f["end"])) for f in facts["faults"]]
        kept = [(int(a), int(b)) for a, b in facts.get("keep", [])]
        mix = path.with_name("mix.flac")
        found.append(Take(path.parent.name, mix, facts["task"], facts.get("kind", ""), facts["speech"], faults, kept))
    if not found:
        raise RequestError(f"{corpus / split}: no takes; `python -m models.flagger.corpus {corpus}` makes them")
    return found


def evaluate(takes: Sequence[Take], scorers: dict[str, Scorer]) -> Iterator[tuple[Take, dict[str, Measured]]]:
    """Every take, measured for every scorer."""
    for take in takes:
        audio = take.audio()
        yield take, {name: measure(take, audio.shape[1], score(audio)) for name, score in scorers.items()}


def measure(take: Take, samples: int, curve: Curve) -> Measured:
    """The figures of one take."""
    if take.task == "clean" and curve.flags is None:
        return Measured(take, {})
    if take.task == "clean":
        assert curve.flags is not None
        values = {"flags": float(len(curve.flags)), "minutes": samples / RATE / 60}
        if curve.p_values is not None:
            values[f"good steps with p of {RARE} or less"] = float((curve.p_values <= RARE).mean())
        return Measured(take, values)
    if take.task == "edit":
        return Measured(take, edit_figures(take, samples, curve))
    labels = step_labels(take, curve)
    good, bad = curve.scores[labels == 0], curve.scores[labels == 1]
    if not len(good) or not len(bad):
        return Measured(take, {})
    return Measured(take, {f"AUROC {take.kind}": auroc(good, bad), f"pAUC(0.1) {take.kind}": partial_auc(good, bad)})


def step_labels(take: Take, curve: Curve) -> NDArray[np.int8]:
    """1 faulty, 0 good, -1 neither, for each value of the curve."""
    at = np.arange(len(curve.scores)) * curve.hop_s
    labels = np.zeros(len(at), np.int8)
    for start, end in take.faults:
        near = (at > start / RATE - HALF_SEGMENT_S) & (at < end / RATE + HALF_SEGMENT_S)
        labels[near & (labels == 0)] = -1
    for start, end in take.faults:
        inside = (at >= start / RATE - curve.hop_s / 2) & (at <= end / RATE + curve.hop_s / 2)
        labels[inside] = 1
    return labels


def auroc(good: Double, bad: Double) -> float:
    """Area under the ROC curve; ties count half."""
    ordered = np.sort(good)
    below, upto = np.searchsorted(ordered, bad, "left"), np.searchsorted(ordered, bad, "right")
    return float((below + upto).mean() / 2 / len(good))


def partial_auc(good: Double, bad: Double, top: float = 0.1) -> float:
    """Of false-alarm rates up to ``top``, standardised so that chance is 0.5."""
    thresholds = np.unique(np.concatenate([good, bad]))[::-1]
    ordered_good, ordered_bad = np.sort(good), np.sort(bad)
    fpr = 1 - np.searchsorted(ordered_good, thresholds, "left") / len(good)
    tpr = 1 - np.searchsorted(ordered_bad, thresholds, "left") / len(bad)
    fpr, tpr = np.concatenate([[0.0], fpr]), np.concatenate([[0.0], tpr])
    at_top = np.interp(top, fpr, tpr)
    inside = fpr < top
    area = np.trapezoid(np.append(tpr[inside], at_top), np.append(fpr[inside], top))
    least, most = top**2 / 2, top
    return float(0.5 * (1 + (area - least) / (most - least)))


def edit_figures(take: Take, samples: int, curve: Curve) -> dict[str, float]:
    """IoU of what is kept and F of its boundaries, at the share that the true edit keeps."""
    truth = sum(end - start for start, end in take.keep) / samples
    rules = Rules(*(max(1, round(s / curve.hop_s)) for s in (SHORTEST_S, PAUSE_S)))
    scores = curve.scores if curve.to_cut is None else curve.to_cut
    costs = curve.review.change_costs(len(scores), curve.hop_s) if curve.review else None
    parts = in_samples(keep(scores, truth, rules, costs), curve.hop_s * RATE, samples)
    if curve.review:
        seconds = [(start / RATE, end / RATE) for start, end in parts]
        moved = curve.review.spans_near(seconds, samples / RATE, odd=False, within_s=2 * curve.hop_s)
        parts = [(round(start * RATE), round(end * RATE)) for start, end in moved]
    fine = samples // 441
    true, got = (mask_of(kept, fine) for kept in (take.keep, parts))
    iou = float((true & got).sum() / max(1, (true | got).sum()))
    edges, found = (np.array(inner_edges(kept, samples)) / RATE for kept in (take.keep, parts))
    return {"kept IoU": iou, "boundary F ±150 ms": f_measure(edges, found)}


def mask_of(spans: Sequence[tuple[int, int]], count: int) -> NDArray[np.bool_]:
    """Spans in samples as a mask over hundredths of a second."""
    mask = np.zeros(count, bool)
    for start, end in spans:
        mask[start // 441 : end // 441] = True
    return mask


def inner_edges(spans: Sequence[tuple[int, int]], samples: int) -> list[int]:
    """Where parts begin and end, but for the take's own ends."""
    return sorted(edge for span in spans for edge in span if 441 < edge < samples - 441)


def f_measure(true: Double, found: Double, window_s: float = BOUNDARY_S) -> float:
    """2 hits / (true + found), each matched once, the nearest first."""
    if not len(true) or not len(found):
        return float(len(true) == len(found))
    apart = np.abs(true[:, None] - found)
    hits = 0
    while apart.size and apart.min() <= window_s:
        i, j = np.unravel_index(int(apart.argmin()), apart.shape)
        apart = np.delete(np.delete(apart, i, axis=0), j, axis=1)
        hits += 1
    return 2 * hits / (len(true) + len(found))


def summarise(results: dict[str, Results], first: str) -> list[Figure]:
    """The figures of ``first``, with everything else's beside them."""
    tables = {name: one.summary() for name, one in results.items()}
    return [
        Figure(name, value, count, {o: t[name][0] for o, t in tables.items() if o != first and name in t})
        for name, (value, count) in tables[first].items()
    ]
