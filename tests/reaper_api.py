"""The table ``reaper`` of a stock REAPER, for scripts that run under a real Lua 5.4: functions as documented, on a
`Project`. What a script may not do is an error here: a pointer that is no longer valid, another count of arguments, an
unknown function or value.
"""

import inspect
import itertools
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from reaper_project import TAKE_DEFAULTS, TRACK_DEFAULTS, Item, Marker, Project, Source, Take, Track

POINTERS = {"MediaItem*": Item, "MediaItem_Take*": Take, "MediaTrack*": Track}


def command_words(line: str) -> list[str]:
    """A command line as ExecProcess splits it: at spaces outside of double quotes."""
    return [word.replace('"', "") for word in re.findall(r'(?:"[^"]*"|[^\s"])+', line)]


class Api:
    """Each public method is a function of ``reaper``. ``pointer`` and ``object`` translate for Lua.

    Attributes:
        answers: what the user will answer to GetUserInputs, in order; None is Cancel.
        messages: what was shown in message boxes.
        commands: command lines that were given to ExecProcess.
        play: whether the transport runs, and a function for where it is.
        device: of the audio device, if one is open: SRATE, BSIZE.
    """

    def __init__(self, resources: Path, project_folder: Path) -> None:
        self.project = Project()
        self.resources, self.project_folder = resources, project_folder
        self.ext: dict[tuple[str, str], str] = {}
        self.answers: list[str | None] = []
        self.asked: list[tuple[str, ...]] = []
        self.messages: list[str] = []
        self.commands: list[str] = []
        self.actions: list[int] = []
        self.toggles: dict[tuple[int, int], int] = {}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.time_selection = (0.0, 0.0)
        self.cursor = 0.0
        self.play: tuple[int, Callable[[], float]] = (0, lambda: 0.0)
        self.environment: dict[str, str] = {}
        self.device: dict[str, str] = {}
        self._objects: dict[int, Any] = {}
        self._keys: dict[int, Any] = {}
        self._lua: Any = None
        self._numbers = itertools.count(1)

    def bind(self, lua: Any) -> Any:
        """The table for a Lua that starts."""
        self._lua = lua
        self._keys = {}
        table = lua.table()
        for name, method in inspect.getmembers(_Functions(self), inspect.ismethod):
            if not name.startswith("_"):
                table[name] = method
        return table

    def pointer(self, thing: Any) -> Any:
        """The same opaque table for the same thing, as a pointer is equal to itself."""
        if thing is None:
            return None
        if id(thing) not in self._keys:
            number = next(self._numbers)
            self._objects[number] = thing
            self._keys[id(thing)] = self._lua.table_from({"pointer": number})
        return self._keys[id(thing)]

    def object(self, pointer: Any, kind: type, name: str) -> Any:
        thing = self._objects.get(pointer["pointer"]) if pointer is not None and not isinstance(pointer, int) else None
        if not isinstance(thing, kind) or not self.is_valid(thing):
            raise TypeError(f"bad argument to {name}: {kind.__name__} expected, got {thing!r}")
        return thing

    def is_valid(self, thing: Any) -> bool:
        if isinstance(thing, Track):
            return thing in self.project.state.tracks
        if isinstance(thing, Item):
            return thing in self.project.items
        if isinstance(thing, Take):
            return any(thing in item.takes for item in self.project.items)
        return True

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
            process.wait(10)


