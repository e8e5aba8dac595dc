"""Datagrams to OSC messages and back, on python-osc, hardened against strangers.

Bundles are unpacked here: python-osc 1.10 loops for ever on a bundle element of negative size, recurses on nested
ones, and logs a warning for each unknown type tag. What it is given here is one message with tags that it knows.
"""

import struct
from collections.abc import Sequence
from typing import Any

from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from .osc_table import Argument, Value

DATAGRAM_MAX = 8192
"""Longest datagram (bytes) that is read; a request is rarely over 100."""
_DEPTH_MAX = 8
_BUNDLE = b"#bundle\0"
_TAGS = frozenset(b",ihfdsbTFN")


class MalformedError(Exception):
    """A datagram that is not OSC as we speak it: to be counted and dropped."""


def read_packet(datagram: bytes, limit: int = DATAGRAM_MAX, depth: int = 0) -> list[tuple[str, list[Any]]]:
    """All messages of a datagram of at most ``limit`` bytes, as (address, arguments), in order.

    Raises:
        MalformedError: for anything else than well-formed messages and bundles; none of it is then carried out.
    """
    if len(datagram) > limit or depth > _DEPTH_MAX:
        raise MalformedError("too long or too deep")
    if not datagram.startswith(_BUNDLE):
        return [_read_message(datagram)]
    messages, at = [], len(_BUNDLE) + 8
    if len(datagram) < at:
        raise MalformedError("bundle without a time tag")
    while at < len(datagram):
        if at + 4 > len(datagram):
            raise MalformedError("bundle element without a size")
        (size,) = struct.unpack_from(">i", datagram, at)
        at += 4
        if size <= 0 or at + size > len(datagram):
            raise MalformedError("bundle element of a wrong size")
        messages += read_packet(datagram[at : at + size], limit, depth + 1)
        at += size
    return messages


def _read_message(data: bytes) -> tuple[str, list[Any]]:
    if not data.startswith(b"/") or len(data) % 4:
        raise MalformedError("not an OSC message")
    tags = (data.find(b"\0") // 4 + 1) * 4  # the address ends in 1 to 4 zeros
    if data[tags : tags + 1] != b"," or not _TAGS.issuperset(data[tags : data.find(b"\0", tags)]):
        raise MalformedError("no type tags, or unknown ones")
    try:
        message = OscMessage(data)
        return message.address, list(message)
    except Exception as error:  # python-osc raises what it stumbles over: its own, Unicode, struct and index errors
        raise MalformedError(str(error)) from None


def write_message(
    address: str, values: Sequence[Value], arguments: Sequence[Argument] = (), id: int | None = None
) -> bytes:
    """One message as a datagram, each value with the type of its argument, or by what it is where that does not fit:
    the other side then refuses it with words. ``id`` goes first: give it for requests and answers.
    """
    builder = OscMessageBuilder(address)
    if id is not None:
        builder.add_arg(id, "i")
    for i, value in enumerate(values):
        builder.add_arg(value, _tag(value, arguments[i].tag if i < len(arguments) else None))
    return builder.build().dgram


def _tag(value: Value, wanted: str | None) -> str:
    match value:
        case bool():
            return "T" if value else "F"
        case int():
            if wanted in ("f", "d", "h"):
                return wanted
            return "i" if -(2**31) <= value < 2**31 else "h"
        case float():
            return "d" if wanted == "d" else "f"
        case _:
            return "s"
