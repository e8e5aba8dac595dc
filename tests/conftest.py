"""What several test files share: real servers."""

import os
from collections.abc import Iterator

import pytest

from benchmarks.jack_server import jack_server, missing_tool


@pytest.fixture(scope="module")
def jack() -> Iterator[str]:
    """The name of a private JACK server (dummy driver, 48 kHz, 128 frames), default for the processes of the test."""
    missing = missing_tool()
    if missing:
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with jack_server() as name:
        yield name
