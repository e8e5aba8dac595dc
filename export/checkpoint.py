"""State dicts of networks that others trained: read without running any code of theirs, and errors that teach."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from streaming.errors import ModelError

State = dict[str, Tensor]


def read_state(path: Path) -> State:
    """The tensors of a checkpoint by name: a lightning one's ``state_dict``, a plain one, or a safetensors file.

    Raises:
        ModelError: it is not there, no checkpoint, or holds more than data.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(path))
    try:
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises many unrelated types
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "weights_only" in str(error) or "Unsupported global" in str(error):
            raise ModelError(
                f"{path}: holds code beside its weights, which is not run here; where you trust it, save the weights "
                "alone: torch.save(torch.load(FILE, weights_only=False)['state_dict'], NEW)"
            ) from None
        raise ModelError(f"{path}: not a checkpoint that torch can read ({reason})") from None
    if isinstance(held, Mapping) and isinstance(held.get("state_dict"), Mapping):
        held = held["state_dict"]
    state = {str(k): v for k, v in held.items() if isinstance(v, Tensor)} if isinstance(held, Mapping) else {}
    if not state:
        raise ModelError(f"{path}: holds no weights: {type(held).__name__} without named tensors")
    return state


def under(state: State, prefixes: Iterable[str], wanted: str) -> State | None:
    """What lies under the first prefix that has the tensor ``wanted``, prefix taken off; None where none has."""
    for prefix in prefixes:
        if f"{prefix}{wanted}" in state:
            return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return None


def hold_against(path: Path, state: State, expected: Mapping[str, tuple[int, ...]], kind: str) -> None:
    """Raises `ModelError` naming the first weight that is missing or of another shape, and how many are."""
    missing = [name for name in expected if name not in state]
    if missing:
        raise ModelError(
            f"{path}: not {kind}: {len(missing)} of its {len(expected)} weights are missing, the first is {missing[0]}"
        )
    for name, shape in expected.items():
        if tuple(state[name].shape) != shape:
            raise ModelError(f"{path}: not {kind}: {name} is {tuple(state[name].shape)}, expected {shape}")
    for name in expected:
        if state[name].is_floating_point() and not bool(torch.isfinite(state[name]).all()):
            raise ModelError(f"{path}: {name} holds what is no number")


def a_few(state: State) -> str:
    """Some of its names, for a message."""
    names = list(state)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
