"""The ReaPack index of the scripts, made from their headers: ``python -m bridge.installs.reapack [--url URL]``.

A script whose header begins with ``@description`` is a package; ``@provides`` names the files that come with it, as in
https://github.com/cfillion/reapack-index/wiki/Packaging-Documentation: ``[main]`` ones become actions, ``.`` is the
script itself. A script with ``@noindex`` is part of another's package.
"""

import argparse
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree

from streaming.errors import RequestError

from .reaper import script_files, scripts_folder

NAME = "Sidechop"
URL = "https://example.org/sidechop/reaper_scripts"
"""Where the folder of scripts is served. Give your own with --url; example.org is nobody's."""
NEEDED = ("description", "author", "version", "about")


class Header(NamedTuple):
    """What a script says of itself. ``provides`` are pairs of a pattern and whether it names actions."""

    fields: dict[str, str]
    provides: list[tuple[str, bool]]


def read_header(path: Path) -> Header | None:
    """The header of a package; None for a part of one. Raises `RequestError` where something is missing."""
    fields: dict[str, list[str]] = {}
    name = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("--"):
            break
        if match := re.match(r"--\s*@(\w+)\s*(.*)", line):
            name = match[1]
            fields[name] = [match[2]] if match[2] else []
        elif name:
            fields[name].append(line[2:].strip())
    if "noindex" in fields:
        return None
    for need in NEEDED:
        if not fields.get(need):
            raise RequestError(f"{path}: its header has no @{need}")
    provides = []
    for line in fields.get("provides", []):
        match = re.fullmatch(r"\[(main|nomain)\]\s+(.+)", line)
        if match is None:
            raise RequestError(f"{path}: @provides {line!r}, expected [main] or [nomain] and a pattern")
        provides.append((match[2], match[1] == "main"))
    return Header({name: " ".join(lines) for name, lines in fields.items()}, provides)


def provided(script: Path, header: Header, files: list[Path]) -> dict[Path, bool]:
    """The files of a package, each with whether it is an action; of two lines that name one, the first holds."""
    found = {script: True}
    for pattern, main in header.provides:
        for file in files:
            if (
                pattern != "."
                and fnmatch(file.as_posix(), pattern)
                and pattern.count("/") == file.as_posix().count("/")
            ):
                found.setdefault(file, main)
    return found


def index(folder: Path, url: str = URL) -> str:
    """The whole of ``index.xml``. Raises `RequestError`, also for a file that no package provides."""
    files = script_files(folder)
    left = set(files)
    root = ElementTree.Element("index", version="1", name=NAME)
    category = ElementTree.SubElement(root, "category", name="Items")
    for script in [file for file in files if file.parent == Path(".")]:
        header = read_header(folder / script)
        if header is None:
            continue
        fields = header.fields
        pack = ElementTree.SubElement(category, "reapack", name=script.name, type="script", desc=fields["description"])
        version = ElementTree.SubElement(pack, "version", name=fields["version"], author=fields["author"])
        ElementTree.SubElement(version, "changelog").text = f"Sidechop {fields['version']}: {fields['about']}"
        for file, main in provided(script, header, files).items():
            left.discard(file)
            attributes = {} if file == script else {"file": file.as_posix()}
            if main:
                attributes["main"] = "main"
            source = ElementTree.SubElement(version, "source", attributes)
            source.text = f"{url.rstrip('/')}/{quote(file.as_posix())}"
    if left:
        raise RequestError(f"{', '.join(sorted(map(str, left)))}: no package provides it; see @provides")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=URL, help="where the folder of scripts is served")
    options = parser.parse_args()
    folder = scripts_folder()
    (folder / "index.xml").write_text(index(folder, options.url), encoding="utf-8")


if __name__ == "__main__":
    main()
