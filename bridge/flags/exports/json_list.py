"""Everything that is known of the flags, as JSON; also what ``sidechop flag --json`` prints."""

import json
from typing import Any

from streaming.flags import Flag

from ..flag_set import FlagSet
from .job import Job

FLAG_FIELDS = ("kind", "start_s", "end_s", "start", "end", "score", "p_value", "label", "low_hz", "high_hz")
PART_FIELDS = ("start_s", "end_s", "start", "end")


def write(job: Job) -> list[str]:
    text = json.dumps(listed(job.flags), ensure_ascii=False, allow_nan=False)
    job.path("-flags.json").write_text(text + "\n", encoding="utf-8")
    return []


def listed(flags: FlagSet) -> dict[str, Any]:
    """The flag set in plain values: ``start`` and ``end`` in samples of the source, ``_s`` in its seconds.

    Value ``i`` of the curve is at ``start_s + i * hop_s``. ``label`` is the flag's kind.
    """
    rate = flags.rate
    items = [_item(flag, rate) for flag in flags.flags]
    parts = [(part.start / rate, part.end / rate, part.start, part.end) for part in flags.parts]
    return {
        "source": None if flags.source is None else str(flags.source),
        "rate": rate,
        "start_s": flags.start / rate,
        "duration_s": (flags.end - flags.start) / rate,
        "threshold": None if flags.threshold is None else round(flags.threshold, 6),
        "items": items,
        "keep": [dict(zip(PART_FIELDS, part, strict=True)) for part in parts],
        "kept_s": flags.kept_s,
        "curve": {
            "hop_s": flags.hop_s,
            "scores": flags.scores.round(4).tolist(),
            "p_values": flags.p_values.round(6).tolist(),
        },
    }


def _item(flag: Flag, rate: int) -> dict[str, Any]:
    return {
        "kind": "flag",
        "start_s": flag.start / rate,
        "end_s": flag.end / rate,
        "start": flag.start,
        "end": flag.end,
        "score": round(flag.score, 4),
        "p_value": round(flag.p_value, 6),
        "label": flag.kind,
        "low_hz": round(flag.low_hz, 1),
        "high_hz": round(flag.high_hz, 1),
    }
