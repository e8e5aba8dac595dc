"""An ONNX model with its card, opened, checked against each other and bound to fixed buffers.

What a run hands to a later one goes round twice as many buffers, so that a run allocates nothing. Networks that take
turns are a session each: under an ``If`` at run time, a hop of theirs would take a tenth longer. One thread without
spinning is right beside audio (a spinning pool steals the core from the callback); files may use more.
"""

import math
import os
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .card import METADATA_KEY, ModelCard, Tensor, side_card
from .errors import CardError, ModelError

_DTYPES: dict[str, Any] = {"float32": np.float32, "int64": np.int64}
_NO_TRANSPOSE_OPTIMIZER = ["TransposeOptimizer", "TransposeOptimizer_CPUExecutionProvider"]
"""It moves live4's transposes past its masks, whose products then run over rows of two numbers instead of 1025: 0.38 ms
a hop instead of 0.20. Nothing is lost where there is little to transpose (FastEnhancer, HTDemucs)."""
_ORT_TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}

onnxruntime.set_default_logger_severity(3)


GPU = "CUDAExecutionProvider"


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open_session(path: Path, threads: int, gpu: bool, lengths: Mapping[str, int] | None = None) -> Any:
    if not path.is_file():
        raise ModelError(f"{path}: no such model file; `sidechop models list` shows what there is")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    for dimension, length in (lengths or {}).items():
        options.add_free_dimension_override_by_name(dimension, length)
    providers = [*filter(GPU.__eq__, onnxruntime.get_available_providers() if gpu else ()), "CPUExecutionProvider"]
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=providers, disabled_optimizers=_NO_TRANSPOSE_OPTIMIZER
        )
    except Exception as error:  # onnxruntime raises a dozen unrelated types
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{path}: not an ONNX model that onnxruntime can open ({reason})") from None


def _card_of(path: Path, session: Any) -> ModelCard:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        side = side_card(path)
        if not side.is_file():
            raise CardError(
                METADATA_KEY, f"{path.name} carries no card; describe it in {side.name} beside it (docs/model-card.md)"
            )
        text = side.read_text(encoding="utf-8")
    return ModelCard.from_json(text)


def _check_tensors(card: ModelCard, session: Any) -> None:
    """Hold every tensor of the card against the file. Raises `CardError` with the field that is untrue."""

    def against(field: str, said: Mapping[str, tuple[tuple[int, ...], str]], infos: list[Any]) -> None:
        there = {info.name: info for info in infos}
        for name, (shape, dtype) in said.items():
            if name not in there:
                raise CardError(field, f"names {name!r}, but the file has {', '.join(sorted(there)) or 'none'}")
            actual = tuple(there[name].shape)
            fits = len(actual) == len(shape) and all(
                not isinstance(a, int) or a == s for a, s in zip(actual, shape, strict=True)
            )
            if not fits:
                raise CardError(f"{field}.{name}.shape", f"is {shape}, but the file has {actual}")
            if card.turn and name == card.turn.name and actual != (name,):
                raise CardError(f"{field}.{name}.turns", f"needs a free dimension {name!r}, but the file has {actual}")
            if _ORT_TYPES.get(there[name].type) != dtype:
                raise CardError(f"{field}.{name}.dtype", f"is {dtype}, but the file has {there[name].type}")
        for name in there:
            if field == "inputs" and name not in said:
                raise CardError(field, f"does not name {name!r}, which the file needs")

    inputs: dict[str, tuple[tuple[int, ...], str]] = {t.name: (t.shape, t.dtype) for t in card.inputs}
    inputs |= {s.input: (s.shape, "float32") for s in card.states}
    outputs: dict[str, tuple[tuple[int, ...], str]] = {t.name: (t.shape, t.dtype) for t in card.outputs}
    outputs |= {s.output: (s.shape, "float32") for s in card.states}
    against("inputs", inputs, session.get_inputs())
    against("outputs", outputs, session.get_outputs())


def read_card(path: Path) -> ModelCard:
    """The card of a model file, checked against the file's tensors. Raises `ModelError`, `CardError`."""
    return OnnxModel.open(path).card


