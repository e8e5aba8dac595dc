"""The sounds of a split, decoded once: one long int16 array and a table of what lies where.

``python -m models.query.pool ROOT [--songs CORPUS]`` writes ``ROOT/{train,validation,test}.npy`` (mono, 44.1 kHz) and
``.json`` beside each. Sounds are trimmed of silence, brought to one loudness, and cut to `LONGEST_S`; of a class that
has more than its `MINUTES`, some units of each source are taken.
"""

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.corpus.instruments import DRUM_BANK, SoundfontPlayer
from models.corpus.score import Note
from models.corpus.sources import SOUNDFONT_FILES, default_cache
from models.flagger.recordings import RATE, read_file
from models.separator.songs import find_songs, read_sources
from streaming.card import Source
from streaming.errors import AudioError

from .classes import classes
from .sounds import RENDERED, SPLITS, Sound, find_sounds

LONGEST_S = 10.0
SHORTEST_S = 0.04
LEVEL = 0.08
"""RMS of what is heard of each sound."""
MINUTES = {"train": 8.0, "validation": 1.0, "test": 1.2}
"""Most of a class; of `CORE` twice as much and more."""
CORE = {"speech": 4.0, "singing": 3.0, "drums": 3.0, "bass_guitar": 2.0, "guitar": 2.0, "piano": 2.0, "orchestra": 3.0}
SILENCE = 10 ** (-50 / 20)
Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Place:
    """Where a sound lies in the pool, in samples, and what it is."""

    kind: str
    start: int
    length: int
    source: str
    unit: str


class Pool:
    """A split as it lies on disk. ``samples`` is the memory-mapped array."""

    def __init__(self, root: Path, split: str) -> None:
        table = root / f"{split}.json"
        if not table.is_file():
            raise AudioError(f"{table}: not there; make it with `python -m models.query.pool {root}`")
        rows = json.loads(table.read_text(encoding="utf-8"))
        self.places = [Place(**row) for row in rows["places"]]
        self.sources = [Source(**row) for row in rows["sources"]]
        self.samples: NDArray[np.int16] = np.load(root / f"{split}.npy", mmap_mode="r")

    def read(self, place: Place) -> Audio:
        """``(samples,)`` mono float32."""
        part: Audio = self.samples[place.start : place.start + place.length].astype(np.float32) / np.float32(32768)
        return part

    def leave_out(self, sources: Sequence[str]) -> None:
        """Forget the sounds of sources whose names begin so."""
        self.places = [place for place in self.places if not place.source.startswith(tuple(sources))]
        self.sources = [source for source in self.sources if not source.name.startswith(tuple(sources))]

    def by_class(self) -> dict[str, list[Place]]:
        found: dict[str, list[Place]] = defaultdict(list)
        for place in self.places:
            found[place.kind].append(place)
        return dict(found)


