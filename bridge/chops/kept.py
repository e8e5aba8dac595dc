"""Passages that were heard and can be chopped again at once: what lock, re-roll and export work on."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from streaming.errors import RequestError

from .analysis import Analysis
from .chopping import chop
from .chops import ChopSet
from .exports import Exported, export
from .passage import ArrayPassage
from .settings import ChopSettings

KEPT = 16
AUDIO_MAX_BYTES = 1 << 30
"""What was played has no file to be read again, so its audio is kept: this much of it in all."""


class KeptPassage:
    """One passage with its chops as they stand. Not thread-safe."""

    def __init__(self, analysis: Analysis, settings: ChopSettings) -> None:
        self._analysis, self._settings = analysis, settings
        self._locked = {round(second * analysis.rate) for second in settings.lock}
        self.chops: ChopSet = chop(analysis, settings)

    @property
    def audio_bytes(self) -> int:
        passage = self._analysis.passage
        return passage.audio.nbytes if isinstance(passage, ArrayPassage) else 0

    def lock(self, position: int, on: bool) -> None:
        """Keep the chop at this position in every re-roll, or no longer. Raises `RequestError` where there is none."""
        positions = [chop.position for chop in self.chops.chops]
        if position not in positions:
            near = min(positions, key=lambda there: abs(there - position), default=None)
            hint = "there are none" if near is None else f"the nearest is at {near}"
            raise RequestError(f"no chop is at {position}; {hint}")
        if on:
            self._locked.add(position)
        else:
            self._locked.discard(position)
        marked = (c._replace(locked=on) if c.position == position else c for c in self.chops.chops)
        self.chops = replace(self.chops, chops=tuple(marked))

    def reroll(self, seed: int) -> ChopSet:
        """Choose anew round the locked chops; a seed always gives the same. Raises `RequestError`."""
        lock = tuple(position / self._analysis.rate for position in sorted(self._locked))
        self.chops = chop(self._analysis, self._settings.model_copy(update={"seed": seed, "lock": lock}))
        return self.chops

    def export(self, formats: list[str], folder: Path, progress: Callable[[str], None]) -> Exported:
        """Write the chops as they stand. Raises `RequestError`, `AudioError`."""
        passage = self._analysis.passage
        stem = passage.source.stem if passage.source else f"take-{passage.start}"
        return export(self.chops, passage, formats, folder, stem, progress, self._analysis.curves)


class Shelf:
    """The passages that were used last, by job. Thread-safe."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, KeptPassage] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, job: int, passage: KeptPassage) -> None:
        """The ones that were not used for longest make room."""
        with self._lock:
            self._kept[job] = passage
            while len(self._kept) > 1 and (len(self._kept) > KEPT or self._audio_bytes() > AUDIO_MAX_BYTES):
                self._kept.popitem(last=False)

    def get(self, job: int) -> KeptPassage:
        """Raises `RequestError` for a job that is not kept."""
        with self._lock:
            if job not in self._kept:
                there = ", ".join(map(str, sorted(self._kept))) or "none"
                raise RequestError(f"no job {job} is kept; there is {there}: chop it again")
            self._kept.move_to_end(job)
            return self._kept[job]

    def _audio_bytes(self) -> int:
        return sum(passage.audio_bytes for passage in self._kept.values())
