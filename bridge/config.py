"""What a TOML file may set, checked. Flags on the command line win over the file.

::

    model = "live4"
    chops = "chopper-live"
    flags = "flagger"
    history_s = 120
    budget_ms = 5

    [audio]
    input = "Scarlett"
    output = "Scarlett"
    block = 128

    [osc]
    port = 9190

    [daw]
    follow = "ardour"

    [plugin]
    slots = ["live4", "mine.onnx"]

    [stems.drums]
    gain_db = -6
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from streaming.errors import RequestError

from .osc_table import DEFAULT_PORT
from .registry import AUTO

SOURCES = ("input", "output", "file", "reastream", "plugin")
REMOVE = object()
"""As a flag's value: forget what the file says."""


class Section(BaseModel):
    """A table of the file: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Audio(Section):
    """Where audio comes from and goes to: devices, a file, or ReaStream.

    Attributes:
        file: play this file instead of a device; ``folder`` receives what comes out.
        paced: play the file as fast as it sounds, not as fast as it can be.
        loop: play the file over and over.
        reastream: listen for ReaStream packets with this identifier instead of a device.
        plugin: no audio but that of the DAW's plugins.
        block: frames at a time; 0 leaves it to the device's driver. For ReaStream it is the sender's buffer.
        rate: of the session (Hz); None takes the file's or the device's.
    """

    input: str | None = None
    output: str | None = None
    file: Path | None = None
    folder: Path | None = None
    paced: bool = True
    loop: bool = False
    reastream: str | None = None
    plugin: bool = False
    block: int | None = Field(default=None, ge=0, le=8192)
    rate: Literal[44100, 48000, 88200, 96000] | None = None
    channels: int = Field(default=2, ge=1, le=2)

    @model_validator(mode="after")
    def _one_source(self) -> "Audio":
        devices = self.input or self.output
        if sum(map(bool, (devices, self.file, self.reastream, self.plugin))) > 1:
            raise ValueError("give devices, or a file, or reastream, or plugin: one of them")
        return self


class Osc(Section):
    """Where the daemon listens. ``port`` 0 takes a free one."""

    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535)
    listen: str = "127.0.0.1"
    token: str | None = Field(default=None, min_length=1)


class DawFollow(Section):
    """Which DAW's playhead to follow over its own OSC; whoever sends ``/sidechop/transport`` needs none of this.

    Attributes:
        port: where the DAW listens; for REAPER where it sends to; None is its usual one.
        markers: put live chops and flags onto its timeline, when it stops.
        delay_ms: how much later the session hears what the DAW plays, where the audio takes a way of its own.
    """

    follow: Literal["off", "ardour", "ableton-osc", "reaper"] = "off"
    port: int | None = Field(default=None, ge=1, le=65535)
    markers: bool = True
    delay_ms: float = Field(default=0.0, ge=0, le=10_000)


class Plugin(Section):
    """The DAW's plugins.

    Attributes:
        serve: give each instance an engine.
        slots: models by name or path, for the plugin's slots 1, 2 and so on; slot 0 is the session's model.
    """

    serve: bool = True
    slots: tuple[str, ...] = ("live4", "live4-int8")


class Fader(Section):
    """Where a stem's fader stands at the start."""

    gain_db: float = Field(default=0.0, ge=-120, le=24)
    mute: bool = False
    solo: bool = False


class Query(Section):
    """A preset: what to listen for, what it is not, and how much of all else to take away."""

    query: str
    negative: str = Field(default="", alias="not")
    strength: float = Field(default=1.0, ge=0, le=1)


class Config(Section):
    """Everything the daemon can be told.

    Attributes:
        model: a name that ``sidechop models list`` shows, a path, "auto" or "pass-through".
        chops: the model that listens for chops in what is played, or "off".
        flags: the model that flags what does not belong in what is played, or "off".
        flags_threshold: a p-value: flag what is as odd as at most this share of good audio; 0 is the model's own.
        query: what to listen for from the start, in words or by the name of a preset; at most two.
        negative: what none of them is; in the file it is called not.
        queries: presets by name.
        history_s: how much of what was played can be chopped afterwards, at least; it lies in shared memory.
        budget_ms: time an engine hop may take before the dry mix is heard instead; it adds to the latency.
    """

    model: str = AUTO
    chops: str = "off"
    flags: str = "off"
    flags_threshold: float = Field(default=0.0, ge=0, le=0.5)
    query: tuple[str, ...] = ()
    negative: tuple[str, ...] = Field(default=(), alias="not")
    queries: dict[str, Query] = {}
    history_s: float = Field(default=60.0, ge=0, le=3600)
    budget_ms: float | None = Field(default=None, ge=0, le=1000)
    audio: Audio = Audio()
    osc: Osc = Osc()
    daw: DawFollow = DawFollow()
    plugin: Plugin = Plugin()
    stems: dict[str, Fader] = {}


_Settings = TypeVar("_Settings", bound=BaseModel)


def read_config(kind: type[_Settings], path: Path | None, flags: Mapping[str, Any]) -> _Settings:
    """Read ``path`` (if any) as a ``kind``; ``flags`` are dotted fields that win over it, None ones left out.

    Raises:
        RequestError: one line that names file, line and field.
    """
    text, data = "", {}
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8")
            data = tomllib.loads(text)
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
        except tomllib.TOMLDecodeError as error:
            raise RequestError(f"{path}: not TOML: {error}") from None
    for dotted, value in flags.items():
        if value is not None:
            *tables, key = dotted.split(".")
            table = data
            for name in tables:
                table = table.setdefault(name, {})
                if not isinstance(table, dict):
                    raise RequestError(f"{path}: {name} is {table!r}, expected a table [{name}]")
            if value is REMOVE:
                table.pop(key, None)
            else:
                table[key] = value
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = tuple(map(str, first["loc"]))
        given = ".".join(field) in {dotted for dotted, value in flags.items() if value is not None}
        line = None if given else _line_of(text, field)
        where = "" if path is None or given else f"{path}: " if line is None else f"{path}: line {line}: "
        dotted = ".".join(field)
        name = f"{dotted if dotted.isprintable() else repr(dotted)}: " if field else ""
        got = "" if isinstance(first["input"], dict | BaseModel) else f" (got {first['input']!r})"
        raise RequestError(f"{where}{name}{first['msg'].removeprefix('Value error, ')}{got}") from None


def read_session(path: Path | None, flags: Mapping[str, Any]) -> Config:
    """`read_config` for a session: a flag that names a source of audio takes the place of the file's sources."""
    named = any(flags.get(f"audio.{source}") is not None for source in SOURCES)
    replaced = {f"audio.{source}": REMOVE for source in SOURCES if named and flags.get(f"audio.{source}") is None}
    return read_config(Config, path, {**flags, **replaced})


def _line_of(text: str, field: tuple[str, ...]) -> int | None:
    """The line where a field is set: ``key =`` under its ``[table]``, or the table itself."""
    table: tuple[str, ...] = ()
    best = None
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
            table = tuple(part.strip(" \"'") for part in header[1].split("."))
            here = table
        elif key := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            here = (*table, *(part.strip("\"'") for part in key[1].split(".")))
        else:
            continue
        if here == field:
            return number
        if here and here == field[: len(here)]:
            best = number
    return best
