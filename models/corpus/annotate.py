"""What a song's annotations say: where each stem's notes begin, the beats, the bars and the phrases.

Beats come from the score. Onsets are the score's, moved to where the stem is heard to begin, and dropped where
nothing is heard. What nobody wrote down (spoken lines, a choir's many voices, recorded loops) is named in
``unannotated`` instead of guessed, so that a trainer can leave that stem out.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from .attacks import CLEAR_DB, EARLY_S, MERGE_S, REACH_S, Envelopes, Times, merge
from .render import Rendering
from .score import Song
from .synth import RATE, Audio

INAUDIBLE_DB = 35.0
LEAST_RISE_DB = 3.0
SHORTEST_S = 0.02
SUNG_EARLY_S = 0.11
SUNG_REACH_S = 0.08
SUNG_ALONE = ("lead", "double")
LOOPS = ("breaks/garden",)
EFFECTS_KIT = re.compile(r":56\b")


def annotations(song: Song, rendering: Rendering) -> dict[str, Any]:
    """The fields of ``song.json`` that say when things happen, in seconds from the start of the stems."""
    stems = rendering.stems
    seconds = stems["drums"].shape[1] / RATE
    unannotated = []
    # a loop under the kit keeps its own strokes, which nobody wrote down,
    # and an effects kit's telephones and applause begin nowhere in particular
    loop = not song.sampled_break and any(credit["name"] in LOOPS for credit in rendering.facts["sources"])
    if loop or EFFECTS_KIT.search(rendering.facts["kit"]):
        unannotated.append("drums")
    if song.phrases and song.vocal not in SUNG_ALONE:
        unannotated.append("vocals")
    struck = {
        "drums": [(hit.start, hit.role) for hit in rendering.hits],
        "bass": [(note.start, "") for note in song.bass],
        "other": [(note.start, str(k)) for k, (_, notes) in enumerate(song.layers) for note in notes],
    }
    onsets = {name: heard(stems[name], notes, dropped=name == "drums") for name, notes in struck.items()}
    onsets["vocals"] = np.array([]) if "vocals" in unannotated else sung(stems["vocals"], song)
    return {
        "onsets": {name: _rounded(onsets[name], seconds) for name in stems},
        "beats": _rounded(song.beats, seconds),
        "downbeats": _rounded(song.downbeats, seconds),
        "phrases": _rounded(song.sections, seconds),
        "unannotated": unannotated,
    }


def _rounded(times: Times | Sequence[float], seconds: float) -> list[float]:
    return [round(float(time), 5) for time in times if 0 <= time < seconds - SHORTEST_S]


def heard(
    sound: Audio,
    notes: list[tuple[float, str]],
    dropped: bool,
    early_s: float = EARLY_S,
    reach_s: float = REACH_S,
) -> Times:
    """Where the notes (time struck, who) of a stem are heard to begin.

    Notes struck within 30 ms are one. One that is hidden by what rings on is placed as late as its kind usually
    sounds after being struck, or, for drums (``dropped``), left out when nothing at all rises.
    """
    if not notes or not np.any(sound):
        return np.array([])
    envelopes = Envelopes(sound)
    groups = _together(notes)
    ends = [time for time, _ in groups[1:]] + [np.inf]
    measured = [
        envelopes.attack(time, min(reach_s, max(0.01, end - early_s - time)), early_s)
        for (time, _), end in zip(groups, ends, strict=True)
    ]
    lateness: dict[str, list[float]] = defaultdict(list)
    for (time, who), attack in zip(groups, measured, strict=True):
        if attack.rise_db >= CLEAR_DB:
            lateness[who].append(attack.time - time)
            lateness["*"].append(attack.time - time)
    times = []
    for (time, who), attack in zip(groups, measured, strict=True):
        if attack.under_db > INAUDIBLE_DB or (dropped and attack.rise_db < LEAST_RISE_DB):
            continue
        if attack.rise_db >= CLEAR_DB:
            times.append(attack.time)
        else:
            usual = lateness[who] or lateness["*"] or [0.0]
            times.append(time + float(np.median(usual)))
    return merge(times)


def _together(notes: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Notes struck within 30 ms as one, struck by all of them."""
    groups: list[tuple[float, set[str]]] = []
    for time, who in sorted(notes):
        if groups and time - groups[-1][0] < MERGE_S:
            groups[-1][1].add(who)
        else:
            groups.append((time, {who}))
    return [(time, "+".join(sorted(names))) for time, names in groups]


def sung(sound: Audio, song: Song) -> Times:
    """Where sung syllables begin: a consonant comes before its note, so the search begins before it too.

    A phrase's last notes may be answered by another voice; an answer counts where it is clearly heard.
    """
    notes = [(note.start, "") for phrase in song.phrases for note in phrase]
    lead = heard(sound, notes, dropped=False, early_s=SUNG_EARLY_S, reach_s=SUNG_REACH_S)
    if not len(lead):
        return lead
    envelopes = Envelopes(sound)
    answers = [note.start + phrase[-1].length for phrase in song.phrases for note in phrase[-2:]]
    measured = [envelopes.attack(time, SUNG_REACH_S, SUNG_EARLY_S) for time in answers]
    clear = [a.time for a in measured if a.rise_db >= 2 * CLEAR_DB and a.under_db < INAUDIBLE_DB]
    new = [time for time in clear if np.min(np.abs(lead - time)) > SUNG_EARLY_S]
    return merge([*lead, *new])
