"""Models by name: the shipped ones, the user's own, or any file by its path.

A name is that of the file without ``.onnx``. The user's folder is looked in first, so that one's own ``live4`` may
stand in for ours. The name ``auto`` is ``live4`` in the precision that is faster here: int8 gains only on cores with
integer dot products, so it is measured once and remembered for the machine.
"""

import difflib
import importlib.util
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Literal

from streaming.card import METADATA_KEY, ModelCard, card_text, side_card
from streaming.errors import CardError, ModelError

AUTO = "auto"
AUTO_NAMES = ("live4", "live4-int8")
"""The better of two equally fast first."""
REVIEW_MODEL = "flagger-review"
"""What hears files beside any flagger that has no reviewer of its own."""
JUDGE_MODEL = "flagger-judge"
"""What weighs what flagger, reviewer and detectors say of a file."""
QUERY_NAMES = ("query-studio", "query-live")
"""What separates by words: the better first, and the one that can do it live last."""


@dataclass(frozen=True)
class ModelEntry:
    """A model that can be named. ``card`` is None and ``problem`` says why where a file cannot be used."""

    name: str
    path: Path
    source: Literal["shipped", "user"]
    card: ModelCard | None
    problem: str = ""


def shipped_folder() -> Path:
    """Where the models of this installation lie, found without importing them (or torch)."""
    spec = importlib.util.find_spec("models")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("this installation has no folder of models; install sidechop again")
    return Path(spec.submodule_search_locations[0]) / "pretrained"


def user_folder(kind: Literal["data", "cache"] = "data") -> Path:
    """Sidechop's own folder for this user, as the platform wants it; it may not exist yet."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / ("Caches" if kind == "cache" else "Application Support")
    elif kind == "cache":
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "sidechop"


def models_folder() -> Path:
    """Where ``sidechop models add`` puts models."""
    return user_folder() / "models"


def list_models() -> list[ModelEntry]:
    """Every model that has a name, sorted; the user's own hide shipped ones of the same name."""
    found: dict[str, ModelEntry] = {}
    for source, folder in (("shipped", shipped_folder()), ("user", models_folder())):
        for path in sorted(folder.glob("*.onnx")):
            card, problem = None, ""
            try:
                card = peek_card(path)
            except (ModelError, OSError) as error:
                problem = str(error)
            found[path.stem] = ModelEntry(path.stem, path, "user" if source == "user" else "shipped", card, problem)
    return [found[name] for name in sorted(found)]


def find_model(name_or_path: str | Path = AUTO) -> Path:
    """The file of a model.

    Raises:
        ModelError: no such name or file; names what comes close.
    """
    text = str(name_or_path)
    if text == AUTO:
        return choose_precision()
    path = Path(text).expanduser()
    if path.suffix == ".onnx" or path.parent != Path("."):
        if not path.is_file():
            raise ModelError(f"{path}: no such model file")
        return path
    for folder in (models_folder(), shipped_folder()):
        if (file := folder / f"{text}.onnx").is_file():
            return file
    names = [entry.name for entry in list_models()] + [AUTO]
    close = difflib.get_close_matches(text, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "`sidechop models list` shows what there is"
    raise ModelError(f"no model is named {text!r}; {hint}")


def find_checkpoint(name_or_path: str | Path) -> Path:
    """What a shipped model was exported from, by the model's name, or any checkpoint by its path, to train on from.

    Raises:
        ModelError: no such name; says which there are.
    """
    path = Path(name_or_path).expanduser()
    if path.suffix or path.exists() or path.parent != Path("."):
        return path
    if (file := shipped_folder() / f"{path}.ckpt").is_file():
        return file
    names = ", ".join(sorted(file.stem for file in shipped_folder().glob("*.ckpt")))
    raise ModelError(f"no checkpoint is named {str(path)!r}; give its path, or the name of one that ships ({names})")


def find_query_model(live: bool = False) -> Path:
    """The model that takes queries where none is named: for files the better one. Raises `ModelError`."""
    names = QUERY_NAMES[-1:] if live else QUERY_NAMES
    for name in names:
        try:
            return find_model(name)
        except ModelError:
            continue
    raise ModelError(f"no model here takes queries ({' or '.join(names)}): name one that does with --model")


def peek_card(path: Path) -> ModelCard:
    """A file's card as it is written, without opening the network. Raises `ModelError`, `CardError`."""
    if path.stat().st_size == 0:
        raise ModelError(f"{path}: is empty (0 bytes)")
    with path.open("rb") as file:
        text = card_text(mmap(file.fileno(), 0, access=ACCESS_READ))
    side = side_card(path)
    if text is None and side.is_file():
        text = side.read_text(encoding="utf-8")
    if text is None:
        raise CardError(METADATA_KEY, f"{path.name} carries no card and there is no {side.name} beside it")
    return ModelCard.from_json(text)


def choose_precision() -> Path:
    """``live4`` or ``live4-int8``, whichever runs faster here: measured once (under a second), then remembered."""
    paths = {name: find_model(name) for name in AUTO_NAMES if (shipped_folder() / f"{name}.onnx").is_file()}
    if len(paths) < 2:
        return next(iter(paths.values())) if paths else find_model(AUTO_NAMES[0])
    memory = user_folder("cache") / "choice.json"
    here = f"{_processor()} {[(p.stat().st_size, p.stat().st_mtime_ns) for p in paths.values()]}"
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
        if known["here"] == here and known["name"] in paths:
            return paths[known["name"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing remembered yet, or not by us: measure
    first, second = AUTO_NAMES
    # The second costs a little quality: it has to be faster by more than the noise of a measurement.
    name = second if hop_time_s(paths[second]) < 0.9 * hop_time_s(paths[first]) else first
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        aside = memory.with_suffix(f".{os.getpid()}")
        aside.write_text(json.dumps({"here": here, "name": name}), encoding="utf-8")
        aside.replace(memory)
    except OSError:
        pass  # a home that cannot be written only means measuring again
    return paths[name]


def hop_time_s(path: Path, runs: int = 100) -> float:
    """Median time of one run of a model, one thread."""
    from streaming.session import OnnxModel

    model = OnnxModel.open(path)
    times = []
    for _ in range(20 + runs):
        started = time.perf_counter()
        model.run()
        times.append(time.perf_counter() - started)
    return sorted(times[20:])[runs // 2]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
