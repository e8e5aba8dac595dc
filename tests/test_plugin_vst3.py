"""The VST3 in pedalboard, which is JUCE's host: latency, null against the offline render, block sizes, state."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.daemon import Daemon
from tests.plugin_session import noise, rendered, serving
from tests.tiny_models import tiny_live4

pedalboard = pytest.importorskip("pedalboard")
RATE = 44100


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_live4(tmp_path_factory.mktemp("models") / "tiny.onnx", counting=True)


@pytest.fixture(scope="module")
def daemon(model: Path) -> Iterator[Daemon]:
    with serving(model) as daemon:
        yield daemon


@pytest.fixture
def load(plugin_bundles: Path, daemon: Daemon) -> Iterator[Callable[[], Any]]:
    """Loads an instance. The test holds it and nobody else, so that it is gone, and its lane, when the test ends."""
    yield lambda: pedalboard.load_plugin(str(plugin_bundles / "sidechop.vst3"))
    gc.collect()  # pedalboard's parameters and their plugin hold each other


@pytest.mark.parametrize(("rate", "block"), [(44100, 64), (48000, 333), (96000, 512), (44100, 8192)])
def test_compensated_it_equals_the_input_to_the_bit(load: Callable[[], Any], rate: int, block: int) -> None:
    plugin, audio = load(), noise(40000)
    np.testing.assert_array_equal(plugin.process(audio, rate, buffer_size=block), audio)
    window = 512 if rate < 50000 else 1024
    assert plugin.reported_latency_samples == window + block * -(-window // 2 // block)


def test_a_stem_alone_equals_the_offline_render(load: Callable[[], Any], model: Path) -> None:
    plugin = load()
    plugin.stem_2_gain_drums_db = plugin.stem_3_gain_bass_db = plugin.stem_4_gain_other_db = -60
    audio = noise(60000)
    vocals = rendered(model, audio, RATE)[0]
    for block in (512, 64):  # the second begins anew, as if the plugin was fresh
        np.testing.assert_allclose(plugin.process(audio, RATE, buffer_size=block), vocals, atol=1e-7)


def test_chunks_of_any_size_join_without_a_seam(load: Callable[[], Any], model: Path) -> None:
    """A host cuts blocks where its loops and its automation want them: here after every 512 frames and every chunk."""
    plugin = load()
    plugin.stem_1_gain_vocals_db = -60
    audio, rng = noise(50000), np.random.default_rng(1)
    plugin.process(audio[:, :512], RATE, buffer_size=512)
    plugin.reset()
    heard, at = [], 0
    while at < audio.shape[1]:
        chunk = audio[:, at : at + int(rng.integers(512, 1500))]
        heard.append(plugin.process(chunk, RATE, buffer_size=512, reset=False))
        at += chunk.shape[1]
    out = np.concatenate(heard, axis=1)
    wanted = audio - rendered(model, audio, RATE)[0]
    assert audio.shape[1] - out.shape[1] == plugin.reported_latency_samples  # cut off at the front, once
    np.testing.assert_allclose(out, wanted[:, : out.shape[1]], atol=2e-7)


def test_the_session_is_saved_and_loaded(load: Callable[[], Any]) -> None:
    plugin, other, audio = load(), load(), noise(30000)
    plugin.stem_1_gain_vocals_db, plugin.wet = -7.5, 40.0
    heard = plugin.process(audio, RATE, buffer_size=512)
    assert np.abs(other.process(audio, RATE, buffer_size=512) - heard).max() > 0.01
    other.raw_state = plugin.raw_state
    np.testing.assert_array_equal(other.process(audio, RATE, buffer_size=512), heard)


def test_automation_changes_what_is_heard(load: Callable[[], Any], model: Path) -> None:
    """A gain moved between two chunks, as a DAW's automation would: heard after it, not before."""
    plugin = load()
    plugin.process(noise(512), RATE, buffer_size=512)
    plugin.reset()
    audio, half = noise(40960, seed=3), 20480
    first = plugin.process(audio[:, :half], RATE, buffer_size=512, reset=False)
    plugin.stem_1_gain_vocals_db = -60
    second = plugin.process(audio[:, half:], RATE, buffer_size=512, reset=False)
    out = np.concatenate([first, second], axis=1)  # pedalboard has cut off the latency at the front, once
    wanted = audio - rendered(model, audio, RATE)[0]
    np.testing.assert_array_equal(out[:, :half], audio[:, :half])
    after = half + RATE // 100 + 1
    np.testing.assert_allclose(out[:, after:], wanted[:, after : out.shape[1]], atol=2e-7)
