"""Hosting a VST3 or AU plugin of the user's.

What a plugin says of itself is not taken on trust. Before the first file, and for each new rate, it is heard twice:

- An impulse shows its delay. Where it delays and does nothing else, that is its latency, whatever it reports; else what
  it reports holds.
- Noise, a reset, the same noise again: if that is not the same to the bit, a reset does not clear it, and the plugin is
  loaded anew for every file, so that no file hears another and a run that is resumed ends with the same bytes.

A plugin that takes one channel gets one instance for each; one that takes two hears a mono file in both, and the mean
of what it gives comes back.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from streaming.errors import RequestError

from ..config import Section
from .pumped import HOST_BLOCK, Pump, Tail
from .stage import Block

PROBE = 4 * HOST_BLOCK
IMPULSE_AT = 1024
IMPULSE = 0.25
"""Low enough for a limiter to leave it alone."""
PURE = 1e-3
"""A delay and nothing else: so little of the energy lies beside the peak."""
MEASURED_MAX_S = 0.1
"""A plugin that reports nothing and delays for longer is an echo, not late."""


class PluginStage(Section):
    """A plugin by its path.

    Attributes:
        path: of the ``.vst3`` or ``.component``; relative ones count from the chain's folder.
        name: which one, where a file holds several.
        preset: a ``.vstpreset`` (VST3) that is loaded first.
        parameters: by the names that ``--list-stages --plugin PATH`` shows.
        latency: ``auto`` as above, ``reported`` without measuring, or a number of samples.
        reload: load it anew for every file, even if a reset would do.
    """

    type: Literal["plugin"]
    path: Path
    name: str | None = None
    preset: Path | None = None
    parameters: dict[str, float | bool | str] = Field(default={})
    latency: Literal["auto", "reported"] | int = Field(default="auto")
    reload: bool = False


class Setup(NamedTuple):
    """How a plugin hears so many channels: as they are, one instance for each, or one file's channel in both."""

    mode: Literal["as-is", "each", "both"]
    instances: list[Any]


