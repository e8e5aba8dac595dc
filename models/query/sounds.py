"""Where the sounds with names come from, and into which split each goes.

Labelled sounds of the shared data, named effects of games, drum kits by piece, stems of rendered songs, speech, music
packages and single instruments rendered from soundfonts. What is split is never one clip but what it was cut from: a
label, a Freesound recording, a speaker, a language, a package, a soundfont. Classes marked ``unseen`` are wholly test.
"""

import re
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from models.corpus.sources import CREDITS, audio_files, default_cache, default_data, manifest_items
from streaming.card import Source

from .classes import SoundClass, class_of_file, class_of_label, classes

SPLITS = ("train", "validation", "test")
AUDIO = (".wav", ".flac", ".ogg", ".mp3")
LARGEST = 3_000_000
"""Bytes of an effect or a phrase: more is music."""
STAMPS, SPOKEN = "tuxpaint-stamps-default", re.compile("_desc|/symbols/")
"""The one package that speaks of things and lets them be heard, and its files that speak."""
EFFECTS = {
    "ufoai-sound": ("GPL-2+, CC BY 3.0, CC BY-SA 3.0", "UFO: Alien Invasion sounds, credits per file"),
    "supertux-data": ("GPL-3+, CC BY-SA", "SuperTux sounds, credits per file"),
    "supertuxkart-data": ("CC BY-SA, CC BY, CC0, public domain", "SuperTuxKart sounds, credits per file"),
    "hedgewars-data": ("GPL-2, GFDL-1.3", "Hedgewars sounds"),
    "widelands-data": ("GPL-2+", "Widelands sounds"),
    "torcs-data": ("GPL-2+, Free Art", "TORCS sounds"),
    "minetest-data": ("CC BY-SA 3.0, CC BY 3.0, MIT", "Minetest sounds, credits per file"),
    "warmux-data": ("GPL-2+", "WarMUX sounds"),
    "0ad-data": ("CC BY-SA 3.0", "0 A.D. sounds by Wildfire Games"),
    "sonic-pi-samples": ("CC0", "Sonic Pi samples by Freesound users, collected by Sam Aaron"),
    "hydrogen-drumkits": ("GPL-2+, CC BY 3.0, CC BY-SA 3.0, CC0", "Hydrogen drum kits, credits per kit"),
    "hydrogen-data": ("GPL-2+", "Hydrogen drum kits, credits per kit"),
    "lmms-common": ("GPL-2+", "LMMS samples by the LMMS authors"),
    STAMPS: ("GPL-2", "Tux Paint stamps, voices and sounds by its contributors"),
}
FEW = 3
"""Clips of a class's only label: if it has fewer, all of them train."""
TEST_PACKAGES = ("minetest-data", "warmux-data")
TRAIN_PACKAGES = ("0ad-data", STAMPS)
AMBIENCES, AMBIENCE_STARTS_S = "/ambient/", (0.0, 12.0, 24.0, 36.0, 48.0)
"""Long recordings, taken from several times as far as they last."""
TEST_KITS = ("ElectricEmpireKit", "Millo_MultiLayered3")
SPEECH = {
    STAMPS: EFFECTS[STAMPS],
    "ktuberling-data": ("GPL-2+, CC BY, CC0", "KTuberling, voices of its translators"),
    "fillets-ng-data-nl": ("GPL-2+", "Fish Fillets NG, Dutch voices"),
    "festvox-ru": ("BSD-like", "festvox-ru by N. Zubov and others"),
    "fillets-ng-data-cs": ("GPL-2+", "Fish Fillets NG, Czech voices"),
}
TEST_SPEECH = ("fillets-ng-data-cs",)
JUDGES_ALONE = ("environment_sounds", "breaks/")
"""Sources whose validation sounds may choose between models, and teach nothing (the shared data's rule)."""
VALIDATION_LANGUAGES = ("_da", "_lt", "_sl", "_el")
VALIDATION_SPEAKERS = ("tsp_FA", "tsp_MA")
MUSIC = {
    "wesnoth-1.16-music": ("train", "GPL-2+", "Battle for Wesnoth music by A. Paslawski, M. Kinney and others"),
    "nexuiz-music": ("train", "GPL-2+", "Nexuiz music by T. Blasco, M. Kleban, S. J. Robinson and others"),
    "naev-data": ("validation", "CC BY 3.0, CC BY-SA 3.0, public domain, GPL-3", "Naev music, credits per track"),
    "marsshooter-data": ("test", "CC BY 3.0, CC BY-SA 3.0, GPL-3+", "Mars, a ridiculous shooter: music"),
}
FONTS = {
    "train": ("fluid-soundfont-gm", "timgm6mb-soundfont"),
    "validation": ("musescore-general-soundfont",),
    "test": ("musescore-general-soundfont",),
}
SINGERS = {"kumi": "train", "scottpoid": "train", "yuki": "train", "erithacus": "test"}
ONE_SHOTS = {
    "bass_growly": ("bass_guitar", "train"),
    "bass_yr": ("bass_guitar", "train"),
    "bass_fl": ("bass_guitar", "test"),
    "doublebass_meat": ("double_bass", "train"),
    "doublebass_dsmolken": ("double_bass", "test"),
    "guitar_shiny": ("guitar", "train"),
}
MORE_PHRASES, KIT_PHRASES = 4, 1
"""Of each program that is for training alone, and of each drum kit; what a soundfont lacks is left out."""
RENDERED = Source("rendered songs", "Apache-2.0", "python -m models.corpus, from the sources named beside")
STEMS = {"vocals": "singing", "drums": "drums", "bass": "bass_guitar"}


