"""Every OSC message of Sidechop, defined once: the server checks by this table, the client encodes by it, and
``docs/osc.md`` is printed from it (``sidechop osc --table``).

Positions travel as int64 samples or float64 seconds, never float32: a float32 second is 3 samples off after 10 minutes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from streaming.errors import RequestError

DEFAULT_PORT = 9190
LEASE_MAX_S = 3600.0
STRING_MAX = 4096
"""Longest string (characters) that a request may carry."""

Value = int | float | str | bool
Kind = Literal["levels", "statistics", "events", "chops", "flags", "markers"]
KINDS: tuple[Kind, ...] = ("levels", "statistics", "events", "chops", "flags", "markers")
SEED_MAX = 2**31 - 1
SECONDS_MAX = 1e7
"""Longest time (four months) that a request may name: beyond all audio, but no sample is beyond an integer."""


@dataclass(frozen=True)
class Argument:
    """One argument. ``tag`` is its OSC type: i, h, f, d, s, or T for a switch (true, false, 0 or 1)."""

    name: str
    tag: Literal["i", "h", "f", "d", "s", "T"]
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def read(self, value: object) -> Value:
        """The value as this argument's Python type. Integers pass for floats, as many clients send them so.

        Raises:
            RequestError: naming what was got and what is expected.
        """
        match self.tag, value:
            case "T", bool() | 0 | 1:
                return bool(value)
            case "s", str():
                if len(value) <= STRING_MAX and (not self.choices or value in self.choices):
                    return value
            case (("i" | "h"), int()) if not isinstance(value, bool):
                if self._in_range(value):
                    return value
            case (("f" | "d"), (int() | float())) if not isinstance(value, bool):
                # A NaN fails every comparison, so ask for what is wanted, not for what is not.
                if math.isfinite(value) and self._in_range(value):
                    return float(value)
        shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}…"
        raise RequestError(f"{self.name} is {shown}, expected {self.expected}")

    def _in_range(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    @property
    def expected(self) -> str:
        """What this argument may be, in words."""
        if self.choices:
            return " or ".join(self.choices)
        if self.tag == "T":
            return "true, false, 1 or 0"
        if self.tag == "s":
            return f"a string of at most {STRING_MAX} characters"
        noun = "an integer" if self.tag in "ih" else "a number"
        if self.low is not None and self.high is not None:
            noun += f" from {self.low:.10g} to {self.high:.10g}"
        elif self.low is not None:
            noun += f" of at least {self.low:g}"
        return f"{noun} {self.unit}".strip()

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.name}:{'i/T/F' if self.tag == 'T' else self.tag}{unit}"


@dataclass(frozen=True)
class Message:
    """One address. A request's ``arguments`` come after its id; ``reply`` is what ``/sidechop/done`` carries after it.

    Attributes:
        slow: answered by a worker, with ``/sidechop/progress`` on the way; the others are answered at once.
        job: a slow one that runs beside all others, sends one of `ITEMS` for each of its results, and can be cancelled.
        repeated: arguments that follow the others any number of times.
        kind: for pushed events, the subscription that they belong to.
    """

    address: str
    arguments: tuple[Argument, ...]
    meaning: str
    reply: tuple[Argument, ...] = ()
    slow: bool = False
    job: bool = False
    repeated: tuple[Argument, ...] = ()
    kind: Kind | None = None

    def read(self, values: Sequence[object]) -> list[Value]:
        """Check and convert what came after the id. Raises `RequestError`."""
        if len(values) != len(self.arguments):
            names = ", ".join(map(str, self.arguments)) or "none"
            raise RequestError(f"{self.address} got {len(values)} arguments after the id, expected {names}")
        return [argument.read(value) for argument, value in zip(self.arguments, values, strict=True)]


_JSON = Argument("json", "s")
_STEM = Argument("stem", "s")
_ON = Argument("on", "T")
_ID = Argument("id", "i")
_SUBSCRIPTION = Argument("kind", "s", choices=(*KINDS, "all"))
_LEASE = Argument("lease_s", "f", "s", 0, LEASE_MAX_S)
_JOB = Argument("job", "i", "", 0)
_COUNT = Argument("count", "i")
_RATE = Argument("rate", "i", "Hz")
_POSITION = Argument("position", "h", "samples", 0)
_OPTIONS = Argument("options", "s")
_SECONDS = Argument("seconds", "d", "s", 0, SECONDS_MAX)
_AT = Argument("at", "d", "s", 0, SECONDS_MAX)
_UNIT = Argument("unit", "s", choices=("seconds", "beats"))
_PASSAGE = (
    Argument("path", "s"),
    Argument("start", "d", "s", 0, SECONDS_MAX),
    Argument("end", "d", "s", 0, SECONDS_MAX),
    _OPTIONS,
)
_QUERY = Argument("query", "i", "", 1, 2)
_EXPORT = (_JOB, Argument("formats", "s"), Argument("folder", "s"))
_FILES = Argument("files", "i")
_CHOPPED = (_JOB, _COUNT, _RATE)
_SEPARATED = (_JOB, _COUNT, _RATE, Argument("start", "h", "samples"), Argument("end", "h", "samples"))
_FLAGGED = (_JOB, _COUNT, Argument("parts", "i"), _RATE)

REQUESTS: tuple[Message, ...] = (
    Message("/sidechop/ping", (), "Is a daemon there?", (Argument("version", "s"),)),
    Message("/sidechop/status", (), "What runs: model, audio, engine, stems and their faders", (_JSON,)),
    Message(
        "/sidechop/stem/gain",
        (_STEM, Argument("gain", "f", "dB", -120, 24)),
        "Set a stem's fader; -120 is silence",
    ),
    Message("/sidechop/stem/mute", (_STEM, _ON), "Mute a stem"),
    Message("/sidechop/stem/solo", (_STEM, _ON), "Solo a stem: while any is, only those are heard"),
    Message("/sidechop/mix/wet", (Argument("amount", "f", "", 0, 1),), "0 is the delayed input, 1 the faders' mix"),
    Message("/sidechop/mix/bypass", (_ON,), "Hear the delayed input, at the same latency"),
    Message(
        "/sidechop/model",
        (Argument("name", "s"),),
        "Run another model, by name or path, without stopping the audio",
        (Argument("latency", "h", "samples"),),
        slow=True,
    ),
    Message(
        "/sidechop/query",
        (_QUERY, Argument("text", "s"), Argument("not", "s")),
        "Listen for what is described, or for a preset, and not for what is not (may be empty), from the next hop on; "
        "where the model takes no queries, query-live takes over first",
        (Argument("latency", "h", "samples"),),
        slow=True,
    ),
    Message(
        "/sidechop/query/strength",
        (_QUERY, Argument("strength", "f", "", 0, 1)),
        "1 gives what was asked for alone, 0 the whole mix",
    ),
    Message("/sidechop/query/clear", (_QUERY,), "Ask for nothing there: the stem falls silent and costs nothing"),
    Message("/sidechop/models", (), "The models that are to be had", (_JSON,)),
    Message("/sidechop/statistics", (), "Hop times, misses and counters since the last reset", (_JSON,)),
    Message("/sidechop/statistics/reset", (), "Start counting afresh"),
    Message("/sidechop/latency", (), "The delay from input to output as named parts", (_JSON,)),
    Message(
        "/sidechop/chop/place",
        (*_PASSAGE, _AT),
        "Chop a file's passage, and put markers into the DAW that is followed, whose timeline has its start there",
        _CHOPPED,
        slow=True,
        job=True,
    ),
    Message(
        "/sidechop/flag/place",
        (*_PASSAGE, _AT),
        "Flag a file's passage, and put markers into the DAW that is followed, whose timeline has its start there",
        _FLAGGED,
        slow=True,
        job=True,
    ),
    Message(
        "/sidechop/transport",
        (
            Argument("position", "d", "", -SECONDS_MAX, SECONDS_MAX),
            _UNIT,
            Argument("rolling", "T"),
            Argument("tempo", "d", "bpm", 0, 10_000),
            Argument("loop_start", "d", "", -SECONDS_MAX, SECONDS_MAX),
            Argument("loop_end", "d", "", -SECONDS_MAX, SECONDS_MAX),
        ),
        "Where the DAW's playhead is, told ten times a second: what is heard is then placed on its timeline; a loop "
        "that ends where it starts is none",
    ),
    Message(
        "/sidechop/subscribe",
        (_SUBSCRIPTION, _LEASE),
        "Push events to this sender's address until the lease runs out; ask again to renew it",
        (_LEASE,),
    ),
    Message("/sidechop/unsubscribe", (_SUBSCRIPTION,), "Push no more of these"),
    Message(
        "/sidechop/chop/file",
        _PASSAGE,
        "Chop a file, or the passage from start to end; an end of 0 is the file's own",
        _CHOPPED,
        slow=True,
        job=True,
    ),
    Message(
        "/sidechop/chop/recent",
        (_SECONDS, _OPTIONS),
        "Chop what was just played; positions are those of the session",
        _CHOPPED,
        slow=True,
        job=True,
    ),
    Message(
        "/sidechop/chop/lock",
        (_JOB, _POSITION, _ON),
        "Keep this chop whatever else a re-roll changes, or keep it no longer",
        slow=True,
        job=True,
    ),
    Message(
        "/sidechop/chop/reroll",
        (_JOB, Argument("seed", "i", "", 0, SEED_MAX)),
        "Choose anew among what was heard; locked chops stay",
        _CHOPPED,
        slow=True,
        job=True,
    ),
    Message(
        "/sidechop/chop/export",
        _EXPORT,
        "Write a job's chops into a folder, in one or more formats with commas between them",
        (_FILES,),
        slow=True,
        job=True,
    ),
    Message("/sidechop/chop/live", (_ON,), "Listen for chops in what is being played, or no longer", slow=True),
    Message(
        "/sidechop/flag/file",
        _PASSAGE,
        "Flag a file, or the passage from start to end; an end of 0 is the file's own",
        _FLAGGED,
        slow=True,
        job=True,
    ),
    Message(
        "/sidechop/flag/recent",
        (_SECONDS, _OPTIONS),
        "Flag what was just played; positions are those of the session",
        _FLAGGED,
        slow=True,
        job=True,
    ),
    Message(
        "/sidechop/flag/again",
        (_JOB, _OPTIONS),
        "Decide anew on what was heard: another share, threshold, length or snap",
        _FLAGGED,
        slow=True,
        job=True,
    ),
    Message(
        "/sidechop/flag/fine",
        (_JOB, Argument("index", "i", "", 0), _ON),
        "This flag of the job was fine: it leaves the job and joins the model's memory; or take that back",
        (Argument("left", "i"),),
        slow=True,
        job=True,
    ),
    Message(
        "/sidechop/flag/export",
        _EXPORT,
        "Write a job's flags into a folder, in one or more formats with commas between them",
        (_FILES,),
        slow=True,
        job=True,
    ),
    Message(
        "/sidechop/flag/live", (_ON,), "Flag what does not belong in what is being played, or no longer", slow=True
    ),
    Message(
        "/sidechop/flag/live/fine",
        (_POSITION, _ON),
        "The flag that was told at this position was fine: it joins the model's memory; or take that back",
        slow=True,
        job=True,
    ),
    Message(
        "/sidechop/flag/threshold",
        (Argument("p_value", "d", "", 0, 0.5),),
        "Live, flag what is as odd as at most this share of good audio; 0 is the model's own threshold",
    ),
    Message(
        "/sidechop/separate/file",
        (*_PASSAGE, Argument("folder", "s")),
        "Separate a file, or the passage from start to end, into files in a folder; an end of 0 is the file's own",
        _SEPARATED,
        slow=True,
        job=True,
    ),
    Message("/sidechop/batch/chains", (), "The chains that have a name", (_JSON,)),
    Message(
        "/sidechop/batch/file",
        (Argument("chain", "s"), Argument("files", "s"), Argument("folder", "s"), _OPTIONS),
        "Run files through a chain into a folder",
        (Argument("done", "i"), Argument("kept", "i"), Argument("failed", "i")),
        slow=True,
        job=True,
    ),
    Message("/sidechop/plugins", (), "The plugins in the DAW: rate, latency, model, engine, misses", (_JSON,)),
    Message(
        "/sidechop/plugin/focus",
        (Argument("name", "s"),),
        "Which plugin faders, model, statistics and what was played are about, by part of its name; "
        "nothing for the daemon's own session",
    ),
    Message("/sidechop/cancel", (Argument("request", "i"),), "End a job that this client asked for with that id"),
    Message("/sidechop/reset", (), "Forget the past: the engine starts afresh and takes over", slow=True),
    Message("/sidechop/authorise", (Argument("token", "s"),), "Show the daemon's token, before anything else"),
    Message("/sidechop/quit", (), "Stop the daemon"),
)
"""Every request starts with an int32 id of the client's choosing."""

