"""How long *Chop selected items* takes in REAPER, from the action to its markers, on an item of 30 s.

    python benchmarks/reaper_chop.py [--rounds 7] [--seconds 30]

The script runs unchanged under Lua 5.4 in the REAPER of the tests, with a turn every 33 ms as REAPER takes them,
against a real daemon (`sidechop live`, a file as its audio) and the real chopper. It is timed by files and the helper
process, as in a stock REAPER, and by a socket; warm, and the first time, when the helper and the worker have yet to
start. The same passage by `sidechop chop`, which starts afresh each time, stands beside. Run it on a quiet machine.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from reaper_script import run  # noqa: E402
from reaper_session import Session, free_port, session, write_clip  # noqa: E402

from bridge.osc_client import NoAnswerError, OscClient  # noqa: E402

LIMIT_S = 1.5
REAPER_TURN_S = 0.033
ACTION = "Chop selected items"


@contextlib.contextmanager
def daemon(clip: Path) -> Iterator[int]:
    """The port of a `sidechop live` of its own, ready."""
    port = free_port()
    command = [sys.executable, "-m", "bridge.cli", "live", "--file", str(clip), "--loop", "--osc-port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        with OscClient("127.0.0.1", port, timeout_s=0.5) as client:
            for _ in range(120):
                with contextlib.suppress(NoAnswerError):
                    client.request("/sidechop/ping")
                    break
                time.sleep(0.25)
        yield port
        process.terminate()


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def chop_in_reaper(opened: Session, clip: Path, seconds: float, sockets: bool) -> Callable[[], None]:
    """A project with one item, and the action on it."""
    api = opened.project()
    api.project.add_item(api.project.add_track(), clip, 10.0, seconds, loops=False)

    def action() -> None:
        run(api, ACTION, sockets=sockets, turn_s=REAPER_TURN_S)
        assert api.messages == []
        assert len(api.project.state.markers) >= 2

    return action


def chop_by_command(clip: Path) -> None:
    command = [sys.executable, "-m", "bridge.cli", "chop", str(clip), "--json"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def spread(times_s: Sequence[float]) -> str:
    middle = statistics.median(times_s)
    return (
        f"{middle:.2f} s (median of {len(times_s)}, {min(times_s):.2f} to {max(times_s):.2f}); "
        f"{middle / LIMIT_S:.0%} of {LIMIT_S} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = write_clip(Path(folder) / "clip.wav", options.seconds)
        first: dict[bool, float] = {}
        warm: dict[bool, list[float]] = {True: [], False: []}
        for sockets in (False, True):
            with daemon(clip) as port, session(Path(folder) / str(sockets), port) as opened:
                action = chop_in_reaper(opened, clip, options.seconds, sockets)
                first[sockets] = timed(action)
                warm[sockets] = [timed(action) for _ in range(options.rounds)]
        command = [timed(lambda: chop_by_command(clip)) for _ in range(options.rounds)]
    for sockets, name in ((False, "files and helper"), (True, "socket")):
        print(
            f"action to markers, {options.seconds:g} s, {name}: {spread(warm[sockets])}; first {first[sockets]:.2f} s"
        )
    print(f"sidechop chop, same passage:  {spread(command)}")


if __name__ == "__main__":
    main()
