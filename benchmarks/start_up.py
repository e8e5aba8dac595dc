"""From the command to the first block, what the processes weigh, and that nothing heavy is loaded.

    python benchmarks/start_up.py [--model live4-int8] [--rounds 5]

Ready is when the audio process announces its first block, with the engine warm behind it. The first round may find
cold disk caches; it is shown with the others.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile

RATE = 44100
HEAVY = ("torch", "librosa")
ROLES = {"streaming.process": "engine", "bridge.audio_process": "audio"}


def role(process: psutil.Process) -> str | None:
    words = process.cmdline()
    return next((name for module, name in ROLES.items() if module in words), None)


def one_round(file: Path, model: str) -> tuple[float, dict[str, float], set[str]]:
    """Seconds to ready, resident MB by role, and the heavy libraries that any of the processes has mapped."""
    command = [sys.executable, "-m", "bridge.cli", "live", "--json", "--file", str(file), "--loop", "--osc-port", "0"]
    started = time.perf_counter()
    with subprocess.Popen([*command, "--model", model], stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        for line in daemon.stdout:
            event = json.loads(line)
            if event["kind"] == "audio" and event["state"] == "ready":
                break
        ready_s = time.perf_counter() - started
        time.sleep(1.0)
        root = psutil.Process(daemon.pid)
        family = {"daemon": root, **{name: p for p in root.children(recursive=True) if (name := role(p))}}
        sizes = {name: process.memory_info().rss / 1e6 for name, process in family.items()}
        maps = {Path(m.path).name for process in family.values() for m in process.memory_maps()}
        heavy = {name for name in HEAVY if any(name in file for file in maps)}
        daemon.terminate()
    return ready_s, sizes, heavy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="live4-int8")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "noise.wav"
        soundfile.write(file, np.random.default_rng(0).uniform(-0.3, 0.3, (2 * RATE, 2)), RATE)
        rounds = [one_round(file, options.model) for _ in range(options.rounds)]
    print("ready after " + ", ".join(f"{ready_s:.2f}" for ready_s, _, _ in rounds) + " s (limit: 2 s)")
    for name in rounds[0][1]:
        sizes = [sizes[name] for _, sizes, _ in rounds]
        limit = " (limit: 200 MB)" if name == "engine" else ""
        print(f"{name} process {max(sizes):.0f} MB resident{limit}")
    loaded = set.union(*(heavy for _, _, heavy in rounds))
    print(f"torch or librosa loaded: {', '.join(sorted(loaded)) or 'no'}")


if __name__ == "__main__":
    main()
