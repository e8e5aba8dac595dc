"""What a chain is told, checked: one TOML file.

::

    tail = "keep"                     # echoes ring out

    [[stage]]
    type = "HighpassFilter"           # an effect of pedalboard, by its own name
    cutoff_frequency_hz = 80

    [[stage]]
    type = "separate"
    [stage.stems.vocals]
    gain_db = -3
    [[stage.stems.vocals.stage]]      # stages of its own
    type = "Compressor"

    [output]
    format = "flac"
    name = "{path}/{name}"

Editors complete and check it by the schema that ``sidechop batch --schema`` prints.
"""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args

from pydantic import Field, ValidationError, model_validator

from streaming.errors import RequestError

from ..config import Section
from ..toml_lines import line_of
from .effects import EFFECT_STAGES
from .hearing import ChopStage, FlagStage
from .plugin import PluginStage
from .separating import QueryStage, SeparateStage, StemSettings
from .shaping import ChannelsStage, FadeStage, NormaliseStage, ResampleStage, TrimStage


class ConvolutionStage(Section):
    """A reverb or a cabinet by its impulse response, an audio file; relative paths count from the chain's folder."""

    type: Literal["Convolution"]
    impulse_response: Path
    mix: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False)


class BranchSettings(StemSettings):
    """One way through a ``mix``; without stages it is the dry audio."""


class MixStage(Section):
    """Branches side by side, each with a gain and stages of its own, summed."""

    type: Literal["mix"]
    branch: tuple[BranchSettings, ...] = Field(min_length=1)


OWN_STAGES: tuple[type[Section], ...] = (
    PluginStage, ConvolutionStage, MixStage, SeparateStage, QueryStage, FlagStage, ChopStage, NormaliseStage, TrimStage,
    FadeStage, ResampleStage, ChannelsStage,
)  # fmt: skip
_KINDS = (*OWN_STAGES, *EFFECT_STAGES)

if TYPE_CHECKING:
    AnyStage = Section
else:
    AnyStage = Annotated[Union[_KINDS], Field(discriminator="type")]  # noqa: UP007

for _settings in (StemSettings, BranchSettings, MixStage, SeparateStage, QueryStage):
    _settings.model_rebuild(_types_namespace={**globals(), "AnyStage": AnyStage})


class Output(Section):
    """What is written.

    Attributes:
        format: ``wav`` or ``flac``.
        bits: ``source`` keeps the sample format of each source file; ``float`` is for wav alone.
        dither: noise of a bit (TPDF) where 16 bits are written; None puts it there if the chain changes samples.
        name: path below the output folder without its ending. ``{path}`` is the source's folder below the folder that
            was given, ``{name}`` its name, ``{ext}`` its ending, ``{stem}`` and ``{slice}`` what it was split into.
            None is ``{path}/{name}``, and a folder for each file where it is split.
    """

    format: Literal["wav", "flac"] = "wav"
    bits: Literal["source", "float", "24", "16"] = "source"
    dither: bool | None = None
    name: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> "Output":
        if self.format == "flac" and self.bits == "float":
            raise ValueError("flac holds 16 or 24 bits, not float")
        return self


class Chain(Section):
    """A whole chain.

    Attributes:
        about: a line for those who choose among chains.
        tail: what effects still give after the end of the audio: ``cut``, or ``keep`` it until it is quiet, at most
            ``tail_max_s``.
    """

    about: str = ""
    tail: Literal["cut", "keep"] = "cut"
    tail_max_s: float = Field(default=10.0, ge=0, le=600, allow_inf_nan=False)
    stage: tuple[AnyStage, ...] = ()
    output: Output = Output()

    @model_validator(mode="after")
    def _splits_last(self) -> "Chain":
        """What makes several files of one has to be on the main line, not in a branch."""
        on_the_main_line = {id(stage) for stage in self.stage}
        for name, stage in walk(self.stage):
            if splits(stage) and id(stage) not in on_the_main_line:
                raise ValueError(
                    f"{name} makes several files of one inside of another stage: put it on the main line, "
                    'or give it output = "sum" or "pass"'
                )
        return self


def splits(stage: Section) -> str | None:
    """``stem`` or ``slice`` for a stage that makes several files of one."""
    if isinstance(stage, SeparateStage | QueryStage) and stage.output == "files":
        return "stem"
    return "slice" if isinstance(stage, ChopStage) and stage.output == "slices" else None