class _Functions:
    def __init__(self, api: Api) -> None:
        self._api = api

    @property
    def _project(self) -> Project:
        return self._api.project

    def _item(self, pointer: Any) -> Item:
        item: Item = self._api.object(pointer, Item, sys._getframe(1).f_code.co_name)
        return item

    def _take(self, pointer: Any) -> Take:
        take: Take = self._api.object(pointer, Take, sys._getframe(1).f_code.co_name)
        return take

    def _track(self, pointer: Any) -> Track:
        track: Track = self._api.object(pointer, Track, sys._getframe(1).f_code.co_name)
        return track

    def _source(self, pointer: Any) -> Source:
        source: Source = self._api.object(pointer, Source, sys._getframe(1).f_code.co_name)
        return source

    # The program.

    def GetResourcePath(self) -> str:
        return str(self._api.resources)

    def GetProjectPath(self) -> str:
        return str(self._api.project_folder)

    def time_precise(self) -> float:
        return time.perf_counter()

    def genGuid(self, _: str) -> str:
        return "{" + str(uuid.uuid4()).upper() + "}"

    def RecursiveCreateDirectory(self, path: str, ignored: int) -> int:
        Path(path).mkdir(parents=True, exist_ok=True)
        return 0

    def EnumerateFiles(self, path: str, index: int) -> str | None:
        if index < 0 or not os.path.isdir(path):
            return None
        names = sorted(entry.name for entry in os.scandir(path) if entry.is_file())
        return names[index] if index < len(names) else None

    def file_exists(self, path: str) -> bool:
        return os.path.isfile(path)

    def ExecProcess(self, line: str, timeout_ms: int) -> str | None:
        self._api.commands.append(line)
        assert timeout_ms in (-1, -2), "anything else waits, and REAPER with it"
        words = command_words(line)
        if shutil.which(words[0]) is None:
            return None
        environment = {**os.environ, **self._api.environment}
        quiet = subprocess.DEVNULL
        self._api.processes.append(subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet, env=environment))
        return "259"  # of a process that runs

    def GetAudioDeviceInfo(self, attribute: str, text: str) -> tuple[bool, str]:
        found = self._api.device.get(attribute)
        return found is not None, found or ""

    def HasExtState(self, section: str, key: str) -> bool:
        return (section, key) in self._api.ext

    def GetExtState(self, section: str, key: str) -> str:
        return self._api.ext.get((section, key), "")

    def SetExtState(self, section: str, key: str, value: str, persist: bool) -> None:
        self._api.ext[section, key] = value

    def GetProjExtState(self, project: int, section: str, key: str) -> tuple[int, str]:
        value = self._project.state.ext.get((section, key), "")
        return len(value), value

    def SetProjExtState(self, project: int, section: str, key: str, value: str) -> int:
        self._project.state.ext[section, key] = value
        return len(value)

    def MB(self, text: str, title: str, kind: int) -> int:
        self._api.messages.append(text)
        return 1

    def Help_Set(self, text: str, temporary: bool) -> None:
        pass

    def GetUserInputs(self, title: str, count: int, captions: str, values: str) -> tuple[bool, str]:
        assert 0 < count <= 16
        names = captions.split(",")
        assert len(names) == count + sum(name.startswith(("extrawidth=", "separator=")) for name in names)
        self._api.asked.append((title, captions, values))
        answer = self._api.answers.pop(0)
        return (False, values) if answer is None else (True, answer)

    def SetToggleCommandState(self, section: int, command: int, state: int) -> bool:
        self._api.toggles[section, command] = state
        return True

    def RefreshToolbar2(self, section: int, command: int) -> None:
        pass

    def Main_OnCommand(self, command: int, flag: int) -> None:
        self._api.actions.append(command)

    def PreventUIRefresh(self, count: int) -> None:
        pass

    def UpdateArrange(self) -> None:
        pass

    def ColorToNative(self, red: int, green: int, blue: int) -> int:
        return red | green << 8 | blue << 16

    # Transport and selection.

    def GetSet_LoopTimeRange2(
        self, project: int, setting: bool, loop: bool, start: float, end: float, seek: bool
    ) -> tuple[float, float]:
        assert not setting
        return self._api.time_selection

    def GetCursorPosition(self) -> float:
        return self._api.cursor

    def GetPlayState(self) -> int:
        return self._api.play[0]

    def GetPlayPosition2(self) -> float:
        return self._api.play[1]()

    def Master_GetPlayRate(self, project: int) -> float:
        return 1.0

    # Undo.

    def Undo_BeginBlock2(self, project: int) -> None:
        self._project.begin()

    def Undo_EndBlock2(self, project: int, name: str, flags: int) -> None:
        assert flags == -1
        self._project.end(name)

    def Undo_OnStateChangeEx2(self, project: int, name: str, flags: int, track: int) -> None:
        assert not self._project.in_block
        self._project.undo_point(name)

    # Items.

    def ValidatePtr2(self, project: int, pointer: Any, kind: str) -> bool:
        try:
            self._api.object(pointer, POINTERS[kind], "ValidatePtr2")
        except TypeError:
            return False
        return True

    def CountMediaItems(self, project: int) -> int:
        return len(self._project.items)

    def GetMediaItem(self, project: int, index: int) -> Any:
        return self._api.pointer(self._project.items[index])

    def _selected(self) -> list[Item]:
        return [item for item in self._project.items if item.values["B_UISEL"]]

    def CountSelectedMediaItems(self, project: int) -> int:
        return len(self._selected())

    def GetSelectedMediaItem(self, project: int, index: int) -> Any:
        selected = self._selected()
        return self._api.pointer(selected[index]) if index < len(selected) else None

    def GetMediaItem_Track(self, item: Any) -> Any:
        return self._api.pointer(self._project.track_of(self._item(item)))

    def GetMediaItemInfo_Value(self, item: Any, name: str) -> float:
        return float(self._item(item).values[name])

    def SetMediaItemInfo_Value(self, item: Any, name: str, value: float) -> bool:
        assert name in self._item(item).values, name
        self._item(item).values[name] = float(value)
        self._project.edited()
        return True

    def GetSetMediaItemInfo_String(self, item: Any, name: str, value: str, setting: bool) -> tuple[bool, str]:
        found = self._item(item)
        if name == "GUID":
            assert not setting
            return True, found.guid
        assert name.startswith("P_EXT:")
        if setting:
            found.ext[name] = value
            self._project.edited()
        return name in found.ext, found.ext.get(name, "")

    def SplitMediaItem(self, item: Any, position: float) -> Any:
        right = self._project.split(self._item(item), position)
        self._project.edited()
        return self._api.pointer(right)

    def DeleteTrackMediaItem(self, track: Any, item: Any) -> bool:
        self._track(track).items.remove(self._item(item))
        self._project.edited()
        return True

    def AddMediaItemToTrack(self, track: Any) -> Any:
        item = Item()
        self._track(track).items.append(item)
        self._project.edited()
        return self._api.pointer(item)

    # Takes and sources.

    def GetActiveTake(self, item: Any) -> Any:
        return self._api.pointer(self._item(item).take)

    def SetActiveTake(self, take: Any) -> None:
        wanted = self._take(take)
        item = next(item for item in self._project.items if wanted in item.takes)
        item.active = item.takes.index(wanted)
        self._project.edited()

    def AddTakeToMediaItem(self, item: Any) -> Any:
        take = Take(Source("EMPTY"))
        self._item(item).takes.append(take)
        self._project.edited()
        return self._api.pointer(take)

    def TakeIsMIDI(self, take: Any) -> bool:
        return self._take(take).source.kind == "MIDI"

    def GetMediaItemTakeInfo_Value(self, take: Any, name: str) -> float:
        return float(self._take(take).values[name])

    def SetMediaItemTakeInfo_Value(self, take: Any, name: str, value: float) -> bool:
        assert name in TAKE_DEFAULTS, name
        self._take(take).values[name] = float(value)
        self._project.edited()
        return True

    def GetSetMediaItemTakeInfo_String(self, take: Any, name: str, value: str, setting: bool) -> tuple[bool, str]:
        assert name == "P_NAME"
        if setting:
            self._take(take).name = value
            self._project.edited()
        return True, self._take(take).name

    def GetTakeNumStretchMarkers(self, take: Any) -> int:
        return len(self._take(take).stretch_markers)

    def GetNumTakeMarkers(self, take: Any) -> int:
        return len(self._take(take).markers)

    def GetTakeMarker(self, take: Any, index: int) -> tuple[float, str, int]:
        markers = self._take(take).markers
        return markers[index] if 0 <= index < len(markers) else (-1.0, "", 0)

    def SetTakeMarker(self, take: Any, index: int, name: str, position: float, color: int) -> int:
        markers = self._take(take).markers
        marker = (float(position), name, color)
        if index < 0:
            markers.append(marker)
        else:
            markers[index] = marker
        markers.sort()
        self._project.edited()
        return markers.index(marker)

    def DeleteTakeMarker(self, take: Any, index: int) -> bool:
        del self._take(take).markers[index]
        self._project.edited()
        return True

    def GetMediaItemTake_Source(self, take: Any) -> Any:
        return self._api.pointer(self._take(take).source)

    def SetMediaItemTake_Source(self, take: Any, source: Any) -> bool:
        self._take(take).source = self._source(source)
        self._project.edited()
        return True

    def PCM_Source_CreateFromFile(self, path: str) -> Any:
        return self._api.pointer(Source.of_file(Path(path)))

    def GetMediaSourceType(self, source: Any) -> str:
        return self._source(source).kind

    def GetMediaSourceFileName(self, source: Any) -> str:
        return self._source(source).path

    def GetMediaSourceLength(self, source: Any) -> tuple[float, bool]:
        return self._source(source).length, False

    def GetMediaSourceSampleRate(self, source: Any) -> int:
        return self._source(source).rate

    def GetMediaSourceNumChannels(self, source: Any) -> int:
        return self._source(source).channels

    def GetMediaSourceParent(self, source: Any) -> Any:
        return self._api.pointer(self._source(source).parent)

    def PCM_Source_GetSectionInfo(self, source: Any) -> tuple[bool, float, float, bool]:
        section = self._source(source)
        return section.parent is not None, section.offset, section.length, section.backwards

    def CreateTakeAudioAccessor(self, take: Any) -> Any:
        return self._api.pointer(_Accessor(self._project, self._take(take)))

    def GetAudioAccessorStartTime(self, accessor: Any) -> float:
        self._api.object(accessor, _Accessor, "GetAudioAccessorStartTime")
        return 0.0

    def DestroyAudioAccessor(self, accessor: Any) -> None:
        self._api.object(accessor, _Accessor, "DestroyAudioAccessor").open = False

    def GetAudioAccessorSamples(
        self, accessor: Any, rate: int, channels: int, start: float, frames: int, buffer: Any
    ) -> int:
        reader: _Accessor = self._api.object(accessor, _Accessor, "GetAudioAccessorSamples")
        buffer.samples[: frames * channels] = reader.read(rate, channels, start, frames).reshape(-1)
        return 1

    def new_array(self, size: int) -> Any:
        return _Array(self._api._lua, size)

    # Tracks.

    def CountTracks(self, project: int) -> int:
        return len(self._project.state.tracks)

    def GetTrack(self, project: int, index: int) -> Any:
        return self._api.pointer(self._project.state.tracks[index])

    def InsertTrackAtIndex(self, index: int, defaults: bool) -> None:
        self._project.state.tracks.insert(index, Track())
        self._project.edited()

    def GetMediaTrackInfo_Value(self, track: Any, name: str) -> float:
        if name == "IP_TRACKNUMBER":
            return float(self._project.state.tracks.index(self._track(track)) + 1)
        return float(self._track(track).values[name])

    def SetMediaTrackInfo_Value(self, track: Any, name: str, value: float) -> bool:
        assert name in TRACK_DEFAULTS, name
        self._track(track).values[name] = float(value)
        self._project.edited()
        return True

    def GetSetMediaTrackInfo_String(self, track: Any, name: str, value: str, setting: bool) -> tuple[bool, str]:
        found = self._track(track)
        if setting:
            assert name != "GUID"
            self._project.edited()
            if name == "P_NAME":
                found.name = value
            else:
                assert name.startswith("P_EXT:")
                found.ext[name] = value
        text = {"GUID": found.guid, "P_NAME": found.name}.get(name, found.ext.get(name, ""))
        return text != "", text

    # Markers.

    def AddProjectMarker2(
        self, project: int, region: bool, position: float, end: float, name: str, wanted: int, color: int
    ) -> int:
        assert isinstance(region, bool)
        self._project.edited()
        return self._project.add_marker(region, float(position), float(end), name, wanted, color)

    def EnumProjectMarkers3(self, project: int, index: int) -> tuple[int, bool, float, float, str, int, int]:
        markers = self._project.state.markers
        if not 0 <= index < len(markers):
            return 0, False, 0.0, 0.0, "", 0, 0
        m = markers[index]
        return index + 1, m.region, m.position, m.end, m.name, m.number, m.color

    def _marker(self, number: int, region: bool) -> Marker | None:
        markers = self._project.state.markers
        return next((m for m in markers if (m.number, m.region) == (number, region)), None)

    def DeleteProjectMarker(self, project: int, number: int, region: bool) -> bool:
        found = self._marker(number, region)
        if found:
            self._project.state.markers.remove(found)
            self._project.edited()
        return found is not None

    def SetProjectMarker4(
        self, project: int, number: int, region: bool, position: float, end: float, name: str, color: int, flags: int
    ) -> bool:
        found = self._marker(number, region)
        if found:
            found.position, found.end, found.name = float(position), float(end), name
            found.color = color or found.color
            self._project.state.markers.sort(key=lambda marker: marker.position)
            self._project.edited()
        return found is not None


