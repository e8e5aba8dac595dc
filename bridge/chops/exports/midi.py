"""A MIDI file that plays the original: every chop's pad, in order, when the chop comes in the passage.

Tick 0 is the passage's beginning, a note lasts as long as its chop. The tempo is the song's (120 where none is known)
and only decides where the notes stand in the bars: the times are right at any tempo. Each bank of 128 pads has a
track and a channel of its own.
"""

import mido

from .job import Job, banks, pad_note

TICKS_PER_BEAT = 960
UNKNOWN_BPM = 120.0
LONGEST_BEAT_US = 0xFFFFFF


def write(job: Job) -> list[str]:
    chops = job.chops
    beat_us = min(round(60e6 / (chops.tempo or UNKNOWN_BPM)), LONGEST_BEAT_US)

    def tick(position: int) -> int:
        return round(job.seconds(position - chops.start) * 1e6 / beat_us * TICKS_PER_BEAT)

    file = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT, charset="utf-8")
    conductor = mido.MidiTrack()
    conductor.append(mido.MetaMessage("track_name", name=job.stem))
    conductor.append(mido.MetaMessage("set_tempo", tempo=beat_us))
    conductor.append(mido.MetaMessage("time_signature", numerator=chops.beats_per_bar or 4, denominator=4))
    file.tracks.append(conductor)
    for channel, bank in enumerate(banks(chops)):
        events: list[tuple[int, str, int]] = []
        for number, chop in bank:
            on = tick(chop.position)
            events.append((on, "note_on", pad_note(number)))
            events.append((max(tick(chop.end), on + 1), "note_off", pad_note(number)))
        track, now = mido.MidiTrack(), 0
        track.append(mido.MetaMessage("track_name", name=f"{job.stem}{bank.ending}"))
        for at, kind, note in sorted(events):  # of two at once, the note that ends comes first
            track.append(mido.Message(kind, channel=channel % 16, note=note, velocity=127, time=at - now))
            now = at
        file.tracks.append(track)
    file.save(job.path("-chops.mid"))
    return [] if chops.tempo else [f"midi: no tempo is known; the file says {UNKNOWN_BPM:g} bpm"]
