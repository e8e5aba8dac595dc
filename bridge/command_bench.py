"""``sidechop bench``: hop times on this machine, with what the machine itself does beside them."""

import json
from typing import Annotated, Any

import typer


def bench(
    model: Annotated[str, typer.Option(help="Model by name or path; pass-through for none.")] = "auto",
    seconds: Annotated[float, typer.Option(min=0.5, help="How long each measurement takes.")] = 10.0,
    paced: Annotated[bool | None, typer.Option("--paced/--unpaced", help="Only as live, or only flat out.")] = None,
    busy: Annotated[bool, typer.Option("--busy", help="Keep the daemon's process busy meanwhile.")] = False,
    rate: Annotated[int, typer.Option(help="44100, 48000, 88200 or 96000 Hz.")] = 44100,
    block: Annotated[int, typer.Option(min=1, max=8192, help="Frames of a block.")] = 256,
    budget_ms: Annotated[float | None, typer.Option(min=0, help="Time for the engine; a hop's by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Measure hop times: unpaced (the engine alone, hop after hop) and paced (daemon, engine and audio processes).

    Beside the paced run a loop that only sleeps shows how late this machine wakes.
    """
    from rich.console import Console

    from .benchmark import bench_paced, bench_unpaced

    notes = Console(stderr=True)
    result: dict[str, Any] = {"model": model, "rate": rate, "block": block, "busy": busy}
    if paced is not True:
        with notes.status(f"unpaced, {seconds:g} s"):
            result["unpaced"] = bench_unpaced(model, rate, seconds)
    if paced is not False:
        with notes.status(f"paced, {seconds:g} s"):
            result |= bench_paced(model, rate, block, seconds, busy, budget_ms)
    if as_json:
        print(json.dumps(result))
    else:
        _show(result)


def _show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "p50 ms", "p95 ms", "p99 ms", "max ms", "p99 of a hop", "misses", title_justify="left")
    table.title = f"{result['model']} at {result['rate']} Hz"
    for name in ("unpaced", "paced"):
        if times := result.get(name):
            figures = [f"{times[f'{p}_ms']:.3f}" for p in ("p50", "p95", "p99", "max")]
            misses = f"{times['misses']} of {times['blocks']}" if name == "paced" else "–"
            table.add_row(f"{name}, {times['hops']} hops", *figures, f"{times['p99_ms'] / times['hop_ms']:.1%}", misses)
    if idle := result.get("idle"):
        figures = [f"{idle[f'{p}_ms']:.3f}" for p in ("p50", "p95", "p99", "max")]
        table.add_row("idle loop, late by", *figures, "", "")
    console = Console()
    console.print(table)
    if times := result.get("unpaced"):
        console.print(f"unpaced: {times['times_realtime']:.1f} times real time on one thread")
