"""A passage that was heard and its flags as they stand: what "this was fine" and export work on."""

from collections.abc import Callable
from pathlib import Path

from streaming.errors import RequestError
from streaming.flags import Flag

from ..exporting import Exported
from .analysis import FlagAnalysis
from .exports import export
from .fine import FineStore
from .flag_set import FlagSet
from .learning import embeddings_in
from .regions import find_flags
from .settings import FlagSettings


class KeptFlags:
    """One passage with its flags. ``flags`` stays as it was decided, so that indices mean the same. Not thread-safe."""

    def __init__(self, analysis: FlagAnalysis, settings: FlagSettings, store: FineStore) -> None:
        self._analysis, self._settings, self._store = analysis, settings, store
        self._fine: dict[int, int] = {}
        """By index of the flag, the number under which it was learned."""
        self._gone: list[Flag] = []
        """What was called fine before the last `decide`."""
        self.flags = find_flags(analysis, settings)

    @property
    def audio_bytes(self) -> int:
        return self._analysis.audio_bytes

    def decide(self, settings: FlagSettings) -> FlagSet:
        """Flags and parts anew, of what was heard. What was called fine stays so, and can be taken back here no more.

        Raises:
            RequestError: it asks for another model or passage, or for beats that were not listened for.
            AudioError: the passage has to be read again and cannot be.
        """
        for name in ("model", "start_s", "end_s"):
            if name in settings.model_fields_set:
                raise RequestError(f"{name} belongs to the hearing: flag the file again to change it")
        if settings.snap == "beat" and self._analysis.beats is None:
            raise RequestError('no beat was listened for in this job: flag the file again with "snap": "beat"')
        gone = [*self._gone, *(self.flags.flags[index] for index in self._fine)]
        self.flags = find_flags(self._analysis, settings, gone)
        self._settings, self._gone, self._fine = settings, gone, {}
        return self.flags

    def fine(self, index: int, on: bool) -> int:
        """Learn that a flag was none, or take that back; gives how many flags are left.

        It leaves the flags of this passage, and what sounds like it will not be flagged where the model listens anew.

        Raises:
            RequestError: there is no such flag, or it was (or was not) called fine before.
            ModelError: what was fine cannot be read or written.
        """
        if not 0 <= index < len(self.flags.flags):
            there = f"flags 0 to {len(self.flags.flags) - 1}" if self.flags.flags else "no flags"
            raise RequestError(f"no flag {index} is in this job; it has {there}")
        if on == (index in self._fine):
            raise RequestError(f"flag {index} was {'called fine already' if on else 'never called fine'}")
        flag = self.flags.flags[index]
        if on:
            start = flag.start - self._analysis.start
            embeddings = embeddings_in(self._analysis, start, max(flag.end - self._analysis.start, start + 1))
            self._fine[index] = self._store.add(embeddings)
        else:
            self._store.undo(self._fine.pop(index))
        return len(self.flags.flags) - len(self._fine)

    def export(self, formats: list[str], folder: Path, progress: Callable[[str], None]) -> Exported:
        """Write the flags that are left, and what is kept then. Raises `RequestError`, `AudioError`."""
        fine = [*self._gone, *(self.flags.flags[index] for index in self._fine)]
        flags = find_flags(self._analysis, self._settings, fine) if self._fine else self.flags
        passage = self._analysis.passage
        stem = passage.source.stem if passage.source else f"take-{passage.start}"
        return export(flags, passage, formats, folder, stem, progress)

    def rows(self) -> list[tuple[int, int, int, float, float, str, float, float]]:
        """The flags as ``/sidechop/flag/item`` tells them."""
        return [
            (i, f.start, f.end, f.score, f.p_value, f.kind, f.low_hz, f.high_hz) for i, f in enumerate(self.flags.flags)
        ]