class OnnxModel:
    """A model ready to run. ``inputs`` and ``outputs`` are the buffers of its first tensors, owned by the model."""

    def __init__(self, card: ModelCard, sessions: Sequence[Any]) -> None:
        self.card = card
        self._sessions = sessions
        states = {s.input: s for s in card.states}
        self._buffers: dict[str, NDArray[Any]] = {}
        self._rings: dict[str, list[NDArray[np.float32]]] = {}
        for state in card.states:  # the longest way from output to input is the last
            ring = self._rings.setdefault(state.output, [])
            ring += [np.zeros(state.shape, np.float32) for _ in range(2 * state.turns - len(ring))]
        for tensor in card.inputs:
            if tensor.name not in states:
                buffer = self._buffers[tensor.name] = self._allocate(tensor)
                if tensor.constant is not None:
                    buffer.fill(tensor.constant)
        unbound = {s.output for s in card.states} | set(card.condition.layers if card.condition else ())
        for tensor in card.outputs:
            if tensor.name not in unbound:
                self._buffers[tensor.name] = self._allocate(tensor)
        count = math.lcm(len(sessions), *map(len, self._rings.values()))
        self._bindings = [(sessions[run % len(sessions)], self._bind(run)) for run in range(count)]
        self._runs = 0
        self.input: NDArray[np.float32] = self._buffers[card.inputs[0].name]
        """Write the audio of a run here."""
        self.output: NDArray[np.float32] = self._buffers[card.outputs[0].name]
        """Read the result of a run here."""

    @classmethod
    def open(cls, path: Path | str, threads: int = 1, gpu: bool = False) -> "OnnxModel":
        """Open a model and hold its card against its tensors.

        Args:
            gpu: run what can be run there on the GPU, if this onnxruntime finds one; for files, never live.

        Raises:
            ModelError: the file is missing or not ONNX.
            CardError: the card is missing, malformed or untrue.
        """
        path = Path(path)
        session = _open_session(path, threads, gpu)
        card = _card_of(path, session)
        _check_tensors(card, session)
        if (turn := card.turn) is None:
            return cls(card, [session])
        return cls(card, [_open_session(path, threads, gpu, {turn.name: 1 + i}) for i in range(turn.turns)])

    def twin(self) -> "OnnxModel":
        """Buffers and states of its own over the same weights: one for each channel that a mono network hears."""
        return OnnxModel(self.card, self._sessions)

    @staticmethod
    def _allocate(tensor: Tensor) -> NDArray[Any]:
        return np.zeros(tensor.shape if tensor.turns == 1 else tensor.turns, _DTYPES[tensor.dtype])

    def _bind(self, run: int) -> Any:
        """For every so-manieth run: states come from where an earlier one left them."""
        turn = run % len(self._sessions)
        session = self._sessions[turn]
        binding = session.io_binding()

        def bind(call: Any, name: str, buffer: NDArray[Any]) -> None:
            call(name, "cpu", 0, buffer.dtype.type, buffer.shape, buffer.ctypes.data)

        for info in session.get_inputs():
            if info.name in self._buffers:
                buffer, takes_turns = self._buffers[info.name], self.card.turn and info.name == self.card.turn.name
                bind(binding.bind_input, info.name, buffer[: turn + 1] if takes_turns else buffer)
        mine = [state for state in self.card.states if state.of in (0, turn + 1)]
        for state in mine:
            ring = self._rings[state.output]
            bind(binding.bind_input, state.input, ring[(run - state.turns) % len(ring)])
        for output in {state.output: None for state in mine}:
            ring = self._rings[output]
            bind(binding.bind_output, output, ring[run % len(ring)])
        for info in session.get_outputs():
            if info.name in self._buffers:
                bind(binding.bind_output, info.name, self._buffers[info.name])
        return binding

    def buffer(self, name: str) -> NDArray[Any]:
        """The buffer of any other input or output by name."""
        return self._buffers[name]

    def run(self) -> None:
        """Run once: ``input`` to ``output``, states carried on. Allocates nothing here."""
        session, binding = self._bindings[self._runs]
        session.run_with_iobinding(binding)
        self._runs = (self._runs + 1) % len(self._bindings)

    def run_frames(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a ``frames`` model on any number of frames: ``(T, bands)`` to ``(T, curves)``."""
        card = self.card
        (out,) = self._sessions[0].run([card.outputs[0].name], {card.inputs[0].name: frames[None]})
        curves: NDArray[np.float32] = out[0]
        return curves

    def run_many(self, names: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Run on as many of a ``segments`` model's segments as there are, and only for these outputs."""
        outputs: list[NDArray[np.float32]] = self._sessions[0].run(list(names), dict(inputs))
        return outputs

    def constants(self, names: Sequence[str]) -> list[NDArray[np.float32]]:
        """Outputs that are constants of the graph: no `run` computes or copies them. Not realtime-safe."""
        card = self.card
        nothing = {t.name: np.zeros(t.shape, _DTYPES[t.dtype]) for t in card.inputs}
        nothing |= {s.input: np.zeros(s.shape, np.float32) for s in card.states}
        outputs: list[NDArray[np.float32]] = self._sessions[0].run(list(names), nothing) if names else []
        return outputs

    def metadata(self, key: str) -> str | None:
        """What the file carries beside its card."""
        text: str | None = self._sessions[0].get_modelmeta().custom_metadata_map.get(key)
        return text

    def reset(self) -> None:
        """States back to zeros."""
        for buffer in chain.from_iterable(self._rings.values()):
            buffer.fill(0.0)
        self._runs = 0
