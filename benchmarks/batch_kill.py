"""Whether a batch survives kill -9: of a worker, of the parent, of a cluster's worker, each 20 times at random moments.

    python -m benchmarks.batch_kill [--times 20] [--seed 0] [--only worker,parent,cluster]

Each time: a run is begun (or gone on with), killed after a random while, and what is there is compared with what an
undisturbed run gave: every output has to be complete or absent. Once all files of a folder are done, the next time
begins with an empty folder; at the end the last run is resumed. What is there then must be the undisturbed run's bytes.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile

from tests.dask_cluster import DaskCluster

RATE = 44100
CHAIN = '[[stage]]\ntype = "Compressor"\n[[stage]]\ntype = "Reverb"\n[[stage]]\ntype = "normalise"\n'
MANIFEST = "sidechop-batch.jsonl"
WORK = ".sidechop-batch"


class Trial:
    """A folder of files, what becomes of them, and a run that is killed again and again."""

    def __init__(self, folder: Path, files: int = 10) -> None:
        self.folder, self.out = folder, folder / "out"
        (folder / "in").mkdir()
        (folder / "chain.toml").write_text(CHAIN)
        rng = np.random.default_rng(0)
        for i in range(files):
            audio = rng.uniform(-0.3, 0.3, ((2 + i) * RATE, 2))
            soundfile.write(folder / "in" / f"{i}.wav", audio, RATE, subtype="PCM_16")
        process = self.run(folder / "undisturbed")
        begun(process, folder / "undisturbed")
        started = time.perf_counter()
        process.wait()
        self.takes_s = time.perf_counter() - started
        self.right = self.outputs(folder / "undisturbed")
        assert len(self.right) == files

    def run(self, out: Path, *more: str) -> "subprocess.Popen[bytes]":
        command = ["batch", str(self.folder / "chain.toml"), str(self.folder / "in"), "-o", str(out), "--resume"]
        options = more or ("--workers", "2")
        return subprocess.Popen([sys.executable, "-m", "bridge.cli", *command, *options], stdout=subprocess.DEVNULL)

    def outputs(self, out: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in out.glob("*.wav")}

    def check(self) -> int:
        """How many outputs are there, all of them whole; begins anew when all are."""
        there = self.outputs(self.out)
        for name, data in there.items():
            assert data == self.right[name], f"{name} is not whole"
        if len(there) == len(self.right):
            shutil.rmtree(self.out)
        return len(there)

    def finish(self, *more: str) -> None:
        assert self.run(self.out, *more).wait() == 0
        assert self.outputs(self.out) == self.right
        assert not (self.out / WORK).exists()


def begun(process: "subprocess.Popen[bytes]", out: Path) -> None:
    while process.poll() is None and not (out / MANIFEST).exists():
        time.sleep(0.005)


def kill_worker(trial: Trial, chance: random.Random) -> None:
    process = trial.run(trial.out)
    begun(process, trial.out)
    time.sleep(chance.uniform(0, trial.takes_s))
    try:
        workers = psutil.Process(process.pid).children()
        os.kill(chance.choice(workers).pid, signal.SIGKILL)
    except (psutil.NoSuchProcess, ProcessLookupError, IndexError):
        pass
    process.wait()


def kill_parent(trial: Trial, chance: random.Random) -> None:
    process = trial.run(trial.out)
    begun(process, trial.out)
    time.sleep(chance.uniform(0, trial.takes_s))
    process.kill()
    process.wait()
    time.sleep(0.2)


def kill_cluster_worker(trial: Trial, chance: random.Random, cluster: DaskCluster) -> None:
    process = trial.run(trial.out, "--cluster", cluster.address)
    begun(process, trial.out)
    time.sleep(chance.uniform(0, trial.takes_s))
    cluster.kill_a_worker(chance.randrange(len(cluster.workers)))
    process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="worker,parent,cluster")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as scratch:
        trial = Trial(Path(name))
        for what, kill in (("worker", kill_worker), ("parent", kill_parent)):
            if what in options.only:
                there = []
                for _ in range(options.times):
                    kill(trial, chance)
                    there.append(trial.check())
                trial.finish()
                print(
                    f"{what} killed {options.times} times, outputs there after each: {there}; all whole, "
                    "resumed to the same bytes"
                )
                shutil.rmtree(trial.out)
        if "cluster" in options.only:
            with DaskCluster(Path(scratch)) as cluster:
                there = []
                for _ in range(options.times):
                    kill_cluster_worker(trial, chance, cluster)
                    there.append(trial.check())
                trial.finish("--cluster", cluster.address)
            print(f"cluster worker killed {options.times} times: {there}; all whole, resumed to the same bytes")


if __name__ == "__main__":
    main()
