"""A chain on a cluster: the same bytes as here, with workers that are killed, and with files in a store."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_audio import RATE, all_files, noise, write
from command_line import run
from dask_cluster import DaskCluster

from bridge.batch.cluster import Cluster
from bridge.batch.manifest import done_before
from bridge.batch.plan import make_plan
from bridge.batch.run import Run, locked
from streaming.errors import RequestError

CHAIN = '[[stage]]\ntype = "Compressor"\n[[stage]]\ntype = "Reverb"\n[[stage]]\ntype = "normalise"\n'
FILES = 6


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with DaskCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    for i in range(FILES):
        write(folder / "sub" / f"{i}.wav", noise((2 + i) * RATE, seed=i), subtype="PCM_16")
    (folder.parent / "chain.toml").write_text(CHAIN)
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_cluster_gives_the_same_bytes_whoever_dies(
    cluster: DaskCluster, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = sources.parent / "chain.toml"
    assert run(monkeypatch, "batch", chain, sources, "-o", tmp_path / "here", "--workers", 1) == 0
    here = all_files(tmp_path / "here")
    (sources / "bad.wav").write_text("no audio")
    try:
        assert run(monkeypatch, "batch", chain, sources, "-o", tmp_path / "there", "--cluster", cluster.address) == 1
    finally:
        (sources / "bad.wav").unlink()
    assert all_files(tmp_path / "there") == here
    plan = make_plan(chain, [str(sources)], str(tmp_path / "killed"))
    chance = random.Random(0)
    outcomes = []

    def kill() -> None:
        for index in (0, 1, 0):
            time.sleep(chance.uniform(0.3, 1.0))
            cluster.kill_a_worker(index)

    thread = threading.Thread(target=kill)
    with locked(plan.home):
        dispatcher = Cluster(cluster.address, plan.setup(False, 1, 60))
        thread.start()
        try:
            Run(plan, dispatcher, lambda file, outcome: outcomes.append(outcome)).work(resume=False)
        finally:
            thread.join()
            dispatcher.close()
    assert all_files(tmp_path / "killed").items() <= here.items()
    assert {outcome.status for outcome in outcomes} == {"done"}, "what a dead worker had is given to another"
    assert all_files(tmp_path / "killed") == here
    assert (
        run(monkeypatch, "batch", chain, sources, "-o", tmp_path / "killed", "--resume", "--cluster", cluster.address)
        == 0
    )
    assert len(done_before(plan.manifest)) == FILES


def test_files_of_a_store(
    cluster: DaskCluster,
    sources: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Through fsspec, by addresses, here and on the cluster; a store is anything that fsspec speaks to."""
    chain = sources.parent / "chain.toml"
    assert run(monkeypatch, "batch", chain, sources, "-o", tmp_path / "here", "--workers", 1) == 0
    here = all_files(tmp_path / "here")
    for name, where in (("one", ("--workers", "1")), ("two", ("--cluster", cluster.address))):
        arguments = ("batch", chain, f"file://{sources}", "-o", f"file://{tmp_path / name}", *where)
        assert run(monkeypatch, *arguments) == 0
        assert all_files(tmp_path / name) == here
        assert run(monkeypatch, *arguments) == 1, "nothing is replaced unasked"
        assert "is there already; --overwrite replaces it" in capfd.readouterr().err
        assert run(monkeypatch, *arguments, "--resume") == 0
        assert f"0 done, {FILES} done before" in capfd.readouterr().out
        assert all_files(tmp_path / name) == here
    assert run(monkeypatch, "batch", chain, "s4://nowhere", "-o", tmp_path / "x") == 1
    assert "s4://nowhere: " in capfd.readouterr().err


def test_a_scheduler_that_is_not_there_is_one_line(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.batch.cluster.CONNECT_S", 0.5)
    plan = make_plan(sources.parent / "chain.toml", [str(sources)], str(tmp_path / "out"))
    with pytest.raises(RequestError, match=r"--cluster tcp://127.0.0.1:1: no scheduler answers there"):
        Cluster("tcp://127.0.0.1:1", plan.setup(False, 1, 60))


def test_workers_that_are_only_starting_are_waited_for_and_none_is_one_line(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = make_plan(sources.parent / "chain.toml", [str(sources)], str(tmp_path / "out")).setup(False, 1, 60)
    with DaskCluster(tmp_path, workers=0) as cluster:
        with monkeypatch.context() as hurried:
            hurried.setattr("bridge.batch.cluster.WORKERS_S", 0.5)
            with pytest.raises(RequestError, match="the scheduler has no workers; start some with"):
                Cluster(cluster.address, setup)
        monkeypatch.setattr("bridge.batch.cluster.WORKERS_S", 60.0)
        cluster.start_a_worker()
        Cluster(cluster.address, setup).close()
