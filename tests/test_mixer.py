"""Faders: exact at rest, smooth when moved, and the same whatever the blocks are."""

import numpy as np
import pytest

from streaming.errors import RequestError
from streaming.mixer import RAMP_S, Controls, StemMixer

RATE = 44100
OUTPUTS = ("vocals", "drums", "other")


def material(n: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    stems = rng.standard_normal((2, 2, n)).astype(np.float32) * np.float32(0.2)
    return rng.standard_normal((2, n)).astype(np.float32) * np.float32(0.3), stems


def mixed(controls: Controls, dry: np.ndarray, stems: np.ndarray, residual: bool = True) -> np.ndarray:
    mixer = StemMixer(controls, len(stems), residual, RATE, 2, dry.shape[1])
    out = np.empty_like(dry)
    mixer.mix(dry, stems, out)
    return out


def test_untouched_faders_give_the_mix_to_the_bit() -> None:
    dry, stems = material()
    np.testing.assert_array_equal(mixed(Controls(OUTPUTS), dry, stems), dry)


def test_bypass_gives_the_mix_to_the_bit_whatever_the_faders() -> None:
    dry, stems = material()
    controls = Controls(OUTPUTS)
    controls.set_gain_db("vocals", -7)
    controls.set_solo("drums", True)
    controls.bypass = True
    np.testing.assert_array_equal(mixed(controls, dry, stems), dry)


def test_faders_do_what_they_say() -> None:
    dry, stems = material()
    rest = dry - stems.sum(0)
    cases = {
        "solo": (lambda c: c.set_solo("vocals", True), stems[0]),
        "solo of the residual": (lambda c: c.set_solo("other", True), rest),
        "mute": (lambda c: c.set_mute("drums", True), dry - stems[1]),
        "mute wins over solo": (lambda c: (c.set_solo("drums", True), c.set_mute("drums", True)), np.zeros_like(dry)),
        "gain": (lambda c: c.set_gain_db("vocals", 6.0), dry + stems[0] * (10**0.3 - 1)),
        "residual gain": (lambda c: c.set_gain_db("other", -120.0), stems.sum(0)),
        "half wet": (lambda c: (c.set_solo("vocals", True), setattr(c, "wet", 0.5)), 0.5 * dry + 0.5 * stems[0]),
    }
    for name, (act, expected) in cases.items():
        controls = Controls(OUTPUTS)
        act(controls)
        np.testing.assert_allclose(mixed(controls, dry, stems), expected, atol=1e-6, err_msg=name)


def test_without_a_residual_only_stems_are_heard() -> None:
    dry, stems = material()
    out = mixed(Controls(OUTPUTS[:2]), dry, stems, residual=False)
    np.testing.assert_allclose(out, stems.sum(0), atol=1e-6)


def test_no_change_clicks() -> None:
    """On a constant signal, no sample may step by more than the ramp's own slope, however often a fader moves."""
    n = 64
    dry = np.full((2, n), 1.0, np.float32)
    stems = np.full((2, 2, n), 0.5, np.float32)
    controls = Controls(OUTPUTS)
    mixer = StemMixer(controls, 2, True, RATE, 2, n)
    rng = np.random.default_rng(1)
    out, heard = np.empty_like(dry), []
    for _ in range(400):
        controls.set_mute(str(rng.choice(OUTPUTS)), bool(rng.integers(2)))
        controls.set_solo(str(rng.choice(OUTPUTS)), bool(rng.integers(2)))
        controls.bypass = bool(rng.integers(2))
        mixer.mix(dry, stems, out)
        heard.append(out[0].copy())
    steps = np.abs(np.diff(np.concatenate(heard)))
    assert steps.max() <= 2.0 / (RAMP_S * RATE)  # the three coefficients may each travel by one, two against one


def test_ramps_do_not_depend_on_blocks() -> None:
    dry, stems = material(6000)
    outs = []
    for block in (1, 7, 256, 3000):
        controls = Controls(OUTPUTS)
        mixer = StemMixer(controls, 2, True, RATE, 2, 6000)
        out = np.empty_like(dry)
        controls.set_solo("vocals", True)
        for start in range(0, 6000, block):
            end = min(6000, start + block)
            mixer.mix(dry[:, start:end], stems[:, :, start:end], out[:, start:end])
        outs.append(out)
    for out in outs[1:]:
        np.testing.assert_allclose(out, outs[0], atol=1e-6)
    np.testing.assert_allclose(outs[0][:, 500:], stems[0][:, 500:], atol=1e-6)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda c: c.set_gain_db("piano", 0), "no stem 'piano'; there is vocals, drums, other"),
        (lambda c: c.set_gain_db("vocals", 25), "outside -120 to 24 dB"),
        (lambda c: c.set_gain_db("vocals", float("nan")), "outside"),
        (lambda c: setattr(c, "wet", 1.5), "outside 0 to 1"),
        (lambda c: setattr(c, "wet", float("nan")), "outside 0 to 1"),
    ],
)
def test_impossible_requests_are_refused(act, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        act(Controls(OUTPUTS))
