"""A REAPER project as ReaScripts see it: tracks, items, takes, sources, markers, and undo.

Written after the documented API (https://www.reaper.fm/sdk/reascript/reascripthelp.html). What matters to scripts is
kept: values are doubles under REAPER's own names; splitting moves a take's offset by position times play rate; markers
are enumerated in the order of time; an undo puts back the whole state, and what pointed into the other is invalid.
"""

import copy
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

AUTO_FADE_S = 0.01
"""What a split leaves on both sides, as REAPER's preferences have it at first."""
ITEM_DEFAULTS = {
    "B_MUTE": 0.0, "B_LOOPSRC": 1.0, "B_UISEL": 0.0, "D_VOL": 1.0, "D_POSITION": 0.0, "D_LENGTH": 0.0,
    "D_FADEINLEN": 0.0, "D_FADEOUTLEN": 0.0, "D_FADEINLEN_AUTO": -1.0, "D_FADEOUTLEN_AUTO": -1.0, "D_FADEINDIR": 0.0,
    "D_FADEOUTDIR": 0.0, "C_FADEINSHAPE": 0.0, "C_FADEOUTSHAPE": 0.0, "C_LOCK": 0.0, "I_CUSTOMCOLOR": 0.0,
}  # fmt: skip
TAKE_DEFAULTS = {
    "D_STARTOFFS": 0.0, "D_VOL": 1.0, "D_PAN": 0.0, "D_PANLAW": -1.0, "D_PLAYRATE": 1.0, "D_PITCH": 0.0,
    "B_PPITCH": 1.0, "I_PITCHMODE": -1.0, "I_CUSTOMCOLOR": 0.0,
}  # fmt: skip
TRACK_DEFAULTS = {"I_FOLDERDEPTH": 0.0, "I_CUSTOMCOLOR": 0.0, "D_VOL": 1.0, "B_MUTE": 0.0}


def guid() -> str:
    return "{" + str(uuid.uuid4()).upper() + "}"


@dataclass(frozen=True)
class Source:
    """A PCM_source. A section has a ``parent`` and shows ``length`` seconds of it from ``offset`` on."""

    kind: str
    path: str = ""
    length: float = 0.0
    rate: int = 0
    channels: int = 0
    parent: "Source | None" = None
    offset: float = 0.0
    backwards: bool = False

    def __deepcopy__(self, _: object) -> "Source":
        return self

    @classmethod
    def of_file(cls, path: Path) -> "Source":
        info = soundfile.info(path)
        kind = {"FLAC": "FLAC", "OGG": "VORBIS", "MP3": "MP3"}.get(info.format, "WAVE")
        return cls(kind, str(path), info.frames / info.samplerate, info.samplerate, info.channels)

    def section(self, offset: float, length: float, backwards: bool = False) -> "Source":
        return Source("SECTION", "", length, self.rate, self.channels, self, offset, backwards)


@dataclass(eq=False)
class Take:
    source: Source
    name: str = ""
    values: dict[str, float] = field(default_factory=lambda: dict(TAKE_DEFAULTS))
    markers: list[tuple[float, str, int]] = field(default_factory=list)
    stretch_markers: list[tuple[float, float]] = field(default_factory=list)

    def moved(self, seconds: float) -> "Take":
        """A copy that begins so many seconds of the timeline later."""
        values = dict(self.values)
        values["D_STARTOFFS"] += seconds * values["D_PLAYRATE"]
        return Take(self.source, self.name, values, list(self.markers), list(self.stretch_markers))


@dataclass(eq=False)
class Item:
    takes: list[Take] = field(default_factory=list)
    active: int = 0
    values: dict[str, float] = field(default_factory=lambda: dict(ITEM_DEFAULTS))
    guid: str = field(default_factory=guid)
    ext: dict[str, str] = field(default_factory=dict)

    @property
    def start(self) -> float:
        return self.values["D_POSITION"]

    @property
    def length(self) -> float:
        return self.values["D_LENGTH"]

    @property
    def end(self) -> float:
        return self.start + self.length

    @property
    def take(self) -> Take | None:
        return self.takes[self.active] if self.takes else None


