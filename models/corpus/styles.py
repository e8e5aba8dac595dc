"""The styles a song may be in: tempo, harmony, grooves and who plays.

Layers pair a way of playing (see ``parts``) with a family of instruments (see ``instruments``); chord progressions
are scale degrees from 0.
"""

from dataclasses import dataclass

from .grooves import (
    BACKBEAT,
    BOOM_BAP,
    BOSSA,
    BREAKBEAT,
    BRUSHES,
    DOUBLE,
    FOUR,
    FUNK,
    HALF_TIME,
    LATIN,
    PUNK,
    REGGAETON,
    SPARSE,
    SWING,
    TRAP,
    TRIBAL,
    Groove,
)

Layer = tuple[str, str]


@dataclass(frozen=True)
class Style:
    """Tables a song is drawn from; every tuple is one to choose among."""

    tempo: tuple[float, float]
    minor: float
    seventh: float
    swing: tuple[float, float]
    progressions: tuple[tuple[int, ...], ...]
    grooves: tuple[Groove, ...]
    bass: tuple[str, ...]
    bass_family: tuple[str, ...]
    layers: tuple[Layer, ...]
    layer_count: tuple[int, int]
    electronic_kit: float
    vocal: tuple[str, ...]


POP = ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 4, 4), (0, 3, 5, 4), (3, 4, 0, 5))
MINOR = ((0, 5, 2, 6), (0, 3, 5, 4), (0, 6, 5, 4), (0, 5, 3, 4), (0, 0, 5, 6), (0, 2, 6, 3))
JAZZ = ((1, 4, 0, 5), (0, 5, 1, 4), (2, 5, 1, 4), (0, 3, 2, 5), (1, 4, 0, 0))
VAMP = ((0, 0, 3, 3), (0, 3), (0, 6), (0, 0, 0, 4), (1, 4))

