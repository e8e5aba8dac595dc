"""In place of an audio process: a daemon whose only audio is that of the DAW's plugins."""

from collections.abc import Callable

from .audio_supervisor import Event


class NoAudio:
    """As `AudioProcess`: there at once, alive until it is stopped."""

    pid: int | None = None

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self.latency: dict[str, int] = {}
        self._on_event = on_event
        self.alive = True

    def start(self) -> None:
        self._on_event({"event": "ready", "text": "waiting for plugins"})

    def stop(self) -> None:
        """Safe to call twice."""
        self.alive = False
