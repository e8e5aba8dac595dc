"""A real Ardour without a screen or a sound card: ``ardour7-lua`` on the dummy backend, with OSC switched on.

The session is Ardour's own; what its Lua cannot do without an editor, a region on a track and the OSC surface, is
written into the session's file before it is loaded.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
import psutil
import soundfile
from numpy.typing import NDArray

from bridge.daws.ardour import Ardour
from bridge.daws.ardour_session import SUPERCLOCKS, ArdourSession, read_session
from bridge.daws.daw import DawError

LUA = "ardour7-lua"
OSC_PORTS = range(3819, 3840)
"""Ardour takes the first one that is free."""
START_S = 12.0
_ATTEMPTS = 4
STOP_S = 20.0
_ENGINE = 'AudioEngine:set_backend("None (Dummy)", "Unit-Test", "")\n'
_CREATE = (
    _ENGINE
    + """
local session = create_session("{folder}", "{name}", {rate})
assert(session)
session:new_audio_track({channels}, 2, nil, 1, "take", ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal, true)
session:save_state("")
close_session()
quit()
"""
)
_RUN = (
    _ENGINE
    + """
local session = load_session("{folder}", "{name}")
assert(session)
local function there(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end
io.open("{folder}/loaded", "w"):close()
while there("{folder}/running") do
  ARDOUR.LuaAPI.usleep(20000)
  if there("{folder}/do.lua") then
    Session = session
    dofile("{folder}/do.lua")
    os.remove("{folder}/do.lua")
  end
end
session:save_state("")
close_session()
quit()
"""
)


def missing_tool() -> str:
    """What is not installed, as a hint; empty when all is there."""
    return "" if shutil.which(LUA) else "ardour7-lua is not installed (apt-get install --no-install-recommends ardour)"


class Clip(NamedTuple):
    """A piece of the audio on the track, in samples."""

    position: int
    start: int
    length: int


class ArdourHost:
    """One session with one track, in a folder of its own."""

    def __init__(self, folder: Path, audio: NDArray[np.float32], rate: int, clips: Sequence[Clip]) -> None:
        """``audio (channels, samples)`` lies in the session as an imported file; ``clips`` of it lie on the track."""
        self._home = folder / "home"
        self._home.mkdir(parents=True)
        self._folder, self._name, self._rate = folder / "session", "session", rate
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "ardour.log"
        self._lua(_CREATE, channels=audio.shape[0]).wait(60)
        self.file = self._folder / f"{self._name}.ardour"
        self.audio = self._write_audio(audio)
        self._edit(audio.shape, clips)

    def start(self) -> int:
        """Load the session; returns the OSC port. A start that hangs, as one of many does, is tried again.

        Raises:
            RuntimeError: it does not come up; with what it said.
        """
        for _ in range(_ATTEMPTS):
            self._running.touch()
            self._loaded.unlink(missing_ok=True)
            self._process = self._lua(_RUN)
            if port := self._port(self._process):
                return port
            self._process.kill()
            self.stop()
        raise RuntimeError(f"Ardour did not come up:\n{self._log.read_text(errors='replace')[-2000:]}")

    def _port(self, process: subprocess.Popen[bytes]) -> int | None:
        end = time.monotonic() + START_S
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.05)
            if not self._loaded.exists():  # asked before that, it may never answer
                continue
            with contextlib.suppress(psutil.Error):
                for connection in psutil.Process(process.pid).net_connections("udp"):
                    port = int(connection.laddr.port)
                    if port in OSC_PORTS and _answers(port):
                        return port
        return None

    def stop(self) -> None:
        """Save, close and wait."""
        self._running.unlink(missing_ok=True)
        if self._process is not None:
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def run_lua(self, script: str) -> None:
        """Have the running Ardour run it, as an action script sees it, and wait until it has.

        Raises:
            RuntimeError: it did not; with what Ardour said.
        """
        aside, place = self._folder / "do.lua.part", self._folder / "do.lua"
        aside.write_text(script)
        aside.replace(place)
        end = time.monotonic() + STOP_S
        while place.exists():
            if time.monotonic() > end:
                raise RuntimeError(self._log.read_text(errors="replace")[-2000:])
            time.sleep(0.01)

    def saved(self) -> ArdourSession:
        """The session as it was saved last."""
        return read_session(self.file)

    @property
    def _loaded(self) -> Path:
        return self._folder / "loaded"

    @property
    def _running(self) -> Path:
        return self._folder / "running"

    def _lua(self, script: str, **more: object) -> subprocess.Popen[bytes]:
        path = self._home / "script.lua"
        path.write_text(script.format(folder=self._folder, name=self._name, rate=self._rate, **more))
        environment = {**os.environ, "HOME": str(self._home), "XDG_CONFIG_HOME": str(self._home / ".config")}
        with self._log.open("ab") as log:
            return subprocess.Popen([LUA, str(path)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    def _write_audio(self, audio: NDArray[np.float32]) -> list[Path]:
        """A file a channel, as Ardour imports."""
        folder = self._folder / "interchange" / self._name / "audiofiles"
        names = ["take.wav"] if len(audio) == 1 else ["take%L.wav", "take%R.wav"]
        for name, channel in zip(names, audio, strict=True):
            soundfile.write(folder / name, channel, self._rate, subtype="FLOAT")
        return [folder / name for name in names]

    def _edit(self, shape: tuple[int, ...], clips: Sequence[Clip]) -> None:
        tree = ElementTree.parse(self.file)
        root = tree.getroot()
        channels, samples = shape
        for i, path in enumerate(self.audio):
            attributes = {"name": path.name, "type": "audio", "flags": "", "channel": "0", "origin": "take.wav"}
            SubElement(_one(root, "Sources"), "Source", {**attributes, "id": str(9000 + i), "gain": "1", "take-id": ""})
        whole = Clip(0, 0, samples)
        SubElement(_one(root, "Regions"), "Region", self._region(9100, "take", whole, channels, True))
        playlist = _one(root, "Playlists/Playlist")
        for i, clip in enumerate(clips, 1):
            SubElement(playlist, "Region", self._region(9100 + i, f"take.{i}", clip, channels, False))
        for protocol in root.findall("ControlProtocols/Protocol"):
            if "(OSC)" in protocol.get("name", ""):
                protocol.attrib |= {"active": "1", "address-only": "0", "remote-port": "9000", "banksize": "0"}
                protocol.attrib |= {"striptypes": "159", "feedback": "0", "gainmode": "0"}
        root.set("id-counter", "10000")
        tree.write(self.file, "UTF-8", xml_declaration=True)

    def _region(self, id: int, name: str, clip: Clip, channels: int, whole: bool) -> dict[str, str]:
        start, length, position = (self._time(samples) for samples in (clip.start, clip.length, clip.position))
        region = {"name": name, "id": str(id), "type": "audio", "first-edit": "nothing", "channels": str(channels)}
        region |= {"start": start, "length": f"{length}@{position}", "sync-position": "a0"}
        region |= {"ancestral-start": "a0", "ancestral-length": "a0@a0", "stretch": "1", "shift": "1"}
        region |= {"whole-file": str(int(whole)), "opaque": "1", "scale-amplitude": "1", "layering-index": "0"}
        off = ("muted", "locked", "video-locked", "automatic", "import", "external", "sync-marked", "left-of-split")
        off += ("right-of-split", "hidden", "position-locked", "valid-transients", "envelope-active")
        off += ("default-fade-in", "default-fade-out", "fade-in-active", "fade-out-active")
        region |= dict.fromkeys(off, "0")
        for channel in range(channels):
            region |= {f"source-{channel}": str(9000 + channel), f"master-source-{channel}": str(9000 + channel)}
        return region

    def _time(self, samples: int) -> str:
        superclocks, rest = divmod(samples * SUPERCLOCKS, self._rate)
        assert not rest
        return f"a{superclocks}"


def _answers(port: int) -> bool:
    try:
        Ardour(port=port).close()
    except DawError:
        return False
    return True


@contextlib.contextmanager
def running(host: ArdourHost) -> Iterator[int]:
    """It runs for the length of a block; its OSC port."""
    port = host.start()
    try:
        yield port
    finally:
        host.stop()


def _one(root: Element, path: str) -> Element:
    found = root.find(path)
    assert found is not None, path
    return found
