"""Lines for REAPER's own ini files, added with care: a copy before, written aside, line ends as they were.

``reaper-kb.ini`` has a line ``SCR flags section id "name" "path below Scripts"`` for each script that is listed as an
action. ``reaper.ini`` has ``csurf_cnt=N`` and a line ``csurf_I=…`` for each control surface, in ``[REAPER]``.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

SURFACE = 'OSC "Sidechop" 3 8000 "127.0.0.1" 9000 1024 10 ""'
"""Name, both ways, REAPER's port, the host and port that it tells, longest packet, pause in ms, usual pattern."""


def reaper_runs() -> bool:
    """Whether a REAPER of any user runs here."""
    if sys.platform == "linux":
        names = (path / "comm" for path in Path("/proc").iterdir() if path.name.isdigit())
        return any(_read(name).strip() == "reaper" for name in names)
    if sys.platform == "win32":
        command = ["tasklist", "/NH", "/FI", "IMAGENAME eq reaper.exe"]
        return "reaper.exe" in subprocess.run(command, capture_output=True, text=True).stdout.lower()
    return subprocess.run(["pgrep", "-x", "REAPER"], capture_output=True).returncode == 0


def add_actions(ini: Path, lines: list[str]) -> int:
    """List scripts as actions. Returns how many were not; one that is listed keeps its id, and so its keys."""
    text = _read(ini)
    listed = [line for line in text.splitlines() if line.startswith("SCR ")]
    places = [line.rpartition(' "')[2].rstrip('"') for line in lines]
    new = [line for line, place in zip(lines, places, strict=True) if not any(place in other for other in listed)]
    if new:
        end = _line_end(text)
        gap = end if text and not text.endswith("\n") else ""
        _write(ini, text + gap + "".join(line + end for line in new))
    return len(new)


def add_surface(ini: Path) -> bool:
    """Add our OSC surface to those that there are; False where it is there already."""
    text = _read(ini)
    if re.search(r'^csurf_\d+=OSC "Sidechop" ', text, re.MULTILINE):
        return False
    end = _line_end(text)
    section = re.search(r"^\[reaper\][ \t]*\r?$\n?", text, re.MULTILINE | re.IGNORECASE)
    if section is None:
        text, at = f"[REAPER]{end}" + text, len(f"[REAPER]{end}")
    else:
        at = section.end()
    count = re.search(r"^csurf_cnt=(\d+)", text, re.MULTILINE)
    number = int(count[1]) if count else 0
    if count:
        text = text[: count.start()] + f"csurf_cnt={number + 1}" + text[count.end() :]
    else:
        text = text[:at] + f"csurf_cnt=1{end}" + text[at:]
    _write(ini, text[:at] + f"csurf_{number}={SURFACE}{end}" + text[at:])
    return True


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text or (not text and sys.platform == "win32") else "\n"


def _write(path: Path, text: str) -> None:
    if path.exists():
        shutil.copy2(path, path.with_name(path.name + ".sidechop-backup"))
    aside = path.with_name(path.name + ".part")
    aside.write_bytes(text.encode("utf-8", "surrogateescape"))
    aside.replace(path)
