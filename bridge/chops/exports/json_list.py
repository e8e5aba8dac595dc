"""Everything that is known of the chops, as JSON."""

import json
from typing import Any

from ..chops import ChopSet
from .job import Job


def write(job: Job) -> list[str]:
    text = json.dumps(listed(job.chops), indent=1, ensure_ascii=False)
    job.path("-chops.json").write_text(text + "\n", encoding="utf-8")
    return []


def listed(chops: ChopSet) -> dict[str, Any]:
    """The chop set in plain values: positions in samples of the source, and times in its seconds."""
    return {
        "source": None if chops.source is None else str(chops.source),
        "rate": chops.rate,
        "channels": chops.channels,
        "start": chops.start,
        "end": chops.end,
        "tempo": chops.tempo,
        "beats_per_bar": chops.beats_per_bar,
        "chops": [
            {
                "number": number,
                "position": chop.position,
                "end": chop.end,
                "start_s": chop.position / chops.rate,
                "end_s": chop.end / chops.rate,
                "score": chop.score,
                "kind": chop.kind,
                "locked": chop.locked,
                "fade": chop.fade,
            }
            for number, chop in enumerate(chops.chops, 1)
        ],
    }