STYLES: dict[str, Style] = {
    "rock": Style(
        tempo=(95, 160), minor=0.4, seventh=0.1, swing=(0, 0.1), progressions=POP + MINOR,
        grooves=(BACKBEAT, PUNK, HALF_TIME), bass=("eighths", "roots", "follow"),
        bass_family=("bass_electric", "bass_pick"),
        layers=(("riff", "guitar_drive"), ("strum", "guitar_drive"), ("strum", "guitar_steel"),
                ("lead", "guitar_lead"), ("pad", "organ"), ("comp", "piano")),
        layer_count=(2, 4), electronic_kit=0.05, vocal=("lead", "lead", "double"),
    ),
    "metal": Style(
        tempo=(105, 172), minor=0.95, seventh=0.0, swing=(0, 0), progressions=MINOR,
        grooves=(DOUBLE, PUNK, HALF_TIME), bass=("follow", "eighths"), bass_family=("bass_pick", "bass_electric"),
        layers=(("riff", "guitar_drive"), ("riff", "guitar_drive"), ("lead", "guitar_lead"), ("pad", "strings")),
        layer_count=(2, 4), electronic_kit=0.0, vocal=("lead", "double"),
    ),
    "hip-hop": Style(
        tempo=(74, 104), minor=0.75, seventh=0.6, swing=(0.05, 0.3), progressions=MINOR + VAMP,
        grooves=(BOOM_BAP, BREAKBEAT, HALF_TIME), bass=("syncopated", "roots", "sub"),
        bass_family=("bass_synth", "bass_electric", "sub"),
        layers=(("comp", "epiano"), ("arp", "pluck"), ("pad", "strings"), ("loop", "guitar_clean"),
                ("stabs", "brass"), ("lead", "flute")),
        layer_count=(1, 3), electronic_kit=0.5, vocal=("rap", "lead", "double"),
    ),
    "trap": Style(
        tempo=(65, 84), minor=0.95, seventh=0.2, swing=(0, 0), progressions=MINOR + VAMP,
        grooves=(TRAP,), bass=("sub", "sub", "roots"), bass_family=("sub", "808"),
        layers=(("arp", "pluck"), ("pad", "synth_pad"), ("loop", "bells"), ("arp", "bells"), ("lead", "flute")),
        layer_count=(1, 3), electronic_kit=0.95, vocal=("rap", "lead", "double"),
    ),
    "house": Style(
        tempo=(116, 130), minor=0.7, seventh=0.5, swing=(0, 0.15), progressions=MINOR + VAMP + POP,
        grooves=(FOUR,), bass=("offbeat", "syncopated", "octaves"), bass_family=("bass_synth", "synth_bass"),
        layers=(("comp", "epiano"), ("stabs", "synth_saw"), ("pad", "synth_pad"), ("arp", "pluck"),
                ("comp", "piano"), ("pad", "strings")),
        layer_count=(2, 4), electronic_kit=0.9, vocal=("lead", "choir", "double"),
    ),
    "techno": Style(
        tempo=(126, 148), minor=0.9, seventh=0.0, swing=(0, 0), progressions=VAMP,
        grooves=(FOUR, TRIBAL), bass=("offbeat", "eighths"), bass_family=("synth_bass", "sub", "bass_synth"),
        layers=(("arp", "synth_saw"), ("arp", "pluck"), ("pad", "synth_pad"), ("stabs", "synth_saw")),
        layer_count=(1, 3), electronic_kit=0.95, vocal=("choir", "lead"),
    ),
    "drum-and-bass": Style(
        tempo=(160, 175), minor=0.9, seventh=0.4, swing=(0, 0.05), progressions=MINOR + VAMP,
        grooves=(BREAKBEAT, FUNK), bass=("sub", "syncopated"), bass_family=("sub", "synth_bass"),
        layers=(("pad", "synth_pad"), ("comp", "epiano"), ("arp", "pluck"), ("pad", "strings")),
        layer_count=(1, 3), electronic_kit=0.6, vocal=("lead", "choir"),
    ),
    "funk": Style(
        tempo=(92, 118), minor=0.6, seventh=0.9, swing=(0, 0.2), progressions=VAMP + JAZZ,
        grooves=(FUNK, BREAKBEAT), bass=("syncopated", "octaves", "slap"), bass_family=("bass_electric", "bass_slap"),
        layers=(("chop", "guitar_clean"), ("stabs", "brass"), ("comp", "clavinet"), ("comp", "organ"),
                ("lead", "sax"), ("comp", "epiano")),
        layer_count=(2, 4), electronic_kit=0.1, vocal=("lead", "double", "choir"),
    ),
    "disco": Style(
        tempo=(108, 124), minor=0.6, seventh=0.5, swing=(0, 0), progressions=MINOR + POP,
        grooves=(FOUR,), bass=("octaves", "syncopated"), bass_family=("bass_electric", "bass_synth"),
        layers=(("chop", "guitar_clean"), ("pad", "strings"), ("stabs", "brass"), ("comp", "piano"),
                ("lead", "strings")),
        layer_count=(2, 4), electronic_kit=0.3, vocal=("lead", "choir", "double"),
    ),
    "soul": Style(
        tempo=(66, 100), minor=0.4, seventh=0.9, swing=(0.1, 0.35), progressions=POP + JAZZ,
        grooves=(BOOM_BAP, BACKBEAT, BRUSHES), bass=("roots", "walking", "syncopated"), bass_family=("bass_electric",),
        layers=(("comp", "epiano"), ("comp", "organ"), ("chop", "guitar_clean"), ("stabs", "brass"),
                ("pad", "strings")),
        layer_count=(2, 4), electronic_kit=0.1, vocal=("lead", "double", "choir"),
    ),
    "ballad": Style(
        tempo=(58, 84), minor=0.4, seventh=0.3, swing=(0, 0), progressions=POP + MINOR,
        grooves=(BRUSHES, HALF_TIME, BACKBEAT), bass=("roots",), bass_family=("bass_electric", "bass_fretless"),
        layers=(("arp", "piano"), ("comp", "piano"), ("pad", "strings"), ("arp", "guitar_nylon"), ("lead", "winds")),
        layer_count=(2, 3), electronic_kit=0.1, vocal=("lead", "lead", "double", "choir"),
    ),
    "folk": Style(
        tempo=(76, 132), minor=0.3, seventh=0.1, swing=(0, 0.1), progressions=POP,
        grooves=(BRUSHES, BACKBEAT), bass=("roots", "eighths"), bass_family=("bass_acoustic", "bass_electric"),
        layers=(("strum", "guitar_steel"), ("arp", "guitar_nylon"), ("lead", "violin"), ("comp", "accordion"),
                ("lead", "flute"), ("arp", "banjo")),
        layer_count=(2, 3), electronic_kit=0.0, vocal=("lead", "double"),
    ),
    "country": Style(
        tempo=(88, 140), minor=0.1, seventh=0.2, swing=(0, 0.2), progressions=POP,
        grooves=(BACKBEAT, BRUSHES), bass=("alternating", "roots"), bass_family=("bass_electric", "bass_acoustic"),
        layers=(("strum", "guitar_steel"), ("lead", "violin"), ("comp", "piano"), ("arp", "banjo"),
                ("lead", "guitar_clean")),
        layer_count=(2, 4), electronic_kit=0.0, vocal=("lead", "double"),
    ),
    "jazz": Style(
        tempo=(80, 168), minor=0.4, seventh=1.0, swing=(0.45, 0.66), progressions=JAZZ,
        grooves=(SWING,), bass=("walking",), bass_family=("bass_acoustic",),
        layers=(("comp", "piano"), ("lead", "sax"), ("comp", "guitar_jazz"), ("lead", "trumpet"),
                ("stabs", "brass"), ("lead", "vibes")),
        layer_count=(1, 3), electronic_kit=0.0, vocal=("lead",),
    ),
    "bossa": Style(
        tempo=(96, 140), minor=0.4, seventh=1.0, swing=(0, 0), progressions=JAZZ,
        grooves=(BOSSA,), bass=("alternating",), bass_family=("bass_acoustic", "bass_electric"),
        layers=(("chop", "guitar_nylon"), ("comp", "piano"), ("lead", "flute"), ("pad", "strings")),
        layer_count=(1, 3), electronic_kit=0.0, vocal=("lead",),
    ),
    "latin": Style(
        tempo=(90, 128), minor=0.6, seventh=0.5, swing=(0, 0), progressions=MINOR + VAMP,
        grooves=(LATIN, REGGAETON), bass=("syncopated", "alternating"), bass_family=("bass_electric", "bass_acoustic"),
        layers=(("comp", "piano"), ("stabs", "brass"), ("strum", "guitar_nylon"), ("lead", "trumpet"),
                ("arp", "marimba")),
        layer_count=(2, 4), electronic_kit=0.1, vocal=("lead", "choir", "double"),
    ),
    "reggae": Style(
        tempo=(66, 92), minor=0.5, seventh=0.3, swing=(0, 0.2), progressions=POP + VAMP,
        grooves=(HALF_TIME, BACKBEAT), bass=("syncopated", "roots"), bass_family=("bass_electric", "sub"),
        layers=(("offbeats", "guitar_clean"), ("offbeats", "organ"), ("comp", "clavinet"), ("stabs", "brass"),
                ("lead", "brass")),
        layer_count=(2, 4), electronic_kit=0.1, vocal=("lead", "choir"),
    ),
    "synth-pop": Style(
        tempo=(92, 138), minor=0.6, seventh=0.1, swing=(0, 0), progressions=POP + MINOR,
        grooves=(BACKBEAT, FOUR), bass=("eighths", "octaves"), bass_family=("synth_bass", "bass_synth"),
        layers=(("pad", "synth_pad"), ("arp", "pluck"), ("arp", "synth_saw"), ("lead", "synth_lead"),
                ("stabs", "synth_saw")),
        layer_count=(2, 4), electronic_kit=0.9, vocal=("lead", "double", "choir"),
    ),
    "ambient": Style(
        tempo=(62, 100), minor=0.6, seventh=0.6, swing=(0, 0), progressions=POP + MINOR,
        grooves=(SPARSE, TRIBAL), bass=("roots", "sub"), bass_family=("bass_fretless", "sub", "bass_synth"),
        layers=(("pad", "synth_pad"), ("pad", "strings"), ("arp", "bells"), ("arp", "piano"), ("lead", "winds"),
                ("pad", "synth_saw")),
        layer_count=(2, 4), electronic_kit=0.6, vocal=("choir", "lead"),
    ),
    "cinematic": Style(
        tempo=(70, 130), minor=0.8, seventh=0.1, swing=(0, 0), progressions=MINOR,
        grooves=(TRIBAL, SPARSE, HALF_TIME), bass=("roots", "eighths"),
        bass_family=("bass_acoustic", "bass_synth", "sub"),
        layers=(("pad", "strings"), ("stabs", "brass"), ("arp", "strings_short"), ("lead", "horn"),
                ("arp", "harp"), ("lead", "violin")),
        layer_count=(2, 5), electronic_kit=0.1, vocal=("choir", "choir", "lead"),
    ),
}  # fmt: skip
