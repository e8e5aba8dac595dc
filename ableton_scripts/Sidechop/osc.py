"""OSC as the daemon speaks it, in plain Python: Live's has no packages. Mirrors ``bridge/osc_packet.py``.

Numbers travel as int32, or int64 where they do not fit, and as float64; strings as UTF-8; switches as T and F.
"""

from __future__ import annotations

import struct
from typing import Any


class Malformed(ValueError):
    """Bytes that are not an OSC message of these types."""


def encode(address: str, *values: Any) -> bytes:
    """One message."""
    tags, data = ",", b""
    for value in values:
        if isinstance(value, bool):
            tags += "T" if value else "F"
        elif isinstance(value, int):
            tags, data = (
                (tags + "i", data + struct.pack(">i", value))
                if -(2**31) <= value < 2**31
                else (tags + "h", data + struct.pack(">q", value))
            )
        elif isinstance(value, float):
            tags, data = tags + "d", data + struct.pack(">d", value)
        else:
            tags, data = tags + "s", data + _padded(str(value))
    return _padded(address) + _padded(tags) + data


def decode(data: bytes) -> tuple[str, list[Any]]:
    """Address and arguments. Raises `Malformed`; bundles are none of the daemon's."""
    try:
        address, at = _string(data, 0)
        tags, at = _string(data, at)
        if not address.startswith("/") or not tags.startswith(","):
            raise Malformed("no OSC message")
        values: list[Any] = []
        for tag in tags[1:]:
            value, at = _value(tag, data, at)
            values.append(value)
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise Malformed(str(error)) from None
    return address, values


_NUMBERS = {"i": ">i", "h": ">q", "f": ">f", "d": ">d"}


def _value(tag: str, data: bytes, at: int) -> tuple[Any, int]:
    if tag in _NUMBERS:
        layout = _NUMBERS[tag]
        return struct.unpack_from(layout, data, at)[0], at + struct.calcsize(layout)
    if tag == "s":
        return _string(data, at)
    if tag in "TF":
        return tag == "T", at
    raise Malformed("unknown type " + tag)


def _padded(text: str) -> bytes:
    """Ends in one to four zeros, so that it fills whole words."""
    data = text.encode("utf-8", "replace")
    return data + b"\0" * (4 - len(data) % 4)


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at) if b"\0" in data[at:] else -1
    if end < 0:
        raise Malformed("a string without an end")
    return data[at:end].decode("utf-8"), at + (end - at) // 4 * 4 + 4
