"""Teach a trained network what to make of all else that it hears: its `context`, fitted on validation mixtures.

``python -m models.query.calibration CHECKPOINT POOL OUT`` gives a trained network the films of every known class and
fits the two small judges that weigh them, by the loss of training: the sounds of validation are as new to the network
as a user's, where of those that it learned from it has no doubts left to weigh. Whether it does that, and does not
merely know those sounds, is told first: by judges that were fitted on all classes but those they are asked for.
"""

import argparse
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
import torch
from rich.progress import track
from torch import Tensor, nn

from models.flagger.recordings import RATE
from models.processor import keep_memory, no_denormals

from .captions import Captions, load
from .classes import classes
from .context import Context, Facts
from .evaluation import mixtures
from .loss import heard_loss, leak_loss
from .network import SPREAD, STUDIO_SPREAD, STUDIO_TURN
from .pool import Pool
from .sounds import JUDGES_ALONE
from .training import Settings, StudioTask, Task, load_task, read_checkpoint, save, with_known

MIXTURES = 428
SEED = 11
ABSENT = 0.12
"""What leaks of absent sounds counts for beside what is heard: about what keeps their level where it was without."""
BATCH, EPOCHS = 16, 6
PEAK_RATE, LAST_RATE, WARM_UP, WEIGHT_DECAY = 1e-2, 1e-4, 10, 1e-2
FOLDS = 2
CERTAIN = 14.0
"""Beyond which a mask before the sigmoid tells nothing more."""


class Example(NamedTuple):
    """One mixture as it is heard, asked for both of its sounds and for two that are not there.

    Attributes:
        kinds: of the four.
        said: ``(T, bands, 4 + C)``, float16: of the four and of all known classes.
        facts: for the judges.
        mix: power ``(T, bands)``.
        common: what each of the sounds has in common with the mix, ``(2, T, bands)``.
        wanted: energy of each ``(2,)``.
    """

    kinds: tuple[str, ...]
    said: Tensor
    facts: Facts
    mix: Tensor
    common: Tensor
    wanted: Tensor


class Judged(NamedTuple):
    """Means, dB: of SDR and SI-SDR (as the loss has them) of what is there, and level of what is not."""

    heard: float
    absent: float


