"""``sidechop doctor``: is everything here, does it work, and what to do where it does not."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from .doctor import Finding


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Look at versions, models, scheduling and devices, name the parts of the latency, and prove it by a null test.

    Exit code 1 when something is wrong; what could merely be better is told with advice.
    """
    from rich.console import Console

    from .doctor import CHECKS

    findings: list[Finding] = []
    with Console(stderr=True).status("looking") as status:
        for check in CHECKS:
            status.update(check.__name__.removeprefix("check_").replace("_", " "))
            findings.append(check())
    latency = next((f.details["latency"] for f in findings if "latency" in f.details), None)
    if as_json:
        print(json.dumps({"findings": [asdict(finding) for finding in findings], "latency": latency}))
    else:
        _show(findings, latency)
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(1)


def _show(findings: "list[Finding]", latency: "dict[str, Any] | None") -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(soft_wrap=True, highlight=False)
    marks = {"good": "[green]good[/]", "could be better": "[yellow]could be better[/]", "wrong": "[red]wrong[/]"}
    for finding in findings:
        console.print(f"{finding.name}: {marks[finding.state]}: {escape(finding.text)}")
        if finding.advice:
            console.print(f"    {escape(finding.advice)}")
    if latency:
        parts = " + ".join(f"{part['name']} {part['samples']}" for part in latency["parts"])
        total = f"{latency['samples']} samples, {latency['ms']:.1f} ms at {latency['rate']} Hz in blocks of 256"
        console.print(f"latency: {parts} = {total}; a device's own buffers come on top")
