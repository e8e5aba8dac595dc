"""Drum grooves: one bar in sixteenths for each piece of the kit; ``x`` hit, ``o`` soft hit, ``.`` rest."""

Groove = dict[str, str]

BACKBEAT: Groove = {"kick": "x.......x.x.....", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}
HALF_TIME: Groove = {"kick": "x.....x...x.....", "snare": "........x.......", "hat": "x.x.x.x.x.x.x.x."}
FOUR: Groove = {
    "kick": "x...x...x...x...",
    "clap": "....x.......x...",
    "open": "..x...x...x...x.",
    "hat": "x.o.x.o.x.o.x.o.",
}
BOOM_BAP: Groove = {"kick": "x..x......xx....", "snare": "....x..o.o..x..o", "hat": "x.x.x.x.x.x.x.x."}
FUNK: Groove = {"kick": "x..x..x...x..x..", "snare": "....x..o.o.ox..o", "hat": "xxxxxxxxxxxxxxxx"}
TRAP: Groove = {
    "kick": "x......x..x.....",
    "snare": "........x.......",
    "hat": "x.x.x.xxx.x.xxxx",
    "clap": "........x.......",
}
SWING: Groove = {
    "ride": "x...x.x.x...x.x.",
    "pedal": "....x.......x...",
    "snare": "...o......o....o",
    "kick": "o.......o.......",
}
BOSSA: Groove = {"kick": "x..xx..xx..xx..x", "side": "x..x..x...x..x..", "hat": "x.x.x.x.x.x.x.x."}
LATIN: Groove = {
    "kick": "x..x..x.x..x..x.",
    "cowbell": "x.x.x.xxx.x.x.xx",
    "perc": "..xx..x...xx..xx",
    "side": "...x..x.....x...",
}
REGGAETON: Groove = {"kick": "x...x...x...x...", "snare": "...x..x....x..x.", "hat": "x.x.x.x.x.x.x.x."}
DOUBLE: Groove = {"kick": "xxxxxxxxxxxxxxxx", "snare": "....x.......x...", "ride": "x...x...x...x..."}
PUNK: Groove = {"kick": "x..x..x.x..x..x.", "snare": "..x...x...x...x.", "hat": "x.x.x.x.x.x.x.x."}
BREAKBEAT: Groove = {"kick": "x.x.......xx....", "snare": "....x..x.x..x..x", "hat": "x.x.x.x.x.x.x.x."}
BRUSHES: Groove = {"kick": "x.........x.....", "side": "....x.......x...", "shaker": "x.o.x.o.x.o.x.o."}
SPARSE: Groove = {"kick": "x...............", "tom_low": "......x...x.....", "shaker": "..x...x...x...x."}
TRIBAL: Groove = {
    "kick": "x..x..x...x.x...",
    "perc": "x.xx.xx.x.xx.xx.",
    "tom_low": "..x..x....x..x..",
    "shaker": "xoxoxoxoxoxoxoxo",
}
