"""The null test on JACK: what `sidechop live` plays, against the offline render, sample by sample.

    python -m benchmarks.jack_null [--seconds 120] [--model live4-int8] [--budget-ms 40]

A private synchronous JACK server (dummy driver, 48 kHz, 128 frames), a tape that plays noise and records what comes
back, and between them the daemon with a thread that never rests. Two faders are moved away from unity, so that the
network's work is in the mix; at unity the mix would be the delayed input whatever the network did. The offline render
begins where the live engine began: with the silence that the lane had heard before the tape rolled.

The driver waits for its clients but nobody waits for the engine: where the machine itself halts for longer than the
engine's budget, the dry mix is heard and counted as a miss. So an idle loop runs beside, to show how long it halts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.jack_server import jack_server, missing_tool
from benchmarks.jack_tape import PLAYER, RECORDER
from bridge.idle_loop import finish_idle_loop, start_idle_loop
from streaming.engine import Engine
from streaming.lane import EngineState, Lane
from streaming.mixer import Controls

RATE, PERIOD = 48000, 128
RENDER_BLOCK = 4096
SETTLE_S = 1.0
HOP_S = 256 / RATE
FADERS_TOML = """
[stems.vocals]
mute = true
[stems.drums]
gain_db = -6
"""

# The daemon with a thread beside it that never rests: `sidechop live` as its console script runs it.
BUSY_LIVE = """
import sys, threading
def spin():
    while True:
        sum(range(1000))
threading.Thread(target=spin, daemon=True).start()
from bridge.cli import main
main()
"""


class Result(NamedTuple):
    """``difference``: the largest |captured - offline|; ``level`` the offline render's own peak, to judge it by."""

    seconds: float
    difference: float
    level: float
    latency_samples: int
    misses: int


def set_faders(controls: Controls) -> None:
    """As `FADERS_TOML` does."""
    controls.set_mute("vocals", True)
    controls.set_gain_db("drums", -6.0)


class TapeMachine:
    """The tape's process, ready to roll; its clients are there to be connected to."""

    def __init__(self, server: str, audio: NDArray[np.float32], folder: Path) -> None:
        self.audio = audio
        self._recorded = folder / "recorded.npy"
        np.save(folder / "played.npy", audio)
        command = [sys.executable, "-m", "benchmarks.jack_tape", server, str(folder / "played.npy")]
        self._process = subprocess.Popen(
            [*command, str(self._recorded)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            raise RuntimeError("the tape machine did not start")

    def roll(self, lane_name: str) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Play all and record as much. Returns the recording and what `jack_tape` says about it."""
        out, _ = self._process.communicate(lane_name + "\n", timeout=4 * self.audio.shape[1] / RATE + 30)
        info: dict[str, Any] = json.loads(out)
        if not info["finished"]:
            raise RuntimeError(f"the tape did not get to its end: {info}")
        recorded: NDArray[np.float32] = np.load(self._recorded)
        return recorded, info

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


@contextmanager
def tape_machine(server: str, audio: NDArray[np.float32]) -> Iterator[TapeMachine]:
    with tempfile.TemporaryDirectory() as folder:
        machine = TapeMachine(server, audio, Path(folder))
        try:
            yield machine
        finally:
            machine.stop()


def render_offline(model: Path, audio: NDArray[np.float32], silence: int) -> NDArray[np.float32]:
    """The faders' mix of ``audio`` after ``silence`` frames of nothing, delayed by the engine's latency only."""
    engine = Engine(model)
    engine.prepare(RATE, RENDER_BLOCK, audio.shape[0])
    set_faders(engine.controls)
    rendered = np.zeros_like(audio)
    nothing = np.zeros((audio.shape[0], RENDER_BLOCK), np.float32)
    for start in range(0, silence, RENDER_BLOCK):
        engine.process(nothing[:, : min(RENDER_BLOCK, silence - start)])
    for start in range(0, audio.shape[1], RENDER_BLOCK):
        block = audio[:, start : start + RENDER_BLOCK]
        rendered[:, start : start + block.shape[1]] = engine.process(block)[0]
    return rendered[:, engine.latency_samples :]


def compare(machine: TapeMachine, lane_name: str, model: Path) -> Result:
    """Roll the tape through a running session and set its recording against the offline render."""
    recorded, info = machine.roll(lane_name)
    offline = render_offline(model, machine.audio, info["position"])
    live = recorded[:, info["latency"] :]
    frames = min(live.shape[1], offline.shape[1])
    difference = float(np.abs(live[:, :frames] - offline[:, :frames]).max())
    return Result(frames / RATE, difference, float(np.abs(offline).max()), info["latency"], info["misses"])


def noise(seconds: float) -> NDArray[np.float32]:
    """Stereo noise that swells and fades, so that it is loud and soft in turn."""
    frames = round(seconds * RATE)
    swell = 0.5 - 0.45 * np.cos(2 * np.pi * np.arange(frames) / RATE)
    white = np.random.default_rng(7).standard_normal((2, frames), dtype=np.float32)
    return (0.2 * white * swell).astype(np.float32)


@contextmanager
def live_session(model: str, budget_ms: float, folder: Path) -> Iterator[str]:
    """`sidechop live` between the tape's two clients, kept busy; gives the name of its lane."""
    settings = folder / "faders.toml"
    settings.write_text(FADERS_TOML)
    flags = ["--input", PLAYER, "--output", RECORDER, "--model", model, "--rate", str(RATE), "--block", str(PERIOD)]
    flags += ["--budget-ms", str(budget_ms)]
    command = [sys.executable, "-c", BUSY_LIVE, "live", *flags, "--osc-port", "0", "--config", str(settings), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield _wait_for_lane(process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_lane(live: "subprocess.Popen[bytes]", timeout_s: float = 60.0) -> str:
    """The name that the daemon gave its audio process, once audio runs through a ready engine."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end and live.poll() is None:
        commands = [child.cmdline() for child in psutil.Process(live.pid).children()]
        for words in commands:
            if "bridge.audio_process" in words and _runs(name := words[words.index("bridge.audio_process") + 1]):
                return name
        time.sleep(0.1)
    raise RuntimeError("`sidechop live` did not get ready")


def _runs(lane_name: str) -> bool:
    lane = Lane.attach(lane_name)
    settled = int(lane.counters["in_written"]) > SETTLE_S * RATE
    ready = lane.engine_state is EngineState.READY
    lane.close()
    return settled and ready


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--model", default="live4-int8", help="name or path")
    parser.add_argument("--budget-ms", type=float, default=40.0, help="must cover the machine's own stalls")
    options = parser.parse_args()
    if missing := missing_tool():
        sys.exit(missing)
    from bridge.registry import find_model

    model = find_model(options.model)
    with (
        tempfile.TemporaryDirectory() as folder,
        jack_server(RATE, PERIOD) as server,
        tape_machine(server, noise(options.seconds)) as machine,
        live_session(options.model, options.budget_ms, Path(folder)) as lane,
    ):
        noise_of_machine = start_idle_loop(options.seconds, HOP_S)
        result = compare(machine, lane, model)
        idle = finish_idle_loop(noise_of_machine)
    settings = {"model": options.model, "rate": RATE, "period": PERIOD, "budget_ms": options.budget_ms}
    print(json.dumps({**settings, **result._asdict(), "idle_loop_max_ms": idle["max_ms"]}, indent=2))
    return 0 if result.difference <= 1e-5 and result.misses == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