@dataclass(frozen=True)
class Sound:
    """One sound: a file, ``ARCHIVE::MEMBER``, or ``FONT#PRESET#SEED`` for a rendered instrument, whose preset is
    ``PROGRAM``, ``BANK:PROGRAM``, or ``KIT:PERCUSSION KEYS`` after ``drums:``.

    ``unit`` is what it was cut from: all sounds of one unit are in one split. (One soundfont plays other phrases in
    validation and in test; none of training's plays in either.)
    """

    kind: str
    split: str
    file: str
    unit: str
    source: Source
    start_s: float = 0.0


def find_sounds(cache: Path | None = None, data: Path | None = None, songs: Path | None = None) -> list[Sound]:
    """Every sound at hand. ``songs`` is a corpus of stems (``python -m models.corpus``), which need not be there."""
    cache, data = cache or default_cache(), data or default_data()
    found = [*_labelled(data), *_environment(data), *_effects(cache), *_speech(cache, data), *_sung(data)]
    found += [*_one_shots(data), *_breaks(data), *_music(cache), *_rendered(cache)]
    if songs is not None:
        found += _stems(songs)
    return [replace(s, split="test") if classes()[s.kind].unseen else s for s in found]


def _drawn(unit: str) -> str:
    """A split by chance: 76, 12 and 12 of a hundred units."""
    at = zlib.crc32(unit.encode()) % 100
    return "train" if at < 76 else "validation" if at < 88 else "test"


def _labelled(data: Path) -> list[Sound]:
    source = Source("labelled_sounds", "CC BY 3.0", "OLPC Berklee Sound Library")
    by_class: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for item in manifest_items(data / "labelled_sounds"):
        if found := class_of_label(item["label"]):
            by_class[found.key][item["label"]].append(str(data / "labelled_sounds" / item["file"]))
    sounds = []
    for key, labels in sorted(by_class.items()):
        largest = max(labels, key=lambda label: (len(labels[label]), label))
        for label, files in sorted(labels.items()):
            for file in sorted(files):
                alone = len(labels) == 1 and len(files) >= FEW  # one label: its clips are what can be split
                split = _drawn(file) if alone else "train" if label == largest else _drawn(f"{key}/{label}")
                sounds.append(Sound(key, split, file, f"labelled/{file if alone else label}", source))
    return sounds


def _environment(data: Path) -> Iterator[Sound]:
    source = Source("environment_sounds", "CC BY 3.0", "ESC, K. J. Piczak 2015, clips by Freesound users")
    for item in manifest_items(data / "environment_sounds"):
        found = class_of_label(item["label"])
        if found is None:
            continue
        split = "validation" if item["split"] == "validation" else "train"
        if split == "train" and zlib.crc32(item["freesound_id"].encode()) % 100 < 14:
            split = "test"
        file = str(data / "environment_sounds" / item["file"])
        yield Sound(found.key, split, file, f"freesound/{item['freesound_id']}", source)


