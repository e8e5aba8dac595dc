"""A recording that was not composed here, and how it is written: stems, what is known of it, and whom to credit."""

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .attacks import Times
from .production import STEMS
from .render import write_stems
from .sources import Credit
from .synth import RATE, Audio


@dataclass(frozen=True)
class Recorded:
    """A recording with annotations.

    Attributes:
        stems: sounds ``(2, samples)`` by stem; a mix that cannot be taken apart is all ``other``.
        onsets: for the stems whose onsets are known; the others' are unknown.
        beats, downbeats: None where they are unknown. Phrases are unknown always.
        facts: what else ``song.json`` should say.
    """

    title: str
    split: str
    stems: dict[str, Audio]
    onsets: dict[str, Times]
    beats: Times | None
    downbeats: Times | None
    facts: dict[str, Any]
    credits: tuple[Credit, ...]

    @property
    def name(self) -> str:
        """The title as a folder's name."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    def annotations(self) -> dict[str, Any]:
        """The fields of ``song.json``, as the rendered songs have them."""
        grid = {"beats": self.beats, "downbeats": self.downbeats}
        seconds = next(iter(self.stems.values())).shape[1] / RATE
        return {
            "title": self.title,
            **self.facts,
            "sources": [credit._asdict() for credit in self.credits],
            "onsets": {name: _rounded(times, seconds) for name, times in self.onsets.items()},
            **{name: _rounded(times, seconds) for name, times in grid.items() if times is not None},
            "unannotated": [
                *(name for name in STEMS if name not in self.onsets),
                *(name for name, times in grid.items() if times is None),
                "phrases",
            ],
        }

    def write(self, root: Path) -> Path:
        """Write the folder ``root/split/name`` aside and rename it."""
        folder = root / self.split / self.name
        aside = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        write_stems(aside, self.stems)
        (aside / "song.json").write_text(json.dumps(self.annotations(), indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
        return folder


def _rounded(times: Times, seconds: float) -> list[float]:
    return [round(float(time), 5) for time in times if 0 <= time < seconds]
