"""What outputs are called: the template of a chain, and where it would make two files one."""

import string
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from streaming.errors import RequestError

from ..exporting import safe_stem
from .description import Chain, splits

FIELDS = ("path", "name", "ext", "stem", "slice")


class Name(NamedTuple):
    """What a template is filled with."""

    folder: str
    name: str
    suffix: str
    labels: Mapping[str, str]


def template_of(chain: Chain) -> str:
    """The chain's own, or one that tells all of its outputs apart."""
    if chain.output.name is not None:
        return chain.output.name
    kinds = {splits(stage) for stage in chain.stage}
    if "slice" in kinds:
        return "{path}/{name}/{stem}-{slice}" if "stem" in kinds else "{path}/{name}/{name}-{slice}"
    return "{path}/{name}/{stem}" if "stem" in kinds else "{path}/{name}"


def check_template(chain: Chain) -> None:
    """Raises `RequestError` for a template with unknown fields, or one that cannot tell a chain's outputs apart."""
    template = template_of(chain)
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise RequestError(f"output › name is {template!r}: {error}") from None
    for field in fields:
        if field not in FIELDS:
            raise RequestError(f"output › name: there is no {{{field}}}; there is {', '.join(FIELDS)}")
    for stage in chain.stage:
        if (kind := splits(stage)) and kind not in fields:
            raise RequestError(f"output › name is {template!r}, but one file becomes several: it needs {{{kind}}}")
    if not {"name", "path"} & set(fields) or "name" not in fields:
        raise RequestError(f"output › name is {template!r}, the same for every file: it needs {{name}}")
    if template.startswith("/") or ".." in PurePosixPath(template).parts:
        raise RequestError(f"output › name is {template!r}: it must lie below the output folder")


def name_of(chain: Chain, name: Name) -> str:
    """The path of an output below the output folder, without its ending, with ``/`` between folders."""
    labels = {"stem": "", "slice": "", **{kind: safe_stem(label, kind) for kind, label in name.labels.items()}}
    filled = template_of(chain).format(
        path=name.folder or ".", name=name.name, ext=name.suffix.removeprefix("."), **labels
    )
    return PurePosixPath(filled).as_posix()
