"""Teach a trained network what to make of all else that it hears: its `context`, fitted on validation mixtures.

``python -m models.query.calibration CHECKPOINT POOL OUT [--songs CORPUS]`` gives a trained network the films of every
known class and fits the two small judges that weigh them, by the loss of training: the sounds of validation are as new
to the network as a user's, where of those that it learned from it has no doubts left to weigh. Some mixtures hold four
sounds, some are speech in noise, and some are songs: judges that know mixtures of two alone take the rest of a band for
one more rival. Whether all this does not merely know those sounds is told first: by judges that were fitted on all
classes but those they are asked for.
"""

import argparse
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
import torch
from rich.progress import track
from torch import Tensor, nn

from models.flagger.recordings import RATE
from models.processor import keep_memory, no_denormals
from models.separator.songs import SOURCES, Song, find_songs, read_sources

from .captions import Captions, load
from .classes import classes
from .context import Context, Facts
from .evaluation import SECONDS, Mixture, mixtures, noisy_speech
from .loss import EVENLY, heard_loss, leak_loss
from .network import ROUND, SPREAD, STUDIO_SPREAD, STUDIO_TURN
from .pool import Pool
from .sounds import JUDGES_ALONE, STEMS
from .training import LiveTask, StudioTask, Task, load_trained, save, with_known

MIXTURES = 428
FOURTH = 4
"""One of so many of them holds four sounds."""
SPOKEN = 7
"""To so many of them comes one of speech in noise."""
EXCERPTS = 10
"""Of a song."""
UNHEARD = 1e-3
"""Greatest sample of a stem that is not there."""
TWO, MORE, SPEECH, SONGS = "two sounds", "more sounds", "speech in noise", "songs"
SEED = 11
ABSENT = {"live": 0.036, "studio": 0.04}
"""What leaks of absent sounds counts for beside what is heard: what keeps them 15 dB under the mix, in folds, whatever
the mixtures are of (of query-studio, if some are songs)."""
QUIET = {"live": 3e-4, "studio": 3e-3}
"""Down to which a judge learns from leaks, 35 and 25 dB under the mix. At 25 one of query-live lets through, softly,
what was as good as mute."""
SHAPE = {"live": 0.1, "studio": 0.5}
"""Share of what judges learn of what is heard that does not mind the level. With `EVENLY`, the share in training and in
what is reported, query-live has less SDR for its SI-SDR than is asked of it."""
BATCH, EPOCHS = 16, 6
PEAK_RATE, LAST_RATE, WARM_UP, WEIGHT_DECAY = 1e-2, 1e-4, 10, 1e-2
FOLDS = 2
CERTAIN = 14.0
"""Beyond which a mask before the sigmoid tells nothing more."""


class Asked(NamedTuple):
    """One mixture, asked for N sounds of it and for two that are not there.

    Attributes:
        of: `TWO`, `MORE`, `SPEECH` or `SONGS`.
        kinds: of the N + 2.
        words: for them ``(N + 2, D)``.
        sounds: ``(N, samples)``.
        rest: what is in the mix besides ``(samples,)``.
    """

    of: str
    kinds: tuple[str, ...]
    words: Tensor
    sounds: Tensor
    rest: Tensor


class Example(NamedTuple):
    """One mixture as it is heard.

    Attributes:
        of, kinds: as `Asked` has them.
        said: ``(T, bands, N + 2 + C)``, float16: of those and of all known classes.
        facts: for the judges.
        mix: power ``(T, bands)``.
        common: what each of the sounds has in common with the mix, ``(N, T, bands)``.
        wanted: energy of each ``(N,)``.
        quiet: share of the mix below which a leak is none.
    """

    of: str
    kinds: tuple[str, ...]
    said: Tensor
    facts: Facts
    mix: Tensor
    common: Tensor
    wanted: Tensor
    quiet: float


class Judged(NamedTuple):
    """Means, dB: of SDR and SI-SDR (as the loss has them) of what is there, and level of what is not."""

    heard: float
    absent: float


