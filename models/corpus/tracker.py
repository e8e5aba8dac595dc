"""Tracker modules: real music whose every note is written down, played by libopenmpt channel by channel.

A module is rows of notes; while it plays in steps of 64 samples, the row it is in tells when each row begins, to 1.5
ms. Every channel is played alone as well, so an onset is then moved to where its channel is heard to begin. Beats
follow from the rows where the notes bear them out: so many rows a beat that the tempo is moderate, with bars of four.

libopenmpt (its C interface, version 0.5 on) is found by ctypes; without it there are no modules.
"""

import ctypes
import re
from collections.abc import Iterator
from ctypes.util import find_library
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .annotate import heard
from .attacks import Times, merge
from .recordings import Recorded
from .sources import Credit, Sources
from .synth import RATE, Audio

# packages by split: a composer's modules stay together
PACKAGES = {
    "biniax2-data": ("validation", "zlib"),
    "tuxtype-data": ("validation", "GPL-2"),
    "circuslinux-data": ("test", "GPL"),
    "rockdodger": ("test", "GPL-2+"),
    "pingus-data": ("train", "GPL-2+"),
    "tecnoballz-data": ("train", "GPL-3+"),
    "heroes-sound-tracks": ("train", "GPL-2+"),
    "ri-li-data": ("train", "GPL-2 or GPL-3"),
    "gweled": ("train", "GPL-2+"),
}
SUFFIXES = (".mod", ".xm", ".s3m", ".it")
DRUMS = re.compile(r"kick|drum|snare|hi-?hat|hat\b|hht|hihat|cymbal|crash|clap|\btom\b|\bbd\b|conga|tabla|percu", re.I)
STEP = 64
LONGEST_S, SHORTEST_S = 75.0, 20.0
NOTES = range(1, 121)
SLOWEST_BPM, BEATS_PER_BAR = 85.0, 4
LEAD = 1.08
APART_DB = -40.0


class Played(NamedTuple):
    """What a module did: when each row began (seconds), its pattern and its number in it."""

    sound: Audio
    rows: list[tuple[float, int, int]]


class Module:
    """One open module. Only what is needed of https://lib.openmpt.org/doc/libopenmpt__ext_8h.html."""

    def __init__(self, data: bytes) -> None:
        self.lib = openmpt()
        nothing = [None] * 7
        self.ext = self.lib.openmpt_module_ext_create_from_memory(data, ctypes.c_size_t(len(data)), *nothing)
        if not self.ext:
            raise OSError("libopenmpt cannot read the module")
        self.module = self.lib.openmpt_module_ext_get_module(self.ext)

    def close(self) -> None:
        self.lib.openmpt_module_ext_destroy(self.ext)

    def get(self, what: str, *args: int) -> Any:
        """``openmpt_module_get_…`` of whole numbers."""
        return getattr(self.lib, f"openmpt_module_get_{what}")(self.module, *args)

    def names(self) -> list[str]:
        """The names of the instruments, or of the samples where there are none, numbered from 1 in the notes."""
        kind = "instrument" if self.get("num_instruments") else "sample"
        reader = getattr(self.lib, f"openmpt_module_get_{kind}_name")
        reader.restype = ctypes.c_void_p
        found = []
        for number in range(self.get(f"num_{kind}s")):
            text = reader(self.module, number)
            found.append(ctypes.string_at(text).decode("utf-8", "replace"))
            self.lib.openmpt_free_string(text)
        return found

    def mute_all_but(self, channel: int) -> None:
        table = (ctypes.c_void_p * 16)()
        self.lib.openmpt_module_ext_get_interface(self.ext, b"interactive", table, ctypes.sizeof(table))
        # the eleventh function of the table
        mute = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int)(table[10] or 0)
        for other in range(self.get("num_channels")):
            mute(self.ext, other, int(other != channel))

    def play(self, step: int) -> Played:
        """Play from the beginning, at most 75 s, noting the row after each step."""
        buffer = np.zeros((step, 2), dtype=np.float32)
        pointer = buffer.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        pieces: list[Audio] = []
        rows: list[tuple[float, int, int]] = []
        place, now = (-1, -1, -1), 0
        while now < LONGEST_S * RATE:
            count = self.lib.openmpt_module_read_interleaved_float_stereo(
                self.module, RATE, ctypes.c_size_t(step), pointer
            )
            if not count:
                break
            pieces.append(buffer[:count].copy())
            here = (self.get("current_order"), self.get("current_pattern"), self.get("current_row"))
            if here != place:
                rows.append((now / RATE, here[1], here[2]))
                place = here
            now += count
        # at its end a module goes back to a row that it does not play
        end = self.get("duration_seconds") - 0.005
        rows = [row for row in rows if row[0] < end]
        return Played(np.concatenate(pieces or [buffer[:0]]).T[:, : int(LONGEST_S * RATE)], rows)


