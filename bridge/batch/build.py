"""From a description to what runs: every model and plugin opened once, every stage in its place.

Effects of pedalboard that follow each other become one board: no audio goes back and forth between them.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from streaming.errors import RequestError
from streaming.session import OnnxModel

from ..config import Section
from ..registry import find_model
from .board import WHOLE, Board, PieceByPiece, make_effect
from .branches import Branches, Mix
from .description import Chain, ConvolutionStage, MixStage, kind_of, splits
from .effects import EffectStage
from .flow import FileOutlet, Flow, Outlet, Shelf, SlicesOutlet, StemsOutlet
from .hearing import Chopper, ChopStage, FlagCut, FlagStage
from .plugin import Plugin, PluginStage
from .pumped import Tail
from .separating import QueryStage, SeparateStage, StemSettings, SumOfStems, chosen_outputs, open_splitter
from .shaping import (
    Channels,
    ChannelsStage,
    Fade,
    FadeStage,
    Level,
    Normalise,
    NormaliseStage,
    Resample,
    ResampleStage,
    Trim,
    TrimStage,
)  # fmt: skip
from .sidecars import NamedSidecars, Sidecars
from .spool import Scratch
from .stage import Line, Mark, Placed, Stage

EXACT = (TrimStage, ChopStage)
"""Stages that change no sample: after nothing but these, 16 bits need no dither."""


class Builder:
    """Builds the flow of one chain.

    Attributes:
        notes: what was found on the way that the user should know.

    Args:
        folder: the chain's, from which relative paths count.
        threads: of each network; ``gpu``: whether it runs on one, where there is one.
    """

    def __init__(
        self,
        chain: Chain,
        folder: Path,
        mark: Mark,
        scratch: Scratch,
        sidecars: Sidecars,
        shelf: Shelf,
        threads: int = 1,
        gpu: bool = False,
    ) -> None:
        self._chain, self._folder, self._mark = chain, folder, mark
        self._scratch, self._sidecars, self._shelf, self._threads = scratch, sidecars, shelf, threads
        self._gpu = gpu
        self._tail = Tail(chain.tail == "keep", chain.tail_max_s)
        self._plugins: list[Plugin] = []
        self._beside: set[str] = set()

    def flow(self) -> Flow:
        """Open everything. Raises `SidechopError` for what is not there or does not fit."""
        return self._flow(self._chain.stage, 1)

    def line(self) -> Line:
        """The stages alone, of a chain that splits nothing: for tests and measurements."""
        return Line(self._placed(self._chain.stage, 1), self._mark)

    @property
    def notes(self) -> list[str]:
        return [note for plugin in self._plugins for note in plugin.notes]

    @property
    def plugins(self) -> Sequence[Plugin]:
        return self._plugins

    def _flow(self, stages: Sequence[Section], number: int, before: Sequence[Placed] = (), stem: str = "") -> Flow:
        """The stages from the one called ``number`` on, after what comes ``before``; of one stem, or of all."""
        self._stem = stem
        end = next((i for i, stage in enumerate(stages) if splits(stage)), len(stages))
        line = Line([*before, *self._placed(stages[:end], number)], self._mark)
        if end == len(stages):
            return Flow(line, FileOutlet(self._shelf, self._mark))
        return Flow(line, self._split(stages[end], stages[end + 1 :], number + end))

    def _sidecars_for(self, label: str, stage: FlagStage | ChopStage) -> NamedSidecars:
        """What tells the files beside the audio apart: the stem, and where several stages write some, the stage."""
        number, _, kind = label.partition(" ")
        name = self._stem
        if stage.export:
            name = "-".join(filter(None, [name, kind, number])) if name in self._beside else name
            self._beside.add(name)
        return NamedSidecars(self._sidecars, name)

    def _split(self, stage: Section, after: Sequence[Section], number: int) -> Outlet:
        label = f"{number} {kind_of(stage)}"
        self._mark.at(f"loading {label}")
        if isinstance(stage, ChopStage):
            return SlicesOutlet(self._chopper(stage, label), self._flow(after, number + 1), self._mark, label)
        assert isinstance(stage, SeparateStage | QueryStage)
        splitter = open_splitter(stage, self._threads, self._gpu)
        flows = {}
        for stem in chosen_outputs(stage, splitter.outputs):
            settings = stage.stems.get(stem, StemSettings())
            own = self._placed(settings.stage, 1, f"{label}.{stem}.")
            level = Placed(f"{label}.{stem} gain", Level(settings.gain))
            flows[stem] = self._flow(after, number + 1, [*own, level], stem)
        return StemsOutlet(splitter, flows, self._mark, label)

    def _branches(self, branches: Mapping[str, StemSettings], label: str) -> Branches:
        lines = [Line(self._placed(each.stage, 1, f"{label}.{name}."), self._mark) for name, each in branches.items()]
        return Branches(lines, [each.gain for each in branches.values()], list(branches), self._scratch)

    def _placed(self, stages: Sequence[Section], number: int, prefix: str = "") -> list[Placed]:
        placed: list[Placed] = []
        numbered = [(f"{prefix}{number + i} {kind_of(stage)}", stage) for i, stage in enumerate(stages)]
        for together, group in groupby(numbered, lambda item: _joins(item[1])):
            each = list(group)
            if together:
                placed.append(self._board(each))
            else:
                placed += [Placed(label, self._stage(stage, label)) for label, stage in each]
        return placed

    def _board(self, each: Sequence[tuple[str, Section]]) -> Placed:
        settings = [stage for _, stage in each if isinstance(stage, EffectStage)]
        effects = [make_effect(stage) for stage in settings]
        first, last = each[0][0].partition(" ")[0], each[-1][0].partition(" ")[0].rpartition(".")[2]
        names = ", ".join(stage.type for stage in settings)
        label = each[0][0] if len(each) == 1 else f"{first} to {last} {names}"
        return Placed(label, Board(effects, settings, self._tail))

    def _stage(self, stage: Section, label: str) -> Stage:
        self._mark.at(f"loading {label}")
        scratch = self._scratch
        match stage:
            case EffectStage():
                return PieceByPiece(make_effect(stage), scratch)
            case PluginStage():
                plugin = Plugin(stage, self._folder, self._tail)
                self._plugins.append(plugin)
                return plugin
            case ConvolutionStage():
                return self._convolution(stage)
            case MixStage():
                named = {f"branch {i}": branch for i, branch in enumerate(stage.branch, 1)}
                return Mix(self._branches(named, label), len(named))
            case SeparateStage() | QueryStage():
                splitter = open_splitter(stage, self._threads, self._gpu)
                chosen_outputs(stage, splitter.outputs)
                stems = {stem: stage.stems.get(stem, StemSettings()) for stem in splitter.outputs}
                return SumOfStems(splitter, self._branches(stems, label))
            case FlagStage():
                from ..flags.analysis import open_flagger

                return FlagCut(
                    stage, open_flagger(stage.model)[0], scratch, self._sidecars_for(label, stage), self._mark, label
                )
            case ChopStage():
                return self._chopper(stage, label)
            case NormaliseStage():
                return Normalise(stage, scratch)
            case TrimStage():
                return Trim(stage, scratch)
            case FadeStage():
                return Fade(stage)
            case ResampleStage():
                return Resample(stage)
            case ChannelsStage():
                return Channels(stage)
        raise AssertionError(kind_of(stage))

    def _chopper(self, stage: ChopStage, label: str) -> Chopper:
        from streaming.curves import CurveNetwork

        network = CurveNetwork(OnnxModel.open(find_model(stage.model), self._threads, self._gpu))
        return Chopper(stage, network, self._scratch, self._sidecars_for(label, stage), self._mark, label)

    def _convolution(self, stage: ConvolutionStage) -> Stage:
        import pedalboard

        path = self._folder / stage.impulse_response.expanduser()
        if not path.is_file():
            raise RequestError(f"Convolution: {path}: no such file")
        try:
            effect: Any = pedalboard.Convolution(str(path), stage.mix)
        except (ValueError, RuntimeError) as error:
            raise RequestError(f"Convolution: {path}: {' '.join(str(error).split())}") from None
        return Board([effect], [EffectStage(type="Convolution")], self._tail)


def _joins(stage: Section) -> bool:
    """Whether it can share a board with its neighbours."""
    return isinstance(stage, EffectStage) and stage.type != WHOLE
