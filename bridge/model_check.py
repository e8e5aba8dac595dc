"""Does a model do what its card says? Each step looks at one thing and fails with the field that is untrue.

The latency is measured, not believed: noise and a gliding vowel go through the network, and the lag at which what comes
out is most like what went in has to be the card's.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.card import ModelCard, digest
from streaming.curves import CurveNetwork, CurveStream
from streaming.engine import Engine
from streaming.errors import CardError, ModelError
from streaming.features import open_features
from streaming.queries import Queries
from streaming.segments import SegmentNetwork
from streaming.session import OnnxModel

from .latency import lag_of
from .text_encoder import TextEncoder, encoder_of

Audio = NDArray[np.float32]

QUANTISED = (b"MatMulInteger", b"DynamicQuantizeLinear", b"DequantizeLinear", b"QLinear")
"""Operators one of which any int8 file has."""
NOISE_ALIKE, VOWEL_ALIKE = 0.1, 0.9
"""Correlation above which a lag counts as measured: noise is like itself at one lag only, a vowel at many."""

CURVES_CHECK_S = 4.0
QUERY = "a voice"
"""What a query model is asked for: one of the sounds that go in is like one."""
SENTENCES = ("a dog barking", "low and high", "rain", QUERY)
UNIT_ALIKE = 1e-3
SUM_ALIKE = 1e-4
CURVES_ALIKE = 1e-6
"""Curves nearer than this are the same: sums in another order differ by less."""


class Finding(NamedTuple):
    """One thing that was looked at and found right."""

    what: str
    found: str


def check_model(path: Path) -> Iterator[Finding]:
    """Yield each finding as soon as it is made.

    Raises:
        ModelError: not a model, or one that does not run.
        CardError: the card is missing, malformed or untrue; ``field`` names what.
    """
    model = OnnxModel.open(path, threads=2)
    card = model.card
    yield Finding("card", f"{card.name} {card.version}, {card.task}, {card.kind}, {card.licence}")
    names = {t.name for t in (*card.inputs, *card.outputs)} | {n for s in card.states for n in (s.input, s.output)}
    yield Finding("tensors", f"{len(names)} as the card says, {2 * len(card.states)} of them for states")
    yield _check_bytes(path, card)
    if card.curves:
        yield from _check_curves(model)
        return
    if card.kind == "segments":
        yield from _check_segments(model)
        return
    if card.kind == "text":
        yield _check_text(path)
        return
    if not card.stems:
        yield Finding("sound", f"not tried: a model for {card.task} gives no stems")
        return
    queries = Queries(card.stems)
    if card.condition:
        queries.ask(0, encoder_of(card).embed(QUERY))
        yield Finding("query", f"{QUERY!r}, read by {card.text_encoder}")
    engine = Engine(model, queries=queries)
    rate = card.sample_rates[0]
    engine.prepare(rate, 4096, card.channels)
    if engine.latency_samples != card.latency_samples:
        raise CardError(
            "latency_samples", f"is {card.latency_samples}, but the stream lags by {engine.latency_samples}"
        )
    yield from _check_sound(engine, card, rate)


def _check_text(path: Path) -> Finding:
    """Embeddings are of unit length, and words bring sentences together."""
    encoder = TextEncoder(path)
    embeddings = np.stack([encoder.embed(sentence) for sentence in SENTENCES])
    if not np.isfinite(embeddings).all() or np.abs(np.linalg.norm(embeddings, axis=1) - 1).max() > UNIT_ALIKE:
        raise ModelError(f"{encoder.card.name}: gives embeddings that are not of unit length; the file is broken")
    return Finding("text", f"{len(SENTENCES)} sentences to {encoder.width} numbers each, of unit length")


def _check_bytes(path: Path, card: ModelCard) -> Finding:
    content = path.read_bytes()
    actual = digest(content)
    if card.sha256 is not None and card.sha256 != actual:
        raise CardError("sha256", f"is {card.sha256[:12]}…, but the file's is {actual}: another or a changed file")
    int8 = any(name in content for name in QUANTISED)
    if int8 != (card.precision == "int8"):
        has = "has" if int8 else "has no"
        raise CardError("precision", f"is {card.precision}, but the file {has} quantised operators")
    said = "as the card says" if card.sha256 else "the card does not say; add it to notice a changed file"
    return Finding("sha256", f"{actual} ({said}), {card.precision}")


def _check_sound(engine: Engine, card: ModelCard, rate: int) -> Iterator[Finding]:
    length = max(rate, card.segment_samples or 4 * card.latency_samples)
    measured = None
    for audio, least in ((noise(length), NOISE_ALIKE), (vowel(rate, length), VOWEL_ALIKE)):
        heard = np.repeat(audio[None], card.channels, axis=0)
        stems = _separate(engine, heard)
        if not np.isfinite(stems).all():
            raise ModelError(f"{card.name}: gives samples that are not numbers; the file or its states are broken")
        given = stems[: len(card.stems), 0]  # without the residual, which is late by what the card says
        lag, alike = max((lag_of(late, audio) for late in (given.sum(axis=0), *given)), key=lambda found: found[1])
        if measured is None and alike >= least:
            measured = lag
    yield Finding("sound", f"{', '.join(engine.outputs)}: finite over {2 * length / rate:.1f} s")
    if measured is None:
        yield Finding("latency", f"{card.latency_samples} samples by the card; too little comes back to measure it")
        return
    if measured != card.latency_samples:
        raise CardError("latency_samples", f"is {card.latency_samples}, but sound comes out {measured} samples late")
    yield Finding("latency", f"{measured} samples, measured: {1000 * measured / rate:.1f} ms at {rate} Hz")


def _check_curves(model: OnnxModel) -> Iterator[Finding]:
    """Frames of a vowel and of noise go in, or numbers where a model hears no sound; what comes out is a likelihood,
    and hangs on no frame but those it says."""
    card = model.card
    stream = CurveStream(model) if card.kind == "frame-hop" else None
    features = stream.features if stream else CurveNetwork(model).features
    rate, seconds = features.rate, CURVES_CHECK_S + 4 * card.context_frames / features.frame_rate
    length = int(seconds * rate)
    if features.kind == "knowledge":
        rows = round(seconds * features.frame_rate)
        frames = np.random.default_rng(0).random((rows, features.bands), np.float32)
    else:
        source = open_features(features, rate)
        sound = np.concatenate([vowel(rate, length // 2), noise(length // 2)])
        frames = np.concatenate([source.process(sound), source.flush()])

    def run(frames: NDArray[np.float32]) -> NDArray[np.float32]:
        if stream is None:
            return model.run_frames(frames)
        stream.reset()
        return np.stack([stream.push(frame).copy() for frame in frames])

    curves = run(frames)
    if not np.isfinite(curves).all() or curves.min() < 0 or curves.max() > 1:
        raise ModelError(
            f"{card.name}: gives curves that are not numbers from 0 to 1; the file or its states are broken"
        )
    yield Finding("curves", f"{', '.join(card.curves)}: from 0 to 1 over {seconds:.1f} s")
    middle = len(frames) // 2
    other = frames.copy()
    other[middle] = 0
    moved = np.flatnonzero(np.abs(run(other) - curves).max(axis=1) > CURVES_ALIKE) - middle
    reach = max(0, -int(moved.min(initial=0)), int(moved.max(initial=0)) if stream is None else 0)
    allowed = 0 if stream else card.context_frames
    if reach > allowed:
        raise CardError("context_frames", f"is {card.context_frames}, but a frame is heard {reach} frames away from it")
    yield Finding("context", f"{card.context_frames} frames by the card; one changed frame is heard {reach} away")


def _check_segments(model: OnnxModel) -> Iterator[Finding]:
    """A vowel and noise go in; likelihoods sum to one, and what the file brings along is fit for use."""
    card, network = model.card, SegmentNetwork(model)
    rate = network.features.rate
    source = open_features(network.features, rate)
    frames = source.process(np.concatenate([vowel(rate, 4 * rate), noise(2 * rate)]))
    embeddings, likely = network.run(network.segmenter().process(frames))
    if not np.isfinite(embeddings).all() or np.abs(likely.sum(axis=1) - 1).max() > SUM_ALIKE or likely.min() < 0:
        raise ModelError(f"{card.name}: gives no likelihoods that sum to one; the file is broken")
    yield Finding("classes", f"{', '.join(card.classes)}: sum to one over {len(likely)} segments")
    for name in ("memory", "weights", "calibration"):
        if not np.isfinite(getattr(network, name)).all():
            raise ModelError(f"{card.name}: its {name} holds what is no number")
    if not network.weights.any():
        raise ModelError(f"{card.name}: was never taught what is good; `sidechop train flagger` does")
    if (np.diff(network.calibration, axis=1) < 0).any():
        raise ModelError(f"{card.name}: its calibration is not sorted")
    count = network.calibration.shape[1]
    yield Finding("memory", f"{network.memory.shape[1]} passages a scale; p-values down to {1 / (count + 1):.2g}")


def _separate(engine: Engine, audio: Audio) -> Audio:
    """Every output for ``audio (channels, n)``, as late as it comes: ``(outputs, channels, n + latency)``."""
    engine.reset()
    pieces = [engine.process(audio[:, i : i + 4096])[1].copy() for i in range(0, audio.shape[1], 4096)]
    stems: Audio = np.concatenate([*pieces, engine.flush()[1]], axis=2)
    return stems


def vowel(rate: int, samples: int) -> Audio:
    """Something voice-like that never repeats: harmonics of a gliding pitch under one formant, peak about 0.5."""
    seconds = np.arange(samples) / rate
    pitch = 140 + 40 * np.sin(2 * np.pi * 0.7 * seconds)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    harmonics = [np.sin(k * phase + k) / k * np.exp(-(((140 * k - 700) / 600) ** 2)) for k in range(1, 25)]
    audio: NDArray[np.float64] = np.sum(harmonics, axis=0) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * seconds))
    return np.asarray(0.5 * audio / np.abs(audio).max(), np.float32)


def noise(samples: int) -> Audio:
    return np.random.default_rng(0).uniform(-0.5, 0.5, samples).astype(np.float32)
