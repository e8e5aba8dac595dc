"""``python -m models.flagger.corpus ROOT``: takes whose faults are known, to judge flaggers by.

``ROOT/{validation,test}/NAME/`` holds ``mix.flac`` (44.1 kHz, stereo) and ``flags.json``: ``task`` is ``fault`` (one
kind put into a song, here and there), ``clean`` (nothing) or ``edit`` (a raw take: what the edit kept is ``keep``);
``faults`` are ``{kind, start, end}`` in samples. The same seed makes the same files. Songs, speech and sounds of the
two splits come from other packages than training's (`library`).
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import soundfile
import typer

from models.corpus.sources import Sources, default_cache

from . import library
from .faults import FAULTS, JUNK, Others
from .recordings import RATE, Audio, Decoded, Recording, read_file, read_stereo, readable, seconds_of

SEED = 4
EXCERPT_S = 40.0
CLEAN_S = 150.0
EACH = 5
"""Takes of a kind."""
CLEAN = {"validation": 40, "test": 45}
EDITS = {"validation": 10, "test": 14}
SPEECH_EACH = 5
"""Every fifth base is speech; talk in speech is no fault."""
Rng = np.random.Generator


class Take(NamedTuple):
    """One file of the corpus."""

    name: str
    audio: Audio
    facts: dict[str, object]


def takes(split: str, decoded: Path, each: int = EACH, seed: int = SEED) -> Iterator[Take]:
    """All of a split, ``each`` of a kind."""
    music, speech = library.music(split), library.speech(split)
    pools = (Decoded(readable(some, decoded), decoded) for some in (music, speech, library.sounds(split)))
    songs_pool, voices, sounds = pools
    others = Others(songs_pool, voices, sounds, sticks())
    rng = np.random.default_rng((seed, split == "test"))
    songs = [music[i] for i in rng.permutation(len(music))]
    turn = 0
    for kind in FAULTS:
        for number in range(each):
            spoken = number % SPEECH_EACH == SPEECH_EACH - 1 and kind not in ("talk", "wrong take", "phase")
            base = speech[int(rng.integers(len(speech)))] if spoken else songs[turn % len(songs)]
            turn += not spoken
            yield with_faults(np.random.default_rng((seed, turn, number)), base, kind, number, others)
    for number in range(EDITS[split]):
        base = songs[(turn + number) % len(songs)]
        yield raw_take(np.random.default_rng((seed, 1, number)), base, number, others)
    for number in range(min(CLEAN[split], len(songs))):
        audio = read_stereo(songs[number], CLEAN_S)
        yield Take(f"clean-{number:02d}", audio, facts("clean", songs[number], []))


def facts(task: str, base: Recording, faults: list[dict[str, object]]) -> dict[str, object]:
    source = base.source
    credit = {"name": source.name, "licence": source.licence, "credit": source.credit}
    return {"task": task, "title": base.name, "speech": base.speech, "sources": [credit], "faults": faults}


def excerpt(rng: Rng, base: Recording, seconds: float) -> Audio:
    """From anywhere that is not silent."""
    for _ in range(20):
        part = read_stereo(base, seconds, rng.uniform(0, max(1e-3, seconds_of(base) - seconds)))
        if np.square(part).mean() > 1e-6:
            break
    return part


def with_faults(rng: Rng, base: Recording, kind: str, number: int, others: Others) -> Take:
    """Two to four places of one kind in an excerpt."""
    fault = FAULTS[kind]
    audio = excerpt(rng, base, EXCERPT_S)
    found: list[dict[str, object]] = []
    at = int(rng.uniform(6, 9) * RATE)
    while len(found) < 60:
        length = int(rng.uniform(fault.low_s, fault.high_s) * RATE)
        if at + length + RATE > audio.shape[1]:
            break
        part = audio[:, at : at + length]
        if np.square(part).mean() > 1e-6:
            worse, spans = fault.make(rng, part.copy(), others)
            audio[:, at : at + length] = fitted(worse, length)
            found += [{"kind": kind, "start": at + a, "end": at + b} for a, b in spans]
        at += length + int(rng.uniform(5, 9) * RATE)
    name = f"{kind.replace(' ', '-')}-{number:02d}"
    return Take(name, audio, {**facts("fault", base, found), "kind": kind})


def raw_take(rng: Rng, base: Recording, number: int, others: Others) -> Take:
    """An excerpt with what an editor would cut out between its passages: ``keep`` is what was there before."""
    edited = excerpt(rng, base, rng.uniform(50, 80))
    pieces: list[Audio] = []
    keep: list[tuple[int, int]] = []
    found: list[dict[str, object]] = []
    at = length = 0
    while at < edited.shape[1]:
        step = min(edited.shape[1] - at, int(rng.uniform(6, 16) * RATE))
        pieces.append(edited[:, at : at + step])
        keep.append((length, length + step))
        at, length = at + step, length + step
        if edited.shape[1] - at < 4 * RATE:
            pieces.append(edited[:, at:])
            keep[-1] = (keep[-1][0], keep[-1][1] + edited.shape[1] - at)
            break
        kind = JUNK[int(rng.integers(len(JUNK)))]
        seconds = int(rng.uniform(2, 7) * RATE)
        like = edited[:, max(0, at - seconds) : at]  # what had been played goes wrong
        worse, _ = FAULTS[kind].make(rng, like.copy(), others)
        pieces.append(fitted(worse, like.shape[1]))
        found.append({"kind": kind, "start": length, "end": length + like.shape[1]})
        length += like.shape[1]
    audio = np.concatenate(pieces, axis=1)
    return Take(f"edit-{number:02d}", audio, {**facts("edit", base, found), "keep": keep})


def fitted(audio: Audio, length: int) -> Audio:
    """Effects may give a little less or more."""
    return np.pad(audio, ((0, 0), (0, max(0, length - audio.shape[1]))))[:, :length].astype(np.float32)


def sticks() -> list[Audio]:
    """Strokes that count-ins are made of."""
    sources = Sources()
    found = sources.sonic_pi()
    names = ("drum_cowbell", "elec_tick", "elec_wood", "perc_snap", "drum_cymbal_pedal")
    files = [found / f"{n}.flac" for n in names] if found else []
    return [read_file(str(f)).mean(axis=0)[: RATE // 3] for f in files if f.is_file()]


def write(take: Take, root: Path) -> None:
    """Write the folder aside and rename it."""
    folder = root / take.name
    aside = root / f".{take.name}.{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    peak = max(1.0, float(np.abs(take.audio).max()))
    soundfile.write(aside / "mix.flac", (take.audio / peak).T, RATE)
    (aside / "flags.json").write_text(json.dumps(take.facts, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)


def main(
    root: Annotated[Path, typer.Argument(help="folder to write {validation,test}/NAME/ into")],
    split: Annotated[str, typer.Option(help="validation, test or both")] = "both",
    cache: Annotated[Path | None, typer.Option(help="where decoded audio is kept")] = None,
    each: Annotated[int, typer.Option(help="takes of each kind of fault")] = EACH,
    seed: Annotated[int, typer.Option(help="another makes other takes of the same songs")] = SEED,
) -> None:
    """Write the takes."""
    decoded = cache or default_cache().parent / "decoded"
    for name in ("validation", "test") if split == "both" else (split,):
        count = 0
        for take in takes(name, decoded, each, seed):
            write(take, root / name)
            count += 1
        print(f"{name}: {count}")


if __name__ == "__main__":
    typer.run(main)
