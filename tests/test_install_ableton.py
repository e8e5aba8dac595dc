"""`sidechop install ableton`: into a User Library, again over it, and where there is none."""

import ast
from pathlib import Path

import pytest
from command_line import run

from bridge.installs import ableton

ROOT = Path(__file__).parents[1]
WANTED = {path.name: path.read_bytes() for path in (ROOT / "ableton_scripts" / "Sidechop").glob("*.py")}


@pytest.fixture
def library(tmp_path: Path) -> Path:
    library = tmp_path / "User Library"
    library.mkdir()
    return library


@pytest.mark.parametrize("inside", ["", "Remote Scripts"])
def test_the_script_is_put_where_live_looks_and_settings_stay(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], library: Path, inside: str
) -> None:
    folder = library / "Remote Scripts" / "Sidechop"
    for _ in range(2):
        assert run(monkeypatch, "install", "ableton", "--to", library / inside) == 0
        out = capfd.readouterr().out
        assert f"{len(WANTED)} files in {folder}" in out
        assert "choose Sidechop as a control surface" in out
        assert {path.name: path.read_bytes() for path in folder.glob("*.py")} == WANTED
        (folder / "settings.json").write_text('{"chops": "cues"}')
        (folder / "of_an_older_version.py").write_text("")
    assert run(monkeypatch, "install", "ableton", "--to", library / inside) == 0
    assert {path.name for path in folder.iterdir()} == {*WANTED, "settings.json"}
    for path in folder.glob("*.py"):
        ast.parse(path.read_text())


@pytest.mark.parametrize(("platform", "home"), [("darwin", "Music"), ("win32", "Documents")])
def test_each_system_has_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, home: str) -> None:
    monkeypatch.setattr(ableton.sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / home / "Ableton" / "User Library").mkdir(parents=True)
    assert ableton.remote_scripts(None) == tmp_path / home / "Ableton" / "User Library" / "Remote Scripts"


def test_where_there_is_no_library_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for arguments, text in (
        (("--to", tmp_path / "nowhere"), "no such folder. Start Live once, or name its User Library with --to"),
        ((), "name its User Library with --to"),
    ):
        monkeypatch.setattr(ableton.sys, "platform", "linux")
        assert run(monkeypatch, "install", "ableton", *arguments) == 1
        error = capfd.readouterr().err
        assert text in error
        assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
