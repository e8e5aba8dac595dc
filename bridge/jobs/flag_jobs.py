"""The worker's jobs for flags: hear and flag, "this was fine" and its undo, export."""

from pathlib import Path

from ..flags.analysis import analyse_passage, open_flagger
from ..flags.fine import FineStore
from ..flags.kept import KeptFlags
from ..flags.learning import embeddings_in
from ..flags.settings import FlagSettings
from ..passage import ArrayPassage, FilePassage, Passage
from .answers import Answers
from .requests import Handler, Request, formats_and_folder, read_options
from .shelf import Shelf


class FlagJobs:
    """What was heard is kept under the id of its request, the job."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._shelf: Shelf[KeptFlags] = Shelf("flag")

    def handlers(self) -> dict[str, Handler]:
        return {
            "flag/file": Handler("listen", self._flag_file),
            "flag/recent": Handler("listen", self._flag_recent),
            "flag/again": Handler("listen", self._again),
            "flag/export": Handler("listen", self._export),
            "flag/fine": Handler("choose", self._fine),
            "flag/learn": Handler("listen", self._learn),
            "flag/unlearn": Handler("choose", self._unlearn),
        }

    def _flag_file(self, request: Request) -> list[int]:
        path = Path(request["path"]).expanduser()
        times = {"start_s": request["start_s"], "end_s": request["end_s"] or None}
        settings = read_options(FlagSettings, request["options"], **times)
        return self._flag(request["id"], FilePassage(path, settings.start_s, settings.end_s), settings)

    def _flag_recent(self, request: Request) -> list[int]:
        settings = read_options(FlagSettings, request["options"])
        return self._flag(request["id"], request.pop("heard"), settings)

    def _flag(self, id: int, passage: Passage, settings: FlagSettings) -> list[int]:
        flagger, store = open_flagger(settings.model)
        report = self._answers.listening(id)
        report(0.0)
        kept = KeptFlags(analyse_passage(passage, flagger, settings, report), settings, store)
        self._answers.go_on(id)
        self._shelf.put(id, kept)
        return self._tell(id, id, kept)

    def _again(self, request: Request) -> list[int]:
        settings = read_options(FlagSettings, request["options"])
        kept = self._shelf.get(request["job"])
        kept.decide(settings)
        return self._tell(request["id"], request["job"], kept)

    def _tell(self, id: int, job: int, kept: KeptFlags) -> list[int]:
        flags = kept.flags
        self._answers.items(id, "/sidechop/flag/item", kept.rows())
        self._answers.items(id, "/sidechop/flag/part", [(i, *part) for i, part in enumerate(flags.parts)])
        for note in flags.notes:
            self._answers.progress(id, 1.0, note)
        return [job, len(flags.flags), len(flags.parts), flags.rate]

    def _fine(self, request: Request) -> list[int]:
        return [self._shelf.get(request["job"]).fine(request["index"], request["on"])]

    def _learn(self, request: Request) -> list[int]:
        """A flag of what was played was fine. On the engine's own grid of steps: it hears what the engine heard."""
        flagger, store = open_flagger(request["model"])
        passage: ArrayPassage = request.pop("heard")
        step = flagger.network.step_frames * flagger.network.features.hop_at(passage.rate)
        late = -passage.start % step
        passage = ArrayPassage(passage.audio[:, late:], passage.rate, passage.start + late)
        analysis = analyse_passage(passage, flagger, FlagSettings(), self._answers.listening(request["id"]))
        start, end = (request[name] - passage.start for name in ("start", "end"))
        return [store.add(embeddings_in(analysis, start, end))]

    def _unlearn(self, request: Request) -> list[int]:
        FineStore(Path(request["model"])).undo(request["number"])
        return [request["number"]]

    def _export(self, request: Request) -> list[int]:
        kept = self._shelf.get(request["job"])
        formats, folder = formats_and_folder(request)
        return self._answers.written(request["id"], formats, lambda report: kept.export(formats, folder, report))
