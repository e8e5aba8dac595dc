"""The model contract: what an ONNX file says of itself.

The card is JSON under the key ``sidechop`` in the file's ``metadata_props``, or, for a file that we did not make,
in a side file ``NAME.card.json`` beside ``NAME.onnx``. Training, export, engine and commands all read this one card.

Eight kinds of network are hosted:

=============  ==================================================================================================
``stft-hop``   one STFT frame in, one frame per stem out, states explicit: our own live models
``wave-hop``   one hop of samples in, one hop (per stem) out, states explicit: RNNoise and its like
``clip``       a whole clip of fixed length in, its stems out: the Demucs kind
``stft-clip``  a fixed number of STFT frames in, masked frames of one stem out: the MDX kind
``frames``     feature frames in, as many as there are, curves over time out: what marks chops and flags in files
``frame-hop``  one feature frame in, one point of each curve out, states explicit: the same, live
``segments``   segments of frames in, an embedding and class likelihoods of each out, live and for files: flags
``text``       the tokens of a sentence in, its embedding out: what a query model is told
=============  ==================================================================================================
"""

import hashlib
import json
import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass, replace
from itertools import pairwise
from mmap import mmap
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .errors import CardError, ModelError
from .features import Features
from .windows import Windows

METADATA_KEY = "sidechop"
TOKENIZER_KEY = "sidechop.tokenizer"
"""The tokenizer of a ``text`` model: a tokenizer.json as the library `tokenizers` reads it."""
CARD_VERSION = 1
TURNS_MAX = 8
_METADATA_PROPS = 14
"""Field number in onnx.proto3."""
_FILE_NAME = re.compile(r"\w[\w .+'&()-]*")

Kind = Literal["stft-hop", "wave-hop", "clip", "stft-clip", "frames", "frame-hop", "segments", "text"]

GOOD = "clean"
"""The first class of a ``segments`` model: nothing wrong."""


