"""A passage that was heard and can be chopped again at once: what lock, re-roll and export work on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from streaming.errors import RequestError

from ..exporting import Exported
from ..passage import ArrayPassage
from .analysis import Analysis
from .chopping import chop
from .chops import ChopSet
from .exports import export
from .settings import ChopSettings


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
