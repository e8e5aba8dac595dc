"""What an audio process is told to play: one of three sources, as JSON on its command line.

``budget_samples`` is the time the engine may take, as in `streaming.host.LaneHost`; None for its default.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from .reastream import PORT


@dataclass(frozen=True)
class DeviceSource:
    """A duplex stream: what the input device hears goes through the lane to the output device.

    Names as in `devices.choose_device`; channels count from 0, ``()`` means the first ones. ``block_samples`` 0 leaves
    the size to the driver, which then adds no period of its own; JACK always decides itself.
    """

    input: str = ""
    output: str = ""
    host_api: str = ""
    block_samples: int = 0
    input_channels: tuple[int, ...] = ()
    output_channels: tuple[int, ...] = ()
    budget_samples: int | None = None


@dataclass(frozen=True)
class FileSource:
    """A file in place of a device: at its own pace, or (``paced=False``) as fast as the engine goes, missing nothing.

    ``output`` takes the mix, ``stems`` is a folder that takes a wav a stem; both are in time with the file.
    """

    path: str
    paced: bool = True
    loop: bool = False
    output: str = ""
    stems: str = ""
    block_samples: int = 512
    budget_samples: int | None = None


@dataclass(frozen=True)
class ReaStreamSource:
    """ReaStream in and out. ``block_samples`` is the sender's buffer, which arrives as a burst of packets."""

    listen: tuple[str, int] = ("127.0.0.2", PORT)
    send_to: tuple[str, int] = ("127.0.0.1", PORT)
    identifier: str = "default"
    send_identifier: str = "sidechop"
    block_samples: int = 1024
    budget_samples: int | None = None


Source = DeviceSource | FileSource | ReaStreamSource
_KINDS: dict[str, type[DeviceSource | FileSource | ReaStreamSource]] = {
    "device": DeviceSource,
    "file": FileSource,
    "reastream": ReaStreamSource,
}


def encode_source(source: Source) -> str:
    kind = next(kind for kind, cls in _KINDS.items() if isinstance(source, cls))
    return json.dumps({"kind": kind, **dataclasses.asdict(source)})


def decode_source(text: str) -> Source:
    """The mirror of `encode_source`; trusts its text, which only `AudioProcess` writes."""
    fields: dict[str, Any] = json.loads(text)
    kind = _KINDS[fields.pop("kind")]
    values: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return kind(**values)
