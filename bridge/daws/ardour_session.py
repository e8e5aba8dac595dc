"""An Ardour session file, as far as markers need it: the rate, which file lies where on the timeline, and markers.

Times are ``a`` and a number of superclocks, 282,240,000 a second, or ``b`` and a number of ticks, 1,920 a quarter
note, where something is glued to bars and beats; a length is followed by ``@`` and its position. A source's name is a
path, or a file below ``interchange``; a stereo file that was imported is two, ``%L`` and ``%R``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from streaming.errors import RequestError

SUPERCLOCKS = 282_240_000


class Region(NamedTuple):
    """A piece of a file on the timeline. Samples at the session's rate; ``start`` is where in the file it begins."""

    name: str
    track: str
    position: int
    start: int
    length: int
    files: tuple[Path, ...]


class ArdourSession(NamedTuple):
    """``markers`` are samples and names. ``skipped`` regions are glued to beats: where they lie hangs on the tempo."""

    path: Path
    rate: int
    regions: tuple[Region, ...]
    markers: tuple[tuple[int, str], ...]
    skipped: int

    def regions_of(self, file: Path) -> list[Region]:
        """Where a file is heard, in the order of the timeline: the file itself, or one imported from it.

        Raises:
            RequestError: nowhere.
        """
        found = [region for region in self.regions if any(_same(file, path) for path in region.files)]
        found = found or [region for region in self.regions if any(_imported(file, path) for path in region.files)]
        if not found:
            names = sorted({path.name for region in self.regions for path in region.files})
            there = ", ".join(names[:8]) or "none"
            raise RequestError(f"{self.path}: no region plays {file.name}; there is {there} (save the session first)")
        return sorted(found, key=lambda region: region.position)


def read_session(path: Path) -> ArdourSession:
    """Raises `RequestError`: it cannot be read, or is no Ardour session of version 7 or later."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise RequestError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    try:
        if root.tag != "Session" or int(root.get("version", "0")) < 7000:
            raise RequestError(f"{path}: is no session of Ardour 7 or later")
        rate = int(root.attrib["sample-rate"])
        files = {source.attrib["id"]: _file(path.parent, source) for source in root.findall("Sources/Source")}
        regions, skipped = [], 0
        for track, element in _placed(root):
            if element.attrib["length"].startswith("a") and element.attrib["length"].partition("@")[2].startswith("a"):
                regions.append(_region(track, element, files, rate))
            else:
                skipped += 1
        marks = root.findall("Locations/Location")
        markers = tuple(
            (_samples(mark.attrib["start"], rate), mark.get("name", ""))
            for mark in marks
            if "IsMark" in mark.get("flags", "").split(",") and mark.attrib["start"].startswith("a")
        )
    except (KeyError, ValueError) as error:
        raise RequestError(f"{path}: is no session that can be understood ({error})") from None
    return ArdourSession(path, rate, tuple(regions), markers, skipped)


def _placed(root: Element) -> Iterator[tuple[str, Element]]:
    """The audio regions of the playlists that tracks play."""
    playing = {
        route.get("audio-playlist"): route.get("name", "") for route in root.findall("Routes/Route[@audio-playlist]")
    }
    for playlist in root.findall("Playlists/Playlist[@type='audio']"):
        if playlist.get("id") in playing:
            for region in playlist.findall("Region"):
                yield playing[playlist.get("id")], region


def _region(track: str, element: Element, files: dict[str, Path], rate: int) -> Region:
    length, _, position = element.attrib["length"].partition("@")
    sources = tuple(
        files[element.attrib[f"source-{channel}"]]
        for channel in range(int(element.get("channels", "1")))
        if element.get(f"source-{channel}") in files
    )
    at, start, samples = (_samples(time, rate) for time in (position, element.attrib["start"], length))
    return Region(element.get("name", ""), track, at, start, samples, sources)


def _file(folder: Path, source: Element) -> Path:
    name = Path(source.attrib["name"])
    if name.is_absolute():
        return name
    inside = sorted(folder.glob(f"interchange/*/audiofiles/{_escaped(name.name)}"))
    return inside[0] if inside else folder / name


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "[]*?" else letter for letter in name)


def _samples(time: str, rate: int) -> int:
    if not time.startswith("a"):
        raise ValueError(f"{time[:20]!r} is no time")
    return round(int(time[1:]) * rate / SUPERCLOCKS)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _imported(file: Path, path: Path) -> bool:
    """An import keeps the name and adds the channel."""
    return path.stem.removesuffix("%L").removesuffix("%R") == file.stem
