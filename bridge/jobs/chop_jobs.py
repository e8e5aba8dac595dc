"""The worker's jobs for chops: hear and choose, lock, roll again, export."""

from pathlib import Path

from streaming.curves import CurveNetwork
from streaming.session import OnnxModel

from ..chops.analysis import analyse_passage
from ..chops.chops import ChopSet
from ..chops.kept import KeptPassage
from ..chops.settings import ChopSettings
from ..passage import FilePassage, Passage
from ..registry import find_model
from .answers import Answers
from .requests import Handler, Request, formats_and_folder, read_options
from .shelf import Shelf


class ChopJobs:
    """What was heard is kept under the id of its request, the job."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._shelf: Shelf[KeptPassage] = Shelf("chop")

    def handlers(self) -> dict[str, Handler]:
        return {
            "chop/file": Handler("listen", self._chop_file),
            "chop/recent": Handler("listen", self._chop_recent),
            "chop/export": Handler("listen", self._export),
            "chop/lock": Handler("choose", self._lock),
            "chop/reroll": Handler("choose", self._reroll),
        }

    def _chop_file(self, request: Request) -> list[int]:
        path = Path(request["path"]).expanduser()
        times = {"start_s": request["start_s"], "end_s": request["end_s"] or None}
        settings = read_options(ChopSettings, request["options"], **times)
        return self._chop(request["id"], FilePassage(path, settings.start_s, settings.end_s), settings)

    def _chop_recent(self, request: Request) -> list[int]:
        settings = read_options(ChopSettings, request["options"])
        return self._chop(request["id"], request.pop("heard"), settings)

    def _chop(self, id: int, passage: Passage, settings: ChopSettings) -> list[int]:
        network = CurveNetwork(OnnxModel.open(find_model(settings.model)))
        report = self._answers.listening(id)
        report(0.0)
        kept = KeptPassage(analyse_passage(passage, network, report), settings)
        self._answers.go_on(id)
        self._shelf.put(id, kept)
        return self._tell(id, id, kept.chops)

    def _tell(self, id: int, job: int, chops: ChopSet) -> list[int]:
        rows = [(i, c.position, c.end, c.score, c.kind, c.locked) for i, c in enumerate(chops.chops)]
        self._answers.items(id, "/sidechop/chop/item", rows)
        if chops.note:
            self._answers.progress(id, 1.0, chops.note)
        return [job, len(rows), chops.rate]

    def _lock(self, request: Request) -> list[int]:
        self._shelf.get(request["job"]).lock(request["position"], request["on"])
        return []

    def _reroll(self, request: Request) -> list[int]:
        return self._tell(request["id"], request["job"], self._shelf.get(request["job"]).reroll(request["seed"]))

    def _export(self, request: Request) -> list[int]:
        kept = self._shelf.get(request["job"])
        formats, folder = formats_and_folder(request)
        return self._answers.written(request["id"], formats, lambda report: kept.export(formats, folder, report))