@dataclass(frozen=True)
class Tensor:
    """An input or output. An input with ``constant`` set is always fed that number (a sample rate, a switch).

    With ``turns`` the numbers of an input are nothing and its length is all: its one dimension, free and of its name,
    is 1 in the first run, 2 in the next, and so on to ``turns``. Networks that take turns then lie in one file, under
    an ``If``, and runtimes that are told the length beforehand open it as so many plain graphs.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Literal["float32", "int64"] = "float32"
    constant: float | None = None
    turns: int = 1


@dataclass(frozen=True)
class State:
    """What a hop hands to the next: the tensor ``output`` of one run is ``input`` of the next, zeros at first.

    With ``turns`` it is that of the run so many later: so many sequences take turns, each with a state of its own. Two
    states may have one output, read after so many runs and after so many.

    Attributes:
        of: where networks take turns (`Tensor`), the turn of the only one that has this state; 0 if all have it.
    """

    input: str
    output: str
    shape: tuple[int, ...]
    turns: int = 1
    of: int = 0


@dataclass(frozen=True)
class Source:
    """Audio that the weights learned from."""

    name: str
    licence: str
    credit: str
    hours: float | None = None


@dataclass(frozen=True)
class Metric:
    """A figure, what it was measured on, a baseline beside it and the command that prints it."""

    name: str
    value: float
    unit: str
    data: str
    command: str
    baseline: float | None = None
    baseline_name: str | None = None


@dataclass(frozen=True)
class Condition:
    """What tells a ``query`` model what to give.

    Attributes:
        input: the tensor that takes it, ``(rows, width)``: as many queries as a run can be asked at once, each a row.
            An ``stft-hop`` model answers them as so many outputs; a clip is asked one.
        embedding: how many numbers the text encoder gives.
        layers: outputs that are constants of the graph: the small network from the embedding to the input, as weight
            ``(in, out)`` and bias ``(out,)`` of each layer in turn, a ReLU between layers. Without any, the input takes
            the embedding itself.
    """

    input: str
    embedding: int
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelCard:
    """Everything the engine and the user need to know of a model.

    Attributes:
        sample_rates: session rates (Hz) that it runs at without resampling, the trained one first. The engine also
            runs an ``stft-hop`` model at twice each, on the lower half of the spectrum.
        analysis_samples: N of `Windows` for ``stft-hop``; the FFT length of a clip's spectra; else None.
        hop_samples: new samples a run consumes at the first of ``sample_rates`` (a clip's hop is what one run
            advances by: segment less overlap).
        latency_samples: delay of the stream, the gathering of a hop included.
        stems: names of what the output holds, in order.
        residual: name of what is left of the mix when the stems are taken away, or None for no such output.
        segment_samples: length of a clip; None for hop models.
        frame_hop_samples: from one frame of a clip's spectra to the next; None where a clip has none.
        spectrum_scale: what those spectra are multiplied by, 1 for torch.stft's plain sums.
        features: what the frames of ``frames``, ``frame-hop`` and ``segments`` hold.
        curves: what those models give over time, each from 0 to 1, in order.
        context_frames: how many frames after a moment (``frames``: before it, too) its curves hang on.
        classes: what a segment can be, `GOOD` first.
        step_frames: frames from one segment to the next.
        scales: how many segments are heard as one, 1 first: a beat, a bar, a phrase.
        condition: what tells a ``query`` model what to give.
        text_encoder: name of the ``text`` model whose embeddings the condition is made of.
        tokenizer_sha256: of the tokenizer that a ``text`` model carries beside its card (`TOKENIZER_KEY`).
        sha256: of the file's bytes without its metadata (`digest`).
    """

    name: str
    version: str
    task: Literal["separation", "enhancement", "query", "text", "flags", "chops", "edits", "other"]
    kind: Kind
    description: str
    licence: str
    sample_rates: tuple[int, ...]
    channels: int
    hop_samples: int
    latency_samples: int
    stems: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    states: tuple[State, ...] = ()
    residual: str | None = None
    analysis_samples: int | None = None
    segment_samples: int | None = None
    frame_hop_samples: int | None = None
    spectrum_scale: float = 1.0
    precision: Literal["fp32", "int8"] = "fp32"
    features: Features | None = None
    curves: tuple[str, ...] = ()
    context_frames: int = 0
    classes: tuple[str, ...] = ()
    step_frames: int = 0
    scales: tuple[int, ...] = ()
    condition: Condition | None = None
    text_encoder: str | None = None
    tokenizer_sha256: str | None = None
    training: tuple[Source, ...] = ()
    metrics: tuple[Metric, ...] = ()
    sha256: str | None = None
    card_version: int = CARD_VERSION

    @property
    def windows(self) -> Windows:
        """The STFT windows of an ``stft-hop`` model."""
        if self.analysis_samples is None:
            raise CardError("analysis_samples", f"missing, and a {self.kind} model needs it")
        try:
            return Windows(self.analysis_samples, self.hop_samples)
        except ValueError as error:
            raise CardError("analysis_samples", str(error)) from None

    @property
    def turn(self) -> Tensor | None:
        """The input whose length says whose turn it is."""
        return next((tensor for tensor in self.inputs if tensor.turns > 1), None)

    @property
    def outputs_heard(self) -> tuple[str, ...]:
        """The stems with the residual last, as users see them."""
        return (*self.stems, self.residual) if self.residual else self.stems

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "ModelCard":
        """Parse and check a card.

        Raises:
            CardError: naming the field that is missing, unknown, of the wrong type or contradictory.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise CardError("json", f"not readable as JSON ({error})") from None
        card: ModelCard = _build(cls, data, "")
        card.check()
        return card

    def check(self) -> None:
        """Check what types cannot say. Raises `CardError`."""

        def require(ok: bool, field: str, problem: str) -> None:
            if not ok:
                raise CardError(field, problem)

        require(self.card_version == CARD_VERSION, "card_version", f"is {self.card_version}, expected {CARD_VERSION}")
        for field, names in (("name", (self.name,)), ("stems", self.stems), ("residual", (self.residual or "rest",))):
            for name in names:  # they become files
                fit = _FILE_NAME.fullmatch(name) is not None
                require(fit, field, f"{name!r} is not fit for a file: letters, digits, spaces and - _ + . ' & ( )")
        text = self.kind == "text"
        require(bool(self.sample_rates) != text, "sample_rates", "must name at least one rate; for text, none")
        require(all(1000 <= r <= 384000 for r in self.sample_rates), "sample_rates", "must be in hertz, 1000 to 384000")
        require(self.channels in (1, 2), "channels", f"is {self.channels}, expected 1 or 2")
        require((self.hop_samples > 0) != text, "hop_samples", "must be positive; for text, 0")
        require(self.latency_samples >= 0, "latency_samples", "must not be negative")
        require(bool(self.inputs), "inputs", "must name the tensor that takes the audio first")
        require(bool(self.outputs), "outputs", "must name the tensor that gives the audio first")
        for field, tensors in (("inputs", self.inputs), ("outputs", self.outputs)):
            for i, tensor in enumerate(tensors):
                require(all(d > 0 for d in tensor.shape), f"{field}[{i}].shape", f"{tensor.shape} is not all positive")
                turns, fits = tensor.turns, tensor.turns == 1 or (field == "inputs" and i > 0 and tensor.shape == (1,))
                require(1 <= turns <= TURNS_MAX, f"{field}[{i}].turns", f"is {turns}, expected 1 to {TURNS_MAX}")
                require(fits, f"{field}[{i}].turns", "is for an input of shape (1,) that is not the first")
        require(sum(tensor.turns > 1 for tensor in self.inputs) < 2, "inputs", "name two that say whose turn it is")
        require(self.inputs[0].constant is None, "inputs[0].constant", "is set, but the first input takes the audio")
        first = self.inputs[0].name, self.outputs[0].name
        shapes = {tensor.name: tensor.shape for tensor in (*self.inputs, *self.outputs)}
        for i, state in enumerate(self.states):
            audio = state.input == first[0] or state.output == first[1]
            require(not audio, f"states[{i}]", f"names {first[0]!r} or {first[1]!r}, which carry the audio")
            require(1 <= state.turns <= TURNS_MAX, f"states[{i}].turns", f"is {state.turns}, expected 1 to {TURNS_MAX}")
            most = self.turn.turns if self.turn else 0
            require(0 <= state.of <= most, f"states[{i}].of", f"is {state.of}, but so many networks take turns: {most}")
            for name in (state.input, state.output):
                shape = shapes.get(name, state.shape)
                require(shape == state.shape, f"states[{i}].shape", f"is {state.shape}, but {name!r} is {shape}")
        given: dict[str, State] = {}
        for i, state in enumerate(self.states):
            other = given.setdefault(state.output, state)
            alike = (other.shape, other.of) == (state.shape, state.of)
            require(
                alike, f"states[{i}].output", f"is {state.output!r}, and so is another's of another shape or network"
            )
        carried = {state.input for state in self.states}
        for i, tensor in enumerate(self.inputs[1:], 1):
            told = self.condition is not None and tensor.name == self.condition.input
            fed = tensor.name in carried or tensor.constant is not None or tensor.turns > 1 or told
            free = self.takes_clips or self.task not in ("separation", "enhancement", "query")
            require(fed or free, f"inputs[{i}]", f"{tensor.name!r} is neither a state nor a constant: what feeds it?")
        names = self.outputs_heard
        require(
            bool(self.stems) or self.task not in ("separation", "enhancement", "query"),
            "stems",
            "must name what comes out",
        )
        require(len(set(names)) == len(names), "stems", f"{names} names one twice")
        if self.kind == "stft-hop":
            windows = self.windows
            spectrum = (1, self.channels, windows.bins, 2)
            require(self.inputs[0].shape == spectrum, "inputs[0].shape", f"is {self.inputs[0].shape}, not {spectrum}")
            if self.stems:
                stems = (1, self.asked_at_once or len(self.stems), self.channels, windows.bins, 2)
                shape = self.outputs[0].shape
                require(shape == stems, "outputs[0].shape", f"is {shape}, not {stems}")
            require(
                self.latency_samples == windows.latency_samples,
                "latency_samples",
                f"is {self.latency_samples}, but these windows delay by {windows.latency_samples}",
            )
        if self.kind in ("frames", "frame-hop"):
            self._check_frames(require)
        if self.kind == "segments":
            self._check_segments(require)
        if self.kind == "text":
            self._check_text(require)
        if self.task == "query" or self.condition is not None:
            self._check_condition(require)
        if self.takes_clips:
            length = self.segment_samples
            require(length is not None and length >= self.hop_samples, "segment_samples", "must be at least the hop")

    def _check_text(self, require: Callable[[bool, str, str], None]) -> None:
        fits = len(self.inputs) == 2 and all(t.dtype == "int64" and t.shape[:1] == (1,) for t in self.inputs)
        require(fits, "inputs", "must be token ids and mask, int64 of shape (1, most tokens)")
        require(self.inputs[0].shape == self.inputs[1].shape, "inputs[1].shape", "must be that of the ids")
        width = self.outputs[0].shape
        require(len(width) == 2 and width[0] == 1, "outputs[0].shape", f"is {width}, not (1, width of an embedding)")
        require(self.tokenizer_sha256 is not None, "tokenizer_sha256", "missing, and a text model needs its tokenizer")

    @property
    def takes_clips(self) -> bool:
        """Whether a run takes a whole clip: for files."""
        return self.kind in ("clip", "stft-clip")

    @property
    def asked_at_once(self) -> int:
        """Queries that a run answers: rows of the condition, 0 without one."""
        name = self.condition.input if self.condition else None
        return next((tensor.shape[0] for tensor in self.inputs if tensor.name == name), 0)

    def _check_condition(self, require: Callable[[bool, str, str], None]) -> None:
        condition = self.condition
        if condition is None:
            raise CardError("condition", "missing, and a query model needs it")
        require(self.task == "query", "condition", f"is for query models, not for {self.task}")
        require(len(self.stems) == 1, "stems", f"are {len(self.stems)}; a query model gives what was asked for, one")
        require(self.residual is not None, "residual", "missing: what is left of the mix needs a name")
        require(self.text_encoder is not None, "text_encoder", "missing: whose embeddings is the model told?")
        require(condition.embedding > 0, "condition.embedding", "must be positive")
        shapes = {tensor.name: tensor.shape for tensor in self.inputs}
        width = shapes.get(condition.input, ())
        fits = condition.input != self.inputs[0].name and len(width) == 2
        require(fits, "condition.input", f"is {condition.input!r}, not an input of shape (rows, width)")
        given = {tensor.name: tensor.shape for tensor in self.outputs}
        require(len(condition.layers) % 2 == 0, "condition.layers", "must be weight and bias in turn")
        if self.kind == "stft-clip":
            own = self.sample_rates[0]
            lengths = (self.segment_samples or 0, self.hop_samples)
            fits = all(rate >= own and not any(n * rate % own for n in lengths) for rate in self.sample_rates)
            require(fits, "sample_rates", f"must be at least {own} and make whole numbers of {lengths} samples")
        before: int = condition.embedding
        for i, name in enumerate(condition.layers):
            shape = given.get(name, ())
            if i % 2 == 0:
                fits = len(shape) == 2 and shape[0] == before
                require(fits, f"condition.layers[{i}]", f"{name!r} of {shape} does not take {before} numbers")
                before = shape[1]
            else:
                require(shape == (before,), f"condition.layers[{i}]", f"{name!r} of {shape} is not ({before},)")
        require(before == width[1], "condition", f"gives {before} numbers, but {condition.input!r} takes {width[1]}")

    def _check_features(self, require: Callable[[bool, str, str], None]) -> Features:
        features = self.features
        if features is None:
            raise CardError("features", f"missing, and a {self.kind} model needs it")
        positive = min(features.rate, features.hop_samples, features.window_samples, features.bands) > 0
        require(positive, "features", "rate, hop_samples, window_samples and bands must be positive")
        require(0 < features.low_hz < features.high_hz, "features.low_hz", "must lie between 0 and high_hz")
        fits = features.window_samples >= features.hop_samples
        require(fits, "features.window_samples", "must be at least the hop")
        require(self.hop_samples == features.hop_samples, "hop_samples", "must be that of the features")
        return features

    def _check_frames(self, require: Callable[[bool, str, str], None]) -> None:
        features = self._check_features(require)
        require(bool(self.curves), "curves", "must name what the model gives over time")
        require(self.context_frames >= 0, "context_frames", "must not be negative")
        if self.kind == "frame-hop":
            late = features.delay_at(features.rate) + self.context_frames * features.hop_samples
            says = f"is {self.latency_samples}, but half a window and {self.context_frames} frames are {late}"
            require(self.latency_samples == late, "latency_samples", says)
        for field, tensor, width in (
            ("inputs", self.inputs[0], features.bands),
            ("outputs", self.outputs[0], len(self.curves)),
        ):
            expected = (1, 1, width)
            require(tensor.shape == expected, f"{field}[0].shape", f"is {tensor.shape}, not {expected}")

    def _check_segments(self, require: Callable[[bool, str, str], None]) -> None:
        bands = self._check_features(require).bands
        good = len(self.classes) > 1 and self.classes[0] == GOOD and len(set(self.classes)) == len(self.classes)
        require(good, "classes", f"must be {GOOD!r} and then what else a segment can be, each once")
        require(self.step_frames > 0, "step_frames", "must be positive")
        rising = self.scales[:1] == (1,) and all(a < b for a, b in pairwise(self.scales))
        require(rising, "scales", "must begin with 1 and rise")
        require(len(self.inputs) == 2, "inputs", "must be the segments and what was heard before them")
        require(len(self.outputs) == 5, "outputs", "must be embedding, classes, memory, weights and calibration")
        frames, width = self.inputs[0].shape[1:2], self.outputs[0].shape[-1]
        whole = bool(frames) and frames[0] % self.step_frames == 0
        require(whole, "inputs[0].shape", f"is {self.inputs[0].shape}, not a whole number of steps")
        late = self.features.delay_at(self.features.rate) if self.features else 0
        late += frames[0] // 2 * self.hop_samples
        says = f"is {self.latency_samples}, but half a window and half a segment are {late}"
        require(self.latency_samples == late, "latency_samples", says)
        scales = len(self.scales)
        remembered, calibrated = self.outputs[2].shape[1:2], self.outputs[4].shape[1:2]
        for field, tensor, expected in (
            ("inputs[0]", self.inputs[0], (1, *frames, bands)),
            ("inputs[1]", self.inputs[1], (1, 2, bands)),
            ("outputs[0]", self.outputs[0], (1, width)),
            ("outputs[1]", self.outputs[1], (1, len(self.classes))),
            ("outputs[2]", self.outputs[2], (scales, *remembered, width)),
            ("outputs[3]", self.outputs[3], (2, 3 * scales + 2)),
            ("outputs[4]", self.outputs[4], (2, *calibrated)),
        ):
            require(tensor.shape == expected, f"{field}.shape", f"is {tensor.shape}, not {expected}")

    def with_digest(self, model: bytes) -> "ModelCard":
        """The same card with ``sha256`` set for these file bytes."""
        return replace(self, sha256=digest(model))