ANSWERS: tuple[Message, ...] = (
    Message("/sidechop/done", (_ID,), "The request is carried out; its reply follows the id"),
    Message("/sidechop/error", (_ID, Argument("text", "s")), "The request is refused or failed, and why"),
    Message(
        "/sidechop/progress",
        (_ID, Argument("fraction", "f", "", 0, 1), Argument("text", "s")),
        "How far a slow request is",
    ),
    Message(
        "/sidechop/chop/item",
        (
            _ID,
            Argument("index", "i"),
            _POSITION,
            Argument("end", "h", "samples"),
            Argument("score", "d"),
            Argument("kind", "s"),
            Argument("locked", "T"),
        ),
        "One chop of a job: where it starts and ends, how sure it is, what begins there",
    ),
    Message(
        "/sidechop/flag/item",
        (
            _ID,
            Argument("index", "i"),
            Argument("start", "h", "samples"),
            Argument("end", "h", "samples"),
            Argument("score", "d"),
            Argument("p_value", "d"),
            Argument("kind", "s"),
            Argument("low", "d", "Hz"),
            Argument("high", "d", "Hz"),
        ),
        "One flag of a job: where it starts and ends, how odd it is, how often good audio is as odd, what it "
        "resembles, and in which band",
    ),
    Message(
        "/sidechop/flag/part",
        (_ID, Argument("index", "i"), Argument("start", "h", "samples"), Argument("end", "h", "samples")),
        "One part of a job that is kept",
    ),
    Message(
        "/sidechop/separate/item",
        (_ID, Argument("index", "i"), Argument("name", "s"), Argument("path", "s"), Argument("peak", "f", "dB")),
        "One file that a job wrote: which stem it holds, where it lies, how loud it gets",
    ),
    Message(
        "/sidechop/batch/item",
        (
            _ID,
            Argument("index", "i"),
            Argument("source", "s"),
            Argument("status", "s", choices=("done", "kept", "failed")),
            Argument("output", "s"),
            Argument("outputs", "i"),
            Argument("text", "s"),
        ),
        "What became of one file of a batch: the first of so many outputs, and what went wrong or is to know",
    ),
)

