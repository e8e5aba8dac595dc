"""How many workers, and how many threads for each network: measured, then remembered for this machine and chain.

Two ways share out the cores: a worker for each with one thread, or fewer workers whose networks take more threads.
Which is faster depends on the network, on the cores (two hyperthreads are not two), and on how much of the work is the
disk's. So the chain is tried on some seconds of noise, both ways. A chain without a network has one question only:
whether a worker for each core is faster than one for every second core. Where there is a GPU, two workers on it are
tried, too. What does not fit in memory is not tried.
"""

import json
import os
import platform
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from streaming.errors import SidechopError
from streaming.session import cores

from ..registry import user_folder
from .attendant import Setup
from .description import Chain, walk
from .job import Job
from .pool import Pool

TRIAL_S = 4.0
TRIAL_RATE = 44100
TRIALS_A_WORKER = 2
WORTH_FILES = 16
"""Fewer files for each core are not worth a trial."""
WORKER_BYTES = 560 << 20
"""What a worker may take, for how many fit in memory."""
GPU_WORKERS = 2
"""Workers that share a GPU: one reads and writes while another computes."""


@dataclass(frozen=True)
class Sizing:
    """``speed`` is times real time in the trial; 0 where nothing was measured."""

    workers: int
    threads: int = 1
    gpu: bool = False
    speed: float = 0.0


def has_gpu() -> bool:
    """Whether there is a GPU that onnxruntime can use."""
    import onnxruntime

    from streaming.session import GPU

    return GPU in onnxruntime.get_available_providers() and shutil.which("nvidia-smi") is not None


def candidates(chain: Chain, cores: int, memory_bytes: int | None = None, gpu: bool = False) -> list[Sizing]:
    """What is worth trying, the usual first."""
    fit = max(1, (memory_bytes or 1 << 62) // WORKER_BYTES)
    all_cores, half = min(cores, fit), min(max(1, cores // 2), fit)
    neural = any(hasattr(stage, "model") for _, stage in walk(chain.stage))
    tried = [Sizing(all_cores, 1)]
    if neural:
        tried += [Sizing(half, max(1, cores // half)), Sizing(1, cores)]
        tried += [Sizing(min(GPU_WORKERS, all_cores), 1, gpu=True)] if gpu else []
    else:
        tried.append(Sizing(half, 1))
    return list(dict.fromkeys(tried))


def size(setup: Setup, chain: Chain, digest: str, files: int, workers: int | None, threads: int | None) -> Sizing:
    """As told, else measured, as far as it is worth it: a few files want no trial."""
    if workers is not None or threads is not None:
        return Sizing(workers or max(1, cores() // (threads or 1)), threads or 1)
    if files < WORTH_FILES * cores():
        return Sizing(min(files, cores()))
    return choose(setup, chain, digest)


def choose(setup: Setup, chain: Chain, digest: str, memory: Path | None = None) -> Sizing:
    """The faster of `candidates`; tried once for a chain on a machine."""
    tried = candidates(chain, cores(), _memory_bytes(), has_gpu())
    if len(tried) == 1:
        return tried[0]
    memory = memory or user_folder("cache") / "batch.json"
    here = f"{platform.node()} {cores()} {digest}"
    known = _read(memory)
    if here in known:
        try:
            return Sizing(**known[here])
        except TypeError:
            pass  # not by us
    measured = [measure(setup, sizing) for sizing in tried]
    best = max(measured, key=lambda sizing: sizing.speed)
    if best.speed > 0:
        _write(memory, {**dict(list(known.items())[-200:]), here: asdict(best)})
    return best


def measure(setup: Setup, sizing: Sizing) -> Sizing:
    """The same with its speed on noise; 0 if the chain cannot even work on that."""
    with tempfile.TemporaryDirectory(prefix="sidechop-trial-") as folder:
        noise = np.random.default_rng(0).uniform(-0.1, 0.1, (round(TRIAL_S * TRIAL_RATE), 2))
        source = Path(folder) / "noise.wav"
        soundfile.write(source, noise, TRIAL_RATE, subtype="PCM_24")
        count = sizing.workers * TRIALS_A_WORKER
        jobs = [Job(number, str(source), str(number)) for number in range(count)]
        trial = setup._replace(output=str(Path(folder) / "out"), threads=sizing.threads, gpu=sizing.gpu, overwrite=True)
        try:
            pool = Pool(trial, sizing.workers)
        except SidechopError:
            return sizing
        try:
            list(pool.run(jobs[: sizing.workers]))  # opens every worker
            started = time.perf_counter()
            done = [outcome for outcome in pool.run(jobs) if outcome.status == "done"]
            took_s = time.perf_counter() - started
        finally:
            pool.close()
    return replace(sizing, speed=TRIAL_S * len(done) / max(took_s, 1e-9))


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _read(memory: Path) -> dict[str, dict[str, Any]]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(memory: Path, known: dict[str, dict[str, Any]]) -> None:
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        aside = memory.with_suffix(f".{os.getpid()}")
        aside.write_text(json.dumps(known), encoding="utf-8")
        aside.replace(memory)
    except OSError:
        pass  # a home that cannot be written only means measuring again
