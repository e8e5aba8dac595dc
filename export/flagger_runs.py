"""Runs that end in a flagger's ONNX file: a user's own from a folder, or networks trained from nothing.

Both write into a folder aside and leave either the whole result there or nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console

from models.flagger import library
from models.flagger.baselines import Kind
from models.flagger.clips import SHARD, draw_clip, mel, read_shards, write_shard
from models.flagger.corruptions import FAMILIES, Pools
from models.flagger.mel_faults import Frames, Library
from models.flagger.network import SCALES, FlagNetwork, Size
from models.flagger.own import Own, Progress, learn_own
from models.flagger.pairs import read_folder
from models.flagger.recordings import RATE, Audio, Decoded, Recording, readable
from models.flagger.report import write_report
from models.flagger.reviewing import ReviewSettings, train_reviewer
from models.flagger.scenes import Shelf
from models.flagger.song_spans import Song, draw_song, read_song, to_bytes, write_song
from models.flagger.teaching import Heard as HeardSteps
from models.flagger.teaching import Taught, hear_clip, measured, memory_of, set_threshold, teach
from models.flagger.training import Heard, Settings, read_checkpoint, train_baseline, train_network
from streaming.card import Source
from streaming.errors import RequestError
from streaming.flagger import FILE, LIVE, Flagger
from streaming.reviewer import Reviewer

from .flagger import export_network, put_constants
from .parity import Parity
from .reviewer import export_reviewer

LEAST_RECORDINGS = 4
MEMORY_S, CALIBRATION_S, FRAMES_S = 40, 120, 110
"""Of each recording, what is remembered, what calibrates, and what examples are made of."""
JUDGED_CLIPS = 240
SONG_S, SPANS = 100, 300
"""Of each recording, what the reviewer's scenes are made of, and how many places in it are made worse."""


@dataclass(frozen=True)
class Split:
    """Recordings to learn from, and recordings held out."""

    learn: Pools
    held: Pools
    sources: tuple[Source, ...]


def own_flagger(
    folder: Path, base: Path, reviewer: Path, output: Path, name: str, progress: Progress
) -> tuple[Path, Path, Own]:
    """Write ``output/NAME.onnx`` and ``output/NAME.html``; returns both and what came of it.

    Args:
        reviewer: hears along, where the base counts on one.

    Raises:
        RequestError, ModelError: the folder or the base do not do.
    """
    flagger = Flagger(base)
    flagger.live = False
    if flagger.needs_reviewer:
        flagger.reviewer = Reviewer(reviewer)
    own = learn_own(folder, flagger, progress)
    output.mkdir(parents=True, exist_ok=True)
    model, report = output / f"{name}.onnx", output / f"{name}.html"
    write_report(own, flagger.network.steps_a_second, name, report)
    put_constants(base, model, own.taught, name, [own.source])
    return model, report, own


