"""Where the raw sounds of the corpus come from: freely licensed Debian packages and the shared data folder.

Packages are fetched with ``apt-get download`` and unpacked with ``dpkg -x`` into a cache; nothing is installed.
Whatever is absent is named in ``Sources.missing`` and the corpus is made from what is left, in the last resort
from synthesis alone.
"""

import json
import math
import os
import shutil
import subprocess
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

SOUNDFONT_FILES = {
    "fluid-soundfont-gm": "usr/share/sounds/sf2/FluidR3_GM.sf2",
    "timgm6mb-soundfont": "usr/share/sounds/sf2/TimGM6mb.sf2",
    "musescore-general-soundfont": "usr/share/sounds/sf3/MuseScore_General_Full.sf3",
    "avldrums-red-zeppelin": "usr/share/sounds/sf2/Red_Zeppelin_4_LV2.sf2",
    "avldrums-black-pearl": "usr/share/sounds/sf2/Black_Pearl_4_LV2.sf2",
}
KIT_FOLDERS = ("hydrogen-drumkits", "hydrogen-data")
KIT_ROOT = "usr/share/hydrogen/data/drumkits"
SONIC_PI_SAMPLES = "sonic-pi-samples"
LMMS = "lmms-common"
PACKAGES = (
    "fluid-soundfont-gm",
    "timgm6mb-soundfont",
    "musescore-general-soundfont",
    "avldrums.lv2-soundfont",
    "hydrogen-drumkits",
    "hydrogen-data",
    "sonic-pi-samples",
    "lmms-common",
)
DATA_FOLDERS = ("sung_voice", "instruments", "breaks", "impulse_responses", "speech")


ARCHIVES = (".pk3", ".zip")
"""Packages of games within packages."""


class Credit(NamedTuple):
    """Who made a sound and under which terms: what a song and a model card repeat."""

    name: str
    licence: str
    credit: str


CREDITS = {
    credit.name: credit
    for credit in (
        Credit("fluid-soundfont-gm", "MIT", "FluidR3 GM by Frank Wen"),
        Credit("timgm6mb-soundfont", "GPL-2", "TimGM6mb by Tim Brechbill"),
        Credit(
            "musescore-general-soundfont",
            "MIT",
            "MuseScore General by Frank Wen, Michael Cowgill, S. Christian Collins",
        ),
        Credit("avldrums-red-zeppelin", "CC BY-SA 3.0", "AVLinux Red Zeppelin drum kit by Glen MacArthur"),
        Credit("avldrums-black-pearl", "CC BY-SA 3.0", "AVLinux Black Pearl drum kit by Glen MacArthur"),
        Credit("GMRockKit", "GPL-2+", "Hydrogen GMRockKit by Glen MacArthur and the Hydrogen authors"),
        Credit("TR808EmulationKit", "GPL-2+", "Hydrogen TR808EmulationKit by Artemiy Pavlov"),
        Credit("ElectricEmpireKit", "GPL-2+", "Electric Empire Kit by Artemiy Pavlov"),
        Credit("HardElectro1", "GPL-2+", "HardElectro1 by Artemiy Pavlov"),
        Credit("VariBreaks", "GPL-2+", "VariBreaks by Artemiy Pavlov"),
        Credit("Millo-Drums_v.1", "GPL-2", "Millo Drums by Emiliano Grilli"),
        Credit("Millo_MultiLayered2", "GPL-2", "Millo MultiLayered 2 by Emiliano Grilli"),
        Credit("Millo_MultiLayered3", "GPL-2", "Millo MultiLayered 3 by Emiliano Grilli"),
        Credit("ColomboAcousticDrumkit", "GPL-2+", "Colombo Acoustic Drumkit by Marcos Guglielmetti"),
        Credit("circAfrique v4", "CC BY-SA 3.0", "circAfrique by Jim Harney"),
        Credit("BJA_Pacific", "CC BY-SA 3.0", "BJA Pacific by Luc Tunguay"),
        Credit("Gimme A Hand 1.0", "GPL-2", "Gimme A Hand by Glen MacArthur"),
        Credit("The Black Pearl 1.0", "GPL-2", "The Black Pearl by Glen MacArthur"),
        Credit("rumpf_kit_z01_h2", "CC BY 3.0", "rumpf kit by Emanuel Rumpf"),
        Credit("Audiophob", "CC0", "Audiophob kit by audiophobdubstep"),
        Credit("ForzeeStereo", "GPL-2", "Forzee Stereo by Vladimir Sadovnikov and Alexander Belokurov"),
        Credit("sonic-pi-samples", "CC0", "Sonic Pi samples by Freesound users, collected by Sam Aaron"),
        Credit("lmms-common", "GPL-2+", "LMMS sample loops by the LMMS authors"),
        Credit("sung_voice/kumi", "Hitsuboku Kumi terms of use", "Hitsuboku Kumi by Cubialpha, edited"),
        Credit("sung_voice/scottpoid", "SCOTTPOID terms of use", "SCOTTPOID by Scott, edited"),
        Credit("sung_voice/yuki", "public domain", "Imagawa Yuki by MoeMoe Tea Time, voice Adios, distribution KGS"),
        Credit("sung_voice/erithacus", "CC BY 4.0", "Erithacus by Erithacus Project (edited)"),
        Credit("speech/TSP", "simplified BSD", "TSP speech database, P. Kabal, McGill University"),
        Credit("instruments", "CC0 1.0", "Karoryfer Samples, D. Smolken, FreePats, cleary"),
        Credit("breaks/uzu", "Unlicense", "uzu-drumkit contributors (Switch Angel, mot4i, Ludens)"),
        Credit("breaks/garden", "free with credit", "mot4i, Garden sample pack"),
        Credit("impulse_responses", "Apache-2.0", "Google web-audio-samples (C. Rogers, C. Wilson and contributors)"),
        Credit("synthesis", "Apache-2.0", "the oscillators of this project"),
    )
}