@lru_cache(maxsize=1)
def openmpt() -> Any:
    """The library, its functions declared. Raises `OSError` without it."""
    lib = ctypes.CDLL(find_library("openmpt") or "libopenmpt.so.0")
    for name in ("module_ext_create_from_memory", "module_ext_get_module"):
        getattr(lib, f"openmpt_{name}").restype = ctypes.c_void_p
    for name in (
        "module_ext_get_module", "module_ext_destroy", "module_ext_get_interface", "free_string",
        "module_get_num_instruments", "module_get_num_samples", "module_get_num_channels", "module_get_current_order",
        "module_get_current_pattern", "module_get_current_row",
    ):  # fmt: skip
        getattr(lib, f"openmpt_{name}").argtypes = [ctypes.c_void_p]
    lib.openmpt_module_ext_get_interface.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t,
    ]  # fmt: skip
    for name in ("instrument_name", "sample_name"):
        getattr(lib, f"openmpt_module_get_{name}").argtypes = [ctypes.c_void_p, ctypes.c_int32]
    lib.openmpt_module_get_duration_seconds.argtypes = [ctypes.c_void_p]
    lib.openmpt_module_get_duration_seconds.restype = ctypes.c_double
    lib.openmpt_module_get_pattern_row_channel_command.argtypes = [ctypes.c_void_p, *[ctypes.c_int32] * 3, ctypes.c_int]
    lib.openmpt_module_get_pattern_row_channel_command.restype = ctypes.c_uint8
    lib.openmpt_module_read_interleaved_float_stereo.argtypes = [
        ctypes.c_void_p, ctypes.c_int32, ctypes.c_size_t, ctypes.POINTER(ctypes.c_float),
    ]  # fmt: skip
    lib.openmpt_module_read_interleaved_float_stereo.restype = ctypes.c_size_t
    return lib


def read_modules(sources: Sources) -> Iterator[Recorded]:
    """Every module of the packages whose channels, played alone, sum to the whole."""
    try:
        openmpt()
    except OSError:
        print("missing libopenmpt: going on without modules")
        return
    for package, (split, licence) in PACKAGES.items():
        paths = sorted(p for p in sources.package(package).rglob("*") if p.suffix.lower() in SUFFIXES)
        for path in paths:
            recorded = read_module(path, split, Credit(package, licence, f"the music of {package}"))
            if recorded:
                yield recorded


def read_module(path: Path, split: str, credit: Credit) -> Recorded | None:
    """A module's drums and the rest, with onsets; None where it is short or its channels do not make the whole."""
    data = path.read_bytes()
    try:
        module = Module(data)
    except OSError:
        return None
    whole = module.play(STEP)
    if whole.sound.shape[1] < SHORTEST_S * RATE or not np.any(whole.sound):
        module.close()
        return None
    notes = _notes(module, whole.rows)
    names = module.names()
    module.close()
    groups: dict[str, Audio] = {}
    onsets: dict[str, list[float]] = {"drums": [], "other": []}
    for channel, struck in notes.items():
        sound = _alone(data, channel)
        group = "drums" if all(DRUMS.search(_name(names, number)) for _, number in struck) else "other"
        groups[group] = groups.get(group, np.zeros_like(whole.sound)) + sound
        onsets[group] += heard(sound, [(time, str(number)) for time, number in struck], dropped=True).tolist()
    rest = whole.sound - sum(groups.values())
    if 10 * np.log10(np.mean(rest**2) / np.mean(whole.sound**2) + 1e-12) > APART_DB:
        return None
    level = np.float32(0.95 / max(0.95, *(float(np.abs(sound).max()) for sound in [whole.sound, *groups.values()])))
    beats, downbeats = beats_of(whole.rows, [time for struck in notes.values() for time, _ in struck])
    return Recorded(
        f"{credit.name} {path.stem}",
        split,
        {name: sound * level for name, sound in groups.items()},
        {**{name: merge(times) for name, times in onsets.items()}, "bass": np.array([]), "vocals": np.array([])},
        beats,
        downbeats,
        {},
        (credit,),
    )


def _alone(data: bytes, channel: int) -> Audio:
    module = Module(data)
    module.mute_all_but(channel)
    sound = module.play(RATE).sound
    module.close()
    return sound


def _notes(module: Module, rows: list[tuple[float, int, int]]) -> dict[int, list[tuple[float, int]]]:
    """By channel, when each note is struck and by which instrument; a channel that plays none is left out."""
    command = module.lib.openmpt_module_get_pattern_row_channel_command
    found: dict[int, list[tuple[float, int]]] = {}
    for channel in range(module.get("num_channels")):
        playing = 0
        for time, pattern, row in rows:
            note, instrument = (command(module.module, pattern, row, channel, what) for what in (0, 1))
            playing = instrument or playing
            if note in NOTES and playing:
                found.setdefault(channel, []).append((time, playing))
    return found


def _name(names: list[str], number: int) -> str:
    return names[number - 1] if number <= len(names) else ""


def beats_of(rows: list[tuple[float, int, int]], struck: list[float]) -> tuple[Times | None, Times | None]:
    """Beats and downbeats, or None where the notes do not bear them out or the tempo is not one."""
    times = np.array([row[0] for row in rows])
    numbers = np.array([row[2] for row in rows])
    row_s = float(np.median(np.diff(times)))
    per_beat = next((n for n in (1, 2, 4, 8, 16) if 60 / (n * row_s) < 2 * SLOWEST_BPM), 0)
    if not per_beat or np.mean(np.abs(np.diff(times) / row_s - 1) < 0.05) < 0.95:
        return None, None
    weight = np.bincount(np.searchsorted(times, struck, side="right") - 1, minlength=len(rows))[: len(rows)]
    bar = per_beat * BEATS_PER_BAR
    on_rows = [float(weight[numbers % per_beat == k].mean()) for k in range(per_beat)]
    on_beats = [float(weight[numbers % bar == k * per_beat].mean()) for k in range(BEATS_PER_BAR)]
    if (numbers.max() + 1) % bar or not (_leads(on_rows) and _leads(on_beats)):
        return None, None
    return times[numbers % per_beat == 0], times[numbers % bar == 0]


def _leads(strength: list[float]) -> bool:
    """Whether the first of some places in a bar bears about the most notes, and clearly more than their average."""
    return strength[0] >= 0.95 * max(strength) and strength[0] >= LEAD * float(np.mean(strength))
