"""What the audio process says to its parent, one JSON object a line."""

import json
import os
from typing import Any, Protocol

from streaming.host import LaneHost


class Report(Protocol):
    """Takes an event's name and its values."""

    def __call__(self, event: str, **values: Any) -> None: ...


class Reporter:
    """Writes events to what is standard output now. A parent that is gone is no reason to fail.

    A process started anew after a loss (``resume``) is not ``ready`` but ``back``.
    """

    def __init__(self, resume: bool) -> None:
        self._resume = resume
        self._file = os.fdopen(os.dup(1), "w", buffering=1)

    def __call__(self, event: str, **values: Any) -> None:
        event = "back" if event == "ready" and self._resume else event
        try:
            self._file.write(json.dumps({"event": event, **values}) + "\n")
        except OSError:
            return


def host_latency(host: LaneHost) -> dict[str, int]:
    """The lane's part of the latency by name, in samples."""
    return {"window": host.latency_samples - host.margin_samples, "margin": host.margin_samples}
