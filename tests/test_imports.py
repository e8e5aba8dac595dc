"""The import rules of the house, read from the source, and seen in a fresh interpreter."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"streaming", "bridge", "models", "export"}
ALLOWED = {
    "streaming": {"streaming", "numpy", "onnxruntime"},
    "models": {"models", "streaming"},
    "export": {"export", "models", "streaming"},
    "bridge": {"bridge", "streaming"},
}
LAZY = {"command_train.py", "command_evaluate.py", "command_export.py", "command_import.py"}
"""Where bridge may reach models and export, inside functions."""


def imports(tree: ast.AST, package: str) -> Iterator[tuple[str, bool]]:
    """Top-level names that a module imports, each with whether a function holds the import."""
    held = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name.split(".")[0], id(node) in held
        elif isinstance(node, ast.ImportFrom):
            yield package if node.level else (node.module or "").split(".")[0], id(node) in held


def sources() -> list[Path]:
    return sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_house(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    for name, held in imports(ast.parse(path.read_text()), package):
        if package == "streaming" and name not in sys.stdlib_module_names:
            assert name in ALLOWED["streaming"]
        if name in OURS and name not in ALLOWED[package]:
            assert path.name in LAZY, f"{path.name} may not import {name}"
            assert held, f"{path.name} may import {name} only inside a function"
        assert not (package == "bridge" and name in {"torch", "librosa"})


def test_packages_are_listed_and_no_module_is_a_drawer() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {str(p.parent.relative_to(ROOT)).replace("/", ".") for name in OURS for p in (ROOT / name).rglob("*.py")}
    assert set(listed) == there
    assert not {p.name for p in sources()} & {"utils.py", "helpers.py", "common.py", "misc.py"}
    # Live takes a folder for a script only where it is a package; the rest is none of ours to import.
    live = ROOT / "ableton_scripts" / "Sidechop" / "__init__.py"
    for scripts in ("reaper_scripts", "ableton_scripts"):
        assert set((ROOT / scripts).rglob("__init__.py")) <= {live}


def test_starting_loads_nothing_heavy() -> None:
    """The daemon's modules and the engine's, in a fresh interpreter."""
    script = "import sys, bridge.cli, bridge.daemon, bridge.audio_process, streaming.process; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert not loaded & {"torch", "librosa", "scipy", "matplotlib", "lightning", "onnx", "models", "export"}
