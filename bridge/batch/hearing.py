"""Stages that hear a file before they say anything: `flag` keeps what belongs, `chop` cuts into slices.

Both take the settings of ``sidechop flag`` and ``sidechop chop``, and write any of their formats beside the audio. They
hear the audio as the stages before them left it; their positions count from its beginning.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from streaming.errors import RequestError

from ..chops.settings import ChopSettings
from ..flags.settings import FlagSettings
from .sidecars import NamedSidecars
from .spool import Scratch, Spool, SpooledPassage
from .stage import Block, Mark, nothing

if TYPE_CHECKING:
    from streaming.curves import CurveNetwork
    from streaming.flagger import Flagger


_WHOLE = "the stage hears all of the audio: to cut a part out, put a trim before it"


class FlagStage(FlagSettings):
    """Flags, as ``sidechop flag`` finds them.

    Attributes:
        output: ``cut`` goes on with the parts that are kept, joined by crossfades; ``pass`` with all of the audio.
        export: formats to write beside the audio: reaper, audacity, otio, csv, json, picture.
    """

    type: Literal["flag"]
    output: Literal["cut", "pass"] = "cut"
    export: tuple[Literal["reaper", "audacity", "otio", "csv", "json", "picture"], ...] = ()

    @model_validator(mode="after")
    def _all_of_it(self) -> "FlagStage":
        if self.start_s or self.end_s is not None:
            raise ValueError(_WHOLE)
        return self


class ChopStage(ChopSettings):
    """Chops, as ``sidechop chop`` finds them.

    Attributes:
        output: ``slices`` makes every slice a file of its own, with what follows in the chain done to each; ``pass``
            goes on with all of the audio.
        export: formats to write beside the audio: cue-wav, sfz, mpc, ableton, octatrack, midi, reaper, audacity, …
    """

    type: Literal["chop"]
    output: Literal["slices", "pass"] = "slices"
    export: tuple[
        Literal[
            "slices",
            "cue-wav",
            "sfz",
            "mpc",
            "ableton",
            "octatrack",
            "midi",
            "reaper",
            "audacity",
            "csv",
            "json",
            "picture",
        ],
        ...,
    ] = ()

    @model_validator(mode="after")
    def _all_of_it(self) -> "ChopStage":
        if self.start_s or self.end_s is not None:
            raise ValueError(_WHOLE)
        return self


class Gathered:
    """All of a stream in a spool: the first half of a stage that hears everything first."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch

    def begin(self, rate: int, channels: int) -> None:
        self._rate = rate
        self._spool = Spool(self._scratch, channels)

    def take(self, block: Block) -> Block:
        self._spool.write(block)
        return nothing(self._spool.channels)

    def passage(self) -> SpooledPassage:
        return SpooledPassage(self._spool, self._rate, self._scratch.source)

    def close(self) -> None:
        self._spool.close()


class FlagCut:
    """The stage of `FlagStage`."""

    def __init__(
        self, settings: FlagStage, flagger: "Flagger", scratch: Scratch, sidecars: NamedSidecars, mark: Mark, label: str
    ) -> None:
        self._settings, self._flagger, self._sidecars = settings, flagger, sidecars
        self._mark, self._label = mark, label
        self._gathered = Gathered(scratch)

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        self._gathered.begin(rate, channels)
        return rate, channels

    def process(self, block: Block) -> Block:
        return self._gathered.take(block)

    def flush(self) -> Iterator[Block]:
        from ..flags.analysis import analyse_passage
        from ..flags.cut import cut_blocks
        from ..flags.exports import EXPORTS
        from ..flags.exports.job import Job
        from ..flags.regions import find_flags

        passage = self._gathered.passage()
        analysis = analyse_passage(passage, self._flagger, self._settings, lambda part: self._mark.at(self._label))
        flags = find_flags(analysis, self._settings)
        self._sidecars.note(*flags.notes)
        names = self._settings.export
        self._sidecars.write(EXPORTS, names, lambda aside, home, stem: Job(flags, passage, aside, home, stem))
        yield from cut_blocks(flags, passage) if self._settings.output == "cut" else passage.blocks()
        self._gathered.close()


class Chopper:
    """What is common to chops that only mark and chops that cut."""

    def __init__(
        self,
        settings: ChopStage,
        network: "CurveNetwork",
        scratch: Scratch,
        sidecars: NamedSidecars,
        mark: Mark,
        label: str,
    ) -> None:
        self._settings, self._network, self._sidecars = settings, network, sidecars
        self._mark, self._label = mark, label
        self._gathered = Gathered(scratch)

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        self._gathered.begin(rate, channels)
        return rate, channels

    def process(self, block: Block) -> Block:
        return self._gathered.take(block)

    def flush(self) -> Iterator[Block]:
        """Marks only: all of the audio."""
        for _, blocks in self.slices(whole=True):
            yield from blocks

    def slices(self, whole: bool = False) -> Iterator[tuple[str, Iterator[Block]]]:
        """Number and audio of each slice, the audio to be read before the next; or of all, under no number."""
        from ..chops.analysis import analyse_passage
        from ..chops.chopping import chop
        from ..chops.exports import EXPORTS
        from ..chops.exports.job import Job
        from ..chops.slices import slice_blocks

        passage = self._gathered.passage()
        analysis = analyse_passage(passage, self._network, lambda part: self._mark.at(self._label))
        chops = chop(analysis, self._settings)
        if not chops.chops:
            raise RequestError(f"chop: nothing to cut at was found ({chops.note})")
        self._sidecars.note(*filter(None, [chops.note]))
        names, curves = self._settings.export, analysis.curves
        self._sidecars.write(EXPORTS, names, lambda aside, home, stem: Job(chops, passage, aside, home, stem, curves))
        if whole:
            yield "", passage.blocks()
        else:
            width = max(2, len(str(len(chops.chops))))
            for cut, blocks in slice_blocks(chops, passage):
                yield f"{cut.number:0{width}}", blocks
        self._gathered.close()