def _effects(cache: Path) -> Iterator[Sound]:
    for package, (licence, credit) in EFFECTS.items():
        source = Source(package, licence, credit)
        for file in audio_files(package, cache, AUDIO, 3000, LARGEST):
            path = file.removeprefix(str(cache))
            spoken = "Voices" in path or (package == STAMPS and SPOKEN.search(path))
            found = None if spoken or "usic" in path else class_of_file(path)
            if found is None:
                continue
            stem = Path(path.split("::")[-1]).stem.rstrip("0123456789._-")
            kit = path.split("drumkits/")[-1].split("/")[0] if "drumkits/" in path else ""
            unit = f"{package}/{kit or stem}"
            test = package in TEST_PACKAGES or kit in TEST_KITS
            split = "test" if test else "train" if kit or package in TRAIN_PACKAGES else _drawn(unit)
            for start in AMBIENCE_STARTS_S if AMBIENCES in path else (0.0,):
                yield Sound(found.key, split, file, unit, source, start)


def _speech(cache: Path, data: Path) -> Iterator[Sound]:
    for package, (licence, credit) in SPEECH.items():
        source = Source(package, licence, credit)
        for file in audio_files(package, cache, AUDIO, 6000, LARGEST):
            stem = Path(file).stem
            held = any(language in stem for language in VALIDATION_LANGUAGES)
            split = "test" if package in TEST_SPEECH else "validation" if held else "train"
            spoken = package != STAMPS or SPOKEN.search(file)
            if spoken and not stem.startswith("music") and "/music/" not in file:
                yield Sound("speech", split, file, f"{package}/{split}", source)
    tsp = Source("speech/TSP", "simplified BSD", "TSP speech database, P. Kabal, McGill")
    for item in manifest_items(data / "speech"):
        if item["source"] == "TSP":
            split = "validation" if item["speaker"] in VALIDATION_SPEAKERS else "train"
            yield Sound("speech", split, str(data / "speech" / item["file"]), item["speaker"], tsp)


def _sung(data: Path) -> Iterator[Sound]:
    for item in manifest_items(data / "sung_voice"):
        credit = CREDITS[f"sung_voice/{item['bank']}"]
        source = Source(credit.name, credit.licence, credit.credit)
        yield Sound("singing", SINGERS[item["bank"]], str(data / "sung_voice" / item["file"]), item["bank"], source)


def _one_shots(data: Path) -> Iterator[Sound]:
    source = Source("instruments", "CC0 1.0", "Karoryfer Samples, D. Smolken, FreePats, cleary")
    for item in manifest_items(data / "instruments"):
        if item["label"] in ONE_SHOTS:
            key, split = ONE_SHOTS[item["label"]]
            yield Sound(key, split, str(data / "instruments" / item["file"]), item["label"], source)


def _breaks(data: Path) -> Iterator[Sound]:
    for item in manifest_items(data / "breaks"):
        if item["label"] in ("break", "loop"):
            source = Source(f"breaks/{item['source']}", item["licence"], item["source"])
            split = "validation" if item["split"] == "validation" else "train"
            yield Sound("drums", split, str(data / "breaks" / item["file"]), item["file"], source)


def _music(cache: Path) -> Iterator[Sound]:
    for package, (split, licence, credit) in MUSIC.items():
        for file in audio_files(package, cache, AUDIO, 400_000, 100_000_000):
            for start in (20.0, 60.0, 100.0):
                yield Sound("orchestra", split, file, file, Source(package, licence, credit), start)


def _rendered(cache: Path) -> Iterator[Sound]:
    for split, fonts in FONTS.items():
        for font in fonts:
            credit = CREDITS[font]
            source = Source(credit.name, credit.licence, credit.credit)
            for sound in classes().values():
                presets = [(str(program), phrases(sound, split)) for program in sound.programs]
                if split == "train":
                    presets += [(preset, MORE_PHRASES) for preset in sound.more]
                    keys = "+".join(map(str, sound.keys))
                    presets += [(f"drums:{kit}:{keys}", KIT_PHRASES) for kit in range(49) if keys]
                for preset, count in presets:
                    for seed in range(count):
                        file = f"{font}#{preset}#{split}{seed}"
                        yield Sound(sound.key, split, file, f"{font}/{preset}", source)


def phrases(sound: SoundClass, split: str) -> int:
    """How many phrases each program of a class plays in a split, so that classes with one have as much as others."""
    share = {"train": 24, "validation": 3, "test": 3}[split]
    return -(-share // len(sound.programs))


def _stems(songs: Path) -> Iterator[Sound]:
    for split in SPLITS:
        for folder in sorted((songs / split).glob("*/")):
            for stem, key in STEMS.items():
                file = folder / f"{stem}.flac"
                if file.is_file():
                    for start in (8.0, 30.0):
                        yield Sound(key, split, str(file), str(folder), RENDERED, start)
