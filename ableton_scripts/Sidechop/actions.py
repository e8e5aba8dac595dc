"""What can be asked of the script: chop, flag, stems, follow. One at a time, a step each tick, one undo each.

An action is a generator that yields whenever it has to wait; what it returns is told to the user, and what it raises
too. `Actions.step` is called by Live's tick and never waits.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Generator, TypeVar

from .chops import TARGETS, Chop
from .clip import AudioClip, NoClip, selected_clip
from .cues import CannotPlace, place_cues
from .daemon_link import DaemonLink, Refused
from .follow import Follow
from .settings import CHOP_TARGETS
from .stems import Stem, place_stems, stems_folder

Result = TypeVar("Result")
Told = Callable[[bool, str], None]
"""Whether it went well, and the line for the user."""
FAILURES = (NoClip, CannotPlace, Refused)


class Actions:
    """``say`` gets lines for the user while something goes on."""

    def __init__(self, song: Any, settings: dict[str, Any], say: Callable[[str], None]) -> None:
        self._song, self._settings, self._say = song, settings, say
        self.follow = Follow(song)
        self._link = DaemonLink(settings["host"], settings["port"], settings["token"], self.follow.take)
        self._running: Generator[None, None, str] | None = None
        self._told: Told = lambda well, text: None
        self._pushed: dict[str, Callable[..., Generator[None, None, str]]] = {
            "chop": self._chop,
            "flag": self._flag,
            "stems": self._stems,
            "follow": self._follow,
        }

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._pushed)

    def start(self, name: str, arguments: list[Any], told: Told) -> None:
        """Have an action begin at the next tick. While another one runs, it is refused."""
        action = self._pushed.get(name)
        if action is None:
            told(False, "{} is no action; there is {}".format(name, ", ".join(self._pushed)))
        elif self._running is not None:
            told(False, "still at work: wait until it is done")
        else:
            self._running, self._told = action(*arguments[:1]), told

    def step(self) -> None:
        """One tick: take what came, go on with the action, tell the daemon where the playhead is."""
        self._link.look()
        self._step_action()
        if self._running is None and self.follow.cues and not self._song.is_playing:
            self._running, self._told = self._place_followed(), self._tell_only_failure
        self.follow.tell(self._link)

    def _step_action(self) -> None:
        if self._running is None:
            return
        try:
            next(self._running)
            return
        except StopIteration as done:
            well, text = True, str(done.value)
        except FAILURES as error:
            well, text = False, str(error)
        except Exception as error:  # of Live's: it must neither end the script nor go unseen
            well, text = False, f"{type(error).__name__}: {error}"
        self._running = None
        self._told(well, text)

    def close(self) -> None:
        if self._running is not None:
            self._running.close()
        self.follow.stop(self._link)
        self._link.close()

    def _chop(self, target: Any = None) -> Generator[None, None, str]:
        kind = str(target or self._settings["chops"])
        if kind not in TARGETS:
            raise NoClip("chops become {}, not {}".format(" or ".join(CHOP_TARGETS), kind))
        clip = selected_clip(self._song)
        items, rate = yield from self._job("/sidechop/chop/file", "chop", clip, -1)
        chops = [Chop(round(item[2] * clip.rate / rate), f"{item[1] + 1} {item[5]}") for item in items]
        if not chops:
            raise NoClip("nothing was found to chop at")
        return (yield from self._undoable(TARGETS[kind](self._song, clip, chops)))

    def _flag(self, _: Any = None) -> Generator[None, None, str]:
        clip = selected_clip(self._song)
        clip.places(0, self._song.tempo)  # before anything is heard: is it in the arrangement?
        items, rate = yield from self._job("/sidechop/flag/file", "flag", clip, -1)
        cues = []
        for item in items:
            if item[0] == "/sidechop/flag/item":
                frames = [round(position * clip.rate / rate) for position in item[2:4]]
                names = (f"{item[6]} {item[4]:.2f}", f"{item[6]} end")
                for frame, name in zip(frames, names):
                    cues += [(beats, name) for beats in clip.places(frame, self._song.tempo)]
        new = yield from self._undoable(place_cues(self._song, sorted(cues)))
        return f"{new} cue points"

    def _stems(self, _: Any = None) -> Generator[None, None, str]:
        clip = selected_clip(self._song)
        folder = stems_folder(self._song, clip, self._settings["stems_folder"])
        stems: list[Stem] = []
        reply = yield from self._ask(
            "/sidechop/separate/file", "separate", clip, lambda i: stems.append(Stem(i[2], i[3])), folder
        )
        if not stems:
            raise NoClip("no stem was written")
        return (yield from self._undoable(place_stems(self._song, clip, stems, int(reply[3]))))

    def _follow(self, on: Any = None) -> Generator[None, None, str]:
        wanted = (not self.follow.on) if on is None else on not in (0, False, "0", "off")
        if not wanted:
            self.follow.stop(self._link)
            return "follows no longer"
        yield from self._link.request("/sidechop/subscribe", "markers", self.follow.LEASE_S)
        self.follow.on = True
        return "chops and flags of what is played become cue points when Live stops"

    def _place_followed(self) -> Generator[None, None, str]:
        cues, self.follow.cues = self.follow.cues, []
        new = yield from self._undoable(place_cues(self._song, sorted(cues)))
        return f"{new} cue points"

    def _tell_only_failure(self, well: bool, text: str) -> None:
        self._say(text)

    def _job(self, address: str, name: str, clip: AudioClip, rate_at: int) -> Generator[None, None, Any]:
        items: list[list[Any]] = []
        reply = yield from self._ask(address, name, clip, items.append)
        return items, float(reply[rate_at])

    def _ask(
        self, address: str, name: str, clip: AudioClip, on_item: Callable[[list], None], *more: Any
    ) -> Generator[None, None, list]:
        start, end = (frame / clip.rate for frame in clip.passage())
        options = json.dumps(self._settings[name])
        progress = lambda part, text: self._say(f"{part:.0%} {text}")  # noqa: E731
        reply: list[Any] = yield from self._link.request(
            address, clip.path, start, end, options, *more, on_item=on_item, on_progress=progress
        )
        return reply

    def _undoable(self, placing: Generator[None, None, Result]) -> Generator[None, None, Result]:
        self._song.begin_undo_step()
        try:
            return (yield from placing)
        finally:
            self._song.end_undo_step()
