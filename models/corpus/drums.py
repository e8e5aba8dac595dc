"""Drum kits of one-shots: Hydrogen kits, the Sonic Pi and uzu samples, and the synthetic kit."""

import re
import xml.etree.ElementTree as ElementTree
from functools import lru_cache
from pathlib import Path

import numpy as np

from .instruments import read_sound
from .score import Hit
from .sources import Item, Sources
from .synth import RATE, Audio, Rng, add_at, drum

LONGEST_S = 3.0
ROLES = (
    ("pedal", r"pedal|foot"),
    ("open", r"open|\boh\b|ohh|\bop\b|hat free|semi|drum_cymbal_open"),
    ("hat", r"hat|\bhh\b|chh|closed|\bcl\b|elec_tick|elec_twip"),
    ("crash", r"crash|splash|china|\bcr\b|cymbal_(hard|soft)|cymbal 1|^cymbal$|elec_cymbal"),
    ("ride", r"ride|\brd\b|\bbell\b|cymbal 2"),
    ("kick", r"kick|bass ?drum|\bbd|^bd_|thump|djembe\d bass|drum_bass"),
    ("side", r"stick|side|rim|click|clave"),
    ("clap", r"clap|\bcp\b|snap"),
    ("snare", r"snare|\bsd\b|^sn_|slap|sn_"),
    ("tom_low", r"tom.*(low|floor|lo\b|_lo_)|floor|low tom|\blt\b"),
    ("tom_hi", r"tom.*(hi|1)|high tom|\bht\b"),
    ("tom_mid", r"tom|\bmt\b|middle"),
    ("cowbell", r"cowbell|bell"),
    ("shaker", r"shaker|maraca|tambourine|\bsh\b|\btb\b"),
    ("perc", r"conga|bongo|djembe|sangban|perc|tabla|wood"),
)
# what is struck where a kit has no such piece
STAND_IN = {
    "pedal": "hat",
    "open": "hat",
    "clap": "snare",
    "side": "snare",
    "tom_mid": "tom_low",
    "tom_hi": "tom_mid",
    "ride": "hat",
    "crash": "open",
    "cowbell": "side",
    "shaker": "hat",
    "perc": "tom_mid",
    "snare": "clap",
    "tom_low": "kick",
    "hat": "shaker",
}


def role_of(name: str) -> str | None:
    """The role that a drum's name speaks of, or None."""
    plain = name.lower()
    return next((role for role, pattern in ROLES if re.search(pattern, plain)), None)


class Kit:
    """A kit: for each role one or more instruments, each a list of layers from soft to loud."""

    def __init__(self, instruments: dict[str, list[list[Path]]]) -> None:
        self.instruments = instruments

    def play(self, rng: Rng, hits: list[Hit], samples: int) -> Audio:
        """Strokes to ``(2, samples)``: louder layers for harder strokes, pieces panned as from the drummer's seat."""
        chosen = {role: layers[int(rng.integers(len(layers)))] for role, layers in sorted(self.instruments.items())}
        narrow = float(rng.uniform(0, 0.8))
        pans = {
            role: float(rng.uniform(-1, 1)) * narrow * (role not in ("kick", "snare", "clap"))
            for role in sorted(chosen)
        }
        tune = {role: float(rng.uniform(0.93, 1.07)) for role in sorted(chosen)}
        out = np.zeros((2, samples), dtype=np.float32)
        for hit in hits:
            role = self._available(hit.role, set(chosen))
            if role is None:
                continue
            layers = chosen[role]
            path = layers[min(len(layers) - 1, int(hit.velocity * len(layers)))]
            sound = tuned(path, round(tune[role], 2))
            sides = np.array([[1 - max(pans[role], 0)], [1 + min(pans[role], 0)]], dtype=np.float32)
            add_at(out, sound * sides * np.float32(0.15 + 0.85 * hit.velocity**1.5), int(hit.start * RATE))
        return out

    @staticmethod
    def _available(role: str, have: set[str]) -> str | None:
        tried: set[str] = set()
        while role not in have:
            tried.add(role)
            role = STAND_IN.get(role, "")
            if not role or role in tried:
                return None
        return role


@lru_cache(maxsize=128)
def tuned(path: Path, ratio: float) -> Audio:
    """A one-shot at another speed, at most three seconds, faded out."""
    sound = read_sound(path)[:, : int(LONGEST_S * RATE)]
    position = np.arange(0, sound.shape[1] - 1, ratio)
    moved = np.stack([np.interp(position, np.arange(sound.shape[1]), channel) for channel in sound]).astype(np.float32)
    fade = min(moved.shape[1], 400)
    moved[:, moved.shape[1] - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return moved


def play_synthetic(rng: Rng, hits: list[Hit], samples: int) -> Audio:
    """Strokes on a kit made of oscillators and noise."""
    sounds = {role: drum(rng, role) for role in sorted({hit.role for hit in hits})}
    out = np.zeros((2, samples), dtype=np.float32)
    for hit in hits:
        add_at(out, sounds[hit.role] * np.float32(hit.velocity**1.5), int(hit.start * RATE))
    return out


def hydrogen_kit(folder: Path) -> Kit:
    """Read a Hydrogen ``drumkit.xml``; instruments are sorted into roles by their names."""
    text = (folder / "drumkit.xml").read_text(encoding="utf-8", errors="replace")
    tree = ElementTree.fromstring(re.sub(r'\sxmlns="[^"]*"', "", text))
    instruments: dict[str, list[list[Path]]] = {}
    for entry in tree.iter("instrument"):
        role = role_of(entry.findtext("name") or "")
        found = [(float(layer.findtext("max") or 1), layer.findtext("filename")) for layer in entry.iter("layer")]
        if not found and entry.findtext("filename"):
            found = [(1.0, entry.findtext("filename"))]
        layers = [folder / str(name) for _, name in sorted(found, key=lambda f: f[0]) if name and "empty" not in name]
        layers = [path for path in layers if path.is_file()]
        if role and layers:
            instruments.setdefault(role, []).append(layers)
    return Kit(instruments)


def folder_kit(paths: list[Path]) -> Kit:
    """A kit of loose one-shots sorted into roles by file name."""
    instruments: dict[str, list[list[Path]]] = {}
    for path in sorted(paths):
        role = role_of(
            path.stem.replace("-", " ")
            if path.stem.startswith(("bd_", "sn_", "drum", "elec"))
            else path.stem.replace("_", " ")
        )
        if role:
            instruments.setdefault(role, []).append([path])
    return Kit(instruments)


def load_kit(sources: Sources, name: str) -> Kit | None:
    """A kit of a pool by name, or None if its files are not at hand."""
    if name == "sonic-pi":
        folder = sources.sonic_pi()
        loose = [p for p in folder.glob("*.flac") if not p.stem.startswith(("loop", "ambi", "bass"))] if folder else []
    elif name == "uzu":
        loose = [item.path for item in one_shots(sources.items["breaks"])]
    else:
        kit_folder = sources.kit(name)
        return hydrogen_kit(kit_folder) if kit_folder else None
    return folder_kit(loose) if loose else None


def one_shots(items: list[Item]) -> list[Item]:
    """The drum one-shots of the breaks folder."""
    return [item for item in items if item.fields["label"] == "one-shot"]
