"""What each OSC request does to a daemon. Handlers write faders, read counters, and leave the rest to its owners."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from streaming.errors import RequestError, SidechopError

from . import __version__
from .batch.chains import described_chains
from .daws.place_jobs import place
from .latency import latency_report
from .levels import level_db
from .osc_server import Handler, JobAnswer, Progress
from .osc_table import Value
from .registry import ModelEntry, list_models
from .transport import Playhead, Unit

if TYPE_CHECKING:
    from .daemon import Daemon


class Remote:
    """The daemon as OSC sees it."""

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "/sidechop/ping": lambda: (__version__,),
            "/sidechop/status": lambda: (_json(self.status()),),
            "/sidechop/stem/gain": self._stem_gain,
            "/sidechop/stem/mute": self._stem_mute,
            "/sidechop/stem/solo": self._stem_solo,
            "/sidechop/mix/wet": self._wet,
            "/sidechop/mix/bypass": self._bypass,
            "/sidechop/model": self._model,
            "/sidechop/query": self._query,
            "/sidechop/query/strength": self._query_strength,
            "/sidechop/query/clear": self._query_clear,
            "/sidechop/models": lambda: (_json([_described(entry) for entry in list_models()]),),
            "/sidechop/statistics": lambda: (self.statistics_json(),),
            "/sidechop/statistics/reset": self._reset_statistics,
            "/sidechop/latency": lambda: (_json(self.latency()),),
            "/sidechop/chop/place": self._chop_place,
            "/sidechop/flag/place": self._flag_place,
            "/sidechop/transport": self._transport,
            "/sidechop/chop/file": self._chop_file,
            "/sidechop/chop/recent": self._chop_recent,
            "/sidechop/chop/lock": self._chop_lock,
            "/sidechop/chop/reroll": self._chop_reroll,
            "/sidechop/chop/export": self._chop_export,
            "/sidechop/chop/live": self._chop_live,
            "/sidechop/flag/file": self._flag_file,
            "/sidechop/flag/recent": self._flag_recent,
            "/sidechop/flag/again": self._flag_again,
            "/sidechop/flag/fine": self._flag_fine,
            "/sidechop/flag/export": self._flag_export,
            "/sidechop/flag/live": self._flag_live,
            "/sidechop/flag/live/fine": self._flag_live_fine,
            "/sidechop/flag/threshold": self._flag_threshold,
            "/sidechop/separate/file": self._separate_file,
            "/sidechop/batch/chains": lambda: (_json(described_chains()),),
            "/sidechop/batch/file": self._batch_file,
            "/sidechop/plugins": lambda: (_json(self._daemon.plugins.status()),),
            "/sidechop/plugin/focus": self._plugin_focus,
            "/sidechop/reset": self._reset,
            "/sidechop/quit": self._quit,
        }

    def status(self) -> dict[str, Any]:
        """What runs, and where the faders stand."""
        daemon, lane = self._daemon, self._daemon.lane
        controls = lane.controls
        return {
            "version": __version__,
            "lane": lane.name,
            "model": lane.model,
            "engine": {
                "state": lane.engine_state.name.lower(),
                "pid": daemon.engine.pid,
                "restarts": daemon.engine.restarts,
            },
            "audio": {
                "state": daemon.audio_state,
                "pid": daemon.audio.pid,
                "rate": lane.rate,
                "block": daemon.block,
                "channels": lane.channels,
            },
            "stems": [
                {
                    "name": name,
                    "gain_db": round(controls.gain_db(name), 3),
                    "mute": controls.mute(name),
                    "solo": controls.solo(name),
                }
                for name in controls.outputs
            ],
            "queries": daemon.queries.status(),
            "wet": round(controls.wet, 6),
            "bypass": controls.bypass,
            "chops": {"live": daemon.listens_for_chops, "heard": daemon.chops_heard, "worker": daemon.jobs.pid},
            "flags": {
                "live": daemon.listens_for_flags,
                "heard": daemon.flags.count,
                "threshold": round(daemon.flags.threshold, 9),
            },
            "daw": daemon.markers.status(),
            "history_s": lane.history_frames / lane.rate,
            "latency_samples": int(lane.header["host_latency"]),
        }

    def statistics(self) -> dict[str, Any]:
        daemon = self._daemon
        return {
            **daemon.lane.statistics(),
            "restarts": daemon.engine.restarts,
            "osc": daemon.server.counters(),
        }

    def statistics_json(self) -> str:
        return _json(self.statistics())

    def latency(self) -> dict[str, Any]:
        return latency_report(self._daemon.lane, self._daemon.audio.latency)

    def levels(self) -> list[Value]:
        """The arguments of ``/sidechop/event/levels``."""
        lane = self._daemon.lane
        values: list[Value] = [int(lane.counters["in_written"]), lane.rate]
        for name, peak in lane.meters().items():
            values += [name, level_db(peak)]
        return values

    def _chop_place(self, answer: JobAnswer, path: str, start_s: float, end_s: float, options: str, at_s: float) -> Any:
        return self._place(answer, lambda a: self._chop_file(a, path, start_s, end_s, options), start_s, at_s)

    def _flag_place(self, answer: JobAnswer, path: str, start_s: float, end_s: float, options: str, at_s: float) -> Any:
        return self._place(answer, lambda a: self._flag_file(a, path, start_s, end_s, options), start_s, at_s)

    def _place(
        self, answer: JobAnswer, run: Callable[[JobAnswer], Sequence[Value]], start_s: float, at_s: float
    ) -> Sequence[Value]:
        """Who asks may not hear the answer: a refusal is a notice, too."""
        try:
            return place(answer, run, self._daemon.markers.keep, start_s, at_s)
        except SidechopError as error:
            self._daemon.note_daw("refused", str(error))
            raise

    def _transport(
        self, position: float, unit: Unit, rolling: bool, tempo: float, loop_start: float, loop_end: float
    ) -> Sequence[Value]:
        if unit == "beats" and not tempo:
            raise RequestError("tempo is 0: beats need one")
        loop = (loop_start, loop_end) if loop_end > loop_start else None
        self._daemon.told_playhead(Playhead(position, rolling, unit, tempo, loop=loop))
        return ()

    def _stem_gain(self, stem: str, gain_db: float) -> Sequence[Value]:
        self._daemon.lane.controls.set_gain_db(stem, gain_db)
        return ()

    def _stem_mute(self, stem: str, on: bool) -> Sequence[Value]:
        self._daemon.lane.controls.set_mute(stem, on)
        return ()

    def _stem_solo(self, stem: str, on: bool) -> Sequence[Value]:
        self._daemon.lane.controls.set_solo(stem, on)
        return ()

    def _wet(self, amount: float) -> Sequence[Value]:
        self._daemon.lane.controls.wet = amount
        return ()

    def _bypass(self, on: bool) -> Sequence[Value]:
        self._daemon.lane.controls.bypass = on
        return ()

    def _model(self, progress: Progress, name: str) -> Sequence[Value]:
        progress(0.0, f"starting {name}")
        self._daemon.switch_model(name)
        return (int(self._daemon.lane.header["host_latency"]),)

    def _query(self, progress: Progress, number: int, words: str, negative: str) -> Sequence[Value]:
        progress(0.0, f"listening for {words}")
        self._daemon.queries.ask(number, words, negative)
        return (int(self._daemon.lane.header["host_latency"]),)

    def _query_strength(self, number: int, strength: float) -> Sequence[Value]:
        self._daemon.queries.set_strength(number, strength)
        return ()

    def _query_clear(self, number: int) -> Sequence[Value]:
        self._daemon.queries.clear(number)
        return ()

    def _chop_file(self, answer: JobAnswer, path: str, start_s: float, end_s: float, options: str) -> Sequence[Value]:
        jobs = self._daemon.jobs
        return jobs.run(answer, "chop/file", path=path, start_s=start_s, end_s=end_s, options=options)

    def _chop_recent(self, answer: JobAnswer, seconds: float, options: str) -> Sequence[Value]:
        daemon = self._daemon
        return daemon.jobs.run(answer, "chop/recent", lane=daemon.lane.name, seconds=seconds, options=options)

    def _chop_lock(self, answer: JobAnswer, job: int, position: int, on: bool) -> Sequence[Value]:
        return self._daemon.jobs.run(answer, "chop/lock", job=job, position=position, on=on)

    def _chop_reroll(self, answer: JobAnswer, job: int, seed: int) -> Sequence[Value]:
        return self._daemon.jobs.run(answer, "chop/reroll", job=job, seed=seed)

    def _chop_export(self, answer: JobAnswer, job: int, formats: str, folder: str) -> Sequence[Value]:
        return self._daemon.jobs.run(answer, "chop/export", job=job, formats=formats, folder=folder)

    def _chop_live(self, progress: Progress, on: bool) -> Sequence[Value]:
        progress(0.0, "listening for chops" if on else "listening no longer")
        self._daemon.listen_for_chops(on)
        return ()

    def _flag_file(self, answer: JobAnswer, path: str, start_s: float, end_s: float, options: str) -> Sequence[Value]:
        jobs = self._daemon.jobs
        return jobs.run(answer, "flag/file", path=path, start_s=start_s, end_s=end_s, options=options)

    def _flag_recent(self, answer: JobAnswer, seconds: float, options: str) -> Sequence[Value]:
        daemon = self._daemon
        return daemon.jobs.run(answer, "flag/recent", lane=daemon.lane.name, seconds=seconds, options=options)

    def _flag_again(self, answer: JobAnswer, job: int, options: str) -> Sequence[Value]:
        return self._daemon.jobs.run(answer, "flag/again", job=job, options=options)

    def _flag_fine(self, answer: JobAnswer, job: int, index: int, on: bool) -> Sequence[Value]:
        reply = self._daemon.jobs.run(answer, "flag/fine", job=job, index=index, on=on)
        self._daemon.flags.learned()
        return reply

    def _flag_export(self, answer: JobAnswer, job: int, formats: str, folder: str) -> Sequence[Value]:
        return self._daemon.jobs.run(answer, "flag/export", job=job, formats=formats, folder=folder)

    def _flag_live(self, progress: Progress, on: bool) -> Sequence[Value]:
        progress(0.0, "listening for what does not belong" if on else "listening no longer")
        self._daemon.listen_for_flags(on)
        return ()

    def _flag_live_fine(self, answer: JobAnswer, position: int, on: bool) -> Sequence[Value]:
        self._daemon.flags.fine(answer, position, on)
        return ()

    def _flag_threshold(self, p_value: float) -> Sequence[Value]:
        self._daemon.flags.threshold = p_value
        return ()

    def _separate_file(
        self, answer: JobAnswer, path: str, start_s: float, end_s: float, options: str, folder: str
    ) -> Sequence[Value]:
        passage = {"path": path, "start_s": start_s, "end_s": end_s}
        return self._daemon.jobs.run(answer, "separate/file", **passage, options=options, folder=folder)

    def _batch_file(self, answer: JobAnswer, chain: str, files: str, folder: str, options: str) -> Sequence[Value]:
        jobs = self._daemon.jobs
        return jobs.run(answer, "batch/file", chain=chain, files=files, folder=folder, options=options)

    def _plugin_focus(self, name: str) -> Sequence[Value]:
        self._daemon.plugins.focus(name)
        return ()

    def _reset(self, progress: Progress) -> Sequence[Value]:
        progress(0.0, "starting the engine afresh")
        self._daemon.switch_model(self._daemon.model_name)
        return ()

    def _reset_statistics(self) -> Sequence[Value]:
        self._daemon.lane.reset_statistics()
        return ()

    def _quit(self) -> Sequence[Value]:
        self._daemon.request_stop()
        return ()


def _described(entry: ModelEntry) -> dict[str, Any]:
    card = entry.card
    about = {"task": card.task, "stems": card.outputs_heard, "description": card.description} if card else {}
    return {"name": entry.name, "source": entry.source, "problem": entry.problem, **about}


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False)
