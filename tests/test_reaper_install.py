"""`sidechop install reaper` into a made-up REAPER folder, and the ReaPack index against the scripts' headers."""

import re
import shutil
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from command_line import run
from reaper_api import Api
from reaper_script import SCRIPTS, lua54
from reaper_script import run as run_script

from bridge import __version__
from bridge.installs import reaper_ini
from bridge.installs.reapack import URL, index
from bridge.installs.reaper import program, script_files
from streaming.errors import RequestError

KB = 'KEY 1 65 40044 0\r\nSCR 4 0 RSabc "Custom: other.lua" "Other/other.lua"\r\n'
INI = "[Recent]\r\na=b\r\n[REAPER]\r\nx=1\r\ncsurf_cnt=1\r\ncsurf_0=MCU 0 0\r\n[other]\r\ny=2\r\n"


@pytest.fixture
def resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A REAPER that was used before and does not run."""
    monkeypatch.setattr("bridge.installs.reaper.reaper_runs", lambda: False)
    folder = tmp_path / "REAPER"
    (folder / "Scripts").mkdir(parents=True)
    (folder / "reaper-kb.ini").write_bytes(KB.encode())
    (folder / "reaper.ini").write_bytes(INI.encode())
    return folder


def install(monkeypatch: pytest.MonkeyPatch, resources: Path, *more: str) -> int:
    return run(monkeypatch, "install", "reaper", "--to", resources, *more)


def test_scripts_are_placed_and_listed_once(
    resources: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = resources / "Scripts" / "Sidechop"
    place.mkdir()
    for name in ("Sidechop_of an old version.lua", "my own.lua"):
        (place / name).touch()
    assert install(monkeypatch, resources) == 0
    names = {path.relative_to(place) for path in place.rglob("*") if path.is_file()}
    assert names == {*script_files(SCRIPTS), Path("lib/where.lua"), Path("my own.lua")}
    for name in script_files(SCRIPTS):
        assert (place / name).read_bytes() == (SCRIPTS / name).read_bytes()
    where = lua54.LuaRuntime().eval(f"dofile({str(place / 'lib' / 'where.lua')!r})")
    assert where.command == str(program())
    kb = (resources / "reaper-kb.ini").read_bytes().decode()
    assert kb.startswith(KB)
    lines = kb[len(KB) :].split("\r\n")
    assert lines.pop() == ""
    pattern = r'SCR 4 0 RS([0-9a-f]{40}) "Custom: (Sidechop_[^"]+\.lua)" "Sidechop/(Sidechop_[^"]+\.lua)"'
    found = [re.fullmatch(pattern, line) for line in lines]
    assert all(match and match[2] == match[3] and (place / match[2]).is_file() for match in found)
    assert len({match[1] for match in found if match}) == len(list(SCRIPTS.glob("*.lua")))
    assert (resources / "reaper-kb.ini.sidechop-backup").read_bytes().decode() == KB
    assert (resources / "reaper.ini").read_bytes().decode() == INI
    capsys.readouterr()
    assert install(monkeypatch, resources) == 0
    assert "all actions were listed" in capsys.readouterr().out
    assert (resources / "reaper-kb.ini").read_bytes().decode() == kb


def test_an_installed_script_runs_as_it_lies_there(resources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert install(monkeypatch, resources) == 0
    api = Api(resources, resources / "project")
    for name in sorted(path.stem.removeprefix("Sidechop_") for path in SCRIPTS.glob("*.lua")):
        if name not in ("Check connection", "Stem monitor", "Flags while recording"):  # which would start a daemon
            api.answers = [None]
            run_script(api, name)
    assert len(api.messages) == 6
    assert api.commands == []


def test_a_surface_is_added_only_when_asked_and_once(resources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        assert install(monkeypatch, resources, "--osc-surface", "--no-actions") == 0
        text = (resources / "reaper.ini").read_bytes().decode()
        added = INI.replace("csurf_cnt=1", "csurf_cnt=2")
        assert text == added.replace("[REAPER]\r\n", f"[REAPER]\r\ncsurf_1={reaper_ini.SURFACE}\r\n")
    assert (resources / "reaper.ini.sidechop-backup").read_bytes().decode() == INI
    assert (resources / "reaper-kb.ini").read_bytes().decode() == KB


@pytest.mark.parametrize("text", ["", "[reaper]\n", "[REAPER]\ncsurf_cnt=0\n", "[x]\na=1\n"])
def test_a_surface_finds_its_section(tmp_path: Path, text: str) -> None:
    ini = tmp_path / "reaper.ini"
    ini.write_text(text)
    assert reaper_ini.add_surface(ini)
    import configparser

    parsed = configparser.ConfigParser(strict=True)
    parsed.read_string(ini.read_text())
    section = parsed["reaper" if "[reaper]" in text else "REAPER"]
    assert (section["csurf_cnt"], section["csurf_0"]) == ("1", reaper_ini.SURFACE)


def test_a_reaper_that_runs_is_left_alone(
    resources: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would write over its own files when it ends; the scripts are placed all the same."""
    monkeypatch.setattr("bridge.installs.reaper.reaper_runs", lambda: True)
    assert install(monkeypatch, resources) == 0
    assert "REAPER runs: quit it and run this again" in capsys.readouterr().out
    assert install(monkeypatch, resources, "--osc-surface") == 1
    assert (resources / "reaper-kb.ini").read_bytes().decode() == KB
    assert (resources / "reaper.ini").read_bytes().decode() == INI
    assert (resources / "Scripts" / "Sidechop" / "lib" / "osc.lua").is_file()
    assert reaper_ini.reaper_runs() in (True, False)


