"""Stages of a chain: chunking is not heard, latency is out to the sample, what is transparent nulls, tails are kept."""

import inspect
import re
from pathlib import Path

import numpy as np
import pedalboard
import pyebur128
import pytest
from batch_audio import RATE, Audio, line, noise, through, zam
from pydantic import ValidationError

from bridge.batch import spool
from bridge.batch.board import PieceByPiece, make_effect
from bridge.batch.branches import Branches
from bridge.batch.description import stage_kinds
from bridge.batch.effects import EFFECTS
from bridge.batch.loudness import LoudnessMeter, PeakMeter
from bridge.batch.plugin import Plugin, PluginStage
from bridge.batch.pumped import HOST_BLOCK, Pump, Tail
from bridge.batch.spool import Fifo, Scratch
from bridge.batch.stage import Line
from streaming.errors import AudioError, RequestError

SIZES = (1, 64, 65, 1000, 8193, 70000)
LENGTHS = (1, 2, 100, 8191, 8192, 65537, 150_001)

UNLIKE_ITSELF = {"GSMFullRateCompressor"}
"""A codec whose frames begin where calls begin: pedalboard's own result differs with its block size."""


def stage(name: str, **settings: object) -> str:
    lines = [f"{key} = {value!r}".replace("True", "true").replace("False", "false") for key, value in settings.items()]
    return "\n".join(["[[stage]]", f'type = "{name}"', *lines, ""]).replace("'", '"')


@pytest.mark.parametrize("name", sorted(EFFECTS))
def test_an_effect_is_what_pedalboard_gives_for_the_whole_file(name: str) -> None:
    settings = stage_kinds()[name](type=name)
    for frames in LENGTHS:
        audio = noise(frames, seed=frames)
        chunked = through(line(stage(name)), audio, SIZES, seed=frames)
        assert chunked.shape == audio.shape
        np.testing.assert_array_equal(through(line(stage(name)), audio), chunked)
        if name not in UNLIKE_ITSELF and frames > 2:  # fewer it takes for channels
            whole = make_effect(settings).process(audio, RATE)
            np.testing.assert_allclose(chunked, whole, atol=2e-7)  # one float32 rounding


def test_a_stage_begins_anew_for_every_stream() -> None:
    text = (
        stage("Reverb", room_size=0.9) + stage("Delay") + stage("BrickwallLimiter") + stage("PitchShift", semitones=3)
    )
    used, audio = line(text), noise(50_000)
    through(used, noise(30_000, seed=1))
    np.testing.assert_array_equal(through(used, audio), through(line(text), audio))


def test_the_table_of_effects_is_that_of_pedalboard() -> None:
    known = {
        name
        for name, kind in vars(pedalboard).items()
        if inspect.isclass(kind) and issubclass(kind, pedalboard.Plugin) and kind.__module__ == "pedalboard_native"
    }
    structural = {
        "Convolution",
        "ExternalPlugin",
        "IIRFilter",
        "Plugin",
        "PluginContainer",
        "VST3Plugin",
        "Mix",
        "Chain",
    }
    assert set(EFFECTS) == known - structural - {"AudioUnitPlugin", "_AudioUnitPlugin", "_klass"}
    for name, parameters in EFFECTS.items():
        signature = getattr(pedalboard, name).__init__.__doc__.splitlines()[0]
        said = dict(re.findall(r"(\w+): (?:float|bool) = ([\w.-]+)", signature))
        assert {p.name: pytest.approx(float(p.default)) for p in parameters} == {
            key: float(value == "True") if value in ("True", "False") else float(value) for key, value in said.items()
        }


@pytest.mark.parametrize("name", sorted(EFFECTS))
def test_what_an_effect_refuses_is_out_of_its_range_and_its_range_is_taken(name: str) -> None:
    kind, effect = stage_kinds()[name], getattr(pedalboard, name)
    for parameter in EFFECTS[name]:
        if isinstance(parameter.default, bool):
            continue
        for value in (parameter.low, parameter.high):
            effect(**{parameter.name: value})
        for value in (-1e9, -100.0, -1.0, -1e-6, 0.0, 1e-6, 0.5, 1.0, 1.1, 11.0, 33.0, 73.0, 101.0, 1e4, 1e9):
            try:
                effect(**{parameter.name: value})
            except ValueError:
                with pytest.raises(ValidationError):
                    kind(type=name, **{parameter.name: value})


