"""ReaStream packets against literal bytes, against each other, and over a real socket."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bridge.reastream import (
    ReaStreamSocket,
    decode_packet,
    encode_packets,
    fit_channels,
    frames_per_packet,
)
from streaming.errors import AudioError

# Two frames of stereo at 44.1 kHz, written out by hand from the layout.
STEREO = (
    b"MRSR"
    b"\x3f\x00\x00\x00"  # 47 + 16 bytes
    b"default" + bytes(25) + b"\x02"  # channels
    b"\x44\xac\x00\x00"  # 44100
    b"\x10\x00"  # 16 bytes of audio
    b"\x00\x00\x00\x3f\x00\x00\x80\xbe"  # left: 0.5, -0.25
    b"\x00\x00\x80\x3f\x00\x00\x00\x00"  # right: 1, 0
)
AUDIO = np.array([[0.5, -0.25], [1.0, 0.0]], dtype=np.float32)

blocks = st.tuples(st.integers(1, 64), st.integers(1, 700)).flatmap(
    lambda shape: arrays(
        np.float32, shape, elements=st.floats(-4, 4, width=32, allow_subnormal=False), fill=st.just(np.float32(0.125))
    )
)
names = st.text(st.characters(min_codepoint=1, codec="ascii"), min_size=1, max_size=31)


def test_encode_gives_the_literal_bytes() -> None:
    assert list(encode_packets(AUDIO, 44100, "default")) == [STEREO]


def test_decode_reads_the_literal_bytes() -> None:
    packet = decode_packet(STEREO)
    assert packet is not None
    assert (packet.identifier, packet.rate) == ("default", 44100)
    np.testing.assert_array_equal(packet.audio, AUDIO)


def test_a_packet_holds_300_frames_mono_and_150_stereo() -> None:
    assert [frames_per_packet(channels) for channels in (1, 2, 64)] == [300, 150, 4]
    sizes = [len(datagram) for datagram in encode_packets(np.zeros((2, 1024), np.float32), 48000, "x")]
    assert sizes == [47 + 1200] * 6 + [47 + 124 * 8]


@given(blocks, st.integers(1, 2**32 - 1), names)
def test_decode_undoes_encode(audio: np.ndarray, rate: int, identifier: str) -> None:
    packets = [decode_packet(datagram) for datagram in encode_packets(audio, rate, identifier)]
    assert all(packet is not None and (packet.identifier, packet.rate) == (identifier, rate) for packet in packets)
    whole = np.concatenate([packet.audio for packet in packets if packet is not None], axis=1)
    np.testing.assert_array_equal(whole, audio)


@given(st.binary(max_size=1400))
def test_noise_is_never_a_packet_and_never_an_error(datagram: bytes) -> None:
    assert decode_packet(datagram) is None


@given(st.integers(0, len(STEREO) - 1), st.integers(0, 255))
def test_one_wrong_byte_never_raises_and_never_gives_unsound_audio(at: int, value: int) -> None:
    packet = decode_packet(STEREO[:at] + bytes([value]) + STEREO[at + 1 :])
    assert packet is None or (packet.audio.size == 4 and bool(np.isfinite(packet.audio).all()))


@given(st.integers(0, len(STEREO) - 1), st.binary(min_size=1, max_size=9))
def test_a_cut_or_a_tail_is_refused(end: int, tail: bytes) -> None:
    assert decode_packet(STEREO[:end]) is None
    assert decode_packet(STEREO + tail) is None


@pytest.mark.parametrize(
    "header",
    [
        (b"mRSR", 63, b"default", 2, 44100, 16),  # MIDI
        (b"MRSR", 63, b"default", 0, 44100, 16),
        (b"MRSR", 63, b"default", 65, 44100, 16),
        (b"MRSR", 63, b"default", 3, 44100, 16),  # 16 bytes are not whole frames of three channels
        (b"MRSR", 63, b"default", 2, 0, 16),
        (b"MRSR", 62, b"default", 2, 44100, 16),
        (b"MRSR", 63, b"default", 2, 44100, 8),
        (b"MRSR", 63, b"\xff\xfe", 2, 44100, 16),
    ],
)
def test_each_field_is_checked(header: tuple[bytes, int, bytes, int, int, int]) -> None:
    assert decode_packet(struct.pack("<4sI32sBIH", *header) + bytes(16)) is None


def test_samples_that_are_not_numbers_and_empty_packets_are_refused() -> None:
    assert decode_packet(STEREO[:47] + np.array([1, np.nan, 0, 0], "<f4").tobytes()) is None
    assert decode_packet(STEREO[:47] + np.array([1, np.inf, 0, 0], "<f4").tobytes()) is None
    assert decode_packet(struct.pack("<4sI32sBIH", b"MRSR", 47, b"default", 2, 44100, 0)) is None


@pytest.mark.parametrize("identifier", ["", "x" * 32, "a\0b"])
def test_identifiers_that_do_not_fit(identifier: str) -> None:
    with pytest.raises(AudioError, match="identifier"):
        list(encode_packets(AUDIO, 44100, identifier))


@pytest.mark.parametrize("have", [1, 2, 3, 64])
def test_any_channel_count_becomes_mono_or_stereo(have: int) -> None:
    audio = np.arange(have * 3, dtype=np.float32).reshape(have, 3)
    stereo, mono = fit_channels(audio, 2), fit_channels(audio, 1)
    np.testing.assert_array_equal(stereo, audio[[0, min(1, have - 1)]])
    np.testing.assert_array_equal(mono, stereo.mean(axis=0, keepdims=True))
    assert stereo.dtype == mono.dtype == np.float32


def test_a_block_crosses_a_real_socket_and_strangers_are_counted() -> None:
    one, other = ReaStreamSocket(("127.0.0.1", 0)), ReaStreamSocket(("127.0.0.1", 0), "back")
    audio = np.random.default_rng(3).standard_normal((2, 1024)).astype(np.float32)
    try:
        other.send(audio, 48000, "stranger", one.address)
        other._socket.sendto(b"not a packet", one.address)
        other._socket.sendto(b"", one.address)
        other.send(audio, 48000, "default", one.address)
        packets = [packet for _ in range(7 + 2 + 7) if (packet := one.receive(1.0))]
        assert (one.foreign, one.malformed) == (7, 2)
        np.testing.assert_array_equal(np.concatenate([packet.audio for packet in packets], axis=1), audio)
        assert one.receive(0.01) is None
    finally:
        one.close()
        other.close()


def test_an_address_in_use_is_one_line() -> None:
    first = ReaStreamSocket(("127.0.0.1", 0))
    try:
        with pytest.raises(AudioError, match=r"cannot listen on 127\.0\.0\.1"):
            ReaStreamSocket(first.address)
    finally:
        first.close()
