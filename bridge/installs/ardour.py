"""``sidechop install ardour``: two actions for Ardour's script menu."""

import os
import sys
import sysconfig
from pathlib import Path
from typing import Annotated

import typer

from streaming.errors import RequestError


def ardour(
    to: Annotated[
        Path | None, typer.Option(help="Ardour's folder of settings, if it is at another place than usual.")
    ] = None,
) -> None:
    """Put the actions *Sidechop: Chop selected regions* and *Flag selected regions* into Ardour.

    Run it again after an update.
    """
    for folder in settings_folders(to):
        count = place_scripts(scripts_folder(), folder / "scripts")
        print(f"{count} files in {folder / 'scripts'}")
    print("in Ardour: Edit, Lua Scripts, Script Manager: set a shortcut or a toolbar button for each")


def settings_folders(given: Path | None) -> list[Path]:
    """Of every Ardour from 7 on that was started here.

    Raises:
        RequestError: none was.
    """
    if given is not None:
        if not given.expanduser().is_dir():
            raise RequestError(f"{given}: no such folder; Ardour's is called ardour7 or the like")
        return [given.expanduser()]
    home = Path.home()
    root = {
        "win32": Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"),
        "darwin": home / "Library" / "Preferences",
    }.get(sys.platform, Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config"))
    found = sorted(path for path in root.glob("[aA]rdour[0-9]*") if path.is_dir() and _version(path) >= 7)
    if not found:
        raise RequestError(f"{root}: no settings of Ardour 7 or later. Start Ardour once, or name them with --to")
    return found


def scripts_folder() -> Path:
    """Where this installation keeps the scripts. Raises `RequestError`."""
    root = Path(__file__).resolve().parents[2]
    for folder in (root, Path(sysconfig.get_path("data")) / "share" / "sidechop"):
        if (folder / "ardour_scripts").is_dir():
            return folder / "ardour_scripts"
    raise RequestError("this installation has no scripts for Ardour; install sidechop again")


def place_scripts(source: Path, target: Path) -> int:
    """Write all scripts, each aside and then into place. Returns how many there are."""
    target.mkdir(parents=True, exist_ok=True)
    scripts = sorted(source.glob("*.lua"))
    for script in scripts:
        aside = target / f"{script.name}.part"
        aside.write_bytes(script.read_bytes())
        aside.replace(target / script.name)
    return len(scripts)


def _version(folder: Path) -> int:
    digits = folder.name[len("ardour") :]
    return int(digits) if digits.isdigit() else 0