class Plugin:
    """The stage."""

    def __init__(self, settings: PluginStage, folder: Path, tail: Tail) -> None:
        self._settings, self._tail = settings, tail
        self.path = folder / settings.path.expanduser()
        self._preset = folder / settings.preset.expanduser() if settings.preset else None
        self._first: Any = self._load()
        self._setups: dict[int, Setup] = {}
        self._reload = settings.reload
        self._known: dict[tuple[int, int], int] = {}
        self._rate = 0
        self.notes: list[str] = []

    def prepare(self, rate: int, channels: int) -> tuple[int, int]:
        self._rate, self._channels = rate, channels
        key = (rate, channels)
        if channels not in self._setups:
            self._setups[channels] = self._set_up(channels)
        self._setup = self._setups[channels]
        if key not in self._known:
            self._known[key] = self._examine(rate)
        self._begin()
        self._pump = Pump(self._run, lambda: self._known[key], rate, channels, self._tail)
        return rate, channels

    def process(self, block: Block) -> Block:
        return self._pump.process(block)

    def flush(self) -> Iterator[Block]:
        return self._pump.flush()

    @property
    def latency_samples(self) -> int:
        """At the rate that was prepared last."""
        return self._known[self._rate, self._channels]

    def _load(self) -> Any:
        return load(self.path, self._settings.name, self._preset, self._settings.parameters)

    def _set_up(self, channels: int) -> "Setup":
        """Raises `RequestError` for a plugin that takes neither one channel nor two."""
        try:
            self._try(channels)
            return Setup("as-is", [self._first])
        except ValueError as error:
            refusal = error
        try:
            self._try(3 - channels)
        except ValueError:
            raise RequestError(f"{self.path.name}: {' '.join(str(refusal).split())}") from None
        return Setup("each", [self._first, self._load()]) if channels == 2 else Setup("both", [self._first])

    def _try(self, channels: int) -> None:
        self._first.process(np.zeros((channels, HOST_BLOCK), np.float32), self._rate, HOST_BLOCK, False)

    def _begin(self) -> None:
        """A new stream, without a trace of the last."""
        if self._reload:
            self._setup.instances[:] = [self._load() for _ in self._setup.instances]
        for instance in self._setup.instances:
            instance.reset()

    def _run(self, audio: Block) -> Block:
        mode, instances = self._setup
        try:
            if mode == "each":
                return np.concatenate([self._host(p, audio[i : i + 1]) for i, p in enumerate(instances)])
            if mode == "both":
                mean: Block = self._host(instances[0], np.repeat(audio, 2, axis=0)).mean(axis=0, keepdims=True)
                return mean
            return self._host(instances[0], audio)
        except (ValueError, RuntimeError) as error:
            raise RequestError(f"{self.path.name}: {' '.join(str(error).split())}") from None

    def _host(self, plugin: Any, audio: Block) -> Block:
        out: Block = plugin.process(audio, self._rate, HOST_BLOCK, False)
        return out

    def _examine(self, rate: int) -> int:
        """The latency at this rate. Sets whether the plugin has to be loaded anew for every file."""
        name = self._first.name
        if not self._reload and not self._clears():
            self._reload = True
            self.notes.append(f"{name}: a reset does not clear it, so it is loaded anew for every file")
        chosen = self._settings.latency
        if isinstance(chosen, int):
            return int(chosen)
        self._begin()
        impulse = np.zeros((self._channels, PROBE), np.float32)
        impulse[:, IMPULSE_AT] = IMPULSE
        heard = self._run(impulse)
        reported = int(self._setup.instances[0].reported_latency_samples)
        delay = pure_delay(heard)
        if chosen == "reported" or delay is None:
            return reported
        measured: int = delay - IMPULSE_AT + PROBE - heard.shape[1]  # what it kept back, it has made up for itself
        if measured == reported or (reported == 0 and measured > MEASURED_MAX_S * rate):
            return reported
        self.notes.append(
            f"{name}: reports {reported} samples of latency and delays by {measured} at {rate} Hz: "
            f"{measured} are taken out; latency = {reported} in the chain leaves it"
        )
        return measured

    def _clears(self) -> bool:
        noise = np.random.default_rng(0).uniform(-0.25, 0.25, (2, self._channels, PROBE)).astype(np.float32)
        heard = []
        for first in (0, 1):
            for instance in self._setup.instances:
                instance.reset()
            if first:
                self._run(noise[1])
                for instance in self._setup.instances:
                    instance.reset()
            heard.append(self._run(noise[0]))
        return heard[0].shape == heard[1].shape and bool(np.array_equal(heard[0], heard[1]))


def load(
    path: Path,
    name: str | None = None,
    preset: Path | None = None,
    parameters: dict[str, float | bool | str] | None = None,
) -> Any:
    """Load a plugin and set it up.

    Raises:
        RequestError: it is not there, is none, has no such parameter, or the value is out of its range.
    """
    from pedalboard._pedalboard import load_plugin

    if not path.exists():
        raise RequestError(f"{path}: no such plugin")
    try:
        plugin: Any = load_plugin(str(path), plugin_name=name)
    except (ImportError, ValueError, RuntimeError) as error:
        raise RequestError(f"{path}: cannot be loaded ({' '.join(str(error).split())})") from None
    if not plugin.is_effect:
        raise RequestError(f"{path}: {plugin.name} is an instrument, an effect is expected")
    if preset is not None:
        try:
            plugin.load_preset(str(preset))
        except (ValueError, RuntimeError, AttributeError, OSError) as error:
            raise RequestError(f"{preset}: cannot be loaded into {plugin.name} ({error})") from None
    for key, value in (parameters or {}).items():
        if key not in plugin.parameters:
            there = ", ".join(plugin.parameters)
            raise RequestError(f"{plugin.name} has no parameter {key!r}; it has {there}")
        try:
            setattr(plugin, key, value)
        except (ValueError, TypeError) as error:
            raise RequestError(f"{plugin.name}: {key}: {' '.join(str(error).split())}") from None
    return plugin


def pure_delay(heard: Block) -> int | None:
    """Where an impulse came out, if nothing else did; None for what filters, echoes or is silent."""
    loudest = np.abs(heard).max(axis=0, initial=0.0)
    if not loudest.any():
        return None
    peak = int(np.argmax(loudest))
    energy = float(np.square(heard, dtype=np.float64).sum())
    return peak if float(np.square(heard[:, peak], dtype=np.float64).sum()) > (1 - PURE) * energy else None
