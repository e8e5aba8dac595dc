"""Batches over OSC: a real daemon, files through a chain by its name, progress, what fails, cancel."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_audio import RATE, all_files, noise, read, write
from conftest import wait_for
from tiny_models import tiny_live4

from bridge.config import Audio, Config, Osc
from bridge.daemon import Daemon
from bridge.jobs.batch_jobs import files_of
from bridge.osc_client import OscClient
from bridge.osc_packet import write_message
from streaming.errors import RequestError


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("XDG_DATA_HOME", str(folder))
        chains = folder / "sidechop" / "chains"
        chains.mkdir(parents=True)
        (chains / "softer.toml").write_text('about = "Half as loud."\n[[stage]]\ntype = "Gain"\ngain_db = -6.0206\n')
        (chains / "slow.toml").write_text('[[stage]]\ntype = "Reverb"\n' * 12)
        (chains / "broken.toml").write_text("x =")
        yield folder


@pytest.fixture(scope="module")
def daemon(home: Path) -> Iterator[Daemon]:
    write(home / "loop.wav", noise(RATE, 1))
    source = Audio(file=home / "loop.wav", loop=True, block=256, channels=1)
    with Daemon(Config(model=str(tiny_live4(home / "tiny.onnx")), audio=source, osc=Osc(port=0))) as daemon:
        yield daemon


class Client(OscClient):
    """Remembers the items and the progress of the last request."""

    def ask(self, address: str, *values: Any) -> list[Any]:
        self.items: list[list[Any]] = []
        self.progress: list[tuple[float, str]] = []
        report = lambda fraction, text: self.progress.append((fraction, text))  # noqa: E731
        return list(self.request(address, *values, on_progress=report, on_item=lambda i: self.items.append(list(i))))


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with Client(*daemon.server.address, timeout_s=30.0) as client:
        yield client


def test_files_go_through_a_named_chain(client: Client, tmp_path: Path) -> None:
    audio = [noise(3000 + i, seed=i) for i in range(3)]
    files = [str(write(tmp_path / f"item {i} ü.wav", each)) for i, each in enumerate(audio)]
    (tmp_path / "bad.wav").write_text("no audio")
    listed = {chain["name"]: chain for chain in json.loads(client.ask("/sidechop/batch/chains")[0])}
    assert listed["softer"]["about"] == "Half as loud."
    assert listed["broken"]["problem"]
    out = tmp_path / "out"
    counts = client.ask(
        "/sidechop/batch/file", "softer", json.dumps([*files, str(tmp_path / "bad.wav")]), str(out), "{}"
    )
    assert counts == [3, 0, 1]
    by_index = {item[0]: item[1:] for item in client.items}
    assert set(by_index) == {0, 1, 2, 3}
    for i in range(3):
        source, status, output, outputs, text = by_index[i]
        assert (source, status, outputs, text) == (files[i], "done", 1, "")
        np.testing.assert_allclose(read(Path(output)), audio[i] / 2, atol=1e-6)
    assert by_index[3][1] == "failed"
    assert "not audio that can be read" in by_index[3][4]
    assert (0.0, "looking at the files") in client.progress
    names = tmp_path / "list.txt"
    names.write_text("\n".join(["# selected", *files]))
    assert client.ask("/sidechop/batch/file", "softer", f"@{names}", str(out), '{"resume": true}') == [0, 3, 0]


def test_mistakes_are_one_clear_line(client: Client, tmp_path: Path) -> None:
    file = str(write(tmp_path / "a.wav", noise(100)))
    out = str(tmp_path / "out")
    for values, words in (
        (("sofert", json.dumps([file]), out, "{}"), "no chain is named 'sofert'; did you mean softer"),
        (("broken", json.dumps([file]), out, "{}"), "broken.toml: not TOML"),
        (("softer", "a.wav", out, "{}"), "files are not JSON"),
        (("softer", "[]", out, "{}"), r"files are \[\], expected a list"),
        (("softer", "@/nowhere.txt", out, "{}"), "nowhere.txt: cannot be read"),
        (("softer", json.dumps([str(tmp_path / "b.wav")]), out, "{}"), "no such file or folder"),
        (("softer", json.dumps([file]), "", "{}"), "folder is empty"),
        (("softer", json.dumps([file]), out, '{"wrokers": 3}'), "wrokers: Extra inputs"),
        (("softer", json.dumps([file]), str(Path(file) / "x"), "{}"), "cannot be written"),
    ):
        with pytest.raises(RequestError, match=words):
            client.ask("/sidechop/batch/file", *values)
    assert not Path(out).exists()
    for text in ("{}", '"a"', "[1]"):
        with pytest.raises(RequestError, match="expected a list"):
            files_of(text)


def test_a_batch_is_cancelled_and_goes_on_later(daemon: Daemon, client: Client, tmp_path: Path) -> None:
    files = [str(write(tmp_path / f"{i}.wav", noise(20 * RATE, seed=i), subtype="PCM_16")) for i in range(3)]
    out = tmp_path / "out"
    arguments = ("slow", json.dumps(files), str(out), '{"workers": 1, "resume": true}')
    client.send(write_message("/sidechop/batch/file", arguments, id=77))
    wait_for(lambda: list(out.glob(".sidechop-batch/work/*")), 240.0)
    client.send(write_message("/sidechop/cancel", (77,), id=78))
    wait_for(lambda: not (out / ".sidechop-batch").exists(), 240.0)
    left = all_files(out)
    assert set(left) < {"0.wav", "1.wav", "2.wav"}
    with Client(*daemon.server.address, timeout_s=60.0) as again:
        done, kept, failed = again.ask("/sidechop/batch/file", *arguments)
    assert (done, kept, failed) == (3 - len(left), len(left), 0)
    assert left.items() <= all_files(out).items()