def test_a_filter_beyond_the_rate_is_refused() -> None:
    with pytest.raises(RequestError, match="cutoff_frequency_hz is 15000, but audio at 22050 Hz ends at 11025 Hz"):
        through(line(stage("LowpassFilter", cutoff_frequency_hz=15000)), noise(100), rate=22050)
    with pytest.raises(RequestError, match="MP3Compressor works at 32000"):
        through(line(stage("MP3Compressor")), noise(100), rate=96000)


def test_long_audio_is_pitched_in_pieces_without_seams() -> None:
    """A sine through many short pieces is the same sine, at the level that it has in one."""
    audio = (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE * 8) / RATE)).astype(np.float32)[None]
    pieces = PieceByPiece(pedalboard.PitchShift(0), Scratch(), piece_s=2.0)
    out = through(pieces, audio, SIZES)
    assert out.shape == audio.shape
    middle = slice(RATE // 2, -RATE // 2)
    np.testing.assert_allclose(out[:, middle], audio[:, middle], atol=1e-3)  # the shifter's own at no shift


# -- latency ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [44100, 96000])
def test_a_plugin_with_latency_nulls(channels: int, rate: int) -> None:
    """ZaMaximX2 looks 480 samples ahead; with its threshold at 0 it changes nothing."""
    plugin = Plugin(PluginStage(type="plugin", path=zam("ZaMaximX2")), zam("ZaMaximX2").parent, Tail())
    for frames in LENGTHS:
        audio = noise(frames, channels, frames)
        np.testing.assert_array_equal(through(plugin, audio, SIZES, rate, frames), audio)
    assert plugin.latency_samples == 480
    assert plugin.notes == []


def test_a_chain_of_transparent_stages_nulls() -> None:
    path = zam("ZaMaximX2")
    text = (
        stage("plugin", path=str(path)) + stage("BrickwallLimiter", ceiling_db=0) + stage("Gain", gain_db=0)
        + stage("PitchShift") + stage("plugin", path=str(path)) + stage("mix") + "[[stage.branch]]\ngain_db = -120\n"
        + f'[[stage.branch]]\n[[stage.branch.stage]]\ntype = "plugin"\npath = "{path}"\n'
    )  # fmt: skip
    for frames in (1000, 70_003):
        audio = noise(frames)
        np.testing.assert_allclose(through(line(text), audio, SIZES), audio, atol=1e-6)  # the shifter: float32


def test_effects_that_shift_are_aligned_to_the_sample() -> None:
    """They change the sound, so the best alignment is measured: it is none."""
    audio = noise(3 * RATE, 1)
    for name in ("MP3Compressor", "Resample", "BrickwallLimiter", "PitchShift", "GSMFullRateCompressor"):
        settings = {"target_sample_rate": 30000} if name == "Resample" else {}
        out = through(line(stage(name, **settings)), audio, SIZES)
        spectra = np.fft.rfft(out[0], 2**19) * np.conj(np.fft.rfft(audio[0], 2**19))
        assert int(np.argmax(np.abs(np.fft.irfft(spectra)))) == 0, name


class Liar:
    """A delay that reports what it likes and gives what it likes at first."""

    def __init__(self, delay: int, kept_back: int) -> None:
        self._held = np.zeros((1, delay), np.float32)
        self._drop = kept_back

    def __call__(self, audio: Audio) -> Audio:
        both = np.concatenate([self._held, audio], axis=1)
        out, self._held = both[:, : audio.shape[1]], both[:, audio.shape[1] :]
        drop, self._drop = min(self._drop, out.shape[1]), max(0, self._drop - out.shape[1])
        return out[:, drop:]


@pytest.mark.parametrize(
    ("delay", "kept_back"), [(0, 0), (480, 0), (480, 480), (480, 100), (9000, 0), (70_000, 70_000)]
)
@pytest.mark.parametrize("frames", [1, 5000, 100_000])
def test_whatever_a_plugin_keeps_back_of_its_latency_it_nulls(delay: int, kept_back: int, frames: int) -> None:
    audio = noise(frames, 1)
    pump = Pump(Liar(delay, kept_back), lambda: delay, RATE, 1, Tail())
    out = np.concatenate(
        [pump.process(audio[:, at : at + 999]) for at in range(0, frames, 999)] + list(pump.flush()), 1
    )
    np.testing.assert_array_equal(out, audio)


class Remembers:
    """Stands for a plugin whose reset is none: what it heard before is heard again."""

    name, is_effect, reported_latency_samples = "Remembers", True, 0
    loaded = 0

    def __init__(self) -> None:
        type(self).loaded += 1
        self._last = np.float32(0)

    def process(self, audio: Audio, rate: int, block: int, reset: bool) -> Audio:
        last, self._last = self._last, audio[0, -1]
        return audio + last

    def reset(self) -> None: ...


def test_a_plugin_that_a_reset_does_not_clear_is_loaded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.batch.plugin.load", lambda *_: Remembers())
    plugin = Plugin(PluginStage(type="plugin", path="any.vst3"), Path(), Tail())
    audio = noise(30_000)
    first = through(plugin, audio)
    before = Remembers.loaded
    through(plugin, noise(20_000, seed=5))
    np.testing.assert_array_equal(through(plugin, audio), first)
    assert Remembers.loaded == before + 2
    assert plugin.notes == ["Remembers: a reset does not clear it, so it is loaded anew for every file"]


class Delays(Remembers):
    """A delay that reports another latency than it has."""

    name = "Delays"

    def __init__(self, delay: int, reported: int) -> None:
        self._delay, self.reported_latency_samples = delay, reported
        self.reset()

    def reset(self) -> None:
        self._line: Liar = Liar(self._delay, 0)

    def process(self, audio: Audio, rate: int, block: int, reset: bool) -> Audio:
        return self._line(audio)


@pytest.mark.parametrize(
    ("delay", "reported", "latency", "taken_out", "noted"),
    [
        (480, 480, "auto", 480, False),
        (480, 0, "auto", 480, True),
        (480, 512, "auto", 480, True),
        (480, 0, "reported", 0, False),
        (480, 0, 0, 0, False),
        (480, 0, 480, 480, False),
        (20_000, 0, "auto", 0, False),
    ],
)
def test_latency_is_measured_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch, delay: int, reported: int, latency: object, taken_out: int, noted: bool
) -> None:
    """The last is an echo, not a latency: nobody would wait so long for a look ahead."""
    monkeypatch.setattr("bridge.batch.plugin.load", lambda *_: Delays(delay, reported))
    plugin = Plugin(
        PluginStage.model_validate({"type": "plugin", "path": "any.vst3", "latency": latency}), Path(), Tail()
    )
    audio = noise(50_000, 1)
    out = through(plugin, audio, SIZES)
    late = delay - taken_out
    np.testing.assert_array_equal(out[:, late:], audio[:, : audio.shape[1] - late])
    assert plugin.latency_samples == taken_out
    assert bool(plugin.notes) == noted