def test_where_there_is_no_reaper_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert run(monkeypatch, "install", "reaper") == 1
    assert f"{tmp_path / 'config' / 'REAPER'}: no such folder. Start REAPER once" in capsys.readouterr().err


def test_the_index_is_made_from_the_headers() -> None:
    """`python -m bridge.installs.reapack` writes it."""
    assert (SCRIPTS / "index.xml").read_text(encoding="utf-8") == index(SCRIPTS)
    root = ElementTree.parse(SCRIPTS / "index.xml").getroot()
    (pack,) = root.iter("reapack")
    (version,) = pack.iter("version")
    assert version.get("name") == __version__
    sources = {unquote((s.text or "").removeprefix(f"{URL}/")): s for s in version.iter("source")}
    assert set(sources) == {path.as_posix() for path in script_files(SCRIPTS)}
    for name, source in sources.items():
        assert (source.get("main") == "main") == name.startswith("Sidechop_")
        assert source.get("file") == (None if name == pack.get("name") else name)


def test_a_header_that_lacks_something_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "scripts"
    shutil.copytree(SCRIPTS, folder)
    main = folder / "Sidechop_Chop selected items.lua"
    text = main.read_text()
    for old, new, words in (
        ("-- @author Sidechop\n", "", "its header has no @author"),
        ("[nomain] lib/*.lua", "[nomain] lib/j*.lua", "no package provides it"),
        ("[nomain] lib", "lib", "expected .main. or .nomain. and a pattern"),
    ):
        main.write_text(text.replace(old, new))
        with pytest.raises(RequestError, match=words):
            index(folder)


def test_scripts_use_only_what_a_stock_reaper_has() -> None:
    """Every function of ``reaper`` that is called is one of the documented API that the tests model."""
    known = {name for name in dir(__import__("reaper_api")._Functions) if not name.startswith("_")}
    known |= {"defer", "atexit", "get_action_context", "set_action_options"}
    for path in SCRIPTS.rglob("*.lua"):
        assert set(re.findall(r"reaper\.(\w+)", path.read_text())) - {"md", "lua"} <= known, path.name
