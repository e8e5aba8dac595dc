"""The styles a song may be in: tempo, harmony, grooves and who plays.

Grooves are step strings of one bar in sixteenths: ``x`` hit, ``o`` soft (ghost) hit, ``.`` rest.
Layers pair a way of playing (a function of ``compose``) with a family of instruments (see ``instruments``).
"""

from dataclasses import dataclass

Groove = dict[str, str]
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

BACKBEAT: Groove = {"kick": "x.......x.x.....", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}
HALF_TIME: Groove = {"kick": "x.....x...x.....", "snare": "........x.......", "hat": "x.x.x.x.x.x.x.x."}
FOUR: Groove = {"kick": "x...x...x...x...", "clap": "....x.......x...", "open": "..x...x...x...x.", "hat": "x.o.x.o.x.o.x.o."}
BOOM_BAP: Groove = {"kick": "x..x......xx....", "snare": "....x..o.o..x..o", "hat": "x.x.x.x.x.x.x.x."}
FUNK: Groove = {"kick": "x..x..x...x..x..", "snare": "....x..o.o.ox..o", "hat": "xxxxxxxxxxxxxxxx"}
TRAP: Groove = {"kick": "x......x..x.....", "snare": "........x.......", "hat": "x.x.x.xxx.x.xxxx", "clap": "........x......."}
SWING: Groove = {"ride": "x...x.x.x...x.x.", "pedal": "....x.......x...", "snare": "...o......o....o", "kick": "o.......o......."}
BOSSA: Groove = {"kick": "x..xx..xx..xx..x", "side": "x..x..x...x..x..", "hat": "x.x.x.x.x.x.x.x."}
LATIN: Groove = {"kick": "x..x..x.x..x..x.", "cowbell": "x.x.x.xxx.x.x.xx", "perc": "..xx..x...xx..xx", "side": "...x..x.....x..."}
REGGAETON: Groove = {"kick": "x...x...x...x...", "snare": "...x..x....x..x.", "hat": "x.x.x.x.x.x.x.x."}
DOUBLE: Groove = {"kick": "xxxxxxxxxxxxxxxx", "snare": "....x.......x...", "ride": "x...x...x...x..."}
PUNK: Groove = {"kick": "x..x..x.x..x..x.", "snare": "..x...x...x...x.", "hat": "x.x.x.x.x.x.x.x."}
BREAKBEAT: Groove = {"kick": "x.x.......xx....", "snare": "....x..x.x..x..x", "hat": "x.x.x.x.x.x.x.x."}
BRUSHES: Groove = {"kick": "x.........x.....", "side": "....x.......x...", "shaker": "x.o.x.o.x.o.x.o."}
SPARSE: Groove = {"kick": "x...............", "tom_low": "......x...x.....", "shaker": "..x...x...x...x."}
TRIBAL: Groove = {"kick": "x..x..x...x.x...", "perc": "x.xx.xx.x.xx.xx.", "tom_low": "..x..x....x..x..", "shaker": "xoxoxoxoxoxoxoxo"}

