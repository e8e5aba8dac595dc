"""The demo: a clip played through a daemon, its faders moved over OSC on the way, and what came out measured."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .audio_files import AudioReader
from .config import Audio, Config, Osc, Plugin
from .daemon import Daemon
from .levels import level_db
from .osc_client import OscClient
from .osc_table import Value

CLIP = Path(__file__).parent / "assets" / "demo.ogg"
LOOK_S = 0.002


class Move(NamedTuple):
    """A request that is sent when this share of the clip has been played."""

    at: float
    address: str
    values: tuple[Value, ...]


def moves_for(stems: tuple[str, ...]) -> list[Move]:
    """Solo the first stem for a while, then turn the second one down for a while."""
    first, second = stems[0], stems[1 % len(stems)]
    return [
        Move(0.30, "/sidechop/stem/solo", (first, True)),
        Move(0.50, "/sidechop/stem/solo", (first, False)),
        Move(0.65, "/sidechop/stem/gain", (second, -12.0)),
        Move(0.85, "/sidechop/stem/gain", (second, 0.0)),
    ]


class Player(threading.Thread):
    """Sends the moves as the clip goes by, over a socket, as any controller would. ``done`` says how it went."""

    def __init__(self, port: int, moves: list[Move], frames: int) -> None:
        super().__init__(name="demo-osc", daemon=True)
        self._port, self._moves, self._frames = port, moves, frames
        self.done: list[dict[str, Any]] = []

    def run(self) -> None:
        with OscClient("127.0.0.1", self._port) as client:
            for move in self._moves:
                while True:
                    state = json.loads(client.request("/sidechop/statistics")[0])
                    if state["position"] >= move.at * self._frames:
                        break
                    time.sleep(LOOK_S)
                started = time.perf_counter()
                client.request(move.address, *move.values)
                answer_ms = 1000.0 * (time.perf_counter() - started)
                words = " ".join(str(int(v) if isinstance(v, bool) else v) for v in move.values)
                self.done.append(
                    {
                        "kind": "osc",
                        "start_s": state["position"] / state["rate"],
                        "label": f"{move.address} {words}",
                        "answer_ms": answer_ms,
                    }
                )


def run_demo(
    folder: Path, model: str, paced: bool, clip: Path | None, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Play, measure, draw. Writes ``mix.wav`` (with the faders' moves), a WAV for each stem and ``spectrogram.png``.

    Raises:
        SidechopError: no such model or clip, or the session does not start.
    """
    source = clip or CLIP
    with AudioReader(source) as reader:
        duration_s = reader.frames / reader.rate
    started = time.perf_counter()
    audio = Audio(file=source, folder=folder, paced=paced)
    with Daemon(Config(model=model, audio=audio, osc=Osc(port=0), plugin=Plugin(serve=False))) as daemon:
        rate, outputs = daemon.lane.rate, daemon.lane.outputs
        frames = int(duration_s * rate)
        player = Player(daemon.server.address[1], moves_for(outputs), frames)
        player.start()

        def show() -> None:
            position = min(frames, int(daemon.lane.counters["in_written"]))
            progress(f"separating {position / rate:.1f} of {duration_s:.1f} s")

        daemon.run(show)
        player.join(1.0)
        latency, statistics = daemon.remote.latency(), daemon.remote.statistics()
        name = daemon.remote.status()["model"]
    elapsed_s = time.perf_counter() - started
    progress("measuring and drawing")
    sounds = {"input": _read(source, rate)}
    items: list[dict[str, Any]] = [_stem("input", source, sounds["input"], rate)]
    for label in ("mix", *outputs):
        path = folder / f"{label}.wav"
        sounds[label] = _read(path, rate)
        items.append(_stem(label, path, sounds[label], rate))
    picture = folder / "spectrogram.png"
    _draw(picture, rate, sounds, f"{source.name} · {name}")
    return {
        "source": str(source),
        "model": name,
        "rate": rate,
        "duration_s": duration_s,
        "elapsed_s": elapsed_s,
        "paced": paced,
        "items": items + player.done,
        "latency": latency,
        "statistics": statistics,
        "picture": str(picture),
    }


def _read(path: Path, rate: int) -> NDArray[np.float32]:
    with AudioReader(path, rate) as reader:
        return np.concatenate(list(reader.blocks(65536)), axis=1)


def _stem(label: str, path: Path, audio: NDArray[np.float32], rate: int) -> dict[str, Any]:
    rms = float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
    return {
        "kind": "stem",
        "start_s": 0.0,
        "end_s": audio.shape[1] / rate,
        "label": label,
        "path": str(path),
        "rms_db": level_db(rms),
        "peak_db": level_db(float(np.abs(audio).max())),
    }


def _draw(path: Path, rate: int, sounds: dict[str, NDArray[np.float32]], title: str) -> None:
    from .picture import draw_spectrograms

    aside = path.with_name(f"{path.name}.part")
    draw_spectrograms(aside, rate, sounds, title)
    os.replace(aside, path)
