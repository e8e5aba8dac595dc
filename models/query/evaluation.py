"""How well a query model finds what it is asked for: two-source mixtures of held-out sounds, through the engine itself.

A mixture is `SECONDS` of one sound of a class (short ones come again) and one of another that is no kin to it, at a
level drawn from -10 to 10 dB, centred. The same mixture is asked in several ways:

============  ======================================================================================================
``heard``     the class by a caption that training used, the sounds being new
``running``   the same, asked while the mixture plays, which then begins again; of models that play live alone
``negative``  the same, and not the other sound, by a caption of its class
``unheard``   by a paraphrase that training never saw
``random``    by a caption of a class that is neither: a baseline, what any output at all would gain
``absent``    the same question, judged by how quiet the output is against the mix
``unseen``    mixtures whose target is of a class that training never saw in any form
============  ======================================================================================================

SDRi is the gain in ``10 log10(|s|² / |s - e|²)`` over the mix itself, SI-SDRi the same of the scale-invariant ratio
(Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019). Both are averaged over mixtures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.flagger.recordings import RATE
from models.separator.evaluation import separate_mix
from streaming.engine import Engine
from streaming.queries import Embedding, Queries

from .captions import Encode
from .classes import classes
from .pool import Place, Pool

SECONDS = 4.0
RANGE_DB = 10.0
LEVEL = 0.06
SNRS_DB = (0.0, 5.0, 10.0, 15.0)
PAUSE_S = 0.3
BLOCK = 4096
STEM = "query"
Audio = NDArray[np.float32]


class Mixture(NamedTuple):
    """``wanted`` and ``other (samples,)`` and their classes; ``third`` is a class that is kin to neither."""

    wanted: Audio
    other: Audio
    kind: str
    other_kind: str
    third: str


class Score(NamedTuple):
    """One mixture asked in one way, dB."""

    way: str
    kind: str
    sdri: float
    si_sdri: float
    level: float
    """Of the output against the mix."""


@dataclass(frozen=True)
class Figure:
    """One line of the report. ``value`` is in dB, averaged over ``mixtures``."""

    name: str
    value: float
    mixtures: int


class NoisySpeech(NamedTuple):
    """Speech ``(samples,)``, a noise that is neither a voice nor music, its class, and the ratio of the two (dB)."""

    speech: Audio
    noise: Audio
    kind: str
    snr_db: float


def mixtures(pool: Pool, count: int, seed: int, unseen: bool = False) -> Iterator[Mixture]:
    """Draw ``count`` of them, each class as often as any other."""
    rng, of, known = np.random.default_rng(seed), pool.by_class(), classes()
    wanted = [key for key in classes() if key in of and known[key].unseen == unseen]
    others = [key for key in classes() if key in of and not known[key].unseen]
    for i in range(count if wanted else 0):
        kind = wanted[i % len(wanted)]
        other, third = kind, kind
        while other in known[kind].kin:
            other = str(rng.choice(others))
        while third in known[kind].kin or third in known[other].kin:
            third = str(rng.choice(others))
        first, second = (_excerpt(pool, of[key], rng) for key in (kind, other))
        second = second * np.float32(10 ** (rng.uniform(-RANGE_DB, RANGE_DB) / 20))
        gain = np.float32(min(1.0, 0.95 / np.abs(first + second).max()))
        yield Mixture(first * gain, second * gain, kind, other, third)


def _excerpt(pool: Pool, places: Sequence[Place], rng: np.random.Generator) -> Audio:
    """`SECONDS` of one of the sounds at `LEVEL`, repeated after pauses where it is short."""
    sound = pool.read(places[int(rng.integers(len(places)))])
    samples = round(SECONDS * RATE)
    if len(sound) < samples:
        pause = np.zeros(round(PAUSE_S * RATE * rng.uniform(0.5, 2)), np.float32)
        sound = np.tile(np.concatenate([sound, pause]), -(-samples // len(sound)))[:samples]
    else:
        at = int(rng.integers(0, len(sound) - samples + 1))
        sound = sound[at : at + samples]
    level = np.sqrt(np.mean(sound**2))
    scaled: Audio = sound * np.float32(LEVEL / max(level, 1e-5))
    return scaled


def noisy_speech(pool: Pool, count: int, seed: int, seconds: float = SECONDS) -> Iterator[NoisySpeech]:
    """Speech under noises, at each of `SNRS_DB` in turn; none if the pool has no speech."""
    rng, of, known = np.random.default_rng(seed), pool.by_class(), classes()
    voices = known["speech"].kin | known["singing"].kin
    noises = [key for key in of if key not in voices and known[key].context not in ("music", "voice")]
    samples = round(seconds * RATE)
    for i in range(count if noises and "speech" in of else 0):
        kind, snr_db = noises[i % len(noises)], SNRS_DB[i % len(SNRS_DB)]
        speech, noise = (_one_after_another(pool, of[key], samples, rng) for key in ("speech", kind))
        noise = noise * np.float32(10 ** (-snr_db / 20))
        gain = np.float32(0.5 / np.abs(speech + noise).max())
        yield NoisySpeech(speech * gain, noise * gain, kind, snr_db)


def _one_after_another(pool: Pool, places: Sequence[Place], samples: int, rng: np.random.Generator) -> Audio:
    """Sounds as they are drawn, at one level together."""
    parts: list[Audio] = []
    while sum(map(len, parts)) < samples:
        parts.append(pool.read(places[int(rng.integers(len(places)))]))
    joined: Audio = np.concatenate(parts)[:samples]
    return joined / np.float32(np.sqrt(np.mean(joined**2)) + 1e-9)


class Asker:
    """A query model in the engine: mixtures in, what it keeps of them out."""

    def __init__(self, model: Path) -> None:
        self._queries = Queries((STEM,))
        self._engine = Engine(model, queries=self._queries)
        self._engine.prepare(RATE, BLOCK, 2)
        self.live = self._engine.card is not None and not self._engine.card.takes_clips

    def separate(self, mix: Audio, wanted: Embedding, unwanted: Embedding | None = None) -> Audio:
        """``(samples,)`` to the same length, delay taken out."""
        self._queries.ask(0, wanted, unwanted)
        out: Audio = separate_mix(self._engine, np.stack([mix, mix]), BLOCK)[STEM].mean(axis=0)
        return out

    def swap(self, mix: Audio, before: Embedding, wanted: Embedding) -> Audio:
        """Of a mix that plays twice in a row, asked for one thing, then for another: the second time."""
        both, parts = np.stack([mix, mix]), []
        self._engine.reset()
        for asked in (before, wanted):
            self._queries.ask(0, asked)
            parts += [self._engine.process(both[:, at : at + BLOCK])[1].copy() for at in range(0, len(mix), BLOCK)]
        parts.append(self._engine.flush()[1].copy())
        whole = np.concatenate(parts, axis=-1)[self._engine.outputs.index(STEM)].mean(axis=0)
        out: Audio = whole[-len(mix) :]  # what comes late by the latency ends with the mix
        return out


def sdr(truth: Audio, estimate: Audio) -> float:
    """dB, of one channel."""
    error = np.sum(np.square(truth - estimate, dtype=np.float64))
    return float(10 * np.log10(np.sum(np.square(truth, dtype=np.float64)) / (error + 1e-12) + 1e-12))


def si_sdr(truth: Audio, estimate: Audio) -> float:
    """Scale-invariant, dB."""
    t, e = truth.astype(np.float64) - truth.mean(), estimate.astype(np.float64) - estimate.mean()
    scaled = t * (t @ e) / (t @ t + 1e-12)
    return float(10 * np.log10((scaled @ scaled + 1e-12) / (np.sum((scaled - e) ** 2) + 1e-12)))


def evaluate(
    model: Path, encode: Encode, pool: Pool, count: int = 300, unseen: int = 60, seed: int = 1
) -> Iterator[Score]:
    """Scores as they come: of each mixture of known classes four (five of a live model), of each of unseen ones two."""
    asker, rng, of_others = Asker(model), np.random.default_rng(seed), np.random.default_rng(seed)

    def words(draw: np.random.Generator, key: str, heard: bool) -> Embedding:
        return encode(str(draw.choice(classes()[key].captions(heard))))

    for hidden, number in ((False, count), (True, unseen)):
        for mixture in mixtures(pool, number, seed, hidden):
            mix = mixture.wanted + mixture.other
            wanted = words(rng, mixture.kind, True)
            ways: dict[str, tuple[Embedding, Embedding | None]] = {"unseen" if hidden else "heard": (wanted, None)}
            if not hidden:
                ways["negative"] = (wanted, words(of_others, mixture.other_kind, True))
                ways["unheard"] = (words(rng, mixture.kind, False), None)
            third = words(rng, mixture.third, True)
            ways["unseen random" if hidden else "random"] = (third, None)
            for way, asked in ways.items():
                yield _score(way, mixture, asker.separate(mix, *asked))
            if asker.live and not hidden:
                yield _score("running", mixture, asker.swap(mix, third, wanted))


def _score(way: str, mixture: Mixture, out: Audio) -> Score:
    wanted, mix = mixture.wanted, mixture.wanted + mixture.other
    level = 10 * np.log10((np.mean(out**2) + 1e-12) / np.mean(mix**2))
    gained, si_gained = sdr(wanted, out) - sdr(wanted, mix), si_sdr(wanted, out) - si_sdr(wanted, mix)
    return Score(way, mixture.kind, gained, si_gained, float(level))


def summarise(scores: Sequence[Score]) -> list[Figure]:
    """The report, from the scores of one run."""
    figures = []
    for way in dict.fromkeys(score.way for score in scores):
        of = [score for score in scores if score.way == way]
        figures.append(Figure(f"SDRi, {way}", float(np.mean([s.sdri for s in of])), len(of)))
        figures.append(Figure(f"SI-SDRi, {way}", float(np.mean([s.si_sdri for s in of])), len(of)))
        if way == "random":
            figures.append(
                Figure("absent sound, level against the mix", float(np.mean([s.level for s in of])), len(of))
            )
    return figures


def by_class(scores: Sequence[Score], way: str = "heard") -> dict[str, float]:
    """Mean SDRi of each class, best first."""
    found: dict[str, list[float]] = {}
    for score in scores:
        if score.way == way:
            found.setdefault(score.kind, []).append(score.sdri)
    means = {kind: float(np.mean(values)) for kind, values in found.items()}
    return dict(sorted(means.items(), key=lambda item: -item[1]))
