"""Real deaths: workers that crash, hang or are killed, a parent that is killed; every output is complete or absent, and
a resumed run ends with the same bytes as one that nothing happened to."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from batch_audio import RATE, all_files, noise, write
from conftest import wait_for

from bridge.batch.job import Outcome
from bridge.batch.manifest import NAME, done_before
from bridge.batch.plan import Plan, make_plan
from bridge.batch.pool import Pool
from bridge.batch.run import Run, locked

ROOT = Path(__file__).parents[1]
FILES = 6
CHAIN = (
    '[[stage]]\ntype = "Gain"\n[[stage]]\ntype = "trim"\n[[stage]]\ntype = "Reverb"\n[[stage]]\ntype = "normalise"\n'
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    for i in range(FILES):
        write(folder / f"{i}.wav", noise((2 + i) * RATE, seed=i), subtype="PCM_16")
    (folder.parent / "chain.toml").write_text(CHAIN)
    return folder


@pytest.fixture(scope="module")
def undisturbed(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run gives that nothing happens to."""
    out = tmp_path_factory.mktemp("undisturbed")
    outcomes = run(plan_for(sources, out))
    assert {outcome.status for outcome in outcomes.values()} == {"done"}
    return all_files(out)


def plan_for(sources: Path, out: Path) -> Plan:
    return make_plan(sources.parent / "chain.toml", [str(sources)], str(out))


def run(
    plan: Plan, disturb: Callable[[Pool], None] = lambda pool: None, patience_s: float = 60.0, resume: bool = True
) -> dict[str, Outcome]:
    """One run in this process, disturbed from a thread; the outcome of each file."""
    outcomes: dict[str, Outcome] = {}
    with locked(plan.home):
        pool = Pool(plan.setup(False, 1, patience_s), 2)
        thread = threading.Thread(target=disturb, args=(pool,), daemon=True)
        thread.start()
        try:
            Run(plan, pool, lambda file, outcome: outcomes.__setitem__(file, outcome)).work(resume)
        finally:
            pool.close()
            thread.join()
    return outcomes


def at_work(pool: Pool, stage: str) -> int:
    """The pid of a worker as soon as one is in this stage."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for attendant in pool._attendants:
            if attendant.source and stage in attendant.standing().label and attendant.pid:
                return attendant.pid
        time.sleep(0.0005)
    raise AssertionError(f"no worker came to {stage}")


@pytest.mark.parametrize(
    ("number", "patience_s", "words"),
    [
        (signal.SIGSEGV, 60.0, r"crashed: the worker was ended by SIGSEGV"),
        (signal.SIGABRT, 60.0, r"crashed: the worker was ended by SIGABRT"),
        (signal.SIGSTOP, 5.0, r"hangs: nothing for 5 s, so it was ended"),
    ],
)
def test_a_stage_that_crashes_or_hangs_fails_its_file_and_is_named(
    sources: Path, undisturbed: dict[str, bytes], tmp_path: Path, number: signal.Signals, patience_s: float, words: str
) -> None:
    """What a crashing plugin does to its process is done to it from outside, while it is in the stage."""
    plan = plan_for(sources, tmp_path)
    outcomes = run(plan, lambda pool: os.kill(at_work(pool, "Reverb"), number), patience_s)
    failed = {file: outcome for file, outcome in outcomes.items() if outcome.status == "failed"}
    assert len(failed) == 1
    [(file, outcome)] = failed.items()
    assert outcome.stage[:1].isdigit()
    assert outcome.error.startswith("stage ")
    assert outcome.error.endswith(words.partition(": ")[2]) or words.split(":")[0] in outcome.error
    assert len(outcomes) == FILES
    assert {name: undisturbed[name] for name in undisturbed if name != file} == all_files(tmp_path)
    assert file not in done_before(tmp_path / NAME)
    assert set(run(plan)) == set(outcomes)
    assert all_files(tmp_path) == undisturbed


def test_workers_that_are_killed_at_random_moments(
    sources: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    chance = random.Random(1)
    plan = plan_for(sources, tmp_path)

    def kill(pool: Pool) -> None:
        for _ in range(4):
            time.sleep(chance.uniform(0.05, 0.6))
            for pid in pool.pids[:1]:
                os.kill(pid, signal.SIGKILL)

    for _ in range(2):
        run(plan, kill)
        assert complete(tmp_path, undisturbed)
    run(plan)
    assert all_files(tmp_path) == undisturbed


def test_a_parent_that_is_killed_at_random_moments(
    sources: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    chance = random.Random(2)
    for _ in range(4):
        with started(sources, tmp_path) as process:
            wait_for(lambda p=process: (tmp_path / NAME).exists() or p.poll() is not None, 60.0)  # type: ignore[misc]
            time.sleep(chance.uniform(0.1, 1.5))
            workers = psutil.Process(process.pid).children() if process.poll() is None else []
            process.kill()
        _, alive = psutil.wait_procs(workers, timeout=20)
        assert not alive, "workers end with their parent"
        assert complete(tmp_path, undisturbed)
    with started(sources, tmp_path) as process:
        process.wait(120)
    assert process.returncode == 0
    assert all_files(tmp_path) == undisturbed
    assert not (tmp_path / ".sidechop-batch").exists()


def complete(out: Path, undisturbed: dict[str, bytes]) -> bool:
    """Whether every output that is there is as it should be."""
    there = {name: data for name, data in all_files(out).items() if not name.startswith(".sidechop-batch")}
    return there.items() <= undisturbed.items()


class started:
    """The command in a process of its own."""

    def __init__(self, sources: Path, out: Path) -> None:
        chain = sources.parent / "chain.toml"
        arguments = ["batch", chain, sources, "-o", out, "--resume", "--workers", "2"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bridge.cli", *map(str, arguments)], cwd=ROOT, stdout=subprocess.DEVNULL
        )

    def __enter__(self) -> "subprocess.Popen[bytes]":
        return self._process

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


@pytest.fixture(autouse=True)
def quiet_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
