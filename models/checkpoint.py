"""Checkpoints of training: written aside and renamed, read as plain data alone, with an error in words."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from streaming.errors import ModelError


def write_checkpoint(path: Path, data: Mapping[str, Any]) -> Path:
    """Numbers, text, lists, dictionaries and tensors; folders are made. Returns ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    torch.save(dict(data), aside)
    os.replace(aside, path)
    return path


@contextmanager
def checkpoint(path: Path, what: str) -> Iterator[dict[str, Any]]:
    """The content, for as long as it is made sense of: whatever fails in that makes it no checkpoint of ``what``.

    Raises:
        ModelError: there is no such file, torch cannot read it, or the block within failed.
    """
    try:
        yield torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except Exception as error:  # what unpickling rubbish raises has no end
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(f"{path}: not a checkpoint of {what} ({type(error).__name__}: {reason})") from None
