"""The plugin in a real DAW: Ardour renders a session with the real daemon and the shipped model on it."""

from pathlib import Path

import numpy as np
import pytest

from bridge.installs.plugin import BUNDLES, place
from bridge.registry import find_model
from streaming.lane import Lane
from tests.ardour_session import ArdourSession, missing_tool
from tests.conftest import tool_is_missing
from tests.plugin_session import noise, rendered, serving
from tests.tiny_models import MASKS, tiny_live4

RATE = 48000
GAINS = {"vocals": 3, "drums": 4, "bass": 5, "other": 6}
"""Numbers of the plugin's controls that set them, after latency, bypass and wet."""


@pytest.fixture
def ardour(tmp_path: Path, plugin_bundles: Path) -> ArdourSession:
    missing = missing_tool()
    if missing:
        tool_is_missing(missing)
    place(plugin_bundles / BUNDLES["lv2"], tmp_path / "lv2")
    return ArdourSession(tmp_path, tmp_path / "lv2", RATE)


def test_an_export_of_four_tracks_is_shifted_by_nothing(ardour: ArdourSession, tmp_path: Path) -> None:
    """Fixed masks, so that what is heard does not depend on where hops begin: the drums are a quarter of the input."""
    audio, tracks = noise(2 * RATE), 4
    ardour.make(audio, {GAINS[name]: -60.0 for name in ("vocals", "bass", "other")}, tracks)
    with serving(tiny_live4(tmp_path / "tiny.onnx")):
        out = ardour.export()
    n = min(out.shape[1], audio.shape[1])
    assert n > 1.9 * RATE
    np.testing.assert_allclose(out[:, :n], tracks * MASKS[1] * audio[:, :n], atol=2e-6)


def test_with_the_shipped_model_an_export_equals_the_offline_render(ardour: ArdourSession) -> None:
    """A network that remembers: the reference hears what Ardour played from where it began anew, silence included."""
    audio = noise(2 * RATE)
    ardour.make(audio, {GAINS[name]: -60.0 for name in ("vocals", "bass", "other")})
    lanes: list[Lane] = []
    origins: dict[int, int] = {}

    def watch() -> None:
        for instance in daemon.plugins.instances:
            if instance.lane not in lanes:  # more than one where Ardour hung and was asked anew
                lanes.append(instance.lane)
                origins.clear()
            counters = instance.lane.counters
            origins[int(counters["host_origin"])] = int(counters["in_written"])

    with serving("live4") as daemon:
        out = ardour.export(watch)
        lane = lanes[-1]
        heard = lane.input[:, : int(lane.counters["in_written"])].copy()
    start = int(np.flatnonzero(heard[0])[0])
    np.testing.assert_array_equal(heard[:, start : start + audio.shape[1]], audio)
    origin = max(origin for origin in origins if origin <= start)
    drums = rendered(find_model("live4"), heard[:, origin : start + audio.shape[1]], RATE)[1]
    n = min(out.shape[1], audio.shape[1])
    assert n > 1.9 * RATE
    np.testing.assert_allclose(out[:, :n], drums[:, start - origin : start - origin + n], atol=2e-6)