def inner_lines(stage: Section) -> Iterator[tuple[str, tuple[Section, ...]]]:
    """The lines inside of a stage, each with its name."""
    if isinstance(stage, MixStage):
        yield from ((f"branch {i}", branch.stage) for i, branch in enumerate(stage.branch, 1))
    elif isinstance(stage, SeparateStage | QueryStage):
        yield from ((stem, settings.stage) for stem, settings in stage.stems.items())


def walk(stages: tuple[Section, ...], prefix: str = "") -> Iterator[tuple[str, Section]]:
    """Every stage, those inside of others too, under the name that an error gives it."""
    for number, stage in enumerate(stages, 1):
        name = f"{prefix}{number} {kind_of(stage)}"
        yield name, stage
        for inner, line in inner_lines(stage):
            yield from walk(line, f"{name}.{inner}.")


def kind_of(stage: Section) -> str:
    """The ``type`` of a stage."""
    return str(getattr(stage, "type"))  # noqa: B009


def stage_kinds() -> dict[str, type[Section]]:
    """Every stage that can be named, ours first."""
    return {get_args(kind.model_fields["type"].annotation)[0]: kind for kind in _KINDS}


def schema() -> dict[str, Any]:
    """The JSON schema of a chain, for editors."""
    described: dict[str, Any] = Chain.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described, "title": "Sidechop chain"}


def read_chain(path: Path) -> Chain:
    """Read and check a chain, but load nothing.

    Raises:
        RequestError: one line that names file, line and field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    return parse_chain(text, str(path))


def parse_chain(text: str, name: str = "the chain") -> Chain:
    """A chain from its text. Raises `RequestError`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{name}: not TOML: {error}") from None
    try:
        return Chain.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field, got = _field_of(data, first["loc"]), first["input"]
        line = line_of(text, (*field, "type") if first["type"] == "union_tag_invalid" else field)
        where = f"{name}: line {line}: " if line else f"{name}: "
        shown = "" if isinstance(got, dict | Section) else f" (got {json.dumps(got, default=str)[:60]})"
        raise RequestError(f"{where}{_dotted(field)}{_said(first, data, field)}{shown}") from None


def _field_of(data: Any, loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Where a mistake is, in terms of the file: without the kinds that the choice of a stage puts in between."""
    field: list[int | str] = []
    kinds = stage_kinds()
    for i, step in enumerate(loc):
        inside = data[step] if _has(data, step) else None
        if inside is None and step in kinds and i and isinstance(loc[i - 1], int):
            continue
        if isinstance(step, str) or isinstance(data, list):
            field.append(step)
        data = inside
    return tuple(field)


def _has(data: Any, step: int | str) -> bool:
    if isinstance(data, list):
        return isinstance(step, int) and step < len(data)
    return isinstance(data, dict) and step in data


def _dotted(field: tuple[int | str, ...]) -> str:
    """``stage 2 › ratio: ``: numbers count from 1, as one reads."""
    parts: list[str] = []
    for step in field:
        if isinstance(step, int):
            parts[-1] = f"{parts[-1]} {step + 1}"
        else:
            parts.append(step if step.isprintable() else repr(step))
    return f"{' › '.join(parts)}: " if parts else ""


def _said(mistake: Any, data: Any, field: tuple[int | str, ...]) -> str:
    if mistake["type"] == "union_tag_invalid":
        import difflib

        kinds = list(stage_kinds())
        tag = str(mistake["ctx"]["tag"])
        close = difflib.get_close_matches(tag, kinds, n=3, cutoff=0.5)
        lower = [kind for kind in kinds if kind.casefold() == tag.casefold()]
        hint = f"did you mean {' or '.join(lower or close)}?" if lower or close else "--list-stages shows what there is"
        return f"no stage is called {tag!r}; {hint}"
    if mistake["type"] == "union_tag_not_found":
        return 'has no type; say which stage it is: type = "Compressor"'
    if mistake["type"] == "extra_forbidden":
        for step in field[:-1]:
            data = data[step]
        kind = stage_kinds().get(data.get("type", "")) if isinstance(data, dict) else None
        names = [each.alias or name for name, each in kind.model_fields.items() if name != "type"] if kind else []
        return (
            f"there is no such setting; {data['type']} takes {', '.join(names)}"
            if names
            else "there is no such setting"
        )
    return str(mistake["msg"]).removeprefix("Value error, ")
