"""OpenTimelineIO: the cut as a track of clips, and beside it, switched off, the source whole with flags as markers.

Times are samples at the source's rate, so nothing is rounded. Editors that import OTIO take clips and markers from it;
crossfades are left to them. A take's clips are parts of the WAV that this export brings.

Format: https://opentimelineio.readthedocs.io
"""

from typing import Any

import opentimelineio as otio

from .job import Job

COLOURS = {"noise": "YELLOW", "speech": "CYAN", "silence": "WHITE", "click": "ORANGE", "dropout": "MAGENTA"}


def write(job: Job) -> list[str]:
    flags = job.flags
    path, offset = job.audio()
    timeline = otio.schema.Timeline(job.stem)
    cut = otio.schema.Track("cut", kind=otio.schema.TrackKind.Audio)
    source = otio.schema.Track("source", kind=otio.schema.TrackKind.Audio)
    source.enabled = False
    url = path.as_uri()

    def clip(name: str, start: int, end: int) -> Any:
        media = otio.schema.ExternalReference(url, _range(flags.start - offset, flags.end - offset, flags.rate))
        return otio.schema.Clip(name, media, _range(start - offset, end - offset, flags.rate))

    cut.extend([clip(f"{job.stem} {n:02}", part.start, part.end) for n, part in enumerate(flags.parts, 1)])
    whole = clip(job.stem, flags.start, flags.end)
    for number, flag in enumerate(flags.flags, 1):
        marker = otio.schema.Marker(job.name(number), _range(flag.start - offset, flag.end - offset, flags.rate))
        marker.color = COLOURS.get(flag.kind, "RED")
        marker.metadata["sidechop"] = {
            "kind": flag.kind,
            "score": flag.score,
            "p_value": flag.p_value,
            "low_hz": flag.low_hz,
            "high_hz": flag.high_hz,
        }
        whole.markers.append(marker)
    source.append(whole)
    timeline.tracks.extend([cut, source])
    job.path("-cut.otio").write_text(otio.adapters.write_to_string(timeline, "otio_json") + "\n", encoding="utf-8")
    return []


def _range(start: int, end: int, rate: int) -> Any:
    return otio.opentime.TimeRange(
        otio.opentime.RationalTime(start, rate), otio.opentime.RationalTime(end - start, rate)
    )
