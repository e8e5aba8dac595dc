"""How readily a trained network says that something is there: one number, set on validation mixtures.

``python -m models.query.calibration CHECKPOINT POOL OUT`` adds to all masks, before the sigmoid, what brings the
outputs for absent sounds to `LEVEL_DB` on average. A training that learned to be quieter than it must be (it is paid
for silence by the dB, without end) gives up some of what is there for it; how much, only new sounds tell.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor

from models.flagger.recordings import RATE
from models.processor import no_denormals

from .captions import Captions, load
from .evaluation import mixtures
from .pool import Pool
from .training import LiveTask, Settings, Task, load_task, read_checkpoint, save

LEVEL_DB = -16.5
"""Of absent sounds against the mix, on validation mixtures; test ones were 1.2 dB louder with every network so far."""
MIXTURES = 226
SEED = 1
FURTHEST, STEPS = 4.0, 30
CERTAIN = 1e-6
"""Nearest that a mask comes to 0 and 1 here."""


@no_denormals()
def calibrate(task: Task, pool: Pool, captions: Captions, level_db: float = LEVEL_DB, count: int = MIXTURES) -> float:
    """Move the offsets of a network so that absent sounds come out at that level; by how much, -4 to 4."""
    heard = [(power, torch.logit(masks, CERTAIN)) for power, masks in _asked_for_nothing(task, pool, captions, count)]
    low, high = -FURTHEST, FURTHEST
    for _ in range(STEPS):
        middle = (low + high) / 2
        levels = [_level_db(power, torch.sigmoid(compared + middle)) for power, compared in heard]
        low, high = (middle, high) if np.mean(levels) < level_db else (low, middle)
    with torch.no_grad():
        for listener in task.network.each():
            listener.condition.second.bias[task.network.size.width :] += low
    return low


def _asked_for_nothing(task: Task, pool: Pool, captions: Captions, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Power and masks ``(T, bands)`` of mixtures that are asked for what is in neither sound."""
    rng = np.random.default_rng(SEED)
    for mixture in mixtures(pool, count, SEED):
        mix = torch.from_numpy(soxr.resample(mixture.wanted + mixture.other, RATE, task.rate))
        words = torch.from_numpy(captions.table[captions.draw(rng, mixture.third)])[None]
        with torch.no_grad():
            _, power, masks = task.heard(mix.expand(2, -1) if isinstance(task, LiveTask) else mix, words)
        yield power, masks[..., 0]


def _level_db(power: Tensor, masks: Tensor) -> float:
    return float(10 * torch.log10(((power * masks.square()).sum() + 1e-12) / power.sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("pool", type=Path)
    parser.add_argument("out", type=Path, help="the checkpoint to write")
    parser.add_argument("--level", type=float, default=LEVEL_DB, metavar="DB")
    options = parser.parse_args()
    held = read_checkpoint(options.checkpoint)
    task, sources = load_task(options.checkpoint)
    moved = calibrate(task, Pool(options.pool, "validation"), load(options.pool / "captions.npz"), options.level)
    settings, state = Settings(**held["settings"]), task.network.state_dict()
    save(options.out, settings, task.network.size, state, sources, held["steps"])
    print(f"{options.out}: offsets moved by {moved:.2f}")


if __name__ == "__main__":
    main()