@dataclass(eq=False)
class Track:
    name: str = ""
    items: list[Item] = field(default_factory=list)
    values: dict[str, float] = field(default_factory=lambda: dict(TRACK_DEFAULTS))
    ext: dict[str, str] = field(default_factory=dict)
    guid: str = field(default_factory=guid)


@dataclass(eq=False)
class Marker:
    number: int
    region: bool
    position: float
    end: float
    name: str
    color: int


@dataclass(eq=False)
class State:
    """Everything that undo puts back."""

    tracks: list[Track] = field(default_factory=list)
    markers: list[Marker] = field(default_factory=list)
    ext: dict[tuple[str, str], str] = field(default_factory=dict)


class Project:
    """A state, and how it got there."""

    def __init__(self) -> None:
        self.state = State()
        self.undo_steps: list[tuple[str, State]] = []
        self._last = State()
        self._depth = 0
        self.edits_outside = 0
        """Changes that no undo block was open for."""

    def begin(self) -> None:
        self._depth += 1

    def end(self, name: str) -> None:
        assert self._depth > 0, "Undo_EndBlock without a beginning"
        self._depth -= 1
        if self._depth == 0:
            self.undo_point(name)

    def undo_point(self, name: str) -> None:
        self.undo_steps.append((name, self._last))
        self._last = copy.deepcopy(self.state)

    def undo(self) -> str:
        """Take the last step back; everything that pointed into the state is invalid then."""
        name, self.state = self.undo_steps.pop()
        self._last = copy.deepcopy(self.state)
        return name

    @property
    def in_block(self) -> bool:
        return self._depth > 0

    def edited(self) -> None:
        if not self._depth:
            self.edits_outside += 1

    def settle(self) -> None:
        """What was set up so far is where undo ends."""
        self.undo_steps.clear()
        self._last = copy.deepcopy(self.state)
        self.edits_outside = 0

    @property
    def items(self) -> list[Item]:
        return [item for track in self.state.tracks for item in track.items]

    def add_track(self, name: str = "") -> Track:
        track = Track(name)
        self.state.tracks.append(track)
        return track

    def add_item(
        self, track: Track, source: Source | Path, position: float, length: float, offset: float = 0.0,
        rate: float = 1.0, loops: bool = True, selected: bool = True,
    ) -> Item:  # fmt: skip
        source = Source.of_file(source) if isinstance(source, Path) else source
        root = source
        while root.parent:
            root = root.parent
        take = Take(source, Path(root.path).stem)
        take.values |= {"D_STARTOFFS": offset, "D_PLAYRATE": rate}
        item = Item([take])
        item.values |= {"D_POSITION": position, "D_LENGTH": length, "B_LOOPSRC": float(loops)}
        item.values["B_UISEL"] = float(selected)
        track.items.append(item)
        return item

    def track_of(self, item: Item) -> Track:
        return next(track for track in self.state.tracks if item in track.items)

    def split(self, item: Item, position: float) -> Item | None:
        if not item.start < position < item.end:
            return None
        left = position - item.start
        right = Item([take.moved(left) for take in item.takes], item.active, dict(item.values), ext=dict(item.ext))
        right.values |= {"D_POSITION": position, "D_LENGTH": item.length - left, "D_FADEINLEN_AUTO": AUTO_FADE_S}
        right.values["D_FADEINLEN"] = 0.0
        item.values |= {"D_LENGTH": left, "D_FADEOUTLEN_AUTO": AUTO_FADE_S, "D_FADEOUTLEN": 0.0}
        track = self.track_of(item)
        track.items.insert(track.items.index(item) + 1, right)
        return right

    def add_marker(self, region: bool, position: float, end: float, name: str, wanted: int, color: int) -> int:
        used = {marker.number for marker in self.state.markers if marker.region == region}
        number = wanted if wanted >= 0 and (wanted not in used or not region) else max(used, default=0) + 1
        self.state.markers.append(Marker(number, region, position, end if region else 0.0, name, color))
        self.state.markers.sort(key=lambda marker: marker.position)
        return number