EVENTS: tuple[Message, ...] = (
    Message(
        "/sidechop/event/chop",
        (Argument("position", "h", "samples"), _RATE, Argument("score", "d"), Argument("kind", "s")),
        "Something begins at this place of what is being played, told as soon as it is heard",
        kind="chops",
    ),
    Message(
        "/sidechop/event/flag",
        (
            Argument("position", "h", "samples"),
            Argument("end", "h", "samples"),
            _RATE,
            Argument("score", "d"),
            Argument("p_value", "d"),
            Argument("kind", "s"),
            Argument("low", "f", "Hz"),
            Argument("high", "f", "Hz"),
        ),
        "A passage of what is being played does not belong: from where to where (so far, where it lasts), how odd it "
        "is, how often good audio is as odd, what it most resembles, and in which band; once for each passage",
        kind="flags",
    ),
    Message(
        "/sidechop/event/marker",
        (
            Argument("start", "d"),
            Argument("end", "d"),
            _UNIT,
            Argument("error", "d", "s"),
            Argument("kind", "s", choices=("chop", "flag")),
            Argument("label", "s"),
            Argument("score", "d"),
            Argument("position", "h", "samples"),
        ),
        "Where on the DAW's timeline a chop or a flag of what is being played lies, and to within how many seconds "
        "that is known; told when the DAW's playhead is known to have passed it",
        kind="markers",
    ),
    Message(
        "/sidechop/event/levels",
        (Argument("position", "h", "samples"), _RATE),
        "Falling peaks of the mix and of each output, ten times a second",
        repeated=(Argument("name", "s"), Argument("peak", "f", "dB")),
        kind="levels",
    ),
    Message(
        "/sidechop/event/statistics", (_JSON,), "What /sidechop/statistics answers, each second", kind="statistics"
    ),
    Message(
        "/sidechop/event/engine",
        (Argument("state", "s"), Argument("text", "s")),
        "The engine process is ready, lost, back, or switched to another model",
        kind="events",
    ),
    Message(
        "/sidechop/event/plugin",
        (Argument("state", "s"), Argument("name", "s"), Argument("text", "s")),
        "A plugin was found or is gone, or its engine is ready, lost, back, switched or failed",
        kind="events",
    ),
    Message(
        "/sidechop/event/audio",
        (Argument("state", "s"), Argument("text", "s")),
        "The audio is ready, lost, back, or done",
        kind="events",
    ),
)

