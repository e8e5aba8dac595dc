"""The command line as users meet it: help, documents, exit codes, JSON, and what starting it costs."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
import typer
from tiny_models import tiny_live4

from bridge import __version__
from bridge.cli import app
from bridge.command_osc import parse
from bridge.osc_server import OscServer
from bridge.osc_table import REQUESTS, Argument, as_markdown

ROOT = Path(__file__).parents[1]


def commands(group: typer.Typer = app, before: str = "") -> list[str]:
    """Every command's words, those of groups included: ``models list``."""
    found = []
    for command in group.registered_commands:
        assert command.callback is not None
        found.append(before + (command.name or command.callback.__name__.replace("_", "-")))
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        found += commands(inner.typer_instance, f"{before}{inner.name or inner.typer_instance.info.name} ")
    return found


def sidechop(*arguments: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "bridge.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)


def test_every_command_of_the_design_is_there() -> None:
    first = {name.split()[0] for name in commands()}
    wanted = {"demo", "live", "separate", "chop", "flag", "install", "train", "evaluate", "export"}
    assert first == wanted | {"models", "devices", "doctor", "bench", "osc"}


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help_and_is_documented(name: str) -> None:
    done = sidechop(*name.split(), "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout
    first, *rest = name.split()
    pages = (ROOT / "README.md").read_text() + "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    assert re.search(rf"(sidechop |`){first}\b", pages), f"sidechop {name} is in no document"
    assert all(re.search(rf"\b{word}\b", pages) for word in rest)


def test_every_option_has_help() -> None:
    def check(command: Any, words: str) -> None:
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"sidechop {words}: {parameter.name} has no help"
        for name, inner in getattr(command, "commands", {}).items():
            check(inner, f"{words} {name}")

    check(typer.main.get_command(app), "")


def test_wrong_use_is_2_and_failure_is_1_with_one_line(tmp_path: Path) -> None:
    for arguments in (["nonsense"], ["live", "--block", "many"], ["live", "--osc-port", "70000"], ["osc"], ["--oops"]):
        done = sidechop(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[osc]\nport = 'x'\n")
    for arguments, words in (
        (["live", "--config", str(wrong)], f"sidechop: {wrong}: line 2: osc.port: "),
        (["live", "--model", "pass-through", "--file", str(tmp_path / "none.wav")], "none.wav: no such file"),
        (["live", "--model", str(tmp_path / "none.onnx")], "none.onnx: no such model file"),
        (["live", "--file", "a.wav", "--input", "b"], "one of them"),
        (["bench", "--model", "nothing"], "no model is named 'nothing'"),
        (["osc", "ping", "--port", "9"], "no daemon at 127.0.0.1:9: start one with 'sidechop live'"),
    ):
        done = sidechop(*arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
        assert words in done.stderr


def test_file_that_may_not_be_written_ends_in_one_line(tmp_path: Path) -> None:
    clip, model = tmp_path / "clip.wav", tiny_live4(tmp_path / "tiny.onnx")
    soundfile.write(clip, [[0.0, 0.0]] * 4410, 44100)
    (tmp_path / "file").write_text("in the way")
    done = sidechop("demo", "--clip", str(clip), "--model", str(model), "-o", str(tmp_path / "file"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert str(tmp_path / "file") in done.stderr


@pytest.mark.parametrize(
    "arguments", [["doctor", "--json"], ["devices", "--json"], ["models", "list", "--json"]], ids=" ".join
)
def test_json_is_one_object(arguments: list[str]) -> None:
    done = sidechop(*arguments)
    assert isinstance(json.loads(done.stdout), dict)
    assert done.stderr == ""


def test_bench_measures_both_ways_and_the_machine(tmp_path: Path) -> None:
    model = tiny_live4(tmp_path / "tiny.onnx")
    done = sidechop("bench", "--model", str(model), "--seconds", "1", "--busy", "--json")
    result = json.loads(done.stdout)
    hop_ms = 1000 * 256 / 44100
    for name, least in (("unpaced", 1000), ("paced", 130)):
        times = result[name]
        assert times["hop_ms"] == pytest.approx(hop_ms, rel=0.02)
        assert times["p50_ms"] <= times["p95_ms"] <= times["p99_ms"] <= times["max_ms"]
        assert times["hops"] >= least * 0.8
    assert result["unpaced"]["times_realtime"] > 1
    assert result["idle"]["count"] > 100
    shown = sidechop("bench", "--model", str(model), "--seconds", "0.5", "--unpaced")
    assert "real time" in shown.stdout


def test_doctor_proves_the_latency() -> None:
    report = json.loads(sidechop("doctor", "--json").stdout)
    null = next(finding for finding in report["findings"] if finding["name"] == "null test")
    assert null["state"] == "good"
    assert null["details"]["measured_samples"] == null["details"]["reported_samples"] == report["latency"]["samples"]
    assert null["details"]["residual_db"] < -100
    shown = sidechop("doctor").stdout
    assert "onnxruntime" in shown
    assert "hop 256 + window 256 + margin 256 = 768 samples" in shown


def test_osc_command_asks_a_daemon() -> None:
    asked: list[tuple[object, ...]] = []
    own = ("/sidechop/subscribe", "/sidechop/unsubscribe", "/sidechop/authorise", "/sidechop/cancel")
    handlers = {m.address: lambda *values: asked.append(values) or () for m in REQUESTS if m.address not in own}
    handlers["/sidechop/status"] = lambda: ('{"model": "tiny"}',)
    server = OscServer(handlers, "127.0.0.1", 0, token="sesame")
    server.start()
    try:
        port = ("--port", str(server.address[1]))
        assert sidechop("osc", "ping", *port).returncode == 1
        token = (*port, "--token", "sesame")
        assert sidechop("osc", *token, "stem/gain", "drums", "-6").returncode == 0
        assert sidechop("osc", *token, "/sidechop/stem/mute", "drums", "on").returncode == 0
        assert asked == [("drums", -6.0), ("drums", True)]
        assert json.loads(sidechop("osc", *token, "status").stdout) == {"model": "tiny"}
        done = sidechop("osc", *token, "stem/gain", "drums", "loud")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "gain is 'loud', expected a number from -120 to 24 dB" in done.stderr
    finally:
        server.close()
    assert sidechop("osc", "--table").stdout == as_markdown()


def test_words_become_osc_values() -> None:
    name, number = Argument("name", "s"), Argument("gain", "f")
    assert [parse("1", name), parse("on", name), parse("off", None), parse("TRUE", None)] == ["1", "on", False, True]
    assert [parse("-3", number), parse("0.5", number), parse("loud", number)] == [-3, 0.5, "loud"]


def test_training_without_its_extra_says_how_to_get_it(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "sys.modules['torch'] = None\n"  # as if it were not installed
        "sys.argv = ['sidechop', 'train', 'separator', 'songs', '-o', 'run']\n"
        "from bridge.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (1, "sidechop: this command needs torch: pip install 'sidechop[train]'\n")


def test_version_and_quick_help() -> None:
    assert sidechop("--version").stdout == f"{__version__}\n"
    script = "import sys, bridge.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"onnxruntime", "matplotlib", "torch", "soundfile", "sounddevice", "scipy"}


def test_a_running_daemon_has_loaded_neither_torch_nor_librosa(tmp_path: Path) -> None:
    clip, model = tmp_path / "clip.wav", tiny_live4(tmp_path / "tiny.onnx")
    soundfile.write(clip, [[0.0, 0.0]] * 22050, 44100)
    script = (
        "import sys\n"
        "from bridge.config import Audio, Config, Osc\n"
        "from bridge.daemon import Daemon\n"
        f"config = Config(model={str(model)!r}, audio=Audio(file={str(clip)!r}), osc=Osc(port=0))\n"
        "with Daemon(config) as daemon:\n"
        "    daemon.run()\n"
        "print(*sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "bridge" in loaded
    assert not loaded & {"torch", "librosa", "scipy", "matplotlib", "lightning", "onnx"}
