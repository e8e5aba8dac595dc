"""From the settings to a session: where the audio comes from, at which rate, in blocks of which size."""

import subprocess

from streaming.errors import AudioError
from streaming.spawn import spawn

from .audio_source import DeviceSource, FileSource, ReaStreamSource, Source
from .config import Audio

BLOCK = 256
REASTREAM_BLOCK = 1024
"""REAPER's usual buffer: its packets come in bursts of so many frames."""
LANE_BLOCK_MIN = 1024
"""Room for what a driver or a packet brings of itself; a longer block is taken in pieces."""
REASTREAM_RATE = 48000


def source_of(audio: Audio, rate: int, budget_ms: float | None) -> Source:
    """What the audio process is told to play."""
    block = block_of(audio)
    budget = None if budget_ms is None else round(budget_ms * rate / 1000.0)
    if audio.file:
        folder = str(audio.folder) if audio.folder else ""
        output = str(audio.folder / "mix.wav") if audio.folder else ""
        return FileSource(str(audio.file), audio.paced, audio.loop, output, folder, block, budget)
    if audio.reastream is not None:
        return ReaStreamSource(identifier=audio.reastream, block_samples=block, budget_samples=budget)
    return DeviceSource(audio.input or "", audio.output or "", block_samples=block, budget_samples=budget)


def block_of(audio: Audio) -> int:
    """Frames of a block: as asked, or what suits the source; 0 is the driver's own."""
    if audio.block is None:
        return REASTREAM_BLOCK if audio.reastream is not None else BLOCK
    return audio.block if audio.block or not (audio.file or audio.reastream) else BLOCK


def lane_block(audio: Audio) -> int:
    """The longest block that the lane is made for."""
    return max(block_of(audio), LANE_BLOCK_MIN)


def session_rate_of(audio: Audio) -> int:
    """The asked rate, or else the file's or the output device's own.

    Raises:
        AudioError: the file cannot be read, or there is no such device.
    """
    if audio.rate:
        return audio.rate
    if audio.file:
        from .audio_files import AudioReader, session_rate

        with AudioReader(audio.file) as reader:
            return session_rate(reader.rate)
    return REASTREAM_RATE if audio.reastream is not None else _device_rate(audio.output or "")


def _device_rate(name: str) -> int:
    """Asked in a process of its own: PortAudio in the daemon would hold devices and bring threads."""
    code = (
        "import sys\n"
        "from bridge.devices import choose_device, list_devices\n"
        "from streaming.errors import AudioError\n"
        "try:\n"
        "    print('rate', choose_device(list_devices(), 'output', sys.argv[1]).rate)\n"
        "except AudioError as error:\n"
        "    print('error', error)\n"
    )
    with spawn("-c", code, name, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        answer, _ = child.communicate()
    kind, _, rest = (answer.strip().splitlines() or [""])[-1].partition(" ")
    if kind != "rate":
        raise AudioError(rest or "the audio devices could not be listed: try `sidechop devices`")
    return int(rest)