STYLES: dict[str, Style] = {
    "rock": Style((95, 160), 0.4, 0.1, (0, 0.1), POP + MINOR, (BACKBEAT, PUNK, HALF_TIME), ("eighths", "roots", "follow"),
                  ("bass_electric", "bass_pick"), (("riff", "guitar_drive"), ("strum", "guitar_drive"), ("strum", "guitar_steel"),
                  ("lead", "guitar_lead"), ("pad", "organ"), ("comp", "piano")), (2, 4), 0.05, ("lead", "lead", "double")),
    "metal": Style((105, 172), 0.95, 0.0, (0, 0), MINOR, (DOUBLE, PUNK, HALF_TIME), ("follow", "eighths"),
                   ("bass_pick", "bass_electric"), (("riff", "guitar_drive"), ("riff", "guitar_drive"), ("lead", "guitar_lead"),
                   ("pad", "strings")), (2, 4), 0.0, ("lead", "double")),
    "hip-hop": Style((74, 104), 0.75, 0.6, (0.05, 0.3), MINOR + VAMP, (BOOM_BAP, BREAKBEAT, HALF_TIME), ("syncopated", "roots", "sub"),
                     ("bass_synth", "bass_electric", "sub"), (("comp", "epiano"), ("arp", "pluck"), ("pad", "strings"),
                     ("loop", "guitar_clean"), ("stabs", "brass"), ("lead", "flute")), (1, 3), 0.5, ("rap", "lead", "double")),
    "trap": Style((65, 84), 0.95, 0.2, (0, 0), MINOR + VAMP, (TRAP,), ("sub", "sub", "roots"), ("sub", "808"),
                  (("arp", "pluck"), ("pad", "synth_pad"), ("loop", "bells"), ("arp", "bells"), ("lead", "flute")), (1, 3), 0.95,
                  ("rap", "lead", "double")),
    "house": Style((116, 130), 0.7, 0.5, (0, 0.15), MINOR + VAMP + POP, (FOUR,), ("offbeat", "syncopated", "octaves"),
                   ("bass_synth", "synth_bass"), (("comp", "epiano"), ("stabs", "synth_saw"), ("pad", "synth_pad"), ("arp", "pluck"),
                   ("comp", "piano"), ("pad", "strings")), (2, 4), 0.9, ("lead", "choir", "double")),
    "techno": Style((126, 148), 0.9, 0.0, (0, 0), VAMP, (FOUR, TRIBAL), ("offbeat", "eighths"), ("synth_bass", "sub", "bass_synth"),
                    (("arp", "synth_saw"), ("arp", "pluck"), ("pad", "synth_pad"), ("stabs", "synth_saw")), (1, 3), 0.95, ("choir", "lead")),
    "drum-and-bass": Style((160, 175), 0.9, 0.4, (0, 0.05), MINOR + VAMP, (BREAKBEAT, FUNK), ("sub", "syncopated"),
                           ("sub", "synth_bass"), (("pad", "synth_pad"), ("comp", "epiano"), ("arp", "pluck"), ("pad", "strings")),
                           (1, 3), 0.6, ("lead", "choir")),
    "funk": Style((92, 118), 0.6, 0.9, (0, 0.2), VAMP + JAZZ, (FUNK, BREAKBEAT), ("syncopated", "octaves", "slap"),
                  ("bass_electric", "bass_slap"), (("chop", "guitar_clean"), ("stabs", "brass"), ("comp", "clavinet"), ("comp", "organ"),
                  ("lead", "sax"), ("comp", "epiano")), (2, 4), 0.1, ("lead", "double", "choir")),
    "disco": Style((108, 124), 0.6, 0.5, (0, 0), MINOR + POP, (FOUR,), ("octaves", "syncopated"), ("bass_electric", "bass_synth"),
                   (("chop", "guitar_clean"), ("pad", "strings"), ("stabs", "brass"), ("comp", "piano"), ("lead", "strings")), (2, 4), 0.3,
                   ("lead", "choir", "double")),
    "soul": Style((66, 100), 0.4, 0.9, (0.1, 0.35), POP + JAZZ, (BOOM_BAP, BACKBEAT, BRUSHES), ("roots", "walking", "syncopated"),
                  ("bass_electric",), (("comp", "epiano"), ("comp", "organ"), ("chop", "guitar_clean"), ("stabs", "brass"),
                  ("pad", "strings")), (2, 4), 0.1, ("lead", "double", "choir")),
    "ballad": Style((58, 84), 0.4, 0.3, (0, 0), POP + MINOR, (BRUSHES, HALF_TIME, BACKBEAT), ("roots",), ("bass_electric", "bass_fretless"),
                    (("arp", "piano"), ("comp", "piano"), ("pad", "strings"), ("arp", "guitar_nylon"), ("lead", "winds")), (2, 3), 0.1,
                    ("lead", "lead", "double", "choir")),
    "folk": Style((76, 132), 0.3, 0.1, (0, 0.1), POP, (BRUSHES, BACKBEAT), ("roots", "eighths"), ("bass_acoustic", "bass_electric"),
                  (("strum", "guitar_steel"), ("arp", "guitar_nylon"), ("lead", "violin"), ("comp", "accordion"), ("lead", "flute"),
                  ("arp", "banjo")), (2, 3), 0.0, ("lead", "double")),
    "country": Style((88, 140), 0.1, 0.2, (0, 0.2), POP, (BACKBEAT, BRUSHES), ("alternating", "roots"), ("bass_electric", "bass_acoustic"),
                     (("strum", "guitar_steel"), ("lead", "violin"), ("comp", "piano"), ("arp", "banjo"), ("lead", "guitar_clean")), (2, 4),
                     0.0, ("lead", "double")),
    "jazz": Style((80, 168), 0.4, 1.0, (0.45, 0.66), JAZZ, (SWING,), ("walking",), ("bass_acoustic",),
                  (("comp", "piano"), ("lead", "sax"), ("comp", "guitar_jazz"), ("lead", "trumpet"), ("stabs", "brass"),
                  ("lead", "vibes")), (1, 3), 0.0, ("lead",)),
    "bossa": Style((96, 140), 0.4, 1.0, (0, 0), JAZZ, (BOSSA,), ("alternating",), ("bass_acoustic", "bass_electric"),
                   (("chop", "guitar_nylon"), ("comp", "piano"), ("lead", "flute"), ("pad", "strings")), (1, 3), 0.0, ("lead",)),
    "latin": Style((90, 128), 0.6, 0.5, (0, 0), MINOR + VAMP, (LATIN, REGGAETON), ("syncopated", "alternating"), ("bass_electric", "bass_acoustic"),
                   (("comp", "piano"), ("stabs", "brass"), ("strum", "guitar_nylon"), ("lead", "trumpet"), ("arp", "marimba")), (2, 4), 0.1,
                   ("lead", "choir", "double")),
    "reggae": Style((66, 92), 0.5, 0.3, (0, 0.2), POP + VAMP, (HALF_TIME, BACKBEAT), ("syncopated", "roots"), ("bass_electric", "sub"),
                    (("offbeats", "guitar_clean"), ("offbeats", "organ"), ("comp", "clavinet"), ("stabs", "brass"), ("lead", "brass")), (2, 4),
                    0.1, ("lead", "choir")),
    "synth-pop": Style((92, 138), 0.6, 0.1, (0, 0), POP + MINOR, (BACKBEAT, FOUR), ("eighths", "octaves"), ("synth_bass", "bass_synth"),
                       (("pad", "synth_pad"), ("arp", "pluck"), ("arp", "synth_saw"), ("lead", "synth_lead"), ("stabs", "synth_saw")), (2, 4),
                       0.9, ("lead", "double", "choir")),
    "ambient": Style((62, 100), 0.6, 0.6, (0, 0), POP + MINOR, (SPARSE, TRIBAL), ("roots", "sub"), ("bass_fretless", "sub", "bass_synth"),
                     (("pad", "synth_pad"), ("pad", "strings"), ("arp", "bells"), ("arp", "piano"), ("lead", "winds"), ("pad", "synth_saw")),
                     (2, 4), 0.6, ("choir", "lead")),
    "cinematic": Style((70, 130), 0.8, 0.1, (0, 0), MINOR, (TRIBAL, SPARSE, HALF_TIME), ("roots", "eighths"), ("bass_acoustic", "bass_synth", "sub"),
                       (("pad", "strings"), ("stabs", "brass"), ("arp", "strings_short"), ("lead", "horn"), ("arp", "harp"), ("lead", "violin")),
                       (2, 5), 0.1, ("choir", "choir", "lead")),
}
