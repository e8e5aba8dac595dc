"""What is heard in a passage before anything is decided: how odd each step is, the faults, the beats if asked for.

Deciding anew, with another share to keep or another threshold, costs no more listening (`..flags.regions`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streaming.fault_curve import REPAIRED
from streaming.flagger import FILE, Flagger, Step, grid_odds
from streaming.flags import Flag
from streaming.judge import Judge
from streaming.reviewer import Review, Reviewer

from ..passage import ArrayPassage, FilePassage, Passage, Progress
from ..registry import JUDGE_MODEL, REVIEW_MODEL, find_model
from .bars import groups_of
from .fine import FineStore
from .listening import at_rate, listen
from .settings import FlagSettings

if TYPE_CHECKING:
    from ..chops.analysis import Analysis

SHORT_S = 10.0
"""Shorter passages do not show how a recording usually sounds."""
BEATS_MODEL = "chopper"
HEARING = 0.7
"""The flagger's part of the work where beats are looked for, too."""


@dataclass(frozen=True)
class FlagAnalysis:
    """One passage, heard once. Positions count from its beginning, at its own rate.

    Attributes:
        steps: how odd each moment is, reviewed with the whole passage as a witness, bar by bar where beats are known.
        review: what the reviewer said of every frame; None where the model counts on none.
        faults: what the specialised detectors found, on the sample.
        fault_odds: what they and the judge add to the network's log odds, every ``hop_s`` from the beginning on.
        cut_odds: the same without the kinds that are repaired, not cut out.
        hop_s: from step to step.
        calibration: sorted numbers of good audio, for thresholds that are p-values.
        beats: increasing; None where nobody looked for any.
    """

    passage: Passage
    rate: int
    frames: int
    start: int
    steps: tuple[Step, ...]
    review: Review | None
    faults: tuple[Flag, ...]
    fault_odds: NDArray[np.float64]
    cut_odds: NDArray[np.float64]
    hop_s: float
    calibration: NDArray[np.float32]
    beats: NDArray[np.int64] | None
    notes: tuple[str, ...] = ()

    @property
    def audio_bytes(self) -> int:
        """Of audio that is held because there is no file to read again."""
        return self.passage.audio.nbytes if isinstance(self.passage, ArrayPassage) else 0


def open_flagger(name_or_path: str | Path) -> tuple[Flagger, FineStore]:
    """A model with what the user said was fine, with reviewer and judge, and where the former is kept.

    Raises:
        ModelError: there is no such model, or it is of another kind.
    """
    path = find_model(name_or_path)
    flagger = Flagger(path)
    flagger.live = False
    if flagger.needs_reviewer:
        flagger.reviewer = Reviewer(find_model(REVIEW_MODEL))
        flagger.judge = Judge(find_model(JUDGE_MODEL))
    store = FineStore(path)
    store.teach(flagger)
    return flagger, store


def analyse(path: Path, flagger: Flagger, settings: FlagSettings, progress: Progress | None = None) -> FlagAnalysis:
    """Hear a file, or the part that the settings name.

    Raises:
        AudioError: the file cannot be read, or is silent.
        RequestError: it ends before that part, or is too short.
    """
    return analyse_passage(FilePassage(path, settings.start_s, settings.end_s), flagger, settings, progress)


def analyse_passage(
    passage: Passage,
    flagger: Flagger,
    settings: FlagSettings,
    progress: Progress | None = None,
) -> FlagAnalysis:
    """Hear any passage. Raises `AudioError`, `RequestError`."""
    report = progress or (lambda part: None)
    share = HEARING if settings.snap == "beat" else 1.0
    heard = listen(passage, flagger, lambda part: report(share * part))
    network, beats, groups = flagger.network, None, None
    if settings.snap == "beat":
        music = _hear_beats(passage, lambda part: report(share + (1 - share) * part))
        beats = music.beats.positions
        positions = np.array([step.position for step in at_rate(heard.steps, heard.step_rate, passage.rate)])
        groups = groups_of(positions, beats, music.beat_numbers, network.scales)
    steps = at_rate(flagger.review(heard.steps, groups, flagger.reviewed), heard.step_rate, passage.rate)
    hop_s = network.step_frames / network.features.frame_rate
    odds = grid_odds(steps, hop_s * passage.rate, heard.moments)
    fault_odds, cut_odds = (flagger.added_odds(odds, heard.curve, without) for without in ((), REPAIRED))
    reviewed = flagger.reviewed and flagger.reviewed.with_edges(at * hop_s for at in heard.curve.beginnings)
    report(1.0)
    return FlagAnalysis(
        passage=passage,
        rate=passage.rate,
        frames=heard.samples,
        start=passage.start,
        steps=tuple(steps),
        review=reviewed,
        faults=tuple(heard.faults),
        fault_odds=fault_odds,
        cut_odds=cut_odds,
        hop_s=hop_s,
        calibration=network.calibration[FILE],
        beats=beats,
        notes=tuple(_notes(passage, heard.samples, flagger, beats)),
    )


def _hear_beats(passage: Passage, report: Callable[[float], None]) -> "Analysis":
    from ..chops.analysis import analyse_passage as hear
    from ..chops.listening import open_network

    return hear(passage, open_network(BEATS_MODEL), report)


def _notes(passage: Passage, samples: int, flagger: Flagger, beats: NDArray[np.int64] | None) -> list[str]:
    name, learned = passage.source or "the recording", flagger.network.features
    notes = []
    if samples < SHORT_S * passage.rate:
        notes.append(
            f"{name}: lasts {samples / passage.rate:.1f} s, too short to show how it usually sounds: "
            f"what is flagged is less sure than in {SHORT_S:g} s and more"
        )
    if passage.rate < 2 * learned.high_hz:
        notes.append(
            f"{name}: ends at {passage.rate / 2000:g} kHz, and the model learned from audio up to "
            f"{learned.high_hz / 1000:g} kHz: what lacks above may be flagged"
        )
    if beats is not None and len(beats) < 2:
        notes.append(f"{name}: has no beat that could be found; cut on zero crossings instead")
    return notes
