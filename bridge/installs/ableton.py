"""``sidechop install ableton``: the Remote Script into Live's User Library.

https://help.ableton.com/hc/en-us/articles/209072009-Installing-third-party-remote-scripts
"""

import sys
import sysconfig
from pathlib import Path
from typing import Annotated

import typer

from streaming.errors import RequestError

NAME = "Sidechop"
"""What the control surface is called: Live takes the folder's name."""
SCRIPTS = "Remote Scripts"
LIBRARY = "User Library"


def ableton(
    to: Annotated[Path | None, typer.Option(help="Live's User Library, if it is at another place than usual.")] = None,
) -> None:
    """Put the Remote Script into Ableton Live: chops, flags and stems of clips.

    Run it again after an update. Your settings.json there stays as it is.
    """
    folder = remote_scripts(to) / NAME
    count = place_script(script_folder(), folder)
    print(f"{count} files in {folder}")
    print(f"restart Live and choose {NAME} as a control surface: Preferences, Link, Tempo & MIDI (Live 11: Link MIDI)")


def remote_scripts(given: Path | None) -> Path:
    """Where Live looks for scripts; made where the library has none yet.

    Raises:
        RequestError: there is no User Library.
    """
    usual = {"darwin": Path("Music"), "win32": Path("Documents")}.get(sys.platform)
    if given is None and usual is None:
        raise RequestError("Ableton Live does not run on this system by itself: name its User Library with --to")
    library = given.expanduser() if given else Path.home() / (usual or "") / "Ableton" / LIBRARY
    if library.name == SCRIPTS:
        return library
    if not library.is_dir():
        raise RequestError(
            f"{library}: no such folder. Start Live once, or name its User Library with --to "
            "(Live shows it: Preferences, Library, Location of User Library)"
        )
    return library / SCRIPTS


def script_folder() -> Path:
    """Where this installation keeps the script. Raises `RequestError`."""
    root = Path(__file__).resolve().parents[2]
    for folder in (root, Path(sysconfig.get_path("data")) / "share" / "sidechop"):
        if (folder / "ableton_scripts" / NAME / "__init__.py").is_file():
            return folder / "ableton_scripts" / NAME
    raise RequestError("this installation has no script for Live; install sidechop again")


def place_script(source: Path, target: Path) -> int:
    """Write all modules, each aside and then into place, and remove those of before. Returns how many there are."""
    files = {path.name: path.read_bytes() for path in sorted(source.glob("*.py"))}
    target.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        aside = target / f"{name}.part"
        aside.write_bytes(content)
        aside.replace(target / name)
    for old in target.glob("*.py"):
        if old.name not in files:
            old.unlink()
    return len(files)
