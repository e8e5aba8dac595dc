"""Running the ReaScripts unchanged, under real Lua 5.4: defer, atexit, gfx, and the table `Api`."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lupa
from conftest import tool_is_missing
from reaper_api import Api

with lupa.allow_lua_module_loading():  # so that lua-socket of the system can be loaded
    from lupa import lua54

SCRIPTS = Path(__file__).parents[1] / "reaper_scripts"
TURN_S = 0.02
"""Between two turns; REAPER takes some 30 ms."""
SOCKETS = (
    'package.path = package.path .. ";/usr/share/lua/5.4/?.lua"\n'
    'package.cpath = package.cpath .. ";/usr/lib/x86_64-linux-gnu/lua/5.4/?.so;/usr/lib/aarch64-linux-gnu/lua/5.4/?.so"'
)
STOCK = 'package.path, package.cpath = "", ""'


class Script:
    """One script from its start until nothing is deferred any more."""

    def __init__(self, api: Api, name: str, sockets: bool = False, turn_s: float = TURN_S) -> None:
        self._turn_s = turn_s
        self._deferred: list[Callable[[], None]] = []
        self._at_exit: list[Callable[[], None]] = []
        self.options = 0
        self.lua = lua54.LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
        self.lua.execute(SOCKETS if sockets else STOCK)
        if sockets and not self.lua.eval('(pcall(require, "socket"))'):
            tool_is_missing("needs the sockets of Lua 5.4 (Debian: lua-socket)")
        reaper = api.bind(self.lua)
        reaper.defer = self._deferred.append
        reaper.atexit = self._at_exit.append
        path = api.resources / "Scripts" / "Sidechop" / f"Sidechop_{name}.lua"
        reaper.get_action_context = lambda: (True, str(path), 0, 53000, -1, -1, -1)
        reaper.set_action_options = self._set_options
        self.gfx = self.lua.table_from({"w": 0, "h": 0, "x": 0, "y": 0, "mouse_x": 0, "mouse_y": 0, "mouse_cap": 0})
        self.drawn: list[str] = []
        self.key = 0
        self._add_gfx()
        globals_ = self.lua.globals()
        globals_.reaper, globals_.gfx = reaper, self.gfx
        run = self.lua.eval("function(path) return assert(loadfile(path)) end")(str(path))
        run()
        self._end_if_done()

    def _set_options(self, flags: int) -> None:
        self.options |= flags

    def _add_gfx(self) -> None:
        def init(title: str, width: int, height: int) -> None:
            self.gfx.w, self.gfx.h = width, height

        self.gfx.init = init
        self.gfx.getchar = lambda: self.key
        self.gfx.drawstr = self.drawn.append
        self.gfx.set = lambda red, green, blue: None
        self.gfx.rect = lambda x, y, width, height: None
        self.gfx.setfont = lambda index, name, size: None
        self.gfx.update = self.gfx.quit = lambda: None

    @property
    def running(self) -> bool:
        return bool(self._deferred)

    def turn(self) -> None:
        """What REAPER does some thirty times a second."""
        now, self._deferred[:] = list(self._deferred), []
        self.drawn.clear()
        for function in now:
            function()
        self._end_if_done()

    def press(self, x: float, y: float, down: bool) -> None:
        """A turn with the mouse there, its button down or not."""
        self.gfx.mouse_x, self.gfx.mouse_y, self.gfx.mouse_cap = x, y, int(down)
        self.turn()

    def click(self, x: float, y: float) -> None:
        self.press(x, y, True)
        self.press(x, y, False)

    def _end_if_done(self) -> None:
        if not self._deferred:
            self.end()

    def end(self) -> None:
        """Also what the user's terminating it does."""
        self._deferred.clear()
        while self._at_exit:
            self._at_exit.pop(0)()

    def wait(self, until: Callable[[], Any] = lambda: False, limit_s: float = 60.0) -> None:
        """Turns, until the script ends or ``until`` holds."""
        end = time.monotonic() + limit_s
        while self.running and not until():
            assert time.monotonic() < end, "the script does not end"
            self.turn()
            time.sleep(self._turn_s)


def install(resources: Path) -> None:
    """Put the scripts where REAPER looks for them, without the command that does it for users."""
    shutil.copytree(SCRIPTS, resources / "Scripts" / "Sidechop")


def run(api: Api, name: str, sockets: bool = False, turn_s: float = TURN_S) -> Script:
    """A script from start to end."""
    script = Script(api, name, sockets, turn_s)
    script.wait()
    return script
