"""``sidechop install reaper``: the ReaScripts, their actions, and an OSC surface where one is asked for.

REAPER keeps everything of a user in one folder, its resource path. Its ini files are written by REAPER itself when it
ends, so they are only touched while it does not run, and each is copied before (``….sidechop-backup``).
"""

import hashlib
import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Annotated

import typer

from streaming.errors import RequestError

from .reaper_ini import add_actions, add_surface, reaper_runs

PLACE = "Scripts/Sidechop"
"""Where scripts lie, from the resource path."""


def reaper(
    to: Annotated[
        Path | None, typer.Option(help="REAPER's resource path, if it is another than usual (a portable install).")
    ] = None,
    actions: Annotated[
        bool, typer.Option("--actions/--no-actions", help="List the scripts in REAPER's actions.")
    ] = True,
    osc_surface: Annotated[
        bool, typer.Option("--osc-surface", help="Add an OSC control surface: listens on 8000, tells 9000.")
    ] = False,
) -> None:
    """Put the scripts into REAPER: chops, flags and stems of items, the stem monitor, settings.

    Run it again after an update. Nothing of yours is changed: REAPER's own files are copied before they get new lines.
    """
    resources = resource_path(to)
    count = place_scripts(scripts_folder(), resources / PLACE, program())
    print(f"{count} files in {resources / PLACE}")
    running = reaper_runs()
    if actions and running:
        print("REAPER runs: quit it and run this again to list the actions, or load the scripts in its action list")
    elif actions:
        added = add_actions(resources / "reaper-kb.ini", action_lines(resources / PLACE))
        print(f"{added} new actions in REAPER's list; search it for Sidechop" if added else "all actions were listed")
    if osc_surface and running:
        raise RequestError("REAPER runs, and would write over its ini: quit it before --osc-surface")
    if osc_surface:
        print("OSC surface: " + ("added" if add_surface(resources / "reaper.ini") else "was there"))


def resource_path(given: Path | None) -> Path:
    """REAPER's folder of this user. Raises `RequestError` where there is none."""
    home = Path.home()
    usual = {
        "win32": Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming") / "REAPER",
        "darwin": home / "Library" / "Application Support" / "REAPER",
    }.get(sys.platform, Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "REAPER")
    folder = (given or usual).expanduser()
    if not folder.is_dir():
        raise RequestError(
            f"{folder}: no such folder. Start REAPER once, or name its resource path with --to "
            "(REAPER shows it: Options, Show REAPER resource path)"
        )
    return folder


def scripts_folder() -> Path:
    """Where this installation keeps the scripts. Raises `RequestError`."""
    root = Path(__file__).resolve().parents[2]
    for folder in (root, Path(sysconfig.get_path("data")) / "share" / "sidechop"):
        if (folder / "reaper_scripts" / "lib").is_dir():
            return folder / "reaper_scripts"
    raise RequestError("this installation has no REAPER scripts; install sidechop again")


def program() -> Path:
    """The command that the scripts are to start. Raises `RequestError`."""
    name = "sidechop.exe" if os.name == "nt" else "sidechop"
    beside = Path(sys.executable).parent / name
    found = beside if beside.is_file() else Path(shutil.which("sidechop") or "")
    if not found.is_file():
        raise RequestError("the command sidechop is not installed for this Python: pip install sidechop")
    return found.absolute()


def script_files(source: Path) -> list[Path]:
    """What is put into REAPER, relative to the folder of scripts."""
    return sorted(path.relative_to(source) for path in (*source.glob("*.lua"), *source.glob("lib/*.lua")))


def place_scripts(source: Path, target: Path, command: Path) -> int:
    """Write all scripts, each aside and then into place, and remove ours that are no more. Returns how many there are.

    ``lib/where.lua`` tells them which program to start.
    """
    files = {path: (source / path).read_bytes() for path in script_files(source)}
    files[Path("lib/where.lua")] = f"return {{ command = [==[{command}]==] }}\n".encode()
    for path, content in files.items():
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = place.with_name(place.name + ".part")
        aside.write_bytes(content)
        aside.replace(place)
    for old in (*target.glob("Sidechop_*.lua"), *target.glob("lib/*.lua")):
        if old.relative_to(target) not in files:
            old.unlink()
    return len(files)


def action_lines(folder: Path) -> list[str]:
    """A line of ``reaper-kb.ini`` for each script: REAPER's id of it is a hash, any that no other script has."""
    lines = []
    for path in sorted(folder.glob("Sidechop_*.lua")):
        place = str(Path(folder.name) / path.name)
        id = hashlib.sha1(place.encode(), usedforsecurity=False).hexdigest()
        lines.append(f'SCR 4 0 RS{id} "Custom: {path.name}" "{place}"')
    return lines
