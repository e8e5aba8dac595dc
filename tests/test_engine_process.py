"""The real engine process on real shared memory: exact when waited for, dry when late, back when well."""

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from streaming.engine import Engine
from streaming.errors import EngineError
from streaming.host import CROSSFADE_SAMPLES, LaneHost
from streaming.lane import EngineState, Lane
from streaming.process import EngineProcess
from tests.tiny_models import tiny_live4

RATE = 44100
OUTPUTS = ("vocals", "drums", "bass", "other")


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for what another process does; the limit is only there so that a failure ends."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "nothing happened"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_live4(tmp_path_factory.mktemp("models") / "tiny.onnx", counting=True)


@pytest.fixture
def lane() -> Iterator[Lane]:
    made = Lane.create(RATE, 2, 8192, OUTPUTS, 512)
    yield made
    made.close()
    made.unlink()


@pytest.fixture
def engine(lane: Lane, model: Path) -> Iterator[EngineProcess]:
    process = EngineProcess(lane, model)
    process.start()
    yield process
    process.stop()


class Player:
    """Plays endless seeded noise through a host, remembering what went in and what came out."""

    def __init__(self, lane: Lane, block: int) -> None:
        self.host = LaneHost(lane, block)
        self._rng = np.random.default_rng(0)
        self._outputs = len(lane.outputs)
        self.heard: list[np.ndarray] = []
        self.mixes: list[np.ndarray] = []
        self.stems: list[np.ndarray] = []

    def play(self, n: int, wait: bool = True) -> bool:
        block = (self._rng.standard_normal((2, n)) * 0.2).astype(np.float32)
        mix, stems = np.empty_like(block), np.empty((self._outputs, 2, n), np.float32)
        ready = self.host.process(block, mix, stems, wait=wait)
        self.heard.append(block)
        self.mixes.append(mix)
        self.stems.append(stems)
        return ready

    def play_paced(self, n: int, seconds: float) -> list[bool]:
        started, readies = time.perf_counter(), []
        for k in range(int(seconds * RATE / n)):
            time.sleep(max(0.0, started + k * n / RATE - time.perf_counter()))
            readies.append(self.play(n, wait=False))
        return readies

    def aligned(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Input, mix and stems at the same positions."""
        late = self.host.latency_samples
        heard, mix = np.concatenate(self.heard, 1), np.concatenate(self.mixes, 1)
        stems = np.concatenate(self.stems, 2)
        return heard[:, : heard.shape[1] - late], mix[:, late:], stems[:, :, late:]


@pytest.mark.parametrize("sizes", [[512], [64], [1, 8192, 3, 700], [480, 441]], ids=str)
def test_waited_for_it_equals_the_engine_to_the_bit(
    lane: Lane, engine: EngineProcess, model: Path, sizes: list[int]
) -> None:
    player = Player(lane, max(sizes))
    while sum(block.shape[1] for block in player.heard) < 40000:
        for n in sizes:
            assert player.play(n)
    heard, mix, stems = player.aligned()
    reference = Engine(model)
    reference.prepare(RATE, 8192, 2)
    expected = []
    for start in range(0, heard.shape[1], 8192):
        expected.append(reference.process(heard[:, start : start + 8192])[1].copy())
    late = reference.latency_samples
    wanted = np.concatenate(expected, 2)[:, :, late:]
    np.testing.assert_array_equal(stems[:, :, : wanted.shape[2]], wanted)
    np.testing.assert_array_equal(mix, heard)
    assert lane.statistics()["misses"] == 0


@pytest.mark.parametrize(("block", "margin"), [(64, 256), (256, 256), (300, 300), (1024, 1024)])
def test_latency_is_window_plus_whole_blocks(lane: Lane, block: int, margin: int) -> None:
    host = LaneHost(lane, block)
    assert (host.margin_samples, host.latency_samples) == (margin, 512 + margin)
    assert int(lane.header["host_latency"]) == host.latency_samples


def test_without_an_engine_the_dry_mix_plays_on(lane: Lane) -> None:
    lane.header["has_residual"] = 1
    player = Player(lane, 128)
    for _ in range(200):
        assert not player.play(128, wait=False)
    heard, mix, stems = player.aligned()
    settled = slice(CROSSFADE_SAMPLES, None)
    np.testing.assert_array_equal(mix[:, settled], heard[:, settled])
    np.testing.assert_array_equal(stems[3][:, settled], heard[:, settled])
    assert not stems[:3].any()
    assert lane.statistics()["misses"] == 0  # an engine that is not there yet is not late


def test_a_stall_is_dry_then_wet_without_stale_audio(lane: Lane, engine: EngineProcess) -> None:
    """Wet is told from dry by level: the drums, soloed, are a quarter of the mix. Every block that settled is either,
    at its own place; a busy machine may make more of them dry, but none stale."""
    lane.controls.set_solo("drums", True)
    player = Player(lane, 256)
    for _ in range(100):
        player.play(256)
    before = len(player.heard)
    os.kill(engine.pid, signal.SIGSTOP)
    stalled = player.play_paced(256, 1.0)
    os.kill(engine.pid, signal.SIGCONT)
    until(lambda: player.play_paced(256, 0.1)[-10:] == [True] * 10)
    player.play_paced(256, 0.2)
    assert not any(stalled[4:])
    statistics = lane.statistics()
    assert statistics["dropped_hops"] > 50
    assert statistics["misses"] >= len(stalled) - 4
    heard, mix, _ = player.aligned()
    blocks = heard.shape[1] // 256
    kinds = []
    for k in range(40, blocks):  # the count's own fade has ended by then
        block = slice(256 * k, 256 * (k + 1))
        dry = bool(np.abs(mix[:, block] - heard[:, block]).max() < 0.02)
        wet = bool(np.abs(mix[:, block] - 0.25 * heard[:, block]).max() < 0.02)
        kinds.append("dry" if dry else "wet" if wet else "between")
    assert kinds[: before - 60] == ["wet"] * (before - 60)
    assert kinds.count("dry") > 100
    assert kinds[-10:] == ["wet"] * 10
    changes = sum(a != b for a, b in itertools.pairwise(kinds))
    assert kinds.count("between") <= changes  # only where one turns into the other


def test_no_step_where_dry_and_wet_meet(lane: Lane, engine: EngineProcess) -> None:
    """A slow sine through silence (all muted) and dry: a jump between them would be a click."""
    for name in OUTPUTS:
        lane.controls.set_mute(name, True)
    host = LaneHost(lane, 64)
    mix, out, ready = np.empty((2, 64), np.float32), [], []
    started = time.perf_counter()

    def play() -> None:
        k = len(out)
        time.sleep(max(0.0, started + k * 64 / RATE - time.perf_counter()))
        sine = np.sin(np.arange(64 * k, 64 * (k + 1)) * 2 * np.pi * 50 / RATE)
        ready.append(host.process(np.repeat(sine[None].astype(np.float32), 2, 0), mix))
        out.append(mix[0].copy())

    def play_until(settled: bool) -> None:
        until(lambda: play() or ready[-40:] == [settled] * 40)  # type: ignore[func-returns-value]

    play_until(settled=True)
    os.kill(engine.pid, signal.SIGSTOP)
    play_until(settled=False)
    os.kill(engine.pid, signal.SIGCONT)
    play_until(settled=True)
    heard = np.concatenate(out)
    assert np.abs(heard[-64 * 20 :]).max() < 1e-3  # muted again
    assert np.abs(heard).max() > 0.9  # dry in between
    slope = 2 * np.pi * 50 / RATE + 2.0 / CROSSFADE_SAMPLES
    assert np.abs(np.diff(heard)).max() <= slope


def test_a_killed_engine_is_noticed_and_replaced(lane: Lane, engine: EngineProcess) -> None:
    player = Player(lane, 512)
    player.play_paced(512, 0.2)
    os.kill(engine.pid, signal.SIGKILL)
    until(lambda: time.sleep(0.005) or not engine.alive)
    assert lane.engine_state is EngineState.ABSENT
    assert not any(player.play_paced(512, 0.3)[10:])
    engine.start()
    until(lambda: player.play_paced(512, 0.2)[-10:] == [True] * 10)


def test_a_render_survives_its_engine(lane: Lane, engine: EngineProcess) -> None:
    """A host that waits misses nothing, even if the engine is killed and replaced under it."""
    player = Player(lane, 512)
    for _ in range(50):
        assert player.play(512)
    os.kill(engine.pid, signal.SIGKILL)
    restart = threading.Thread(target=engine.start)
    restart.start()
    for _ in range(100):
        assert player.play(512)
    restart.join()
    heard, mix, stems = player.aligned()
    np.testing.assert_array_equal(mix, heard)
    np.testing.assert_allclose(stems.sum(0), heard, atol=1e-6)
    assert lane.statistics()["misses"] == 0


def test_another_model_takes_over(lane: Lane, engine: EngineProcess, tmp_path: Path) -> None:
    other = tiny_live4(tmp_path / "louder.onnx", masks=(0.75, 0.1, 0.1))
    second = EngineProcess(lane, other)
    player = Player(lane, 512)
    player.play_paced(512, 0.3)
    second.start()
    try:
        until(lambda: time.sleep(0.005) or not engine.alive)
        assert lane.engine_state is EngineState.READY
        until(lambda: [player.play(512) for _ in range(20)] == [True] * 20)
        heard, _, stems = player.aligned()
        np.testing.assert_allclose(stems[0][:, -4096:], 0.75 * heard[:, -4096:], atol=1e-5)
    finally:
        second.stop()


def test_what_failed_says_why(lane: Lane, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"nothing\.onnx: no such model file"):
        EngineProcess(lane, tmp_path / "nothing.onnx").start()
    assert lane.engine_state is EngineState.FAILED
    assert "no such model file" in lane.error


def test_it_dies_with_its_parent_and_leaves_nothing(model: Path) -> None:
    """The parent is killed without a chance to clean up."""
    script = f"""
        import time
        from pathlib import Path
        from streaming.lane import Lane
        from streaming.process import EngineProcess
        lane = Lane.create({RATE}, 2, 512)
        engine = EngineProcess(lane, Path({str(model)!r}))
        engine.start()
        print(lane.name, engine.pid, flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        name, pid = parent.stdout.readline().split()
        parent.kill()
    until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])

    def gone() -> bool:
        try:
            Lane.attach(name).close()
        except EngineError:
            return True
        return False

    until(gone)


def test_it_loads_neither_torch_nor_librosa(lane: Lane, engine: EngineProcess) -> None:
    mapped = Path(f"/proc/{engine.pid}/maps").read_text()
    assert "onnxruntime" in mapped
    for heavy in ("torch", "librosa", "scipy", "matplotlib", "soundfile"):
        assert f"/{heavy}/" not in mapped
