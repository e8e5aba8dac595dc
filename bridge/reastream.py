"""ReaStream, the UDP audio of REAPER's stock plugin: packets, and a socket that sends and receives them.

A packet, little-endian (UDP port 58710)::

    0     4      8             40      41     45      47
    ┌──────┬──────┬─────────────┬───────┬──────┬───────┬──────────────────────────────────────┐
    │"MRSR"│ size │ identifier  │ chan. │ rate │ bytes │ float32, channel after channel       │
    │      │ u32  │ 32, NUL pad │  u8   │ u32  │  u16  │ at most 1,200 bytes                  │
    └──────┴──────┴─────────────┴───────┴──────┴───────┴──────────────────────────────────────┘
      size of the whole packet                   of the audio

So a stereo packet carries at most 150 frames; a longer block is several packets. There are no sequence numbers and no
time stamps: what the network loses is lost unseen. It is a preview without installation, never sample-exact.

Two sockets on one address starve each other: next to a REAPER on the same machine listen on 127.0.0.2 and send to
127.0.0.1 (the whole of 127/8 is local on Linux and Windows; on macOS first ``sudo ifconfig lo0 alias 127.0.0.2``).
"""

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.errors import AudioError

PORT = 58710
CHANNELS_MAX = 64
AUDIO_BYTES_MAX = 1200

_HEADER = struct.Struct("<4sI32sBIH")
_MAGIC = b"MRSR"


class Packet(NamedTuple):
    """``audio`` is float32 ``(channels, n)`` and may be silent, never empty; its samples are finite."""

    identifier: str
    rate: int
    audio: NDArray[np.float32]


def frames_per_packet(channels: int) -> int:
    """150 in stereo."""
    return AUDIO_BYTES_MAX // (4 * channels)


def encode_packets(audio: NDArray[np.float32], rate: int, identifier: str) -> Iterator[bytes]:
    """One block ``(channels, n)`` as packets, in order.

    Raises:
        AudioError: an identifier that does not fit, or more than 64 channels.
    """
    channels, frames = audio.shape
    name = encode_identifier(identifier)
    if not 1 <= channels <= CHANNELS_MAX:
        raise AudioError(f"ReaStream carries 1 to {CHANNELS_MAX} channels, not {channels}")
    step = frames_per_packet(channels)
    for start in range(0, frames, step):
        body = audio[:, start : start + step].astype("<f4").tobytes()
        yield _HEADER.pack(_MAGIC, _HEADER.size + len(body), name, channels, rate, len(body)) + body


def encode_identifier(identifier: str) -> bytes:
    """
    Raises:
        AudioError: empty, longer than 31 bytes, or with a NUL in it.
    """
    name = identifier.encode()
    if not 1 <= len(name) <= 31 or b"\0" in name:
        raise AudioError(f"ReaStream identifier {identifier!r}: 1 to 31 bytes are expected")
    return name


def decode_packet(datagram: bytes) -> Packet | None:
    """The packet, or None for whatever is not ReaStream audio (MIDI packets start ``mRSR`` and are none either)."""
    if len(datagram) < _HEADER.size:
        return None
    magic, size, name, channels, rate, count = _HEADER.unpack_from(datagram)
    sizes_agree = size == len(datagram) == _HEADER.size + count and count <= AUDIO_BYTES_MAX
    if magic != _MAGIC or not sizes_agree or not 1 <= channels <= CHANNELS_MAX or rate == 0:
        return None
    if count == 0 or count % (4 * channels):
        return None
    try:
        identifier = name.split(b"\0", 1)[0].decode()
    except UnicodeDecodeError:
        return None
    audio = np.frombuffer(datagram, "<f4", offset=_HEADER.size).astype(np.float32).reshape(channels, -1)
    return Packet(identifier, rate, audio) if np.isfinite(audio).all() else None


def fit_channels(audio: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """``(any, n)`` as ``(channels, n)`` with channels 1 or 2: mono goes to both sides, of many the first two stay."""
    if audio.shape[0] == channels:
        return audio
    if channels == 1:
        mono: NDArray[np.float32] = audio[:2].mean(axis=0, keepdims=True, dtype=np.float32)
        return mono
    return np.repeat(audio, 2, axis=0) if audio.shape[0] == 1 else audio[:2]


class ReaStreamSocket:
    """One UDP socket, bound to where REAPER sends, that also sends back.

    ``malformed`` counts datagrams that are not ReaStream, ``foreign`` those with another identifier (every ReaStream
    on a machine hears every other); both are dropped.

    Raises:
        AudioError: the address is taken or is not here.
    """

    def __init__(self, listen: tuple[str, int], identifier: str = "default") -> None:
        encode_identifier(identifier)
        self.identifier = identifier
        self.malformed = 0
        self.foreign = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 19)  # 0.3 s of stereo at 192 kHz
            self._socket.bind(listen)
        except OSError as error:
            self._socket.close()
            reason = error.strerror or str(error)
            raise AudioError(f"ReaStream cannot listen on {listen[0]}:{listen[1]} ({reason}); try --listen") from None

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._socket.getsockname()
        return host, port

    def receive(self, timeout_s: float) -> Packet | None:
        """The next packet with our identifier, or None when none comes in time."""
        self._socket.settimeout(timeout_s)
        try:
            datagram = self._socket.recv(65536)
        except (TimeoutError, ConnectionError):  # Windows reports a receiver that is gone as a reset
            return None
        packet = decode_packet(datagram)
        if packet is None:
            self.malformed += 1
            return None
        if packet.identifier != self.identifier:
            self.foreign += 1
            return None
        return packet

    def send(self, audio: NDArray[np.float32], rate: int, identifier: str, to: tuple[str, int]) -> None:
        """One block; a network that is down drops it, as it would on the way."""
        for datagram in encode_packets(audio, rate, identifier):
            try:
                self._socket.sendto(datagram, to)
            except OSError:
                return

    def close(self) -> None:
        self._socket.close()
