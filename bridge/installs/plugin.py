"""``sidechop install plugin``: builds the DAW plugin with the system's compiler and puts it where hosts look for it."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from streaming.errors import RequestError

SOURCE = Path(__file__).resolve().parents[2] / "plugin"
DPF = Path("/usr/share/dpf")
BUNDLES = {"vst3": "sidechop.vst3", "clap": "sidechop.clap", "lv2": "sidechop.lv2"}
TOOLS = {"make": "make", "g++": "g++", "patch": "patch"}
"""Debian packages by the command that they bring."""


def plugin(
    to: Annotated[
        Path | None, typer.Option(help="Folder that takes .vst3, .clap and .lv2 instead of your home folder.")
    ] = None,
    formats: Annotated[str, typer.Option(help="Which, with commas between them.")] = ",".join(BUNDLES),
) -> None:
    """Build the plugin and put it into ~/.vst3, ~/.clap and ~/.lv2, where DAWs look for it.

    It needs a compiler and DPF's sources: on Debian and Ubuntu apt-get install g++ make patch dpf-source.
    """
    kinds = [kind.strip() for kind in formats.split(",")]
    for kind in kinds:
        if kind not in BUNDLES:
            raise typer.BadParameter(f"{kind!r} is none of {', '.join(BUNDLES)}", param_hint="--formats")
    built = build_plugin()
    for kind in kinds:
        print(place(built / BUNDLES[kind], (to or Path.home()) / f".{kind}"))


def build_plugin(build: Path | None = None) -> Path:
    """Build what has changed, and give the folder that holds the three bundles.

    Raises:
        RequestError: no compiler, no DPF, no sources, or the compiler's last words.
    """
    if sys.platform != "linux":
        raise RequestError(f"the plugin is built on Linux only, this is {sys.platform}")
    if not SOURCE.is_dir():
        raise RequestError(f"no plugin sources in {SOURCE}: install Sidechop from its repository (pip install -e .)")
    missing = [package for tool, package in TOOLS.items() if not shutil.which(tool)]
    missing += [] if (DPF / "distrho").is_dir() else ["dpf-source"]
    if missing:
        raise RequestError(f"building the plugin needs {', '.join(missing)}: apt-get install {' '.join(missing)}")
    folder = build or SOURCE / "build"
    make = ["make", f"--jobs={os.cpu_count() or 1}", "-C", str(SOURCE), f"BUILD={folder.resolve()}"]
    run = subprocess.run(make, capture_output=True, text=True)
    if run.returncode:
        lines = [line for line in run.stderr.splitlines() if "error" in line] or run.stderr.splitlines() or ["no words"]
        raise RequestError(f"the plugin was not built: {lines[0].strip()}")
    return folder


def place(bundle: Path, folder: Path) -> Path:
    """Copy a bundle (a file or a folder) beside its place, then put it there. Gives where it lies."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / bundle.name
    with tempfile.TemporaryDirectory(dir=folder, prefix=".sidechop-") as aside:
        fresh, old = Path(aside) / "new", Path(aside) / "old"
        if bundle.is_dir():
            shutil.copytree(bundle, fresh)
        else:
            shutil.copy(bundle, fresh)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    return target
