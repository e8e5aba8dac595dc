"""Chains by name: those in the user's folder, or any file by its path."""

import difflib
import tomllib
from pathlib import Path

from streaming.errors import RequestError

from ..registry import user_folder


def chains_folder() -> Path:
    """Where a chain is put to have a name; it may not exist yet."""
    return user_folder() / "chains"


def list_chains() -> list[str]:
    """The names that there are."""
    return sorted(path.stem for path in chains_folder().glob("*.toml"))


def described_chains() -> list[dict[str, str]]:
    """Each name with what the chain says of itself; one that cannot be read says why."""
    described = []
    for name in list_chains():
        path, about, problem = chains_folder() / f"{name}.toml", "", ""
        try:
            about = str(tomllib.loads(path.read_text(encoding="utf-8")).get("about", ""))
        except (OSError, ValueError) as error:
            problem = str(error)
        described.append({"name": name, "about": about, "problem": problem})
    return described


def find_chain(name_or_path: str) -> Path:
    """The file of a chain. Raises `RequestError`, with what comes close."""
    path = Path(name_or_path).expanduser()
    if path.suffix == ".toml" or path.parent != Path("."):
        if not path.is_file():
            raise RequestError(f"{path}: no such chain")
        return path
    named = chains_folder() / f"{name_or_path}.toml"
    if named.is_file():
        return named
    close = difflib.get_close_matches(name_or_path, list_chains(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"put NAME.toml into {chains_folder()}, or give a path"
    raise RequestError(f"no chain is named {name_or_path!r}; {hint}")
