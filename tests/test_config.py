"""The TOML file: what it sets, that flags win, and that mistakes name file, line and field in one line."""

from pathlib import Path

import pytest
import soundfile

from bridge.audio_source import DeviceSource, FileSource, ReaStreamSource
from bridge.config import Audio, Config, read_config, read_session
from bridge.session_audio import lane_block, session_rate_of, source_of
from streaming.errors import RequestError


def write(folder: Path, text: str) -> Path:
    path = folder / "live.toml"
    path.write_text(text)
    return path


def test_defaults_without_a_file() -> None:
    config = read_config(Config, None, {"model": None})
    assert (config.model, config.osc.port, config.osc.listen, config.audio.block) == ("auto", 9190, "127.0.0.1", None)


def test_file_sets_and_flags_win(tmp_path: Path) -> None:
    path = write(tmp_path, 'model = "x"\n[audio]\nblock = 128\nrate = 48000\n[stems.drums]\ngain_db = -6\n')
    config = read_config(Config, path, {"audio.block": 64, "osc.port": 0, "model": None})
    assert (config.model, config.audio.block, config.audio.rate, config.osc.port) == ("x", 64, 48000, 0)
    assert config.stems["drums"].gain_db == -6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[osc]\n\nport = 99999\n", r"live\.toml: line 3: osc\.port: .*65535 \(got 99999\)"),
        ("[osc]\nprot = 1\n", r"live\.toml: line 2: osc\.prot: Extra inputs"),
        ("osc.port = 'x'\n", r"live\.toml: line 1: osc\.port: .*integer.*\(got 'x'\)"),
        ("[stems.drums]\nmute = true\ngain_db = 99\n", r"line 3: stems\.drums\.gain_db: .*24"),
        ("model = 'a'\nbudget_ms = nan\n", r"line 2: budget_ms: "),
        ("[audio]\nfile = 'a.wav'\ninput = 'b'\n", r"line 1: audio: give devices, or a file, or reastream"),
        ("[audio]\nblock = -1\n", r"line 2: audio\.block: "),
        ("osc = 3\n", r"line 1: osc: "),
        ("chops = 3\n", r"line 1: chops: .*string"),
        ("history_s = -1\n", r"line 1: history_s: .*0 \(got -1\)"),
        ("= 3\n", r"live\.toml: not TOML: .*line 1"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        read_config(Config, write(tmp_path, text), {})
    assert "\n" not in str(caught.value)


def test_a_wrong_flag_is_named_without_a_line(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"^osc\.port: .*\(got 70000\)"):
        read_config(Config, write(tmp_path, "[osc]\nport = 1\n"), {"osc.port": 70000})
    with pytest.raises(RequestError, match=r"osc is 3, expected a table \[osc\]"):
        read_config(Config, write(tmp_path, "osc = 3\n"), {"osc.port": 1})


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="No such file"):
        read_config(Config, tmp_path / "none.toml", {})
    path = tmp_path / "latin.toml"
    path.write_bytes(b"model = '\xff'")
    with pytest.raises(RequestError, match=r"latin\.toml: cannot be read"):
        read_config(Config, path, {})


def test_a_source_named_by_a_flag_replaces_the_files(tmp_path: Path) -> None:
    path = write(tmp_path, "[audio]\ninput = 'a'\noutput = 'b'\nblock = 64\n")
    assert read_session(path, {"audio.file": None}).audio.input == "a"
    audio = read_session(path, {"audio.file": "c.wav"}).audio
    assert (audio.input, audio.output, audio.file, audio.block) == (None, None, Path("c.wav"), 64)
    with pytest.raises(RequestError, match="one of them"):
        read_session(path, {"audio.file": "c.wav", "audio.reastream": "default"})


def test_settings_become_sources() -> None:
    file = Audio(file=Path("a.wav"), folder=Path("out"), paced=False, block=0)
    assert source_of(file, 44100, None) == FileSource("a.wav", False, False, "out/mix.wav", "out", 256, None)
    assert source_of(Audio(reastream="x"), 48000, 10.0) == ReaStreamSource(
        identifier="x", block_samples=1024, budget_samples=480
    )
    assert source_of(Audio(input="a", block=0), 48000, None) == DeviceSource("a", "", block_samples=0)
    assert source_of(Audio(), 48000, 0.0) == DeviceSource(block_samples=256, budget_samples=0)
    assert (lane_block(Audio(block=64)), lane_block(Audio(block=4096))) == (1024, 4096)


def test_the_rate_is_asked_for_or_the_sources_own(tmp_path: Path) -> None:
    for file_rate, rate in ((44100, 44100), (48000, 48000), (22050, 44100), (96000, 96000), (192000, 96000)):
        path = tmp_path / f"{file_rate}.wav"
        soundfile.write(path, [0.0] * 100, file_rate)
        assert session_rate_of(Audio(file=path)) == rate
        assert session_rate_of(Audio(file=path, rate=88200)) == 88200
    assert session_rate_of(Audio(reastream="default")) == 48000
