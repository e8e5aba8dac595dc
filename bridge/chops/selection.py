"""Which few of many places to cut at: worth cutting, and each another sound than the rest.

Five methods under one λ, the weight of relevance: 1 is relevance alone, 0 difference alone (sampleChop's λ is 1 less
ours). See `dispersion` for what each maximises.

- ``max-min`` (default): no two alike. The least distance counts, so one pair of twins spoils a choice.
- ``max-sum``: different on the whole; twins at the far ends may stay.
- ``mad-segments``: sampleChop's Maximal Average Diversification, told by the half second that follows.
- ``mad-frames``: the same as sampleChop has it: told by the very frame, distances over the greatest of them. One loud
  frame then sets the scale, and the mean of distances hides twins: kept for comparison.
- ``top-n``: the most relevant.

**How many.** A count; ``"all"``, each that keeps its distance from a more relevant one; or none, which means as many as
sound different. From the most relevant down, each place counts that is `DISTINCT` of the usual largest distance away
from all before it, up to `MOST`; where those are fewer than `FEWEST`, so do others that are no plain repeats.

**Re-roll.** Seed 0 is the plain best. Any other seed shakes what places are worth with Gumbel noise, less and less of
it (`SHAKES`) until another choice comes out that is within a tenth of the plain best, in mean relevance and in what the
method maximises. The same seed gives the same choice.
"""

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from streaming.errors import RequestError

from .dispersion import Objective, Space, swap_better, take_greedily
from .settings import Method
from .spacing import Spacing

METHODS: tuple[Method, ...] = get_args(Method)

ALIKE = 0.12
"""Descriptors nearer than this (bels, over all bands) are one sound. With a bar of each test song, looped: 99 in 100
beats are that near to their own repeat, and no two beats of a bar are."""
DISTINCT = 0.65
"""Over this part of the scale a sound is another sound. For half a minute of our corpus that makes 4 to 16, often 8."""
FEWEST, MOST = 4, 16
SHAKES = (0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125, 0.006)
KEPT = 0.9
CANDIDATES = 1000
"""More are thinned to the most relevant of each region, so that a re-roll of a long file is as quick."""
BEST_OF_REGION = 4


class Candidates(NamedTuple):
    """Places where one may cut. All ``(candidates, …)``.

    Attributes:
        positions: samples at ``rate``, increasing, no two the same.
        relevance: 0..1, how good a place it is.
        descriptors: how the half second from there sounds; the Euclidean distance of two is in bels.
        frames: how the very moment sounds, in any unit.
        kinds: what was found there, see `chopping.Chop`.
        start: where the passage begins in its source: what is said to the user counts from there.
    """

    positions: NDArray[np.int64]
    relevance: NDArray[np.float32]
    descriptors: NDArray[np.float32]
    frames: NDArray[np.float32]
    kinds: tuple[str, ...]
    rate: int
    start: int = 0


@dataclass(frozen=True)
class Choice:
    """What to choose.

    Attributes:
        relevance_weight: λ, 0..1.
        count: ``None`` for as many as sound different.
        min_length: samples between two chosen, and from the last to the end.
        locked: positions that are chosen whatever else is; they must be among the candidates.
    """

    method: Method = "max-min"
    relevance_weight: float = 0.5
    count: int | Literal["all"] | None = None
    min_length: int = 0
    seed: int = 0
    locked: tuple[int, ...] = ()


class Selection(NamedTuple):
    """Indices into the candidates, increasing; and what the user should know about them, or nothing."""

    indices: NDArray[np.intp]
    note: str


def select(candidates: Candidates, choice: Choice, end: int) -> Selection:
    """Chooses, deterministically.

    Args:
        end: samples of the whole.

    Raises:
        RequestError: locks that cannot be kept, or a count below 1.
    """
    locked = _find_locks(candidates, choice, end)
    if choice.count == "all":
        every = _keep_apart(candidates, choice.min_length, end, locked)
        left = len(candidates.positions) - len(every)
        crowded = (
            f"{left} places left out: nearer than the minimum length to a better one, or to the end" if left else ""
        )
        return Selection(every, crowded if len(every) else _NOTHING)
    if isinstance(choice.count, int) and choice.count < 1:
        raise RequestError(f"{choice.count} chops asked for: expected 1 or more")
    kept = _thin(candidates, choice, end, locked)
    there = candidates.positions[kept]
    if not locked and not Spacing(there, choice.min_length, end).free.any():
        return Selection(np.zeros(0, np.intp), _NOTHING)
    search = _Search(candidates, kept, choice, end, np.searchsorted(kept, locked).tolist())
    chosen = search.run()
    return Selection(kept[np.sort(chosen)], "; ".join(search.notes(chosen)))


