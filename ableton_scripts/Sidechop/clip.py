"""The selected clip: which part of which file it plays, and where a frame of that file lies.

Live counts a clip's own time in beats where it is warped and in seconds where it is not; the arrangement is in beats.
Sample times are frames of the file, but those of warp markers are seconds.
"""

from __future__ import annotations

from typing import Any


class NoClip(Exception):
    """There is none, or not one that can be used: one line for the user."""


class AudioClip:
    """A clip of Live's, asked for what the actions need. Raises `NoClip`."""

    def __init__(self, clip: Any) -> None:
        if clip is None or not clip.is_audio_clip:
            raise NoClip("select an audio clip first")
        if not clip.file_path:
            raise NoClip("the clip has no file yet: stop recording first")
        self.live = clip
        self.rate = float(clip.sample_rate)
        self.path = str(clip.file_path)
        self.name = str(clip.name)

    @property
    def in_arrangement(self) -> bool:
        return bool(self.live.is_arrangement_clip)

    def passage(self) -> tuple[int, int]:
        """The first frame of the file that is heard, and the one after the last."""
        clip = self.live
        if clip.looping:
            start, end = min(clip.start_marker, clip.loop_start), clip.loop_end
        else:
            start, end = clip.start_marker, clip.end_marker
        first, last = self.frame(start), self.frame(end)
        return max(0, first), min(max(first + 1, last), int(clip.sample_length))

    def frame(self, time: float) -> int:
        """Of the file, at a time of the clip."""
        clip = self.live
        found = clip.beat_to_sample_time(time) if clip.warping else clip.seconds_to_sample_time(time)
        return round(float(found))

    def time(self, frame: float) -> float:
        """Of the clip, in beats or seconds, at a frame of the file."""
        clip = self.live
        return float(clip.sample_to_beat_time(frame) if clip.warping else frame / self.rate)

    def places(self, frame: int, tempo: float) -> list[float]:
        """The beats of the arrangement at which this frame is heard: each turn of a loop is one more.

        Raises `NoClip` where the clip is not in the arrangement. ``tempo`` counts where the clip is not warped.
        """
        if not self.in_arrangement:
            raise NoClip("cue points lie in the arrangement: select a clip there")
        clip = self.live
        per_time = 1.0 if clip.warping else tempo / 60.0
        at, length = self.time(frame), (clip.end_time - clip.start_time) / per_time
        found = []
        turn, begins, ends = 0.0, clip.start_marker, clip.loop_end if clip.looping else clip.end_marker
        while turn < length and ends > begins:
            offset = turn + at - begins
            if begins <= at < ends and offset < length:
                found.append(clip.start_time + offset * per_time)
            turn += ends - begins
            if not clip.looping:
                break
            begins = clip.loop_start
        return found


def selected_clip(song: Any) -> AudioClip:
    """The clip in the detail view, or else in the highlighted slot. Raises `NoClip`."""
    clip = song.view.detail_clip
    if clip is None:
        slot = song.view.highlighted_clip_slot
        clip = slot.clip if slot is not None and slot.has_clip else None
    return AudioClip(clip)
