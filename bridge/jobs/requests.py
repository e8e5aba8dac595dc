"""Requests as a worker gets them: a dictionary from JSON, and what is read out of it the same way for all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel

from streaming.errors import RequestError
from streaming.lane import Lane

from ..config import read_config
from ..passage import ArrayPassage

Request = dict[str, Any]
_Settings = TypeVar("_Settings", bound=BaseModel)


class Handler(NamedTuple):
    """``pool``: whether it hears audio, which takes long, answers at once from what was heard, or runs a batch."""

    pool: Literal["listen", "choose", "batch"]
    carry_out: Callable[[Request], list[int]]


def heard_lately(request: Request) -> ArrayPassage:
    """What was just played on the request's lane. Raises `RequestError`, `EngineError`."""
    lane = Lane.attach(request["lane"])
    try:
        position, audio = lane.recent(request["seconds"])
        rate = lane.rate
    finally:
        lane.close()
    if not audio.shape[1]:
        raise RequestError("nothing has been played yet: there is no audio to listen to")
    return ArrayPassage(audio, rate, position)


def read_options(kind: type[_Settings], text: str, **fixed: object) -> _Settings:
    """Settings from the JSON of a request; ``fixed`` ones come from its other arguments. Raises `RequestError`."""
    try:
        options = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"options are not JSON ({error}): give an object such as {{}}") from None
    if not isinstance(options, dict):
        raise RequestError(f"options are {text[:60]}, expected a JSON object such as {{}}")
    if both := sorted(options.keys() & {"start_s", "end_s"}):
        raise RequestError(f"options: {both[0]} is an argument of its own")
    return read_config(kind, None, {**options, **fixed})


def formats_and_folder(request: Request) -> tuple[list[str], Path]:
    """Of an export. Raises `RequestError`."""
    formats = [name.strip() for name in request["formats"].split(",")]
    if not request["folder"]:
        raise RequestError("folder is empty: name the one to write into")
    return formats, Path(request["folder"]).expanduser()