_NOTHING = "found no place to cut at: try equal parts, or points of your own"


class _Search:
    """One choice among the candidates that are left after thinning; indices are among those."""

    def __init__(
        self, candidates: Candidates, kept: NDArray[np.intp], choice: Choice, end: int, locked: list[int]
    ) -> None:
        self._choice, self._end, self._locked = choice, end, locked
        self._positions = candidates.positions[kept]
        self._relevance = candidates.relevance[kept].astype(np.float64)
        places = self._positions / max(1, end)
        self._sounds = Space(candidates.descriptors[kept], 0.95, ALIKE, places)
        of_frames = choice.method == "mad-frames"
        self._space = Space(candidates.frames[kept], 1.0, 1e-9, places) if of_frames else self._sounds
        self._weight = 1.0 if choice.method == "top-n" else choice.relevance_weight
        self._worth = self._weight * self._relevance
        self._repeats = self._same = False
        self._count = choice.count if isinstance(choice.count, int) else self._count_sounds()

    def run(self) -> NDArray[np.intp]:
        plain = self._take(self._worth)
        if not self._choice.seed or not len(plain):
            return plain
        rng = np.random.default_rng(self._choice.seed % 2**64)  # any integer is a seed, negative ones too
        good, relevant = self._quality(plain), self._relevance[plain].mean()
        for shake in SHAKES:
            shaken = self._take(self._worth + shake * rng.gumbel(size=len(self._worth)))
            as_good = self._quality(shaken) >= KEPT * good and self._relevance[shaken].mean() >= KEPT * relevant
            if as_good and len(np.setdiff1d(shaken, plain)):
                return shaken
        self._same = True
        return plain

    def notes(self, chosen: NDArray[np.intp]) -> list[str]:
        notes = []
        if len(chosen) < self._count:
            notes.append(f"{self._count} chops asked for, {len(chosen)} fit")
        if self._same:
            notes.append("no other choice is as good as the first, so here it is again")
        different = len(chosen) - sum(self._repeating(chosen.tolist()))
        if self._repeats:
            notes.append(f"little variety: all sounds like the {len(chosen)} chosen; give a count for more")
        elif different < len(chosen):
            notes.append(f"little variety: the {len(chosen)} chosen are {different} different sounds")
        return notes

    def _take(self, worth: NDArray[np.float64]) -> NDArray[np.intp]:
        method = self._choice.method
        objective: Objective = method if method in ("max-min", "max-sum") else "mad"
        diversity = 1 - self._weight
        chosen = take_greedily(self._space, worth, diversity, self._spacing(), self._locked, self._count, objective)
        if objective == "max-min":
            chosen = self._exchange(worth, chosen)
        return np.array(chosen, np.intp)

    def _exchange(self, worth: NDArray[np.float64], chosen: list[int]) -> list[int]:
        """Max-min's repair. Sounds must not be lost by it.

        Where there are fewer sounds than chops, repeats hold the least distance down whatever is exchanged, and only
        relevance would count. Then those that are no repeats are exchanged among themselves.
        """
        locked, diversity = len(self._locked), 1 - self._weight
        swapped = swap_better(self._space, worth, diversity, self._spacing(), chosen, locked)
        before = self._repeating(chosen)
        if sum(self._repeating(swapped)) <= sum(before):
            return swapped
        repeats = [index for index, repeat in zip(chosen[locked:], before[locked:], strict=True) if repeat]
        own = [index for index in chosen if index not in repeats]
        spacing = self._spacing()
        for index in repeats:
            spacing.choose(index)
        return swap_better(self._space, worth, diversity, spacing, own, locked) + repeats

    def _spacing(self) -> Spacing:
        return Spacing(self._positions, self._choice.min_length, self._end)

    def _quality(self, chosen: NDArray[np.intp]) -> float:
        """What the method maximises, of what the places are truly worth."""
        between = self._space.columns(chosen.tolist())[chosen]
        pairs = between[np.triu_indices(len(chosen), 1)]
        apart = 1.0
        if len(pairs):
            apart = float(pairs.min() if self._choice.method == "max-min" else pairs.mean())
        return float(self._worth[chosen].mean()) + (1 - self._weight) * apart

    def _count_sounds(self) -> int:
        """As many as sound different, and no fewer than are locked."""
        spacing = self._spacing()
        nearest, count = np.ones(len(self._positions)), len(self._locked)
        alike = ALIKE / self._sounds.scale
        for index in self._locked:
            spacing.choose(index)
            nearest = np.minimum(nearest, self._sounds.column(index))
        while count < MOST:
            new = spacing.free & (nearest >= max(DISTINCT, alike))
            if count < FEWEST and not new.any():
                new = spacing.free & (nearest >= alike)
            if not new.any():
                break
            index = int(np.where(new, self._relevance, -np.inf).argmax())
            spacing.choose(index)
            nearest, count = np.minimum(nearest, self._sounds.column(index)), count + 1
        self._repeats = count < FEWEST and bool(spacing.free.any())
        return count

    def _repeating(self, chosen: list[int]) -> list[bool]:
        """Which of the chosen sound like an earlier one."""
        between = self._sounds.columns(chosen)[chosen] * self._sounds.scale
        return [bool((between[i, :i] < ALIKE).any()) for i in range(len(chosen))]


