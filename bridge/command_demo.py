"""``sidechop demo``: the built-in clip through everything that live use has, with files and a table to show for it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def demo(
    folder: Annotated[Path, typer.Option("--output", "-o", help="Where stems, mix and picture go.")] = Path("demo"),
    model: Annotated[str, typer.Option(help="Model by name or path.")] = "auto",
    paced: Annotated[bool, typer.Option("--paced", help="As slow as it sounds, as a device would.")] = False,
    clip: Annotated[Path | None, typer.Option(help="Another clip than the built-in one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Separate the built-in clip through the real daemon, engine and audio processes, with OSC at the faders."""
    from rich.console import Console

    from .demo import run_demo

    with Console(stderr=True).status("separating") as status:
        result = run_demo(folder, model, paced, clip, lambda text: status.update(text))
    if as_json:
        print(json.dumps(result))
    else:
        _show(result)


def _show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    levels = Table("", "RMS dBFS", "peak dBFS", "file", title="What came out", title_justify="left")
    for item in result["items"]:
        if item["kind"] == "stem":
            levels.add_row(item["label"], f"{item['rms_db']:.1f}", f"{item['peak_db']:.1f}", Path(item["path"]).name)
    console.print(levels)
    remote = Table("at s", "OSC on the way", "answered in ms", title="Faders", title_justify="left")
    for item in result["items"]:
        if item["kind"] == "osc":
            remote.add_row(f"{item['start_s']:.1f}", item["label"], f"{item['answer_ms']:.2f}")
    console.print(remote)
    latency, times = result["latency"], result["statistics"]
    parts = Table("latency", "samples", "ms", "", title_justify="left")
    for part in latency["parts"]:
        parts.add_row(part["name"], str(part["samples"]), f"{part['ms']:.2f}", part["why"])
    parts.add_row("sum", str(latency["samples"]), f"{latency['ms']:.2f}", "from input to output, exactly", style="bold")
    console.print(parts)
    hops = Table("hop times", "p50", "p95", "p99", "max", "misses")
    figures = [
        f"{times[f'{p}_ms']:.2f} ms ({times[f'{p}_ms'] / times['hop_ms']:.0%})" for p in ("p50", "p95", "p99", "max")
    ]
    hops.add_row(f"{times['hops']} of {times['hop_ms']:.2f} ms", *figures, f"{times['misses']} of {times['blocks']}")
    console.print(hops)
    console.print(
        f"{result['duration_s']:.1f} s of audio in {result['elapsed_s']:.1f} s with {result['model']}. "
        f"Files and a picture of them: {Path(result['picture']).parent}",
        soft_wrap=True,
    )
