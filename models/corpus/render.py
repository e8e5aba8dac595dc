"""From a composed song to four stems: picks the players of a split's pool, lets them play, and mixes."""

from typing import Any, NamedTuple

import numpy as np
import pedalboard
import soundfile

from .breaks import lay, load_breaks
from .choir import sing_song
from .drums import load_kit, play_synthetic
from .instruments import (
    DRIVEN,
    DRUM_BANK,
    FAMILIES,
    SYNTHETIC,
    OneShots,
    SoundfontPlayer,
    overdrive,
    play_patch,
    read_sound,
)
from .pools import Pool
from .production import Room, balance, compressor, duck, master, process, set_level, tone, width
from .score import Hit, Note, Song
from .sources import CREDITS, Sources
from .styles import STYLES
from .synth import RATE, Audio, Patch, Rng, add_at

DRUM_SOUNDFONT_CHANCE = 0.4
LOOP_CHANCE = 0.1


class Rendering(NamedTuple):
    """Stems ``(2, samples)`` by name, what they were made with, and the drum strokes that were really played."""

    stems: dict[str, Audio]
    facts: dict[str, Any]
    hits: list[Hit]


class Studio:
    """Holds the sources and pool of one split; renders song after song."""

    def __init__(self, sources: Sources, pool: Pool) -> None:
        self.sources, self.pool = sources, pool
        impulses = [i.path for i in sources.items["impulse_responses"] if i.fields["label"] == "space"]
        self.impulses = [read_sound(path) for path in impulses]
        kits = {name: load_kit(sources, name) for name in pool.kits}
        self.kits = {name: kit for name, kit in kits.items() if kit}
        labels = {label: OneShots(sources.items["instruments"], label) for label in pool.one_shots}
        self.breaks = load_breaks(sources, pool.breaks)
        self.one_shots = {label: shots for label, shots in labels.items() if shots.notes}

    def render(self, rng: Rng, song: Song) -> Rendering:
        """All four stems of a song."""
        samples = int(song.seconds * RATE)
        used: list[str] = ["synthesis"]
        fonts = [name for name in self.pool.soundfonts if self.sources.soundfont(name)]
        font = str(rng.choice(fonts)) if fonts else ""
        player = _open_player(self.sources, font)
        facts: dict[str, Any] = {"soundfont": font if player else "synthesis"}
        room = Room(rng, self.impulses)
        if song.sampled_break and song.hits and self.breaks:
            drums, facts["kit"], hits = self._break(rng, song, samples, used)
        else:
            drums, facts["kit"] = self._drums(rng, song, samples, used)
            hits = song.hits
        bass, facts["bass"] = self._bass(rng, song, samples, player, used)
        other = self._other(rng, song, samples, player, used, room)
        voice = sing_song(rng, song, samples, self.sources, self.pool, room)
        facts["singer"], facts["vocal"] = voice.singer, song.vocal
        used += voice.used
        if player:
            used.append(font)
            player.close()
        if room.recorded:
            used.append("impulse_responses")
        stems = self._mix(rng, song, {"vocals": voice.sound, "drums": drums, "bass": bass, "other": other}, room)
        facts["sources"] = [CREDITS[name]._asdict() for name in sorted(set(used))]
        return Rendering(stems, facts, hits)

    def _drums(self, rng: Rng, song: Song, samples: int, used: list[str]) -> tuple[Audio, str]:
        style = STYLES[song.style]
        kits = sorted(self.kits)
        fonts = [name for name in self.pool.drum_soundfonts if self.sources.soundfont(name)]
        electronic = rng.random() < style.electronic_kit
        chance = rng.random()
        if not song.hits:
            return np.zeros((2, samples), dtype=np.float32), "none"
        if chance < 0.12 or not (kits or fonts) or (electronic and chance < 0.3):
            used.append("synthesis")
            return play_synthetic(rng, song.hits, samples), "synthesis"
        if (fonts and not electronic and chance < DRUM_SOUNDFONT_CHANCE + 0.12) or not kits:
            font = str(rng.choice(fonts))
            sound, program = self._soundfont_drums(rng, font, song.hits, samples)
            used.append(font)
            name = f"{font}:{program}"
        else:
            name = str(rng.choice(kits))
            sound = self.kits[name].play(rng, song.hits, samples)
            used.append({"uzu": "breaks/uzu", "sonic-pi": "sonic-pi-samples"}.get(name, name))
        if self.pool.loops and rng.random() < LOOP_CHANCE:
            sound = sound + self._loop(rng, song, samples, used)
        return sound, name

    def _break(self, rng: Rng, song: Song, samples: int, used: list[str]) -> tuple[Audio, str, list[Hit]]:
        """A sampled break alone, or with a kit over it."""
        found = self.breaks[int(rng.integers(len(self.breaks)))]
        sound, strokes = lay(rng, song, found, samples)
        used.append(found.credit)
        name = f"{found.credit}: break of {found.beats} beats"
        if song.sampled_break == "instead":
            return sound, name, strokes
        drums, kit = self._drums(rng, song, samples, used)
        under = set_level(sound, float(rng.uniform(-26, -14))) + set_level(drums, -18)
        return under, f"{kit} over {name}", sorted([*song.hits, *strokes])

    def _soundfont_drums(self, rng: Rng, font: str, hits: list[Hit], samples: int) -> tuple[Audio, int]:
        path = self.sources.soundfont(font)
        assert path is not None
        player = SoundfontPlayer(path)
        programs = player.programs(DRUM_BANK)
        bank, program = (DRUM_BANK, int(rng.choice(programs))) if programs else (0, 0)
        sound = player.play_drums(hits, samples, bank, program)
        player.close()
        return sound, program

    def _loop(self, rng: Rng, song: Song, samples: int, used: list[str]) -> Audio:
        """A recorded two-bar drum loop, sped up or slowed down to the song, under the kit."""
        out = np.zeros((2, samples), dtype=np.float32)
        loops = [
            i
            for i in self.sources.items["breaks"]
            if i.fields["label"] == "loop" and "garden" in i.path.name and 5.6 < i.fields["seconds"] < 5.7
        ]
        if not loops or not song.hits:
            return out
        wanted = 2 * 4 * 60 / song.tempo
        while wanted < 3.6:
            wanted *= 2
        while wanted > 8.5:
            wanted /= 2
        item = loops[int(rng.integers(len(loops)))]
        sound = read_sound(item.path)
        loop = _speed(sound, sound.shape[1] / RATE / wanted)
        used.append("breaks/garden")
        for k in range(int(samples / RATE / wanted) + 1):
            if any(k * wanted <= h.start < (k + 1) * wanted for h in song.hits):
                add_at(out, loop * np.float32(rng.uniform(0.3, 0.6)), int(k * wanted * RATE))
        return out

    def _bass(
        self, rng: Rng, song: Song, samples: int, player: SoundfontPlayer | None, used: list[str]
    ) -> tuple[Audio, str]:
        family = song.bass_family
        labels = [label for label in self.one_shots if "bass" in label]
        if family in SYNTHETIC or family == "synth_bass" or player is None:
            kind = SYNTHETIC.get(family, str(rng.choice(["sub", "synth_saw", "pluck"])))
            sound = play_patch(Patch(rng, kind), song.bass, samples)
            sound, name = width(sound, 0.0) if kind != "synth_saw" else width(sound, 0.3), f"synthesis:{kind}"
        elif labels and rng.random() < 0.5:
            acoustic = [label for label in labels if label.startswith("double")]
            name = str(rng.choice(acoustic if family == "bass_acoustic" and acoustic else labels))
            sound = self.one_shots[name].play(rng, song.bass, samples)
            used.append("instruments")
        else:
            program = int(rng.choice(FAMILIES[family]))
            sound, name = player.play(song.bass, samples, 0, program), f"program {program}"
        if rng.random() < 0.35:
            drive = float(rng.uniform(1, 5))
            top = np.abs(sound).max() + 1e-6
            sound = np.tanh(sound / top * drive) * top
        return np.asarray(sound, dtype=np.float32), name

    def _other(
        self, rng: Rng, song: Song, samples: int, player: SoundfontPlayer | None, used: list[str], room: Room
    ) -> Audio:
        out = np.zeros((2, samples), dtype=np.float32)
        lean = float(rng.choice([-1, 1]))
        for i, (family, notes) in enumerate(song.layers):
            if not notes:
                continue
            sound = self._layer(rng, family, notes, samples, player, used)
            if family in DRIVEN:
                sound = overdrive(rng, sound)
            if family in ("epiano", "guitar_clean", "synth_pad", "organ") and rng.random() < 0.4:
                sound = process(sound, [pedalboard.Chorus(rate_hz=float(rng.uniform(0.3, 3)), depth=0.25, mix=0.4)])
            if rng.random() < 0.2:
                echo_s = 60 / song.tempo * float(rng.choice([0.5, 0.75]))
                sound = process(sound, [pedalboard.Delay(echo_s, feedback=0.3, mix=float(rng.uniform(0.1, 0.3)))])
            sound = process(sound, tone(rng, 5))
            sound = set_level(sound, -20 + float(rng.uniform(-6, 2)) - (3 if family in ("strings", "synth_pad") else 0))
            place = lean * (-1) ** i * float(rng.uniform(0, 0.8))
            out += room.wet(balance(width(sound, float(rng.uniform(0.2, 1.5))), place), float(rng.uniform(-26, -8)))
        return out

    def _layer(
        self, rng: Rng, family: str, notes: list[Note], samples: int, player: SoundfontPlayer | None, used: list[str]
    ) -> Audio:
        if player is None or (family in SYNTHETIC and rng.random() < 0.6):
            return play_patch(Patch(rng, SYNTHETIC.get(family, "pluck")), notes, samples)
        if family.startswith("guitar") and "guitar_shiny" in self.one_shots and rng.random() < 0.3:
            used.append("instruments")
            return self.one_shots["guitar_shiny"].play(rng, notes, samples)
        return player.play(notes, samples, 0, int(rng.choice(FAMILIES[family])))

    def _mix(self, rng: Rng, song: Song, stems: dict[str, Audio], room: Room) -> dict[str, Audio]:
        """Tone, dynamics, room and level of each stem, then the master's gain."""
        levels = {
            "vocals": rng.normal(-18, 2.2),
            "drums": rng.normal(-18, 2.5),
            "bass": rng.normal(-20, 2.5),
            "other": rng.normal(-19, 2.5),
        }
        if song.style in ("ambient", "cinematic", "folk", "ballad"):
            levels["drums"] -= 3
        sends = {"drums": rng.uniform(-30, -14), "bass": -60.0}
        for name in ("drums", "bass", "other"):
            sound = process(stems[name], tone(rng, {"drums": 5, "bass": 4, "other": 2}[name]))
            if rng.random() < 0.7:
                sound = process(sound, compressor(rng, sound))
            if name == "drums" and rng.random() < 0.25:
                top = np.abs(sound).max() + 1e-6
                sound = np.tanh(sound / top * np.float32(rng.uniform(1.5, 4))) * top
            stems[name] = room.wet(sound, float(sends[name])) if sends.get(name, -60) > -40 else sound
        if song.style in ("house", "techno", "disco", "synth-pop") and rng.random() < 0.5:
            kicks = [hit.start for hit in song.hits if hit.role == "kick"]
            depth, release = float(rng.uniform(0.3, 0.9)), float(rng.uniform(0.06, 0.2))
            stems["other"], stems["bass"] = (duck(stems[n], kicks, depth, release) for n in ("other", "bass"))
        return master(rng, {name: set_level(sound, float(levels[name])) for name, sound in stems.items()})


def _speed(sound: Audio, ratio: float) -> Audio:
    """Tape speed: ``ratio`` times as fast."""
    position = np.arange(0, sound.shape[1] - 1, ratio)
    return np.stack([np.interp(position, np.arange(sound.shape[1]), channel) for channel in sound]).astype(np.float32)


def _open_player(sources: Sources, font: str) -> SoundfontPlayer | None:
    path = sources.soundfont(font) if font else None
    try:
        return SoundfontPlayer(path) if path else None
    except (ImportError, OSError):
        return None


def write_stems(folder: Any, stems: dict[str, Audio]) -> None:
    """Write stems as 16-bit FLAC."""
    for name, sound in stems.items():
        soundfile.write(folder / f"{name}.flac", sound.T, RATE, subtype="PCM_16")
