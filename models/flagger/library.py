"""The general model's recordings: free music and speech, whole packages in one split, so that no composer is in two.

Packages come through `models.corpus.sources.Sources` and are named with their licences in the model's card. Sounds that
get in the way of music (objects, animals, machines) are another library, for faults: of shared data in training, of
other packages in the test.
"""

from collections.abc import Iterator
from pathlib import Path

from models.corpus.sources import audio_files, default_cache, default_data, manifest_items
from streaming.card import Source

from .recordings import AUDIO, Recording, joined

MUSIC = {
    "wesnoth-1.16-music": ("train", "GPL-2+", "Battle for Wesnoth music by A. Paslawski, M. Kinney and others"),
    "nexuiz-music": ("train", "GPL-2+", "Nexuiz music by T. Blasco, M. Kleban, S. J. Robinson and others"),
    "naev-data": ("train", "CC BY 3.0, CC BY-SA 3.0, public domain, GPL-3", "Naev music, credits per track"),
    "warzone2100-music": ("train", "GPL-2+, CC BY-SA 3.0, CC0", "Warzone 2100 music, credits per track"),
    "colobot-common-sounds": ("train", "GPL-3+", "Colobot music by P. Kaczmarek"),
    "supertux-data": ("train", "GPL-3+, CC BY-SA", "SuperTux music, credits per track"),
    "supertuxkart-data": ("validation", "CC BY-SA, CC BY, CC0, public domain", "SuperTuxKart music, credits per track"),
    "widelands-data": ("validation", "GPL-2+", "Widelands music"),
    "hedgewars-data": ("validation", "GPL-2, GFDL-1.3", "Hedgewars music"),
    "ufoai-music": ("test", "GPL-2+, CC BY 3.0, CC BY-SA 3.0", "UFO: Alien Invasion music, credits per track"),
    "marsshooter-data": ("test", "CC BY 3.0, CC BY-SA 3.0, GPL-3+", "Mars, a ridiculous shooter: music"),
}
SPEECH = {
    "festvox-ru": ("train", "BSD-like", "festvox-ru by N. Zubov and others"),
    "fillets-ng-data-nl": ("train", "GPL-2+", "Fish Fillets NG, Dutch voices"),
    "klettres-data": ("train", "GPL-2+, CC0", "KLettres, letters and syllables by its translators"),
    "ktuberling-data": ("train", "GPL-2+, CC BY, CC0", "KTuberling, voices of its translators"),
    "hedgewars-data": ("train", "GPL-2, GFDL-1.3", "Hedgewars, voices of its hogs"),
    "fillets-ng-data-cs": ("test", "GPL-2+", "Fish Fillets NG, Czech voices"),
    "tuxpaint-stamps-default": ("validation", "GPL-2", "Tux Paint stamps, voices of its translators"),
}
SOUNDS = {
    "warmux-data": ("test", "GPL-2+", "WarMUX sounds"),
    "torcs-data": ("test", "GPL-2+, Free Art", "TORCS sounds"),
    "minetest-data": ("test", "CC BY-SA 3.0, CC BY 3.0, MIT", "Minetest sounds"),
    "ufoai-sound": ("validation", "GPL-2+, CC BY 3.0, CC BY-SA 3.0", "UFO: Alien Invasion sounds"),
}
VOICES = {"hedgewars-data": "/voices/"}
"""Where in a package the speech is, if not everywhere."""
SMALLEST_SONG = 400_000
"""Bytes: less is a jingle."""
VALIDATION_SPEAKERS = ("tsp_FA", "arctic_slt")
"""Whose sentences of shared data do not train."""
SPEECH_FILES = 400
"""Of a package of many."""
MOST_SOUNDS = 600


def music(split: str, cache: Path | None = None) -> list[Recording]:
    """Songs of a split; what cannot be had is left out."""
    cache = cache or default_cache()
    found = []
    for package, (of, licence, credit) in MUSIC.items():
        if of == split:
            source = Source(package, licence, credit)
            songs = audio_files(package, cache, AUDIO, SMALLEST_SONG)
            found += [Recording(f"{package}/{Path(song.split('::')[-1]).stem}", (song,), source) for song in songs]
    return found


def speech(split: str, cache: Path | None = None, data: Path | None = None) -> list[Recording]:
    """Speech of a split, sentences of a speaker joined."""
    cache = cache or default_cache()
    found: list[Recording] = []
    for package, (of, licence, credit) in SPEECH.items():
        if of == split:
            files = [
                file for file in audio_files(package, cache, AUDIO, 4000) if VOICES.get(package, "") in file.lower()
            ]
            files = files[:: max(1, len(files) // SPEECH_FILES)][:SPEECH_FILES]
            found += joined(package, files, Source(package, licence, credit), speech=True)
    if split != "test":
        found += _sentences(split, data or default_data())
    return found


def sounds(split: str, cache: Path | None = None, data: Path | None = None) -> list[Recording]:
    """What gets in the way of music, one file each."""
    cache, data = cache or default_cache(), data or default_data()
    found = []
    for package, (of, licence, credit) in SOUNDS.items():
        if of == split:
            source = Source(package, licence, credit)
            found += [
                Recording(f"{package}/{Path(f).stem}", (f,), source)
                for f in audio_files(package, cache, AUDIO, 6000)
                if "music" not in f
            ]
    if split == "train":
        for folder, licence, credit in (
            ("environment_sounds", "CC BY 3.0", "ESC, K. J. Piczak 2015, clips by Freesound users"),
            ("labelled_sounds", "CC BY 3.0", "OLPC Berklee Sound Library"),
        ):
            source = Source(folder, licence, credit)
            for item in manifest_items(data / folder):
                if item.get("split", "training") == "training" and float(item["seconds"]) > 0.3:
                    found.append(Recording(f"{folder}/{item['file']}", (str(data / folder / item["file"]),), source))
    return found[:: -(-len(found) // MOST_SOUNDS)] if found else []


def _sentences(split: str, data: Path) -> Iterator[Recording]:
    by_speaker: dict[str, list[str]] = {}
    for item in manifest_items(data / "speech"):
        by_speaker.setdefault(item["speaker"], []).append(str(data / "speech" / item["file"]))
    for speaker, files in sorted(by_speaker.items()):
        if (speaker in VALIDATION_SPEAKERS) == (split == "validation"):
            tsp = speaker.startswith("tsp")
            licence = "simplified BSD" if tsp else "BSD-like"
            credit = "TSP speech database, P. Kabal, McGill" if tsp else "CMU ARCTIC, J. Kominek and A. Black"
            source = Source("speech/TSP" if tsp else "speech/ARCTIC", licence, credit)
            yield from joined(speaker, files, source, speech=True)
