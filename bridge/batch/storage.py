"""Files that lie in object storage, by their address: ``s3://…``, ``gs://…``, ``ftp://…``, whatever fsspec speaks.

A job fetches its source into a folder of its own and works there; its outputs are sent under another name and then
moved, where the store can do that, so that what is there is whole. Everything else is as with files.
"""

import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from streaming.errors import AudioError, RequestError, SidechopError

from .attendant import Attendant, Setup
from .job import Job, Outcome, digest_of


def is_address(text: str) -> bool:
    """Whether it names a place in a store, not a file."""
    return "://" in text


class Stored(NamedTuple):
    """A file of a store: its address, the folder it lies in below the one that was named, its size."""

    address: str
    folder: str
    bytes: int


class Store:
    """A place in a store. Raises `RequestError` where fsspec or its part for this kind of store is missing."""

    def __init__(self, address: str) -> None:
        try:
            core: Any = import_module("fsspec.core")
        except ModuleNotFoundError:
            raise RequestError(f"{address}: needs fsspec: pip install 'sidechop[batch]'") from None
        try:
            fs, path = core.url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise RequestError(f"{address}: {error}") from None
        self._fs: Any = fs
        self.address, self._path = address.rstrip("/"), str(path).rstrip("/")

    def find(self) -> Iterator[Stored]:
        """Every file below, or the one that the address names, in the order of names. Raises `AudioError`."""
        with _told(self.address):
            if self._fs.isfile(self._path):
                yield Stored(self.address, "", int(self._fs.info(self._path)["size"] or 0))
                return
            for path, info in sorted(self._fs.find(self._path, detail=True).items()):
                below = str(path).removeprefix(self._path).lstrip("/")
                folder = below.rpartition("/")[0]
                yield Stored(f"{self.address}/{below}", folder, int(info.get("size") or 0))

    def fetch(self, to: Path) -> None:
        """The file that the address names. Raises `AudioError`."""
        with _told(self.address):
            self._fs.get_file(self._path, str(to))

    def size(self, below: str) -> int | None:
        """Of the file ``below`` this place; None where there is none."""
        try:
            return int(self._fs.info(f"{self._path}/{below}")["size"])
        except (OSError, ValueError, TypeError):
            return None

    def send(self, file: Path, below: str) -> None:
        """Put a file ``below`` this place, whole or not at all. Raises `AudioError`."""
        target = f"{self._path}/{below}"
        folder, _, name = target.rpartition("/")
        aside = f"{folder}/.{uuid.uuid4().hex}-{name}"
        with _told(f"{self.address}/{below}"):
            self._fs.makedirs(folder, exist_ok=True)
            self._fs.put_file(str(file), aside)
            self._fs.mv(aside, target)


class _told:
    """What a store says when something fails, as one line about ``address``."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise AudioError(f"{self._address}: no such file") from None
        if isinstance(error, Exception) and not isinstance(error, SidechopError):
            reason = " ".join(str(error).split()) or type(error).__name__
            raise AudioError(f"{self._address}: the store does not answer as expected ({reason})") from None


def staged(setup: Setup) -> Setup:
    """The setup of a worker whose outputs go to a store: it writes into a folder here first."""
    if not is_address(setup.output):
        return setup
    return setup._replace(output=tempfile.mkdtemp(prefix="sidechop-staged-"), overwrite=True, staged=True)


def carry_out_anywhere(attendant: Attendant, setup: Setup, job: Job) -> Outcome:
    """A job whose source or outputs may lie in a store; ``attendant`` is that of the `staged` setup. Never raises."""
    if not is_address(setup.output) and not is_address(job.source):
        return attendant.run(job)
    try:
        with tempfile.TemporaryDirectory(prefix="sidechop-fetched-") as folder:
            local = job
            if is_address(job.source):
                fetched = Path(folder) / job.source.rpartition("/")[2]
                attendant.source = job.source
                Store(job.source).fetch(fetched)
                local = replace(job, source=str(fetched))
            if not is_address(setup.output):
                return replace(attendant.run(local), source=job.source)
            return replace(_to_store(attendant, setup, local), source=job.source)
    except (SidechopError, OSError) as error:
        return Outcome(job.number, job.source, "failed", error=str(error), stage="storage")
    finally:
        attendant.source = None


def _to_store(attendant: Attendant, setup: Setup, job: Job) -> Outcome:
    store, known = Store(setup.output), job.known
    if known and known.get("chain") == job.chain and known.get("sha256") == digest_of(Path(job.source)):
        outputs = known["outputs"]
        if all(store.size(entry["path"]) == entry["bytes"] for entry in outputs):
            return Outcome(job.number, job.source, "kept", known["sha256"], outputs)
    outcome = attendant.run(replace(job, known=None))
    for entry in outcome.outputs:
        file = Path(attendant.output) / entry["path"]
        if not setup.overwrite and store.size(entry["path"]) is not None and not _ours(entry, known):
            raise AudioError(f"{setup.output}/{entry['path']}: is there already; --overwrite replaces it")
        store.send(file, entry["path"])
        file.unlink()
    return outcome


def _ours(entry: dict[str, Any], known: dict[str, Any] | None) -> bool:
    return any(before["path"] == entry["path"] for before in (known or {}).get("outputs", []))
