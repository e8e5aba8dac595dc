"""``sidechop batch``: files and folders through a chain, with all cores or many machines."""

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from streaming.errors import RequestError

if TYPE_CHECKING:
    from .batch.plan import Plan
    from .batch.pool import Dispatcher


def batch(
    chain: Annotated[
        str | None, typer.Argument(help="A chain: a TOML file, or a name of your own.", show_default=False)
    ] = None,
    inputs: Annotated[
        list[str] | None, typer.Argument(help="Audio files and folders, or addresses.", show_default=False)
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Folder (or address) for what comes out.", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run: what is done is left out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that are there.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Open the chain, with models and plugins, and stop.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and stop.")] = False,
    list_stages: Annotated[bool, typer.Option("--list-stages", help="What a chain can be made of.")] = False,
    plugin: Annotated[
        Path | None, typer.Option(help="With --list-stages: a VST3 or AU, and its parameters.", show_default=False)
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a chain, for editors.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes; measured if left out.", show_default=False)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=64, help="Of each network; measured if left out.", show_default=False)
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Work on the machines of this dask scheduler.")
    ] = None,
    patience: Annotated[
        float, typer.Option(min=1, help="A plugin that does nothing for so many seconds hangs, and is ended.")
    ] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a file on standard output.")] = False,
) -> None:
    """Run files and folders through a chain of neural stages and plugins; the sources are never touched.

    What happened to every file stands in OUTPUT/sidechop-batch.jsonl. Ctrl-C loses nothing: --resume goes on.
    """
    from .batch.chains import find_chain
    from .batch.plan import check_outputs, make_plan

    if schema:
        from .batch.description import schema as chain_schema

        print(json.dumps(chain_schema(), indent=2))
        return
    if list_stages or plugin:
        _list(plugin, as_json)
        return
    if chain is None:
        raise RequestError("no chain is named: give a TOML file; --list-stages shows what it can be made of")
    chain_file = find_chain(chain)
    if check:
        _check(chain_file, patience)
        return
    if not inputs:
        raise RequestError("no input is named: give audio files or folders")
    if output is None:
        raise RequestError("no folder is named to write into: -o DIR")
    plan = make_plan(chain_file, inputs, output)
    if dry_run:
        _show(plan, as_json)
        return
    if not (resume or overwrite):
        check_outputs(plan)
    _run(plan, resume, overwrite, workers, threads, cluster, patience, as_json)


def _run(
    plan: "Plan",
    resume: bool,
    overwrite: bool,
    workers: int | None,
    threads: int | None,
    cluster: str | None,
    patience: float,
    as_json: bool,
) -> None:
    from .batch.job import Outcome
    from .batch.run import Run, locked
    from .batch.view import RunView, last_line

    with locked(plan.home), RunView() as view:
        dispatcher = _dispatcher(plan, overwrite, workers, threads, cluster, patience)

        def report(file: str, outcome: Outcome) -> None:
            view.report(file, outcome)
            if as_json:
                print(json.dumps({"kind": "file", "file": file, **outcome.as_data()}), flush=True)

        run = Run(plan, dispatcher, report)

        def stop(number: int, _frame: FrameType | None) -> None:
            signal.signal(number, signal.SIG_DFL)  # a second one ends the program at once
            import threading

            threading.Thread(target=run.stop, name="stop").start()

        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), stop)
        try:
            view.follow(run)
            standing = run.work(resume)
        finally:
            dispatcher.close()
    summary = last_line(standing, len(plan.found.ignored))
    if as_json:
        data = {"kind": "summary", "done": standing.done, "kept": standing.kept, "failed": standing.failed}
        data |= {"total": standing.total, "ignored": len(plan.found.ignored)}
        speed = {"audio_s": standing.audio_s, "took_s": standing.took_s, "manifest": str(plan.manifest)}
        print(json.dumps({**data, **speed}), flush=True)
    print(f"sidechop: {summary}" if as_json else summary, file=sys.stderr if as_json else sys.stdout)
    if run.stopped:
        print("sidechop: interrupted; --resume goes on", file=sys.stderr)
        raise typer.Exit(130)
    if standing.failed:
        raise typer.Exit(1)


def _dispatcher(
    plan: "Plan",
    overwrite: bool,
    workers: int | None,
    threads: int | None,
    cluster: str | None,
    patience: float,
) -> "Dispatcher":
    from .batch.pool import Pool
    from .batch.sizing import size

    setup = plan.setup(overwrite, threads or 1, patience)
    if cluster is not None:
        from .batch.cluster import Cluster

        return Cluster(cluster, setup)
    sizing = size(setup, plan.chain, plan.digest, len(plan.sources), workers, threads)
    return Pool(setup._replace(threads=sizing.threads, gpu=sizing.gpu), sizing.workers)


def _check(chain_file: Path, patience: float) -> None:
    """Open it in a worker, as a run would, and have a second of noise go through it."""
    from .batch.checking import check_chain

    for note in check_chain(chain_file, patience):
        print(note)


def _show(plan: "Plan", as_json: bool) -> None:
    from .batch.plan import is_there

    for source, target in plan.names():
        if as_json:
            print(json.dumps({"source": source.where, "output": target, "exists": is_there(target)}))
        else:
            print(f"{source.where} → {target}{' (is there already)' if is_there(target) else ''}")
    for ignored in plan.found.ignored:
        print(f"sidechop: {ignored}: not audio by its name", file=sys.stderr)


def _list(plugin: Path | None, as_json: bool) -> None:
    from .batch.listing import list_parameters, list_stages, rows

    listed = list_stages()
    if plugin is not None:
        listed = [{"type": "plugin", "about": str(plugin), "settings": list_parameters(plugin)}]
    if as_json:
        print(json.dumps(listed))
        return
    console = Console()
    for stage in listed:
        console.print(f"{stage['type']}  {stage['about']}".rstrip(), markup=False, highlight=False)
        table = Table("setting", "range", "default", box=None, padding=(0, 2), show_header=False)
        for row in rows(stage["settings"]):
            table.add_row("", *row)
        console.print(table)
