"""What several test files share: real servers, and what to do without them."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from benchmarks.clap_host import build_host
from benchmarks.jack_server import jack_server, missing_tool
from bridge.installs.plugin import build_plugin
from streaming.errors import RequestError

# Plugins of a DAW that happens to run are not the tests' to serve.
os.environ["SIDECHOP_GROUP"] = f"tests-{os.getpid()}"
# A suite that was started in the background ignores Ctrl-C, and what it starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def tool_is_missing(what: str) -> NoReturn:
    """Skip the test that wants it; in CI, where everything has to be there, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def wait_for(condition: Callable[[], Any], seconds: float = 8.0) -> Any:
    """The condition's value as soon as it is true; fails when it does not become so."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return value


@pytest.fixture(scope="module")
def jack() -> Iterator[str]:
    """The name of a private JACK server (dummy driver, 48 kHz, 128 frames), default for the processes of the test."""
    missing = missing_tool()
    if missing:
        tool_is_missing(missing)
    with jack_server() as name:
        yield name


@pytest.fixture(scope="session")
def plugin_bundles() -> Path:
    """The folder with the built plugin: ``sidechop.vst3``, ``sidechop.clap``, ``sidechop.lv2``."""
    try:
        return build_plugin()
    except RequestError as error:
        tool_is_missing(str(error))


@pytest.fixture(scope="session")
def clap_host(plugin_bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_host(tmp_path_factory.mktemp("clap_host"))
