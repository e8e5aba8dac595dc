"""What happened to every file: ``sidechop-batch.jsonl`` in the output folder, a line of JSON for each.

::

    {"run": "2026-11-26T18:00:00+00:00", "chain": "…sha256", "chain_file": "clean.toml", "sidechop": "0.1.0"}
    {"file": "a/kick.wav", "source": "/…/a/kick.wav", "chain": "…", "status": "done", "sha256": "…", "outputs": […], …}

Lines are only ever added, so a program that is killed loses at most the last one, and a run that goes on does that file
again. A line that a power cut left half written is closed off and skipped.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from streaming.errors import AudioError

from .. import __version__
from .job import Outcome

NAME = "sidechop-batch.jsonl"
SYNC_EVERY_S = 1.0


class Manifest:
    """The manifest of one output folder, open for adding. Raises `AudioError` where it cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._synced = time.monotonic()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torn = path.exists() and path.stat().st_size > 0 and not _ends_well(path)
            self._file = path.open("a", encoding="utf-8")
            if torn:
                self._file.write("\n")
        except OSError as error:
            raise AudioError(f"{path}: cannot be written ({error.strerror}); choose another folder with -o") from None

    def begin(self, chain: str, chain_file: Path, ignored: Sequence[str] = ()) -> None:
        """A run begins. ``ignored`` are files that do not end like audio."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        told = {"run": now, "chain": chain, "chain_file": str(chain_file), "sidechop": __version__}
        self._add({**told, "ignored": list(ignored)} if ignored else told)
        self._sync()

    def add(self, file: str, chain: str, outcome: Outcome) -> None:
        """What became of a file. What was kept from an earlier run is in the manifest already."""
        if outcome.status == "kept":
            return
        data = {name: value for name, value in outcome.as_data().items() if value not in ("", [], 0.0)}
        data.pop("number", None)
        for name in ("duration_s", "took_s"):
            if name in data:
                data[name] = round(data[name], 3)
        self._add({"file": file, "chain": chain, **data})
        if time.monotonic() - self._synced > SYNC_EVERY_S:
            self._sync()

    def close(self) -> None:
        if not self._file.closed:
            self._sync()
            self._file.close()

    def __enter__(self) -> "Manifest":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _add(self, data: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(data) + "\n")
            self._file.flush()
        except OSError as error:
            raise AudioError(f"{self.path}: cannot be written ({error.strerror})") from None

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()


def _ends_well(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read_manifest(path: Path) -> Iterator[dict[str, Any]]:
    """Its lines, oldest first; what is no JSON object is left out."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                data = json.loads(line)
            except ValueError:
                continue
            if isinstance(data, dict):
                yield data


def done_before(path: Path) -> dict[str, dict[str, Any]]:
    """The last thing that was done to each file: its line of the manifest."""
    done: dict[str, dict[str, Any]] = {}
    for line in read_manifest(path):
        if line.get("status") == "done" and isinstance(line.get("file"), str):
            done[line["file"]] = {"outputs": [], **line}
    return done