def _build(kind: Any, data: Any, path: str) -> Any:
    """Build ``kind`` from plain JSON data, or raise a `CardError` that names ``path``."""
    origin = get_origin(kind)
    if origin is Literal:
        if data not in get_args(kind):
            raise CardError(path, f"is {data!r}, expected one of {', '.join(map(str, get_args(kind)))}")
        return data
    if origin in (types.UnionType, Union):
        inner = next(a for a in get_args(kind) if a is not type(None))
        return None if data is None else _build(inner, data, path)
    if origin is tuple:
        if not isinstance(data, list | tuple):
            raise CardError(path, f"is {data!r}, expected a list")
        return tuple(_build(get_args(kind)[0], item, f"{path}[{i}]") for i, item in enumerate(data))
    if is_dataclass(kind):
        if not isinstance(data, Mapping):
            raise CardError(path or "json", f"is {type(data).__name__}, expected an object")
        known = {f.name: f for f in fields(kind)}
        hints = get_type_hints(kind)
        where = f"{path}." if path else ""
        for key in data:
            if key not in known:
                raise CardError(f"{where}{key}", f"unknown; a card of version {CARD_VERSION} has {', '.join(known)}")
        for name, field in known.items():
            if name not in data and field.default is MISSING:
                raise CardError(f"{where}{name}", "missing")
        build: Any = kind
        return build(**{k: _build(hints[k], v, f"{where}{k}") for k, v in data.items()})
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind) or isinstance(data, bool):
        raise CardError(path, f"is {data!r}, expected {kind.__name__}")
    return data


