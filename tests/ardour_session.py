"""An Ardour session with one stereo file on one track and the plugin on it, made by Ardour itself, rendered by Ardour.

Ardour's scripts can make tracks and plugins but import no file without its window, so the region is written into the
session file: positions there are superclock ticks, 282,240,000 a second.
"""

import os
import shutil
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

TICKS = 282_240_000
NAME = "song"
TIMEOUT_S = 120.0
EXPORTS, EXPORT_S = 3, 40.0
"""To try before a hang counts: Ardour 7.3 deadlocks at times as it begins one (`Butler::wait_until_finished`)."""
_MAKE = """
assert(AudioEngine:set_backend("None (Dummy)", "Unit-Test", ""))
local session = assert(create_session("{folder}", "{name}", {rate}))
for i = 1, {tracks} do
    local track = session:new_audio_track(2, 2, nil, 1, "track" .. i, ARDOUR.PresentationInfo.max_order,
                                          ARDOUR.TrackMode.Normal, true):front()
    track:set_strict_io(true)
    local plugin = ARDOUR.LuaAPI.new_plugin(session, "urn:sidechop:plugin", ARDOUR.PluginType.LV2, "")
    assert(not plugin:isnil(), "Ardour does not find the plugin")
    assert(track:add_processor_by_index(plugin, 0, nil, true) == 0)
    for _, change in ipairs({{ {changes} }}) do
        assert(ARDOUR.LuaAPI.set_processor_param(plugin, change[1], change[2]))
    end
end
session:save_state("", false, false, false, false, false)
sleep(1)
close_session()
quit()
"""


class ArdourSession:
    """In ``folder``; plugins are looked for in ``plugins`` (an ``.lv2`` folder)."""

    def __init__(self, folder: Path, plugins: Path, rate: int) -> None:
        self._folder, self._rate = folder / NAME, rate
        home = folder / "home"
        home.mkdir()
        self._environment = {
            **os.environ, "HOME": str(home), "LV2_PATH": f"{plugins}:/usr/lib/lv2",
            # No SIMD: with it Ardour 7.3's exporter, as the heap lies, writes past its buffer, on a track without any
            # plugin too ("double free or corruption" in ~PortExportChannel).
            "ARDOUR_FPU_FLAGS": "0",
        }  # fmt: skip

    def make(self, audio: np.ndarray, changes: dict[int, float], tracks: int = 1) -> None:
        """``audio (2, n)`` on every track, each with a plugin whose parameters (by number) are set to ``changes``."""
        script = self._folder.parent / "make.lua"
        settings = ", ".join(f"{{{number}, {value}}}" for number, value in changes.items())
        script.write_text(
            _MAKE.format(folder=self._folder, name=NAME, rate=self._rate, changes=settings, tracks=tracks)
        )
        self._run("ardour7-lua", str(script))
        self._place(audio)

    def export(self, watch: Callable[[], None] = lambda: None) -> np.ndarray:
        """The master's output from the session's start on, ``(2, n)``, as Ardour renders it (it freewheels).

        ``watch`` is called again and again meanwhile.
        """
        out = self._folder.parent / "export.wav"
        command = ["ardour7-export", "--bitdepth", "float", "--output", str(out), str(self._folder), NAME]
        for left in reversed(range(EXPORTS)):
            try:
                self._run(*command, watch=watch, timeout_s=EXPORT_S)
                break
            except TimeoutError:
                if not left:
                    raise
        audio, rate = soundfile.read(out, dtype="float32", always_2d=True)
        assert rate == self._rate
        return np.ascontiguousarray(audio.T)

    def _run(self, *command: str, watch: Callable[[], None] = lambda: None, timeout_s: float = TIMEOUT_S) -> None:
        log = self._folder.parent / "ardour.log"
        end = time.monotonic() + timeout_s
        with (
            log.open("w") as words,
            subprocess.Popen(command, env=self._environment, stdout=words, stderr=words) as run,
        ):
            try:
                while run.poll() is None:
                    if time.monotonic() > end:
                        raise TimeoutError(f"{command[0]} did not end: {log.read_text()[-2000:]}")
                    watch()
                    time.sleep(0.002)
            finally:
                run.kill()
        assert run.returncode == 0, log.read_text()[-2000:]

    def _place(self, audio: np.ndarray) -> None:
        sounds = self._folder / "interchange" / NAME / "audiofiles"
        sounds.mkdir(parents=True, exist_ok=True)
        soundfile.write(sounds / "in.wav", audio.T, self._rate, subtype="FLOAT")
        path = self._folder / f"{NAME}.ardour"
        tree = ET.parse(path)
        root = tree.getroot()
        number = int(root.get("id-counter", "0")) + 100
        sources, playlists, locations = (root.find(name) for name in ("Sources", "Playlists", "Locations"))
        assert sources is not None
        assert playlists is not None
        assert locations is not None
        for channel in range(2):
            source = {"name": "in.wav", "type": "audio", "flags": "", "id": str(number + channel), "gain": "1"}
            ET.SubElement(sources, "Source", {**source, "channel": str(channel), "origin": "in.wav"})
        ticks = round(audio.shape[1] * TICKS / self._rate)
        for i, playlist in enumerate(playlists):
            region = {
                "name": "in", "type": "audio", "channels": "2", "id": str(number + 10 + i), "start": "a0",
                "length": f"a{ticks}@a0", "source-0": str(number), "source-1": str(number + 1),
                "master-source-0": str(number), "master-source-1": str(number + 1), "opaque": "1", "muted": "0",
                "fade-in-active": "0", "fade-out-active": "0", "default-fade-in": "0", "default-fade-out": "0",
                "scale-amplitude": "1", "sync-position": "a0", "whole-file": "0", "first-edit": "nothing",
            }  # fmt: skip
            ET.SubElement(playlist, "Region", region)
        session = {"id": str(number + 50), "name": "session", "start": "a0", "end": f"a{ticks}"}
        ET.SubElement(locations, "Location", {**session, "flags": "IsSessionRange", "locked": "0"})
        root.set("id-counter", str(number + 100))
        tree.write(path, encoding="UTF-8", xml_declaration=True)


def missing_tool() -> str:
    """What is not installed, as a hint; empty when all is there."""
    for tool in ("ardour7-lua", "ardour7-export"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed (apt-get install ardour)"
    return ""
