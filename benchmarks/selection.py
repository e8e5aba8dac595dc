"""How the methods that choose chops trade relevance for difference, over the songs of a corpus.

    python -m benchmarks.selection CORPUS [--split test] [--model chopper] [--plot docs/selection.svg]

For every method, count and λ: the mean relevance of the chosen; the least distance between two of them; and coverage,
the mean distance of all candidates to the nearest chosen (less is better). Distances are those of the half seconds,
over the scale that selection uses. Then, at equal relevance (max-min interpolated along λ), how much larger max-min's
least distance is. Without a model, places and strengths come from the annotations, with seeded noise. And what a
re-roll costs, in mean relevance and in time.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from bridge.chops.analysis import Analysis, analyse_audio
from bridge.chops.candidates import describe, find_places
from bridge.chops.dispersion import Space
from bridge.chops.marks import NO_MARKS, Marks
from bridge.chops.selection import ALIKE, METHODS, Candidates, Choice, select
from bridge.chops.settings import Method
from bridge.passage import ArrayPassage
from bridge.registry import find_model
from streaming.curves import CurveNetwork
from streaming.features import MEL, MelFrames
from streaming.session import OnnxModel

COUNTS = (4, 6, 8, 12)
WEIGHTS = np.round(np.linspace(0, 1, 21), 2)
RIVALS: tuple[Method, ...] = ("mad-segments", "mad-frames", "max-sum")
STEMS = ("vocals", "drums", "bass", "other")
FALSE_ONSETS = 0.2
"""False onsets to true ones, where annotations stand in for a network."""
RE_ROLLS = 8


def songs(corpus: Path, split: str) -> Iterator[tuple[np.ndarray, int, dict[str, Any]]]:
    """The mix ``(channels, samples)``, its rate, and what is annotated."""
    for path in sorted(p for p in (corpus / split).iterdir() if (p / "song.json").exists()):
        stems = [soundfile.read(path / f"{stem}.flac", dtype="float32", always_2d=True) for stem in STEMS]
        mix = np.sum([audio for audio, _ in stems], axis=0).T
        yield mix, stems[0][1], json.loads((path / "song.json").read_text())


def annotated(mix: np.ndarray, rate: int, song: dict[str, Any], rng: np.random.Generator) -> Analysis:
    """What a network might have heard: true strengths about .8, false onsets about .6."""

    def marks(seconds: list[float], strength: float) -> Marks:
        positions = np.unique(np.round(np.array(seconds) * rate).astype(np.int64))
        positions = positions[(positions >= 0) & (positions < mix.shape[1])]
        strengths = rng.normal(strength, 0.15, len(positions)).clip(0.1, 1).astype(np.float32)
        return Marks(positions, strengths, np.zeros(len(positions), np.bool_), positions)

    true = marks([second for stem in song["onsets"].values() for second in stem], 0.8)
    count = round(FALSE_ONSETS * len(true.positions))
    false = marks(rng.uniform(0, mix.shape[1] / rate, count).tolist(), 0.6)
    both = Marks(*(np.concatenate(fields) for fields in zip(true, false, strict=True)))
    order = np.unique(both.positions, return_index=True)[1]
    source = MelFrames(MEL, rate)
    frames = np.concatenate([source.process(mix.mean(0)), source.flush()])
    texture = frames[: len(frames) // 10 * 10].reshape(-1, 10, MEL.bands).mean(1).astype(np.float16)
    return Analysis(
        passage=ArrayPassage(mix, rate),
        rate=rate,
        frames=mix.shape[1],
        start=0,
        features=MEL,
        frame_rate=MEL.frame_rate,
        curves={},
        texture=texture,
        onsets=Marks(*(field[order] for field in both)),
        beats=marks(song["beats"], 0.8),
        downbeats=marks(song["downbeats"], 0.8),
        phrases=marks(song["phrases"], 0.8),
        chops=NO_MARKS,
        beat_numbers=np.zeros(0, np.int64),
        beats_per_bar=0,
        tempo=0.0,
    )


def judge(candidates: Candidates, space: Space, chosen: np.ndarray) -> tuple[float, float, float]:
    """Relevance, least distance, coverage."""
    columns = space.columns(chosen.tolist())
    pairs = columns[chosen][np.triu_indices(len(chosen), 1)]
    return float(candidates.relevance[chosen].mean()), float(pairs.min(initial=1)), float(columns.min(1).mean())


def sweep(candidates: Candidates, end: int) -> np.ndarray:
    """``(methods, counts, λ, 3)``."""
    space = Space(candidates.descriptors, 0.95, ALIKE, candidates.positions / end)
    results = np.zeros((len(METHODS), len(COUNTS), len(WEIGHTS), 3))
    for m, method in enumerate(METHODS):
        for c, count in enumerate(COUNTS):
            for w, weight in enumerate(WEIGHTS):
                chosen = select(candidates, Choice(method, float(weight), count), end).indices
                results[m, c, w] = judge(candidates, space, chosen)
    return results


def gains(results: np.ndarray, rival: Method) -> np.ndarray:
    """At the rival's relevance, max-min's least distance less the rival's: ``(songs, counts, λ below 1)``.

    At λ = 1 both are top-N and nothing differs.
    """
    out = np.zeros((len(results), len(COUNTS), len(WEIGHTS) - 1))
    for song, of_song in enumerate(results):
        for count in range(len(COUNTS)):
            front = of_song[METHODS.index("max-min"), count, :, :2]
            rising = front[np.argsort(front[:, 0], kind="stable")].T
            relevance, least = of_song[METHODS.index(rival), count, :-1, :2].T
            out[song, count] = np.interp(relevance, *rising) - least
    return out


def re_roll(candidates: Candidates, end: int) -> tuple[float, float, float]:
    """Relevance against the plain best's, share of new places, milliseconds of the slowest."""
    plain = select(candidates, Choice(count=8), end).indices
    kept, new, slowest = [], [], 0.0
    for seed in range(1, RE_ROLLS + 1):
        started = time.perf_counter()
        rolled = select(candidates, Choice(count=8, seed=seed), end).indices
        slowest = max(slowest, 1000 * (time.perf_counter() - started))
        kept.append(candidates.relevance[rolled].mean() / candidates.relevance[plain].mean())
        new.append(len(np.setdiff1d(rolled, plain)) / len(rolled))
    return float(np.mean(kept)), float(np.mean(new)), slowest


