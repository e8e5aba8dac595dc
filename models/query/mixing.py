"""Training mixtures, made on the device that trains: whole batches at once, out of a pool that lies in its memory.

What is drawn (which sounds, where, how loud, how far) is drawn in numpy from a seed; what is computed (reading with a
change of speed, tone, rooms, panning, levels) is done in torch::

    pool ─ read at a speed ─ tone ─ room (left, right) ─ analysed ─ stock
                                                                      │
                mixtures of 1 to 4: summed ─ level ─ pan ─ some of its frames

Up to the stock it costs four times as much as what follows. A sound is met in some ten mixtures, each time from another
moment on, at another place and level and beside others, before a new one takes its place. (Sums of spectra are spectra
of sums.)

A mixture can be asked for each thing in it, and for every class that is no kin to any of them: `Batch.absent`.
Sounds shorter than an example come again after a pause, as a drum or a door would.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .captions import Captions
from .classes import Vocabulary, classes
from .pool import Place

COUNTS = (0.05, 0.65, 0.2, 0.1)
"""How often a mixture has one, two, three and four sources."""
LOUDER = {
    "speech": 8.0,
    "singing": 6.0,
    "drums": 5.0,
    "bass_guitar": 4.0,
    "guitar": 2.0,
    "piano": 2.0,
    "orchestra": 2.0,
}
"""How much more often some classes are drawn than the others: what most users ask for."""
CLIPS_FOR_FULL_SHARE = 12
"""A class with fewer sounds is drawn less, or it would be learned by heart."""
SAME_CONTEXT = 0.5
RANGE_DB = 14.0
"""Greatest difference of two sources."""
SHAPED = 0.75
"""Share of sounds, some at a time, that are given a tone and rooms."""
OCTAVES = 0.4
"""By which a sound is played faster or slower at most."""
TONE_POINTS, TONE_DB = 8, 5.5
BAND_LIMITED = 0.3
"""Share of sounds without a top, and without a bottom: a class must not be known by how its sounds were recorded."""
TOPS_HZ, BOTTOMS_HZ, STEEP = (2500.0, 16000.0), (60.0, 400.0), 8.0
LAYERED = 0.25
"""Share of sounds that are two of their class at once."""
ROOM_S = 0.35
WORDS_NOISE = 0.01
TRIES = 50
"""At one more sound, where few classes are known."""
FRESH = 0.25
"""New sounds in stock for each mixture."""
OF_EACH = 3
"""Sounds in stock of a class at least."""
LONGER_S = 0.4
"""By which they last longer than a mixture."""
Analyse = Callable[[Tensor], Tensor]
"""Waves ``(N, 2, samples)`` to complex spectra ``(N, channels, T, bins)``: of left and right, or of one channel."""


@dataclass(frozen=True)
class Batch:
    """M mixtures of N sounds of K classes, everything on the device.

    Attributes:
        sounds: ``(N, channels, T, bins)`` complex, as they lie in their mixtures.
        owner, kind: ``(N,)`` int64: the mixture of each, and its class.
        absent: ``(M, K)`` bool: classes that are no kin to what is there.
        words: ``(K, D)``: for each class one of its captions.
    """

    sounds: Tensor
    owner: Tensor
    kind: Tensor
    absent: Tensor
    words: Tensor

    def mixed(self, parts: Tensor) -> Tensor:
        """Sums of the sounds, or of anything about them, for each mixture: ``(N, ...)`` to ``(M, ...)``."""
        return parts.new_zeros(len(self.absent), *parts.shape[1:]).index_add_(0, self.owner, parts)


class Mixer:
    """Draws batches without end.

    Args:
        samples: the pool, int16, on any device; the batches are made there.
        rate: of the pool, in Hz.
        seconds: of a mixture.
        analyse: what a training makes of waves.
        stock: sounds that are kept ready, about; 2 MB each.
        seed: of all that is drawn.
        known: the classes; ours if not said.
    """

    def __init__(
        self,
        samples: Tensor,
        places: Sequence[Place],
        captions: Captions,
        rate: int,
        seconds: float,
        analyse: Analyse,
        stock: int,
        seed: int | Sequence[int] = 0,
        known: Vocabulary | None = None,
    ) -> None:
        self.pool, self.rate, self.length = samples, rate, int((seconds + LONGER_S) * rate)
        self.device = samples.device
        self._share, self._analyse = seconds / (seconds + LONGER_S), analyse
        self._rng = np.random.default_rng(seed)
        self._captions = captions
        self._table = torch.from_numpy(captions.table).to(self.device)
        of: dict[str, list[Place]] = {}
        for place in places:
            of.setdefault(place.kind, []).append(place)
        self._known = known = known or classes()
        self.keys = [key for key in known if key in of]
        self._of = {key: np.array([(p.start, p.length) for p in of[key]], np.int64) for key in self.keys}
        self._chance = shares({key: len(of[key]) for key in self.keys})
        self._context = {
            key: np.array([k for k in self.keys if known[k].context == known[key].context]) for key in self.keys
        }
        self._kin = np.array([[a in known[b].kin for a in self.keys] for b in self.keys])
        counts = np.maximum(OF_EACH, np.round(stock * self._chance)).astype(int)
        more = self._rng.permutation(np.repeat(np.arange(len(counts)), counts - 1))
        self._stocked = np.concatenate([np.arange(len(counts)), more])
        self._stock: Tensor | None = None
        self._made = 0

    def batch(self, size: int) -> Batch:
        """Draw and make ``size`` mixtures."""
        stock, rng = self._renewed(size), self._rng
        drawn = [self._drawn() for _ in range(size)]
        owner = np.repeat(np.arange(size), [len(of) for of in drawn])
        kind = np.array([self.keys.index(key) for of in drawn for key in of])
        absent = ~np.array([self._kin[kind[owner == i]].any(0) for i in range(size)])
        rows = torch.tensor([self._captions.draw(rng, key) for key in self.keys], device=self.device)
        words = self._table[rows]
        words = F.normalize(words + WORDS_NOISE * torch.randn_like(words), dim=-1)
        ready = self._stocked[: self._made]
        chosen = [int(rng.choice(np.flatnonzero(ready == k))) for k in kind]
        frames = round(stock.shape[2] * self._share)
        first = rng.integers(stock.shape[2] - frames + 1, size=len(kind))
        taken = torch.stack([stock[i, :, at : at + frames] for i, at in zip(chosen, first, strict=True)])
        sounds = torch.view_as_complex(taken.float())  # (N, channels, T, bins)
        level = 10 ** (rng.uniform(-RANGE_DB / 2, RANGE_DB / 2, len(kind)) / 20)
        overall = 10 ** (rng.uniform(-32, -12, size) / 20) / np.sqrt(np.bincount(owner, level**2))
        gain = (level * overall[owner])[:, None] * (self._places(len(kind)) if sounds.shape[1] == 2 else 1)
        sounds *= self._to(gain)[..., None, None]
        where = [torch.from_numpy(table).to(self.device) for table in (owner, kind, absent)]
        return Batch(sounds, where[0], where[1], where[2], words)

    def _renewed(self, mixtures: int) -> Tensor:
        """The stock ``(sounds, channels, T, bins, 2)`` with some new ones; of every class one to begin with."""
        count, size = max(1, round(FRESH * mixtures)) if self._made else len(self.keys), len(self._stocked)
        at = (
            np.arange(self._made, self._made + count) % size
            if self._made < size
            else self._rng.integers(size, size=count)
        )
        spectra = torch.view_as_real(self._analyse(self._heard([self.keys[int(k)] for k in self._stocked[at]]))).half()
        if self._stock is None:
            self._stock = spectra.new_empty(size, *spectra.shape[1:])
        self._stock[torch.from_numpy(at).to(self.device)] = spectra
        self._made = min(size, self._made + count)
        return self._stock

    def _heard(self, kinds: Sequence[str]) -> Tensor:
        """A new sound of each class, ``(N, 2, L)``, with an RMS of 1."""
        rng = self._rng
        under = np.flatnonzero(rng.random(len(kinds)) < LAYERED)
        of = [self._of[key] for key in (*kinds, *(kinds[int(i)] for i in under))]
        places = np.array([some[rng.integers(len(some))] for some in of], np.int64)
        read = self._read(places[:, 0], places[:, 1])  # (N, L), then what lies under some of them
        sound, softer = read[: len(kinds)], self._to(10 ** (rng.uniform(-12, 0, len(under)) / 20))
        sound.index_add_(0, torch.from_numpy(under).to(self.device), read[len(kinds) :] * softer[:, None])
        both = self._shape(sound) if rng.random() < SHAPED else sound[:, None].expand(-1, 2, -1)
        return both / both.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-5)

    def _to(self, values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(np.asarray(values, np.float32)).to(self.device)

    def _drawn(self) -> list[str]:
        """The classes of one mixture, none kin to another."""
        rng, known = self._rng, self._known
        count = 1 + int(rng.choice(len(COUNTS), p=COUNTS))
        drawn = [str(rng.choice(self.keys, p=self._chance))]
        for _ in range(TRIES):
            if len(drawn) == count:
                break
            near = self._context[drawn[0]]
            key = str(rng.choice(near)) if rng.random() < SAME_CONTEXT else str(rng.choice(self.keys, p=self._chance))
            if not any(key in known[other].kin for other in drawn):
                drawn.append(key)
        return drawn

    def _read(self, start: NDArray[np.int64], length: NDArray[np.int64]) -> Tensor:
        """Places ``(N,)`` to sound ``(N, L)``, at a speed of 0.76 to 1.32, from anywhere in it."""
        rng, n = self._rng, len(start)
        speed = 2.0 ** rng.uniform(-OCTAVES, OCTAVES, n)
        lasts = length / speed
        pause = rng.uniform(0.0, 1.0, n) ** 2 * 1.2 * self.rate
        long = lasts >= self.length
        period = np.where(long, lasts + 1, lasts + pause)
        phase = np.where(long, rng.uniform(0, 1, n) * (lasts - self.length), rng.uniform(0, 1, n) * period)
        t = torch.arange(self.length, device=self.device, dtype=torch.float32)
        at = (t + self._to(phase)[:, None]) % self._to(period)[:, None] * self._to(speed)[:, None]
        first = torch.from_numpy(start).to(self.device)[:, None]
        last = torch.from_numpy(length).to(self.device)[:, None] - 3
        whole = at.floor().long()
        x = at - whole
        inside = whole < last
        base = first + whole.clamp_min(1).minimum(last.clamp_min(1))
        a, b, c, d = (self.pool[(base + k).clamp_max(len(self.pool) - 1)].float() for k in (-1, 0, 1, 2))
        # Catmull-Rom: a straight line between samples would dull what is slowed down
        y: Tensor = b + 0.5 * x * (c - a + x * (2 * a - 5 * b + 4 * c - d + x * (3 * (b - c) + d - a)))
        return y * inside / 32768

    def _shape(self, sound: Tensor) -> Tensor:
        """Tone, and for some a room: ``(N, L)`` to ``(N, 2, L)``."""
        n, samples = sound.shape
        spectra = torch.fft.rfft(sound)  # what rings beyond the end comes in at the start: no matter here
        bins = spectra.shape[-1]
        points = self._to(10 ** (self._rng.normal(0, TONE_DB, (n, 1, 1, TONE_POINTS)) / 20))
        f = torch.arange(bins, device=self.device) / (bins - 1) * self.rate / 2
        place = (f.clamp_min(40) / 40).log2() / np.log2(self.rate / 80) * 2 - 1  # a logarithmic axis from 40 Hz up
        grid = torch.stack([place, torch.zeros_like(place)], dim=-1)[None, None].expand(n, 1, -1, 2)
        tone = F.grid_sample(points, grid, align_corners=True, padding_mode="border").view(n, bins)
        tone = tone * self._limits(n, f)
        shaped: Tensor = torch.fft.irfft((spectra * tone)[:, None] * self._rooms(n), n=samples)
        return shaped

    def _limits(self, n: int, f: Tensor) -> Tensor:
        """Gains ``(N, bins)`` at so many Hz, 1 where nothing is cut."""
        top = self._to(self._some(TOPS_HZ, n, self.rate))
        bottom = self._to(self._some(BOTTOMS_HZ, n, 1e-3))
        return 1 / ((1 + (f / top) ** STEEP) * (1 + (bottom / f.clamp_min(1)) ** STEEP))

    def _some(self, between: tuple[float, float], n: int, else_: float) -> NDArray[np.float64]:
        """Hz ``(N, 1)``, for a share of `BAND_LIMITED`."""
        low, high = np.log(between)
        drawn = np.exp(self._rng.uniform(low, high, (n, 1)))
        return np.where(self._rng.random((n, 1)) < BAND_LIMITED, drawn, else_)

    def _rooms(self, n: int) -> Tensor:
        """Left and right responses of rooms, as spectra ``(N, 2, bins)``: a direct sound and a decaying tail."""
        rng, samples = self._rng, int(ROOM_S * self.rate)
        t = torch.arange(samples, device=self.device) / self.rate
        decay = self._to(np.exp(rng.uniform(np.log(0.03), np.log(0.5), (n, 1, 1))))
        wet = self._to(np.where(rng.random((n, 1, 1)) < 0.5, rng.uniform(0.02, 0.5, (n, 1, 1)), 0.0))
        tail = torch.randn(n, 2, samples, device=self.device) * torch.exp(-6.9 * t / decay)
        tail = wet * tail / tail.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-6)
        tail[..., 0] += 1.0
        rooms: Tensor = torch.fft.rfft(tail, n=self.length)
        return rooms

    def _places(self, n: int) -> NDArray[np.float64]:
        """Gains left and right ``(N, 2)``; half stay in the centre."""
        angle = np.where(self._rng.random(n) < 0.45, 0.0, self._rng.uniform(-0.7, 0.7, n)) + np.pi / 4
        gains: NDArray[np.float64] = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * np.sqrt(2)
        return gains


def shares(counts: Mapping[str, int]) -> NDArray[np.float64]:
    """How often each class is drawn, in order, summing to 1."""
    weights = np.array([LOUDER.get(key, 1.0) * min(1.0, n / CLIPS_FOR_FULL_SHARE) ** 0.5 for key, n in counts.items()])
    shared: NDArray[np.float64] = weights / weights.sum()
    return shared
