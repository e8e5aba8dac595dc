"""``sidechop install plugin``: what lies where afterwards, and what it says when it cannot."""

from pathlib import Path

import pytest

from bridge.installs import plugin
from tests.command_line import run


def test_three_bundles_are_put_in_place_over_older_ones(
    monkeypatch: pytest.MonkeyPatch, plugin_bundles: Path, tmp_path: Path
) -> None:
    old = tmp_path / ".lv2" / "sidechop.lv2"
    old.mkdir(parents=True)
    (old / "old.ttl").touch()
    assert run(monkeypatch, "install", "plugin", "--to", tmp_path) == 0
    assert sorted(path.name for path in old.iterdir()) == ["manifest.ttl", "sidechop.so", "sidechop.ttl"]
    assert (tmp_path / ".clap" / "sidechop.clap").is_file()
    assert list((tmp_path / ".vst3" / "sidechop.vst3" / "Contents").glob("*-linux/sidechop.so"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".clap", ".lv2", ".vst3"]
    assert len([path for folder in tmp_path.iterdir() for path in folder.iterdir()]) == 3


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TOOLS", {"no-such-compiler": "g++"}, "building the plugin needs g++: apt-get install g++"),
        ("DPF", Path("/nowhere"), "building the plugin needs dpf-source: apt-get install dpf-source"),
        ("SOURCE", Path("/nowhere"), "no plugin sources in /nowhere"),
    ],
)
def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    value: object,
    words: str,
) -> None:
    monkeypatch.setattr(plugin, "TOOLS", {})
    monkeypatch.setattr(plugin, "DPF", tmp_path)
    (tmp_path / "distrho").mkdir()
    monkeypatch.setattr(plugin, name, value)
    assert run(monkeypatch, "install", "plugin", "--to", tmp_path / "home") == 1
    assert words in capfd.readouterr().err
    assert not (tmp_path / "home").exists()


def test_an_unknown_format_is_wrong_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, "install", "plugin", "--to", tmp_path, "--formats", "vst2") == 2
