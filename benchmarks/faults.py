"""Technical faults put into clean music and speech: how well detectors tell them, where, and how often they cry wolf.

    python benchmarks/faults.py ROOT [--set tuning] [--songs 40] [--seconds 120]

ROOT holds unpacked Debian packages (``~/.cache/sidechop/sources``); the thresholds were chosen on the packages of
`TUNING` and are judged on those of `TEST`, other composers and speakers. For each kind and recording a passage of 30 s
gets one fault; the AUROC is over frames of 10 ms, those of the fault against all others of the passage, with the fault
and without. Means are over recordings, never over their frames. Edges count where a flag of the kind overlaps the
fault; false flags are told from whole recordings as they are. Last, what a hop costs.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from streaming.faults.detector import Strengths
from streaming.faults.faults import DETECTORS, KINDS, Faults
from streaming.faults.rarity import GRADES
from streaming.flags import Flag

Audio = NDArray[np.float32]
TUNING = (
    "naev-data",
    "supertux-data",
    "wesnoth-1.16-music",
    "hedgewars-data",
    "colobot-common-sounds",
    "festvox-ru",
)
TEST = ("ufoai-music", "marsshooter-data", "supertuxkart-data", "nexuiz-music", "fillets-ng-data-cs")
SMALLEST = 400_000
"""Bytes: less is a jingle. Speech files are shorter, and joined."""
PASSAGE_S = 30
SPEECH = ("festvox-ru", "fillets-ng-data-cs")


def recordings(root: Path, packages: tuple[str, ...], songs: int, seconds: float) -> Iterator[tuple[str, int, Audio]]:
    """Name, rate and audio ``(channels, samples)`` of so many songs of each package; of speech, files in a row."""
    for package in packages:
        files = sorted(p for p in (root / package).rglob("*") if p.suffix.lower() in (".ogg", ".oga", ".wav", ".flac"))
        rng = np.random.default_rng(0)
        if package in SPEECH:
            yield from _speech(package, [files[i] for i in rng.permutation(len(files))], songs, seconds)
            continue
        files = [f for f in files if f.stat().st_size >= SMALLEST and "sound" not in str(f.parent.name)]
        for i in rng.permutation(len(files))[:songs]:
            with soundfile.SoundFile(files[i]) as file:
                if file.frames < PASSAGE_S * file.samplerate or file.channels > 2:
                    continue
                audio = file.read(int(seconds * file.samplerate), "float32", always_2d=True).T
                yield f"{package}/{files[i].stem}", file.samplerate, np.ascontiguousarray(audio)


def _speech(package: str, files: list[Path], count: int, seconds: float) -> Iterator[tuple[str, int, Audio]]:
    rows: list[Audio] = []
    rate = made = 0
    for path in files:
        audio, r = soundfile.read(path, dtype="float32", always_2d=True)
        if rows and (r != rate or audio.shape[1] != rows[0].shape[0]):
            continue
        rate = r
        rows.append(audio.T)
        if sum(row.shape[1] for row in rows) >= seconds * rate:
            yield f"{package}/{made}", rate, np.concatenate(rows, axis=1)
            rows, made = [], made + 1
            if made >= max(2, count // 4):
                return


def fault(kind: str, rng: np.random.Generator, x: Audio, rate: int) -> tuple[Audio, list[tuple[int, int]]]:
    """``x`` with a fault, and where it is."""
    y = x.copy()
    length = int(rng.uniform(1.5, 5) * rate)
    start = int(rng.uniform(5, PASSAGE_S - 11) * rate)
    part = y[:, start : start + length]
    spans = [(start, start + length)]
    loud = float(np.sqrt(np.square(part).mean())) + 1e-4
    if kind == "clipping":
        top = np.quantile(np.abs(part), 1 - rng.uniform(0.005, 0.05))
        over = np.flatnonzero((np.abs(part) >= top).any(axis=0))
        np.clip(part, -top, top, out=part)
        spans = [(start + int(over[0]), start + int(over[-1]) + 1)]
    elif kind == "dropout":
        spans = []
        for at in (start, start + length // 3, start + 2 * length // 3):
            n = int(rng.choice([128, 256, 512, 1024, 4096]) * rate / 44100)
            if rng.random() < 0.3:
                y[:, at : at + n] = y[:, at - n : at]
            else:
                y[:, at : at + n] = 0
            spans.append((at, at + n))
    elif kind == "click":
        spans = []
        for at in np.sort(rng.integers(start, start + length, 4)).tolist():
            n = int(rng.integers(1, max(2, rate // 2000)))
            near = float(np.abs(y[:, at - 1000 : at + 1000]).max())
            decay = np.exp(-np.arange(n) / max(1, n / 3)).astype(np.float32)
            y[:, at : at + n] += decay * np.float32(rng.choice([-1, 1]) * max(near, 0.02) * rng.uniform(0.5, 1.5))
            spans.append((at, at + n))
    elif kind == "hum":
        mains, places = rng.choice([50, 60]) * (1 + rng.uniform(-0.001, 0.001)), np.arange(length)
        lines = [rng.uniform(0.3, 1) / k * np.sin(2 * np.pi * k * mains * places / rate + 7 * k) for k in range(1, 9)]
        total = np.sum(lines, axis=0)
        level = loud * 10 ** (rng.uniform(-20, -8) / 20)
        part += (total * level / np.sqrt(np.square(total).mean())).astype(np.float32)
    elif kind == "dc":
        part += np.float32(rng.choice([-1, 1]) * rng.uniform(0.02, 0.1))
    elif kind == "phase":
        part[int(rng.integers(2))] *= -1
    elif kind == "bandlimit":
        spectrum = np.fft.rfft(part)
        spectrum[:, round(rng.uniform(2500, 9000) * length / rate) :] = 0
        part[:] = np.fft.irfft(spectrum, n=length)
    elif kind == "silence":
        part[:] = rng.uniform(-2e-5, 2e-5, part.shape) * (rng.random() < 0.5)
    return y, spans


def hear(kind: str, audio: Audio, rate: int) -> tuple[Audio, list[Flag]]:
    """The strengths of every hop, and the flags."""
    detector = next(d for d in DETECTORS if kind == d.KIND)()
    detector.prepare(rate, len(audio))
    flags = detector.process(audio, 0)
    curve = [detector.strengths]
    flags += detector.flush()
    curve.append(detector.strengths)
    return joined(curve), flags


def joined(curve: list[Strengths]) -> Audio:
    assert curve[0].position + curve[0].hop_samples * len(curve[0].values) == curve[1].position
    return np.concatenate([strengths.values for strengths in curve])


def auroc(odd: Audio, usual: Audio) -> float:
    """How often something odd ranks above something usual; ties count half."""
    order = np.sort(usual)
    below = np.searchsorted(order, odd, "left") + np.searchsorted(order, odd, "right")
    return float(below.mean() / 2 / len(usual))


def rarity(clean: Iterator[tuple[str, int, Audio]]) -> None:
    """How many steps of 0.16 s of clean audio hold a strength that great, as ``streaming/faults/rarity.py`` has it."""
    steps: dict[str, list[Audio]] = {kind: [] for kind in KINDS}
    for _, rate, audio in clean:
        for kind in KINDS:
            strengths, _ = hear(kind, audio, rate)
            whole = strengths[: len(strengths) // 16 * 16].reshape(-1, 16)
            steps[kind].append(whole.max(axis=1))
    count = sum(map(len, steps[KINDS[0]]))
    print(f"STEPS = {count}")
    for kind in KINDS:
        every = np.sort(np.concatenate(steps[kind]))
        larger = [int(count - np.searchsorted(every, grade)) for grade in GRADES]
        print(f'    "{kind}": {tuple(larger)},')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--set", choices=("test", "tuning"), default="test")
    parser.add_argument("--songs", type=int, default=40, help="of each package")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each song, for false flags and the cost")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--rarity", action="store_true", help="print how rare strengths are in these recordings")
    parser.add_argument("--list", action="store_true", help="each false flag and each weak recording")
    options = parser.parse_args()
    packages = TEST if options.set == "test" else TUNING
    if options.rarity:
        rarity(recordings(options.root, packages, options.songs, options.seconds))
        return
    areas: dict[str, list[float]] = {kind: [] for kind in options.kinds}
    edges: dict[str, list[float]] = {kind: [] for kind in options.kinds}
    missed = dict.fromkeys(options.kinds, 0)
    false = dict.fromkeys(options.kinds, 0)
    heard = spent = 0.0
    everyone = 0
    for name, rate, audio in recordings(options.root, packages, options.songs, options.seconds):
        everyone += 1
        faults = Faults(kinds=options.kinds)
        faults.prepare(rate, len(audio))
        started = time.process_time()
        flags = faults.process(audio, 0) + faults.flush()
        spent += time.process_time() - started
        heard += audio.shape[1] / rate
        for flag in flags:
            false[flag.kind] += 1
            if options.list:
                print(f"{name}: {flag.kind} {flag.start / rate:.3f} {flag.end / rate:.3f} {flag.score:.2f}")
        passage = audio[:, -PASSAGE_S * rate :]
        for number, kind in enumerate(options.kinds):
            if kind == "phase" and (len(audio) < 2 or np.array_equal(audio[0], audio[1] * 0)):
                continue
            y, spans = fault(kind, np.random.default_rng([everyone, number]), passage, rate)
            strengths, found = hear(kind, y, rate)
            clean, _ = hear(kind, passage, rate)
            hop = rate // 100
            inside = np.zeros(len(strengths), bool)
            for start, end in spans:
                inside[start // hop : (end - 1) // hop + 1] = True
            area = auroc(strengths[inside], np.concatenate([strengths[~inside], clean]))
            areas[kind].append(area)
            if options.list and area < 0.97:
                print(f"{name}: {kind} AUROC {area:.3f}, loudness {np.sqrt(np.square(passage).mean()):.4f}")
            for start, end in spans:
                over = [flag for flag in found if flag.start < end + hop and flag.end > start - hop]
                missed[kind] += not over
                if over:
                    near = min(over, key=lambda flag: abs(flag.start - start) + abs(flag.end - end))
                    edges[kind] += [abs(near.start - start) / rate, abs(near.end - end) / rate]
    print(f"{everyone} recordings of {', '.join(packages)}: {heard / 60:.0f} minutes")
    for kind in options.kinds:
        if areas[kind]:
            off = 1000 * np.median(edges[kind]) if edges[kind] else np.nan
            count = missed[kind] + len(edges[kind]) // 2
            print(
                f"{kind:9} AUROC mean {np.mean(areas[kind]):.4f}, 10th percentile {np.quantile(areas[kind], 0.1):.4f}; "
                f"edges off by {off:.1f} ms median; {missed[kind]} of {count} missed; "
                f"{600 * false[kind] / heard:.2f} false flags in 10 minutes"
            )
    print(f"all kinds: {600 * sum(false.values()) / heard:.2f} false flags in 10 minutes")
    off = 1000 * np.median(np.concatenate([edges[kind] for kind in options.kinds]))
    print(f"edges of all kinds: off by {off:.1f} ms median")
    print(
        f"cost: {1000 * spent / heard:.2f} ms a second of audio ({100 * spent / heard:.2f}% of a core), "
        f"{3600 * spent / heard:.1f} s an hour"
    )


if __name__ == "__main__":
    main()
