"""What the tests of batches share: seeded audio, chains from text, and one file through a chain in this process."""

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from conftest import tool_is_missing

from bridge.batch.build import Builder
from bridge.batch.description import Chain, parse_chain
from bridge.batch.flow import Shelf
from bridge.batch.job import Job, Outcome, Workbench
from bridge.batch.mark import NoMark
from bridge.batch.sidecars import Sidecars
from bridge.batch.spool import Scratch
from bridge.batch.stage import Line, Stage

RATE = 44100
ZAM = Path("/usr/lib/vst3")

Audio = npt.NDArray[np.float32]


def noise(frames: int, channels: int = 2, seed: int = 0, peak: float = 0.3) -> Audio:
    """``(channels, frames)``."""
    return np.random.default_rng(seed).uniform(-peak, peak, (channels, frames)).astype(np.float32)


def write(path: Path, audio: Audio, rate: int = RATE, subtype: str = "FLOAT") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio.T, rate, subtype=subtype)
    return path


def read(path: Path) -> Audio:
    audio, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return np.ascontiguousarray(audio.T)


def zam(name: str) -> Path:
    """A plugin of Debian's zam-plugins."""
    path = ZAM / f"{name}.vst3"
    if not path.exists():
        tool_is_missing(f"{path} is missing: apt-get install zam-plugins")
    return path


def through(stage: Stage, audio: Audio, sizes: Sequence[int] = (65536,), rate: int = RATE, seed: int = 0) -> Audio:
    """All of ``audio`` through a stage, in blocks of random sizes."""
    rng = np.random.default_rng(seed)
    _, channels = stage.prepare(rate, audio.shape[0])
    outs: list[Audio] = [np.zeros((channels, 0), np.float32)]
    at = 0
    while at < audio.shape[1]:
        size = int(rng.choice(sizes))
        outs.append(stage.process(audio[:, at : at + size].copy()))
        at += size
    outs += stage.flush()
    return np.concatenate(outs, axis=1)


def line(text: str, base: Path = Path()) -> Line:
    """The stages of a chain that splits nothing, as one line."""
    builder = Builder(parse_chain(text), base, NoMark(), Scratch(), Sidecars(), Shelf("wav"))
    return builder.line()


def stages(*described: dict[str, object], **more: object) -> Chain:
    """A chain from plain data."""
    return Chain.model_validate({"stage": list(described), **more})


def run_file(chain: Chain | str, source: Path, output: Path, base: Path = Path(), **options: bool) -> Outcome:
    """One file through a chain, as a worker does it."""
    chain = Chain.model_validate(tomllib.loads(chain)) if isinstance(chain, str) else chain
    return Workbench(chain, base, output, **options).carry_out(Job(0, str(source), ""))


def good(outcome: Outcome) -> Outcome:
    assert outcome.status == "done", f"{outcome.stage}: {outcome.error}"
    return outcome


def paths(outcome: Outcome, output: Path) -> list[Path]:
    return [output / entry["path"] for entry in outcome.outputs]


def all_files(folder: Path, but: Iterable[str] = ("sidechop-batch.jsonl",)) -> dict[str, bytes]:
    """Every file below, by its path, with its bytes."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in but)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
