"""The audio process: ``python -m bridge.audio_process LANE SOURCE``, where blocks meet the lane, and nothing else.

It is a process of its own because the daemon may be busy. It tells its parent what happens as JSON lines on standard
output, and stops when standard input ends: so it also dies with its parent, on every system, and Ctrl-C is the
parent's to handle. A device that vanishes ends the process with `EXIT_LOST`; the parent starts it anew until the
device is back, because PortAudio is not to be trusted after a loss (with JACK it asserts).

What Python cannot promise: the callback takes the interpreter lock and is late when the kernel is. Blocks that come
late make the lane fall back to dry; they are counted there.
"""

import os
import signal
import sys
import threading

from streaming.errors import SidechopError
from streaming.lane import Lane
from streaming.realtime import AUDIO_PRIORITY, settle

from .audio_report import Reporter
from .audio_source import DeviceSource, FileSource, decode_source

EXIT_LOST = 75
"""The device is gone (or, with ``--resume``, not back yet): try again later."""


def main(arguments: list[str]) -> int:
    lane_name, source_text = arguments[:2]
    resume = "--resume" in arguments
    report = Reporter(resume)
    _keep_libraries_quiet()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
    try:
        lost = _run(Lane.attach(lane_name), source_text, report, stop)
    except SidechopError as error:
        if resume:
            return EXIT_LOST
        report("error", text=str(error))
        return 1
    if lost:
        report("lost", text=lost)
        os._exit(EXIT_LOST)  # at once: PortAudio's own ending hangs or aborts now
    report("done")
    return 0


def _run(lane: Lane, source_text: str, report: Reporter, stop: threading.Event) -> str:
    """Play until told to stop or the source ends. Returns why the device was lost, or nothing."""
    source = decode_source(source_text)
    if isinstance(source, DeviceSource):
        from .audio_device import play_device

        return play_device(lane, source, report, stop, settle_realtime)
    if isinstance(source, FileSource):
        from .audio_player import play_file

        play_file(lane, source, report, stop, settle_realtime)
    else:
        from .audio_reastream import play_reastream

        play_reastream(lane, source, report, stop, settle_realtime)
    return ""


def settle_realtime() -> None:
    """Called when the first block is near. Threads that PortAudio makes afterwards inherit the priority."""
    settle(AUDIO_PRIORITY)


def _stop_at_end_of_input(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


def _keep_libraries_quiet() -> None:
    """ALSA and JACK print to the C library's standard output and error; only Python's words may pass."""
    python_errors = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = os.fdopen(python_errors, "w", buffering=1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