@no_denormals()
def calibrate(
    task: Task,
    pool: Pool,
    captions: Captions,
    absent: float,
    count: int = MIXTURES,
    epochs: int = EPOCHS,
    songs: Sequence[Song] = (),
) -> tuple[Task, dict[str, tuple[Judged, Judged]]]:
    """The same network with a context; and for each sort of mixture how it does without one, and with one that was
    fitted on other classes.

    ``pool`` loses what may not teach (`JUDGES_ALONE`). What leaks of absent sounds counts for ``absent`` beside what is
    heard.
    """
    keep_memory()
    pool.leave_out(JUDGES_ALONE)
    known = [key for key, sound in classes().items() if key in captions.heard and not sound.unseen]
    ready = with_known(task, len(known)).eval()
    context = ready.network.context
    assert context is not None
    with torch.no_grad():
        for row, key in enumerate(known):
            words = torch.from_numpy(captions.table[captions.heard[key]])
            context.known[row] = ready.network.condition(words).mean(0)
        speech = count // SPOKEN
        asked = chain(_of_sounds(pool, captions, count), _of_speech(pool, captions, speech), _of_songs(songs, captions))
        total = count + speech + len(songs) * EXCERPTS
        examples = [_example(ready, context, one, i) for i, one in enumerate(track(asked, "mixtures", total))]
    kinds = sorted({kind for example in examples for kind in example.kinds})
    folds = [set(np.random.default_rng(SEED).permutation(kinds)[i::FOLDS]) for i in range(FOLDS)]
    learned = partial(_fitted, context, examples, epochs=epochs, absent=absent, of_shape=SHAPE[task.kind])
    fitted = [(learned(set(kinds) - fold), fold) for fold in folds]
    context.load_state_dict(learned(kinds).state_dict())
    judged = {}
    for of in dict.fromkeys(example.of for example in examples):
        some = [example for example in examples if example.of == of]
        judged[of] = _judged([(None, kinds)], some), _judged(fitted, some)
    return ready, judged


