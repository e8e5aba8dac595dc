"""The plugin in a real DAW: Ardour renders a session with the real daemon and the shipped model on it."""

from pathlib import Path

import numpy as np
import pytest

from bridge.installs.plugin import BUNDLES, place
from bridge.registry import find_model
from tests.ardour_session import ArdourSession, missing_tool
from tests.conftest import tool_is_missing
from tests.plugin_session import noise, rendered, serving

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


def test_an_export_equals_the_offline_render_shifted_by_nothing(ardour: ArdourSession) -> None:
    audio = noise(4 * RATE)
    ardour.make(audio, {GAINS[name]: -60.0 for name in ("vocals", "bass", "other")})
    with serving("live4"):
        out = ardour.export()
    drums = rendered(find_model("live4"), audio, RATE)[1]
    n = min(out.shape[1], audio.shape[1])
    assert n > 3.9 * RATE
    print(
        out.shape,
        np.abs(drums).max(),
        [np.abs(out[:, k:n] - drums[:, : n - k]).max() for k in (0, 1, 768, 1536, 2048)],
        np.abs(out).max(),
    )
    np.testing.assert_allclose(out[:, :n], drums[:, :n], atol=2e-7)
