"""Files beside the audio that a stage writes: labels, projects, tables. They appear together with the file's audio."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..exporting import Exporter, safe_stem


class Sidecars:
    """Where stages write, for the file at work.

    Attributes:
        aside: the folder that is written into now; ``home`` is where its files will lie, for paths inside of them.
        stem: what names begin with.
        notes: lines for the user.
    """

    def __init__(self) -> None:
        self.aside = self.home = Path()
        self.stem = ""
        self.notes: list[str] = []

    def begin(self, aside: Path, home: Path, stem: str) -> None:
        self.aside, self.home, self.stem = aside, home, safe_stem(stem, "audio")
        self.notes = []


class NamedSidecars:
    """Those of one stage: ``name`` tells them apart from other stages' and stems'; often it is empty."""

    def __init__(self, sidecars: Sidecars, name: str) -> None:
        self._sidecars = sidecars
        self._name = safe_stem(name, "stage") if name else ""

    def write(
        self, exports: Mapping[str, Exporter], names: Sequence[str], job: Callable[[Path, Path, str], Any]
    ) -> None:
        """Every format of ``names``; ``job`` makes what exporters take of a folder, the later home and a stem."""
        if not names:
            return
        its = self._sidecars
        its.aside.mkdir(parents=True, exist_ok=True)
        made = job(its.aside, its.home, f"{its.stem}-{self._name}" if self._name else its.stem)
        for name in dict.fromkeys(names):
            self.note(*exports[name].write(made))

    def note(self, *lines: str) -> None:
        """What the user should know of the file."""
        self._sidecars.notes += lines
