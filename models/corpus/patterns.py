"""Drum patterns that people wrote: Hydrogen's demo songs, played on the kits that training never meets.

A song is a row of bars in ticks, 48 a beat, with swing and an uneven hand as its file says. The strokes are annotated
where they are heard, as in the rendered corpus; bars of four are all there is.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .annotate import heard
from .drums import load_kit, role_of
from .instruments import DRUM_BANK, SoundfontPlayer
from .pools import POOLS
from .production import set_level
from .recordings import Recorded
from .score import Hit, Rng
from .sources import CREDITS, SOUNDFONT_FILES, Credit, Sources
from .synth import RATE, Audio

SONGS = "usr/share/hydrogen/data/demo_songs"
SPLIT_OF = {
    "GM_kit_Diddley": "validation",
    "GM_kit_demo1": "validation",
    "GM_kit_demo3": "validation",
    "GM_kit_Jazzy": "test",
    "GM_kit_demo2": "test",
    "TR808kit-demo": "test",
}
WRITTEN = Credit("hydrogen-data", "GPL-2+", "Hydrogen demo songs by Artemiy Pavlov and Emiliano Grilli")
# its one-shots rattle on after the stroke: what counts as an onset would be a matter of opinion
UNCLEAR = "rumpf_kit_z01_h2"
TICKS_PER_BEAT = 48
BEATS_PER_BAR = 4
SPREAD_S = 0.02
TAIL_S = 1.5


def read_patterns(sources: Sources) -> Iterator[Recorded]:
    """Each demo song on each kit and drum soundfont of its split."""
    for name, split in SPLIT_OF.items():
        path = sources.cache / "hydrogen-data" / SONGS / f"{name}.h2song"
        if not path.is_file():
            continue
        players = [name for name in (*POOLS[split].kits, *POOLS[split].drum_soundfonts) if name != UNCLEAR]
        for number, player in enumerate(players):
            rng = np.random.default_rng([5, sorted(SPLIT_OF).index(name), number])
            tempo, bars, hits = read_pattern(rng, path)
            seconds = bars * BEATS_PER_BAR * 60 / tempo + TAIL_S
            sound = _play(rng, sources, player, hits, int(seconds * RATE))
            if sound is None:
                continue
            beats = np.arange(bars * BEATS_PER_BAR) * 60 / tempo
            onsets = {
                "drums": heard(sound, [(hit.start, hit.role) for hit in hits], dropped=True),
                **dict.fromkeys(("vocals", "bass", "other"), np.array([])),
            }
            facts = {"tempo": tempo, "beats_per_bar": BEATS_PER_BAR, "kit": player}
            yield Recorded(
                f"{name} on {player}",
                split,
                {"drums": sound},
                onsets,
                beats,
                beats[::BEATS_PER_BAR],
                facts,
                (WRITTEN, CREDITS[player]),
            )


def read_pattern(rng: Rng, path: Path) -> tuple[float, int, list[Hit]]:
    """The tempo, the number of bars and the strokes of a ``.h2song``."""
    text = path.read_text(encoding="utf-8", errors="replace")
    song = ElementTree.fromstring(re.sub(r'\sxmlns="[^"]*"', "", text))
    tempo, uneven = _number(song, "bpm"), _number(song, "humanize_time") * SPREAD_S
    swing = _number(song, "swing_factor")
    roles = {i.findtext("id"): role_of(i.findtext("name") or "") for i in song.iter("instrument")}
    patterns = {p.findtext("name"): list(p.iter("note")) for p in song.findall("patternList/pattern")}
    groups = song.findall("patternSequence/group")
    tick_s = 60 / tempo / TICKS_PER_BEAT
    hits = []
    for bar, group in enumerate(groups):
        for pattern in group:
            for note in patterns.get(pattern.text, []):
                role = roles.get(note.findtext("instrument"))
                tick = int(_number(note, "position"))
                if role is None or note.findtext("note_off") == "true":
                    continue
                # every second sixteenth comes late by the swing
                late = swing * TICKS_PER_BEAT / 12 if tick % (TICKS_PER_BEAT // 2) == TICKS_PER_BEAT // 4 else 0.0
                time = (bar * BEATS_PER_BAR * TICKS_PER_BEAT + tick + late) * tick_s + float(rng.normal(0, 1)) * uneven
                hits.append(Hit(max(0.0, time), role, min(1.0, max(0.05, _number(note, "velocity")))))
    return tempo, len(groups), sorted(hits)


def _number(element: ElementTree.Element, name: str) -> float:
    return float(element.findtext(name) or 0)


def _play(rng: Rng, sources: Sources, player: str, hits: list[Hit], samples: int) -> Audio | None:
    font = sources.soundfont(player) if player in SOUNDFONT_FILES else None
    kit = load_kit(sources, player) if player not in SOUNDFONT_FILES else None
    if font:
        synth = SoundfontPlayer(font)
        programs = synth.programs(DRUM_BANK)
        sound = synth.play_drums(hits, samples, *((DRUM_BANK, int(rng.choice(programs))) if programs else (0, 0)))
        synth.close()
    elif kit:
        sound = kit.play(rng, hits, samples)
    else:
        return None
    sound = set_level(sound, -18)
    return sound * np.float32(min(1.0, 0.95 / (np.abs(sound).max() + 1e-9)))
