"""Runs a folder through a chain, from Python: what happened to each file, and how fast it went.

python examples/batch_folder.py CHAIN.toml FOLDER OUT
"""

import sys
from pathlib import Path

from bridge.batch.job import Outcome
from bridge.batch.plan import make_plan
from bridge.batch.pool import Pool
from bridge.batch.run import Run, locked
from streaming.session import cores


def report(file: str, outcome: Outcome) -> None:
    print(f"{file}: {outcome.status} {outcome.error}".rstrip())


def main(chain: str, folder: str, output: str) -> None:
    plan = make_plan(Path(chain), [folder], output)  # everything is checked here, before anything runs
    with locked(plan.home):
        pool = Pool(plan.setup(overwrite=False, threads=1, patience_s=120), workers=min(cores(), len(plan.sources)))
        try:
            standing = Run(plan, pool, report).work(resume=True)
        finally:
            pool.close()
    print(f"{standing.done} done, {standing.kept} done before, {standing.failed} failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
