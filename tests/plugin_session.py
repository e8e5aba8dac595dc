"""What the plugin's tests share: a daemon for plugins only, what an engine makes of audio, which lanes there are."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bridge.config import Audio, Config, Osc, Plugin
from bridge.daemon import Daemon
from bridge.plugin_lane import plugin_group, plugin_lanes
from streaming.engine import Engine
from tests.conftest import wait_for


def daemon_for(model: Path | str, slots: tuple[str, ...] = ()) -> Daemon:
    return Daemon(Config(model=str(model), audio=Audio(plugin=True), osc=Osc(port=0), plugin=Plugin(slots=slots)))


@contextmanager
def serving(model: Path | str, slots: tuple[str, ...] = ()) -> Iterator[Daemon]:
    """A daemon for plugins; when it has ended, no lane of a plugin that ended is left."""
    with daemon_for(model, slots) as daemon:
        yield daemon
        wait_for(lambda: not lanes(), 15.0)
    assert not lanes()


def lanes() -> list[str]:
    return plugin_lanes(plugin_group())


def noise(frames: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((2, frames)) * 0.2).astype(np.float32)


def delayed(audio: np.ndarray, frames: int) -> np.ndarray:
    """``audio`` with so much silence before it, at its own length."""
    return np.concatenate([np.zeros((*audio.shape[:-1], frames), np.float32), audio], axis=-1)[..., : audio.shape[-1]]


def rendered(model: Path | None, audio: np.ndarray, rate: int) -> np.ndarray:
    """What the engine makes of ``audio (2, n)`` offline: stems ``(S, 2, n)``, in time with it."""
    engine = Engine(model)
    engine.prepare(rate, 8192, 2)
    parts = [engine.process(audio[:, start : start + 8192])[1].copy() for start in range(0, audio.shape[1], 8192)]
    stems = np.concatenate([*parts, engine.flush()[1]], axis=2)
    return stems[:, :, engine.latency_samples :][:, :, : audio.shape[1]]
