"""Ableton Live through AbletonOSC, where that is installed: cue points and the playhead, in beats.

AbletonOSC listens on port 11000 and always answers to 11001, so one program at a time can talk with it. It looks at
its socket about ten times a second, and so each question takes up to a tenth of a second. Its traps, and the way round:

- ``cue_point/add_or_delete`` toggles: where a cue is already, nothing is sent.
- A new ``current_song_time`` is in force a tick later: it is read back before the cue is set.
- Cues are listed in the order they were made, or of the timeline: they are found by their time.
- On Live 11 their names cannot be written: they keep Live's own numbers.

https://github.com/ideoforms/AbletonOSC
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from ..transport import Playhead, float32_error_s
from .daw import DawError, Marker
from .osc_link import OscLink

PORT = 11000
REPLY_PORT = 11001
SETTLE_S = 2.0
TICK_S = 0.1
"""How often Live looks; how old the time is that it then tells is not told."""
NEAR_BEATS = 1e-3
"""Times come back as float32: after 16 hours at 120 beats a minute they are still this near."""


class AbletonOsc:
    """Raises `DawError`: no AbletonOSC there, or its reply port is taken."""

    name = "Ableton Live"

    def __init__(self, host: str = "127.0.0.1", port: int = PORT, reply_port: int | None = None) -> None:
        self._link = OscLink("AbletonOSC", host, port, reply_port or REPLY_PORT)
        try:
            self._link.ask("/live/test")
        except DawError:
            self.close()
            raise

    def playhead(self) -> Playhead:
        """In beats. Raises `DawError`."""
        tempo = self._number("tempo")
        playing = bool(self._number("is_playing"))
        beats = self._number("current_song_time")
        return Playhead(beats, playing, "beats", tempo, error_s=float32_error_s(beats) * 60 / tempo + TICK_S)

    def cues(self) -> list[tuple[str, float]]:
        """Names and beats, in Live's order. Raises `DawError`."""
        told = self._link.ask("/live/song/get/cue_points")
        pairs = list(zip(told[::2], told[1::2], strict=False))
        if len(told) % 2 or not all(isinstance(time, int | float) for _, time in pairs):
            raise DawError(f"AbletonOSC listed cue points as {told!r:.60}, expected names and times")
        return [(str(name), float(time)) for name, time in pairs]

    def takes(self, marker: Marker) -> bool:
        """Seconds or beats, from the beginning on."""
        return marker.position >= 0

    def place(self, markers: Sequence[Marker]) -> int:
        """As `Daw`. It takes about half a second a marker; seconds become beats by the tempo as it is now."""
        head = self.playhead()
        if head.rolling:
            raise DawError("Live is playing, and a cue point needs its playhead: stop it first")
        if wrong := [marker.name for marker in markers if not self.takes(marker)]:
            raise DawError(f"Live's timeline begins at 0, and {wrong[0]!r} lies before it")
        new = 0
        try:
            for marker in markers:
                beats = marker.position * (1.0 if marker.unit == "beats" else head.tempo / 60.0)
                if self._cue_at(beats) is None:
                    self._add(beats, marker.name)
                    new += 1
        finally:
            with contextlib.suppress(DawError):
                self._move(head.position)
        return new

    def close(self) -> None:
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _add(self, beats: float, name: str) -> None:
        self._move(beats)
        self._link.send("/live/song/cue_point/add_or_delete")
        self._until(lambda: self._cue_at(beats) is not None, "set the cue point; it may be too old for that")
        index = self._cue_at(beats)
        if index is not None:
            self._link.send("/live/song/cue_point/set/name", index, name)

    def _move(self, beats: float) -> None:
        """The playhead, and see it there. Raises `DawError`."""
        self._link.send("/live/song/set/current_song_time", beats)
        self._until(lambda: abs(self._number("current_song_time") - beats) < NEAR_BEATS, "moved its playhead")

    def _cue_at(self, beats: float) -> int | None:
        return next((i for i, (_, time) in enumerate(self.cues()) if abs(time - beats) < NEAR_BEATS), None)

    def _number(self, name: str) -> float:
        return float(self._link.number(f"/live/song/get/{name}"))

    @staticmethod
    def _until(done: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + SETTLE_S
        while not done():
            if time.monotonic() > end:
                raise DawError(f"AbletonOSC has not {what}")
