"""The worker's job for stems: a passage of a file separated into files of a folder."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from streaming.errors import RequestError

from ..config import Section
from ..levels import level_db
from ..passage import FilePassage
from ..registry import AUTO, find_model, find_query_model
from ..separate import FileSeparator
from .answers import Answers
from .requests import Handler, Request, read_options


class SeparateOptions(Section):
    """What a request's options may be; the times are its other arguments.

    Attributes:
        stems: which of the model's outputs; all of them when empty.
        queries: what to take, in words, instead of stems; ``negatives`` (in JSON ``not``) what to leave.
    """

    model: str = AUTO
    stems: tuple[str, ...] = ()
    format: Literal["wav", "flac"] = "wav"
    queries: tuple[str, ...] = ()
    negatives: tuple[str, ...] = Field(default=(), alias="not")


class SeparateJobs:
    """Nothing is kept: the files are the result."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def handlers(self) -> dict[str, Handler]:
        return {"separate/file": Handler("listen", self._separate_file)}

    def _separate_file(self, request: Request) -> list[int]:
        id = request["id"]
        path, folder = (Path(request[name]).expanduser() for name in ("path", "folder"))
        options = read_options(SeparateOptions, request["options"])
        if not request["folder"]:
            raise RequestError("folder is empty: name the one to write into")
        start_s, end_s = request["start_s"], request["end_s"] or None
        if end_s is not None and end_s <= start_s:
            raise RequestError(f"the passage ends at {end_s:g} s, before it starts at {start_s:g} s")
        passage = FilePassage(path, start_s, end_s)
        report = self._answers.listening(id, "separating")
        report(0.0)
        separator = open_separator(options)
        done = separator.separate(
            path,
            folder,
            options.format,
            lambda frames, total: report(frames / max(1, total)),
            (passage.start, passage.frames),
        )
        for warning in filter(None, (done.warning, f"{done.clipped} samples clipped" if done.clipped else "")):
            self._answers.progress(id, 1.0, warning)
        rows = [
            (i, name, str(file.absolute()), level_db(done.peaks[name]))
            for i, (name, file) in enumerate(done.files.items())
        ]
        self._answers.items(id, "/sidechop/separate/item", rows)
        return [id, len(rows), done.rate, passage.start, passage.start + done.frames]


def open_separator(options: SeparateOptions) -> FileSeparator:
    """What separates as the options ask. Raises `ModelError`, `RequestError`."""
    asked = options.queries and options.model == AUTO
    path = find_query_model() if asked else find_model(options.model)
    return FileSeparator(path, options.stems, queries=options.queries, negatives=options.negatives)