ITEMS = frozenset(
    f"/sidechop/{item}" for item in ("chop/item", "flag/item", "flag/part", "separate/item", "batch/item")
)
"""What a job sends of its results before it is done."""

BY_ADDRESS = {message.address: message for message in (*REQUESTS, *ANSWERS, *EVENTS)}


_INTRODUCTION = f"""\
# OSC

Printed by `sidechop osc --table`; a test holds this page, the table in `bridge/osc_table.py` and the server together.

The daemon listens for UDP on 127.0.0.1:{DEFAULT_PORT}. Each request starts with an int32 id of your choosing and is
answered to the address that it came from: `/sidechop/done id …` or `/sidechop/error id text`, and for the slow ones
`/sidechop/progress id fraction text` on the way. Slow requests wait for each other; jobs run beside everything else,
report at least once a second, send `/sidechop/chop/item` for each chop (`/sidechop/flag/item` for each flag and
`/sidechop/flag/part` for each part that is kept, `/sidechop/separate/item` and `/sidechop/batch/item` for each
file), and end with `done`, whose count says how many there were. UDP may lose some; a re-roll with the same
seed sends chops again.

Types are OSC's: i int32, h int64, f float32, d float64, s string, T/F true and false. Integers pass where a number is
asked for. Bundles are unpacked and carried out on arrival, whatever their time tag; address patterns are not matched.
A datagram that is not OSC, carries no id, or is longer than 8 KiB is counted and dropped.

On any address but loopback (`--listen ADDRESS --token TOKEN`), and wherever a token is set, a client first sends
`/sidechop/authorise`. UDP is not encrypted: use it on networks that you trust. Who has the token can have any file read
and exports written wherever the daemon's user may.
"""

