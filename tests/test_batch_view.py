"""What a terminal shows of a run, and the lines it leaves."""

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from batch_audio import noise, write
from rich.console import Console

from bridge.batch.job import Job, Outcome
from bridge.batch.plan import make_plan
from bridge.batch.pool import InFlight
from bridge.batch.run import Run, Standing
from bridge.batch.view import RunView, last_line, text_of, told


class Slow:
    """A dispatcher that takes its time over one file and fails another."""

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        time.sleep(0.5)
        yield Outcome(jobs[0].number, jobs[0].source, "done", duration_s=30.0, notes=["mind the gap"])
        yield Outcome(jobs[1].number, jobs[1].source, "failed", error="stage 2 plugin crashed", stage="2 plugin")

    def in_flight(self) -> list[InFlight]:
        return [InFlight("/music/song [1].wav", 0.4, "2 Reverb")]

    def close(self) -> None: ...


def test_a_terminal_shows_the_whole_and_the_files_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "bridge.batch.view.Console", lambda stderr: Console(stderr=stderr, force_terminal=True, width=100)
    )
    for name in ("a", "b"):
        write(tmp_path / f"{name}.wav", noise(100))
    (tmp_path / "chain.toml").write_text("")
    plan = make_plan(tmp_path / "chain.toml", [str(tmp_path)], str(tmp_path / "out"))
    with RunView() as view:
        run = Run(plan, Slow(), view.report)
        view.follow(run)
        standing = run.work(resume=False)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capfd.readouterr().err)
    for words in ("all", "0 of 2", "song [1].wav", "2 Reverb", "a.wav: mind the gap", "b.wav: stage 2 plugin crashed"):
        assert words in shown
    assert (standing.done, standing.failed) == (1, 1)


def test_lines() -> None:
    standing = Standing(5, 100, done=2, kept=1, failed=1, audio_s=60.0, started=time.monotonic() - 2)
    assert re.fullmatch(r"4 of 5, (30|29)x real time, 0:0[23] left", text_of(standing, 0.45))
    line = last_line(standing, 3)
    assert line.startswith("2 done, 1 done before, 1 failed, 1 not begun, 3 not audio by their names: 60.0 s of audio")
    failed = Outcome(0, "/a.wav", "failed", error="/a.wav: is empty", stage="reading")
    assert told(failed) == "is empty"
    assert told(Outcome(0, "/a.wav", "failed", error="too hot", stage="2 Reverb")) == "stage 2 Reverb: too hot"
