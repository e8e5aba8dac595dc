"""Makes ``bridge/assets/demo.ogg``: four bars of soul at 90 beats a minute, sung, with drums, bass, keys and guitar.

It holds no sound of the shared data folder: the instruments are FluidR3 GM (MIT), the singer is the Festival voice
cmu_us_slt_arctic_hts (free for any use) made to sing by ``voice``. Needs ``festival``, ``festvox-us-slt-hts`` and
FluidSynth. Run ``python -m models.corpus.demo_clip``.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pedalboard
import soundfile
import soxr

from .instruments import SoundfontPlayer
from .production import Room, active_level, balance, process, set_level, to_stereo, width
from .score import Clock, Hit, Note
from .sources import Sources
from .synth import RATE, Audio, Rng
from .takes import SPOKEN, Take, analyse
from .voice import Manner, sing_syllables

CLIP = Path(__file__).resolve().parents[2] / "bridge" / "assets" / "demo.ogg"
TEMPO, SWING, SECONDS, SEED = 90.0, 0.22, 12.0, 7
SPEAKER_HZ = 190.0
CHORDS = ((45, 60, 64, 67, 71), (41, 60, 64, 67, 69), (38, 60, 64, 65, 69), (43, 59, 62, 65, 69))  # Am9 Fmaj9 Dm9 G9
LINES = (
    (
        "slow it down, let the needle find the light",
        ((0.25, 0.5, 64), (0.75, 0.5, 62), (1.25, 1.1, 60), (2.5, 0.5, 57), (3, 0.25, 60), (3.25, 0.5, 62),
         (3.75, 0.25, 64), (4, 1, 64), (5, 0.5, 62), (5.5, 1.9, 60)),
    ),
    (
        "we were only dreaming all the night",
        ((8, 0.5, 57), (8.5, 0.5, 60), (9, 0.75, 64), (9.75, 0.25, 62), (10, 1.25, 65), (11.25, 0.25, 64),
         (11.5, 0.5, 62), (12, 0.5, 60), (12.5, 2.4, 62)),
    ),
)  # fmt: skip
HARMONY = {57: 60, 60: 64, 62: 65, 64: 67, 65: 69}
SAY = """
(voice_cmu_us_slt_arctic_hts)
(set! utt (SynthText "{text}"))
(utt.save.wave utt "{wave}")
(set! out (fopen "{cuts}" "w"))
(mapcar (lambda (syl) (format out "%f %f\\n" (item.feat syl 'syllable_start) (item.feat syl 'syllable_end)))
        (utt.relation.items utt 'Syllable))
(fclose out)
"""


def say(text: str) -> list[tuple[Take, int]]:
    """The syllables of a line as Festival speaks it."""
    with tempfile.TemporaryDirectory() as folder:
        wave, cuts, script = (Path(folder) / name for name in ("line.wav", "cuts.txt", "say.scm"))
        script.write_text(SAY.format(text=text, wave=wave, cuts=cuts), encoding="utf-8")
        subprocess.run(["festival", "-b", str(script)], check=True)
        sound, rate = soundfile.read(wave, dtype="float32")
        times = np.loadtxt(cuts, ndmin=2)
    mono = soxr.resample(sound, rate, RATE).astype(np.float32)
    syllables = []
    for start, end in times:
        # each syllable with a margin, as a take of its own: its neighbours are not to be stretched with it
        first = max(0, int((start - 0.005) * RATE))
        take = analyse(mono[first : int((end + 0.01) * RATE)], SPEAKER_HZ, SPOKEN)
        if take is None:
            raise ValueError(f"no voiced sound in a syllable of {text!r}")
        syllables.append((take, 0))
    return syllables


def voice(rng: Rng, clock: Clock, samples: int, room: Room) -> Audio:
    """Lead, two doubles of the second line, and a harmony."""
    out = np.zeros((2, samples), dtype=np.float32)
    manner = Manner(5.4, 0.25, 0.025, 0.6, 0.06, 0.004)
    for index, (text, melody) in enumerate(LINES):
        syllables = say(text)
        lead = [Note(clock.seconds(b), n * clock.beat_s, pitch, 0.95) for b, n, pitch in melody]
        tracks = [(lead, 0.0, 0.0)]
        late = [
            n._replace(start=n.start + float(rng.normal(0, 0.012)), pitch=n.pitch + float(rng.normal(0, 0.08)))
            for n in lead
        ]
        high = [n._replace(pitch=HARMONY[int(n.pitch)], start=n.start + 0.01) for n in lead]
        tracks += [(late, -0.7, -11.0), (high, 0.6, -9.0 if index else -14.0)]
        for notes, pan, gain_db in tracks:
            track = np.zeros(samples, dtype=np.float32)
            sing_syllables(rng, syllables, notes, manner, track)
            out += to_stereo(track, pan) * np.float32(10 ** (gain_db / 20))
    level_db = 20 * np.log10(active_level(out))
    chain = [
        pedalboard.HighpassFilter(110),
        pedalboard.Compressor(level_db - 4, 3.0, 6, 120),
        pedalboard.PeakFilter(3200, 2.5, 0.8),
        pedalboard.HighShelfFilter(9000, 5),
    ]
    dry = process(out, chain)
    echo = process(dry, [pedalboard.Delay(clock.beat_s * 0.75, 0.3, 1.0)])
    return room.wet(dry + balance(echo, 0.3) * np.float32(0.13), -15)


def drums() -> list[Hit]:
    """A laid-back backbeat with ghost notes and a fill."""
    hits = [Hit(0, "crash", 0.55)]
    for bar in range(4):
        at = bar * 4
        hits += [Hit(at + b, "kick", v) for b, v in ((0, 0.95), (1.75, 0.6), (2.5, 0.85))]
        hits += [Hit(at + b, "snare", v) for b, v in ((1, 0.9), (3, 0.93), (1.75, 0.22), (2.25, 0.2), (3.75, 0.25))]
        hits += [
            Hit(at + s / 4, "hat", 0.62 if s % 4 == 0 else (0.5 if s % 2 == 0 else 0.28)) for s in range(16) if s != 14
        ]
        hits.append(Hit(at + 3.5, "open", 0.5))
    fill = [Hit(15 + s / 4, role, 0.6 + 0.1 * s) for s, role in enumerate(("snare", "tom_hi", "tom_mid", "tom_low"))]
    return [h for h in hits if h.start < 15] + fill


def bass() -> list[Note]:
    notes = []
    for bar, chord in enumerate(CHORDS):
        root, at = chord[0] - 12 * (chord[0] > 43), bar * 4
        ahead = CHORDS[(bar + 1) % 4][0]
        ahead -= 12 * (ahead > 43)
        line = ((0, 1.2, root), (1.75, 0.3, root), (2.5, 0.6, root + 7), (3.25, 0.3, root + 12), (3.5, 0.45, ahead - 1))
        notes += [Note(at + b, n, p, 0.88) for b, n, p in line]
    return notes


def keys() -> list[Note]:
    notes = []
    for bar, chord in enumerate(CHORDS):
        for b, n, v in ((0, 1.4, 0.66), (1.75, 0.5, 0.5), (2.5, 1.2, 0.58)):
            notes += [Note(bar * 4 + b + 0.01 * k, n, p, v) for k, p in enumerate(chord[1:])]
    return notes


def guitar() -> list[Note]:
    return [
        Note(bar * 4 + b + 0.008 * k, 0.14, p + 12, 0.6)
        for bar, chord in enumerate(CHORDS)
        for b in (1, 2.75, 3)
        for k, p in enumerate(chord[1:4])
    ]


def clip() -> dict[str, Audio]:
    """The four stems ``(2, samples)``."""
    rng = np.random.default_rng(SEED)
    font = Sources().soundfont("fluid-soundfont-gm")
    if font is None:
        raise FileNotFoundError("the demo clip needs the package fluid-soundfont-gm")
    player = SoundfontPlayer(font)
    samples = int(SECONDS * RATE)
    clock = Clock(rng, TEMPO, SWING, human_s=0.004)
    room = Room(rng, [])
    kit = player.play_drums(clock.hits(drums()), samples, 128, 8)
    kit = process(kit, [pedalboard.Compressor(-26, 3, 15, 120), pedalboard.HighShelfFilter(8000, 2)])
    low = width(process(player.play(clock.notes(bass()), samples, 0, 33), [pedalboard.LowShelfFilter(100, 2)]), 0)
    epiano = process(player.play(clock.notes(keys()), samples, 0, 4), [pedalboard.Chorus(0.8, 0.2, mix=0.35)])
    chops = balance(process(player.play(clock.notes(guitar()), samples, 0, 27), [pedalboard.HighpassFilter(250)]), 0.55)
    pad = player.play(
        clock.notes([Note(b * 4, 4, p, 0.5) for b, c in enumerate(CHORDS) for p in c[2:]]), samples, 0, 49
    )
    player.close()
    other = set_level(epiano, -20) + set_level(chops, -27) + set_level(pad, -30)
    stems = {
        "vocals": set_level(voice(rng, clock, samples, room), -16.5),
        "drums": set_level(room.wet(kit, -24), -19),
        "bass": set_level(low, -20),
        "other": room.wet(other, -18),
    }
    fade = np.minimum(1, (samples - np.arange(samples)) / (0.4 * RATE)).astype(np.float32)
    peak = np.abs(np.sum(list(stems.values()), axis=0)).max()
    return {name: sound * fade * np.float32(0.89 / peak) for name, sound in stems.items()}


def main() -> None:
    CLIP.parent.mkdir(exist_ok=True)
    mix = np.sum(list(clip().values()), axis=0)
    soundfile.write(CLIP, mix.T, RATE, format="OGG", subtype="VORBIS", compression_level=0.35)


if __name__ == "__main__":
    main()