def fresh_flagger(
    split: Split,
    output: Path,
    name: str,
    kind: Kind | None,
    settings: Settings,
    clips: int,
    console: Console,
    reviewer: Path | ReviewSettings | None = None,
) -> tuple[Path, list[Parity]]:
    """Train from nothing, remember, weigh, calibrate and export: ``output/NAME.onnx``.

    Args:
        reviewer: hears files along with it, and is weighed, too; settings train one, ``output/NAME-review.onnx``.
        kind: a baseline, or None for the flagger itself.
        clips: how many to make, half a minute each; those that ``output/clips`` holds already are used.
    """
    shards = []
    for number in range(-(-clips // SHARD)):
        shards.append(write_shard(settings.seed, number, split.learn, output / "clips"))
        console.print(f"clips {SHARD * (number + 1)}", soft_wrap=True)
    console.print("frames", soft_wrap=True)
    heard = Heard(library_of(split.learn), read_shards(shards))
    if kind is None:
        checkpoint = train_network(heard, settings, Size(), output, split.sources, console.quiet)
    else:
        checkpoint = train_baseline(heard, kind, settings, output, split.sources, console.quiet)
    if isinstance(reviewer, ReviewSettings):
        ear, _ = read_checkpoint(checkpoint)
        assert isinstance(ear, FlagNetwork)
        reviewer = fresh_reviewer(split, ear, output, f"{name}-review", reviewer, console)
    return finish(checkpoint, split, output, name, kind is not None, settings.seed, reviewer)


def fresh_reviewer(
    split: Split, ear: FlagNetwork, output: Path, name: str, settings: ReviewSettings, console: Console
) -> Path:
    """Make spans of every recording, train the reviewer and export it: ``output/NAME.onnx``. Spans that
    ``output/songs`` holds already are used."""
    shelves: list[list[Song]] = [[], []]
    for which, decoded in enumerate((split.learn.music, split.learn.speech)):
        for i in range(len(decoded) if decoded else 0):
            assert decoded is not None
            path = output / "songs" / f"{settings.seed}-{which}-{i:03d}.npz"
            if not path.exists():
                start = max(0, int(decoded.seconds(i)) - SONG_S) // 2 * RATE
                rng = np.random.default_rng((settings.seed, which, i))
                write_song(
                    draw_song(rng, decoded.excerpt(i, start, SONG_S * RATE), split.learn, SPANS, which == 1), path
                )
            shelves[which].append(read_song(path))
        console.print(f"songs {len(shelves[which])}", soft_wrap=True)
    (music, speech), sounds = shelves, split.learn.sounds
    heard = [to_bytes(mel(sounds.excerpt(i, 0, 5 * RATE))) for i in range(len(sounds))] if sounds else []
    shelf = Shelf(music, speech, heard)
    checkpoint = train_reviewer(shelf, len(FAMILIES), settings, ear, output, split.sources, console.quiet)
    export_reviewer(checkpoint, output, name)
    return output / f"{name}.onnx"


def finish(
    checkpoint: Path,
    split: Split,
    output: Path,
    name: str,
    plain: bool,
    seed: int = 0,
    reviewer: Path | None = None,
) -> tuple[Path, list[Parity]]:
    """From a checkpoint to a file: export, memory, weights, calibration. ``plain``: a baseline, whose odds are all."""
    with TemporaryDirectory(dir=output, prefix=".finish-") as aside:
        rows = export_network(checkpoint, Path(aside), name)
        bare = Path(aside) / f"{name}.onnx"
        flagger = Flagger(bare)
        flagger.live = False
        if reviewer and not plain:
            flagger.reviewer = Reviewer(reviewer)
        remembered = measured(flagger, excerpts(split.learn, MEMORY_S))
        good = measured(flagger, excerpts(split.held, CALIBRATION_S))
        if plain:
            taught = plain_constants(flagger, remembered, good)
        else:
            rng = [np.random.default_rng((seed, 1, i)) for i in range(JUDGED_CLIPS)]
            judged = [draw_clip(one, split.held, clean_share=0.1) for one in rng]
            taught = teach(flagger.network, remembered, [(hear_clip(flagger, c), c) for c in judged], good)
        put_constants(bare, output / f"{name}.onnx", taught, name, split.sources)
    return output / f"{name}.onnx", rows


def plain_constants(flagger: Flagger, remembered: Sequence[HeardSteps], good: Sequence[HeardSteps]) -> Taught:
    """A baseline's: its own odds at the shortest scale are the oddness."""
    network = flagger.network
    network.memory = memory_of(remembered, network.scales, network.memory.shape[1])
    weights = np.zeros(3 * len(SCALES) + 2, np.float32)
    weights[0] = 1
    rows = [set_threshold(network, good, weights, row) for row in (LIVE, FILE)]
    return Taught(network.memory, np.stack([w for w, _ in rows]), np.stack([c for _, c in rows]))


def library_of(pools: Pools) -> Library:
    """The frames of what there is to learn from, the middle of every recording."""

    def frames_of(decoded: Decoded | None) -> Frames | None:
        if not decoded:
            return None
        parts = []
        for i in range(len(decoded)):
            start = max(0, int(decoded.seconds(i)) - FRAMES_S) // 2 * RATE
            parts.append(mel(decoded.excerpt(i, start, FRAMES_S * RATE)))
        return Frames(parts)

    music = frames_of(pools.music)
    assert music is not None
    return Library(music, frames_of(pools.speech), frames_of(pools.sounds))


def excerpts(pools: Pools, seconds: int) -> Iterator[Audio]:
    """The middle of every recording."""
    for decoded in (pools.music, pools.speech):
        for i in range(len(decoded) if decoded else 0):
            assert decoded is not None
            start = max(0, int(decoded.seconds(i)) - seconds) // 2 * RATE
            yield decoded.excerpt(i, start, seconds * RATE)


def general_split(cache: Path) -> Split:
    """The general model's: free music and speech (`models.flagger.library`)."""
    learn, held = (
        Pools(
            *(Decoded(readable(part(split), cache), cache) for part in (library.music, library.speech, library.sounds))
        )
        for split in ("train", "validation")
    )
    used = [r.source for pool in learn for r in (pool.recordings if pool else [])]
    return Split(learn, held, tuple(dict.fromkeys(used)))


def own_split(folder: Path, cache: Path) -> Split:
    """A user's folder: one of four recordings is held out. Raises `RequestError` where there are too few."""
    source = Source(folder.resolve().name, "unstated", "a user's own recordings")
    there = [Recording(path.name, (str(path),), source) for path in read_folder(folder).good]
    usable = readable(there, cache)
    if len(usable) < LEAST_RECORDINGS:
        raise RequestError(
            f"{folder}: {len(usable)} recordings that can be used; from scratch it takes {LEAST_RECORDINGS} at least"
        )
    held = usable[3::4]
    learn = [one for one in usable if one not in held]
    pools = [Pools(Decoded(some, cache), None, None) for some in (learn, held)]
    return Split(pools[0], pools[1], (source,))
