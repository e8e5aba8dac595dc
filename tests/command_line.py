"""The command line in the test's own process: what users type, and what they see of it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.cli import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run ``sidechop`` with these arguments and give its exit code; a line for the user goes to standard error."""
    monkeypatch.setattr(sys, "argv", ["sidechop", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    if isinstance(ended.value.code, str):  # what the interpreter does with it
        print(ended.value.code, file=sys.stderr)
        return 1
    return ended.value.code or 0


class Command:
    """One command with a tiny model, unless another is named, and what it printed."""

    def __init__(
        self, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], model: Path
    ) -> None:
        self._name, self._monkeypatch, self._capfd, self._model = name, monkeypatch, capfd, model

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        chosen = () if "--model" in arguments or "--config" in arguments else ("--model", self._model)
        self._capfd.readouterr()
        code = run(self._monkeypatch, self._name, *arguments, *chosen)
        return code, *self._capfd.readouterr()

    def json(self, *arguments: object) -> dict[str, Any]:
        code, out, error = self(*arguments, "--json")
        assert code == 0, error
        data: dict[str, Any] = json.loads(out)
        return data
