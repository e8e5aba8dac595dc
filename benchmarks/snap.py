"""How near a cut comes to the onset: coarse positions, off by up to 15 ms, are snapped and held against the truth.

    python benchmarks/snap.py CORPUS [--split test] [--seed 0]

The truth is what `song.json` says of each stem's onsets; songs of which a stem says nothing are left out of the rows
that need it. "drums in the mix" are the drums' onsets looked for in the full mix; "all notes" those of every stem,
merged within 30 ms, of which many swell or hide behind louder ones and have no attack to find.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile

from models.corpus.attacks import merge
from streaming.snap import REACH_S, snap

STEMS = ("vocals", "drums", "bass", "other")
Row = list[tuple[float, float, bool]]
"""Of each onset: the error before and after the snap (s), and whether a fade was asked for."""


def measure(audio: np.ndarray, rate: int, onsets: np.ndarray, rng: np.random.Generator) -> Row:
    coarse = onsets + rng.uniform(-REACH_S, REACH_S, len(onsets))
    cuts = [snap(audio, rate, round(time * rate)) for time in coarse]
    return [(c - t, cut.position / rate - t, cut.fade) for c, t, cut in zip(coarse, onsets, cuts, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    rows: dict[str, Row] = {"drums alone": [], "drums in the mix": [], "all notes in the mix": []}
    for facts_path in sorted((options.corpus / options.split).glob("*/song.json")):
        facts = json.loads(facts_path.read_text())
        read = [soundfile.read(facts_path.with_name(f"{s}.flac"), dtype="float32", always_2d=True) for s in STEMS]
        rate, stems = read[0][1], [sound.T for sound, _ in read]
        onsets, mix = facts["onsets"], np.sum(stems, axis=0)
        if "drums" not in facts["unannotated"]:
            drums = np.array(onsets["drums"])
            rows["drums alone"] += measure(stems[STEMS.index("drums")], rate, drums, rng)
            rows["drums in the mix"] += measure(mix, rate, drums, rng)
        if not facts["unannotated"]:
            rows["all notes in the mix"] += measure(mix, rate, merge([t for s in STEMS for t in onsets[s]]), rng)
    for name, row in rows.items():
        before, after, fades = np.array(row).T
        ms = 1000 * np.abs(after)
        print(
            f"{name}: {len(row)} onsets, |snapped - true| median {np.median(ms):.2f} ms, "
            f"90th percentile {np.percentile(ms, 90):.2f} ms (before the snap {1000 * np.median(np.abs(before)):.2f}); "
            f"{100 * fades.mean():.0f}% ask for a fade"
        )


if __name__ == "__main__":
    main()
