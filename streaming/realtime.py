"""What a process does to be on time: no garbage collection, and a realtime scheduling class where one is to be had.

Linux gives SCHED_FIFO to root and to whom limits.conf allows it (the ``audio`` group, usually); on desktops RealtimeKit
gives SCHED_RR to anyone, on the condition that a thread never runs for 200 ms without a pause. Elsewhere nothing is
asked. Python cannot promise more: memory is not locked, and the interpreter is its own.

Source: rtkit's README, https://gitlab.freedesktop.org/pipewire/rtkit
"""

import gc
import os
import signal
import subprocess
import threading
from types import FrameType

ENGINE_PRIORITY = 60
AUDIO_PRIORITY = 65
"""Before the engine, which has a hop to work in; the device has a block."""
RTKIT_PRIORITY = 10
RTKIT_LIMIT_US = 200_000
ANSWER_S = 1.0


def settle(priority: int) -> str:
    """Call it when everything is made and the first block is near.

    Returns:
        ``"fifo"``, ``"rtkit"`` or ``""``: the class that was granted. Threads made afterwards inherit ``"fifo"``.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except (AttributeError, OSError):
        return "rtkit" if _ask_rtkit() else ""
    return "fifo"


def _ask_rtkit() -> bool:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_RTTIME, (RTKIT_LIMIT_US // 2, RTKIT_LIMIT_US))
    except (ImportError, AttributeError, ValueError, OSError):
        return False
    signal.signal(signal.SIGXCPU, _stand_back)
    name, path = "org.freedesktop.RealtimeKit1", "/org/freedesktop/RealtimeKit1"
    thread = str(threading.get_native_id())
    call = ["busctl", "--system", "call", name, path, name, "MakeThreadRealtimeWithPID", "ttu"]
    try:
        answer = subprocess.run(
            [*call, str(os.getpid()), thread, str(RTKIT_PRIORITY)], capture_output=True, timeout=ANSWER_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def _stand_back(_number: int, _frame: FrameType | None) -> None:
    """Half of what RealtimeKit allows is used up: go on as an ordinary thread rather than be killed."""
    os.sched_setscheduler(0, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))
