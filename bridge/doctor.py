"""What ``sidechop doctor`` looks at: each check gives what it found and, where something is missing, how to get it."""

import importlib.util
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any, Literal

from streaming.errors import SidechopError
from streaming.spawn import spawn

from . import __version__
from .registry import AUTO_NAMES, choose_precision, hop_time_s, list_models

State = Literal["good", "could be better", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``details`` is for scripts; ``advice`` says what to do, where there is something."""

    name: str
    state: State
    text: str
    advice: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def check_versions() -> Finding:
    """Python, Sidechop, onnxruntime and the providers it brings."""
    import onnxruntime

    providers = list(onnxruntime.get_available_providers())
    python = platform.python_version()
    return Finding(
        "versions",
        "good",
        f"sidechop {__version__}, Python {python}, onnxruntime {onnxruntime.__version__} ({', '.join(providers)})",
        details={
            "sidechop": __version__,
            "python": python,
            "onnxruntime": onnxruntime.__version__,
            "providers": providers,
        },
    )


def check_devices() -> Finding:
    """Whether PortAudio is there, and what it sees."""
    from .devices import list_devices

    try:
        devices = list_devices()
    except SidechopError as error:
        return Finding("devices", "could be better", "no audio devices: files and ReaStream only", str(error))
    names = [f"{device.name} ({device.host_api})" for device in devices]
    if not devices:
        return Finding(
            "devices", "could be better", "PortAudio sees no device: files and ReaStream only", _device_advice()
        )
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return Finding("devices", "good", shown, details={"devices": names})


def _device_advice() -> str:
    if sys.platform == "linux":
        return "start JACK (apt-get install jackd2) or PipeWire (apt-get install pipewire-jack), or plug one in"
    return "plug in an interface, or install a loopback device (BlackHole on macOS, VB-Cable on Windows)"


def check_realtime() -> Finding:
    """Which scheduling class the engine is granted, asked as it asks: in a process of its own."""
    code = "from streaming.realtime import ENGINE_PRIORITY, settle; print(settle(ENGINE_PRIORITY))"
    with spawn("-c", code, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        granted = child.communicate()[0].strip()
    details: dict[str, Any] = {"granted": granted}
    if hasattr(os, "sched_setscheduler"):
        import resource

        details["rtprio_limit"] = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    if granted:
        words = {"fifo": "SCHED_FIFO is allowed", "rtkit": "SCHED_RR by RealtimeKit"}
        return Finding("realtime", "good", words.get(granted, granted), details=details)
    if sys.platform != "linux":
        return Finding("realtime", "good", "this system's own scheduling is used", details=details)
    return Finding(
        "realtime",
        "could be better",
        "no realtime scheduling is allowed: hops may come late when the machine is busy",
        "apt-get install rtkit, or put '@audio - rtprio 95' into /etc/security/limits.d/audio.conf, join the group "
        "with 'adduser YOU audio', and log in again",
        details,
    )


def check_models() -> Finding:
    """The models there are, and which precision of the shipped one is faster here."""
    entries = list_models()
    bad = [entry for entry in entries if entry.problem]
    times = {
        entry.name: 1000.0 * hop_time_s(entry.path) for entry in entries if entry.name in AUTO_NAMES and entry.card
    }
    details: dict[str, Any] = {"models": [entry.name for entry in entries], "run_ms": times}
    if not times:
        return Finding("models", "wrong", "the shipped models are missing", "install sidechop again", details)
    details["picked"] = choose_precision().stem
    text = ", ".join(f"{name} {ms:.2f} ms a run" for name, ms in times.items()) + f"; {details['picked']} is picked"
    if bad:
        return Finding("models", "could be better", text, "; ".join(f"{e.name}: {e.problem}" for e in bad), details)
    return Finding("models", "good", text, details=details)


def check_null() -> Finding:
    """Pass-through in a real engine process: does the output equal the input, as late as reported?"""
    from .null_test import null_test

    try:
        result = null_test()
    except SidechopError as error:
        return Finding("null test", "wrong", str(error), "run it again; if it stays so, report it with this text")
    text = (
        f"residual {result['residual_db']:.0f} dB, latency reported {result['reported_samples']} "
        f"and measured {result['measured_samples']} samples"
    )
    return Finding("null test", "good" if result["passed"] else "wrong", text, details=result)


def check_extras() -> Finding:
    """What training and batches need beyond the core."""
    wanted = {"torch": "train", "lightning": "train", "dask": "batch"}
    extras = sorted({extra for module, extra in wanted.items() if importlib.util.find_spec(module) is None})
    if not extras:
        return Finding("extras", "good", "all there: train and batch")
    return Finding(
        "extras",
        "good",
        f"not installed, and not needed to play: {', '.join(extras)}",
        f"pip install 'sidechop[{','.join(extras)}]'",
        {"missing": extras},
    )


CHECKS = (check_versions, check_models, check_realtime, check_devices, check_null, check_extras)
