"""The examples run as they stand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_models import tiny_curves, tiny_flagger, tiny_live4, tiny_query, tiny_text

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_live4(tmp_path_factory.mktemp("models") / "tiny.onnx"))


def test_separate_array(model: str) -> None:
    out = run("separate_array.py", model)
    assert "vocals, drums, bass, other; latency 512 samples" in out
    assert "vocals    -19.5 dBFS" in out  # half of a sine at 0.3
    assert float(out.split()[-1]) < 1e-6


def test_swap_query(tmp_path: Path) -> None:
    model = tiny_query(tmp_path / "tiny.onnx", text_encoder=tiny_text(tmp_path / "text.onnx"))
    clip = EXAMPLES.parent / "bridge" / "assets" / "demo.ogg"
    low, high, whole = run("swap_query.py", str(model), str(clip), "low", "high").splitlines()
    levels = [float(line.split()[-2]) for line in (low, high)]
    assert levels[0] > levels[1] + 10  # music has most of its power in the lowest third
    assert float(whole.split()[-1]) < 1e-6


def test_chop_file(tmp_path: Path) -> None:
    clip = EXAMPLES.parent / "bridge" / "assets" / "demo.ogg"
    out = run("chop_file.py", str(clip), str(tmp_path / "chops"), str(tiny_curves(tmp_path / "tiny.onnx")))
    rolls = [line.partition(": ")[2].split() for line in out.splitlines() if line.startswith("seed")]
    assert [len(roll) for roll in rolls] == [8, 8, 8]
    assert len({tuple(chop for chop in roll if chop.endswith("*")) for roll in rolls}) == 1
    assert len(list((tmp_path / "chops").rglob("*.wav"))) in (8, 9)  # with what comes before the first


def test_flag_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    clip = EXAMPLES.parent / "bridge" / "assets" / "demo.ogg"
    out = run("flag_file.py", str(clip), str(tmp_path / "flags"), str(tiny_flagger(tmp_path / "tiny.onnx")))
    assert "passages known as fine: 0" in out
    kept, length = (float(out.partition(" s are kept in")[0].split()[i]) for i in (-3, -1))
    assert abs(kept / length - 0.8) < 0.05
    assert {path.suffix for path in (tmp_path / "flags").iterdir()} == {".csv", ".wav"}


def test_batch_folder(tmp_path: Path) -> None:
    clip = EXAMPLES.parent / "bridge" / "assets" / "demo.ogg"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "clip.ogg").symlink_to(clip)
    (tmp_path / "in" / "bad.wav").write_text("no audio")
    chain = str(EXAMPLES / "chains" / "convert.toml")
    for said in ("1 done, 0 done before, 1 failed", "0 done, 1 done before, 1 failed"):
        out = run("batch_folder.py", chain, str(tmp_path / "in"), str(tmp_path / "out"))
        assert said in out
        assert "bad.wav: failed" in out
    assert (tmp_path / "out" / "clip.flac").exists()


def test_host_a_lane(model: str) -> None:
    out = run("host_a_lane.py", model)
    assert "768 samples = 512 of window + 256 of margin" in out
    assert "engine       ready" in out


def test_osc_solo(model: str) -> None:
    clip = EXAMPLES.parent / "bridge" / "assets" / "demo.ogg"
    flags = ["--file", str(clip), "--loop", "--model", model, "--osc-port", "0", "--json"]
    command = [sys.executable, "-m", "bridge.cli", "live", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=EXAMPLES.parent) as live:
        assert live.stdout is not None
        lines = (json.loads(line) for line in live.stdout)
        port = next(x["text"].rpartition(":")[2] for x in lines if (x.get("kind"), x.get("state")) == ("osc", "ready"))
        out = run("osc_solo.py", "drums", port)
        live.terminate()
        live.stdout.read()
    assert live.returncode == 0
    assert [line for line in out.splitlines() if "/done" in line] == [
        "/sidechop/done 1 5.0",
        "/sidechop/done 2",
        "/sidechop/done 3",
    ]
    assert out.count("/sidechop/event/levels") > 10


def test_tell_transport(model: str, tmp_path: Path) -> None:
    clip = EXAMPLES.parent / "bridge" / "assets" / "demo.ogg"
    chops = tiny_curves(tmp_path / "tiny-chops.onnx", "frame-hop")
    flags = ["--file", str(clip), "--loop", "--model", model, "--chops", str(chops), "--osc-port", "0", "--json"]
    command = [sys.executable, "-m", "bridge.cli", "live", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=EXAMPLES.parent) as live:
        assert live.stdout is not None
        lines = (json.loads(line) for line in live.stdout)
        port = next(x["text"].rpartition(":")[2] for x in lines if (x.get("kind"), x.get("state")) == ("osc", "ready"))
        out = run("tell_transport.py", port, "4")
        live.terminate()
        live.stdout.read()
    places = [line.split() for line in out.splitlines()]
    assert len(places) >= 2
    assert all(64 <= float(place[0]) <= 64 + 5 * 2 and place[2] == "beats" for place in places)