@no_denormals()
def calibrate(
    task: Task, pool: Pool, captions: Captions, count: int = MIXTURES, epochs: int = EPOCHS, absent: float = ABSENT
) -> tuple[Task, Judged, Judged]:
    """The same network with a context, and how it does without one and with one that was fitted on other classes.

    ``pool`` loses what may not teach (`JUDGES_ALONE`).
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
        examples = [
            _example(ready, context, *asked) for asked in track(_asked(pool, captions, count), "mixtures", count)
        ]
    kinds = sorted({kind for example in examples for kind in example.kinds})
    folds = [set(np.random.default_rng(SEED).permutation(kinds)[i::FOLDS]) for i in range(FOLDS)]
    fitted = [(_fitted(context, examples, set(kinds) - fold, epochs, absent), fold) for fold in folds]
    context.load_state_dict(_fitted(context, examples, kinds, epochs, absent).state_dict())
    return ready, _judged([(None, kinds)], examples), _judged(fitted, examples)


def _asked(pool: Pool, captions: Captions, count: int) -> Iterator[tuple[tuple[str, ...], Tensor, Tensor]]:
    """Classes ``(4)``, words for them ``(4, D)``, and the two sounds ``(2, samples)``."""
    rng, known = np.random.default_rng(SEED), classes()
    keys = [key for key in captions.heard if not known[key].unseen]
    for wanted, other, kind, other_kind, third in mixtures(pool, count, SEED):
        near = {third, *known[kind].kin, *known[other_kind].kin}
        fourth = str(rng.choice([key for key in keys if key not in near]))
        kinds = (kind, other_kind, third, fourth)
        words = np.stack([captions.table[captions.draw(rng, key)] for key in kinds])
        yield kinds, torch.from_numpy(words), torch.from_numpy(np.stack([wanted, other]))


def _example(task: Task, context: Context, kinds: tuple[str, ...], words: Tensor, sounds: Tensor) -> Example:
    film = task.network.condition(words)
    if isinstance(task, StudioTask):
        waves = torch.from_numpy(soxr.resample(sounds.t().numpy(), RATE, task.rate)).t()
        spectra = task.analyse(waves)
        facts, said = task.network.facts(context, task.power(spectra.sum(0)[None]), film)
        looks = slice(STUDIO_TURN, None, STUDIO_SPREAD)
    else:
        spectra = task.stft.analyse(sounds)  # in the centre: both channels are as one
        facts, said = task.network.facts(context, task.power(spectra.sum(0).expand(2, -1, -1)), film)
        looks = slice(SPREAD - 1, None, SPREAD)
        facts, said = facts.at(looks), said[looks]
    mix = spectra.sum(0)
    common = ((mix * spectra.conj()).real @ task.pooling)[:, looks]
    wanted = (spectra.abs().square() @ task.pooling)[:, looks].sum((1, 2))
    said = said[: common.shape[1]].clamp(-CERTAIN, CERTAIN).half()
    return Example(kinds, said, facts, (mix.abs().square() @ task.pooling)[looks], common, wanted)


def _losses(context: Context | None, example: Example) -> tuple[Tensor, Tensor]:
    """dB of both sounds and of both that are not there."""
    said = example.said.float()
    if context is None:
        now = said[..., : len(example.kinds)]
    else:
        now = context.change(example.facts).of(said[..., : len(example.kinds)], said[..., len(example.kinds) :])
    masks = torch.sigmoid(now).permute(2, 0, 1)
    kept, whole = (masks.square() * example.mix).sum((1, 2)), example.mix.sum()
    common = (masks[:2] * example.common).sum((1, 2))
    return heard_loss(kept[:2], common, example.wanted, whole), leak_loss(kept[2:], whole)


def _fitted(start: Context, examples: Sequence[Example], kinds: Collection[str], epochs: int, absent: float) -> Context:
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
            heard, leaks = _losses(context, examples[i])
            ours = torch.tensor([kind in kinds for kind in examples[i].kinds])
            total = total + (heard * ours[:2]).sum() + absent * (leaks * ours[2:]).sum()
        optimiser.zero_grad(set_to_none=True)
        (total / len(batch)).backward()
        nn.utils.clip_grad_norm_(context.parameters(), 5.0)
        optimiser.step()
    return context


@torch.no_grad()
def _judged(contexts: Sequence[tuple[Context | None, Collection[str]]], examples: Sequence[Example]) -> Judged:
    """Each by what is asked for of some classes."""
    heard, leaks = [], []
    for context, kinds in contexts:
        for example in examples:
            of = [kind in kinds for kind in example.kinds]
            losses = torch.cat(_losses(context, example)).tolist()
            heard += [-loss for loss, ours in zip(losses[:2], of[:2], strict=True) if ours]
            leaks += [loss for loss, ours in zip(losses[2:], of[2:], strict=True) if ours]
    return Judged(float(np.mean(heard)), float(np.mean(leaks)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("pool", type=Path)
    parser.add_argument("out", type=Path, help="the checkpoint to write")
    parser.add_argument("--absent", type=float, default=ABSENT, metavar="WEIGHT", help="of what leaks")
    options = parser.parse_args()
    held = read_checkpoint(options.checkpoint)
    task, sources = load_task(options.checkpoint)
    captions = load(options.pool / "captions.npz")
    pool = Pool(options.pool, "validation")
    ready, without, with_context = calibrate(task, pool, captions, absent=options.absent)
    sources = tuple({source.name: source for source in (*pool.sources, *sources)}.values())
    save(
        options.out,
        Settings(**held["settings"]),
        ready.network.size,
        ready.network.state_dict(),
        sources,
        held["steps"],
    )
    for name, judged in (("without", without), ("with, of classes that it was not fitted on", with_context)):
        print(f"{name}: {judged.heard:.2f} dB heard, absent sounds at {judged.absent:.2f} dB")


if __name__ == "__main__":
    main()
