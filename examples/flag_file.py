"""Flag a file: hear it once, decide twice, say that the worst flag was fine, and write the cut.

python examples/flag_file.py RECORDING [FOLDER] [MODEL]
"""

import sys
from pathlib import Path

from bridge.flags.analysis import analyse, open_flagger
from bridge.flags.exports import export
from bridge.flags.regions import find_flags
from bridge.flags.settings import FlagSettings

recording = Path(sys.argv[1])
folder = Path(sys.argv[2] if len(sys.argv) > 2 else "flags")
flagger, fine = open_flagger(sys.argv[3] if len(sys.argv) > 3 else "flagger")
print(f"passages known as fine: {fine.count}")

settings = FlagSettings()
analysis = analyse(recording, flagger, settings)  # all that takes long
flags = find_flags(analysis, settings)
for flag in flags.flags:
    print(f"{flag.start / flags.rate:.3f} to {flag.end / flags.rate:.3f} s: {flag.kind}, p = {flag.p_value:.4f}")

if flags.flags:
    worst = max(flags.flags, key=lambda flag: flag.score)
    left = find_flags(analysis, settings, fine=[worst])  # for this once; `fine.add` remembers it
    print(f"without the worst, {len(left.flags)} flags are left and {left.kept_s:.1f} s are kept")

tight = find_flags(analysis, FlagSettings(keep=0.8))
written = export(tight, analysis.passage, ["cut", "csv"], folder, recording.stem)
print(f"{tight.kept_s:.1f} of {len(tight.scores) * tight.hop_s:.1f} s are kept in {len(tight.parts)} parts")
print(f"{len(written.files)} files in {folder}")
