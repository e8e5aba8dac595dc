"""Neural stages that give stems: `separate` with any model whose card names stems, and `query` with words.

The stems go through lines of their own and are summed again, or each goes on as a file of its own (`.flow`).
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, Field, field_validator

from streaming.errors import RequestError
from streaming.session import OnnxModel

from ..config import Section
from ..file_queries import ask_all
from ..registry import AUTO, find_model, find_query_model
from .branches import Branches
from .splitting import StemSplitter
from .stage import Block, nothing

if TYPE_CHECKING:
    from .description import AnyStage


class StemSettings(Section):
    """What becomes of one stem."""

    gain_db: float = Field(default=0.0, ge=-120, le=60, allow_inf_nan=False)
    mute: bool = False
    stage: tuple["AnyStage", ...] = ()

    @property
    def gain(self) -> float:
        return 0.0 if self.mute else float(10 ** (self.gain_db / 20))


class SeparateStage(Section):
    """Stems by a separator.

    Attributes:
        model: a name that ``sidechop models list`` shows, or a file.
        output: ``sum`` puts them together again, ``files`` makes every stem a file of its own, with what follows in the
            chain done to each.
        stems: by name: a gain, and stages of its own. The others pass as they are.
        only: with ``files``: which stems to write; all of them if empty.
    """

    type: Literal["separate"]
    model: str = AUTO
    output: Literal["sum", "files"] = "sum"
    stems: dict[str, StemSettings] = Field(default={})
    only: tuple[str, ...] = ()


class QueryStage(Section):
    """What is described in words, and the rest.

    Attributes:
        queries: what to take out, each an output named after its words; ``rest`` is what is left.
        not_: what not to take; ``not`` in a file.
        model, output, stems, only: as with ``separate``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    type: Literal["query"]
    queries: tuple[str, ...] = Field(min_length=1)
    not_: tuple[str, ...] = Field(default=(), alias="not")
    model: str = AUTO
    output: Literal["sum", "files"] = "files"
    stems: dict[str, StemSettings] = Field(default={})
    only: tuple[str, ...] = ()

    @field_validator("queries", "not_")
    @classmethod
    def _words(cls, queries: tuple[str, ...]) -> tuple[str, ...]:
        if not all(query.strip() for query in queries):
            raise ValueError("a query is empty: say what to listen for")
        return queries


def open_splitter(settings: SeparateStage | QueryStage, threads: int, gpu: bool) -> StemSplitter:
    """The model of a stage, ready to split. The one place where words reach a model.

    Raises:
        ModelError: there is no such model, it gives no stems, or it takes no words.
        RequestError: there are more queries than fit into one pass.
    """
    if isinstance(settings, QueryStage):
        path = find_query_model() if settings.model == AUTO else find_model(settings.model)
        model = OnnxModel.open(path, threads, gpu)
        return StemSplitter(model, ask_all(model.card, settings.queries, settings.not_))
    return StemSplitter(OnnxModel.open(find_model(settings.model), threads, gpu))


def chosen_outputs(settings: SeparateStage | QueryStage, outputs: Sequence[str]) -> tuple[str, ...]:
    """The outputs that are wanted as files. Raises `RequestError` for a stem that the model does not give."""
    for stem in (*settings.stems, *settings.only):
        if stem not in outputs:
            raise RequestError(f"{settings.type}: {settings.model} gives no {stem!r}; it gives {', '.join(outputs)}")
    muted = {stem for stem, its in settings.stems.items() if its.mute}
    return tuple(stem for stem in outputs if (stem in settings.only or not settings.only) and stem not in muted)


class SumOfStems:
    """A stage: split, each stem through its own line, summed."""

    def __init__(self, splitter: StemSplitter, branches: Branches) -> None:
        self._splitter, self._branches = splitter, branches

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        self._splitter.prepare(rate, channels)
        rate, self._channels = self._branches.prepare(rate, channels)
        return rate, self._channels

    def process(self, block: Block) -> Block:
        stems = self._splitter.process(block)
        return self._branches.process(list(stems)) if stems.shape[2] else nothing(self._channels)

    def flush(self) -> Iterator[Block]:
        for stems in self._splitter.flush():
            if stems.shape[2]:
                yield self._branches.process(list(stems))
        yield from self._branches.flush()