def test_a_mono_plugin_hears_each_channel() -> None:
    """An echo, which begins the same at every load: ZamTube does not, in one load of seven."""
    plugin = Plugin(PluginStage(type="plugin", path=zam("ZamDelay")), zam("ZamDelay").parent, Tail())
    audio = noise(40_000)
    both = through(plugin, audio)
    assert not np.array_equal(both, audio)
    for channel in (0, 1):
        alone = Plugin(PluginStage(type="plugin", path=zam("ZamDelay")), zam("ZamDelay").parent, Tail())
        np.testing.assert_array_equal(both[channel], through(alone, audio[channel : channel + 1])[0])


def test_a_plugin_says_what_is_wrong() -> None:
    path = zam("ZaMaximX2")
    for settings, words in (
        ({"path": "nowhere.vst3"}, "nowhere.vst3: no such plugin"),
        ({"path": path, "parameters": {"threshold_db": 5}}, r"threshold_db: .*out of range"),
        ({"path": path, "parameters": {"ratio": 5}}, "has no parameter 'ratio'; it has .*threshold_db"),
        ({"path": __file__}, "cannot be loaded"),
    ):
        with pytest.raises(RequestError, match=words):
            Plugin(PluginStage.model_validate({"type": "plugin", **settings}), path.parent, Tail())


# -- tails ------------------------------------------------------------------------------------------------------------