@dataclass(frozen=True)
class Item:
    """One sound of the shared data folder: its file and what the manifest says of it."""

    path: Path
    fields: dict[str, Any]


class Sources:
    """The sounds at hand.

    Args:
        cache: folder where packages are unpacked, one folder a package.
        data: the shared data folder, each subfolder with a ``manifest.json``.
        download: fetch packages that the cache lacks.

    Attributes:
        missing: names of packages and folders that could not be had.
    """

    def __init__(self, cache: Path | None = None, data: Path | None = None, download: bool = True) -> None:
        self.cache = cache or default_cache()
        self.data = data or default_data()
        self.download = download
        self.missing: list[str] = []
        for package in PACKAGES:
            if not (self.package(package) / "usr").is_dir():
                self.missing.append(package)
        self.items = {folder: self._read_manifest(folder) for folder in DATA_FOLDERS}

    def package(self, name: str) -> Path:
        """The folder of an unpacked package, fetched if need be; it does not exist where it cannot be had."""
        if self.download and not (self.cache / name / "usr").is_dir():
            fetch(name, self.cache)
        return self.cache / name

    def _read_manifest(self, folder: str) -> list[Item]:
        """The items of a data folder that training may use; empty (and named as missing) without the folder."""
        manifest = self.data / folder / "manifest.json"
        if not manifest.is_file():
            self.missing.append(f"data/{folder}")
            return []
        rows = json.loads(manifest.read_text(encoding="utf-8"))["items"]
        return [Item(manifest.parent / row["file"], row) for row in rows if row.get("split") != "validation"]

    def soundfont(self, name: str) -> Path | None:
        """The file of a soundfont, or None if its package is missing."""
        package = "avldrums.lv2-soundfont" if name.startswith("avldrums") else name
        path = self.cache / package / SOUNDFONT_FILES[name]
        return path if path.is_file() else None

    def kit(self, name: str) -> Path | None:
        """The folder of a Hydrogen drum kit, or None."""
        for package in KIT_FOLDERS:
            folder = self.cache / package / KIT_ROOT / name
            if (folder / "drumkit.xml").is_file():
                return folder
        return None

    def sonic_pi(self) -> Path | None:
        """The folder of the Sonic Pi samples, or None."""
        found = sorted((self.cache / SONIC_PI_SAMPLES).rglob("bd_haus.flac"))
        return found[0].parent if found else None

    def lmms(self) -> Path:
        """The folder of the LMMS samples, which need not be there."""
        return self.cache / LMMS / "usr/share/lmms/samples"


def default_cache() -> Path:
    """``~/.cache/sidechop/sources``, or below ``XDG_CACHE_HOME``."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sidechop" / "sources"


def default_data() -> Path:
    """``SIDECHOP_DATA``, or ``shared/data`` beside the checkout."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("SIDECHOP_DATA", beside))


def fetch(package: str, cache: Path) -> None:
    """Download and unpack a Debian package; nothing happens where there is no apt, network or such package."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return
    cache.mkdir(parents=True, exist_ok=True)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with TemporaryDirectory(dir=cache, prefix=f".{package}-") as folder:  # its own: others may fetch the same
        if subprocess.run(["apt-get", "download", package], cwd=folder, check=False, **quiet).returncode:  # type: ignore[call-overload]
            return
        aside = Path(folder) / package
        subprocess.run(["dpkg", "-x", str(max(Path(folder).glob("*.deb"))), str(aside)], check=True)
        try:
            aside.rename(cache / package)
        except OSError:
            if not (cache / package).is_dir():
                raise


def manifest_items(folder: Path) -> list[dict[str, Any]]:
    """What the manifest of a data folder lists; nothing without the folder."""
    manifest = folder / "manifest.json"
    items: list[dict[str, Any]] = []
    if manifest.is_file():
        items = json.loads(manifest.read_text(encoding="utf-8"))["items"]
    return items


def audio_files(
    package: str, cache: Path, suffixes: Collection[str], smallest: int, largest: float = math.inf
) -> list[str]:
    """Audio files of a package, fetched if need be, by size in bytes; those in its archives as ``ARCHIVE::MEMBER``."""
    if not (cache / package / "usr").is_dir():
        fetch(package, cache)
    root = cache / package / "usr"
    found = []
    for path in sorted(root.rglob("*")) if root.is_dir() else []:
        if path.suffix.lower() in suffixes and not path.is_symlink() and smallest <= path.stat().st_size <= largest:
            found.append(str(path))
        elif path.suffix in ARCHIVES:
            with zipfile.ZipFile(path) as archive:
                found += [
                    f"{path}::{info.filename}"
                    for info in archive.infolist()
                    if Path(info.filename).suffix.lower() in suffixes and smallest <= info.file_size <= largest
                ]
    return found