_EXAMPLE = """\
## The DAW's timeline

Positions of events are samples of the session. Whoever tells the daemon where the DAW's playhead is
(`/sidechop/transport`, in seconds or in quarter notes, with the tempo) has it place chops and flags on the DAW's own
timeline: subscribe to `markers`. `sidechop live --daw` does it for DAWs with an OSC of their own.

## Chops

`options` is a JSON object of the settings of `sidechop chop`, such as `{"count": 16, "mode": "beat"}`; `{}` takes them
as they are. A job keeps what was heard of the file, or of what was played, so that lock, re-roll and export answer
without listening again; the last 16 are kept. Paths are the daemon's, best absolute.

## Flags

Here `options` are the settings of `sidechop flag`, such as `{"keep": 0.7}`; `/sidechop/flag/again` takes all but
`model`. A flag's index is that of its item, as told last. What is called fine is remembered for good, for files and
live; `/sidechop/flag/fine` with `on` false takes it back.

## Stems

`options` are `model`, `stems` (a list; empty is all) and `format` (`wav` or `flac`) of `sidechop separate`, and
`queries` and `not`, lists of what to take and what to leave, in words. The files appear together under the names that
items tell, whole; each begins at the passage's first sample, `start` of the reply, and lies under it sample by sample.

## Batches

`chain` is a name that `/sidechop/batch/chains` lists, or a path; `files` a JSON array of paths, or `@` and the path of
a text file with one on each line, where they are more than a datagram holds. `options` may hold `resume`, `overwrite`,
`workers` and `patience_s`. Files that fail are items as well as those that are done; the job itself fails only where it
cannot begin. See [batch.md](batch.md).

## Example

```
sidechop osc /sidechop/stem/solo vocals 1
sidechop osc /sidechop/stem/gain drums -6
sidechop osc /sidechop/query 1 "a dog barking" "the crowd"
sidechop osc /sidechop/status
sidechop osc /sidechop/chop/recent 30 '{"count": 8}'
sidechop osc /sidechop/chop/export 1 sfz,cue-wav ~/chops
sidechop osc /sidechop/flag/file ~/take.wav 0 0 '{"keep": 0.8, "snap": "beat"}'
sidechop osc /sidechop/flag/fine 2 0 on
sidechop osc /sidechop/flag/export 2 reaper,cut ~/flags
sidechop osc /sidechop/separate/file ~/song.wav 10 40 '{"stems": ["vocals", "other"]}' ~/stems
sidechop osc /sidechop/batch/file master '["~/a.wav", "~/b.wav"]' ~/mastered '{}'
```"""


def as_markdown() -> str:
    """The whole of ``docs/osc.md``."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    yield "## Requests"
    yield ""
    yield "| address | arguments after the id | reply | meaning |"
    yield "| --- | --- | --- | --- |"
    for message in REQUESTS:
        reply = ", ".join(f"`{a}`" for a in message.reply)
        slow = " (job)" if message.job else " (slow)" if message.slow else ""
        yield f"| `{message.address}` | {_arguments(message)} | {reply} | {message.meaning}{slow} |"
    for title, messages in (("Answers", ANSWERS), ("Events, pushed to subscribers", EVENTS)):
        yield ""
        yield f"## {title}"
        yield ""
        yield "| address | arguments | meaning |"
        yield "| --- | --- | --- |"
        for message in messages:
            yield f"| `{message.address}` | {_arguments(message)} | {message.meaning} |"
    yield ""
    yield _EXAMPLE


def _arguments(message: Message) -> str:
    parts = []
    for a in message.arguments:
        about = f" ({a.expected})" if a.choices or a.high is not None else ""
        parts.append(f"`{a}`{about}")
    if message.repeated:
        parts.append("then for each " + " ".join(f"`{a}`" for a in message.repeated))
    return ", ".join(parts)