def report(results: np.ndarray) -> None:
    print("\nmean over songs: relevance / least distance / coverage")
    for c, count in enumerate(COUNTS):
        for weight in (0.3, 0.5, 0.7):
            w = int(np.flatnonzero(weight == WEIGHTS)[0])
            cells = [" ".join(f"{v:.3f}" for v in results[:, m, c, w].mean(0)) for m in range(len(METHODS))]
            print(
                f"  {count:2} chops λ {weight}: " + "   ".join(f"{m} {v}" for m, v in zip(METHODS, cells, strict=True))
            )
    print("\nat equal relevance, max-min's least distance less the rival's: mean ± spread over songs")
    for rival in RIVALS:
        gain = gains(results, rival)
        each = gain.mean(2)  # (songs, counts)
        least = results[:, METHODS.index(rival), :, :-1, 1].mean()
        cells = ", ".join(f"{n}: {g.mean():+.3f} ± {g.std():.3f}" for n, g in zip(COUNTS, each.T, strict=True))
        songs_won, points_kept = 100 * (each > 0).mean(), 100 * (gain > -1e-6).mean()
        print(f"  {rival:12} {cells}; in all {gain.mean():+.3f} on {least:.3f}")
        print(f"{'':15}larger in {songs_won:.0f} % of songs and counts, no smaller at {points_kept:.1f} % of single λ")


def plot(results: np.ndarray, path: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "sidechop"  # the same file from the same figures
    mpl.rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=False)
    count = COUNTS.index(6)
    for m, method in enumerate(METHODS):
        relevance, least, _ = results[:, m, count].mean(0).T
        style = "ks" if method == "top-n" else ".-"
        axes[0].plot(relevance, least, style, label=method)
        axes[1].plot(
            COUNTS,
            results[:, m, :, WEIGHTS.tolist().index(0.5), 1].mean(0),
            "k-" if method == "top-n" else ".-",
            label=method,
        )
    axes[0].set(xlabel="mean relevance", ylabel="least distance", title="6 chops, λ from 0 (left) to 1 (right)")
    axes[1].set(xlabel="chops", ylabel="least distance", title="λ = 0.5", xticks=COUNTS)
    for axis in axes:
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", help="let this network find the places, instead of the annotations")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    network = CurveNetwork(OnnxModel.open(find_model(options.model))) if options.model else None
    rng = np.random.default_rng(0)
    swept, rolled, sizes, counts = [], [], [], []
    for mix, rate, song in songs(options.corpus, options.split):
        analysis = analyse_audio(mix, rate, network) if network else annotated(mix, rate, song, rng)
        candidates = describe(analysis, "chop", find_places(analysis, "chop"))
        sizes.append(len(candidates.positions))
        counts.append(len(select(candidates, Choice(), analysis.frames).indices))
        swept.append(sweep(candidates, analysis.frames))
        rolled.append(re_roll(candidates, analysis.frames))
    results = np.array(swept)
    print(f"{len(results)} songs, {min(sizes)} to {max(sizes)} candidates, {options.model or 'annotations'}")
    print(f"automatic count: {sorted(counts)}")
    report(results)
    kept, new, slowest = np.array(rolled).T
    print(
        f"\nre-roll of 8, {RE_ROLLS} seeds a song: {100 * kept.mean():.1f} % of the relevance (worst song "
        f"{100 * kept.min():.1f}), {100 * new.mean():.0f} % of the places new, slowest {slowest.max():.1f} ms"
    )
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