def prepare(audio: Audio) -> Audio | None:
    """Trimmed, faded at a cut end, at `LEVEL`; None where nothing is heard."""
    peak = float(np.abs(audio).max(initial=0.0))
    if peak < 1e-4:
        return None
    heard = np.flatnonzero(np.abs(audio) > peak * SILENCE)
    audio = audio[heard[0] : heard[-1] + 1][: round(LONGEST_S * RATE)].copy()
    if len(audio) < SHORTEST_S * RATE:
        return None
    fade = min(len(audio), 441)
    audio[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    frames = np.sqrt(np.mean(audio[: len(audio) // 441 * 441].reshape(-1, 441) ** 2, axis=1))
    level = np.sqrt(np.mean(frames[frames > frames.max() * 0.1] ** 2))
    scaled: Audio = audio * np.float32(min(LEVEL / level, 0.95 / np.abs(audio).max()))
    return scaled


class Renderer:
    """Short phrases on single instruments: a tune, chords or a held line, in a key and tempo of their own."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._font = ""
        self._player: SoundfontPlayer | None = None
        self._presets: dict[int, set[int]] = {}

    def render(self, file: str) -> Audio:
        """``FONT#PRESET#SEED`` to ``(samples,)``, silence where the font has no such preset. Raises `OSError` without
        FluidSynth or the font."""
        font, preset, _ = file.split("#")
        if font != self._font:
            if self._player is not None:
                self._player.close()
            self._player, self._font = SoundfontPlayer(self._cache / font / SOUNDFONT_FILES[font]), font
            self._presets = {bank: set(self._player.programs(bank)) for bank in (0, 8, 9, 16, DRUM_BANK)}
        assert self._player is not None
        rng = np.random.default_rng([ord(c) for c in file])
        if preset.startswith("drums:"):
            _, kit, keys = preset.split(":")
            bank, program, seconds = DRUM_BANK, int(kit), BEAT_S
            notes = beat(rng, [int(key) for key in keys.split("+")])
        else:
            first, _, last = preset.rpartition(":")
            bank, program, seconds = int(first or 0), int(last), LONGEST_S
            notes = phrase(rng, program)
        if program not in self._presets[bank]:
            return np.zeros(0, np.float32)
        mono: Audio = self._player.play(notes, round(seconds * RATE), bank, program).mean(axis=0)
        return mono


BEAT_S = 5.0


def beat(rng: np.random.Generator, keys: Sequence[int]) -> list[Note]:
    """A rhythm on one or some percussion keys, `BEAT_S` long."""
    step = float(rng.uniform(0.1, 0.3))
    often = float(rng.uniform(0.2, 0.9))
    chosen = rng.permutation(keys)[: int(rng.integers(1, len(keys) + 1))]
    times = [0.0, *(t for t in np.arange(step, BEAT_S - 0.5, step) if rng.random() < often)]
    return [Note(float(t), 0.3, float(rng.choice(chosen)), float(rng.uniform(0.4, 1.0))) for t in times]


BASSES = range(32, 40)
LOW = (42, 43, 57, 58, 70, 71)


def phrase(rng: np.random.Generator, program: int) -> list[Note]:
    """Ten seconds of notes that the program could play."""
    bass = program in BASSES
    root = int(rng.integers(28, 40) if bass else rng.integers(40, 52) if program in LOW else rng.integers(52, 68))
    scale = ((0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 5, 7, 9, 11), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))[int(rng.integers(4))]
    beat = float(rng.uniform(0.28, 0.75))
    chords = not bass and rng.random() < 0.4
    notes, now, degree = [], 0.0, int(rng.integers(len(scale)))
    while now < LONGEST_S - 0.3:
        length = beat * float(rng.choice([0.5, 1, 1, 2, 4], p=[0.3, 0.25, 0.2, 0.15, 0.1]))
        degree = int(np.clip(degree + rng.integers(-3, 4), -2, 2 * len(scale)))
        for step in (0, 2, 4) if chords else (0,):
            octave, place = divmod(degree + step, len(scale))
            pitch = root + 12 * octave + scale[place]
            notes.append(Note(now, length * float(rng.uniform(0.7, 1.1)), pitch, float(rng.uniform(0.5, 1.0))))
        now += length
    return notes


def _read(sound: Sound, renderer: Renderer) -> Audio | None:
    try:
        if "#" in sound.file and "::" not in sound.file and not Path(sound.file).is_absolute():
            return prepare(renderer.render(sound.file))
        return prepare(read_file(sound.file, LONGEST_S + 2, sound.start_s).mean(axis=0))
    except (AudioError, OSError):
        return None


def chosen(sounds: Sequence[Sound], split: str) -> Iterator[Sound]:
    """Sounds of a split in an order that takes from every unit in turn: a class may be cut off anywhere."""
    by_class: dict[str, dict[str, list[Sound]]] = defaultdict(lambda: defaultdict(list))
    for sound in sounds:
        if sound.split == split:
            by_class[sound.kind][sound.unit].append(sound)
    rng = np.random.default_rng(7)
    for key in sorted(by_class):
        units = [[of[i] for i in rng.permutation(len(of))] for _, of in sorted(by_class[key].items())]
        while units:
            for unit in units:
                yield unit.pop()
            units = [unit for unit in units if unit]


def build(root: Path, split: str, sounds: Sequence[Sound], songs: Path | None = None) -> None:
    """Write the pool of a split, aside first. What the stems of ``songs`` were made from is credited too."""
    renderer = Renderer(default_cache())
    parts: list[NDArray[np.int16]] = []
    places: list[Place] = []
    sources: dict[str, tuple[Source, int]] = {}
    at = 0
    filled: dict[str, int] = defaultdict(int)
    for sound in chosen(sounds, split):
        if filled[sound.kind] > MINUTES[split] * CORE.get(sound.kind, 1.0) * 60 * RATE:
            continue
        audio = _read(sound, renderer)
        if audio is None:
            continue
        parts.append((audio * 32767).astype(np.int16))
        places.append(Place(sound.kind, at, len(audio), sound.source.name, sound.unit))
        source, samples = sources.get(sound.source.name, (sound.source, 0))
        sources[sound.source.name] = source, samples + len(audio)
        at += len(audio)
        filled[sound.kind] += len(audio)
    root.mkdir(parents=True, exist_ok=True)
    credits = [Source(s.name, s.licence, s.credit, round(n / RATE / 3600, 3)) for s, n in sources.values()]
    if songs is not None and any(s.name == RENDERED.name for s in credits):
        named = {s.name for s in credits}
        of_songs = read_sources(find_songs(songs, split))
        credits += [Source(s.name, s.licence, s.credit) for s in of_songs if s.name not in named]
    table = {"places": [asdict(p) for p in places], "sources": [asdict(s) for s in credits]}
    aside = root / f".{split}.part.npy"
    np.save(aside, np.concatenate(parts) if parts else np.zeros(0, np.int16))
    os.replace(aside, root / f"{split}.npy")
    (root / f".{split}.part.json").write_text(json.dumps(table), encoding="utf-8")
    os.replace(root / f".{split}.part.json", root / f"{split}.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--songs", type=Path, help="a corpus of stems, made by `python -m models.corpus`")
    parser.add_argument("--split", choices=SPLITS, action="append")
    options = parser.parse_args()
    sounds = find_sounds(songs=options.songs)
    for split in options.split or SPLITS:
        build(options.root, split, sounds, options.songs)
        pool = Pool(options.root, split)
        minutes = {key: sum(p.length for p in of) / RATE / 60 for key, of in pool.by_class().items()}
        missing = [key for key in classes() if key not in minutes]
        print(f"{split}: {len(pool.places)} sounds, {len(pool.samples) / RATE / 3600:.2f} h, {len(minutes)} classes")
        print("  minutes:", ", ".join(f"{key} {m:.1f}" for key, m in minutes.items()))
        print("  none of:", ", ".join(missing) or "-")


if __name__ == "__main__":
    main()