def test_tails_are_cut_or_kept() -> None:
    audio = np.zeros((1, 20_000), np.float32)
    audio[0, -1] = 0.5
    echo = stage("Delay", delay_seconds=0.25, feedback=0.0, mix=0.5)
    assert through(line(echo), audio).shape == audio.shape
    kept = through(line('tail = "keep"\n' + echo), audio, SIZES)
    at = 19_999 + round(0.25 * RATE)
    assert kept.shape[1] == at + 1, "to the last sample that sounds"
    assert abs(kept[0, at]) == pytest.approx(0.25)
    short = through(line('tail = "keep"\ntail_max_s = 0.1\n' + echo), audio, SIZES)
    assert short.shape[1] <= 20_000 + RATE // 10
    dry = through(line('tail = "keep"\n' + stage("Gain", gain_db=0)), audio, SIZES)
    np.testing.assert_array_equal(dry, audio)


# -- stages of our own ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 9, 100, 4409, 4410, 100_000])
@pytest.mark.parametrize("shape", ["linear", "power"])
def test_fades(frames: int, shape: str) -> None:
    audio = np.ones((2, frames), np.float32)
    out = through(line(stage("fade", in_s=0.05, out_s=0.05, shape=shape)), audio, (1, 100, 3000))
    np.testing.assert_array_equal(out, through(line(stage("fade", in_s=0.05, out_s=0.05, shape=shape)), audio))
    assert out.shape == audio.shape
    assert (np.diff(out[0, : frames // 2]) >= 0).all()
    np.testing.assert_allclose(out, out[:, ::-1], atol=0.002 if frames > 100 else 0.6)
    if frames == 100_000:
        assert (out[:, 2205:-2205] == 1).all()
        assert out[0, 0] < 0.01


def test_trim() -> None:
    audio = np.zeros((2, 50_000), np.float32)
    audio[0, 10_000:30_000] = 0.5
    assert through(line(stage("trim", pad_s=0.0)), audio, SIZES).shape[1] == 20_000
    np.testing.assert_array_equal(through(line(stage("trim", pad_s=0.01)), audio, SIZES), audio[:, 9_559:30_441])
    assert through(line(stage("trim", pad_s=0.0, lead=False)), audio).shape[1] == 30_000
    cut = through(line(stage("trim", start_s=0.5, end_s=1.0) + ""), audio, SIZES)
    assert cut.shape[1] == 30_000 - 22_050 + 441
    with pytest.raises(AudioError, match="nothing reaches -60 dB"):
        through(line(stage("trim")), np.zeros((1, 100), np.float32))
    with pytest.raises(AudioError, match="nothing lies between 5 s"):
        through(line(stage("trim", start_s=5)), audio)


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2])
def test_loudness_and_true_peak_are_those_of_libebur128(rate: int, channels: int) -> None:
    rng = np.random.default_rng(rate)
    spectrum = np.fft.rfft(rng.standard_normal((channels, 8 * rate)))
    spectrum /= np.sqrt(np.arange(1, spectrum.shape[1] + 1))  # pink
    spectrum[:, spectrum.shape[1] * 3 // 4 :] = 0  # where oversampling filters fall off each in its own way
    level = np.interp(
        np.arange(8 * rate) / rate, [0, 0.1, 2, 2.1, 4, 4.1, 6, 7.9, 8], [0, 0.01, 0.01, 1, 1, 0.1, 0.1, 1, 0]
    )
    audio = np.fft.irfft(spectrum)
    audio *= level * 0.5 / np.abs(audio).max()
    mode = pyebur128.MeasurementMode.MODE_I | pyebur128.MeasurementMode.MODE_TRUE_PEAK
    reference = pyebur128.R128State(channels, rate, mode)
    reference.add_frames(np.ascontiguousarray(audio.T).ravel(), audio.shape[1])
    loudness, peak = LoudnessMeter(rate, channels), PeakMeter(rate, channels)
    for at in range(0, audio.shape[1], 10_000):
        for meter in (loudness, peak):
            meter.add(audio[:, at : at + 10_000].astype(np.float32))
    for meter in (loudness, peak):
        meter.finish()
    assert loudness.lufs == pytest.approx(pyebur128.get_loudness_global(reference), abs=0.01)
    true_peak = max(pyebur128.get_true_peak(reference, channel) for channel in range(channels))
    assert 20 * np.log10(peak.peak / true_peak) == pytest.approx(0, abs=0.2)  # another oversampling filter


def test_normalise_reaches_the_loudness_or_stops_at_the_peak() -> None:
    audio = noise(5 * RATE) * np.float32(0.1)

    def measured(text: str, audio: Audio = audio) -> tuple[float, float]:
        loudness, peak = LoudnessMeter(RATE, 2), PeakMeter(RATE, 2)
        out = through(line(text), audio, SIZES)
        for meter in (loudness, peak):
            meter.add(out)
            meter.finish()
        return loudness.lufs, 20 * np.log10(peak.peak)

    assert measured(stage("normalise", lufs=-20.0))[0] == pytest.approx(-20, abs=0.01)
    assert measured(stage("normalise", lufs=-1.0, peak_db=-3.0))[1] == pytest.approx(-3, abs=0.01)
    assert measured(stage("normalise", lufs="off", peak_db=-6.0))[1] == pytest.approx(-6, abs=0.01)
    silence = np.zeros((2, RATE), np.float32)
    np.testing.assert_array_equal(through(line(stage("normalise")), silence), silence)
    short = audio[:, :1000]
    np.testing.assert_array_equal(through(line(stage("normalise")), short), short)


def test_resample_and_channels() -> None:
    audio = noise(RATE + 7)
    out = through(line(stage("resample", rate=48000)), audio, SIZES)
    assert out.shape == (2, round((RATE + 7) * 48000 / RATE))
    mono = through(line(stage("channels", count=1)), audio, SIZES)
    np.testing.assert_array_equal(mono, audio.mean(axis=0, keepdims=True))
    assert through(line(stage("channels", count=2)), mono).shape == audio.shape


def test_branches_that_do_not_end_alike_are_refused() -> None:
    text = (
        '[[stage]]\ntype = "mix"\n[[stage.branch]]\n[[stage.branch]]\n'
        '[[stage.branch.stage]]\ntype = "resample"\nrate = 48000\n'
    )
    with pytest.raises(RequestError, match="branch 1 gives 2 channels at 44100 Hz, branch 2 2 at 48000 Hz"):
        through(line(text), noise(10))


def test_what_waits_goes_to_disk_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A branch that hears everything first makes its neighbour wait for all of the file."""
    monkeypatch.setattr(spool, "IN_MEMORY_BYTES", 50_000)
    text = (
        '[[stage]]\ntype = "mix"\n[[stage.branch]]\ngain_db = -6.0206\n[[stage.branch]]\ngain_db = -6.0206\n'
        '[[stage.branch.stage]]\ntype = "trim"\nthreshold_db = -144\npad_s = 0\n'
    )
    for frames in (100, 200_000):
        audio = noise(frames)
        np.testing.assert_allclose(through(line(text), audio, SIZES), audio, atol=1e-5)  # of the two gains


def test_a_queue_gives_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY_BYTES", 4000)
    rng, audio = np.random.default_rng(0), noise(60_000)
    fifo, taken, given = Fifo(Scratch(), 2), 0, 0
    while given < audio.shape[1]:
        count = int(rng.integers(0, 3000))
        fifo.write(audio[:, taken : taken + count])
        taken = min(audio.shape[1], taken + count)
        count = min(int(rng.integers(0, 3500)), fifo.available)
        np.testing.assert_array_equal(fifo.read(count), audio[:, given : given + count])
        given += count
    assert fifo.available == 0


def test_an_effect_that_gives_nothing_does_not_hang() -> None:
    pump = Pump(lambda audio: audio[:, :0], lambda: 0, RATE, 1, Tail())
    out = np.concatenate([pump.process(noise(20_000, 1)), *pump.flush()], axis=1)
    np.testing.assert_array_equal(out, np.zeros((1, 20_000), np.float32))
    pump = Pump(lambda audio: audio[:, :0], lambda: 0, RATE, 1, Tail(keep=True))
    assert sum(block.shape[1] for block in [pump.process(noise(20_000, 1)), *pump.flush()]) == 20_000


def test_an_empty_line_passes() -> None:
    audio = noise(HOST_BLOCK)
    branches = Branches([Line([], _quiet())], [0.5], ["one"], Scratch())
    branches.prepare(RATE, 2)
    np.testing.assert_array_equal(branches.process([audio]), audio * np.float32(0.5))


def _quiet() -> object:
    from bridge.batch.mark import NoMark

    return NoMark()
