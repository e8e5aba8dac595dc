"""Chop a file: hear it once, keep the two best chops, roll the rest again, and write the slices.

python examples/chop_file.py SONG [FOLDER] [MODEL]
"""

import sys
from pathlib import Path

from bridge.chops.analysis import analyse
from bridge.chops.chopping import chop
from bridge.chops.exports import export
from bridge.chops.listening import open_network
from bridge.chops.settings import ChopSettings

song = Path(sys.argv[1])
folder = Path(sys.argv[2] if len(sys.argv) > 2 else "chops")
network = open_network(sys.argv[3] if len(sys.argv) > 3 else "chopper")

analysis = analyse(song, network)  # all that takes long
print(f"{len(analysis.onsets.positions)} onsets, {len(analysis.beats.positions)} beats, {analysis.tempo:.1f} bpm")

chops = chop(analysis, ChopSettings(count=8))
best = sorted(chops.chops, key=lambda chop: -chop.score)[:2]
locks = tuple(chop.position / chops.rate for chop in best)
for seed in (1, 2, 3):
    chops = chop(analysis, ChopSettings(count=8, seed=seed, lock=locks))
    print(f"seed {seed}:", *(f"{chop.position / chops.rate:.3f}{'*' if chop.locked else ''}" for chop in chops.chops))

written = export(chops, analysis.passage, ["slices", "sfz"], folder, song.stem)
print(f"{len(written.files)} files in {folder}")