def _find_locks(candidates: Candidates, choice: Choice, end: int) -> list[int]:
    """Their indices. Raises `RequestError`."""
    locks = sorted(set(choice.locked))
    length = max(1, choice.min_length)
    length_s = f"{length / candidates.rate:.3f} s"

    def at(position: int) -> str:
        return f"{(candidates.start + position) / candidates.rate:.3f} s"

    if isinstance(choice.count, int) and len(locks) > choice.count:
        raise RequestError(f"{len(locks)} chops are locked, but {choice.count} asked for: ask for more, or unlock some")
    for lock in locks:
        if not 0 <= lock < end:
            raise RequestError(f"the lock at {at(lock)} lies outside: expected {at(0)} to {at(end)}")
        if end - lock < length:
            raise RequestError(
                f"the lock at {at(lock)} is closer to the end ({at(end)}) than the minimum length, {length_s}: "
                "unlock it, or allow shorter chops"
            )
    for one, other in pairwise(locks):
        if other - one < length:
            raise RequestError(
                f"the locks at {at(one)} and {at(other)} are closer than the minimum length, {length_s}: "
                "unlock one, or allow shorter chops"
            )
    found = np.searchsorted(candidates.positions, locks)
    for lock, index in zip(locks, found.tolist(), strict=True):
        if index == len(candidates.positions) or candidates.positions[index] != lock:
            raise RequestError(f"the lock at {at(lock)} is no place found here: chop anew with it")
    return [int(index) for index in found]


def _thin(candidates: Candidates, choice: Choice, end: int, locked: list[int]) -> NDArray[np.intp]:
    """The few most relevant of each stretch, and the locked; all, where there are not too many or many are wanted."""
    count = len(candidates.positions)
    every = np.arange(count, dtype=np.intp)
    if count <= CANDIDATES:
        return every
    regions = CANDIDATES // BEST_OF_REGION
    region = every * regions // count
    order = np.lexsort((-candidates.relevance, region))
    rank = every - np.searchsorted(region, region)
    kept = np.union1d(order[rank < BEST_OF_REGION], np.array(locked, np.intp))
    wanted = choice.count if isinstance(choice.count, int) else MOST
    room = Spacing(candidates.positions[kept], choice.min_length, end).fit()
    return kept if room >= wanted + len(locked) else every


def _keep_apart(candidates: Candidates, min_length: int, end: int, locked: list[int]) -> NDArray[np.intp]:
    """Each that is far enough from every more relevant one and from the locked."""
    spacing = Spacing(candidates.positions, min_length, end)
    for index in locked:
        spacing.choose(index)
    free = np.flatnonzero(spacing.free)
    taken: list[int] = []
    for index in free[np.argsort(-candidates.relevance[free], kind="stable")].tolist():
        position = int(candidates.positions[index])
        at = bisect_left(taken, position)
        beside = taken[max(0, at - 1) : at + 1]
        if all(abs(position - other) >= min_length for other in beside):
            taken.insert(at, position)
    chosen = np.searchsorted(candidates.positions, taken)
    return np.union1d(chosen, np.array(locked, np.intp)).astype(np.intp)