class _Array:
    """A reaper.array: counted from one, with its own copy of samples."""

    def __init__(self, lua: Any, size: int) -> None:
        self._lua = lua
        self.samples = np.zeros(size)

    def clear(self) -> None:
        self.samples[:] = 0.0

    def table(self, offset: int, size: int) -> Any:
        return self._lua.table_from(self.samples[offset - 1 : offset - 1 + size].tolist())


class _Accessor:
    """What a take sounds like, from its item's beginning on: the nearest sample, at the file's own rate exactly."""

    def __init__(self, project: Project, take: Take) -> None:
        self._take = take
        self._item = next(item for item in project.items if take in item.takes)
        source = take.source
        self._start, self._length, self._backwards = 0.0, source.length, False
        while source.parent:
            self._start, self._backwards = self._start + source.offset, self._backwards ^ source.backwards
            source = source.parent
        self._audio, self._rate = soundfile.read(source.path, always_2d=True)
        self.open = True

    def read(self, rate: int, channels: int, start: float, frames: int) -> np.ndarray:
        assert self.open
        time_s = start + np.arange(frames) / rate
        values = self._take.values
        place = values["D_STARTOFFS"] + time_s * values["D_PLAYRATE"]
        heard = (time_s < self._item.length) & (place >= 0)
        if self._item.values["B_LOOPSRC"]:
            place = place % self._length
        else:
            heard &= place < self._length
        if self._backwards:
            index = np.round((self._start + self._length - place) * self._rate).astype(int) - 1
        else:
            index = np.round((self._start + place) * self._rate).astype(int)
        heard &= (index >= 0) & (index < len(self._audio))
        out = np.zeros((frames, channels))
        out[heard] = self._audio[index[heard], :channels]
        return out
