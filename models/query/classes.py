"""The classes of sound that the query models learn, and the captions that ask for each.

``classes.toml`` names them. A caption is a name in a sentence such as a producer might type, or a whole description;
every fourth is never trained on, so that paraphrases can be judged. Contexts say what is heard together: mixtures that
make sense teach more than random ones (RESEARCH.md section 3 measured 1 dB).
"""

import re
import tomllib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SENTENCES = (
    "{}",
    "the {}",
    "sound of {}",
    "{} sound",
    "a recording of {}",
    "only the {}",
    "isolate the {}",
    "just {}",
    "extract {}",
    "give me the {}",
    "the sound of {} in the background",
    "please separate the {}",
    "{} only",
    "I want to hear the {}",
    "{} in this track",
    "solo the {}",
)
UNHEARD_EVERY = 4
"""One caption of so many is kept from training."""


@dataclass(frozen=True)
class SoundClass:
    """One class.

    Attributes:
        context: where it is met: music, voice, home, street, nature, machine or game.
        labels, files: regular expressions for the labels of the shared data and for paths in packages.
        programs: General MIDI programs that play it.
        more: presets that are for training alone, ``BANK:PROGRAM``.
        keys: General MIDI percussion keys that play it, for training alone.
        kin: classes that hold the same sound, never mixed with it.
        unseen: kept from training as a whole.
    """

    key: str
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    context: str
    labels: re.Pattern[str] | None = None
    files: re.Pattern[str] | None = None
    programs: tuple[int, ...] = ()
    more: tuple[str, ...] = ()
    keys: tuple[int, ...] = ()
    kin: frozenset[str] = frozenset()
    unseen: bool = False

    def captions(self, heard: bool | None = None) -> list[str]:
        """What may be typed to ask for it: those trained on (``heard``), those that are not, or all (None)."""
        typed = [sentence.format(name) for name in self.names for sentence in SENTENCES] + list(self.descriptions)
        typed = list(dict.fromkeys(typed))
        if heard is None:
            return typed
        return [caption for caption in typed if _heard(self.key, caption, self.names[0]) == heard]


def _heard(key: str, caption: str, first: str) -> bool:
    return caption == first or zlib.crc32(f"{key}/{caption}".encode()) % UNHEARD_EVERY != 0


Vocabulary = Mapping[str, SoundClass]


@cache
def classes() -> Vocabulary:
    """All of them by key, in the order in which they claim sounds."""
    with Path(__file__).with_name("classes.toml").open("rb") as file:
        table = tomllib.load(file)
    music = {key for key, row in table.items() if row["context"] == "music"}
    kin: dict[str, set[str]] = {key: {key} for key in table}
    for key, row in table.items():
        for other in row.get("kin", ()):
            for name in music if other == "*music" else {other}:
                kin[key].add(name)
                kin[name].add(key)
    return {
        key: SoundClass(
            key,
            tuple(row["names"]),
            tuple(row["descriptions"]),
            row["context"],
            re.compile(row["labels"]) if "labels" in row else None,
            re.compile(row["files"]) if "files" in row else None,
            tuple(row.get("programs", ())),
            tuple(row.get("more", ())),
            tuple(row.get("keys", ())),
            frozenset(kin[key]),
            row.get("unseen", False),
        )
        for key, row in table.items()
    }


def class_of_label(label: str) -> SoundClass | None:
    """The class of a label of the shared data, or None."""
    return next((c for c in classes().values() if c.labels and c.labels.search(label)), None)


def class_of_file(path: str) -> SoundClass | None:
    """The class of a file in a package, or None."""
    return next((c for c in classes().values() if c.files and c.files.search(path)), None)