def digest(model: bytes | mmap) -> str:
    """SHA-256 of a serialised ONNX ``ModelProto`` without its ``metadata_props``, so that a file can carry its own.

    Raises:
        ModelError: when the bytes are not a protobuf message.
    """
    sha = hashlib.sha256()
    for number, field, _ in _protobuf(memoryview(model)):
        if number != _METADATA_PROPS:
            sha.update(field)
    return sha.hexdigest()


def card_text(model: bytes | mmap) -> str | None:
    """The card that a serialised ``ModelProto`` carries, or None: read without opening the network.

    Raises:
        ModelError: when the bytes are not a protobuf message.
    """
    for number, _, entry in _protobuf(memoryview(model)):
        if number == _METADATA_PROPS:
            pair = {n: bytes(value) for n, _, value in _protobuf(entry)}
            if pair.get(1) == METADATA_KEY.encode():
                return pair.get(2, b"").decode("utf-8", errors="replace")
    return None


def _protobuf(view: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """The top-level fields of a protobuf message: number, all its bytes, its payload. Raises `ModelError`."""
    at = 0
    try:
        while at < len(view):
            start = at
            key, at = _varint(view, at)
            payload = at
            wire = key & 7
            if wire == 0:
                _, at = _varint(view, at)
            elif wire == 2:
                size, payload = _varint(view, at)
                at = payload + size
            elif wire in (1, 5):
                at += 8 if wire == 1 else 4
            else:
                raise ValueError(f"wire type {wire}")
            if at > len(view):
                raise ValueError("cut short")
            yield key >> 3, view[start:at], view[payload:at]
    except (ValueError, IndexError) as error:
        raise ModelError(f"not an ONNX file, or cut short ({error})") from None


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def side_card(model: Path) -> Path:
    """Where the card of a foreign model lies: ``NAME.card.json`` beside ``NAME.onnx``."""
    return model.with_suffix(".card.json")
