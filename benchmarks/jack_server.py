"""A private JACK server on the dummy driver: the closest thing to a sound card that a machine without one can have.

Synchronous (``-S``), so that a cycle waits for its clients and nothing is lost; that makes sample equality a fair
thing to ask. The name is its own, so a JACK that already runs here is not touched.
"""

import contextlib
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator

_ATTEMPTS = 4
_START_S = 5.0
_numbers = itertools.count(1)


def missing_tool() -> str:
    """What is not installed, as a hint; empty when all is there."""
    if shutil.which("jackd") is None:
        return "jackd is not installed (apt-get install jackd2)"
    try:
        import jack  # noqa: F401
    except (ImportError, OSError) as error:
        return f"JACK-Client is not usable ({error})"
    return ""


def start_jack(name: str, rate: int = 48000, period: int = 128) -> subprocess.Popen[bytes]:
    """A running server, with realtime scheduling where that is allowed.

    Raises:
        RuntimeError: no server after several attempts.
    """
    for attempt in range(_ATTEMPTS):
        realtime = ["-R", "-P", "70"] if attempt % 2 == 0 else ["-r"]
        driver = ["-S", "-t", "2000", "-d", "dummy", "-r", str(rate), "-p", str(period)]
        server = subprocess.Popen(
            ["jackd", "-n", name, *realtime, *driver], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if _answers(name, server):
            return server
        stop_jack(server)
    raise RuntimeError(
        f"no JACK server after {_ATTEMPTS} attempts; JACK remembers 8 servers, killed ones too: "
        "when none runs, rm -r /dev/shm/jack* makes it forget them"
    )


def stop_jack(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _answers(name: str, server: subprocess.Popen[bytes]) -> bool:
    import jack

    jack.set_error_function(lambda _: None)
    jack.set_info_function(lambda _: None)
    end = time.monotonic() + _START_S
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(jack.JackError):
            jack.Client("hello", servername=name, no_start_server=True).close()
            return True
        time.sleep(0.05)
    return False


@contextlib.contextmanager
def jack_server(rate: int = 48000, period: int = 128) -> Iterator[str]:
    """A server for the length of a block; its name is also the default for processes started within."""
    name = f"sidechop-{os.getpid()}-{next(_numbers)}"
    before = os.environ.get("JACK_DEFAULT_SERVER")
    os.environ["JACK_DEFAULT_SERVER"] = name
    try:
        server = start_jack(name, rate, period)
        try:
            yield name
        finally:
            stop_jack(server)
    finally:
        if before is None:
            del os.environ["JACK_DEFAULT_SERVER"]
        else:
            os.environ["JACK_DEFAULT_SERVER"] = before
