"""The line of a TOML file where a value stands, so that a mistake in it can be named.

`tomllib` gives values without their places. This follows the headers and keys of the file, arrays of tables with their
numbers; what stands inside of an inline table or an array is found at the line of its key.
"""

import re

Field = tuple[int | str, ...]
"""Keys, and numbers (from 0) for the elements of arrays: ``("stage", 2, "ratio")``."""

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


def line_of(text: str, field: Field) -> int | None:
    """The line (from 1) of ``field``, or of the innermost table or key around it that stands in the file."""
    table: Field = ()
    counts: dict[Field, int] = {}
    best, reach = None, 0
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            here = table = _table(_parts(header[2]), header[1] == "[[", counts)
        elif key := _KEY.match(line):
            here = (*table, *_parts(key[1]))
        else:
            continue
        if field and here[: len(field)] == field:
            return number
        if len(here) > reach and here == field[: len(here)]:
            best, reach = number, len(here)
    return best


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _table(names: tuple[str, ...], is_array: bool, counts: dict[Field, int]) -> Field:
    """Names with the numbers of the arrays that they pass through; a header of two brackets begins the next element."""
    path: Field = ()
    for i, name in enumerate(names):
        path = (*path, name)
        if is_array and i == len(names) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path
