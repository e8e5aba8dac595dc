"""Live's playhead for the daemon, ten times a second, and what it places on the arrangement meanwhile.

While Live plays, a cue point cannot be set without moving its playhead; so they are kept until it stops.
"""

from __future__ import annotations

from typing import Any

from .daemon_link import DaemonLink

KEPT_MAX = 1000


class Follow:
    """``cues`` are beats and names that wait for Live to stop."""

    LEASE_S = 30.0
    RENEW_TICKS = 100
    IDLE_TICKS = 5
    """While nothing moves, so often is enough."""

    def __init__(self, song: Any) -> None:
        self._song = song
        self.on = False
        self.cues: list[tuple[float, str]] = []
        self._ticks = 0

    def take(self, address: str, values: list[Any]) -> None:
        """An event of the daemon's."""
        if not self.on or address != "/sidechop/event/marker" or values[2] != "beats":
            return
        start, end, _, _, kind, label, score = values[:7]
        if kind == "chop":
            self.cues.append((start, str(label)))
        else:
            self.cues += [(start, f"{label} {score:.2f}"), (end, f"{label} end")]
        del self.cues[:-KEPT_MAX]

    def tell(self, link: DaemonLink) -> None:
        """Each tick."""
        if not self.on:
            return
        song = self._song
        self._ticks += 1
        if song.is_playing or self._ticks % self.IDLE_TICKS == 1:
            loop = (song.loop_start, song.loop_start + song.loop_length) if song.loop else (0.0, 0.0)
            where = (float(song.current_song_time), "beats", bool(song.is_playing), float(song.tempo))
            link.tell("/sidechop/transport", *where, float(loop[0]), float(loop[1]))
        if self._ticks % self.RENEW_TICKS == 0:
            link.tell("/sidechop/subscribe", "markers", self.LEASE_S)

    def stop(self, link: DaemonLink) -> None:
        if self.on:
            link.tell("/sidechop/unsubscribe", "markers")
        self.on = False
