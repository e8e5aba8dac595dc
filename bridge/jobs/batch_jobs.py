"""The worker's job for batches: named files through a named chain. Its workers are processes of their own."""

import json
import threading
from pathlib import Path
from typing import Any

from pydantic import Field

from streaming.errors import RequestError
from streaming.session import cores

from ..batch.chains import find_chain
from ..batch.job import Outcome
from ..batch.plan import Plan, check_outputs, make_plan
from ..batch.pool import Pool
from ..batch.run import Run, locked
from ..batch.view import text_of, told
from ..config import Section
from .answers import PROGRESS_EVERY_S, Answers
from .requests import Handler, Request, read_options


class BatchOptions(Section):
    """What a request may set besides chain, files and folder. ``workers`` leaves a core to live audio by default."""

    resume: bool = False
    overwrite: bool = False
    workers: int | None = Field(default=None, ge=1, le=256)
    patience_s: float = Field(default=120.0, ge=1, allow_inf_nan=False)


class BatchJobs:
    """One batch at a time; the others wait."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def handlers(self) -> dict[str, Handler]:
        return {"batch/file": Handler("batch", self._batch)}

    def _batch(self, request: Request) -> list[int]:
        id, options = request["id"], read_options(BatchOptions, request["options"])
        if not request["folder"]:
            raise RequestError("folder is empty: name the one to write into")
        self._answers.progress(id, 0.0, "looking at the files")
        folder = Path(request["folder"]).expanduser()
        plan = make_plan(find_chain(request["chain"]), files_of(request["files"]), str(folder))
        if not (options.resume or options.overwrite):
            check_outputs(plan)
        workers = min(options.workers or max(1, cores() - 1), len(plan.sources))
        with locked(plan.home):
            pool = Pool(plan.setup(options.overwrite, 1, options.patience_s), workers)
            try:
                return self._work(id, plan, pool, options.resume)
            finally:
                pool.close()

    def _work(self, id: int, plan: Plan, pool: Pool, resume: bool) -> list[int]:
        def report(file: str, outcome: Outcome) -> None:
            paths = [str(Path(plan.output) / entry["path"]) for entry in outcome.outputs]
            text = told(outcome) if outcome.status == "failed" else "; ".join(outcome.notes)
            first = paths[0] if paths else ""
            row = (outcome.number, outcome.source, outcome.status, first, len(paths), " ".join(text.split())[:1000])
            self._answers.items(id, "/sidechop/batch/item", [row])

        run = Run(plan, pool, report)
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(id, run, ended), name="batch-watch", daemon=True)
        watch.start()
        try:
            standing = run.work(resume)
        finally:
            ended.set()
            watch.join()
        if run.stopped:
            raise RequestError(f"cancelled; {standing.ended} of {standing.total} files are done, and resume goes on")
        return [standing.done, standing.kept, standing.failed]

    def _watch(self, id: int, run: Run, ended: threading.Event) -> None:
        """Tell how it stands, and end it when it is cancelled."""
        while not ended.wait(PROGRESS_EVERY_S):
            try:
                self._answers.go_on(id)
            except RequestError:
                run.stop()
                return
            share, flying = run.share(), run.in_flight()
            at = f"; {Path(flying[0].source).name}: {flying[0].stage}" if flying else ""
            self._answers.progress(id, share, text_of(run.standing, share) + at)


def files_of(text: str) -> list[str]:
    """A JSON array of paths; or ``@`` and the path of a text file with one on each line, where they are many.

    Raises:
        RequestError: it is neither.
    """
    if text.startswith("@"):
        path = Path(text[1:]).expanduser()
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
        paths: Any = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    else:
        try:
            paths = json.loads(text)
        except ValueError as error:
            raise RequestError(f'files are not JSON ({error}): give a list such as ["a.wav"], or @LIST.txt') from None
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
        raise RequestError(f'files are {text[:60]}, expected a list of paths such as ["a.wav"]')
    return [str(Path(path).expanduser()) if "://" not in path else path for path in paths]
