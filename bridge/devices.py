"""Audio devices by name. The choice is pure logic on a list; only `list_devices` touches PortAudio.

sounddevice is imported where it is used: without PortAudio everything that needs no device still works.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import ModuleType
from typing import Literal

from streaming.errors import AudioError

Direction = Literal["input", "output"]

# Where one device shows up through several host APIs, the one with the least between it and the hardware.
HOST_API_PREFERENCE = (
    "JACK Audio Connection Kit",
    "ASIO",
    "Windows WASAPI",
    "Core Audio",
    "ALSA",
    "Windows WDM-KS",
    "Windows DirectSound",
    "MME",
    "OSS",
)


@dataclass(frozen=True)
class Device:
    """One row of PortAudio's list. ``index`` holds until PortAudio starts again; names are what lasts."""

    index: int
    name: str
    host_api: str
    inputs: int
    outputs: int
    rate: int
    default_input: bool = False
    default_output: bool = False

    def channels(self, direction: Direction) -> int:
        return self.inputs if direction == "input" else self.outputs

    def is_default(self, direction: Direction) -> bool:
        return self.default_input if direction == "input" else self.default_output


def load_sounddevice() -> ModuleType:
    """sounddevice with PortAudio started.

    Raises:
        AudioError: PortAudio is not installed; says how to get it.
    """
    try:
        with _quiet_stderr():
            import sounddevice
    except (OSError, ImportError) as error:
        hint = {
            "linux": "apt-get install libportaudio2 (Debian, Ubuntu), or your distribution's portaudio package",
            "darwin": "brew install portaudio",
        }.get(sys.platform, "pip install --force-reinstall sounddevice")
        raise AudioError(f"audio devices need PortAudio, which did not load ({error}): {hint}") from None
    module: ModuleType = sounddevice
    return module


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """PortAudio's start makes ALSA and JACK print pages about devices that nobody asked for."""
    try:
        saved = os.dup(2)
    except OSError:  # no standard error at all
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def list_devices() -> list[Device]:
    """All devices as PortAudio numbers them.

    Raises:
        AudioError: PortAudio is not installed.
    """
    sounddevice = load_sounddevice()
    apis = sounddevice.query_hostapis()
    default_input, default_output = sounddevice.default.device
    return [
        Device(
            index=int(row["index"]),
            name=str(row["name"]),
            host_api=str(apis[row["hostapi"]]["name"]),
            inputs=int(row["max_input_channels"]),
            outputs=int(row["max_output_channels"]),
            rate=round(row["default_samplerate"]),
            default_input=row["index"] == default_input,
            default_output=row["index"] == default_output,
        )
        for row in sounddevice.query_devices()
    ]


def choose_device(devices: Sequence[Device], direction: Direction, name: str = "", host_api: str = "") -> Device:
    """The device meant by `name`: whole or in part, in any case; its index; or empty for the default.

    A whole name beats a part of one, then the host API order of `HOST_API_PREFERENCE` decides; `host_api` (whole or in
    part) narrows the list first.

    Raises:
        AudioError: nothing fits, or several do; names what comes close.
    """
    able = [device for device in devices if device.channels(direction) > 0]
    if host_api:
        able = [device for device in able if host_api.casefold() in device.host_api.casefold()]
    where = f" on {host_api}" if host_api else ""
    if not able:
        raise AudioError(f"no {direction} device{where}; `sidechop devices` lists what is there")
    if not name:
        return next((device for device in able if device.is_default(direction)), _preferred(able)[0])
    if name.isdigit():  # the only way to tell two boxes of one make apart
        fitting = [device for device in able if device.index == int(name)]
        if not fitting:
            raise AudioError(f"no {direction} device{where} has the index {name}; `sidechop devices` lists them")
        return fitting[0]
    wanted = name.casefold()
    fitting = [device for device in able if device.name.casefold() == wanted] or [
        device for device in able if wanted in device.name.casefold()
    ]
    if not fitting:
        names = list(dict.fromkeys(device.name for device in able))
        near = get_close_matches(name, names, n=3, cutoff=0.4) or names[:5]
        raise AudioError(f"no {direction} device{where} is called {name!r}; there is: {', '.join(near)}")
    fitting = _preferred(fitting)
    if len(fitting) > 1:
        choices = ", ".join(f"{device.name!r} ({device.host_api})" for device in fitting[:5])
        raise AudioError(f"{name!r} fits {len(fitting)} {direction} devices: {choices}; say more, or the index")
    return fitting[0]


def _preferred(devices: Sequence[Device]) -> list[Device]:
    """Those on the most preferred host API that occurs."""

    def rank(device: Device) -> int:
        known = device.host_api in HOST_API_PREFERENCE
        return HOST_API_PREFERENCE.index(device.host_api) if known else len(HOST_API_PREFERENCE)

    best = min(rank(device) for device in devices)
    return [device for device in devices if rank(device) == best]


def parse_channels(text: str) -> tuple[int, ...]:
    """``"3,4"`` → ``(2, 3)``: device channels as they are printed on the box, from 1.

    Raises:
        AudioError: not one or two positive numbers.
    """
    try:
        channels = tuple(int(part) - 1 for part in text.split(","))
    except ValueError:
        channels = ()
    if len(channels) not in (1, 2) or min(channels) < 0:
        raise AudioError(f"channels {text!r}: one or two numbers from 1 are expected, such as 1,2")
    return channels


def check_channels(device: Device, direction: Direction, channels: Sequence[int]) -> None:
    """
    Raises:
        AudioError: the device has not that many channels.
    """
    have = device.channels(direction)
    if max(channels) >= have:
        raise AudioError(f"{device.name!r} has {have} {direction} channels; channel {max(channels) + 1} was asked for")
