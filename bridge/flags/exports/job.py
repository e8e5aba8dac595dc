"""What an exporter of flags is given."""

from dataclasses import dataclass
from pathlib import Path

from ...audio_files import AudioWriter
from ...passage import Passage
from ..flag_set import FlagSet


@dataclass(frozen=True)
class Job:
    """``folder`` is where to write now, ``home`` where its files will lie in the end."""

    flags: FlagSet
    passage: Passage
    folder: Path
    home: Path
    stem: str

    def path(self, ending: str) -> Path:
        """``ending`` such as ``-flags.csv`` put behind the stem."""
        return self.folder / (self.stem + ending)

    def seconds(self, position: int) -> float:
        return position / self.flags.rate

    def name(self, number: int) -> str:
        """What flag ``number`` (from 1) is called: ``07 noise 0.93``."""
        flag = self.flags.flags[number - 1]
        return f"{number:0{max(2, len(str(len(self.flags.flags))))}} {flag.kind} {flag.score:.2f}"

    def audio(self) -> tuple[Path, int]:
        """The file that parts are parts of, and the position at which it begins.

        What was played has none: it is written as ``-take.wav`` of this export, if no other format did so before.
        """
        if self.flags.source is not None:
            return self.flags.source.absolute(), 0
        path = self.path("-take.wav")
        if not path.exists():
            with AudioWriter(path, self.passage.rate, self.passage.channels, frames=self.passage.frames) as writer:
                for block in self.passage.blocks():
                    writer.write(block)
        return self.home / path.name, self.flags.start