def _of_sounds(pool: Pool, captions: Captions, count: int) -> Iterator[Asked]:
    """Of two sounds of the pool; of four where the second pair is no kin to the first."""
    rng, known = np.random.default_rng(SEED), classes()
    more = mixtures(pool, -(-count // FOURTH), SEED + 1)
    for i, mixture in enumerate(mixtures(pool, count, SEED)):
        present = _present(mixture)
        if i % FOURTH == 0:
            second = _present(next(more))
            if not any(key in known[other].kin for key in second for other in present):
                present |= second
        yield _asked(TWO if len(present) == 2 else MORE, present, captions, rng)


def _of_speech(pool: Pool, captions: Captions, count: int) -> Iterator[Asked]:
    rng = np.random.default_rng(SEED)
    for speech, noise, kind, _ in noisy_speech(pool, count, SEED):
        yield _asked(SPEECH, {"speech": torch.from_numpy(speech), kind: torch.from_numpy(noise)}, captions, rng)


def _present(mixture: Mixture) -> dict[str, Tensor]:
    return {mixture.kind: torch.from_numpy(mixture.wanted), mixture.other_kind: torch.from_numpy(mixture.other)}


def _of_songs(songs: Sequence[Song], captions: Captions) -> Iterator[Asked]:
    """Of what is heard of the stems that are a class, in excerpts of songs; asked too for what no song holds."""
    rng, samples = np.random.default_rng(SEED), round(SECONDS * RATE)
    for song in songs:
        stems = song.load().mean(axis=1, dtype=np.float32) / 32768
        for _ in range(EXCERPTS if stems.shape[1] >= samples else 0):
            at = int(rng.integers(stems.shape[1] - samples + 1))
            parts = dict(zip(SOURCES, torch.from_numpy(stems[:, at : at + samples].copy()), strict=True))
            present = {key: parts[stem] for stem, key in STEMS.items() if parts[stem].abs().max() > UNHEARD}
            if present:
                rest = sum((part for stem, part in parts.items() if STEMS.get(stem) not in present), torch.zeros(()))
                yield _asked(SONGS, present, captions, rng, rest)


def _asked(
    of: str,
    present: Mapping[str, Tensor],
    captions: Captions,
    rng: np.random.Generator,
    rest: Tensor | None = None,
) -> Asked:
    """What is present, and two classes that are kin to nothing of it; nor of its world, if it has a ``rest``."""
    known = classes()
    near = {key for other in present for key in known[other].kin}
    if rest is not None:
        worlds = {known[key].context for key in present}
        near |= {key for key, sound in known.items() if sound.context in worlds}
    far = [key for key in captions.heard if key not in near and not known[key].unseen]
    kinds = (*present, *(str(key) for key in rng.choice(far, 2, replace=False)))
    words = torch.from_numpy(np.stack([captions.table[captions.draw(rng, key)] for key in kinds]))
    sounds = torch.stack(list(present.values()))
    return Asked(of, kinds, words, sounds, torch.zeros(sounds.shape[1]) if rest is None else rest)


def _example(task: Task, context: Context, asked: Asked, number: int) -> Example:
    """As one mixture is heard: live at the hops of one listener or the other, in turn."""
    film, count = task.network.condition(asked.words), len(asked.sounds)
    sounds = torch.cat([asked.sounds, asked.rest[None]])
    if isinstance(task, StudioTask):
        waves = torch.from_numpy(soxr.resample(sounds.t().numpy(), RATE, task.rate)).t()
        spectra = task.analyse(waves[:, None])[:, 0]
        facts, said = task.network.facts(context, task.power(spectra.sum(0)[None]), film)
        looks = slice(STUDIO_TURN, None, STUDIO_SPREAD)
    else:
        spectra = task.stft.analyse(sounds)  # in the centre: both channels are as one
        mid = spectra.sum(0)
        measured = task.measured(torch.stack([mid, torch.zeros_like(mid)])[None])
        turn = SPREAD - 1 - number // FOURTH % ROUND  # of all sorts of mixtures as many at either listener's hops
        looks = slice(turn, None, SPREAD)
        facts, said = task.network.facts(context, measured, film, turn)
    mix = spectra.sum(0)
    common = ((mix * spectra[:count].conj()).real @ task.pooling)[:, looks]
    wanted = (spectra[:count].abs().square() @ task.pooling)[:, looks].sum((1, 2))
    said = said[: common.shape[1]].clamp(-CERTAIN, CERTAIN).half()
    facts = facts.first(len(said)) if isinstance(task, LiveTask) else facts
    power = (mix.abs().square() @ task.pooling)[looks]
    return Example(asked.of, asked.kinds, said, facts, power, common, wanted, QUIET[task.kind])


def _losses(
    context: Context | None, example: Example, kinds: Collection[str], of_shape: float = EVENLY
) -> tuple[Tensor, Tensor]:
    """dB of the sounds of these classes that are there, and of those that are not."""
    said, there = example.said.float(), len(example.wanted)
    if context is None:
        now = said[..., : len(example.kinds)]
    else:
        now = context.change(example.facts).of(said[..., : len(example.kinds)], said[..., len(example.kinds) :])
    masks = torch.sigmoid(now).permute(2, 0, 1)
    kept, whole = (masks.square() * example.mix).sum((1, 2)), example.mix.sum()
    common = (masks[:there] * example.common).sum((1, 2))
    ours = torch.tensor([kind in kinds for kind in example.kinds])
    heard, leaks = (
        heard_loss(kept[:there], common, example.wanted, whole, of_shape),
        leak_loss(kept[there:], whole, example.quiet),
    )
    return heard[ours[:there]], leaks[ours[there:]]


def _fitted(
    start: Context, examples: Sequence[Example], kinds: Collection[str], epochs: int, absent: float, of_shape: float
) -> Context:
    """A context whose judges have learned from what is asked for of these classes."""
    context = Context(*start.known.shape)
    torch.manual_seed(SEED)
    context.load_state_dict(start.state_dict())
    rng = np.random.default_rng(SEED)
    optimiser = torch.optim.AdamW(context.parameters(), PEAK_RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * -(-len(examples) // BATCH)
    order = np.concatenate([rng.permutation(len(examples)) for _ in range(epochs)])
    for step, batch in enumerate(track(np.array_split(order, steps), "judges")):
        for group in optimiser.param_groups:
            group["lr"] = PEAK_RATE * min(1.0, (step + 1) / WARM_UP) * (1 - step / steps) + LAST_RATE
        total = torch.zeros(())
        for i in batch:
            heard, leaks = _losses(context, examples[i], kinds, of_shape)
            total = total + heard.sum() + absent * leaks.sum()
        optimiser.zero_grad(set_to_none=True)
        (total / len(batch)).backward()
        nn.utils.clip_grad_norm_(context.parameters(), 5.0)
        optimiser.step()
    return context


@torch.no_grad()
def _judged(contexts: Sequence[tuple[Context | None, Collection[str]]], examples: Sequence[Example]) -> Judged:
    """Each by what is asked for of some classes."""
    losses = [_losses(context, example, kinds) for context, kinds in contexts for example in examples]
    heard, leaks = (torch.cat(each) for each in zip(*losses, strict=True))
    return Judged(-float(heard.mean()), float(leaks.mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("pool", type=Path)
    parser.add_argument("out", type=Path, help="the checkpoint to write")
    of_leaks = f"of what leaks of absent sounds ({ABSENT['live']} live, {ABSENT['studio']} of files)"
    parser.add_argument("--absent", type=float, metavar="WEIGHT", help=of_leaks)
    parser.add_argument("--songs", type=Path, help="a corpus of stems, made by `python -m models.corpus`")
    options = parser.parse_args()
    trained = load_trained(options.checkpoint)
    captions = load(options.pool / "captions.npz")
    pool = Pool(options.pool, "validation")
    songs = find_songs(options.songs, "validation") if options.songs else []
    absent = ABSENT[trained.task.kind] if options.absent is None else options.absent
    ready, judged = calibrate(trained.task, pool, captions, absent, songs=songs)
    sources = tuple(
        {source.name: source for source in (*read_sources(songs), *pool.sources, *trained.sources)}.values()
    )
    save(options.out, trained.settings, ready.network.size, ready.network.state_dict(), sources, trained.steps)
    print("without, and with a context that was fitted on other classes:")
    for of, (without, fitted) in judged.items():
        heard, level = (f"{x:.2f}, {y:.2f} dB" for x, y in zip(without, fitted, strict=True))
        print(f"{of}: {heard} heard; absent sounds at {level}")


if __name__ == "__main__":
    main()
